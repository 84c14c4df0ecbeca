package store

import (
	"strconv"
	"strings"
)

// quote writes s as a literal of ClickHouse's SQL. Any bytes are allowed.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	quoteTo(&b, s)
	return b.String()
}

func quoteTo(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteString(`\x`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
}

// quoteName writes an identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer("\\", `\\`, "`", "\\`").Replace(s) + "`"
}

// quoteAll writes a list for IN; an empty one holds nothing.
func quoteAll(list []string) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		quoteTo(&b, s)
	}
	return b.String()
}

// numbers writes a list of integers for IN.
func numbers[T int64 | uint8](list []T) string {
	var b strings.Builder
	for i, n := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(int64(n), 10))
	}
	return b.String()
}

// columnList writes columns, separated by commas.
func columnList(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = quoteName(c)
	}
	return strings.Join(quoted, ", ")
}

// in writes the condition that a column is in a list; none is in an empty one.
func in(column, list string) string {
	if list == "" {
		return "0"
	}
	return column + " IN (" + list + ")"
}
