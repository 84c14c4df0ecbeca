package decode

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestATimeIsBelievedBetweenItsLimits(t *testing.T) {
	now := time.Date(2018, 12, 18, 9, 0, 0, 0, time.UTC).UnixMilli()
	limits := schema.DefaultTimeLimits()
	hour := time.Hour.Milliseconds()
	f := func(eventMs, recordMs int64, reason schema.Reason, detail string) {
		t.Helper()
		r := limits.Check(eventMs, recordMs)
		if r == nil {
			r = &schema.Reject{}
		}
		if r.Reason != reason || !strings.Contains(r.Detail, detail) {
			t.Errorf("%d at %d: got %s %q, want %s …%s…", eventMs, recordMs, r.Reason, r.Detail, reason, detail)
		}
	}
	f(now, now, "", "")
	f(limits.Min, now, "", "")
	f(now+hour, now, "", "")
	f(limits.Min-1, now, schema.TimeTooEarly, "on 1999-12-31, before min_time 2000-01-01T00:00:00Z")
	f(-62135596800000, now, schema.TimeTooEarly, "on 0001-01-01")
	f(math.MinInt64, now, schema.TimeTooEarly, "before the year 0")
	f(now+hour+1, now, schema.TimeTooLate, "more than max_future (1h0m0s) after the record's own Kafka time on 2018-12-18")
	f(4102444800000, now, schema.TimeTooLate, "on 2100-01-01")
	f(math.MaxInt64, math.MinInt64, schema.TimeTooLate, "after the year 9999")
	f(math.MaxInt64, math.MaxInt64, "", "")
	f(now, math.MaxInt64, "", "")
	f(now, -1, schema.TimeTooLate, "on 1969-12-31")
}

func TestAnOutlineHasNamesAndTypesAndNoValues(t *testing.T) {
	var paths strings.Builder
	for _, name := range strings.Split("abcdefghijm", "") {
		paths.WriteString(", " + name)
	}
	letters := parse(t, head+"  subject: {first_of: [time, partner, capability, action, subject, 'list[].of.x'"+paths.String()+"]}\n").NewReader(schema.TimeLimits{})
	f := func(record, want string) {
		t.Helper()
		if got := letters.Outline([]byte(record), 200); got != want {
			t.Errorf("%.100s:\n got %s\nwant %s", record, got, want)
		}
	}
	f(least, "{time: string, partner: string, capability: string, action: string, subject: string}")
	f(`{"a":1,"b":true,"c":null,"d":{"e":"x","f":{}},"g":[],"h":[1,2,3],"i":[{"j":[false]}]}`,
		"{a: number, b: bool, c: null, d: {e: string, f: {}}, g: [], h: [number, 2 more], i: [{j: [bool]}]}")
	f(`[["`+secret+`"]]`, "[[string]]")
	f(`"`+secret+`"`, "string")
	f("", "(empty)")
	f(`{"a":1,"b`, "{a: number (not JSON after byte 6 of 9)")
	f(`{"a":1}{"b":2}`, "{a: number} and more after byte 7")
	f(`{"a":1}!`, "{a: number} (not JSON after byte 7 of 8)")
	f(secret, "(not JSON after byte 0 of 14)")
	f(`{"a":{"a":{"a":{"a":{"a":1}}}},"b":[[[[[1]]]]]}`, "{a: {a: {a: {a: {…}}}}, b: [[[[…]]]]}")

	// Names that no path of the mapping has.
	f(`{"followers":{"alice.smith":1,"bob":{"a":2}},"list":[{"of":{"x":1,"y":2}}],"A":3,"":4,"zaphod@example.org":5}`,
		"{?: {?: number, ?: {a: number}}, list: [{of: {x: number, ?: number}}], A: number, ?: number, ?: number}")
	plain := JSON{}.NewReader(schema.TimeLimits{})
	if got := plain.Outline([]byte(`{"Time":1,"api_version":2,"subject":{"alice":3},"a":4}`), 200); got != "{Time: number, api_version: number, subject: {?: number}, ?: number}" {
		t.Errorf("without a mapping: %s", got)
	}
	many := `{"m":0`
	for range 99 {
		many += `,"m":0`
	}
	if got := letters.Outline([]byte(many+"}"), 1000); !strings.HasSuffix(got, ", m: number, 60 more}") {
		t.Errorf("100 members: %s", got)
	}
	if got := letters.Outline([]byte(many+"}"), 20); got != "{m: number, m: …" {
		t.Errorf("cut: %q", got)
	}
}

func TestReasonsAreFixedWords(t *testing.T) {
	seen := map[schema.Reason]bool{}
	for _, r := range schema.Reasons {
		if seen[r] || strings.Trim(string(r), "abcdefghijklmnopqrstuvwxyz_8") != "" {
			t.Errorf("%q", r)
		}
		seen[r] = true
	}
}

func TestAReaderCountsEachItemOnce(t *testing.T) {
	mapping := parse(t, "where: [{path: kind, equals: call}]\nevent: {time: t, partner: p, capability: {const: c}, action: {const: read}, subject: s}")
	at := int64(1541427791000)
	f := func(m Encoding, record string, events, filtered int, reason schema.Reason) {
		t.Helper()
		r := m.NewReader(schema.DefaultTimeLimits())
		for range 2 { // what is left of one record must not enter the next
			gotEvents, rejects, gotFiltered := r.Read([]byte(record), at)
			if len(gotEvents) != events || gotFiltered != filtered || len(gotEvents)+len(rejects)+gotFiltered != 1 {
				t.Fatalf("%.100s: %d events, rejects %v, %d filtered", record, len(gotEvents), rejects, gotFiltered)
			}
			if len(rejects) == 1 && rejects[0].Reason != reason {
				t.Fatalf("%.100s: got %v, want %s", record, rejects[0], reason)
			}
		}
	}
	f(JSON{}, least, 1, 0, "")
	f(JSON{}, "{}", 0, 0, schema.MissingMember)
	f(JSON{}, without("time", `"time":"0001-01-01T00:00:00Z"`), 0, 0, schema.TimeTooEarly)
	f(JSON{}, without("time", `"time":"2100-01-01T00:00:00Z"`), 0, 0, schema.TimeTooLate)
	f(mapping, `{"kind":"call","t":1541427791000,"p":"x","s":"y"}`, 1, 0, "")
	f(mapping, `{"kind":"other"}`, 0, 1, "")
	f(mapping, `{"kind":"call","t":1541427791000,"p":"x"}`, 0, 0, schema.MissingMember)
	f(mapping, `{"kind":"call","t":4102444800000,"p":"x","s":"y"}`, 0, 0, schema.TimeTooLate)
	f(mapping, `{"kind":"other"`, 0, 0, schema.NotJSON)
	large := `{"kind":"other","x":"` + strings.Repeat("x", schema.MaxRecord) + `"}`
	f(JSON{}, large, 0, 0, schema.TooLarge)
	f(mapping, large, 0, 0, schema.TooLarge)
}
