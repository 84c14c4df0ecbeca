package decode

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

func TestTheFirstOfSeveralThatGivesSomethingIsTaken(t *testing.T) {
	f := func(rule, members, want string) {
		t.Helper()
		e, why := mapSubject(t, rule, `{"t":1541427791000,`+members+`}`)
		switch {
		case why != nil && want != "" || why == nil && string(e.Subject) != want:
			t.Errorf("%s of %s: got %v %+v, want %q", rule, members, e, why, want)
		case why != nil && (!strings.Contains(why.Detail, "a") || strings.Contains(why.Detail, secret)):
			t.Errorf("%s of %s: %s", rule, members, why.Detail)
		}
	}
	f(`{first_of: [a, b.c, d]}`, `"a":"x","d":"z"`, "x")
	f(`{first_of: [a, b.c, d]}`, `"a":"","b":{"c":"y"},"d":"z"`, "y")
	f(`{first_of: [a, b.c, d]}`, `"a":null,"b":{},"d":7`, "7")
	f(`{first_of: [a, b.c, d]}`, `"a":"","b":null`, "")
	f(`{first_of: [a, b.c, d]}`, `"a":["`+secret+`"],"d":"z"`, "")
	f(`{first_of: [a, b.c, d]}`, `"b":"`+secret+`","d":"z"`, "z")
	f(`{first_of: [a, b], default: x}`, `"b":""`, "x")
	f(`{first_of: [a, b], lower: true}`, `"b":"X"`, "x")
	f(`{first_of: [a, b], table: {q: r}}`, `"a":"no","b":"q"`, "r")
	f(`{first_of: [a, b], table: {q: r}}`, `"a":"no"`, "")
	f(`{first_of: [{path: a, after: "/"}, {path: b, before: "/"}]}`, `"a":"x","b":"y/z"`, "y")
	f(`{first_of: [{path: a, pattern: '^(\d+)$'}, {path: a, pattern: '^x', value: words}, b]}`, `"a":"12"`, "12")
	f(`{first_of: [{path: a, pattern: '^(\d+)$'}, {path: a, pattern: '^x', value: words}, b]}`, `"a":"xy"`, "words")
	f(`{first_of: [{path: a, pattern: '^(\d+)$'}, {path: a, pattern: '^x', value: words}, b]}`, `"a":"`+secret+`"`, "")
	f(`{first_of: [{first_of: [a, b], pattern: '^x(.)'}, c]}`, `"a":"q","b":"xy","c":"z"`, "y")
	f(`{first_of: [{path: a, when: {path: kind, equals: k}}, b]}`, `"a":"x","b":"y","kind":"k"`, "x")
	f(`{first_of: [{path: a, when: {path: kind, equals: k}}, b]}`, `"a":"x","b":"y"`, "y")
}

func TestAPatternMakesAValueOfItsGroups(t *testing.T) {
	f := func(rule, value, want string) {
		t.Helper()
		e, why := mapSubject(t, "{path: a, "+rule+"}", `{"t":1541427791000,"a":`+value+`}`)
		switch {
		case want == "" && (why == nil || !strings.Contains(why.Detail, "a, which subject is mapped from,") && !strings.Contains(why.Detail, "subject has no value: a ") || strings.Contains(why.Detail, secret)):
			t.Errorf("%s of %s: got %v %+v", rule, value, e, why)
		case want != "" && (why != nil || string(e.Subject) != want):
			t.Errorf("%s of %s: got %v %+v, want %q", rule, value, e, why, want)
		}
	}
	arn := `pattern: '^arn:aws:iam::(?P<account>\d+):(?P<kind>[^/]+)/(?P<name>.*)$', value: `
	f(arn+`"${account}/${name}"`, `"arn:aws:iam::12:role/x/y"`, "12/x/y")
	f(arn+`"${kind}"`, `"arn:aws:iam::12:role/x"`, "role")
	f(arn+`"$ {${kind}}"`, `"arn:aws:iam::12:role/x"`, "$ {role}")
	f(arn+`"${name}"`, `"arn:aws:iam::12:role/"`, "")
	f(arn+`"${name}"`, `"`+secret+`"`, "")
	f(arn+`"${name}", default: other`, `"`+secret+`"`, "other")
	f(`pattern: 'x(.*)'`, `"axb"`, "b")
	f(`pattern: '(x)?y'`, `"y"`, "")
	f(`pattern: '^\d+$', value: number`, `17`, "number")
	f(`pattern: '^(true|false)$'`, `true`, "true")
	f(`strip_prefix: "q-", pattern: '^(.*)$', lower: true, table: {x: one}`, `"q-X"`, "one")
}

func TestANumberMadeByAPatternIsAStatus(t *testing.T) {
	m := parse(t, head+"  subject: {const: s}\n  status: {path: a, pattern: 'HTTP/1.1 (\\d+)', default: '0'}")
	for value, want := range map[string]int32{"HTTP/1.1 403 Forbidden": 403, "none": 0} {
		e, _, why := mapOne(t, m, `{"t":1541427791000,"a":"`+value+`"}`)
		if why != nil || e.Status != want {
			t.Errorf("%s: %v %v", value, e, why)
		}
	}
}

