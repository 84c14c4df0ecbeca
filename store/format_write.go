package store

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// column is what a writer knows of a column.
type column struct{ name, typ string }

// rowWriter writes the rows of one result.
type rowWriter interface {
	head(columns []column) error
	row(row []cell) error
	end() error
}

// field says how a line's fields are written and parted.
type field struct {
	begin, between, end string
	text                func(string) string // of a text, a time or a name
	other               func(string) string // of a number or a list, as JSON has it
	null                string
}

var (
	ownTabs = field{between: "\t", end: "\n", text: escapeTSV, other: escapeTSV, null: `\N`}
	tabbed  = field{between: "\t", end: "\n", text: escapeTabSeparated, other: escapeTabSeparated, null: `\N`}
	commas  = field{between: ",", end: "\n", text: quoteCSV, other: quoteCSVList, null: `\N`}
	lists   = field{begin: "[", between: ", ", end: "]\n", text: jsonText, other: asItIs, null: "null"}
	aligned = field{between: "\t", end: "\n", text: escapeBytes, other: escapeBytes, null: `\N`}
)

// escapeTabSeparated escapes apostrophes too, as ClickHouse does.
func escapeTabSeparated(s string) string { return strings.ReplaceAll(escapeTSV(s), "'", `\'`) }

func asItIs(s string) string { return s }

// jsonText writes a text as JSON does.
func jsonText(s string) string {
	text, err := marshal(s)
	if err != nil {
		return "null" // no text fails
	}
	return string(text)
}

