package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/schema"
)

// Query runs any statement and writes the rows that it yields: in the format that
// its FORMAT clause names, else in the given one. Times are written in the time zone
// of their column, arrays and tuples as JSON.
func (s *Store) Query(ctx context.Context, sql string, w io.Writer, format Format) error {
	if name, ok := formatClause(sql); ok {
		var known bool
		if format, known = clickHouseFormat(name); !known {
			return refused("FORMAT %s of the statement is not written here: expected one of %s", name, clickHouseNames())
		}
	}
	out := bufio.NewWriter(w)
	newWriter, known := writers[format]
	if !known {
		return refused("format %q: expected one of %s", format, FormatNames())
	}
	rows, err := s.conn.Query(ctx, sql)
	if errors.Is(err, io.EOF) {
		return nil // a statement without a result
	}
	if err == nil {
		err = writeRows(rows, newWriter(out))
	}
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return out.Flush()
	case errors.As(err, &exception):
		return err // it says what is wrong with the query, which is the user's own
	}
	return s.explain(err)
}

// cell is a value and how the times in it are written.
type cell struct {
	value  reflect.Value
	layout string
}

func writeRows(rows driver.Rows, to rowWriter) error {
	types := rows.ColumnTypes()
	columns := make([]column, len(types))
	into := make([]any, len(types))
	row := make([]cell, len(types))
	for i, c := range types {
		columns[i] = column{c.Name(), c.DatabaseTypeName()}
		target := reflect.New(c.ScanType())
		into[i] = target.Interface()
		row[i] = cell{target.Elem(), timeLayout(c.DatabaseTypeName())}
	}
	if len(columns) == 0 {
		return rows.Close()
	}
	if err := to.head(columns); err != nil {
		return errors.Join(err, rows.Close())
	}
	err := scan(rows, func() error {
		for _, c := range row {
			c.value.SetZero() // a NULL leaves what was there
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		return to.row(row)
	})
	if err != nil {
		return err
	}
	return to.end()
}

// timeLayout says how times of a type, or in it, are written.
func timeLayout(typ string) string {
	if _, rest, ok := strings.Cut(typ, "DateTime64("); ok {
		digits := int(rest[0] - '0')
		return strings.TrimSuffix("2006-01-02 15:04:05."+strings.Repeat("0", digits), ".")
	}
	if strings.Contains(typ, "DateTime") {
		return time.DateTime
	}
	return time.DateOnly
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("writing a value: %w", err)
	}
	return schema.PrintableJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// plain turns a value as the driver scans it into one that JSON can hold, and
// says whether it is NULL.
func plain(v reflect.Value, layout string) (value any, null bool) {
	if !v.IsValid() {
		return nil, true
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.Format(layout), false
	case *time.Time: // of a Nullable column
		if x == nil {
			return nil, true
		}
		return x.Format(layout), false
	case json.Marshaler: // large integers and decimals, which are numbers
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, true
		}
		return x, false
	}
	if v.CanAddr() {
		if x, ok := v.Addr().Interface().(json.Marshaler); ok {
			return x, false
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, true
		}
		return plain(v.Elem(), layout)
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i], _ = plain(v.Index(i), layout)
		}
		return list, false
	case reflect.Map:
		object := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			object[fmt.Sprint(k.Interface())], _ = plain(v.MapIndex(k), layout)
		}
		return object, false
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Sprint(f), false
		}
	case reflect.Struct:
		return fmt.Sprint(v.Interface()), false
	}
	return v.Interface(), false
}

// tsvEscapes is made once: each strings.Replacer builds its table at its first use.
var tsvEscapes = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// escapeTSV keeps a text in its field, as ClickHouse's TabSeparated does, and from
// steering the terminal, by escapes that ClickHouse reads too.
func escapeTSV(s string) string {
	return escapeBytes(tsvEscapes.Replace(s))
}

// escapeBytes writes each byte of what does not print, or is not UTF-8, as \xHH: it
// keeps what producers sent from steering the terminal.
func escapeBytes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		i += n
	}
	return b.String()
}