func TestAMemberThatMayBeAbsentIsARejectWhereWhatIsThereDoesNotFit(t *testing.T) {
	f := func(rule, members, want string, ok bool) {
		t.Helper()
		e, _, why := mapOne(t, parse(t, head+"  subject: {const: s}\n  app: "+rule), `{"t":1541427791000,`+members+`}`)
		if ok != (why == nil) || ok && string(e.App) != want || !ok && !strings.Contains(why.Detail, "app is mapped from") && !strings.Contains(why.Detail, "app has no value: ") {
			t.Errorf("%s of %s: got %v %+v, want %q %v", rule, members, e, why, want, ok)
		}
	}
	f("a.b", `"a":{}`, "", true)
	f("a.b", `"a":null`, "", true)
	f("a.b", `"a":{"b":""}`, "", true)
	f("{path: a, table: {x: y}}", `"a":""`, "", true)
	f("{first_of: [{path: a, pattern: x, value: y}, {path: b, after: x}]}", `"a":"","b":""`, "", true)
	f("a.b", `"a":[{"b":"x"}]`, "", false)
	f("a.b", `"a":"x"`, "", false)
	f("a.b", `"a":{"b":{}}`, "", false)
	f("{path: a.b, default: d}", `"a":"x"`, "d", true)
	f("{first_of: [a, b]}", `"c":1`, "", true)
	f("{first_of: [a.b, b]}", `"a":[]`, "", false)
	f("{path: a, table: {x: y}}", `"a":"z"`, "", false)
	f("{first_of: [{path: a, table: {x: y}}, b]}", `"a":"z"`, "", false)
	f(`{first_of: [{path: a, table: {x: y}}, b], default: ""}`, `"a":"z"`, "", true)
}

func TestAnErrorInTheNewRulesNamesFileLineAndWhatWasExpected(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := ParseMapping("m.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	subject := head + "  subject: "
	f("envelope: letter\n"+subject+"s", `m.yaml:1: envelope "letter" is not known: expected cloudevents`)
	f("items: Records\n"+subject+"s", "m.yaml:1: items is Records: expected the path of a list with [] at its end")
	f("items: 'a[].b[]'\n"+subject+"s", "m.yaml:1: items is a[].b[]")
	f("items: '[]'\n"+subject+"s", "m.yaml:1: expected names")
	f(subject+"{first_of: []}", "m.yaml:6: subject: first_of is empty")
	f(subject+"{first_of: [], lower: true}", "m.yaml:6: subject: first_of is empty")
	f(subject+"{first_of: [a], path: b}", "m.yaml:6: subject has more than one of path, const and first_of")
	f(subject+"{first_of: [{path: a, lower: true}], lower: true}", "m.yaml:6: subject: an alternative has steps, and so has the first_of around it")
	f(subject+"{first_of: [{const: a}]}", "m.yaml:6: an alternative of subject is no path")
	f(subject+"{first_of: [{path: a, default: b}]}", "m.yaml:6: an alternative of subject is no path")
	f(subject+"{first_of: [{first_of: [{first_of: [a]}]}]}", "m.yaml:6: subject: an alternative has steps")
	f(subject+"{path: a, when: {path: b, equals: c}}", "m.yaml:6: subject has a when")
	f(subject+"{first_of: [{path: a, when: {path: b}}]}", "m.yaml:6: the condition on b has 0 of equals")
	f(subject+"{path: a, value: x}", "m.yaml:6: value is given without a pattern")
	f(subject+"{path: a, pattern: '('}", "m.yaml:6: the pattern is none in RE2's syntax")
	f(subject+"{path: a, pattern: 'x'}", "m.yaml:6: the pattern has 0 groups and no value")
	f(subject+"{path: a, pattern: '(x)(y)'}", "m.yaml:6: the pattern has 2 groups and no value")
	f(subject+"{path: a, pattern: '(?P<x>x)', value: '${y}'}", `m.yaml:6: the value "${y}" names a group "y"`)
	f(subject+"{path: a, pattern: '(?P<x>x)', value: '${x'}", "m.yaml:6: the value")
	f(subject+"{path: a, pattern: '"+strings.Repeat("x", maxPattern+1)+"', value: y}", "m.yaml:6: the pattern has 1001 bytes, more than 1000")
	f(subject+"{path: a, format: unix}", "m.yaml:6: subject has a format or a zone: expected them for time alone")
	f(strings.Replace(subject, "time: t", "time: {path: t, zone: UTC}", 1)+"s", "m.yaml:2: time has a zone and no format")
	f(strings.Replace(subject, "const: read", "path: a, pattern: b, value: raed", 1)+"s", "m.yaml:5: value: action is a string of 4 bytes")
	f(subject+"s\n  app: 'a[].b'", "m.yaml:7: app is mapped from a[].b, which leads through a list")
	f("where: [{path: 'a[]', present: true}]\n"+subject+"s", "m.yaml:1: the condition on a[] leads through a list")
	f("where: [{path: a, first_of: [b], present: true}]\n"+subject+"s", "m.yaml:1: the condition has a path and first_of")
	f("where: [{path: a, equals: b, none_of: [c]}]\n"+subject+"s", "m.yaml:1: the condition on a has 2 of equals")
	f(subject+"{path: a, default: ''}", "m.yaml:6: default: the value is empty")
}

func TestPathsThroughListsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"a", "a.b", "a[].b", "a[]", "a[][].b[]", `a."b[]".c`, `"".a[]`, `a."b.c"[]`} {
		var p memberPath
		if err := p.UnmarshalText([]byte(text)); err != nil || p.String() != text {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"[]", "a.[]", "a[]b", "a[", "a[0]", "a]", "a.*", ".", "a..b", "a."} {
		var p memberPath
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: read as %s", text, p)
		}
	}
	f := func(a, b string) {
		t.Helper()
		if parse(t, head+"  subject: "+a).Fingerprint() == parse(t, head+"  subject: "+b).Fingerprint() {
			t.Errorf("%s and %s have the same fingerprint", a, b)
		}
	}
	f("'a[].b'", "a.b")
	f("'a[].b'", `'a."[]".b'`)
	f("'a[].b'", "'\"a[].b\"'")
	f("{first_of: [a, b]}", "{first_of: [b, a]}")
}

