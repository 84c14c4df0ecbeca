package detectors

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/overreach/overreach/detectors/baseline"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// MixShift finds weeks in which a partner used the API for other things than before,
// however much it used it: the shares of its capabilities, or of apps and actions in
// one, moved beyond what they ever moved. Each week is judged once it is closed.
type MixShift struct{}

const (
	mixLeast = 0.1  // share of the accesses that must have moved
	mixGrain = 0.02 // of it, what weeks differ by at least
)

// Name implements Detector.
func (MixShift) Name() string { return "mix_shift" }

// BlindSpots implements Detector.
func (MixShift) BlindSpots() string {
	return "a mix that moves by less than a tenth of the accesses, or a little each week; versions of the API; other objects under the same capability, app and action"
}

// Watches implements Detector.
func (MixShift) Watches(r *registry.Registry, partner string) []string {
	if _, ok := r.Partners[partner]; !ok {
		return nil
	}
	return []string{"other capabilities, apps or actions than in the weeks before"}
}

// Ask implements Detector.
func (d MixShift) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	return askWeeks(d.Name(), "mix", r, a)
}

// Judge implements Detector.
func (d MixShift) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	_, f, ok := d.Score(r, q, a)
	return f, ok
}

// mix is what parts had of the accesses, by week and part.
type mix [][]float64

// mean is the mix of all weeks but one.
func (m mix) mean(but int) []float64 {
	sum := make([]float64, len(m[0]))
	for w := range m {
		if w != but {
			for p, share := range m[w] {
				sum[p] += share / float64(len(m)-1)
			}
		}
	}
	return sum
}

// moved is the share of accesses by which two mixes differ: their total variation.
func moved(a, b []float64) float64 {
	sum := 0.0
	for p := range a {
		sum += math.Abs(a[p]-b[p]) / 2
	}
	return sum
}

// mixOf returns the mix of each week that has enough accesses to have one, the last of
// them the question's; ok is false where that has none, or too few before it.
func mixOf(r *registry.Registry, q *usage.Question, all []usage.Series) (m mix, ok bool) {
	parts := make([][]float64, len(all)-1)
	for p := range parts {
		parts[p] = make([]float64, weeksKept)
		for i, v := range all[p+1].Values[usage.Accesses] {
			parts[p][i/7] += v
		}
	}
	for w := range weeksKept {
		sum := 0.0
		for p := range parts {
			sum += parts[p][w]
		}
		if sum < 7*leastADay || announced(r, q.Partner, q.Period-7*schema.Day(weeksKept-1-w)) {
			if w == weeksKept-1 {
				return nil, false
			}
			continue
		}
		shares := make([]float64, len(parts))
		for p := range parts {
			shares[p] = parts[p][w] / sum
		}
		m = append(m, shares)
	}
	return m, len(m) >= creepWeeks
}

// announced reports whether the registry expects more of the partner in a week.
func announced(r *registry.Registry, partner string, week schema.Day) bool {
	return slices.ContainsFunc(r.Partners[partner].Expected, func(e registry.Expected) bool { return e.From < week+7 && e.Until >= week })
}

// Score implements Scorer.
func (d MixShift) Score(r *registry.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if !whole(&a) || len(a.Series) < 3 { // of one part there is no mix
		return nil, schema.Finding{}, false
	}
	m, ok := mixOf(r, &q, a.Series)
	if !ok {
		return nil, schema.Finding{}, false
	}
	last := len(m) - 1
	before := m[:last]
	var past []float64
	for w := range before {
		past = append(past, max(moved(before[w], before.mean(w)), mixGrain))
	}
	usual := m.mean(last)
	now := moved(m[last], usual)
	judged, n := baseline.Among(past, 1, now)
	if n == 0 {
		return nil, schema.Finding{}, false
	}
	if now < mixLeast {
		judged.Chance = 1
	}
	score := schema.Score{
		Detector: d.Name(), UsageKey: schema.UsageKey{Partner: q.Partner, Capability: q.Capability}, Metric: "mix",
		Bucket: (q.Period + 6).Second(), Step: schema.Daily, Observed: now, Expected: judged.Expected, High: judged.High,
		Chance: judged.Chance, Score: baseline.Corrected(judged.Chance, yearWeeks), Threshold: warns, Maturity: maturityOf(len(m)),
	}
	if score.Score > warns {
		return []schema.Score{score}, schema.Finding{}, false
	}
	f := ofWeek(&q, &a)
	f.Expected = &score.Expected
	f.Baseline = schema.Baseline{
		Window:  fmt.Sprintf("share of the accesses that moves from week to week, by %d weeks", last),
		Samples: uint32(last), Centre: score.Expected, Spread: (score.High - score.Expected),
	}
	f.Sentence = d.sentence(&q, &a, m, usual, now)
	return []schema.Score{score}, f, true
}

func (d MixShift) sentence(q *usage.Question, a *usage.Answer, m mix, usual []float64, now float64) string {
	last := len(m) - 1
	mover := 0
	for p := range usual {
		if m[last][p]-usual[p] > m[last][mover]-usual[mover] {
			mover = p
		}
	}
	least, most := 1.0, 0.0
	for _, week := range m[:last] {
		least, most = min(least, week[mover]), max(most, week[mover])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s: %s of the accesses in the week to %s are not what they were for: %s had %s, and %s in the %d weeks before (%s to %s)",
		q.Partner, of(q.Capability), percent(now), clock((q.Period + 7).Second()), partName(&a.Series[mover+1], q.Capability),
		percent(m[last][mover]), percent(usual[mover]), last, percent(least), percent(most))
	for p := range usual {
		if usual[p] > mixLeast && m[last][p] < usual[p]/10 {
			fmt.Fprintf(&b, "; %s fell silent, which makes the rest look greater", partName(&a.Series[p+1], q.Capability))
		}
	}
	return b.String() + "."
}

// partName names a part of what a question is about.
func partName(s *usage.Series, capability string) string {
	if capability == "" {
		return s.Capability
	}
	name := s.Action.String()
	if s.App != "" {
		name = s.App + " " + name
	}
	return name
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
