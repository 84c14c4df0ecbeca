package main

import (
	"math"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// reached answers with whom the key touched day by day: the whole, then its
// capabilities.
func (a *answering) reached(q *usage.Question, out *usage.Answer) {
	closed := schema.DayOfSecond(max(a.end(), a.watermark))
	from, to := q.Spans[0].From-q.History, min(q.Spans[0].To, closed)
	keys := []string{q.Capability}
	if q.Capability == "" {
		for _, s := range a.daily[""][1:] {
			keys = append(keys, s.Capability)
		}
	}
	for _, capability := range keys {
		all, ok := a.reach[capability]
		if !ok {
			all = a.newcomers(capability)
			a.reach[capability] = all
		}
		one := usage.Reach{UsageKey: all.UsageKey, Begin: from}
		for d := from; d < to; d++ {
			i := int(d - a.begin)
			at := func(values []float64) float64 {
				if i < 0 || i >= len(values) {
					return 0
				}
				return values[i]
			}
			one.Accesses, one.People = append(one.Accesses, at(all.Accesses)), append(one.People, at(all.People))
			one.Before, one.New = append(one.Before, at(all.Before)), append(one.New, at(all.New))
		}
		out.Reach = append(out.Reach, one)
	}
}

// newcomers draws how many of each day's people were not touched in the weeks before.
// How many on average follows from the visits: a member of a crowd of N, who came to it
// some days ago, has been missed by all visits S since with the chance e^(-S/N).
func (a *answering) newcomers(capability string) usage.Reach {
	days := a.hours / hoursDay
	one := usage.Reach{UsageKey: schema.UsageKey{Partner: a.name, Capability: capability}, Begin: a.begin}
	visits := make([][]float64, days)
	flows := a.selection(schema.UsageKey{Capability: capability})
	r := source(math.Float64bits(a.shape.level), "newcomers "+capability)
	for d := range visits {
		visits[d] = make([]float64, len(a.crowds))
		accesses := 0.0
		for _, i := range flows {
			for h := d * hoursDay; h < (d+1)*hoursDay; h++ {
				visits[d][a.flows[i].crowd] += a.flows[i].visits[h]
				accesses += a.flows[i].accesses[h]
			}
		}
		people, mean, before := a.people(visits[d]), 0.0, 0.0
		for c, n := range a.crowds {
			turnover := 0.0
			if c == 0 {
				turnover = a.turnover
			}
			since, stayed, missed := 0.0, 1.0, 0.0
			for age := range usage.ReachDays {
				missed += stayed * turnover * math.Exp(-since/n)
				stayed *= 1 - turnover
				if d-1-age >= 0 {
					since += visits[d-1-age][c]
				}
			}
			missed += stayed * math.Exp(-since/n)
			mean += distinct(n, visits[d][c]) * missed
			before += distinct(n, since)
		}
		added := counted(r, mean, 0)
		added += math.Sqrt(added*(window.Grain(before)-1)) * r.NormFloat64()
		one.Accesses, one.People, one.Before = append(one.Accesses, accesses), append(one.People, people), append(one.Before, before)
		one.New = append(one.New, math.Round(math.Min(math.Max(added, 0), people)))
	}
	return one
}
