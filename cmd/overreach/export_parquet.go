package main

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/overreach/overreach/store"
)

// rowGroup bounds a row group, which is what the writer holds in memory: by rows,
// and before that by bytes where rows are wide, as those with sketches are.
type rowGroup struct{ rows, bytes int }

var usualRowGroup = rowGroup{rows: 128 << 10, bytes: 64 << 20}

// parquetFile writes rows of ClickHouse to a Parquet file. A row is one value of
// a struct type made from the columns: the driver fills its fields, the Parquet
// writer reads them.
type parquetFile struct {
	writer  *parquet.GenericWriter[any]
	schema  *parquet.Schema
	values  [1]parquet.Row // the row, taken apart; kept for its memory
	row     reflect.Value  // the struct
	into    []any          // pointers to its fields, for the driver
	columns []store.Column // with what they are converted to
	rows    uint64         // written
	limit   rowGroup
	open    rowGroup // the one that is being filled; bytes before encoding
}

func newParquetFile(w io.Writer, name string, columns []store.Column, limit rowGroup) *parquetFile {
	f := &parquetFile{limit: limit}
	fields := make([]reflect.StructField, len(columns))
	for i, c := range columns {
		field, as := parquetField(c)
		fields[i] = reflect.StructField{Name: fmt.Sprintf("Column%d", i), Type: field.goType, Tag: field.tag(c.Name)}
		c.As = as
		f.columns = append(f.columns, c)
	}
	row := reflect.New(reflect.StructOf(fields))
	f.row = row.Elem()
	for i := range fields {
		f.into = append(f.into, f.row.Field(i).Addr().Interface())
	}
	f.schema = parquet.NewSchema(name, parquet.SchemaOf(row.Interface()))
	options := []parquet.WriterOption{
		f.schema,
		parquet.Compression(&zstd.Codec{}),
		parquet.CreatedBy("overreach", buildVersion(), ""),
	}
	for _, c := range columns {
		options = append(options, parquet.KeyValueMetadata("comment."+c.Name, c.Comment))
	}
	f.writer = parquet.NewGenericWriter[any](w, options...)
	return f
}

// write appends the row.
func (f *parquetFile) write() error {
	f.open.bytes += tidy(f.row)
	f.values[0] = f.schema.Deconstruct(f.values[0][:0], f.row.Addr().Interface())
	if _, err := f.writer.WriteRows(f.values[:]); err != nil {
		return fmt.Errorf("writing row %d: %w", f.rows, err)
	}
	f.rows++
	f.open.rows++
	f.row.SetZero() // the driver may write into what a slice or a pointer held
	if f.open.rows < f.limit.rows && f.open.bytes < f.limit.bytes {
		return nil
	}
	f.open = rowGroup{}
	return f.writer.Flush()
}

func (f *parquetFile) close() error { return f.writer.Close() }

// tidy replaces what is not UTF-8, for readers refuse a text with it, and
// returns how many bytes the value takes.
func tidy(v reflect.Value) int {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			v.SetString(strings.ToValidUTF8(v.String(), string(utf8.RuneError)))
		}
		return v.Len()
	case reflect.Pointer:
		if !v.IsNil() {
			return tidy(v.Elem())
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[[]byte]() {
			return v.Len()
		}
		n := 0
		for i := range v.Len() {
			n += tidy(v.Index(i))
		}
		return n
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return 8
		}
		n := 0
		for i := range v.NumField() {
			n += tidy(v.Field(i))
		}
		return n
	}
	return 8
}

// field is what a column becomes: a Go type that the driver can fill, and what
// Parquet is told of it.
type field struct {
	goType  reflect.Type
	options string // of the parquet tag, after the name
}

func (f field) tag(name string) reflect.StructTag {
	return reflect.StructTag(fmt.Sprintf("parquet:%q ch:%q", strings.ReplaceAll(name, ",", ";")+f.options, name)) // a comma ends a name
}

// scalars are the types of ClickHouse that Parquet has, too.
var scalars = map[string]field{
	"UInt8": {reflect.TypeFor[uint8](), ""}, "UInt16": {reflect.TypeFor[uint16](), ""},
	"UInt32": {reflect.TypeFor[uint32](), ""}, "UInt64": {reflect.TypeFor[uint64](), ""},
	"Int8": {reflect.TypeFor[int8](), ""}, "Int16": {reflect.TypeFor[int16](), ""},
	"Int32": {reflect.TypeFor[int32](), ""}, "Int64": {reflect.TypeFor[int64](), ""},
	"Float32": {reflect.TypeFor[float32](), ""}, "Float64": {reflect.TypeFor[float64](), ""},
	"Bool": {reflect.TypeFor[bool](), ""}, "String": {reflect.TypeFor[string](), ""},
	"DateTime": {reflect.TypeFor[time.Time](), ",timestamp(millisecond)"},
}

