package main

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// A trap is what looks like overreach and is none: whatever is found in it is
// false.
type trap struct {
	name string
	make func(r *rand.Rand) *partner
}

const trapDays = 60 // judged

func traps() []trap {
	return []trap{
		{"a weekly job, known", func(r *rand.Rand) *partner { return job(r, 7, 0) }},
		{"a fortnightly job, known", func(r *rand.Rand) *partner { return job(r, 14, 0) }},
		{"a monthly job, known", func(r *rand.Rand) *partner { return job(r, 0, 0) }},
		{"a new weekly job (its first times are new)", func(r *rand.Rand) *partner { return job(r, 7, int(detectors.History)+10) }},
		{"a launch, announced", func(r *rand.Rand) *partner { return launch(r, true) }},
		{"a launch, not announced", func(r *rand.Rand) *partner { return launch(r, false) }},
		{"holidays: a third to twice the usual for one to three days", holiday},
		{"a backfill of one night, announced", func(r *rand.Rand) *partner { return backfill(r, true) }},
		{"a backfill of one night, not announced", func(r *rand.Rand) *partner { return backfill(r, false) }},
		{"a retry storm: 3 to 30 times the accesses, the same people", retries},
		{"a clock change", clockChange},
		{"an outage, and the flood after it", outage},
		{"lost records", lostTraffic},
		{"steady growth of 20 to 60% a month", steadyGrowth},
		{"all calls move to a new app in a week", newApp},
		{"within its limits, at 50 to 70%", withinLimits},
		{"stops on the last day allowed", stopsInTime},
	}
}

// trapped is an ordinary partner of 5 visits an hour and more, with room for a trap.
func trapped(r *rand.Rand, change func(*shape)) *partner {
	s := shapeBetween(r, 5, 20_000)
	if change != nil {
		change(s)
	}
	begin := schema.Day(17532 + r.IntN(365))
	p := simulate(r, s, begin, int(detectors.History)+trapDays)
	p.unseen = begin + detectors.History
	return p
}

// trapDay is a judged day with a week before and two after it.
func (p *partner) trapDay(r *rand.Rand) int { return int(detectors.History) + 7 + r.IntN(trapDays-21) }

// ordinarily adds visits to an hour of every usage key, so many average hours, to the
// partner's own people.
func (p *partner) ordinarily(r *rand.Rand, hour int, times float64) {
	for _, l := range p.shape.usageKeys {
		p.extra(r, l.usageKey, 0, hour, times*p.shape.level*l.share)
	}
}

// job adds runs of one to three hours, 3 to 20 average hours each, every so many
// days, or on a day of each month where that is 0; from a day on.
func job(r *rand.Rand, every, from int) *partner {
	p := trapped(r, nil)
	hour, length, times := r.IntN(22), 1+r.IntN(3), logBetween(r, 3, 20)
	first, date := r.IntN(max(every, 1)), 1+r.IntN(28)
	for d := from; d < p.hours/hoursDay; d++ {
		due := every > 0 && d%max(every, 1) == first || every == 0 && (p.begin+schema.Day(d)).Time().Day() == date
		if !due {
			continue
		}
		size := times * math.Exp(0.2*r.NormFloat64())
		for h := range length {
			p.ordinarily(r, d*hoursDay+hour+h, size)
		}
	}
	return p
}

// expect announces a stretch of days.
func (p *partner) expect(day, days int, factor float64, why string) {
	from := p.begin + schema.Day(day)
	p.rights(func(e *registry.Partner) {
		e.Expected = append(e.Expected, registry.Expected{From: from, Until: from + schema.Day(days-1), Factor: factor, Why: why})
	})
}

