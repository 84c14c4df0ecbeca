// Package strict decodes YAML into Go structs and refuses whatever they have no
// place for, so that a typing error in a file never passes for a setting.
//
// A file is read in two steps. Decode fills a struct and reports everything
// whose shape is wrong. The Document that it returns then lets the caller report
// what the shape alone does not show (a date before another), at its line:
//
//	var raw file
//	doc, err := strict.Decode("registry.yaml", data, &raw)
//	if err != nil {
//		return err // registry.yaml:7: unknown field "grnts": did you mean "grants"? …
//	}
//	if raw.Until < raw.From {
//		doc.Errorf(strict.At("partners", name, "grants", i, "until"), "until %s is before from %s", …)
//	}
//	return doc.Err()
package strict

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the size of the largest file that Decode reads, in bytes.
const MaxSize = 16 << 20

// maxErrors is how many errors are told one by one; the rest are counted.
const maxErrors = 20

// Error is one thing that is wrong in a file.
type Error struct {
	File string
	Line int // from 1
	Text string
}

// Error writes the error as file:line: text.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// Path leads from the top of a file to a place in it: a string for a field of a
// mapping, an int for an item of a list.
type Path []any

// At returns the path of the steps.
func At(steps ...any) Path { return steps }

// Document is a file that was decoded: where each thing stands in it, and what
// was found wrong with it.
type Document struct {
	file string
	root *yaml.Node // nil where the file holds nothing
	errs []*Error
}

// Decode reads one YAML document into the struct that into points to. The
// values that into holds already stand wherever the file says nothing.
//
// A field takes part by its tag `yaml:"name"`, and must be in the file where it
// also has the tag `required:"true"`. Fields may be of these kinds: string,
// bool, whole numbers, slices, maps by string, structs, pointers to these, and
// types with UnmarshalText, which is given the text of any scalar (a type that
// is a struct as well is decoded field by field where a mapping stands, so it
// can have a short and a long form). Any other kind is a mistake of the program
// and panics. Nothing (~, or no value) is an empty list, map or struct.
//
// Unknown fields, fields given twice, values of the wrong kind, missing fields,
// anchors, aliases and explicit tags are errors; all of them are returned
// together, in the order of their lines, each an *Error. The document is never
// nil.
func Decode(file string, data []byte, into any) (*Document, error) {
	d := &Document{file: file}
	if !d.parse(data) {
		return d, d.Err()
	}
	v := reflect.ValueOf(into).Elem()
	if d.root == nil {
		d.decodeStruct(&yaml.Node{Kind: yaml.MappingNode}, 1, v)
		return d, d.Err()
	}
	if d.plain(d.root) {
		d.decode(d.root, d.root.Line, v)
	}
	return d, d.Err()
}

// Has reports whether the file itself says something at the path.
func (d *Document) Has(p Path) bool {
	_, whole := d.find(p)
	return whole
}

// Line returns the line on which what the path leads to begins, or the innermost
// part of the path that the file has.
func (d *Document) Line(p Path) int {
	line, _ := d.find(p)
	return line
}

// Errorf notes that what the path leads to is wrong. Err returns it later.
func (d *Document) Errorf(p Path, format string, args ...any) {
	d.errorf(d.Line(p), format, args...)
}