// The fingerprint of what version 1 of the language could say is part of markers
// that were written then.
func TestTheFingerprintOfAnOlderMappingIsWhatItWas(t *testing.T) {
	github, err := LoadMapping("github")
	if err != nil {
		t.Fatal(err)
	}
	if want := "3dbe10a988ea0a2d3667b1095c94a9dfdbbe2b5ceb01f70c005d457f1f950928"; github.Fingerprint() != want {
		t.Errorf("github has %s, had %s: what it does must have changed, or this test tells", github.Fingerprint(), want)
	}
}

// spoil yields the value with each of its parts replaced or left out in turn,
// with the name of the outermost member that was touched.
func spoil(value any, top string, yield func(top string, spoilt any)) {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := top
			if at == "" {
				at = name
			}
			old := v[name]
			delete(v, name)
			yield(at, value)
			for _, other := range []any{nil, "", "x", 1.5, true, []any{}, []any{"x"}, []any{old}, map[string]any{}, map[string]any{"x": old}} {
				v[name] = other
				yield(at, value)
			}
			v[name] = old
			spoil(old, at, func(top string, inner any) {
				v[name] = inner
				yield(top, value)
			})
			v[name] = old
		}
	case []any:
		for i, old := range v {
			for _, other := range []any{nil, "x", 1.5, []any{old}, map[string]any{}} {
				v[i] = other
				yield(top, value)
			}
			v[i] = old
			spoil(old, top, func(top string, inner any) {
				v[i] = inner
				yield(top, value)
			})
			v[i] = old
		}
	}
}

// A record in which a part is missing, or is of another type, or is a list or an
// object where none was expected, is told by the path that failed: never a panic,
// never an event that lacks something.
func TestARecordThatNoMappingForesawIsARejectThatNamesThePathThatFailed(t *testing.T) {
	for _, name := range Mappings() {
		mapping, err := LoadMapping(name)
		if err != nil {
			t.Fatal(err)
		}
		sample, err := os.ReadFile("testdata/" + name + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		r := mapping.NewReader(schema.DefaultTimeLimits())
		tried, rejected := 0, 0
		for line := range strings.Lines(string(sample)) {
			events, rejects, _ := r.Read([]byte(line), 1e15)
			if len(events) != 1 || len(rejects) > 0 {
				continue // one event, so that it is known what is broken
			}
			var value any
			if err := json.Unmarshal([]byte(line), &value); err != nil {
				t.Fatal(err)
			}
			spoil(value, "", func(top string, spoilt any) {
				record, err := json.Marshal(spoilt)
				if err != nil {
					t.Fatal(err)
				}
				tried++
				events, rejects, _ := r.Read(record, 1e15)
				for i := range events {
					checkEvent(t, &events[i])
				}
				for _, why := range rejects {
					rejected++
					// What lies in an envelope or a list is named from there.
					if !strings.Contains(why.Detail, top) && !slices.Contains([]string{"specversion", "data", "data_base64", "records"}, top) {
						t.Errorf("%s: with %s spoilt: %s: %s\n%s", name, top, why.Reason, why.Detail, record)
					}
				}
			})
		}
		if tried < 100 || rejected < 20 {
			t.Errorf("%s: %d records and %d rejects are too few to show anything", name, tried, rejected)
		}
	}
}

// checkEvent fails where an event is none that the rest of the program expects.
func checkEvent(t *testing.T, e *schema.Event) {
	t.Helper()
	for _, m := range [...]member{memberPartner, memberCapability, memberSubject, memberApp, memberActor, memberID, memberAPIVersion, memberGrant} {
		if n := len(*memberText(e, m)); n > m.maxLength() || n == 0 && m.isRequired() {
			t.Fatalf("%s has %d bytes: %s", memberNames[m], n, show(*e))
		}
	}
	if e.Action.String() == "" || e.Records < 0 || e.Bytes < 0 || e.Status < 0 || e.Status > maxStatus {
		t.Fatal(show(*e))
	}
}
