package detectors

import (
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// weeksKept is how many weeks are looked at together: the one that is judged, and
// those before.
const weeksKept = int(WeeksHistory/7) + 1

// weekDays is how many days of buckets that is.
const weekDays = weeksKept * 7

// leastADay is how many accesses or people a day a week must have to say anything.
const leastADay = 20

// monday returns the day on which the week of a day began.
func monday(d schema.Day) schema.Day { return d - (d+3)%7 } // 1 January 1970 was a Thursday

// askWeeks asks about the weeks of an activity.
func askWeeks(name, cause string, r *registry.Registry, a usage.Activity) []usage.Question {
	return askClosed(schema.FindingKey{Detector: name, Window: schema.WindowClockWeek, Cause: cause}, 7, WeeksHistory, r, a, monday)
}

// weekly returns what a metric came to a day, week by week, oldest first, from the
// first in which the key was used all week, as far as can be told: the week after
// its first access, unless that lies before all of them. What the registry expects
// more of is divided by that.
func weekly(r *registry.Registry, q *usage.Question, s *usage.Series, m usage.Metric) []float64 {
	weeks := make([]float64, weeksKept)
	for i, v := range s.Values[m] {
		day := schema.DayOfSecond(s.Begin) + schema.Day(i)
		weeks[i/7] += v / 7 / expectedFactor(r, q.Partner, s.Capability, day)
	}
	first := slices.IndexFunc(s.Values[usage.Accesses], func(v float64) bool { return v > 0 })
	switch {
	case first < 0:
		return nil
	case first < 7:
		return weeks
	}
	return weeks[min(first/7+1, len(weeks)):]
}

// whole reports whether all days of the question's week are closed.
func whole(a *usage.Answer) bool { return len(a.Series) > 0 && a.Series[0].Buckets() == weekDays }

// ofWeek makes what findings of a week have in common. It holds until the next week is
// closed, whose finding continues it where there is one.
func ofWeek(q *usage.Question, a *usage.Answer) schema.Finding {
	last := func(m usage.Metric) float64 {
		sum := 0.0
		for _, v := range a.Series[0].Values[m][weekDays-7:] {
			sum += v
		}
		return sum
	}
	most := slices.Max(a.Series[0].Values[usage.People][weekDays-7:]) // of one day: people of a week are not their sum
	end := (q.Period + 7).Time()
	f := schema.Finding{
		FindingKey: q.FindingKey, PeriodEnd: q.Period + 7, Severity: schema.Warning, State: schema.Open,
		FirstCrossing: end, Peak: end, EvidenceFrom: q.Period.Time(), EvidenceTo: end,
		Accesses: uint64(last(usage.Accesses)), People: about(most, last(usage.Accesses)),
	}
	if a.Watermark >= (q.Period + 14).Second() {
		f.State, f.EndedAt = schema.Ended, (q.Period + 14).Time()
	}
	return f
}
