package statement

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// hostile is a name that would do something in HTML, in Markdown and on a
// terminal.
const hostile = "<script>alert(1)</script><img src=x onerror=y>\"' | `code` **bold** [link](http://evil.example) ![i](//evil.example/i.png) www.evil.example\n# heading\x1b[2J\u202eevil & co"

// of is a statement of a partner that reads without a right, writes with one and
// never deleted; every text in it is the name.
func of(t *testing.T, name string) *Statement {
	t.Helper()
	r := &registry.Registry{
		SHA256:       strings.Repeat("ab", 32),
		Capabilities: map[string]registry.Capability{name: {Name: name}},
		Partners: map[string]registry.Partner{name: {
			Name: name, Owner: name, Purpose: name, AgreementStart: 90,
			Grants: []registry.Grant{
				{Capability: name, Actions: []schema.Action{schema.Read}, From: 90, Until: 115, Purpose: name},
				{Capability: name, Actions: []schema.Action{schema.Write, schema.Delete}, From: 90},
			},
			Limits: []registry.Limit{{Capability: name, Window: schema.WindowMonth, People: 1000}},
		}},
	}
	marker := month(0, 0, 1000, 100, 190)
	marker.Incarnation = name
	s := &Statement{
		Partner: name, From: 110, To: 119, Registry: r, RegistryOrdinal: 3, RegistryLoaded: schema.Day(200).Time(),
		Scopes: []Scope{
			{Capability: name, Action: schema.Read, Counters: schema.Counters{Accesses: 1234, Attempts: 5, FirstAccess: schema.Day(110).Second() * 1000, LastAccess: schema.Day(118).Second() * 1000},
				People: schema.Estimate{Value: 1000, Low: 984, High: 1017}, Days: 9, Outside: schema.Counters{Accesses: 34, LastAccess: schema.Day(118).Second() * 1000}, DaysOutside: 3},
			{Capability: name, Action: schema.Write, Counters: schema.Counters{Accesses: 1, FirstAccess: schema.Day(111).Second() * 1000, LastAccess: schema.Day(111).Second() * 1000}, Days: 1},
			{Capability: name, Action: schema.Delete, Counters: schema.Counters{Attempts: 2}},
		},
		Capabilities: []Capability{{Name: name, People: make([]DayOfUse, 10)}},
		Findings: []schema.Finding{{FindingKey: schema.FindingKey{Detector: "stale_access", Partner: name, Capability: name}, Severity: schema.Critical,
			State: schema.Open, Sentence: name + " still uses it.", FirstCrossing: schema.Day(116).Time()}},
		Coverage: Covers([]schema.Marker{marker}, schema.Day(190).Time(), 110, 119),
		Made:     time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC), Version: "v1",
	}
	s.Capabilities[0].People[0].People = schema.Estimate{Value: 500, Low: 500, High: 500}
	s.Capabilities[0].People[8] = DayOfUse{People: schema.Estimate{Value: 1000, Low: 984, High: 1017}, Outside: true}
	return s
}

func render(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageSaysWhatWasDoneWithoutARightAndWhatWasNeverDone(t *testing.T) {
	s := of(t, "bank")
	md, html := render(t, s.Markdown), render(t, s.HTML)
	for _, want := range []string{
		"bank may delete bank and deleted 0 times between 1970-04-21 and 1970-04-30 (2 attempts were refused); this rests on 1,000 records of 1 partition, offsets 0 to 999, of which none is missing, none was unreadable and none was rejected.",
		"34 on 3 days: the grant ended 1970-04-26",
		"from 1970-04-01 to 1970-04-26: bank",
		"bank still uses it.",
		"Made 2019-01-02 03:04 UTC by overreach v1; registry 3 of 1970-07-20, SHA-256 " + strings.Repeat("ab", 32),
		"So the zeros on this page are proof",
	} {
		if !strings.Contains(md, want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, md)
		}
		if !strings.Contains(html, want) {
			t.Errorf("the HTML lacks %q", want)
		}
	}
	if n := len(s.Zeros()); n != 1 {
		t.Errorf("%d zeros, want that of delete alone: read was used, write too", n)
	}
	if !strings.Contains(md, "| bank: read | from 1970-04-01 to 1970-04-26: bank | 1,234 | 5 | ≈1,000 (984–1,017) | 0 | 9 | 1970-04-21 00:00 | 1970-04-29 00:00 | 34 on 3 days: the grant ended 1970-04-26 |\n") {
		t.Errorf("the row of what was read differs:\n%s", md)
	}
}

func TestThePageNamesPartitionsThatTheWatermarkLeavesOut(t *testing.T) {
	s := of(t, "bank")
	const said = "The watermark leaves out k/t partition 3, whose own clock stands at 2000-01-02 00:00:00 UTC."
	if strings.Contains(render(t, s.Markdown), "The watermark leaves out") {
		t.Error("it names one though none is left out")
	}
	at := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
	s.Coverage.LeftOut = []string{schema.Standing{Partition: schema.Partition{Incarnation: "k/t", Partition: 3}, Time: at}.String()}
	for format, page := range map[string]string{"md": render(t, s.Markdown), "html": render(t, s.HTML)} {
		if !strings.Contains(page, said) {
			t.Errorf("%s lacks %q", format, said)
		}
	}
}