// parquetField says what a column becomes, and to which type ClickHouse has to
// convert it before: none, or text for what Parquet does not have.
func parquetField(c store.Column) (f field, as string) {
	name, inner := cutType(c.Type)
	if name == "AggregateFunction" {
		return field{reflect.TypeFor[[]byte](), ""}, "String"
	}
	switch c.Type { // as days since 1970: the library writes a time that is no day
	case "Date", "Date32", "SimpleAggregateFunction(min, Date)", "SimpleAggregateFunction(max, Date)":
		return field{reflect.TypeFor[int32](), ",date"}, "Int32"
	case "Nullable(Date)", "Nullable(Date32)":
		return field{reflect.TypeFor[*int32](), ",date,optional"}, "Nullable(Int32)"
	}
	if f, ok := fieldOf(c.Type); ok {
		return f, ""
	}
	if name == "Nullable" || name == "LowCardinality" && strings.HasPrefix(inner, "Nullable(") {
		return field{reflect.TypeFor[*string](), ",optional"}, "Nullable(String)"
	}
	return scalars["String"], "String"
}

// fieldOf is false for a type that Parquet does not have.
func fieldOf(typ string) (field, bool) {
	if f, ok := scalars[typ]; ok {
		return f, true
	}
	name, inner := cutType(typ)
	switch name {
	case "Enum8", "Enum16":
		return scalars["String"], true
	case "DateTime": // with a time zone, which is that of its text alone
		return scalars["DateTime"], true
	case "DateTime64":
		return timestamp(inner)
	case "LowCardinality":
		return fieldOf(inner)
	case "SimpleAggregateFunction": // of a function and a type
		parts := splitTypes(inner)
		return fieldOf(parts[len(parts)-1])
	case "Nullable":
		f, ok := fieldOf(inner)
		if k := kindOf(f); !ok || k == reflect.Pointer || k == reflect.Slice || k == reflect.Struct {
			return field{}, false
		}
		return field{reflect.PointerTo(f.goType), f.options + ",optional"}, true
	case "Array":
		f, ok := fieldOf(inner)
		if !ok || f.options != "" { // the tag of a list says nothing of its elements
			return field{}, false
		}
		return field{reflect.SliceOf(f.goType), ",list"}, true
	case "Tuple":
		return group(splitTypes(inner))
	}
	return field{}, false
}

// kindOf is the kind of a field; a time counts as a number.
func kindOf(f field) reflect.Kind {
	switch f.goType {
	case nil:
		return reflect.Invalid
	case reflect.TypeFor[time.Time]():
		return reflect.Int64
	}
	return f.goType.Kind()
}

// timestamp is a DateTime64 in the unit that is no coarser than it.
func timestamp(inner string) (field, bool) {
	digits, _, _ := strings.Cut(inner, ",")
	unit := ""
	switch digits {
	case "0", "1", "2", "3":
		unit = "millisecond"
	case "4", "5", "6":
		unit = "microsecond"
	case "7", "8", "9":
		unit = "nanosecond"
	}
	return field{reflect.TypeFor[time.Time](), ",timestamp(" + unit + ")"}, unit != ""
}

var memberName = regexp.MustCompile(`^[A-Za-z_]\w*$`)

// group is a tuple whose members have names.
func group(members []string) (field, bool) {
	fields := make([]reflect.StructField, len(members))
	for i, m := range members {
		name, typ, ok := strings.Cut(m, " ")
		if !ok || !memberName.MatchString(name) || slices.ContainsFunc(fields[:i], func(f reflect.StructField) bool { return f.Tag.Get("ch") == name }) {
			return field{}, false
		}
		f, ok := fieldOf(typ)
		if !ok {
			return field{}, false
		}
		fields[i] = reflect.StructField{Name: fmt.Sprintf("Member%d", i), Type: f.goType, Tag: f.tag(name)}
	}
	return field{reflect.StructOf(fields), ""}, true
}

// cutType takes a type apart: Array and UInt32 of Array(UInt32).
func cutType(typ string) (name, inner string) {
	name, inner, ok := strings.Cut(typ, "(")
	if !ok {
		return typ, ""
	}
	return name, strings.TrimSuffix(inner, ")")
}

// splitTypes takes a list apart at the commas outside of parentheses.
func splitTypes(list string) []string {
	var all []string
	depth, begin := 0, 0
	for i, c := range list {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all = append(all, strings.TrimSpace(list[begin:i]))
				begin = i + 1
			}
		}
	}
	return append(all, strings.TrimSpace(list[begin:]))
}