// Err returns everything that was found wrong so far, in the order of the lines,
// as one error that joins an *Error for each; nil where there is nothing.
func (d *Document) Err() error {
	if len(d.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errs, func(a, b *Error) int { return a.Line - b.Line })
	var all []error
	for i, e := range d.errs {
		if i == maxErrors {
			all = append(all, fmt.Errorf("%s: and %d more", d.file, len(d.errs)-i))
			break
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

func (d *Document) errorf(line int, format string, args ...any) {
	d.errs = append(d.errs, &Error{d.file, max(line, 1), fmt.Sprintf(format, args...)})
}

// find follows the path as far as the file goes. The line of a field is the one
// of its name.
func (d *Document) find(p Path) (line int, whole bool) {
	n := d.root
	if n == nil {
		return 1, len(p) == 0
	}
	line = n.Line
	for _, step := range p {
		var next *yaml.Node
		switch step := step.(type) {
		case string:
			for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					line, next = n.Content[i].Line, n.Content[i+1]
					break
				}
			}
		case int:
			if n.Kind == yaml.SequenceNode && step >= 0 && step < len(n.Content) {
				next = n.Content[step]
				line = next.Line
			}
		}
		if next == nil {
			return line, false
		}
		n = next
	}
	return line, true
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// parse sets the root, or notes why it cannot.
func (d *Document) parse(data []byte) bool {
	if len(data) > MaxSize {
		d.errorf(1, "the file has %d bytes, more than %d: split it or leave something out", len(data), MaxSize)
		return false
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return true
	}
	if err == nil {
		var second yaml.Node
		err = dec.Decode(&second)
		if err == nil {
			d.errorf(second.Line, "a second document begins here (after ---): expected one document in the file")
			return false
		}
	}
	if !errors.Is(err, io.EOF) {
		text, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			line, _ = strconv.Atoi(m[1]) // digits alone; too many of them leave the greatest int
		}
		d.errorf(line, "this is no YAML: %s", text)
		return false
	}
	if len(doc.Content) > 0 {
		d.root = doc.Content[0]
	}
	return true
}

// plain notes anchors, aliases and tags anywhere under n: an alias would let a
// small file stand for a huge one, and a tag would change what a value is.
func (d *Document) plain(n *yaml.Node) bool {
	ok := true
	switch {
	case n.Kind == yaml.AliasNode:
		d.errorf(n.Line, "alias *%s: aliases are not allowed, write the value out", n.Value)
		return false // what it stands for is not walked: it may hold the alias itself
	case n.Anchor != "":
		d.errorf(n.Line, "anchor &%s: anchors are not allowed, write the value out where it is needed", n.Anchor)
		ok = false
	case n.Style&yaml.TaggedStyle != 0:
		d.errorf(n.Line, "tag %s: tags are not allowed, leave it out and quote the value where it is text", n.Tag)
		ok = false
	}
	for _, c := range n.Content {
		ok = d.plain(c) && ok
	}
	return ok
}

// decode puts n into v. The line is where a reader looks for n: that of its name
// where it has one.
func (d *Document) decode(n *yaml.Node, line int, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	nothing := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind == yaml.ScalarNode && !nothing {
			if err := u.UnmarshalText([]byte(n.Value)); err != nil {
				d.errorf(n.Line, "%v", err)
			}
			return
		}
		if v.Kind() != reflect.Struct {
			d.errorf(line, "found %s, expected a single value", describe(n))
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		if nothing {
			n = &yaml.Node{Kind: yaml.MappingNode}
		}
		d.decodeStruct(n, line, v)
	case reflect.Map:
		if !nothing {
			d.decodeMap(n, line, v)
		}
	case reflect.Slice:
		if nothing {
			v.SetZero()
			return
		}
		d.decodeSlice(n, line, v)
	default:
		d.decodeScalar(n, line, v)
	}
}

// pairs calls f for each field of a mapping, and notes those given twice and
// names that are no text.
func (d *Document) pairs(n *yaml.Node, f func(key, value *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !isText(key) {
			d.errorf(key.Line, "the name of a field is %s, expected text: quote it", describe(key))
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.errorf(key.Line, "field %q is given twice, first on line %d: leave one of them out", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
		f(key, n.Content[i+1])
	}
}

func (d *Document) decodeStruct(n *yaml.Node, line int, v reflect.Value) {
	var allowed []string
	index := map[string]int{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			allowed = append(allowed, name)
			index[name] = i
		}
	}
	if n.Kind != yaml.MappingNode {
		d.errorf(line, "found %s, expected a mapping with %s", describe(n), list(allowed))
		return
	}
	given := map[string]bool{}
	d.pairs(n, func(key, value *yaml.Node) {
		i, ok := index[key.Value]
		if !ok {
			d.errorf(key.Line, "%s", Unknown("field", key.Value, allowed))
			return
		}
		given[key.Value] = true
		d.decode(value, key.Line, v.Field(i))
	})
	for _, name := range allowed {
		f := v.Type().Field(index[name])
		if f.Tag.Get("required") == "true" && !given[name] {
			d.errorf(line, "field %q is missing here", name)
		}
	}
}

func (d *Document) decodeMap(n *yaml.Node, line int, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.errorf(line, "found %s, expected a mapping of names to values", describe(n))
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.pairs(n, func(key, value *yaml.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, key.Line, item)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	})
	v.Set(m)
}

func (d *Document) decodeSlice(n *yaml.Node, line int, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.errorf(line, "found %s, expected a list, as in [a, b] or in lines that begin with a dash", describe(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.decode(c, c.Line, s.Index(i))
	}
	v.Set(s)
}

func (d *Document) decodeScalar(n *yaml.Node, line int, v reflect.Value) {
	wrong := func(expected string) { d.errorf(line, "found %s, expected %s", describe(n), expected) }
	switch v.Kind() {
	case reflect.String:
		if !isText(n) {
			hint := ""
			if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
				hint = ": quote it where it is meant as text"
			}
			wrong("text" + hint)
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			wrong("true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := v.Type().Bits()
		i, err := strconv.ParseInt(digits(n), 10, bits)
		if err != nil {
			wrong(fmt.Sprintf("a whole number from %d to %d", -1<<(bits-1), uint64(1)<<(bits-1)-1))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		bits := v.Type().Bits()
		u, err := strconv.ParseUint(digits(n), 10, bits)
		if err != nil {
			wrong(fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-bits)))
			return
		}
		v.SetUint(u)
	default:
		panic(fmt.Sprintf("strict: cannot decode into a field of type %s", v.Type()))
	}
}

// isText reports whether n is a scalar that means itself. A date does: YAML
// would make a time of it, but no file is the poorer for its text.
func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!str" || n.ShortTag() == "!!timestamp")
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*(_[0-9]+)*)$`)

// digits returns a whole number without the underscores that people group
// thousands by, and nothing for any other node: octal, hexadecimal and 1e6 read
// differently to people and to YAML's versions.
func digits(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || !wholeNumber.MatchString(n.Value) {
		return ""
	}
	return strings.ReplaceAll(n.Value, "_", "")
}
