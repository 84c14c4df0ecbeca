package detectors

import (
	"fmt"
	"math"
	"strings"

	"github.com/overreach/overreach/detectors/baseline"
	"github.com/overreach/overreach/detectors/trend"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// Creep finds growth over weeks that is too slow for any hour to stand out. Each
// UTC day is judged once it is closed, by the sixteen weeks that end with it.
type Creep struct{}

// What makes a finding.
const (
	creepWarns   = 0.01 // at or under this score: a hundred years
	creepLeast   = 20   // fewer accesses or people a day are no creep, however they grow
	creepGrown   = 1.25 // grown by less since it began is nobody's concern
	creepSteady  = 0.25 // the lower end of the slope's interval is so much of it: steps leave it wide
	creepHistory = 7*trend.Weeks - 1
	creepAhead   = 30.0 / 7 // weeks
	yearDays     = 365.25
)

// Name implements Detector.
func (Creep) Name() string { return "creep" }

// Step implements Scorer.
func (Creep) Step() schema.Resolution { return schema.Daily }

// BlindSpots implements Detector.
func (Creep) BlindSpots() string {
	return "growth in the first ten weeks of a key; growth of one app that others make up for; a season of the year, which looks like growth"
}

// Watches implements Detector.
func (Creep) Watches(r *schema.Registry, partner string) []string {
	if _, ok := r.Partners[partner]; !ok {
		return nil
	}
	return []string{"growth over weeks"}
}

// Ask implements Detector.
func (d Creep) Ask(r *schema.Registry, a usage.Activity) []usage.Question {
	if _, ok := r.Partners[a.Partner]; !ok {
		return nil
	}
	capabilities := []string{""}
	for _, s := range a.Scopes {
		if s.Capability != capabilities[len(capabilities)-1] { // scopes are in their order
			capabilities = append(capabilities, s.Capability)
		}
	}
	var questions []usage.Question
	for _, span := range periods(schema.WindowMonth, a.Days) {
		for _, c := range capabilities {
			questions = append(questions, usage.Question{
				FindingKey: schema.FindingKey{Detector: d.Name(), Partner: a.Partner, Capability: c, Window: schema.WindowClockDay, Cause: "creep", Period: span.From},
				Spans:      []usage.Span{span},
				History:    creepHistory,
			})
		}
	}
	return questions
}

// Judge implements Detector.
func (d Creep) Judge(r *schema.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	_, f, ok := d.Score(r, q, a)
	return f, ok
}

// creeping is what one metric of a day says.
type creeping struct {
	day    schema.Day
	metric usage.Metric
	trend  trend.Trend
	score  schema.Score
}

func (c *creeping) holds() bool { return c.score.Score <= creepWarns }

// Score implements Scorer.
func (d Creep) Score(r *schema.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if len(a.Series) == 0 {
		return nil, schema.Finding{}, false
	}
	s := &a.Series[0]
	var scores []schema.Score
	var first, last, peak *creeping
	few := make([]bool, s.Buckets()) // accesses in the week, which come first
	for _, m := range usage.Metrics {
		if !counts(s.Values[m]) {
			continue // as bytes, where events do not tell them
		}
		usual := make([]float64, s.Buckets())
		begin := schema.DayOfSecond(s.Begin)
		for i, v := range s.Values[m] {
			usual[i] = v / expectedFactor(r, q.Partner, q.Capability, begin+schema.Day(i))
		}
		for i := int(q.Spans[0].From - begin); i < s.Buckets(); i++ {
			c := &creeping{day: begin + schema.Day(i), metric: m, trend: trend.Of(usual[:i+1])}
			if m == usage.Accesses {
				few[i] = c.trend.Now < creepLeast
			}
			c.score = d.score(q, c, s.Values[m][i], few[i])
			scores = append(scores, c.score)
			if !c.holds() {
				continue
			}
			if first == nil || c.day < first.day {
				first = c
			}
			if last == nil || c.day > last.day {
				last = c
			}
			if peak == nil || m == peak.metric && c.trend.Now > peak.trend.Now || m == usage.People && peak.metric != m {
				peak = c
			}
		}
	}
	if first == nil {
		return scores, schema.Finding{}, false
	}
	return scores, d.find(r, q, a, first, last, peak), true
}

// score scores one metric of one day. The chance is corrected as if every day of a
// year and every metric were judged independently: they overlap, so this errs
// towards silence (Bonferroni's bound needs no independence).
func (d Creep) score(q usage.Question, c *creeping, observed float64, few bool) schema.Score {
	t := &c.trend
	chance := t.Chance
	if t.Low <= creepSteady*t.Slope || t.Slope <= 0 || t.Now < creepGrown*t.Before || few || c.metric == usage.People && t.Now < creepLeast || math.IsNaN(observed) {
		chance = 1
	}
	low, high := t.Band()
	maturity := baseline.Learning
	switch {
	case t.Known >= trend.Weeks:
		maturity = baseline.Mature
	case t.Known >= trend.Least:
		maturity = baseline.Thin
	}
	return schema.Score{
		Detector: d.Name(), Leaf: schema.Leaf{Partner: q.Partner, Capability: q.Capability}, Metric: c.metric.String(),
		Bucket: c.day.Second(), Step: schema.Daily, Observed: observed, Expected: t.Before, Low: low, High: high,
		Chance: chance, Score: baseline.Corrected(chance, float64(len(usage.Metrics))*yearDays),
		Threshold: creepWarns, Maturity: maturity.String(),
	}
}

// find makes the finding of a month's days.
func (d Creep) find(r *schema.Registry, q usage.Question, a usage.Answer, first, last, peak *creeping) schema.Finding {
	s, at := &a.Series[0], int(peak.day-schema.DayOfSecond(a.Series[0].Begin))
	people := uint64(s.Values[usage.People][at])
	t := &peak.trend
	f := schema.Finding{
		FindingKey: q.FindingKey, PeriodEnd: q.Spans[0].To, Severity: schema.Warning, State: schema.Open,
		FirstCrossing: (first.day + 1).Time(), Peak: (peak.day + 1).Time(),
		EvidenceFrom: (peak.day - schema.Day(7*t.Since)).Time(), EvidenceTo: (peak.day + 1).Time(),
		Accesses: uint64(s.Values[usage.Accesses][at]), People: schema.Estimate{Value: people, Low: people, High: people},
		Expected: &t.Before,
		Baseline: schema.Baseline{
			Window:  fmt.Sprintf("%s on the median day of the weeks before it grew, of %d weeks", peak.metric, t.Known),
			Samples: uint32(t.Known), Centre: t.Before,
		},
		Sentence: d.sentence(r, q, peak),
	}
	end := last.day + 2 // a closed day that is none
	if last.day+1 == q.Spans[0].To {
		end = last.day + 1
	}
	if a.Watermark >= end.Second() {
		f.State, f.EndedAt = schema.Ended, end.Time()
	}
	return f
}

func (d Creep) sentence(r *schema.Registry, q usage.Question, c *creeping) string {
	t, metric := &c.trend, c.metric.String()
	percent := func(slope float64) float64 { return 100 * math.Expm1(slope) }
	value, low, high := t.In(creepAhead)
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s: %s on a median day of the week to %s, %.1f times as much as %d weeks before; it has grown by %.1f%% a week (95 of 100: %.1f%% to %.1f%%) since about %s and will be at %s a day in 30 days if it goes on (9 of 10: %s to %s)",
		q.Partner, of(q.Capability), amount(metric, t.Now), c.day, t.Now/t.Before, t.Since, percent(t.Slope), percent(t.Low), percent(t.High),
		c.day-schema.Day(7*t.Since), amount(metric, value), amount(metric, low), amount(metric, high))
	if c.metric == usage.People {
		b.WriteString(crossing(r, q, c))
	}
	return b.String() + "."
}

// crossing says when a limit on people in 24 hours will be passed. Limits on longer
// windows count people once over days, which days do not tell.
func crossing(r *schema.Registry, q usage.Question, c *creeping) string {
	for _, l := range r.Partners[q.Partner].Limits {
		if l.Capability != q.Capability || l.Window != schema.Window24h {
			continue
		}
		limit, now := float64(l.People), c.trend.Now
		if now >= limit {
			return fmt.Sprintf("; it is past the limit of %s in 24 hours", thousands(l.People))
		}
		days := 7 * math.Log(limit/now) / c.trend.Slope
		if days > 365 {
			return ""
		}
		return fmt.Sprintf("; it would pass the limit of %s in 24 hours about %s", thousands(l.People), c.day+schema.Day(math.Ceil(days)))
	}
	return ""
}
