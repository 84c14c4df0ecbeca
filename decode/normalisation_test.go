package decode

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

// fnvOf stands in for the keyed hash.
func fnvOf(id []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(id)
	return h.Sum64()
}

// normalisationsOf parses a mapping with a rule of the subject, in YAML's flow style.
func normalisationsOf(t *testing.T, rule string) (*Mapping, []Normalisation) {
	t.Helper()
	m := parse(t, head+"  subject: "+rule+"\n")
	all, actor := m.Normalisations(fnvOf)
	if actor != nil {
		t.Errorf("there is no actor, but its normalisations are %v", actor)
	}
	for i, n := range all {
		again, err := ParseNormalisation(n.Steps())
		if err != nil || again.Steps() != n.Steps() {
			t.Errorf("%s comes back as %s, %v", n.Steps(), again.Steps(), err)
		}
		all[i] = again
	}
	return m, all
}

// What is asked is hashed as the mapping hashed what it found.
func TestANormalisationHashesAnIDAsItsMappingDid(t *testing.T) {
	ids := []string{
		"GradyA@x.org", "grady", "acct:GradyA@x.org", "ACCT:Ö@x.org", "/users/GradyA@x.org/messages?x=1", "a/b/c", "x[bot]", "İstanbul", "17", "ǅ", "alice", "Alice",
	}
	for _, rule := range []string{
		"s", "{path: s, lower: true}", "{path: s, strip_prefix: 'acct:', lower: true}", "{path: s, strip_suffix: '[bot]'}",
		"{path: s, after: '/users/', before: '/', lower: true}", "{path: s, pattern: '^/users/([^/]+)'}",
		"{path: s, pattern: '(?P<a>[a-zA-Z]+)@(?P<b>.*)', value: '${b}/${a}', lower: true}", "{path: s, pattern: '@', value: somebody}",
		"{path: s, lower: true, table: {alice: U1, grady: U2}}", "{first_of: [u, s], before: '/', lower: true}",
		"{first_of: [{path: s, after: ':', lower: true}, {path: s, pattern: '^([a-z]+)$'}], default: nobody}", "{const: all}",
	} {
		m, all := normalisationsOf(t, rule)
		for _, id := range ids {
			record := `{"t":"2018-12-01T09:00:00Z","s":` + string(mustJSON(t, id)) + `}`
			events, _, _ := m.NewReader(schema.TimeLimits{Min: -1 << 62, MaxFuture: 1 << 62}).Read([]byte(record), believed)
			if len(events) == 0 || string(events[0].Subject) == "nobody" || rule == "{const: all}" {
				continue
			}
			want, found := fnvOf(events[0].Subject), false
			for _, n := range all {
				h, ok := n.Hash(fnvOf, []byte(id))
				found = found || ok && h == want
			}
			if !found {
				t.Errorf("%s: %q was counted as %q, which no normalisation finds", rule, id, events[0].Subject)
			}
			// Whoever knows the id as it came out finds it too.
			h, _ := Normalisation{}.Hash(fnvOf, events[0].Subject)
			if h != want {
				t.Errorf("%s: %q as given", rule, events[0].Subject)
			}
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheRemaindersOfANormalisationFindAnIDAtEachPlaceOnItsWay(t *testing.T) {
	_, all := normalisationsOf(t, "{path: s, after: 'users/', before: '/', strip_prefix: 'acct:', strip_suffix: '!', pattern: '^<(.*)>$', lower: true, table: {ann: U1, bob: U2}}")
	var words []string
	for _, r := range all[0].Remainders() {
		words = append(words, r.String())
	}
	want := []string{
		`what follows "users/", what precedes "/", without the prefix "acct:", without the suffix "!", what the pattern "^<(.*)>$" keeps, lower case, by a table of 2`,
		`what precedes "/", without the prefix "acct:", without the suffix "!", what the pattern "^<(.*)>$" keeps, lower case, by a table of 2`,
		`without the prefix "acct:", without the suffix "!", what the pattern "^<(.*)>$" keeps, lower case, by a table of 2`,
		`without the suffix "!", what the pattern "^<(.*)>$" keeps, lower case, by a table of 2`,
		`what the pattern "^<(.*)>$" keeps, lower case, by a table of 2`,
		`lower case, by a table of 2`,
		`by a table of 2`,
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("remainders (-want +got):\n%s", diff)
	}
	for i, id := range []string{"/users/acct:<Ann>!/x", "acct:<Ann>!/x", "acct:<Ann>!", "<Ann>!", "<Ann>", "Ann", "ann"} {
		if h, ok := all[0].Remainders()[i].Hash(fnvOf, []byte(id)); !ok || h != fnvOf([]byte("U1")) {
			t.Errorf("%s: %q is not found", want[i], id)
		}
	}
	if len(Normalisation{}.Remainders()) != 0 || (Normalisation{}).String() != "as given" {
		t.Error("what does nothing has remainders")
	}
}

func TestANormalisationKeepsNoIDOfATable(t *testing.T) {
	_, all := normalisationsOf(t, "{path: s, table: {"+secret+": u-"+secret+"}}")
	if steps := all[0].Steps(); strings.Contains(steps, secret) || !strings.Contains(steps, fmt.Sprint(fnvOf([]byte(secret)))) {
		t.Errorf("the table is kept as %s", steps)
	}
	if _, err := ParseNormalisation(`{"upper":true}`); err == nil {
		t.Error("a step that nobody knows is left out")
	}
}

func TestEachMappingThatComesAlongSaysWhatItDoesToIDs(t *testing.T) {
	var got []string
	for _, name := range Mappings() {
		m, err := LoadMapping(name)
		if err != nil {
			t.Fatal(err)
		}
		subject, actor := m.Normalisations(fnvOf)
		got = append(got, fmt.Sprintf("%s %v %v", name, subject, actor))
	}
	want := []string{
		"cloudtrail [as given] []",
		`github [what precedes "/"] []`,
		`msgraph [what the pattern "(?i)^https://[^/]+/[^/]+/users[/(]'?(?P<user>[0-9a-f]{8}-[0-…" keeps, lower case lower case as given] [lower case]`,
		`o365 [lower case what the pattern "^(?:.*[/\\\\])?(?P<mailbox>[^/\\\\]+)\\\\[^\\\\]+$" keeps, lower case] [lower case]`,
		"ocsf [as given] [as given]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	subject, actor := JSON{}.Normalisations(fnvOf)
	if fmt.Sprint(subject, actor) != "[as given] [as given]" {
		t.Errorf("without a mapping: %v %v", subject, actor)
	}
}
