package main

import (
	"cmp"
	"math"
	"slices"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// partner is one simulated partner: what it may do, and what it did in each hour.
type partner struct {
	name     string
	registry *registry.Registry
	begin    schema.Day // of the first hour
	hours    int
	crowds   []float64 // how many people each crowd has; the first is the partner's own
	flows    []flow
	gaps     []schema.Gap
	shape    *shape
	turnover float64    // share of the partner's own crowd that others take the place of each day
	unseen   schema.Day // days before it are history: they are not judged

	watermark int64 // where it is not the end of the hours
}

// flow is what one usage key did to one crowd. Whoever is visited is drawn anew from
// the crowd each time; a visit is one access or several, and attempts are apart.
type flow struct {
	usageKey                          schema.UsageKey
	crowd                             int
	visits, accesses, bytes, attempts []float64 // by hour
}

// everybody is a crowd in which nobody is met twice.
var everybody = math.Inf(1)

// distinct is how many people of a crowd so many visits meet on average:
// N·(1-(1-1/N)^visits), which for large N is N·(1-e^(-visits/N)).
func distinct(crowd, visits float64) float64 {
	if math.IsInf(crowd, 1) || visits <= 1 {
		return visits
	}
	return max(1, -crowd*math.Expm1(-visits/crowd))
}

// end is the first second after the last hour.
func (p *partner) end() int64 { return p.begin.Second() + int64(p.hours)*3600 }

// hourOf is the hour that a second falls in, by its number.
func (p *partner) hourOf(second int64) int { return int((second - p.begin.Second()) / 3600) }

// add adds a flow of its own for a usage key and a crowd and returns it.
func (p *partner) add(usageKey schema.UsageKey, crowd int) *flow {
	all := make([]float64, 4*p.hours)
	n := p.hours
	p.flows = append(p.flows, flow{usageKey: usageKey, crowd: crowd, visits: all[:n:n], accesses: all[n : 2*n : 2*n], bytes: all[2*n : 3*n : 3*n], attempts: all[3*n:]})
	return &p.flows[len(p.flows)-1]
}

// moveTo lets another flow do a share of what this one did in each hour.
func (f *flow) moveTo(to *flow, from, until int, share func(hour int) float64) {
	for h := from; h < until; h++ {
		for _, pair := range [][2][]float64{{f.visits, to.visits}, {f.accesses, to.accesses}, {f.bytes, to.bytes}} {
			k := math.Round(pair[0][h] * share(h))
			pair[0][h] -= k
			pair[1][h] += k
		}
	}
}

// crowd adds a crowd of so many people.
func (p *partner) crowd(people float64) int {
	p.crowds = append(p.crowds, people)
	return len(p.crowds) - 1
}

// rights changes the partner's entry in its registry.
func (p *partner) rights(change func(*registry.Partner)) {
	entry := p.registry.Partners[p.name]
	change(&entry)
	slices.SortFunc(entry.Grants, func(a, b registry.Grant) int {
		return cmp.Or(cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.From, b.From))
	})
	p.registry.Partners[p.name] = entry
}

// selection is some of a partner's flows: of a capability, an app and an action,
// where they are not empty.
func (p *partner) selection(l schema.UsageKey) []int {
	var some []int
	for i := range p.flows {
		f := &p.flows[i].usageKey
		if (l.Capability == "" || l.Capability == f.Capability) && (l.App == "" || l.App == f.App) && (l.Action == 0 || l.Action == f.Action) {
			some = append(some, i)
		}
	}
	return some
}
