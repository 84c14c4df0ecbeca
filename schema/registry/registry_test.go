package registry

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

const streamflix = `capabilities:
  messaging: {data: private messages, deprecated: 2014-11-01, sunset: 2015-06-01}
  friends: {}
partners:
  streamflix:
    owner: partnerships@example.com
    purpose: recommend shows to friends
    agreement: {start: 2014-01-01, end: 2018-12-31}
    grants:
      - {capability: messaging, actions: [write, read], from: 2014-01-01, until: 2015-12-31}
      - {capability: friends, actions: [read], from: 2014-03-01, purpose: find friends}
    limits:
      - {people: 1_000_000, per: month}
      - {people: 50000, per: hour, capability: messaging}
      - {people: 70000, per: 24 hours}
`

func day(t testing.TB, s string) schema.Day {
	t.Helper()
	if s == "" {
		return 0
	}
	d, err := schema.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(t testing.TB, text string) *Registry {
	t.Helper()
	r, err := Parse("registry.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

func TestARegistryIsParsed(t *testing.T) {
	got := parse(t, streamflix)
	d := func(s string) schema.Day { return day(t, s) }
	want := &Registry{
		Capabilities: map[string]Capability{
			"messaging": {Name: "messaging", Data: "private messages", Deprecated: d("2014-11-01"), Sunset: d("2015-06-01")},
			"friends":   {Name: "friends"},
		},
		Partners: map[string]Partner{"streamflix": {
			Name: "streamflix", Owner: "partnerships@example.com", Purpose: "recommend shows to friends",
			AgreementStart: d("2014-01-01"), AgreementEnd: d("2018-12-31"),
			Grants: []Grant{
				{Capability: "friends", Actions: []schema.Action{schema.Read}, From: d("2014-03-01"), Purpose: "find friends"},
				{Capability: "messaging", Actions: []schema.Action{schema.Read, schema.Write}, From: d("2014-01-01"), Until: d("2015-12-31")},
			},
			Limits: []Limit{
				{Window: schema.Window24h, People: 70000},
				{Window: schema.WindowMonth, People: 1000000},
				{Capability: "messaging", Window: schema.WindowHour, People: 50000},
			},
		}},
		SHA256: got.SHA256,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestGrantRowsHaveOneRowAnAction(t *testing.T) {
	var got []string
	for _, r := range parse(t, streamflix).GrantRows() {
		got = append(got, fmt.Sprintf("%s %s:%s %s to %s for %q, %s, agreement %s to %s",
			r.Partner, r.Capability, r.Action, r.From, r.Until, r.Purpose, r.Owner, r.AgreementStart, r.AgreementEnd))
	}
	want := []string{
		`streamflix friends:read 2014-03-01 to  for "find friends", partnerships@example.com, agreement 2014-01-01 to 2018-12-31`,
		`streamflix messaging:read 2014-01-01 to 2015-12-31 for "recommend shows to friends", partnerships@example.com, agreement 2014-01-01 to 2018-12-31`,
		`streamflix messaging:write 2014-01-01 to 2015-12-31 for "recommend shows to friends", partnerships@example.com, agreement 2014-01-01 to 2018-12-31`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatARegistryMustNotSay(t *testing.T) {
	// Each case changes one line of a good registry and names the error for it.
	f := func(old, changed, want string) {
		t.Helper()
		text := strings.Replace(streamflix, old, changed, 1)
		if text == streamflix {
			t.Fatalf("%q is not in the registry", old)
		}
		_, err := Parse("registry.yaml", []byte(text))
		if err == nil || err.Error() != "registry.yaml:"+want {
			t.Errorf("%s:\n got %v\nwant registry.yaml:%s", changed, err, want)
		}
	}
	f("owner:", "ownr:", `6: unknown field "ownr": did you mean "owner"? expected one of agreement, expected, grants, limits, owner, purpose`)
	f("start: 2014-01-01, ", "", `8: field "start" is missing here`)
	f("start: 2014-01-01", "start: 2014-02-30", `8: "2014-02-30" is no day: expected year-month-day as in 2018-12-18`)
	f("start: 2014-01-01", "start: yesterday", `8: "yesterday" is no day: expected year-month-day as in 2018-12-18`)
	f("start: 2014-01-01", "start: 1970-01-01", `8: the day 1970-01-01 is out of range: expected one from 1970-01-02 to 2148-12-31; leave the field out where there is no end`)
	f("end: 2018-12-31", "end: 9999-12-31", `8: the day 9999-12-31 is out of range: expected one from 1970-01-02 to 2148-12-31; leave the field out where there is no end`)
	f("end: 2018-12-31", "end: 2013-12-31", `8: the agreement of "streamflix" ends on 2013-12-31, before it starts on 2014-01-01: expected the same day or a later one, or no end`)
	f("until: 2015-12-31", "until: 2013-12-31", `10: the grant is until 2013-12-31, before it is from 2014-01-01: expected the same day or a later one, or no until`)
	f("sunset: 2015-06-01", "sunset: 2014-10-31", `2: capability "messaging" is sunset on 2014-10-31, before it is deprecated on 2014-11-01: expected the same day or a later one`)
	f("capability: messaging, actions", "capability: messging, actions", `10: unknown capability "messging": did you mean "messaging"? expected one of friends, messaging, or add it to capabilities`)
	f("hour, capability: messaging", "hour, capability: photos", `14: unknown capability "photos": expected one of friends, messaging, or add it to capabilities`)
	f("hour, capability: messaging", "hour, capability: ''", `14: unknown capability "": expected one of friends, messaging, or add it to capabilities`)
	f("[write, read]", "[write, raed]", `10: unknown action "raed": did you mean "read"? expected one of delete, read, write`)
	f("[write, read]", "[read, read]", `10: the action read is given twice: leave one of them out`)
	f("[write, read]", "[]", `10: the grant has no action: expected some of read, write, delete`)
	f("[write, read]", "write", `10: found the text "write", expected a list, as in [a, b] or in lines that begin with a dash`)
	f("per: month", "per: months", `13: unknown window "months": did you mean "month"? expected one of 24 hours, 30 days, hour, month`)
	f("people: 50000", "people: 0", `14: the limit is 0 people: expected at least 1; where a partner may touch nobody, leave the grant out or end it`)
	f("people: 50000", "people: -1", `14: found the number "-1", expected a whole number from 0 to 18446744073709551615`)
	f("70000, per: 24 hours", "70000, per: month", `15: a second limit per month for the partner of "streamflix": the first is 1000000 people, leave one of them out`)
	f("70000, per: 24 hours", "70000, per: hour, capability: messaging", `15: a second limit per hour for capability "messaging" of "streamflix": the first is 50000 people, leave one of them out`)
	f("  friends: {}", "  friends: {}\n  '': {}", `4: a capability has an empty name: expected the name that events give`)
	f("  streamflix:", "  '':", `5: a partner has an empty name: expected the name that events give`)
}

func TestAnEmptyFileIsNoRegistry(t *testing.T) {
	_, err := Parse("r.yaml", nil)
	if err == nil || err.Error() != "r.yaml:1: field \"capabilities\" is missing here\nr.yaml:1: field \"partners\" is missing here" {
		t.Errorf("got %v", err)
	}
}

func TestErrorsOfSeveralPartnersAreReportedTogetherByLine(t *testing.T) {
	_, err := Parse("r.yaml", []byte(`capabilities: {}
partners:
  b: {agreement: {start: 2014-01-02, end: 2014-01-01}}
  a: {agreement: {start: 2014-01-02, end: 2014-01-01}}
`))
	if err == nil || !strings.HasPrefix(err.Error(), "r.yaml:3: the agreement of \"b\"") || !strings.Contains(err.Error(), "\nr.yaml:4: the agreement of \"a\"") {
		t.Errorf("got %v", err)
	}
}

func TestTheHashIgnoresFormattingCommentsAndOrder(t *testing.T) {
	same := parse(t, `# The same, said otherwise.
partners:
  "streamflix":
    limits: [{per: "24 hours", people: 70000}, {people: 50000, capability: messaging, per: hour}, {people: 1000000, per: month}]
    grants:
      - {capability: friends, actions: [read], from: '2014-03-01', purpose: find friends}
      - capability: messaging
        purpose: recommend shows to friends # as the partner's
        actions: [read, write]
        from: 2014-01-01
        until: 2015-12-31
      - {capability: friends, actions: [read], from: 2014-03-01, purpose: find friends} # twice
    agreement: {end: 2018-12-31, start: 2014-01-01}
    purpose: >-
      recommend shows
      to friends
    owner: partnerships@example.com
capabilities:
  friends:
  messaging: {sunset: 2015-06-01, deprecated: 2014-11-01, data: private messages}
`)
	r := parse(t, streamflix)
	if r.SHA256 != same.SHA256 || len(r.SHA256) != 64 {
		t.Errorf("hashes %q and %q of\n%s\n%s", r.SHA256, same.SHA256, r.Canonical(), same.Canonical())
	}
	for _, change := range [][2]string{{"50000", "50001"}, {"2018-12-31", "2018-12-30"}, {"private", "Private"}, {"[write, read]", "[read]"}, {", until: 2015-12-31", ""}} {
		if other := parse(t, strings.Replace(streamflix, change[0], change[1], 1)); other.SHA256 == r.SHA256 {
			t.Errorf("%s for %s leaves the hash as it was", change[1], change[0])
		}
	}
}

func TestTheCanonicalFormParsesBackToAnEqualRegistry(t *testing.T) {
	for seed := range uint64(300) {
		r := parse(t, string(randomRegistry(rand.New(rand.NewPCG(seed, 1))).Canonical()))
		back := parse(t, string(r.Canonical()))
		if !reflect.DeepEqual(r, back) || !bytes.Equal(r.Canonical(), back.Canonical()) {
			t.Fatalf("seed %d:\n%s\n%s", seed, r.Canonical(), back.Canonical())
		}
	}
}

func TestNamesOfAnyLengthAndLetterSurviveTheCanonicalForm(t *testing.T) {
	for _, name := range []string{"a b", "null", "1", "dependabot[bot]", "ünï", "\U0001F600", "\x00\x1b\x7f\u0085\u2028\ufeff", `"\`, ": #", strings.Repeat("long ", 1000), "~", "<<", "2014-01-01"} {
		r := &Registry{
			Capabilities: map[string]Capability{name: {Name: name, Data: name}},
			Partners: map[string]Partner{name: {Name: name, Owner: name, Purpose: "p", AgreementStart: 1,
				Grants: []Grant{{Capability: name, Actions: []schema.Action{schema.Read}, From: 1, Purpose: name}},
				Limits: []Limit{{Capability: name, Window: schema.WindowHour, People: 1}},
			}},
		}
		back := parse(t, string(r.Canonical()))
		back.SHA256 = ""
		if !reflect.DeepEqual(r, back) {
			t.Errorf("%q: got %+v", name, back)
		}
	}
}

func TestTheExampleIsARegistry(t *testing.T) {
	data, err := os.ReadFile("../../registry.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse("registry.example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Capabilities) < 2 || len(r.Partners) < 3 || len(r.GrantRows()) < 4 {
		t.Errorf("the example shows little: %d capabilities, %d partners, %d grants", len(r.Capabilities), len(r.Partners), len(r.GrantRows()))
	}
}

func FuzzParseRegistry(f *testing.F) {
	f.Add([]byte(streamflix))
	f.Add([]byte("capabilities: {a: {sunset: 2015-06-01}}\npartners: {b: {agreement: {start: 2014-01-01}}}"))
	f.Add([]byte("capabilities: &a {x: *a}\npartners: *a"))
	f.Add([]byte("capabilities:\npartners:\n  ? \"\\0\\e\\u2028\"\n  : {agreement: {start: 2014-01-01}, limits: [{people: 18446744073709551615, per: 30 days}]}"))
	f.Add(Draft([]Seen{{Partner: "p", Capability: "c", Action: schema.Read, First: 20000, Last: 20001}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("r.yaml", data)
		if err != nil {
			if r != nil || !strings.HasPrefix(err.Error(), "r.yaml:") {
				t.Fatalf("registry %v with error %v", r, err)
			}
			return
		}
		if back := parse(t, string(r.Canonical())); !reflect.DeepEqual(r, back) {
			t.Fatalf("%s\n%s", r.Canonical(), back.Canonical())
		}
	})
}

// randomRegistry makes a registry within ten days, so that dates often meet. It
// is as Draft or a person could write it, in no particular order.
func randomRegistry(rnd *rand.Rand) *Registry {
	const first = 16000
	someDay := func() schema.Day { return schema.Day(first + rnd.IntN(10)) }
	orNone := func(from schema.Day) schema.Day {
		if rnd.IntN(2) == 0 {
			return 0
		}
		return from + schema.Day(rnd.IntN(5))
	}
	r := &Registry{Capabilities: map[string]Capability{}, Partners: map[string]Partner{}}
	for _, name := range []string{"c", "d"} {
		c := Capability{Name: name, Data: []string{"", "x"}[rnd.IntN(2)]}
		if rnd.IntN(2) == 0 {
			c.Deprecated = someDay()
		}
		c.Sunset = orNone(max(c.Deprecated, someDay()))
		r.Capabilities[name] = c
	}
	for _, name := range []string{"p", "q"} {
		p := Partner{Name: name, Owner: []string{"", "o"}[rnd.IntN(2)], Purpose: []string{"", "why"}[rnd.IntN(2)], AgreementStart: someDay()}
		p.AgreementEnd = orNone(p.AgreementStart)
		for range rnd.IntN(4) {
			g := Grant{Capability: []string{"c", "d"}[rnd.IntN(2)], From: someDay(), Purpose: []string{"", "why", "other"}[rnd.IntN(3)]}
			g.Until = orNone(g.From)
			for _, i := range rnd.Perm(3)[:1+rnd.IntN(3)] {
				g.Actions = append(g.Actions, schema.Actions[i])
			}
			p.Grants = append(p.Grants, g)
		}
		for _, i := range rnd.Perm(4)[:rnd.IntN(5)] {
			p.Limits = append(p.Limits, Limit{Capability: []string{"", "c"}[rnd.IntN(2)], Window: schema.Windows[i], People: 1 + rnd.Uint64N(100)})
		}
		r.Partners[name] = p
	}
	return r
}
