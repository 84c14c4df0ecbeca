package strict_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/overreach/overreach/schema/strict"
)

type colour string

func (c *colour) UnmarshalText(text []byte) error {
	if string(text) != "red" && string(text) != "blue" {
		return fmt.Errorf("%s", strict.Unknown("colour", string(text), []string{"red", "blue"}))
	}
	*c = colour(text)
	return nil
}

// path has a short form, its name alone, and a long one.
type path struct {
	Name  string `yaml:"name" required:"true"`
	Lower bool   `yaml:"lower"`
}

func (p *path) UnmarshalText(text []byte) error {
	p.Name = string(text)
	return nil
}

type shelf struct {
	Label  string            `yaml:"label" required:"true"`
	Count  uint16            `yaml:"count"`
	Offset int8              `yaml:"offset"`
	Open   bool              `yaml:"open"`
	Paint  colour            `yaml:"paint"`
	Tags   []string          `yaml:"tags"`
	Notes  map[string]string `yaml:"notes"`
	Inner  *shelf            `yaml:"inner"`
	From   path              `yaml:"from"`
	Boxes  []box             `yaml:"boxes"`
	Hidden string
}

type box struct {
	Size uint64 `yaml:"size" required:"true"`
}

func decode(text string) (shelf, *strict.Document, error) {
	var s shelf
	doc, err := strict.Decode("s.yaml", []byte(text), &s)
	return s, doc, err
}

func TestWhatIsAllowedIsDecoded(t *testing.T) {
	f := func(text string, want shelf) {
		t.Helper()
		got, _, err := decode(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v\nwant %+v", text, got, want)
		}
	}
	f("label: a", shelf{Label: "a"})
	f("label: 2018-12-18", shelf{Label: "2018-12-18"})
	f("label: no", shelf{Label: "no"})
	f("label: '12'", shelf{Label: "12"})
	f("label: a\ncount: 65_535\noffset: -128\nopen: True", shelf{Label: "a", Count: 65535, Offset: -128, Open: true})
	f("label: a\npaint: blue\ntags: [x, y]\nnotes: {k: v}",
		shelf{Label: "a", Paint: "blue", Tags: []string{"x", "y"}, Notes: map[string]string{"k": "v"}})
	f("label: a\ntags:\nnotes: ~\nboxes:", shelf{Label: "a"})
	f("label: a\ninner: {label: b}", shelf{Label: "a", Inner: &shelf{Label: "b"}})
	f("label: a\nfrom: x.y", shelf{Label: "a", From: path{Name: "x.y"}})
	f("label: a\nfrom: {name: x.y, lower: true}", shelf{Label: "a", From: path{Name: "x.y", Lower: true}})
	f("label: a\nboxes:\n- size: 1\n- {size: 2}", shelf{Label: "a", Boxes: []box{{1}, {2}}})
}

func TestWhatTheFileDoesNotSayKeepsItsValue(t *testing.T) {
	s := shelf{Count: 7, Tags: []string{"x"}, Inner: &shelf{Label: "inner", Count: 9}}
	if _, err := strict.Decode("s.yaml", []byte("label: a\ninner: {label: b}"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Count != 7 || len(s.Tags) != 1 || s.Inner.Count != 9 || s.Inner.Label != "b" {
		t.Errorf("got %+v, inner %+v", s, s.Inner)
	}
}

func TestErrorsNameLineAndWhatWasExpected(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, _, err := decode(text)
		if err == nil {
			t.Errorf("%q: no error", text)
			return
		}
		if got := err.Error(); got != strings.Join(want, "\n") {
			t.Errorf("%q:\n got %s\nwant %s", text, got, strings.Join(want, "\n"))
		}
	}
	const fields = "one of boxes, count, from, inner, label, notes, offset, open, paint, tags"
	f("", `s.yaml:1: field "label" is missing here`)
	f("# nothing\n", `s.yaml:1: field "label" is missing here`)
	f("label: a\nlable: b", `s.yaml:2: unknown field "lable": did you mean "label"? expected `+fields)
	f("label: a\nzzzzzz: b", `s.yaml:2: unknown field "zzzzzz": expected `+fields)
	f("label: a\nHidden: b", `s.yaml:2: unknown field "Hidden": expected `+fields)
	f("label: a\n\nlabel: b", `s.yaml:3: field "label" is given twice, first on line 1: leave one of them out`)
	f("label: 12", `s.yaml:1: found the number "12", expected text: quote it where it is meant as text`)
	f("label:", `s.yaml:1: found nothing, expected text`)
	f("label: [a]", `s.yaml:1: found a list, expected text`)
	f("label: a\ncount: 65536", `s.yaml:2: found the number "65536", expected a whole number from 0 to 65535`)
	f("label: a\ncount: -1", `s.yaml:2: found the number "-1", expected a whole number from 0 to 65535`)
	f("label: a\ncount: 1e3", `s.yaml:2: found the number "1e3", expected a whole number from 0 to 65535`)
	f("label: a\ncount: 010", `s.yaml:2: found the number "010", expected a whole number from 0 to 65535`)
	f("label: a\ncount: '10'", `s.yaml:2: found the text "10", expected a whole number from 0 to 65535`)
	f("label: a\noffset: 128", `s.yaml:2: found the number "128", expected a whole number from -128 to 127`)
	f("label: a\nopen: yes", `s.yaml:2: found the text "yes", expected true or false`)
	f("label: a\npaint: bleu", `s.yaml:2: unknown colour "bleu": did you mean "blue"? expected one of blue, red`)
	f("label: a\npaint:", `s.yaml:2: found nothing, expected a single value`)
	f("label: a\ntags: x", `s.yaml:2: found the text "x", expected a list, as in [a, b] or in lines that begin with a dash`)
	f("label: a\nnotes: [x]", `s.yaml:2: found a list, expected a mapping of names to values`)
	f("label: a\nnotes: {1: x}", `s.yaml:2: the name of a field is the number "1", expected text: quote it`)
	f("label: a\nfrom: {lower: true}", `s.yaml:2: field "name" is missing here`)
	f("label: a\nfrom: [x]", `s.yaml:2: found a list, expected a mapping with one of lower, name`)
	f("- label", `s.yaml:1: found a list, expected a mapping with `+fields)
	f("label: a\nboxes:\n- size: 1\n- sise: 2",
		`s.yaml:4: unknown field "sise": did you mean "size"? expected size`,
		`s.yaml:4: field "size" is missing here`)
	f("label: 1\ncount: x\nopen: 3",
		`s.yaml:1: found the number "1", expected text: quote it where it is meant as text`,
		`s.yaml:2: found the text "x", expected a whole number from 0 to 65535`,
		`s.yaml:3: found the number "3", expected true or false`)
	f("label: &a x\ntags: [*a]",
		`s.yaml:1: anchor &a: anchors are not allowed, write the value out where it is needed`,
		`s.yaml:2: alias *a: aliases are not allowed, write the value out`)
	f("label: !!str 12", `s.yaml:1: tag !!str: tags are not allowed, leave it out and quote the value where it is text`)
	f("label: a\n---\nlabel: b", `s.yaml:2: a second document begins here (after ---): expected one document in the file`)
	f("label: a\n\tcount: 1", `s.yaml:2: this is no YAML: found a tab character that violates indentation`)
}

func TestManyErrorsAreCountedPastTwenty(t *testing.T) {
	_, _, err := decode("label: a\nboxes:\n" + strings.Repeat("- {}\n", 50))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "s.yaml: and 30 more" {
		t.Errorf("%d lines, the last: %s", len(lines), lines[len(lines)-1])
	}
	var first *strict.Error
	if !errors.As(err, &first) || first.File != "s.yaml" || first.Line != 3 {
		t.Errorf("the first error is %+v", first)
	}
}

func TestAnAliasBombIsRefusedUnexpanded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	_, _, err := decode(b.String())
	if err == nil || !strings.Contains(err.Error(), "anchors are not allowed") {
		t.Errorf("got %v", err)
	}
}

