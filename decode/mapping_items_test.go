package decode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// listing is a mapping of records that hold lists, in and out of envelopes.
const listing = `
envelope: cloudevents
items: log.entries[]
where: [{path: kind, none_of: [noise]}]
event:
  time: t
  partner: p
  capability: {const: c}
  action: {const: read}
  subject: {first_of: ["who[].id", "groups[].members[]", owner], strip_prefix: "user:"}
  actor: a
`

// words tells what became of a record's items, in the order of their numbers.
func words(r Reader, record string) []string {
	events, rejects, filtered := r.Read([]byte(record), believed)
	all := make([]string, len(events)+len(rejects)+filtered)
	for i := range all {
		all[i] = "left out"
	}
	for i := range events {
		all[events[i].Item] = "event of " + string(events[i].Subject)
	}
	for i := range rejects {
		all[rejects[i].Item] = string(rejects[i].Reason)
	}
	return all
}

// one is an entry of the list with more members.
func one(members string) string { return `{"t":1541427791000,"p":"x",` + members + `}` }

func TestARecordThatIsOrHoldsAListIsAnItemForEachElement(t *testing.T) {
	r := parse(t, listing).NewReader(schema.DefaultTimeLimits())
	f := func(record string, want ...string) {
		t.Helper()
		if got := words(r, record); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", record, got, want)
		}
	}
	a, b, noise, bad := one(`"owner":"a"`), one(`"owner":"b"`), `{"kind":"noise"}`, `{"owner":"c"}`
	f(a, "event of a")
	f(noise, "left out")
	f(bad, "missing_member")
	f("[]")
	f(" [ "+a+" , "+noise+" , "+bad+" , "+b+" ] ", "event of a", "left out", "missing_member", "event of b")
	f(`{"log":{"entries":[`+b+","+noise+","+a+`]}}`, "event of b", "left out", "event of a")
	f(`{"log":{"entries":[]}}`)
	f(`{"log":{"entries":null},`+b[1:], "event of b")
	f(`[{"log":{"entries":[`+a+`]}},`+b+`]`, "event of a", "event of b")
	f(`["x",`+a+`,[`+b+`],null,1]`, "not_object", "event of a", "not_object", "not_object", "not_object")
	f(`{"log":{"entries":{}}}`, "wrong_type")
	f(`{"log":{"entries":[[],`+a+`]}}`, "not_object", "event of a")
	f(`{"log":{"entries":[{"t":1,"t":2},`+a+`]}}`, "duplicate_member", "event of a")
	f(`{"log":{"entries":[],"entries":[]}}`, "duplicate_member")

	// What is no JSON, or too much, is one reject, whatever was read before it.
	f("["+a+",", "not_json")
	f("["+a+"]]", "not_json")
	f("["+a+",\"\xff\"]", "invalid_utf8")
	f("["+a+` "x"]`, "not_json")
	f("", "not_json")
	f(`"x"`, "not_object")
	f("["+strings.Repeat("{},", MaxItems)+"{}]", "too_large")
	f("["+strings.Repeat(" ", schema.MaxRecord)+"]", "too_large")
	if got := words(r, "["+strings.Repeat(noise+",", MaxItems-1)+a+"]"); len(got) != MaxItems || got[MaxItems-1] != "event of a" {
		t.Errorf("of %d items: %d", MaxItems, len(got))
	}
	f(a, "event of a") // nothing is left of all that
}

