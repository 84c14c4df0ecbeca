package store

import (
	"bufio"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Format is how Query writes rows: one of our own, or one of ClickHouse's by
// ClickHouse's name.
type Format string

// Overreach's own formats.
const (
	TSV   Format = "tsv"   // a header, then rows, separated by tabs and escaped as in ClickHouse
	JSON  Format = "json"  // an object a line
	Table Format = "table" // aligned columns for a terminal
)

var ownFormats = []Format{TSV, JSON, Table}

// writers make what writes the rows of a format.
var writers = map[Format]func(*bufio.Writer) rowWriter{
	TSV:   lines(ownTabs, true, false),
	JSON:  newObjects,
	Table: newAligned,

	"TabSeparated":                  lines(tabbed, false, false),
	"TabSeparatedWithNames":         lines(tabbed, true, false),
	"TabSeparatedWithNamesAndTypes": lines(tabbed, true, true),
	"CSV":                           lines(commas, false, false),
	"CSVWithNames":                  lines(commas, true, false),
	"CSVWithNamesAndTypes":          lines(commas, true, true),
	"JSONEachRow":                   newObjects,
	"JSONCompactEachRow":            lines(lists, false, false),
	"JSON":                          newDocument(writeObject),
	"JSONCompact":                   newDocument(writeList),
	"Vertical":                      newVertical,
	"Markdown":                      newMarkdown,
	"Pretty":                        newPretty(true),
	"PrettyCompact":                 newPretty(false),
	"Null":                          func(*bufio.Writer) rowWriter { return nowhere{} },
}

// formatAliases are other names that ClickHouse has for the same. Its Pretty formats
// differ in colours and in how rows are gathered, which means nothing here.
var formatAliases = map[string]Format{
	"tsv": "TabSeparated", "tsvwithnames": "TabSeparatedWithNames", "tsvwithnamesandtypes": "TabSeparatedWithNamesAndTypes",
	"jsonlines": "JSONEachRow", "ndjson": "JSONEachRow",
	"prettynoescapes": "Pretty", "prettymonoblock": "Pretty", "prettynoescapesmonoblock": "Pretty",
	"prettycompactnoescapes": "PrettyCompact", "prettycompactmonoblock": "PrettyCompact", "prettycompactnoescapesmonoblock": "PrettyCompact",
}

// ParseFormat returns the format of a name. Our own are in lower case; ClickHouse's
// are taken in any, as ClickHouse does.
func ParseFormat(name string) (Format, bool) {
	if slices.Contains(ownFormats, Format(name)) {
		return Format(name), true
	}
	return clickHouseFormat(name)
}

// clickHouseFormat returns the format that ClickHouse means by a name.
func clickHouseFormat(name string) (Format, bool) {
	if f, ok := formatAliases[strings.ToLower(name)]; ok {
		return f, true
	}
	for f := range writers {
		if !slices.Contains(ownFormats, f) && strings.EqualFold(name, string(f)) {
			return f, true
		}
	}
	return "", false
}

// FormatNames lists the formats for people: our own, then ClickHouse's.
func FormatNames() string {
	return spelled(ownFormats) + ", " + clickHouseNames()
}

// clickHouseNames lists those of ClickHouse.
func clickHouseNames() string {
	return spelled(slices.DeleteFunc(slices.Sorted(maps.Keys(writers)), func(f Format) bool { return slices.Contains(ownFormats, f) }))
}

func spelled(formats []Format) string {
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// sqlTokens finds comments, quoted texts, words and single characters.
var sqlTokens = regexp.MustCompile("(?s)--[^\n]*|/\\*.*?\\*/|'(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\"|`(?:[^`\\\\]|\\\\.)*`|\\w+|\\S")

var formatName = regexp.MustCompile(`^[A-Za-z]\w*$`)

// formatClause returns what the FORMAT clause at the end of a statement names. The
// native protocol leaves it to the client.
func formatClause(sql string) (name string, ok bool) {
	tokens := slices.DeleteFunc(sqlTokens.FindAllString(sql, -1), func(t string) bool {
		return strings.HasPrefix(t, "--") || strings.HasPrefix(t, "/*") || t == ";"
	})
	for i := len(tokens) - 2; i > 0; i-- {
		if tokens[i] == ")" || tokens[i] == "(" {
			return "", false // a FORMAT within brackets is no clause of the statement
		}
		ends := i+2 == len(tokens) || strings.EqualFold(tokens[i+2], "SETTINGS")
		if !ends || !strings.EqualFold(tokens[i], "FORMAT") || !formatName.MatchString(tokens[i+1]) {
			continue
		}
		switch before := strings.ToUpper(tokens[i-1]); before { // FORMAT is a column's name then
		case ",", ".", "=", "<", ">", "+", "-", "/", "SELECT", "BY", "AS":
			continue
		}
		return tokens[i+1], true
	}
	return "", false
}
