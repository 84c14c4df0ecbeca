package decode

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

var update = flag.Bool("update", false, "write what the shipped mappings make of their samples into testdata")

// outcome writes what a record's items became, an item a line.
func outcome(r Reader, record []byte, line int) string {
	var b strings.Builder
	events, rejects, filtered := r.Read(record, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	for len(events)+len(rejects) > 0 {
		if len(rejects) == 0 || len(events) > 0 && events[0].Item < rejects[0].Item {
			fmt.Fprintf(&b, "%d.%d event    %s\n", line, events[0].Item, show(events[0]))
			events = events[1:]
			continue
		}
		fmt.Fprintf(&b, "%d.%d %-8s %s\n        of %s\n", line, rejects[0].Item, rejects[0].Reason, rejects[0].Detail, r.Outline(rejects[0].Part, 100))
		rejects = rejects[1:]
	}
	if filtered > 0 {
		fmt.Fprintf(&b, "%d   %d left out\n", line, filtered)
	}
	return b.String()
}

// Each sample is made up after the published schema; what comes of it was read
// by a person before it was kept.
func TestTheShippedMappingsMakeOfTheirSamplesWhatIsWrittenDown(t *testing.T) {
	for _, name := range Mappings() {
		mapping, err := LoadMapping(name)
		if err != nil {
			t.Fatal(err)
		}
		sample, err := os.ReadFile("testdata/" + name + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		r := mapping.NewReader(schema.DefaultTimeLimits())
		line := 0
		for text := range strings.Lines(string(sample)) {
			line++
			b.WriteString(outcome(r, []byte(text), line))
		}
		golden := "testdata/" + name + ".want"
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != string(want) {
			t.Errorf("%s made\n%s\nexpected\n%s", name, got, want)
		}
	}
}

// The mappings in the docs are mappings.
func TestTheMappingInTheDocsReadsWhatItSays(t *testing.T) {
	page, err := os.ReadFile("../docs/mappings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\n")
	text, _, closed := strings.Cut(text, "```")
	if !found || !closed || strings.Count(string(page), "```yaml") != 1 {
		t.Fatal("docs/mappings.md has other than one mapping")
	}
	r := parse(t, text).NewReader(schema.DefaultTimeLimits())
	record := `{"kind":"api_call","at":"2018-12-18 10:30:00","client":{"name":"","id":"Tunecast"},"route":"/v2/messages/17","method":"GET",` +
		`"people":[{"id":"u1"},{"id":"u2"}],"user":{"id":"u1"},"code":200}`
	if got, want := outcome(r, []byte(record), 1), `1.0 event    time 1545125400000 id "" partner "tunecast" app "" capability "messages" read subject "u1" actor "u1" version "" grant "" status 200 records 0 bytes 0
1.1 event    time 1545125400000 id "" partner "tunecast" app "" capability "messages" read subject "u2" actor "u1" version "" grant "" status 200 records 0 bytes 0
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, name := range Mappings() {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/mappings.md does not list %s", name)
		}
	}
}