func TestAListOfSubjectsIsAnEventForEachOnce(t *testing.T) {
	r := parse(t, listing).NewReader(schema.DefaultTimeLimits())
	f := func(members string, want ...string) {
		t.Helper()
		if got := words(r, one(members)); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", members, got, want)
		}
	}
	f(`"who":[{"id":"a"},{"id":"b"},{"id":"a"},{"id":"user:a"},{"id":7}]`, "event of a", "event of b", "event of 7")
	f(`"who":[{"id":"a"},{},{"id":null},{"id":""},null]`, "event of a")
	f(`"who":[{"id":"a"},{"id":["b"]},{"id":{}},"c",{"id":"d","id":"e"},{"id":1.5},{"id":"f"}]`,
		"event of a", "wrong_type", "wrong_type", "wrong_type", "duplicate_member", "wrong_type", "event of f")
	f(`"who":[{"id":"`+strings.Repeat("x", MaxID+1)+`"},{"id":"a"}]`, "too_long", "event of a")
	f(`"groups":[{"members":["a","b"]},{"members":[]},{},{"members":["c","a"]},{"members":"d"}]`, "event of a", "event of b", "event of c", "wrong_type")
	f(`"who":[],"owner":"o"`, "event of o")
	f(`"who":null,"groups":[{}],"owner":"o"`, "event of o")
	f(`"who":{"id":"a"},"owner":"o"`, "wrong_type")
	f(`"who":"","owner":"o"`, "event of o")
	f(`"who":"a","owner":"o"`, "wrong_type")
	f(`"who":[{"id":"a"}],"owner":"o"`, "event of a")
	f(`"who":[]`, "missing_member")
	f(`"owner":["a"]`, "wrong_type")

	many := "[" + strings.Repeat(`{"id":"a"},`, MaxItems-1) + `{"id":"b"}]`
	f(`"who":`+many, "event of a", "event of b") // twice is no item
	var b strings.Builder
	for i := range MaxItems + 1 {
		fmt.Fprintf(&b, `{"id":%d},`, i)
	}
	f(`"who":[`+b.String()+`{}]`, "too_large")
}

func TestARejectHasThePartOfTheRecordThatItIsAbout(t *testing.T) {
	r := parse(t, listing).NewReader(schema.DefaultTimeLimits())
	record := `[ {"owner":"x"} , 7, ` + one(`"who":[{"id":"a"},{"id":["b"]}]`) + `]`
	_, rejects, _ := r.Read([]byte(record), believed)
	var parts []string
	for _, why := range rejects {
		parts = append(parts, string(why.Part))
	}
	if want := []string{`{"owner":"x"}`, "7", `["b"]`}; !slices.Equal(parts, want) {
		t.Errorf("parts %q, want %q", parts, want)
	}
	if _, rejects, _ := r.Read([]byte("[1"), believed); string(rejects[0].Part) != "[1" {
		t.Errorf("part %q of a record that is no JSON", rejects[0].Part)
	}
}