func TestWhatIsNotProvableIsCalledSoOnThePage(t *testing.T) {
	s := of(t, "bank")
	s.Coverage = Covers([]schema.Marker{missing(month(0, 0, 1000, 100, 190), 2)}, schema.Day(190).Time(), 110, 119)
	for format, page := range map[string]string{"md": render(t, s.Markdown), "html": render(t, s.HTML)} {
		for _, want := range []string{"deleted 0 times between 1970-04-21 and 1970-04-30 (2 attempts were refused); not provable, since 2 records are missing;",
			"So no zero on this page is proof: 2 records are missing, and whose they were is not known."} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", format, want)
			}
		}
		if strings.Contains(page, "are proof, as far") {
			t.Errorf("%s also says that zeros are proof", format)
		}
	}
}

func TestAPartnerThatNobodyRegisteredHasAPageToo(t *testing.T) {
	s := of(t, "bank")
	s.Registry, s.RegistryOrdinal = &registry.Registry{}, 0
	md := render(t, s.Markdown)
	for _, want := range []string{"The registry does not know this partner", "never granted", "34 on 3 days: not in the registry", "no registry was loaded"} {
		if !strings.Contains(md, want) {
			t.Errorf("it lacks %q:\n%s", want, md)
		}
	}
	if len(s.Zeros()) > 0 {
		t.Errorf("it says that something was allowed: %q", s.Zeros())
	}
}

func TestThePageAsksForNothingAndRunsNothing(t *testing.T) {
	page := render(t, of(t, hostile).HTML)
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	allowed := map[string]bool{}
	for _, name := range strings.Fields("html head meta title style body main header p h1 bdi time span dl div dt dd ul li b section h2 table thead tbody tr th td br small strong figure figcaption i svg path text footer") {
		allowed[name] = true
	}
	tags := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		tag, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		tags++
		if !allowed[tag.Name.Local] {
			t.Errorf("the page has a %s", tag.Name.Local)
		}
		for _, a := range tag.Attr {
			if name := strings.ToLower(a.Name.Local); name == "src" || name == "href" || strings.HasPrefix(name, "on") {
				t.Errorf("%s has %s=%q", tag.Name.Local, name, a.Value)
			}
		}
	}
	if tags < 100 {
		t.Errorf("only %d tags were looked at", tags)
	}
	style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") || strings.Contains(style, "ZgotmplZ") || len(style) < 1000 {
		t.Errorf("the style asks for something or is not there: %d bytes", len(style))
	}
	unprintable(t, page)
}

func unprintable(t *testing.T, page string) {
	t.Helper()
	if found := regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x9f\x{202a}-\x{202e}\x{2066}-\x{2069}]`).FindString(page); found != "" {
		t.Errorf("the page holds %q", found)
	}
}

func TestAHostileNameIsNoMarkup(t *testing.T) {
	page := render(t, of(t, hostile).Markdown)
	unprintable(t, page)
	ours := render(t, of(t, "bank").Markdown)
	if got, want := strings.Count(page, "\n"), strings.Count(ours, "\n"); got != want {
		t.Errorf("a hostile name makes %d lines, a plain one %d", got, want)
	}
	for _, mark := range []string{"|", "`", "*", "[", "]", "#", "!", "_", "~"} {
		bare := func(s string) int { return strings.Count(s, mark) - strings.Count(s, `\`+mark) }
		if bare(page) != bare(ours) {
			t.Errorf("a hostile name adds %d bare %s", bare(page)-bare(ours), mark)
		}
	}
	for _, never := range []string{"<", "http://", "www."} {
		if strings.Contains(page, never) {
			t.Errorf("the page holds %q", never)
		}
	}
}

func TestDaysAreDrawnApartByRightAndWhereNothingWasRead(t *testing.T) {
	s := of(t, "bank")
	s.From = 95
	s.Coverage = Covers([]schema.Marker{month(0, 0, 1000, 100, 190)}, schema.Day(190).Time(), 95, 119)
	s.Capabilities[0].People = append(make([]DayOfUse, 15), s.Capabilities[0].People...)
	c := s.charts()[0]
	for what, path := range map[string]struct {
		d    string
		bars int
	}{"with a right": {c.Right, 1}, "without": {c.Wrong, 1}, "not read": {c.Unread, 5}} {
		if got := strings.Count(path.d, "M"); got != path.bars {
			t.Errorf("%s: %d bars, want %d: %s", what, got, path.bars, path.d)
		}
	}
	if !strings.HasPrefix(c.Right, "M432.00 96v-48.00") { // half of the most, on the sixteenth of 25 days
		t.Errorf("the bar of half the most is %s", c.Right)
	}
	if c.Most != "≈1,000" {
		t.Errorf("the most is %s", c.Most)
	}
}
