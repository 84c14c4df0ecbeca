package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
)

func newSubjectCommand(a *app) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "subject -",
		Short: "Say which partners touched a person's data, when, how, under which grant",
		Long: `Reads user ids from standard input, one a line, and says which partners touched
these people's data: with which scope, how often, first and last, and under which
grant; "none" where there was none on those days. AS says what the person was:
the subject of the access, a bystander (it was made on behalf of another), or the
actor, on whose behalf another's data was touched.

Mappings change ids before they are hashed, to lower case for example. So each id
is looked for as given, and in every form that a mapping of its topic ever made of
ids; the answer says which these are, and beside a line which one found it.

The answer names people by the number of their line, never by their id. It comes
from raw events, and says how long these are kept: what is older is not
answerable. All times are UTC. At most 200 people at a time.`,
		Example: `  overreach subject --local demo-data - < ids.txt
  overreach subject --json - < ids.txt | jq 'select(.grant == "none")'`,
		Args: idsFromStdin,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withPeople(cmd.Context(), dir, func(ctx context.Context, st *store.Store, q asked) error {
				return showSubjects(ctx, a, st, q, asJSON)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a line")
	return cmd
}

// touched is what one partner did with one scope to one person under one grant.
type touched struct {
	Person      int       `json:"person"` // the line of the id, from 1
	As          string    `json:"as"`
	Partner     string    `json:"partner"`
	Capability  string    `json:"capability"`
	Action      string    `json:"action"`
	Accesses    uint64    `json:"accesses"`
	Refused     uint64    `json:"refused"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Grant       string    `json:"grant"` // its days, or "none"
	Purpose     string    `json:"purpose,omitempty"`
	WhyNone     string    `json:"why_none,omitempty"`
	KeptFrom    string    `json:"kept_from"` // pin of the oldest raw event
	KeptForDays uint32    `json:"kept_for_days"`
	Form        string    `json:"form"` // of the id, under which it was found: "as given", "lower case"
}

// none is the grant of what no grant allowed.
const none = "none"

func showSubjects(ctx context.Context, a *app, st *store.Store, q asked, asJSON bool) error {
	registry, err := st.LatestRegistry(ctx)
	if err != nil {
		return err
	}
	kept, err := st.RawKept(ctx)
	if err != nil {
		return err
	}
	// What was read before normalisations were noted may be gone by now.
	q.unnoted = slices.DeleteFunc(q.unnoted, func(u store.Unnoted) bool { return !u.Until.IsZero() && kept.Oldest > schema.DayOf(u.Until) })
	touches, err := st.Touches(ctx, q.sought(true))
	if err != nil {
		return err
	}
	all := underGrants(registry.Registry, q, touches)
	if !asJSON {
		return writeSubjects(a.stdout, q, all, kept)
	}
	out := json.NewEncoder(printableJSON{a.stdout})
	for _, t := range all {
		t.KeptFrom, t.KeptForDays = kept.Oldest.String(), kept.Days
		if err := out.Encode(t); err != nil {
			return err
		}
	}
	_, err = io.WriteString(a.stderr, q.said()) // nothing found is said only with what was looked for
	return err
}

// underGrants adds up the days of touches that fall under the same grant, in
// the order of people, then with what was under none first.
func underGrants(r *registry.Registry, q asked, touches []store.Touch) []touched {
	trials := q.trialsByHash()
	sums := map[touched]*schema.Counters{}
	for _, t := range touches {
		grant, purpose, why := grantOn(r, t)
		seen := map[int]bool{} // a person may be on several lines, and a line lead to a hash in several ways
		for _, l := range trials[t.Person] {
			if seen[l.line] || !l.Finds(&t) {
				continue
			}
			seen[l.line] = true
			k := touched{Person: l.line, Form: l.words(), As: string(t.Role), Partner: t.Partner, Capability: t.Capability, Action: t.Action.String(),
				Grant: grant, Purpose: purpose, WhyNone: why}
			if sums[k] == nil {
				sums[k] = &schema.Counters{}
			}
			sums[k].Add(&t.Counters)
		}
	}
	var all []touched
	for k, c := range sums {
		k.Accesses, k.Refused = c.Accesses, c.Attempts
		first, last := c.FirstAccess, max(c.LastAccess, c.LastAttempt)
		if first == 0 || c.FirstAttempt != 0 && c.FirstAttempt < first {
			first = c.FirstAttempt
		}
		k.First, k.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b touched) int {
		return cmp.Or(cmp.Compare(a.Person, b.Person), cmp.Compare(wrongFirst(a), wrongFirst(b)), cmp.Compare(a.Partner, b.Partner),
			cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.Action, b.Action), cmp.Compare(a.As, b.As), a.First.Compare(b.First), cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.WhyNone, b.WhyNone), cmp.Compare(a.Form, b.Form))
	})
	return all
}

func wrongFirst(t touched) int {
	if t.Grant == none {
		return 0
	}
	return 1
}

// grantOn returns the days and the purpose of the grant that allowed a touch on
// its day, or none, and why.
func grantOn(r *registry.Registry, t store.Touch) (grant, purpose, why string) {
	right := r.Right(t.Partner, t.Capability, t.Action, t.Day)
	switch right.Status {
	case registry.Unregistered:
		return none, "", "the partner is not in the registry"
	case registry.Never:
		return none, "", "it was not granted until then"
	case registry.Stale:
		what := map[string]string{registry.CauseAgreement: "the agreement", registry.CauseGrant: "the grant", registry.CauseSunset: "the capability"}[right.Cause]
		return none, "", fmt.Sprintf("%s ended %s", what, right.Since-1)
	}
	partner := r.Partners[t.Partner]
	for _, g := range partner.Grants {
		if g.Capability == t.Capability && g.From <= t.Day && (g.Until == 0 || g.Until >= t.Day) && slices.Contains(g.Actions, t.Action) {
			return strings.TrimSpace(g.From.String() + " – " + g.Until.String()), cmp.Or(g.Purpose, partner.Purpose), ""
		}
	}
	return none, "", "" // not reached: what is allowed has a grant in force
}

func writeSubjects(w io.Writer, q asked, all []touched, kept store.Kept) error {
	var b strings.Builder
	table := [][]string{{"PERSON", "PARTNER", "SCOPE", "AS", "FIRST (UTC)", "LAST (UTC)", "GRANT", "ACCESSES", "REFUSED"}}
	const firstNumber = 7
	seen := map[int]bool{}
	for _, t := range all {
		seen[t.Person] = true
		grant := t.Grant
		if grant == none {
			grant = "NONE: " + t.WhyNone
		} else if t.Purpose != "" {
			grant += " for: " + t.Purpose
		}
		person := fmt.Sprintf("line %d", t.Person)
		if t.Form != q.all[0].words() {
			person += ", " + schema.Printable(t.Form)
		}
		table = append(table, []string{person, schema.Printable(t.Partner), schema.Printable(t.Capability) + ":" + t.Action, t.As,
			t.First.Format("2006-01-02 15:04"), t.Last.Format("2006-01-02 15:04"), schema.Printable(grant), thousands(t.Accesses), thousands(t.Refused)})
	}
	if len(all) > 0 {
		for _, line := range alignNumbers(table, firstNumber) {
			b.WriteString(line + "\n")
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "people: %d asked about, %d found\n%s\n\n%s", len(q.ids), len(seen), keptText(kept), q.said())
	return writeText(w, &b)
}

// keptText says what the raw events can answer.
func keptText(kept store.Kept) string {
	if kept.Oldest == 0 {
		return fmt.Sprintf("There are no raw events: nothing can be answered. They are kept for %d days from the day they were read.", kept.Days)
	}
	return fmt.Sprintf("Raw events are kept for %d days from the day they were read; the oldest were read on %s. What was read earlier is not answerable.", kept.Days, kept.Oldest)
}
