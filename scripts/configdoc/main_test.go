package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestThePageSaysWhatTheProgramDoes(t *testing.T) {
	src, err := os.ReadFile("../../" + source)
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run `go run ./scripts/configdoc`", page)
	}
}

func TestEachSettingIsARowWithKindDefaultAndMeaning(t *testing.T) {
	_, err := generate([]byte(`package main

// Config is all.
type Config struct {
	// How
	// long | short.
	Wait Duration ` + "`yaml:\"wait\" default:\"5m\"`" + `
	Items []ItemConfig ` + "`yaml:\"items\"`" + ` // no doc comment
}

// ItemConfig is one item.
type ItemConfig struct {
	// Its name.
	Name string ` + "`yaml:\"name\" required:\"true\"`" + `
	hidden int
}
`))
	if err == nil || !strings.Contains(err.Error(), "items has no comment") {
		t.Errorf("a setting without a comment passes: %v", err)
	}
	page, err := generate([]byte(`package main

// Config is all.
type Config struct {
	// How
	// long | short.
	Wait Duration ` + "`yaml:\"wait\" default:\"5m\"`" + `
	// Some items.
	Items []ItemConfig ` + "`yaml:\"items\"`" + `
}

// ItemConfig is one item.
type ItemConfig struct {
	// Its name.
	Name string ` + "`yaml:\"name\" required:\"true\"`" + `
	hidden int
}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := "| `wait` | duration | `5m` | How long \\| short. |\n" +
		"| `items` | list, see below |  | Some items. |\n" +
		"\n## items[]\n\nOne item.\n\n| setting | kind | default | meaning |\n|---|---|---|---|\n" +
		"| `items[].name` | text |  | Its name. Required. |\n"
	if !strings.HasSuffix(string(page), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", page, want)
	}
}