// launch makes a partner 2 to 6 times as busy, fading away with a half-life of four
// days.
func launch(r *rand.Rand, announced bool) *partner {
	p := trapped(r, nil)
	day, times := p.trapDay(r), between(r, 2, 6)
	fresh := p.crowd(everybody)
	for h := day*hoursDay + r.IntN(hoursDay); h < p.hours; h++ {
		left := (times - 1) * math.Exp2(-float64(h-day*hoursDay)/(4*hoursDay))
		for _, l := range p.shape.usageKeys {
			p.extra(r, l.usageKey, fresh, h, left*l.share*p.shape.mean(p.begin, h))
		}
	}
	if announced {
		p.expect(day, 14, math.Ceil(times), "a launch")
	}
	return p
}

// scale multiplies what was done from one hour to another.
func (p *partner) scale(from, to int, factor float64) {
	for i := range p.flows {
		f := &p.flows[i]
		for h := from; h < min(to, p.hours); h++ {
			for _, values := range [][]float64{f.visits, f.accesses, f.bytes} {
				values[h] = math.Round(values[h] * factor)
			}
		}
	}
}

func holiday(r *rand.Rand) *partner {
	p := trapped(r, nil)
	for range 3 {
		day := p.trapDay(r)
		p.scale(day*hoursDay, (day+1+r.IntN(3))*hoursDay, logBetween(r, 0.33, 2))
	}
	return p
}

// backfill reads what was there again for three to eight hours of a night: 3 to 10
// average hours in each, of its own people.
func backfill(r *rand.Rand, announced bool) *partner {
	p := trapped(r, nil)
	day, times := p.trapDay(r), between(r, 3, 10)
	for h := range 3 + r.IntN(6) {
		p.ordinarily(r, day*hoursDay+h, times)
	}
	if announced {
		p.expect(day, 1, math.Ceil(times)+1, "a backfill")
	}
	return p
}

// retries repeat calls for one to four hours, three times in the trap.
func retries(r *rand.Rand) *partner {
	p := trapped(r, nil)
	for range 3 {
		from, times := p.trapDay(r)*hoursDay+r.IntN(20), logBetween(r, 3, 30)
		for i := range p.flows {
			for h := from; h < from+1+r.IntN(4); h++ {
				p.flows[i].accesses[h] = math.Round(p.flows[i].accesses[h] * times)
			}
		}
	}
	return p
}

// clockChange lets a partner follow its country's clock, at the end of March or of
// October.
func clockChange(r *rand.Rand) *partner {
	s := shapeBetween(r, 5, 20_000)
	s.swing = math.Max(s.swing, 0.5)
	change := schema.DayOf(time.Date(2018, time.March, 25, 0, 0, 0, 0, time.UTC))
	if chance(r, 0.5) {
		change = schema.DayOf(time.Date(2018, time.October, 28, 0, 0, 0, 0, time.UTC))
	}
	days := int(detectors.History) + 20 + r.IntN(20)
	s.shift = days*hoursDay + 1
	p := simulate(r, s, change-schema.Day(days), int(detectors.History)+trapDays)
	p.unseen = p.begin + detectors.History
	return p
}

// outage stops a partner for 3 to 24 hours; then it fetches half to all of what it
// missed within a sixth of the time, its calls meanwhile refused.
func outage(r *rand.Rand) *partner {
	p := trapped(r, nil)
	for range 2 {
		from, length := p.trapDay(r)*hoursDay+r.IntN(hoursDay), 3+r.IntN(22)
		flood, share := max(length/6, 1), between(r, 0.5, 1)
		for i := range p.flows {
			f := &p.flows[i]
			missed := 0.0
			for h := from; h < from+length; h++ {
				missed += f.visits[h]
				f.attempts[h] = f.accesses[h]
				f.visits[h], f.accesses[h], f.bytes[h] = 0, 0, 0
			}
			for h := from + length; h < from+length+flood; h++ {
				p.called(r, f, h, math.Round(missed*share/float64(flood)))
			}
		}
	}
	return p
}

