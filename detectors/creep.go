package detectors

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/overreach/overreach/detectors/baseline"
	"github.com/overreach/overreach/detectors/trend"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// Creep finds growth that is too slow for any hour to stand out: over twelve weeks
// a partner does twice as much or more, week by week. Each week is judged once it
// is closed.
type Creep struct{}

const (
	creepGrowth = 2.0 // over the weeks looked at; less is business as usual
	creepWeeks  = 6   // fewer say nothing
	yearWeeks   = 52.18
)

// Name implements Detector.
func (Creep) Name() string { return "creep" }

// BlindSpots implements Detector.
func (Creep) BlindSpots() string {
	return "growth of less than double in twelve weeks; what grows at one go, which surge sees or did not; a season of the year"
}

// Watches implements Detector.
func (Creep) Watches(r *registry.Registry, partner string) []string {
	if _, ok := r.Partners[partner]; !ok {
		return nil
	}
	return []string{"twice as much in twelve weeks, little by little"}
}

// Ask implements Detector.
func (d Creep) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	return askWeeks(d.Name(), "growth", r, a)
}

// Judge implements Detector.
func (d Creep) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	_, f, ok := d.Score(r, q, a)
	return f, ok
}

// creeping is how one metric grew.
type creeping struct {
	trend.Line
	metric usage.Metric
	last   float64 // week, as the line has it
	score  schema.Score
}

// Score implements Scorer.
func (d Creep) Score(r *registry.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if !whole(&a) {
		return nil, schema.Finding{}, false
	}
	scores, worst := d.scores(r, &q, &a.Series[0])
	if worst == nil {
		return scores, schema.Finding{}, false
	}
	if q.Capability == "" { // what a capability does by itself is told of it
		for k := range a.Series[1:] {
			if _, part := d.scores(r, &q, &a.Series[k+1]); part != nil {
				return scores, schema.Finding{}, false
			}
		}
	}
	f := ofWeek(&q, &a)
	f.Expected = &worst.score.Expected
	f.Baseline = schema.Baseline{
		Window:  fmt.Sprintf("%s a day, by the %d weeks to this one", worst.metric, worst.Values),
		Samples: uint32(worst.Values), Centre: worst.score.Expected, Spread: (worst.score.High - worst.score.Low) / 2,
	}
	f.Sentence = d.sentence(&q, worst)
	return scores, f, true
}

// scores scores each metric of a key, and returns the one that creeps most, if any.
func (d Creep) scores(r *registry.Registry, q *usage.Question, s *usage.Series) (scores []schema.Score, worst *creeping) {
	if calls := weekly(r, q, s, usage.Accesses); len(calls) < creepWeeks || calls[len(calls)-1] < leastADay {
		return nil, nil
	}
	for _, m := range []usage.Metric{usage.People, usage.Accesses, usage.Bytes} { // where they say the same, people come first
		weeks := weekly(r, q, s, m)
		if !counts(weeks) {
			continue
		}
		c := d.fit(q, s, m, weeks)
		scores = append(scores, c.score)
		if c.score.Score <= warns && (worst == nil || c.score.Score < worst.score.Score) {
			worst = &c
		}
	}
	return scores, worst
}

// fit fits one metric. Where it did not grow enough, or a single step explains it
// better than growth does, its chance is 1.
func (d Creep) fit(q *usage.Question, s *usage.Series, m usage.Metric, weeks []float64) creeping {
	logs := make([]float64, len(weeks))
	for i, w := range weeks {
		logs[i] = math.Log(w + 1)
	}
	c := creeping{Line: trend.Fit(logs), metric: m}
	n := float64(len(weeks))
	c.last = math.Exp(c.At(n - 1))
	first := math.Exp(c.At(0))
	chance := c.Chance
	if math.Exp(c.Slope*(n-1)) < creepGrowth || c.Step {
		chance = 1
	}
	c.score = schema.Score{
		Detector: d.Name(), UsageKey: schema.UsageKey{Partner: q.Partner, Capability: s.Capability}, Metric: m.String(),
		Bucket: (q.Period + 6).Second(), Step: s.Step, Observed: weeks[len(weeks)-1],
		Expected: first, Low: first * math.Exp(-2*c.Noise), High: first * math.Exp(2*c.Noise),
		Chance: chance, Score: baseline.Corrected(chance, float64(len(usage.Metrics))*yearWeeks),
		Threshold: warns, Maturity: maturityOf(len(weeks)),
	}
	return c
}

// maturityOf says what so many weeks are worth.
func maturityOf(weeks int) string {
	if weeks < weeksKept {
		return baseline.Thin.String()
	}
	return baseline.Mature.String()
}

func (d Creep) sentence(q *usage.Question, c *creeping) string {
	var b strings.Builder
	week := func(i int) string {
		return (q.Period - schema.Day(7*(c.Values-1-i))).Time().Format(time.DateOnly)
	}
	fmt.Fprintf(&b, "%s in %s: %s a day in the week of %s, %.1f times as much as %d weeks before", q.Partner, of(q.Capability),
		amount(c.metric.String(), c.score.Observed), week(c.Values-1), math.Exp(c.Slope*float64(c.Values-1)), c.Values-1)
	fmt.Fprintf(&b, ", growing by %s a week (95%%: %s to %s) since the week of %s", percent(math.Expm1(c.Slope)), percent(math.Expm1(c.Low)), percent(math.Expm1(c.High)), week(c.Since))
	const month = 30.0 / 7
	fmt.Fprintf(&b, "; in a month it will be %s a day (%s to %s) if it goes on",
		amount(c.metric.String(), c.last*math.Exp(c.Slope*month)), round(c.last*math.Exp(c.Low*month)), round(c.last*math.Exp(c.High*month)))
	return b.String() + "."
}

func round(v float64) string { return thousands(uint64(math.Round(v))) }
