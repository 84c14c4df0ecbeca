package main

import (
	"math"
	"math/rand/v2"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// A scenario is one kind of overreach, at several lengths and strengths, and the
// detector whose part it is.
type scenario struct {
	name      string
	detector  string
	unit      string // what strengths are
	strengths []float64
	lengths   []int // hours
	make      func(r *rand.Rand, hours int, strength float64) labelled
}

// labelled is a partner and the stretch of it that is overreach, in seconds.
type labelled struct {
	*partner
	from, to int64
}

const (
	ofUsual   = "times the usual"
	ofLimit   = "times the limit"
	ofTraffic = "share of all that moves"
	ofPeople  = "share of the visits that they are of"
	aDay      = "accesses a day"
	ofRecords = "records"

	hoursDay  = 24
	hoursWeek = 7 * hoursDay
	before    = 4 // judged days before the overreach
	after     = 9 // and after it, so that its week is closed
)

var (
	strengths = []float64{1.2, 1.5, 2, 3, 5, 10, 20}
	quietSpan = []int{3, hoursDay, hoursWeek, 30 * hoursDay, 90 * hoursDay}
	overLimit = []float64{0.9, 1.2, 2, 5, 20}
	few       = []float64{1, 10, 100, 1000}
)

// scenarios are every kind, in the order of the tables.
func scenarios() []scenario {
	all := []scenario{
		{"a burst", "surge", ofUsual, strengths, []int{1, 6, hoursDay}, burst(20, 20_000, false)},
		{"a burst of a small partner (1 to 20 visits an hour)", "surge", ofUsual, strengths, []int{1, 6, hoursDay}, burst(1, 20, false)},
		{"the same calls, more bytes", "surge", ofUsual, strengths, []int{1, 6, hoursDay}, burst(20, 20_000, true)},
		{"low and slow: follows the day's course", "surge", ofUsual, strengths, quietSpan, lowAndSlow},
		{"split over eight apps", "surge", ofUsual, strengths, quietSpan, split},
		{"a small app under a busy partner", "surge", ofUsual, strengths, quietSpan, hidden},
		{"as many, but people never touched before", "new_people", ofPeople, []float64{0.1, 0.2, 0.3, 0.5, 0.8}, []int{hoursDay, hoursWeek, 30 * hoursDay}, sweeping},
		{"slow growth, up to", "creep", ofUsual, strengths[:6], []int{14 * hoursDay, 30 * hoursDay, 90 * hoursDay}, growing},
		{"a changed mix", "mix_shift", ofTraffic, []float64{0.1, 0.2, 0.3, 0.5, 0.8}, []int{hoursDay, hoursWeek, 30 * hoursDay}, mixing},
		{"limit of an hour", "volume_limit", ofLimit, overLimit, []int{1}, limited(schema.WindowHour)},
		{"limit of 24 hours", "volume_limit", ofLimit, overLimit, []int{12}, limited(schema.Window24h)},
		{"limit of 30 days", "volume_limit", ofLimit, overLimit, []int{15 * hoursDay}, limited(schema.Window30d)},
		{"limit of a month", "volume_limit", ofLimit, overLimit, []int{6 * hoursDay}, limited(schema.WindowMonth)},
	}
	for _, cause := range []string{registry.CauseAgreement, registry.CauseGrant, registry.CauseSunset, "deprecated"} {
		all = append(all, scenario{"after " + map[string]string{
			registry.CauseAgreement: "the agreement's end", registry.CauseGrant: "the grant's end", registry.CauseSunset: "the sunset", "deprecated": "the deprecation",
		}[cause], "stale_access", aDay, few, []int{hoursDay, 30 * hoursDay}, stale(cause, false)})
	}
	return append(all,
		scenario{"after the grant's end, all refused", "stale_access", aDay, few, []int{hoursDay, 30 * hoursDay}, stale(registry.CauseGrant, true)},
		scenario{"a stranger", "unregistered_partner", aDay, few, []int{hoursDay, 30 * hoursDay}, stranger},
		scenario{"lost records", "data_gap", ofRecords, few, []int{1}, lossy},
	)
}

// drawn is an ordinary partner with visits between two levels, over the days that
// an overreach of so many hours needs; it begins within one of them.
func drawn(r *rand.Rand, s *shape, hours int) (*partner, int) {
	days := int(detectors.History) + before + (hours+hoursDay-1)/hoursDay + 1 + after
	begin := schema.Day(17532 + r.IntN(365)) // in 2018
	p := simulate(r, s, begin, days)
	p.unseen = begin + detectors.History
	return p, (int(detectors.History)+before)*hoursDay + r.IntN(hoursDay)
}

func shapeBetween(r *rand.Rand, low, high float64) *shape {
	s := drawShape(r)
	s.level = logBetween(r, low, high)
	return s
}

// label makes the label of the hours from one to another; none where nothing is in
// them.
func label(p *partner, from, to int) labelled {
	begin := p.begin.Second()
	return labelled{p, begin + int64(from)*3600, begin + int64(to)*3600}
}

// burst adds evenly so many average hours of one capability in each hour, to people
// that were not touched before; or bytes alone.
func burst(low, high float64, bytes bool) func(*rand.Rand, int, float64) labelled {
	return func(r *rand.Rand, hours int, strength float64) labelled {
		s := shapeBetween(r, low, high)
		if bytes && s.size == 0 {
			s.size = logBetween(r, 200, 50_000)
		}
		p, on := drawn(r, s, hours)
		target := s.usageKeys[r.IntN(len(s.usageKeys))].usageKey
		fresh := p.crowd(everybody)
		for h := on; h < on+hours; h++ {
			for i := range s.usageKeys {
				if s.usageKeys[i].usageKey.Capability != target.Capability {
					continue
				}
				if bytes {
					p.flows[i].bytes[h] *= strength
				} else {
					p.extra(r, s.usageKeys[i].usageKey, fresh, h, (strength-1)*s.level*s.usageKeys[i].share)
				}
			}
		}
		return label(p, on, on+hours)
	}
}

// extra adds visits of a usage key to a crowd, so many on average.
func (p *partner) extra(r *rand.Rand, usageKey schema.UsageKey, crowd, hour int, mean float64) {
	f := p.flowOf(usageKey, crowd)
	p.called(r, f, hour, counted(r, mean, 0.01))
}

// flowOf is the flow of a usage key and a crowd, made where there is none.
func (p *partner) flowOf(usageKey schema.UsageKey, crowd int) *flow {
	for i := range p.flows {
		if p.flows[i].usageKey == usageKey && p.flows[i].crowd == crowd {
			return &p.flows[i]
		}
	}
	return p.add(usageKey, crowd)
}

// lowAndSlow adds to each hour of one capability its share of what is usual then.
func lowAndSlow(r *rand.Rand, hours int, strength float64) labelled {
	s := shapeBetween(r, 20, 20_000)
	p, on := drawn(r, s, hours)
	capability := s.usageKeys[r.IntN(len(s.usageKeys))].usageKey.Capability
	fresh := p.crowd(everybody)
	for h := on; h < on+hours; h++ {
		for _, l := range s.usageKeys {
			if l.usageKey.Capability == capability {
				p.extra(r, l.usageKey, fresh, h, (strength-1)*l.share*s.mean(p.begin, h))
			}
		}
	}
	return label(p, on, on+hours)
}

// split spreads what is more over eight apps, each of which it makes that much
// busier.
func split(r *rand.Rand, hours int, strength float64) labelled {
	s := shapeBetween(r, 20, 20_000)
	s.usageKeys = nil
	for a := range 8 {
		s.usageKeys = append(s.usageKeys, keyShape{schema.UsageKey{Partner: "p", App: "app-" + string(rune('1'+a)), Capability: "messaging", Action: schema.Read}, between(r, 0.3, 1)})
	}
	s.share()
	p, on := drawn(r, s, hours)
	fresh := p.crowd(everybody)
	for h := on; h < on+hours; h++ {
		for _, l := range s.usageKeys {
			p.extra(r, l.usageKey, fresh, h, (strength-1)*s.level*l.share)
		}
	}
	return label(p, on, on+hours)
}

// hidden lets one small app, a twentieth to a two hundredth of a busy partner's
// capability, do more.
func hidden(r *rand.Rand, hours int, strength float64) labelled {
	s := shapeBetween(r, 2000, 20_000)
	busy := schema.UsageKey{Partner: "p", App: "app-1", Capability: "messaging", Action: schema.Read}
	small := busy
	small.App = "app-2"
	s.usageKeys = []keyShape{{busy, 1}, {small, logBetween(r, 0.005, 0.05)}}
	s.share()
	p, on := drawn(r, s, hours)
	fresh := p.crowd(everybody)
	for h := on; h < on+hours; h++ {
		p.extra(r, small, fresh, h, (strength-1)*s.level*s.usageKeys[1].share)
	}
	return label(p, on, on+hours)
}

// sweeping lets a share of one capability's visits be of people that were not touched
// before, instead of its own.
func sweeping(r *rand.Rand, hours int, share float64) labelled {
	s := shapeBetween(r, 20, 20_000)
	p, on := drawn(r, s, hours)
	capability := s.usageKeys[r.IntN(len(s.usageKeys))].usageKey.Capability
	fresh := p.crowd(everybody)
	for _, i := range p.selection(schema.UsageKey{Capability: capability}) {
		p.add(p.flows[i].usageKey, fresh)
		p.flows[i].moveTo(&p.flows[len(p.flows)-1], on, on+hours, func(int) float64 { return share })
	}
	return label(p, on, on+hours)
}

// growing adds to one capability what makes it grow evenly to so many times the
// usual.
func growing(r *rand.Rand, hours int, strength float64) labelled {
	s := shapeBetween(r, 20, 20_000)
	p, on := drawn(r, s, hours)
	capability := s.usageKeys[r.IntN(len(s.usageKeys))].usageKey.Capability
	fresh := p.crowd(everybody)
	for h := on; h < p.hours; h++ {
		grown := math.Min(float64(h-on+1)/float64(hours), 1)
		for _, l := range s.usageKeys {
			if l.usageKey.Capability == capability {
				p.extra(r, l.usageKey, fresh, h, (strength-1)*grown*l.share*s.mean(p.begin, h))
			}
		}
	}
	return label(p, on, on+hours)
}

// mixing moves a share of all calls from one capability to another.
func mixing(r *rand.Rand, hours int, share float64) labelled {
	s := shapeBetween(r, 20, 20_000)
	from := schema.UsageKey{Partner: "p", App: "app-1", Capability: "friends", Action: schema.Read}
	to := from
	to.Capability = "messaging"
	part := between(r, 0.02, 0.15) // of the capability that it moves to
	s.usageKeys = []keyShape{{from, 1 - part}, {to, part}}
	p, on := drawn(r, s, hours)
	p.flows[0].moveTo(&p.flows[1], on, on+hours, func(int) float64 { return math.Min(share/(1-part), 1) })
	return label(p, on, on+hours)
}

// limited gives a partner a limit ten times what it does, and then lets it touch so
// many times the limit, half of what it does itself counted in.
func limited(w schema.Window) func(*rand.Rand, int, float64) labelled {
	return func(r *rand.Rand, hours int, strength float64) labelled {
		s := shapeBetween(r, 1, 2000)
		p, on := drawn(r, s, hours)
		usageKey := s.usageKeys[0].usageKey
		if w == schema.WindowMonth { // within one month: the next, or what is left of this
			day := p.unseen.NextMonth()
			if p.hourOf(day.Second())+hours > p.hours {
				day = p.unseen
			}
			on = p.hourOf(day.Second())
		}
		length := max(w.Buckets()*int(w.Step().Seconds())/3600, 1)
		if w == schema.WindowMonth {
			length = 31 * hoursDay
		}
		limit := math.Ceil(10 * p.most(usageKey.Capability, length+1))
		p.rights(func(e *registry.Partner) {
			e.Limits = []registry.Limit{{Capability: usageKey.Capability, Window: w, People: uint64(limit)}}
		})
		f := p.add(usageKey, p.crowd(everybody))
		extra := math.Ceil((strength - 0.05) * limit)
		for h := on; h < on+hours; h++ {
			n := math.Floor(extra*float64(h-on+1)/float64(hours)) - math.Floor(extra*float64(h-on)/float64(hours))
			p.called(r, f, h, n)
		}
		return label(p, on, on+hours)
	}
}

// most is how many visits a capability has at most in so many hours on end.
func (p *partner) most(capability string, hours int) float64 {
	sum, most := 0.0, 1.0
	flows := p.selection(schema.UsageKey{Capability: capability})
	for h := range p.hours {
		for _, i := range flows {
			sum += p.flows[i].visits[h]
			if h >= hours {
				sum -= p.flows[i].visits[h-hours]
			}
		}
		most = math.Max(most, sum)
	}
	return most
}

// stale lets a partner go on with a capability after its right to it has ended.
func stale(cause string, refused bool) func(*rand.Rand, int, float64) labelled {
	return func(r *rand.Rand, hours int, perDay float64) labelled {
		s := shapeBetween(r, 1, 2000)
		p, on := drawn(r, s, hours)
		on = on / hoursDay * hoursDay
		usageKey := schema.UsageKey{Partner: "p", App: "app-1", Capability: "contacts", Action: schema.Read}
		ended := p.begin + schema.Day(on/hoursDay) // the first day not allowed
		capability, grant := registry.Capability{Name: usageKey.Capability}, registry.Grant{Capability: usageKey.Capability, Actions: schema.Actions[:1], From: p.begin - 400}
		switch cause {
		case registry.CauseSunset:
			capability.Sunset = ended
		case "deprecated":
			capability.Deprecated = ended
		case registry.CauseGrant:
			grant.Until = ended - 1
		}
		p.registry.Capabilities[usageKey.Capability] = capability
		p.rights(func(e *registry.Partner) {
			e.Grants = append(e.Grants, grant)
			if cause == registry.CauseAgreement {
				e.AgreementEnd = ended - 1
			}
		})
		if cause == registry.CauseAgreement {
			for i := range p.flows { // all else stops in time
				for _, values := range [][]float64{p.flows[i].visits, p.flows[i].accesses, p.flows[i].bytes} {
					clear(values[on:])
				}
			}
		}
		used := p.add(usageKey, 0)
		for h := range on { // used as it may be, until then
			p.called(r, used, h, counted(r, perDay/hoursDay, 0))
		}
		first := p.drip(r, used, on, hours, perDay, refused)
		return label(p, first, on+max(hours, hoursDay))
	}
}

// drip adds so many calls a day at hours of their own and returns the first.
func (p *partner) drip(r *rand.Rand, f *flow, on, hours int, perDay float64, refused bool) int {
	first := p.hours
	for d := on; d < on+hours; d += hoursDay {
		for range int(perDay) {
			h := d + r.IntN(hoursDay)
			first = min(first, h)
			if refused {
				f.attempts[h]++
				continue
			}
			f.visits[h]++
			f.accesses[h]++
		}
	}
	return first
}

// stranger calls without being in the registry.
func stranger(r *rand.Rand, hours int, perDay float64) labelled {
	s := shapeBetween(r, 1, 2)
	p, on := drawn(r, s, hours)
	p.flows = nil
	delete(p.registry.Partners, p.name)
	on = on / hoursDay * hoursDay
	f := p.add(schema.UsageKey{Partner: "p", App: "quiz", Capability: "friends", Action: schema.Read}, 0)
	first := p.drip(r, f, on, hours, perDay, false)
	return label(p, first, on+max(hours, hoursDay))
}

// lossy loses records of an hour before they were read.
func lossy(r *rand.Rand, hours int, records float64) labelled {
	p, on := drawn(r, shapeBetween(r, 20, 20_000), hours)
	from := p.begin.Second() + int64(on)*3600
	p.gaps = []schema.Gap{{
		Range:   schema.Range{Partition: schema.Partition{Incarnation: "kafka/access@1"}, From: 1000, To: 1000 + int64(records), Pinned: schema.DayOfSecond(from)},
		Missing: uint64(records), First: from*1000 + 1, Last: (from+int64(hours)*3600)*1000 - 1,
	}}
	return label(p, on, on+hours)
}
