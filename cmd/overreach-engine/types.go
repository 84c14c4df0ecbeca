package main

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is how the values of a column lie in a Native block.
type kind int

const (
	fixed          kind = iota // width bytes a row
	text                       // a length and that many bytes, a row
	nullable                   // a byte a row, then the values
	array                      // an end offset of 8 bytes a row, then the values of all rows
	tuple                      // the elements, one after the other
	lowCardinality             // dictionary and indexes
)

// columnType is a ClickHouse type as far as it tells where a column ends.
type columnType struct {
	kind  kind
	width int
	of    []columnType
}

// widths are the types of fixed width, in bytes.
var widths = map[string]int{
	"Bool": 1, "UInt8": 1, "Int8": 1, "Enum8": 1, "Nothing": 1,
	"UInt16": 2, "Int16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
	"UInt32": 4, "Int32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "Decimal32": 4, "IPv4": 4, "Time": 4,
	"UInt64": 8, "Int64": 8, "Float64": 8, "DateTime64": 8, "Decimal64": 8, "Time64": 8,
	"UInt128": 16, "Int128": 16, "Decimal128": 16, "UUID": 16, "IPv6": 16,
	"UInt256": 32, "Int256": 32, "Decimal256": 32,
}

// geometries are names for nested types.
var geometries = map[string]string{
	"Point": "Tuple(Float64, Float64)",
	"Ring":  "Array(Point)", "LineString": "Array(Point)",
	"Polygon": "Array(Ring)", "MultiLineString": "Array(LineString)", "MultiPolygon": "Array(Polygon)",
}

// parseType reads a type as ClickHouse writes it. Types whose length only
// their own code knows (AggregateFunction, Variant, Dynamic, JSON) are an error.
func parseType(written string) (columnType, error) {
	name, inner, _ := strings.Cut(strings.TrimSpace(written), "(")
	args := splitTop(strings.TrimSuffix(inner, ")"))
	if width, ok := widths[name]; ok {
		return columnType{kind: fixed, width: width}, nil
	}
	if meaning, ok := geometries[name]; ok {
		return parseType(meaning)
	}
	switch {
	case name == "String":
		return columnType{kind: text}, nil
	case strings.HasPrefix(name, "Interval"):
		return columnType{kind: fixed, width: 8}, nil
	case len(args) == 0:
	case name == "FixedString":
		width, err := strconv.Atoi(args[0])
		if err != nil || width < 1 {
			return columnType{}, fmt.Errorf("type %s: the width is not a number above zero", written)
		}
		return columnType{kind: fixed, width: width}, nil
	case name == "Decimal":
		return decimalType(written, args[0])
	case name == "Nullable":
		return nest(nullable, args...)
	case name == "Array":
		return nest(array, args...)
	case name == "LowCardinality":
		return nest(lowCardinality, args...)
	case name == "Tuple":
		return nest(tuple, args...)
	case name == "Map", name == "Nested":
		pair, err := nest(tuple, args...)
		return columnType{kind: array, of: []columnType{pair}}, err
	case name == "SimpleAggregateFunction" && len(args) > 1:
		return parseType(args[1])
	}
	return columnType{}, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
		"A column of type %s cannot be sent over the native protocol of overreach-engine; "+
			"CAST it to another type (a state to String), or use HTTP.", written)
}

func nest(k kind, args ...string) (columnType, error) {
	t := columnType{kind: k}
	for _, arg := range args {
		if k == tuple {
			arg = withoutName(arg)
		}
		inner, err := parseType(arg)
		if err != nil {
			return t, err
		}
		t.of = append(t.of, inner)
	}
	return t, nil
}

// decimalType gives Decimal(P, S) the width of P digits.
func decimalType(written, precision string) (columnType, error) {
	digits, err := strconv.Atoi(precision)
	if err != nil {
		return columnType{}, fmt.Errorf("type %s: the precision is not a number", written)
	}
	width := 32
	switch {
	case digits <= 9:
		width = 4
	case digits <= 18:
		width = 8
	case digits <= 38:
		width = 16
	}
	return columnType{kind: fixed, width: width}, nil
}

// withoutName drops the name of a named element: `x UInt8`, "`a b` String".
func withoutName(element string) string {
	all := tokens(element)
	if len(all) < 2 {
		return element
	}
	if second := element[all[1].from]; second == '(' || second == ',' {
		return element
	}
	return element[all[1].from:]
}

// splitTop splits at the commas that are outside of brackets and quotes.
func splitTop(args string) []string {
	if strings.TrimSpace(args) == "" {
		return nil
	}
	var parts []string
	depth, from := 0, 0
	for _, t := range tokens(args) {
		switch args[t.from] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(args[from:t.from]))
				from = t.to
			}
		}
	}
	return append(parts, strings.TrimSpace(args[from:]))
}
