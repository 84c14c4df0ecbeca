package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/overreach/overreach/schema"
)

// Seen is one scope that a partner was seen to use, for a draft of a registry.
//
// Two further kinds of rows make the limits of the draft exact where the caller
// can give them: with Action 0, the people of a capability over all its actions;
// with Capability empty too, the people of the partner over all of it. Where
// they are not given, what the narrower rows say is added up, which is too much
// for people that several of them share.
type Seen struct {
	Partner, Capability string
	Action              schema.Action
	People              map[schema.Window]uint64 // the most people in any one window; a window may be absent
	First, Last         schema.Day               // first and last day seen
}

// Draft writes a registry, as YAML with comments, under which what was
// seen makes no finding: every scope granted from the day it was first seen,
// without end, and no limit but those, commented out, at twice what was seen.
// What only people know (owner, purpose, kind of data) is left to be filled in
// at the places marked FILL IN.
func Draft(seen []Seen) []byte {
	capabilities := map[string]bool{}
	partners := map[string]*draft{}
	first, last := lastRegistryDay, schema.Day(0)
	for _, s := range seen {
		s.First = min(max(s.First, firstRegistryDay), lastRegistryDay)
		first, last = min(first, s.First), max(last, s.Last)
		p := partners[s.Partner]
		if p == nil {
			p = &draft{start: s.First, grants: map[draftGrant]draftUse{}, people: map[draftLimit]uint64{}}
			partners[s.Partner] = p
		}
		p.add(s)
		if s.Capability != "" {
			capabilities[s.Capability] = true
		}
	}

	var b bytes.Buffer
	b.WriteString("# A draft of a registry")
	if len(seen) > 0 {
		fmt.Fprintf(&b, ", from what was seen from %s to %s", first, max(first, last))
	}
	b.WriteString(`.
# It allows all of it, so nothing in it is a finding. Before it is of use:
#   - fill in what is marked FILL IN,
#   - take out the grants that nobody agreed to, give the others their until,
#   - set the limits that the agreements name; those below are twice what was seen.

capabilities:
`)
	for _, name := range slices.Sorted(maps.Keys(capabilities)) {
		fmt.Fprintf(&b, "%s\n    # data: FILL IN, the kind of data it touches\n", yamlKey(name))
	}
	b.WriteString("\npartners:\n")
	for _, name := range slices.Sorted(maps.Keys(partners)) {
		partners[name].write(&b, name)
	}
	return b.Bytes()
}

// draft is what is known of one partner.
type draft struct {
	start  schema.Day
	grants map[draftGrant]draftUse
	people map[draftLimit]uint64 // as the rows say, by the scope they are of
}

type draftGrant struct {
	capability string
	from       schema.Day
}

type draftUse struct {
	actions []schema.Action
	last    schema.Day
}

type draftLimit struct {
	capability string
	action     schema.Action
	window     schema.Window
}

func (p *draft) add(s Seen) {
	p.start = min(p.start, s.First)
	for w, n := range s.People {
		k := draftLimit{s.Capability, s.Action, w}
		p.people[k] = max(p.people[k], n)
	}
	if s.Capability == "" || s.Action == 0 {
		return
	}
	k := draftGrant{s.Capability, s.First}
	use := p.grants[k]
	if !slices.Contains(use.actions, s.Action) {
		use.actions = append(use.actions, s.Action)
	}
	use.last = max(use.last, s.Last)
	p.grants[k] = use
}

func (p *draft) write(b *bytes.Buffer, name string) {
	fmt.Fprintf(b, "%s\n", yamlKey(name))
	b.WriteString("    # owner: FILL IN, who answers for this partner inside the company\n")
	b.WriteString("    # purpose: FILL IN, what it declared to need the data for\n")
	fmt.Fprintf(b, "    agreement: {start: %s} # FILL IN, the agreement's own start and end; this is the day first seen\n", p.start)
	b.WriteString("    grants:\n")
	byName := func(a, b draftGrant) int {
		return cmp.Or(strings.Compare(a.capability, b.capability), cmp.Compare(a.from, b.from))
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.grants), byName) {
		use := p.grants[k]
		slices.Sort(use.actions)
		fmt.Fprintf(b, "      - %s # last seen %s\n", Grant{Capability: k.capability, Actions: use.actions, From: k.from}.flow(), max(use.last, k.from))
	}
	limits := p.limits()
	if len(limits) == 0 {
		return
	}
	b.WriteString("    # limits:\n")
	for _, l := range limits {
		fmt.Fprintf(b, "    #   - %s\n", l.flow())
	}
}

// limits returns twice the people of the partner and of each capability, the
// partner's first. What nobody counted is the sum of what is narrower.
func (p *draft) limits() []Limit {
	capabilities := map[string]bool{}
	for k := range p.people {
		if k.capability != "" {
			capabilities[k.capability] = true
		}
	}
	var whole, parts []Limit
	for _, w := range schema.Windows {
		var sum uint64
		for _, c := range slices.Sorted(maps.Keys(capabilities)) {
			n, counted := p.people[draftLimit{c, 0, w}]
			if !counted {
				for _, a := range schema.Actions {
					n = addPeople(n, p.people[draftLimit{c, a, w}])
				}
			}
			sum = addPeople(sum, n)
			if n > 0 {
				parts = append(parts, Limit{c, w, addPeople(n, n)})
			}
		}
		if n, counted := p.people[draftLimit{"", 0, w}]; counted {
			sum = n
		}
		if sum > 0 {
			whole = append(whole, Limit{"", w, addPeople(sum, sum)})
		}
	}
	slices.SortStableFunc(parts, func(a, b Limit) int { return strings.Compare(a.Capability, b.Capability) })
	return append(whole, parts...)
}

// addPeople adds two numbers of people and stays at the greatest there is.
func addPeople(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}