func TestACloudEventIsReadAsWhatItWraps(t *testing.T) {
	m := parse(t, listing)
	r := m.NewReader(schema.DefaultTimeLimits())
	wrap := func(data string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"t","data":` + data + `}`
	}
	pack := func(data string) string {
		return `{"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","specversion":"1.0"}`
	}
	f := func(record string, want ...string) {
		t.Helper()
		if got := words(r, record); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", record, got, want)
		}
	}
	a, b, noise := one(`"owner":"a"`), one(`"owner":"b"`), `{"kind":"noise"}`
	for _, in := range []func(string) string{wrap, pack} {
		f(in(a), "event of a")
		f(in(noise), "left out")
		f(in("["+a+","+noise+","+b+"]"), "event of a", "left out", "event of b")
		f(in(`{"log":{"entries":[`+b+`]}}`), "event of b")
		f("["+in(a)+","+in("["+b+","+noise+"]")+","+a+"]", "event of a", "event of b", "left out", "event of a")
		f(in(in(a)), "missing_member") // one envelope is opened
	}
	f(wrap(`"x"`), "wrong_type")
	f(wrap("null"), "missing_member")
	f(`{"specversion":"1.0"}`, "missing_member")
	f(`{"specversion":1,`+a[1:], "event of a")
	f(`{"specversion":"1.0","data_base64":"?"}`, "mapping")
	f(`{"specversion":"1.0","data_base64":7}`, "missing_member")
	// What is wrong inside of base64 is wrong with that item alone.
	f("["+pack(a)+","+pack("["+b+",")+","+pack("")+","+pack("7")+","+b+"]", "event of a", "not_json", "not_json", "not_object", "event of b")

	// Texts that had to be unquoted or unpacked stay what they are.
	events, _, _ := r.Read([]byte("["+pack(one(`"owner":"\u0061\n"`))+","+pack(one(`"who":[{"id":"\u0062"},{"id":"\u0063"}]`))+"]"), believed)
	var got []string
	for i := range events {
		got = append(got, string(events[i].Subject)+string(events[i].Partner))
	}
	if want := []string{"a\nx", "bx", "cx"}; !slices.Equal(got, want) {
		t.Errorf("subjects %q, want %q", got, want)
	}

	plain := parse(t, strings.Replace(listing, "envelope: cloudevents", "", 1)).NewReader(schema.DefaultTimeLimits())
	if got := words(plain, wrap(a)); !slices.Equal(got, []string{"missing_member"}) {
		t.Errorf("without an envelope in the mapping: %q", got)
	}
}

func TestEachConditionTellsWhatItLeftOut(t *testing.T) {
	r := parse(t, "where: [{path: a, equals: x}, {first_of: [b, c], one_of: [y, z]}]\n"+head+"  subject: s").NewReader(schema.DefaultTimeLimits())
	for _, record := range []string{`[{"a":"q"},{"a":"x"},{"a":"x","b":"","c":"z","t":1541427791000,"s":"s"}]`, `{}`, `[{"a":"q"},`, `{"a":"x","c":["y"]}`} {
		r.Read([]byte(record), believed)
	}
	want := []LeftOut{{`a equals "x"`, 2}, {"first of b and c one_of [y, z]", 2}}
	if got := r.LeftOut(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (JSON{}).NewReader(schema.DefaultTimeLimits()).LeftOut(); got != nil {
		t.Errorf("without a mapping: %v", got)
	}
}

// A file of CloudTrail gives the same events in whichever way it comes, and the
// subjects are what encoding/json finds.
func TestRealCloudTrailFilesGiveTheSameEventsHoweverTheyAreWrapped(t *testing.T) {
	files, err := filepath.Glob("../../shared/data/cloudtrail/*.json")
	if err != nil || len(files) == 0 {
		t.Skipf("SKIPPED: ../../shared/data/cloudtrail is not beside the checkout: %v", errors.Join(err, fs.ErrNotExist))
	}
	mapping, err := LoadMapping("cloudtrail")
	if err != nil {
		t.Fatal(err)
	}
	r := mapping.NewReader(schema.DefaultTimeLimits())
	read := func(record []byte) (all []string) {
		events, rejects, filtered := r.Read(record, time.Now().UnixMilli())
		if len(rejects)+filtered > 0 {
			t.Fatalf("%v, %d left out", rejects, filtered)
		}
		for i := range events {
			all = append(all, show(events[i]))
		}
		return all
	}
	total := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var raw []json.RawMessage
		var events []struct {
			RecipientAccountID string
			Resources          []struct{ AccountID string }
		}
		if err := errors.Join(json.Unmarshal(data, &raw), json.Unmarshal(data, &events)); err != nil {
			t.Fatal(err)
		}
		var alone []string
		for i, element := range raw {
			got := read(element)
			subjects := []string{events[i].RecipientAccountID}
			for j, of := range events[i].Resources {
				if j == 0 {
					subjects = nil
				}
				if !slices.Contains(subjects, of.AccountID) {
					subjects = append(subjects, of.AccountID)
				}
			}
			if len(got) != len(subjects) {
				t.Fatalf("%s: %d events for the accounts %v", file, len(got), subjects)
			}
			for j, s := range subjects {
				if !strings.Contains(got[j], fmt.Sprintf("subject %q", s)) {
					t.Errorf("%s: %s is not of %s", file, got[j], s)
				}
			}
			alone = append(alone, got...)
		}
		total += len(alone)
		for what, record := range map[string]string{
			"a list":       string(data),
			"Records":      `{"Records":` + string(data) + `}`,
			"a CloudEvent": `{"specversion":"1.0","data":{"Records":` + string(data) + `}}`,
			"base64":       `{"specversion":"1.0","data_base64":"` + base64.StdEncoding.EncodeToString(data) + `"}`,
		} {
			if got := read([]byte(record)); !slices.Equal(got, alone) {
				t.Errorf("%s as %s gives %d events, alone they are %d", file, what, len(got), len(alone))
			}
		}
	}
	if total < 300 {
		t.Errorf("%d events are too few to show anything", total)
	}
}