// lostTraffic loses the records of some hours; what was lost is not counted.
func lostTraffic(r *rand.Rand) *partner {
	p := trapped(r, nil)
	from := p.trapDay(r)*hoursDay + r.IntN(hoursDay)
	length := 1 + r.IntN(12)
	p.scale(from, from+length, 0.3)
	begin := (p.begin.Second() + int64(from)*3600) * 1000
	p.gaps = []schema.Gap{{
		Range: schema.Range{Partition: schema.Partition{Incarnation: "kafka/access@1"}, From: 1, To: 100, Pinned: schema.DayOfSecond(begin / 1000)},
		First: begin + 1, Last: begin + int64(length)*3_600_000 - 1, Missing: 99,
	}}
	return p
}

func steadyGrowth(r *rand.Rand) *partner {
	return trapped(r, func(s *shape) { s.growth = between(r, math.Log(1.2), math.Log(1.6)) })
}

// newApp moves all calls to a new version of the app within a week.
func newApp(r *rand.Rand) *partner {
	p := trapped(r, nil)
	from := p.trapDay(r) * hoursDay
	for i := range len(p.flows) {
		usageKey := p.flows[i].usageKey
		usageKey.App += "-new"
		p.add(usageKey, p.flows[i].crowd)
		p.flows[i].moveTo(&p.flows[len(p.flows)-1], from, p.hours, func(h int) float64 { return math.Min(float64(h-from)/hoursWeek, 1) })
	}
	return p
}

// withinLimits gives a partner limits that it comes near to, and never reaches.
func withinLimits(r *rand.Rand) *partner {
	p := trapped(r, nil)
	share := between(r, 0.5, 0.7)
	for _, w := range schema.Windows {
		length := map[schema.Window]int{schema.WindowHour: 2, schema.Window24h: 25, schema.Window30d: 30 * hoursDay, schema.WindowMonth: 31 * hoursDay}[w]
		most := p.most("", length)
		p.rights(func(e *registry.Partner) {
			e.Limits = append(e.Limits, registry.Limit{Window: w, People: uint64(most/share) + 1})
		})
	}
	return p
}

// stopsInTime ends a grant on its last day, and another begins where a former ended.
func stopsInTime(r *rand.Rand) *partner {
	p := trapped(r, nil)
	day := p.trapDay(r)
	ended := p.begin + schema.Day(day)
	usageKey := schema.UsageKey{Partner: "p", App: "app-1", Capability: "contacts", Action: schema.Read}
	p.registry.Capabilities[usageKey.Capability] = registry.Capability{Name: usageKey.Capability}
	renewed := p.shape.usageKeys[0].usageKey.Capability
	p.rights(func(e *registry.Partner) {
		e.Grants = append(e.Grants, registry.Grant{Capability: usageKey.Capability, Actions: schema.Actions[:1], From: e.AgreementStart, Until: ended - 1})
		for i := range e.Grants {
			if e.Grants[i].Capability == renewed {
				e.Grants[i].Until = ended - 1
			}
		}
		e.Grants = append(e.Grants, registry.Grant{Capability: renewed, Actions: schema.Actions[:], From: ended})
	})
	f := p.add(usageKey, 0)
	for h := range day * hoursDay {
		p.called(r, f, h, counted(r, 5, 0.1))
	}
	return p
}

// clean is a year of an ordinary partner, small or big; one of seven begins with
// it. It has limits at three to four times what it does, as the demo's partners do.
func clean(r *rand.Rand, days int) *partner {
	s := drawShape(r)
	begin := schema.Day(17532 + r.IntN(365))
	history := int(detectors.History)
	if chance(r, 1.0/7) {
		history = 0
	}
	p := simulate(r, s, begin, history+days)
	p.unseen = begin + schema.Day(history)
	for _, w := range []schema.Window{schema.WindowHour, schema.Window24h, schema.WindowMonth} {
		length := map[schema.Window]int{schema.WindowHour: 2, schema.Window24h: 25, schema.WindowMonth: 31 * hoursDay}[w]
		limit := p.most("", length) * between(r, 3, 4)
		p.rights(func(e *registry.Partner) {
			e.Limits = append(e.Limits, registry.Limit{Window: w, People: uint64(limit) + 1})
		})
	}
	return p
}