// quoteCSV writes a text as ClickHouse's CSV does. Line breaks and tabs stay, within
// the quotes; what could steer a terminal is written as \xHH.
func quoteCSV(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		for j, part := range strings.Split(line, "\t") {
			if j > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(strings.ReplaceAll(escapeBytes(part), `"`, `""`))
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteCSVList quotes lists and objects; numbers stand as they are.
func quoteCSVList(s string) string {
	if strings.HasPrefix(s, "[") || strings.HasPrefix(s, "{") {
		return quoteCSV(s)
	}
	return s
}

// texts writes the values of a row.
func (f *field) texts(row []cell) ([]string, error) {
	texts := make([]string, len(row))
	for i, c := range row {
		v, null := plain(c.value, c.layout)
		text, isText := v.(string)
		switch {
		case null:
			texts[i] = f.null
		case isText:
			texts[i] = f.text(text)
		default:
			encoded, err := marshal(v)
			if err != nil {
				return nil, err
			}
			texts[i] = f.other(string(encoded))
		}
	}
	return texts, nil
}

// lineWriter writes a line a row.
type lineWriter struct {
	field
	names, types bool
	w            io.Writer
}

func lines(f field, names, types bool) func(*bufio.Writer) rowWriter {
	return func(w *bufio.Writer) rowWriter { return &lineWriter{f, names, types, w} }
}

func (l *lineWriter) head(columns []column) error {
	for _, line := range []struct {
		write bool
		of    func(column) string
	}{{l.names, func(c column) string { return c.name }}, {l.types, func(c column) string { return c.typ }}} {
		texts := make([]string, len(columns))
		for i, c := range columns {
			texts[i] = l.text(line.of(c))
		}
		if !line.write {
			continue
		}
		if err := l.line(texts); err != nil {
			return err
		}
	}
	return nil
}

func (l *lineWriter) row(row []cell) error {
	texts, err := l.texts(row)
	if err != nil {
		return err
	}
	return l.line(texts)
}

func (l *lineWriter) line(texts []string) error {
	_, err := io.WriteString(l.w, l.begin+strings.Join(texts, l.between)+l.field.end)
	return err
}

func (l *lineWriter) end() error { return nil }

// alignedWriter pads columns with blanks.
type alignedWriter struct {
	lineWriter
	table *tabwriter.Writer
}

func newAligned(w *bufio.Writer) rowWriter {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.StripEscape)
	return &alignedWriter{lineWriter{aligned, true, false, table}, table}
}

func (a *alignedWriter) end() error { return a.table.Flush() }

// objectWriter writes an object a line.
type objectWriter struct {
	w       *bufio.Writer
	columns []column
}

func newObjects(w *bufio.Writer) rowWriter { return &objectWriter{w: w} }

func (o *objectWriter) head(columns []column) error {
	o.columns = columns
	return nil
}

func (o *objectWriter) row(row []cell) error {
	if err := writeObject(o.w, o.columns, row); err != nil {
		return err
	}
	return o.w.WriteByte('\n')
}

func (o *objectWriter) end() error { return nil }

func writeObject(w *bufio.Writer, columns []column, row []cell) error {
	values, err := lists.texts(row)
	if err != nil {
		return err
	}
	for i := range values {
		values[i] = jsonText(columns[i].name) + ":" + values[i]
	}
	_, err = w.WriteString("{" + strings.Join(values, ",") + "}")
	return err
}

func writeList(w *bufio.Writer, _ []column, row []cell) error {
	values, err := lists.texts(row)
	if err != nil {
		return err
	}
	_, err = w.WriteString("[" + strings.Join(values, ", ") + "]")
	return err
}

// documentWriter writes one JSON object: the columns, the rows, their number.
type documentWriter struct {
	w       *bufio.Writer
	columns []column
	write   func(*bufio.Writer, []column, []cell) error
	rows    int
}

func newDocument(write func(*bufio.Writer, []column, []cell) error) func(*bufio.Writer) rowWriter {
	return func(w *bufio.Writer) rowWriter { return &documentWriter{w: w, write: write} }
}

func (d *documentWriter) head(columns []column) error {
	d.columns = columns
	var meta []string
	for _, c := range columns {
		meta = append(meta, fmt.Sprintf("\t\t{\"name\": %s, \"type\": %s}", jsonText(c.name), jsonText(c.typ)))
	}
	_, err := d.w.WriteString("{\n\t\"meta\":\n\t[\n" + strings.Join(meta, ",\n") + "\n\t],\n\n\t\"data\":\n\t[")
	return err
}

func (d *documentWriter) row(row []cell) error {
	before := ",\n\t\t"
	if d.rows == 0 {
		before = "\n\t\t"
	}
	d.rows++
	if _, err := d.w.WriteString(before); err != nil {
		return err
	}
	return d.write(d.w, d.columns, row)
}

func (d *documentWriter) end() error {
	_, err := fmt.Fprintf(d.w, "\n\t],\n\n\t\"rows\": %d\n}\n", d.rows)
	return err
}

// verticalWriter writes a line a value.
type verticalWriter struct {
	w     *bufio.Writer
	names []string
	width int
	rows  int
}

func newVertical(w *bufio.Writer) rowWriter { return &verticalWriter{w: w} }

func (v *verticalWriter) head(columns []column) error {
	for _, c := range columns {
		name := escapeBytes(c.name) + ":"
		v.names, v.width = append(v.names, name), max(v.width, utf8.RuneCountInString(name))
	}
	return nil
}

func (v *verticalWriter) row(row []cell) error {
	texts, err := readable.texts(row)
	if err != nil {
		return err
	}
	if v.rows > 0 {
		_ = v.w.WriteByte('\n') // an error stays in w until Flush
	}
	v.rows++
	title := fmt.Sprintf("Row %d:", v.rows)
	_, _ = fmt.Fprintf(v.w, "%s\n%s\n", title, strings.Repeat("─", len(title)))
	for i, text := range texts {
		_, err = fmt.Fprintf(v.w, "%s %s\n", padded(v.names[i], v.width), text)
	}
	return err
}

func (v *verticalWriter) end() error { return nil }

// readable is how people read a value.
var readable = field{text: escapeBytes, other: escapeBytes, null: "ᴺᵁᴸᴸ"}

func padded(s string, width int) string {
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

// markdownWriter writes a table of Markdown.
type markdownWriter struct{ lineWriter }

func newMarkdown(w *bufio.Writer) rowWriter {
	pipe := func(s string) string { return strings.ReplaceAll(escapeBytes(s), "|", `\|`) }
	f := field{begin: "| ", between: " | ", end: " |\n", text: pipe, other: pipe, null: "NULL"}
	return &markdownWriter{lineWriter{f, true, false, w}}
}

func (m *markdownWriter) head(columns []column) error {
	if err := m.lineWriter.head(columns); err != nil {
		return err
	}
	_, err := io.WriteString(m.w, "|"+strings.Repeat(" :- |", len(columns))+"\n")
	return err
}

// nowhere writes nothing.
type nowhere struct{}

func (nowhere) head([]column) error { return nil }
func (nowhere) row([]cell) error    { return nil }
func (nowhere) end() error          { return nil }

// prettyRows is how many rows stand in a box: they are held until it is drawn.
const prettyRows = 10_000

// prettyWriter draws boxes.
type prettyWriter struct {
	w     *bufio.Writer
	apart bool // a line between two rows
	names []string
	right []bool
	rows  [][]string
}

func newPretty(apart bool) func(*bufio.Writer) rowWriter {
	return func(w *bufio.Writer) rowWriter { return &prettyWriter{w: w, apart: apart} }
}

func (p *prettyWriter) head(columns []column) error {
	for _, c := range columns {
		p.names = append(p.names, escapeBytes(c.name))
		p.right = append(p.right, isNumber(c.typ))
	}
	return nil
}

// isNumber reports whether a type is one of numbers, which stand to the right.
func isNumber(typ string) bool {
	typ = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(typ, "LowCardinality("), "Nullable("), ")")
	for _, number := range []string{"Int", "UInt", "Float", "Decimal"} {
		if strings.HasPrefix(typ, number) {
			return true
		}
	}
	return false
}

func (p *prettyWriter) row(row []cell) error {
	texts, err := readable.texts(row)
	p.rows = append(p.rows, texts)
	if err == nil && len(p.rows) == prettyRows {
		err = p.end()
	}
	return err
}

// end draws what is held.
func (p *prettyWriter) end() error {
	if len(p.rows) == 0 {
		return nil
	}
	widths := make([]int, len(p.names))
	for _, texts := range append(p.rows, p.names) {
		for i, text := range texts {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	rule := func(left, between, right string) {
		var parts []string
		for _, width := range widths {
			parts = append(parts, strings.Repeat("─", width+2))
		}
		_, _ = p.w.WriteString(left + strings.Join(parts, between) + right + "\n") // an error stays in w until Flush
	}
	line := func(texts []string) {
		for i, text := range texts {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if p.right[i] {
				text = space + text
			} else {
				text += space
			}
			_, _ = p.w.WriteString("│ " + text + " ")
		}
		_, _ = p.w.WriteString("│\n")
	}
	rule("┌", "┬", "┐")
	line(p.names)
	rule("├", "┼", "┤")
	for i, texts := range p.rows {
		if i > 0 && p.apart {
			rule("├", "┼", "┤")
		}
		line(texts)
	}
	rule("└", "┴", "┘")
	p.rows = nil
	return nil
}
