package main

import (
	"math"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// answering answers questions about one partner as the judge does from ClickHouse,
// from its simulated hours. engine_test.go holds it against the judge and the
// engine.
type answering struct {
	*partner
	hourly, daily map[string][]usage.Series // each capability and its parts; under "", all of them and each
	reach         map[string]usage.Reach    // of those that were asked for, by capability
}

func newAnswering(p *partner) *answering {
	return &answering{partner: p, hourly: p.byCapability(schema.Hourly), daily: p.byCapability(schema.Daily), reach: map[string]usage.Reach{}}
}

func (p *partner) byCapability(step schema.Resolution) map[string][]usage.Series {
	all := map[string][]usage.Series{"": {p.series(schema.UsageKey{}, step)}}
	for i := range p.flows {
		c := p.flows[i].usageKey.Capability
		if _, ok := all[c]; ok {
			continue
		}
		whole := p.series(schema.UsageKey{Capability: c}, step)
		all[""] = append(all[""], whole)
		all[c] = []usage.Series{whole}
		var seen []schema.UsageKey
		for j := range p.flows {
			if l := p.flows[j].usageKey; l.Capability == c && !slices.Contains(seen, l) {
				seen = append(seen, l)
				all[c] = append(all[c], p.series(l, step))
			}
		}
	}
	return all
}

// series lays out what a key did, bucket by bucket.
func (p *partner) series(l schema.UsageKey, step schema.Resolution) usage.Series {
	hours := int(step.Seconds() / 3600)
	n := p.hours / hours
	all := make([]float64, n*len(usage.Metrics))
	s := usage.Series{UsageKey: l, Begin: p.begin.Second(), Step: step}
	s.Partner = p.name
	for m := range s.Values {
		s.Values[m] = all[m*n : (m+1)*n : (m+1)*n]
	}
	flows, sums := p.selection(l), make([]float64, len(p.crowds))
	for b := range n {
		clear(sums)
		for _, i := range flows {
			f := &p.flows[i]
			for h := b * hours; h < (b+1)*hours; h++ {
				s.Values[usage.Accesses][b] += f.accesses[h]
				s.Values[usage.Bytes][b] += f.bytes[h]
				sums[f.crowd] += f.visits[h]
			}
		}
		s.Values[usage.People][b] = p.people(sums)
	}
	return s
}

// people is how many people so many visits of each crowd met.
func (p *partner) people(visits []float64) float64 {
	sum := 0.0
	for c, v := range visits {
		sum += distinct(p.crowds[c], v)
	}
	return math.Round(sum)
}

// estimate is the number of people with the interval that the sketch gives: exact
// to 511, and two times 0.81% beyond. The sketch's own error is left out.
func estimate(people, accesses float64) schema.Estimate {
	n := uint64(people)
	e := schema.Estimate{Value: n, Low: n, High: n}
	if n > 511 {
		const margin = 1.96 * 1.039 / 128
		e.Low, e.High = max(uint64(people/(1+margin)), 512), uint64(math.Ceil(people/(1-margin)))
	}
	return e.AtMost(uint64(accesses))
}

func (a *answering) answer(q *usage.Question) usage.Answer {
	out := usage.Answer{Watermark: max(a.end(), a.watermark)} // everything is closed
	switch {
	case q.Partner == detectors.NoPartner:
		for _, g := range a.gaps {
			if (detectors.DataGap{}).Key(&g) == q.FindingKey {
				out.Gaps = append(out.Gaps, g)
			}
		}
	case q.Window == schema.WindowClockDay:
		a.reached(q, &out)
	case q.Window.Closed():
		a.closed(q, &out)
	case q.Window == schema.WindowPeriod:
		a.period(q, &out)
	default:
		a.slide(q, &out)
	}
	return out
}

// closed answers with series: of the whole, then of its parts. Where a partner is
// younger than the history, there is nothing before, and nothing after its end.
func (a *answering) closed(q *usage.Question, out *usage.Answer) {
	step, all := q.Window.Step().Seconds(), a.hourly
	if q.Window.Step() == schema.Daily {
		all = a.daily
	}
	closed := max(a.end(), a.watermark) / step * step
	from, to := (q.Spans[0].From - q.History).Second(), min(q.Spans[0].End(), closed)
	for _, s := range all[q.Capability] {
		if from < s.Begin {
			lead := int((s.Begin - from) / step)
			for m := range s.Values {
				s.Values[m] = append(make([]float64, lead, lead+len(s.Values[m])), s.Values[m]...)
			}
			s.Begin = from
		}
		first, end := int((from-s.Begin)/step), int((to-s.Begin)/step)
		if rest := end - s.Buckets(); rest > 0 {
			for m := range s.Values {
				s.Values[m] = append(slices.Clone(s.Values[m]), make([]float64, rest)...)
			}
		}
		s.Begin = from
		for m := range s.Values {
			s.Values[m] = s.Values[m][first:end]
		}
		out.Series = append(out.Series, s)
	}
}

// period answers with the sums of the question's spans.
func (a *answering) period(q *usage.Question, out *usage.Answer) {
	visits := make([]float64, len(a.crowds))
	for _, span := range q.Spans {
		from, to := max(a.hourOf(span.From.Second()), 0), a.hours
		if span.From == 0 {
			from = 0
		}
		if span.To != 0 {
			to = min(to, a.hourOf(span.To.Second()))
		}
		for _, i := range a.selection(schema.UsageKey{Capability: q.Capability}) {
			f := &a.flows[i]
			if span.Actions != nil && !slices.Contains(span.Actions, f.usageKey.Action) {
				continue
			}
			for h := from; h < to; h++ {
				begin := (a.begin.Second() + int64(h)*3600) * 1000
				c := schema.Counters{Accesses: uint64(f.accesses[h]), Attempts: uint64(f.attempts[h]), Bytes: uint64(f.bytes[h])}
				if c.Accesses > 0 {
					c.FirstAccess, c.LastAccess = begin+moment(1, f.accesses[h]), begin+moment(f.accesses[h], f.accesses[h])
				}
				if c.Attempts > 0 {
					c.FirstAttempt, c.LastAttempt = begin+moment(1, f.attempts[h]), begin+moment(f.attempts[h], f.attempts[h])
				}
				out.Total.Add(&c)
				visits[f.crowd] += f.visits[h]
			}
		}
	}
	out.People = estimate(a.people(visits), float64(out.Total.Accesses))
}

// moment is when the nth of so many calls of an hour comes, in milliseconds: they
// are spread evenly.
func moment(nth, of float64) int64 { return int64(nth / (of + 1) * 3_600_000) }

// by is how many of an hour's calls have come after so many of its minutes.
func by(minutes int, of float64) float64 {
	if minutes >= 60 {
		return of
	}
	return max(math.Ceil(float64(minutes)*(of+1)/60)-1, 0)
}

// slide answers with the windows that end in the span and hold enough accesses.
func (a *answering) slide(q *usage.Question, out *usage.Answer) {
	flows := a.selection(schema.UsageKey{Capability: q.Capability})
	from, to := q.Spans[0].From.Second(), min(q.Spans[0].End(), a.end())
	step, length := q.Window.Step().Seconds(), int64(q.Window.Buckets())*q.Window.Step().Seconds()
	visits := make([]float64, len(a.crowds))
	for end := max(from, a.begin.Second()) + step; end <= to; end += step {
		begin := end - length
		if length == 0 {
			begin = from
		}
		if step == 60 && (end-60)%3600 == 0 && a.accesses(flows, a.hourOf(end-60)-1, a.hourOf(end-60)) < float64(q.Threshold) {
			end += 3600 - step // no window that ends in this hour can hold enough
			continue
		}
		clear(visits)
		accesses := 0.0
		first, last := max(a.hourOf(begin), 0), min(a.hourOf(end-1), a.hours-1)
		for _, i := range flows {
			f := &a.flows[i]
			for h := first; h <= last; h++ {
				x, v := f.accesses[h], f.visits[h]
				hour := a.begin.Second() + int64(h)*3600
				if lead := int((begin - hour) / 60); lead > 0 {
					x, v = x-by(lead, f.accesses[h]), v-by(lead, f.visits[h])
				}
				if used := int((end - hour) / 60); used < 60 {
					x, v = x-f.accesses[h]+by(used, f.accesses[h]), v-f.visits[h]+by(used, f.visits[h])
				}
				accesses += x
				visits[f.crowd] += v
			}
		}
		if accesses >= float64(q.Threshold) {
			out.Points = append(out.Points, usage.Point{
				Begin: max(begin, a.begin.Second()), End: end, Accesses: uint64(accesses), People: estimate(a.people(visits), accesses),
			})
		}
	}
}

// accesses is how many there were in the hours from first to last, both included.
func (a *answering) accesses(flows []int, first, last int) float64 {
	sum := 0.0
	for h := max(first, 0); h <= min(last, a.hours-1); h++ {
		for _, i := range flows {
			sum += a.flows[i].accesses[h]
		}
	}
	return sum
}
