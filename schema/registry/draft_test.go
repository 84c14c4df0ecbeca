package registry

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

func TestADraftReadsLikeThis(t *testing.T) {
	d := func(s string) schema.Day { return day(t, s) }
	got := string(Draft([]Seen{
		{Partner: "ci[bot]", Capability: "issues", Action: schema.Write, First: d("2015-01-02"), Last: d("2015-01-05"),
			People: map[schema.Window]uint64{schema.WindowHour: 10, schema.WindowMonth: 60}},
		{Partner: "ci[bot]", Capability: "issues", Action: schema.Read, First: d("2015-01-02"), Last: d("2015-01-04"),
			People: map[schema.Window]uint64{schema.WindowHour: 5}},
		{Partner: "ci[bot]", Capability: "issues", Action: schema.Delete, First: d("2015-01-03"), Last: d("2015-01-03")},
		{Partner: "ci[bot]", Capability: "code", Action: schema.Read, First: d("2015-01-01"), Last: d("2015-01-01"),
			People: map[schema.Window]uint64{schema.WindowHour: 3}},
		{Partner: "ci[bot]", First: d("2015-01-01"), Last: d("2015-01-05"),
			People: map[schema.Window]uint64{schema.WindowHour: 12}},
		{Partner: "ci[bot]", Capability: "code", First: d("2015-01-01"), Last: d("2015-01-01"),
			People: map[schema.Window]uint64{schema.WindowHour: 2}},
	}))
	want := `# A draft of a registry, from what was seen from 2015-01-01 to 2015-01-05.
# It allows all of it, so nothing in it is a finding. Before it is of use:
#   - fill in what is marked FILL IN,
#   - take out the grants that nobody agreed to, give the others their until,
#   - set the limits that the agreements name; those below are twice what was seen.

capabilities:
  "code":
    # data: FILL IN, the kind of data it touches
  "issues":
    # data: FILL IN, the kind of data it touches

partners:
  "ci[bot]":
    # owner: FILL IN, who answers for this partner inside the company
    # purpose: FILL IN, what it declared to need the data for
    agreement: {start: 2015-01-01} # FILL IN, the agreement's own start and end; this is the day first seen
    grants:
      - {capability: "code", actions: [read], from: 2015-01-01} # last seen 2015-01-01
      - {capability: "issues", actions: [read, write], from: 2015-01-02} # last seen 2015-01-05
      - {capability: "issues", actions: [delete], from: 2015-01-03} # last seen 2015-01-03
    # limits:
    #   - {people: 24, per: hour}
    #   - {people: 120, per: month}
    #   - {people: 4, per: hour, capability: "code"}
    #   - {people: 30, per: hour, capability: "issues"}
    #   - {people: 120, per: month, capability: "issues"}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := Parse("draft", []byte(strings.ReplaceAll(strings.ReplaceAll(got, "# limits", "limits"), "    #   -", "      -"))); err != nil {
		t.Errorf("with its limits set: %v", err)
	}
}

func TestADraftOfNothingIsARegistryOfNobody(t *testing.T) {
	if r := parse(t, string(Draft(nil))); len(r.Partners)+len(r.Capabilities) != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestUnderADraftAllThatWasSeenIsAllowedAndNothingElse(t *testing.T) {
	names := []string{"a", "null", "ci[bot]", "ünï: #", strings.Repeat("long", 500), "2014-01-01"}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var seen []Seen
		scopes := map[string]bool{}
		for range rnd.IntN(12) {
			s := Seen{
				Partner: names[rnd.IntN(len(names))], Capability: names[rnd.IntN(len(names))],
				Action: schema.Actions[rnd.IntN(3)], First: schema.Day(16000 + rnd.IntN(20)),
				People: map[schema.Window]uint64{schema.Windows[rnd.IntN(4)]: rnd.Uint64()},
			}
			s.Last = s.First + schema.Day(rnd.IntN(20))
			seen = append(seen, s)
			scopes[fmt.Sprint(s.Partner, "\x00", s.Capability, "\x00", s.Action)] = true
		}
		r := parse(t, string(Draft(seen)))
		for _, s := range seen {
			for d := s.First; d <= s.Last; d++ {
				if got := r.Right(s.Partner, s.Capability, s.Action, d); got.Status != Allowed || got.Deprecated {
					t.Fatalf("seed %d: %s %s:%s on %s is %s", seed, s.Partner, s.Capability, s.Action, d, show(got))
				}
			}
			if len(r.Partners[s.Partner].Limits) > 0 {
				t.Fatalf("seed %d: a limit is set", seed)
			}
		}
		granted := map[string]bool{}
		for _, g := range r.GrantRows() {
			granted[fmt.Sprint(g.Partner, "\x00", g.Capability, "\x00", g.Action)] = true
		}
		if len(granted) != len(scopes) {
			t.Fatalf("seed %d: %d scopes granted, %d seen", seed, len(granted), len(scopes))
		}
	}
}
