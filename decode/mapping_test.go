package decode

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func parse(t *testing.T, text string) *Mapping {
	t.Helper()
	m, err := ParseMapping("m.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return m
}

// head is a mapping that lacks its subject alone.
const head = "event:\n  time: t\n  partner: {const: p}\n  capability: {const: c}\n  action: {const: read}\n"

// believed is a time at which the tests' times are believed.
const believed = 1541427791000

// mapOne maps a record of one item.
func mapOne(t *testing.T, m *Mapping, record string) (e *schema.Event, keep bool, why *schema.Reject) {
	t.Helper()
	events, rejects, filtered := m.NewReader(schema.DefaultTimeLimits()).Read([]byte(record), believed)
	if len(events)+len(rejects)+filtered != 1 {
		t.Fatalf("%s: %d events, %d rejects, %d filtered", record, len(events), len(rejects), filtered)
	}
	for i := range rejects {
		why = &rejects[i].Reject
	}
	for i := range events {
		e = &events[i]
	}
	return e, filtered == 0, why
}

// mapSubject maps one record by the rule for its subject.
func mapSubject(t *testing.T, rule, record string) (*schema.Event, *schema.Reject) {
	t.Helper()
	e, keep, why := mapOne(t, parse(t, head+"  subject: "+rule), record)
	if why == nil && !keep {
		t.Fatal("left out")
	}
	return e, why
}

func TestAFieldIsWhatItsStepsMakeOfThePath(t *testing.T) {
	f := func(rule, value, want string) {
		t.Helper()
		e, why := mapSubject(t, rule, `{"t":1541427791000,"a":{"b":`+value+`,"c.d":"dots"},"e":"f"}`)
		if why != nil {
			t.Errorf("%s of %s: %s: %s", rule, value, why.Reason, why.Detail)
		} else if string(e.Subject) != want {
			t.Errorf("%s of %s: got %q, want %q", rule, value, e.Subject, want)
		}
	}
	f("a.b", `"x"`, "x")
	f("e", `"x"`, "f")
	f(`a."c.d"`, `"x"`, "dots")
	f(`{path: 'a."c\u002ed"'}`, `"x"`, "dots")
	f("a.b", `"\u00e9\n"`, "é\n")
	f("a.b", `12345678901234567890`, "12345678901234567890")
	f("a.b", `true`, "true")
	f(`{const: fixed}`, `"x"`, "fixed")
	f(`{path: a.b, lower: true}`, `"ÀB"`, "àb")
	f(`{path: a.b, strip_suffix: "[bot]"}`, `"x[bot]"`, "x")
	f(`{path: a.b, strip_suffix: "[bot]"}`, `"x"`, "x")
	f(`{path: a.b, strip_prefix: "app:"}`, `"app:x"`, "x")
	f(`{path: a.b, before: "/"}`, `"x/y/z"`, "x")
	f(`{path: a.b, after: "/"}`, `"x/y/z"`, "y/z")
	f(`{path: a.b, before: "/", after: ":", lower: true}`, `"urn:X/y"`, "x")
	f(`{path: a.b, strip_prefix: "a-", table: {x: one, y: two}}`, `"a-y"`, "two")
	f(`{path: a.b, table: {x: one}, default: other}`, `"z"`, "other")
	f(`{path: a.b, table: {"404": one, "true": two}}`, `404`, "one")
	f(`{path: a.b, table: {"404": one, "true": two}}`, `true`, "two")
	f(`{path: a.b, default: other}`, `null`, "other")
	f(`{path: a.b.c, default: other}`, `"x"`, "other")
	f(`{path: q, default: other}`, `"x"`, "other")
	f(`{path: a.b, after: "/", default: other}`, `""`, "other")
	f(`{path: a.b, table: {"": nobody, x: one}}`, `""`, "nobody")
	f(`{first_of: [{path: a.b, pattern: x, value: y}, t]}`, `""`, "1541427791000")
}

func TestARecordThatTheMappingDoesNotFitIsARejectThatNamesThePath(t *testing.T) {
	f := func(rule, value string, reason schema.Reason, detail string) {
		t.Helper()
		_, why := mapSubject(t, rule, `{"t":1541427791000,"a":{"b":`+value+`}}`)
		switch {
		case why == nil:
			t.Errorf("%s of %s: mapped", rule, value)
		case why.Reason != reason || !strings.Contains(why.Detail, detail) || strings.Contains(why.Detail, secret):
			t.Errorf("%s of %s: got %s: %s", rule, value, why.Reason, why.Detail)
		}
	}
	quoted := `"` + secret + `"`
	f("q.r", quoted, schema.MissingMember, "subject has no value: q.r is absent")
	f("a.b.c", quoted, schema.WrongType, "subject has no value: a.b is a string, expected an object")
	f("a", quoted, schema.WrongType, "a, which subject is mapped from, is an object")
	f("a.b", "["+quoted+"]", schema.WrongType, "a.b, which subject is mapped from, is an array")
	f("a.b", "null", schema.MissingMember, "subject has no value: a.b is null")
	f("a.b", `""`, schema.MissingMember, "subject has no value: a.b is empty")
	f(`{path: a.b, before: "/"}`, `""`, schema.MissingMember, "a.b is empty")
	f(`{path: a.b, table: {x: y}}`, `""`, schema.MissingMember, "a.b is empty")
	f(`{first_of: [q.r, a.b]}`, `""`, schema.MissingMember, "subject has no value: q.r is absent, a.b is empty; ")
	f(`{first_of: [q.r, {path: a.b, table: {x: y}}]}`, quoted, schema.BadMapping, "subject has no value: q.r is absent, a.b has a value that the table does not name; ")
	f(`{first_of: [{path: a.b, pattern: "^([0-9])$"}, {path: a.b, when: {path: q, equals: x}}]}`, quoted, schema.BadMapping,
		"a.b is not what the pattern expects, a.b does not count here, for its condition does not hold; ")
	f(`{first_of: [q.r, a.b.c]}`, quoted, schema.WrongType, "q.r is absent, a.b is a string, expected an object")
	f("a.b", "1.5", schema.WrongType, "(mapped from a.b)")
	f(`{path: a.b, before: "/"}`, quoted, schema.BadMapping, `a.b, which subject is mapped from, has no "/"`)
	f(`{path: a.b, after: "/"}`, quoted, schema.BadMapping, `has no "/"`)
	f(`{path: a.b, before: "/"}`, `"/x"`, schema.MissingMember, "has nothing left after the steps")
	f(`{path: a.b, table: {x: y}}`, quoted, schema.BadMapping, "a value that the table does not name")
	f("a.b", `"`+strings.Repeat("x", MaxID+1)+`"`, schema.TooLong, "subject has 1025 bytes")
	f("a.b", `"x","b":"y"`, schema.DuplicateMember, "a.b, which the mapping reads, is there twice")
	f("a.b", `"x"},"a":{"b":"y"`, schema.DuplicateMember, "a, which the mapping reads, is there twice")
	f("a.b", `"x`, schema.NotJSON, "")
	f("a.b", `"x","z":[1,]`, schema.NotJSON, "")
	f("a.b", `"\ud800"`, schema.InvalidUTF8, "")
}

func TestTimesCountsAndStatusAreMappedToo(t *testing.T) {
	m := parse(t, `
event:
  time: {path: when, strip_prefix: "at "}
  partner: {const: p}
  capability: {const: c}
  action: {path: verb, lower: true, table: {get: read, put: write}}
  subject: who
  status: {path: error, table: {AccessDenied: "403"}, default: "200"}
  records: n
  bytes: size
  id: id
  app: app
  actor: actor
  api_version: v
  grant: g
`)
	f := func(record string, reason schema.Reason, want schema.Event) {
		t.Helper()
		e, keep, why := mapOne(t, m, record)
		switch {
		case why != nil && why.Reason == reason:
		case why != nil || !keep:
			t.Errorf("%s: %v %+v, want %q", record, keep, why, reason)
		case reason != "" || !reflect.DeepEqual(*e, want):
			t.Errorf("%s:\n got %s\nwant %s %q", record, show(*e), show(want), reason)
		}
	}
	b := func(s string) []byte { return []byte(s) }
	want := schema.Event{Time: 1541427791000, Partner: b("p"), Capability: b("c"), Subject: b("7"), Action: schema.Write, Status: 200}
	f(`{"when":"at 2018-11-05T14:23:11Z","verb":"PUT","who":7}`, "", want)
	f(`{"when":1541427791000,"verb":"put","who":"7","error":null}`, "", want)
	want.Status, want.Records, want.Bytes, want.ID, want.App = 403, 12, 5, b("9"), b("a")
	want.Actor, want.APIVersion, want.Grant = b("u"), b("2"), b("g")
	f(`{"when":1541427791000,"verb":"Put","who":"7","error":"AccessDenied","n":"12","size":5,"id":9,"app":"a","actor":"u","v":2,"g":"g"}`, "", want)
	f(`{"when":1541427791,"verb":"put","who":"7"}`, schema.BadTime, schema.Event{})
	f(`{"when":"1541427791000","verb":"put","who":"7"}`, schema.BadTime, schema.Event{})
	f(`{"when":true,"verb":"put","who":"7"}`, schema.BadTime, schema.Event{})
	f(`{"when":1541427791000,"verb":"put","who":"7","n":-1}`, schema.OutOfRange, schema.Event{})
	f(`{"when":1541427791000,"verb":"put","who":"7","n":"many"}`, schema.WrongType, schema.Event{})
	f(`{"when":1541427791000,"verb":"put","who":"7","n":true}`, schema.WrongType, schema.Event{})
	f(`{"when":1541427791000,"verb":"head","who":"7"}`, schema.BadMapping, schema.Event{})
}

func TestTheFilterKeepsRecordsForWhichAllHolds(t *testing.T) {
	f := func(where, value string, want bool) {
		t.Helper()
		m := parse(t, "where: "+where+"\n"+head+"  subject: {const: s}")
		_, keep, why := mapOne(t, m, `{"t":1541427791000,"a":{"b":`+value+`}}`)
		if why != nil || keep != want {
			t.Errorf("%s of %s: got %v %+v, want %v", where, value, keep, why, want)
		}
	}
	f(`[]`, `"x"`, true)
	f(`[{path: a.b, equals: x}]`, `"x"`, true)
	f(`[{path: a.b, equals: x}]`, `"X"`, false)
	f(`[{path: a.b, equals: ""}]`, `""`, true)
	f(`[{path: a.b, equals: "1"}]`, `1`, true)
	f(`[{path: a.b, equals: "true"}]`, `true`, true)
	f(`[{path: a.b, one_of: [x, y]}]`, `"y"`, true)
	f(`[{path: a.b, one_of: [x, y]}]`, `"z"`, false)
	f(`[{path: a.b, has_prefix: x}]`, `"xy"`, true)
	f(`[{path: a.b, has_prefix: y}]`, `"xy"`, false)
	f(`[{path: a.b, has_suffix: "[bot]"}]`, `"x[bot]"`, true)
	f(`[{path: a.b, has_suffix: "[bot]"}]`, `"x"`, false)
	f(`[{path: a.b, has_suffix: "]"}]`, `["x"]`, false)
	f(`[{path: q, has_suffix: ""}]`, `"x"`, false)
	f(`[{path: a.b, present: true}]`, `{}`, true)
	f(`[{path: a, present: true}]`, `1`, true)
	f(`[{path: a.b, present: true}]`, `null`, false)
	f(`[{path: a.b, present: false}]`, `null`, true)
	f(`[{path: a.b, present: true}]`, `""`, false)
	f(`[{path: a.b, present: false}]`, `""`, true)
	f(`[{first_of: [a.c, a.b], present: true}]`, `""`, false)
	f(`[{path: a.b, equals: ""}]`, `""`, true)
	f(`[{path: a.c, present: false}]`, `1`, true)
	f(`[{path: a.b, has_prefix: x}, {path: a.b, has_suffix: y}]`, `"xy"`, true)
	f(`[{path: a.b, has_prefix: x}, {path: a.b, has_suffix: z}]`, `"xy"`, false)
}

func TestAnErrorInAMappingNamesFileLineAndWhatWasExpected(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseMapping("m.yaml", []byte(text))
		if err == nil {
			t.Fatalf("accepted:\n%s", text)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	subject := head + "  subject: "
	f("", `m.yaml:1: field "event" is missing`)
	f(head, `m.yaml:1: field "subject" is missing`)
	f(subject+"s\n  colour: x", `m.yaml:7: unknown field "colour"`)
	f(subject+"{path: s, stripsuffix: x}", `m.yaml:6: unknown field "stripsuffix": did you mean "strip_suffix"?`)
	f(subject+"{lower: true}", "m.yaml:6: subject has neither path nor const")
	f(subject+"\n  app: a", "m.yaml:6: subject has neither path nor const")
	f(subject+"{path: s, const: x}", "m.yaml:6: subject has a path and a const")
	f(subject+"{const: x, lower: true}", "m.yaml:6: subject has a const and steps")
	f(subject+`{const: ""}`, "m.yaml:6: const: the value is empty")
	f(subject+"[a]", "m.yaml:6: found a list")
	f(subject+"a..b", "m.yaml:6: expected names joined by dots")
	f(subject+"a.b[0]", "m.yaml:6: expected names joined by dots")
	f(subject+`'a."b'`, "m.yaml:6: expected names joined by dots")
	f(subject+`'"a"b'`, "m.yaml:6: expected names joined by dots")
	f(subject+`""`, "m.yaml:6: expected names joined by dots")
	f(subject+"{path: s, table: {}}", "m.yaml:6: table is empty")
	f(subject+"\n    path: s\n    lower: true\n    table:\n      a: x\n      B: y", `m.yaml:11: table: "B" has upper case`)
	f(strings.Replace(subject, "{const: read}", "{path: x, table: {a: read, b: raed}}", 1)+"s", "m.yaml:5: table: action is a string of 4 bytes that is none of read, write, delete")
	f(strings.Replace(subject, "{const: read}", "{path: x, default: none}", 1)+"s", "m.yaml:5: default: action")
	f(subject+"s\n  status: {path: x, table: {a: \"2e2\"}}", "m.yaml:7: table: status is a number with a fraction")
	f(subject+"s\n  status: {const: ok}", "m.yaml:7: const: status is a string")
	f("where:\n  - path: a\n"+head+"  subject: s", "m.yaml:2: the condition on a has 0 of equals")
	f("where:\n  - {path: a, equals: x, present: true}\n"+head+"  subject: s", "m.yaml:2: the condition on a has 2 of equals")
	f("where:\n  - {equals: x}\n"+head+"  subject: s", `m.yaml:2: field "path" is missing`)
	f("where: [\n", "m.yaml:")
}

func TestAFingerprintFollowsWhatTheMappingDoes(t *testing.T) {
	a := parse(t, head+"  subject: {path: s, table: {a: x, b: y}}").Fingerprint()
	same := parse(t, "# a comment\n"+head+"  subject:\n    table:\n      b: y # another\n      a: x\n    path: s").Fingerprint()
	other := parse(t, head+"  subject: {path: s, table: {a: x, b: z}}").Fingerprint()
	if a != same || a == other || len(a) != 64 {
		t.Errorf("%s, %s, %s", a, same, other)
	}
	if parse(t, head+"  subject: s").Fingerprint() != parse(t, head+"  subject: {path: s}").Fingerprint() {
		t.Error("the short form of a path is not the long one")
	}
}

func TestAMappingIsFoundByNameOrPath(t *testing.T) {
	if !slices.Contains(Mappings(), "github") {
		t.Errorf("mappings: %v", Mappings())
	}
	for _, name := range Mappings() {
		byName, err := LoadMapping(name)
		if err != nil {
			t.Fatal(err)
		}
		byPath, err := LoadMapping("mappings/" + name + ".yaml")
		if err != nil || byPath.Fingerprint() != byName.Fingerprint() {
			t.Error(name, err)
		}
	}
	if _, err := LoadMapping("gihtub"); err == nil || !strings.Contains(err.Error(), "neither a file nor one that comes with the program: expected a path, or one of") {
		t.Error(err)
	}
	if _, err := LoadMapping("testdata"); err == nil || !strings.Contains(err.Error(), "reading the mapping") {
		t.Error(err)
	}
}

// tally is who touched whose data and how: accesses by partner, owner,
// capability and action.
type tally map[[4]string]int

// readGitHub reads a file through the mapping.
func readGitHub(t *testing.T, file string) (counts tally, filtered int, last schema.Event) {
	t.Helper()
	mapping, err := LoadMapping("github")
	if err != nil {
		t.Fatal(err)
	}
	counts = tally{}
	r := mapping.NewReader(schema.DefaultTimeLimits())
	eachLine(t, file, func(line []byte) {
		events, rejects, left := r.Read(line, time.Now().UnixMilli())
		for _, reject := range rejects {
			t.Errorf("%s: %s\n%s", reject.Reason, reject.Detail, line)
		}
		filtered += left
		for i := range events {
			e := &events[i]
			counts[[4]string{string(e.Partner), string(e.Subject), string(e.Capability), e.Action.String()}]++
			last = *e
		}
	})
	return counts, filtered, last
}

func eachLine(t *testing.T, file string, f func(line []byte)) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // only read from
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, schema.MaxRecord)
	for lines.Scan() {
		f(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestTheGitHubMappingReadsASample(t *testing.T) {
	got, filtered, last := readGitHub(t, "testdata/github.ndjson")
	want := tally{
		{"tidy-up", "northwind", "code", "write"}:          2,
		{"tidy-up", "northwind", "code", "delete"}:         1,
		{"tidy-up", "adventure", "pull_requests", "write"}: 1,
		{"Star-Keeper", "northwind", "stars", "write"}:     1,
		{"Star-Keeper", "contoso.dev", "issues", "write"}:  1,
	}
	if !maps.Equal(got, want) || filtered != 2 {
		t.Errorf("%d filtered\n got %v\nwant %v", filtered, got, want)
	}
	if string(last.ID) != "9000000008" || last.Time != time.Date(2021, 7, 21, 6, 4, 1, 0, time.UTC).UnixMilli() || len(last.Actor) != 0 {
		t.Errorf("last %s", show(last))
	}
}

// The expected counts are made from the file by encoding/json and a switch of
// its own, without the mapping.
func TestTheGitHubMappingCountsRealEventsExactly(t *testing.T) {
	const file = "../../shared/data/github-events.ndjson"
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED: %s is not beside the checkout: the real events of GitHub were not counted", file)
	}
	want := tally{}
	all, bots := 0, 0
	eachLine(t, file, func(line []byte) {
		var e struct {
			Type  string
			Actor struct{ Login string }
			Repo  struct{ Name string }
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all++
		n := len(e.Actor.Login)
		if n < 5 || e.Actor.Login[n-5:] != "[bot]" {
			return
		}
		bots++
		capability, action := "", "write"
		switch e.Type {
		case "PushEvent", "CreateEvent", "CommitCommentEvent":
			capability = "code"
		case "DeleteEvent":
			capability, action = "code", "delete"
		case "PullRequestEvent":
			capability = "pull_requests"
		case "IssueCommentEvent":
			capability = "issues"
		case "ReleaseEvent":
			capability = "releases"
		default:
			t.Fatalf("an app made a %s, which this test does not know", e.Type)
		}
		owner := e.Repo.Name[:strings.IndexByte(e.Repo.Name, '/')]
		want[[4]string{e.Actor.Login[:n-5], owner, capability, action}]++
	})
	got, filtered, _ := readGitHub(t, file)
	if bots == 0 || filtered != all-bots || !maps.Equal(got, want) {
		t.Errorf("%d events, %d of apps, %d filtered\n got %v\nwant %v", all, bots, filtered, got, want)
	}
}

func TestReadingWhatIsUsualAllocatesNothing(t *testing.T) {
	github, err := LoadMapping("github")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile("testdata/github.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	mapped, _, _ := strings.Cut(string(sample), "\n")
	f := func(what string, m Encoding, text string) {
		t.Helper()
		r, record := m.NewReader(schema.DefaultTimeLimits()), []byte(text)
		allocations := testing.AllocsPerRun(1000, func() {
			if events, _, _ := r.Read(record, 1e15); len(events) == 0 {
				t.Fatal("no event")
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %v allocations a record", what, allocations)
		}
	}
	f("a plain event", JSON{}, usual)
	f("a mapped event", github, mapped)
	f("a list of mapped events", github, "["+mapped+","+mapped+"]")
	f("several subjects", parse(t, head+"  subject: 'a[].b'"), `{"t":1541427791000,"a":[{"b":"x"}]}`)
}

// No mapping and no record, however odd, makes either panic; each item of the
// record is an event like any other, a reject or left out, and is numbered.
func FuzzMapping(f *testing.F) {
	for _, name := range Mappings() {
		mapping, err := mappings.ReadFile("mappings/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		sample, err := os.ReadFile("testdata/" + name + ".ndjson")
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(sample)) {
			f.Add(string(mapping), line)
		}
	}
	f.Add(head+"  subject: {path: a.b, after: x, before: y, lower: true, default: z}", `{"t":1541427791000,"a":{"b":"XxAy"},"a":1}`)
	f.Add("where: [{path: '\"\\u0061\".b', present: false}]\n"+head+"  subject: a\n  records: a.b", `{"t":"2018-11-05T14:23:11Z","a":[],"\u0061":{"b":1}}`)
	f.Add(listing, `[{"log":{"entries":[{"t":1541427791000,"p":"x","who":[{"id":"a"},{"id":["b"]}]},{"kind":"noise"},1]}}]`)
	f.Add(listing, `{"specversion":"1.0","data_base64":"W3sidCI6MTU0MTQyNzc5MTAwMCwicCI6IngiLCJvd25lciI6ImEifSx7XQ=="}`)
	f.Add(strings.Replace(head, "time: t", "time: {path: t, format: '%b %e %Y %I:%M:%S %p', zone: Europe/Berlin}", 1)+"  subject: {path: a, pattern: '(?P<x>.)(?P<y>.)?', value: '${y}-${x}'}",
		`{"t":"Oct 31 2021 02:30:00 AM","a":"xy"}`)
	f.Fuzz(func(t *testing.T, text, record string) {
		m, err := ParseMapping("m.yaml", []byte(text))
		if err != nil {
			return
		}
		r := m.NewReader(schema.DefaultTimeLimits())
		events, rejects, filtered := r.Read([]byte(record), believed)
		items := uint32(len(events) + len(rejects) + filtered) //nolint:gosec // a count
		seen := map[uint32]bool{}
		number := func(item uint32) {
			if item >= items || seen[item] {
				t.Fatalf("item %d of %d: another has its number, or none", item, items)
			}
			seen[item] = true
		}
		for i := range events {
			checkEvent(t, &events[i])
			number(events[i].Item)
		}
		parts := 0
		for i := range rejects {
			number(rejects[i].Item)
			parts += len(rejects[i].Part)
			if rejects[i].Reason == "" || rejects[i].Detail == "" {
				t.Fatalf("%+v", rejects[i])
			}
		}
		if parts > len(record) {
			t.Fatalf("the rejects' parts have %d bytes, the record %d", parts, len(record))
		}
		leftOut := 0
		for _, l := range r.LeftOut() {
			leftOut += l.Items
		}
		if leftOut != filtered {
			t.Fatalf("the conditions left out %d of %d", leftOut, filtered)
		}
		again := fmt.Sprint(len(events), rejects, filtered)
		events, rejects, filtered = r.Read([]byte(record), believed)
		if got := fmt.Sprint(len(events), rejects, filtered); got != again {
			t.Fatalf("read again it is\n%s\nand was\n%s", got, again)
		}
	})
}
