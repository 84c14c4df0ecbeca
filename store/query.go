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
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/schema"
)

// Format is how Query writes rows.
type Format string

// The formats of Query.
const (
	TSV   Format = "tsv"   // a header, then rows, separated by tabs and escaped as in ClickHouse
	JSON  Format = "json"  // an object a line
	Table Format = "table" // aligned columns for a terminal
)

// Formats lists the formats.
var Formats = [...]Format{TSV, JSON, Table}

// Query runs any statement and writes the rows that it yields. Times are written
// in the time zone of their column, arrays and tuples as JSON.
func (s *Store) Query(ctx context.Context, sql string, w io.Writer, format Format) error {
	out := bufio.NewWriter(w)
	var write rowWriter
	end := out.Flush
	switch format {
	case TSV:
		write = func(names []string, row []cell) error { return writeLine(out, names, row, escapeTSV) }
	case JSON:
		write = func(names []string, row []cell) error { return writeObject(out, names, row) }
	case Table:
		aligned := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.StripEscape)
		write = func(names []string, row []cell) error { return writeLine(aligned, names, row, escapeBytes) }
		end = func() error { return errors.Join(aligned.Flush(), out.Flush()) }
	default:
		return refused("format %q is none of %v", format, Formats)
	}
	rows, err := s.conn.Query(ctx, sql)
	if errors.Is(err, io.EOF) {
		return nil // a statement without a result
	}
	if err == nil {
		err = writeRows(rows, write)
	}
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return end()
	case errors.As(err, &exception):
		return err // it says what is wrong with the query, which is the user's own
	}
	return s.explain(err)
}

// rowWriter writes one row; the header is a nil row.
type rowWriter func(names []string, row []cell) error

// cell is a value and how the times in it are written.
type cell struct {
	value  reflect.Value
	layout string
}

func writeRows(rows driver.Rows, write rowWriter) error {
	columns := rows.ColumnTypes()
	names := make([]string, len(columns))
	into := make([]any, len(columns))
	row := make([]cell, len(columns))
	for i, c := range columns {
		names[i] = c.Name()
		target := reflect.New(c.ScanType())
		into[i] = target.Interface()
		row[i] = cell{target.Elem(), timeLayout(c.DatabaseTypeName())}
	}
	if len(columns) > 0 {
		if err := write(names, nil); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return scan(rows, func() error {
		for _, c := range row {
			c.value.SetZero() // a NULL leaves what was there
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		return write(names, row)
	})
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

func writeLine(w io.Writer, names []string, row []cell, escape func(string) string) error {
	texts := make([]string, len(names))
	for i := range names {
		if row == nil {
			texts[i] = escape(names[i])
			continue
		}
		v, null := plain(row[i].value, row[i].layout)
		switch v := v.(type) {
		case string:
			texts[i] = escape(v)
		default:
			text, err := marshal(v)
			if err != nil {
				return err
			}
			texts[i] = escape(string(text))
		}
		if null {
			texts[i] = `\N`
		}
	}
	_, err := io.WriteString(w, strings.Join(texts, "\t")+"\n")
	return err
}

func writeObject(w *bufio.Writer, names []string, row []cell) error {
	if row == nil {
		return nil
	}
	sep := "{"
	for i, name := range names {
		key, err := marshal(name)
		if err != nil {
			return err
		}
		v, _ := plain(row[i].value, row[i].layout)
		value, err := marshal(v)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "%s%s:%s", sep, key, value) // the error stays in w until Flush
		sep = ","
	}
	_, err := w.WriteString("}\n")
	return err
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

// escapeTSV keeps a text in its field, as ClickHouse's TabSeparated does, and from
// steering the terminal, by escapes that ClickHouse reads too.
func escapeTSV(s string) string {
	return escapeBytes(strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(s))
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
