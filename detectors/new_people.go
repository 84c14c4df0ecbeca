package detectors

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/overreach/overreach/detectors/baseline"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// NewPeople finds days on which a partner touched far more people than usual whom it
// had not touched in the four weeks before, however many people it touched in all: who
// goes through everybody one by one need not be busier than before. Each UTC day is
// judged once it is closed.
type NewPeople struct{}

const (
	newLeast = 0.1 // of the day's people; fewer are no other people than before
	yearDays = 365.25
)

// Name implements Detector.
func (NewPeople) Name() string { return "new_people" }

// BlindSpots implements Detector.
func (NewPeople) BlindSpots() string {
	return "a key's first six weeks; whether somebody is new or back after more than four weeks; few new people beside very many known ones, which drown in the sketch's error"
}

// Watches implements Detector.
func (NewPeople) Watches(r *registry.Registry, partner string) []string {
	if _, ok := r.Partners[partner]; !ok {
		return nil
	}
	return []string{"far more people in a day whom it had not touched before"}
}

// Ask implements Detector.
func (d NewPeople) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	key := schema.FindingKey{Detector: d.Name(), Window: schema.WindowClockDay, Cause: "new_people"}
	return askClosed(key, 1, History+usage.ReachDays, r, a, func(d schema.Day) schema.Day { return d })
}

// Judge implements Detector.
func (d NewPeople) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	_, f, ok := d.Score(r, q, a)
	return f, ok
}

// Score implements Scorer.
func (d NewPeople) Score(r *registry.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if len(a.Reach) == 0 || len(a.Reach[0].New) <= int(q.History) {
		return nil, schema.Finding{}, false
	}
	var scratch baseline.Scratch
	score, ok := d.score(r, &q, &a.Reach[0], &scratch)
	if !ok {
		return nil, schema.Finding{}, false
	}
	scores := []schema.Score{score}
	if score.Score > warns {
		return scores, schema.Finding{}, false
	}
	if q.Capability == "" { // what a capability does by itself is told of it
		for k := range a.Reach[1:] {
			if part, ok := d.score(r, &q, &a.Reach[k+1], &scratch); ok && part.Score <= warns {
				return scores, schema.Finding{}, false
			}
		}
	}
	return scores, d.find(&q, &a, &score), true
}

// score scores the question's day of one key. There is nothing to say of one that was
// not used yet.
func (d NewPeople) score(r *registry.Registry, q *usage.Question, one *usage.Reach, scratch *baseline.Scratch) (schema.Score, bool) {
	day := int(q.History)
	first := 0
	for first <= day && one.People[first] == 0 {
		first++
	}
	if first > day {
		return schema.Score{}, false
	}
	since := min(first+usage.ReachDays, day) // before that, everybody is new
	observed := one.New[day]
	// Each access that comes on top, where the registry expects more, may be to somebody
	// new.
	announced := (expectedFactor(r, q.Partner, one.Capability, q.Period) - 1) * usual(one.Accesses[since:day])
	judged := baseline.Judge(baseline.Series{
		Start: (one.Begin + schema.Day(since)).Second(), Step: schema.DaySeconds, Unit: window.Grain(one.Before[day]), Value: one.New[since:day],
	}, q.Period.Second(), max(observed-announced, 0), baseline.Above, scratch)
	if judged.Maturity != baseline.Mature || observed < surgeLeast || observed < newLeast*one.People[day] {
		judged.Chance = 1
	}
	return schema.Score{
		Detector: d.Name(), UsageKey: schema.UsageKey{Partner: q.Partner, Capability: one.Capability}, Metric: "new_people",
		Bucket: q.Period.Second(), Step: schema.Daily, Observed: observed,
		Expected: judged.Expected + announced, Low: judged.Low, High: judged.High + announced,
		Chance: judged.Chance, Score: baseline.Corrected(judged.Chance, yearDays), Threshold: warns, Maturity: judged.Maturity.String(),
	}, true
}

// usual is the median of the days on which there was anything.
func usual(days []float64) float64 {
	used := slices.DeleteFunc(slices.Clone(days), func(v float64) bool { return v == 0 })
	if len(used) == 0 {
		return 0
	}
	slices.Sort(used)
	return used[len(used)/2]
}

// find makes the finding of a day. It holds until the next day is closed, whose finding
// continues it where there is one.
func (d NewPeople) find(q *usage.Question, a *usage.Answer, s *schema.Score) schema.Finding {
	one, day := &a.Reach[0], int(q.History)
	end := (q.Period + 1).Time()
	f := schema.Finding{
		FindingKey: q.FindingKey, PeriodEnd: q.Period + 1, Severity: schema.Warning, State: schema.Open,
		FirstCrossing: end, Peak: end, EvidenceFrom: q.Period.Time(), EvidenceTo: end,
		Accesses: uint64(one.Accesses[day]), People: increase(s.Observed, one.Before[day]).AtMost(uint64(one.People[day])),
		Expected: &s.Expected,
		Baseline: schema.Baseline{
			Window:  fmt.Sprintf("people a day who were not touched in the %d days before, by up to %d days; 99 of 100 lie between %.0f and %.0f", usage.ReachDays, History, s.Low, s.High),
			Samples: uint32(History), Centre: s.Expected, Spread: (s.High - s.Low) / 2,
		},
	}
	if a.Watermark >= (q.Period + 2).Second() {
		f.State, f.EndedAt = schema.Ended, (q.Period + 2).Time()
	}
	f.Sentence = fmt.Sprintf("%s in %s: %s on %s whom it had not touched in the %d days before, %s of the day's, where %s were to be expected (99 of 100 days: up to %s).",
		q.Partner, of(q.Capability), people(f.People), q.Period.Time().Format(time.DateOnly), usage.ReachDays,
		percent(s.Observed/one.People[day]), round(s.Expected), round(s.High))
	return f
}

// increase is by how many people a union of so many grew, with its 95% interval.
func increase(by, before float64) schema.Estimate {
	margin := 1.96 * math.Sqrt(by*(window.Grain(before)-1))
	return schema.Estimate{
		Value: uint64(math.Round(by)), Low: uint64(math.Round(max(by-margin, 0))), High: uint64(math.Round(by + margin)),
	}
}