func TestAFileThatIsTooLargeIsRefusedUnread(t *testing.T) {
	_, _, err := decode(strings.Repeat("#", strict.MaxSize+1))
	if err == nil || !strings.Contains(err.Error(), "more than 16777216") {
		t.Errorf("got %v", err)
	}
}

func TestCallersReportAtTheLineOfAPath(t *testing.T) {
	_, doc, err := decode("label: a\nboxes:\n- size: 1\n- size: 2\ninner:\n  label: b\n  notes:\n    k.x: v")
	if err != nil {
		t.Fatal(err)
	}
	f := func(p strict.Path, line int, has bool) {
		t.Helper()
		if doc.Line(p) != line || doc.Has(p) != has {
			t.Errorf("%v: line %d, has %t; want %d, %t", p, doc.Line(p), doc.Has(p), line, has)
		}
	}
	f(strict.At(), 1, true)
	f(strict.At("label"), 1, true)
	f(strict.At("boxes"), 2, true)
	f(strict.At("boxes", 1), 4, true)
	f(strict.At("boxes", 1, "size"), 4, true)
	f(strict.At("boxes", 2, "size"), 2, false)
	f(strict.At("boxes", -1), 2, false)
	f(strict.At("inner", "notes", "k.x"), 8, true)
	f(strict.At("inner", "count"), 5, false)
	f(strict.At("label", "x"), 1, false)
	f(strict.At("nothing"), 1, false)

	doc.Errorf(strict.At("inner", "label"), "is %s", "b")
	doc.Errorf(strict.At("label"), "is a")
	if got := doc.Err().Error(); got != "s.yaml:1: is a\ns.yaml:6: is b" {
		t.Errorf("got %s", got)
	}
}

// FuzzDecode holds two properties: nothing panics and every error has a line
// that the file has; and what is accepted the YAML library reads alike.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"label: a\ncount: 1_000\nopen: true", "label: &x a\nnotes: *x", "{label: a, inner: {label: b, inner: {}}}",
		"label: a\nboxes: [{size: 1}, {size: 18446744073709551615}]", "? [a]\n: b", "<<: {label: a}", "label: |\n  x\n  y",
		"a: b: c", "- - - -", "label: 0x1F", "label: !!binary aGk=", "\xff\xfe", "label: a\n--- b", "label: a\npaint: red\nfrom: x",
		"&a [*a]", "label: 0b1\noffset: -0", "%YAML 1.1\n---\nlabel: a",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got shelf
		doc, err := strict.Decode("s.yaml", data, &got)
		if doc == nil {
			t.Fatal("no document")
		}
		if err != nil {
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				t.Fatalf("%T is not joined", err)
			}
			var one *strict.Error
			if errs := joined.Unwrap(); !errors.As(errs[0], &one) || one.Line < 1 {
				t.Fatalf("no line in %v", errs[0])
			}
			return
		}
		var want shelf
		if err := yaml.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted, but the library says %v", err)
		}
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		// Nothing and an empty list are the same to a caller.
		plain := strings.NewReplacer("null", "", "[]", "", "{}", "")
		if plain.Replace(string(g)) != plain.Replace(string(w)) {
			t.Fatalf("\n got %s\nwant %s", g, w)
		}
	})
}
