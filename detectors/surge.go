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

// Surge finds hours in which a partner touched far more people, made far more
// accesses or moved far more bytes than it ever did, in one capability or over
// all of them, without a limit that anybody set. What it compares with is printed
// in the finding. Each hour of the clock is judged once it is closed.
type Surge struct{}

// What makes a finding. The score is the chance that ordinary traffic of a
// partner's capability does as much in any hour of a year.
const (
	surgePages  = 0.01 // at or under this score: a hundred years; and the baseline is mature
	surgeLeast  = 20   // fewer accesses or people in an hour are no surge, whatever is usual
	surgeLearns = 2    // days, before which no hour of the day was seen twice
	yearHours   = 8766
)

// Name implements Detector.
func (Surge) Name() string { return "surge" }

// BlindSpots implements Detector.
func (Surge) BlindSpots() string {
	return "what grows too slowly for an hour to stand out; the same volume of other data; a partner's first day, and all that began with it"
}

// Watches implements Detector.
func (Surge) Watches(r *registry.Registry, partner string) []string {
	if _, ok := r.Partners[partner]; !ok {
		return nil
	}
	return []string{"far more in an hour than it ever did"}
}

// Ask implements Detector.
func (d Surge) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	key := schema.FindingKey{Detector: d.Name(), Window: schema.WindowClockHour, Cause: "surge"}
	return askClosed(key, 1, History, r, a, func(d schema.Day) schema.Day { return d })
}

// Judge implements Detector.
func (d Surge) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	_, f, ok := d.Score(r, q, a)
	return f, ok
}

// Score implements Scorer.
func (d Surge) Score(r *registry.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if len(a.Series) == 0 {
		return nil, schema.Finding{}, false
	}
	first := int((q.Spans[0].From.Second() - a.Series[0].Begin) / schema.Hourly.Seconds())
	if first >= a.Series[0].Buckets() {
		return nil, schema.Finding{}, false
	}
	hours := make([]surging, a.Series[0].Buckets()-first)
	for i := range hours {
		hours[i] = surging{begin: q.Spans[0].From.Second() + int64(i)*schema.Hourly.Seconds(), score: 1}
	}
	var scratch baseline.Scratch
	var scores []schema.Score
	keys := known(a.Series)
	apart := slices.IndexFunc(keys[first:], func(n int) bool { return n > 2 }) // a single part is the whole
	for k := range a.Series {
		s := &a.Series[k]
		begun := slices.IndexFunc(s.Values[usage.Accesses][first:], func(v float64) bool { return v > 0 })
		if begun < 0 || k > 0 && apart < 0 {
			continue
		}
		if k > 0 {
			begun = max(begun, apart)
		}
		for _, m := range usage.Metrics {
			if !counts(s.Values[m]) {
				continue // as bytes, where events do not tell them
			}
			some := d.score(r, q, s, first, m, a.Peers[m], keys, &scratch)
			for i := range hours {
				if k == 0 || i >= apart {
					hours[i].consider(&some[i], k)
				}
			}
			if k == 0 || q.Capability != "" { // a capability has a question of its own
				scores = append(scores, some[begun:]...) // before, nobody knew that the day has it
			}
		}
	}
	if q.Capability == "" {
		for i := range hours {
			hours[i].parts = hours[i].parts || apart < 0 || i < apart
		}
		leaveToParts(hours)
	}
	f, ok := d.find(r, q, a, hours)
	return scores, f, ok
}

// known returns how many of the series had begun at each bucket: what was not used
// yet may be read along for other days.
func known(all []usage.Series) []int {
	n := make([]int, all[0].Buckets())
	for k := range all {
		begun := slices.IndexFunc(all[k].Values[usage.Accesses], func(v float64) bool { return v > 0 })
		for i := max(begun, 0); begun >= 0 && i < len(n); i++ {
			n[i]++
		}
	}
	return n
}

// counts reports whether anything was counted.
func counts(values []float64) bool {
	return slices.ContainsFunc(values, func(v float64) bool { return v > 0 })
}

// score scores one metric of one key, from a bucket on.
func (d Surge) score(r *registry.Registry, q usage.Question, s *usage.Series, first int, m usage.Metric, peers []float64, keys []int, scratch *baseline.Scratch) []schema.Score {
	from, since := s.Begin+int64(first)*s.Step.Seconds(), beginning(s, first)
	factor := expectedFactor(r, q.Partner, s.Capability, q.Period)
	observed := make([]float64, s.Buckets()-first)
	for i := range observed {
		observed[i] = s.Values[m][first+i] / factor
	}
	history := baseline.Series{Start: s.Begin + int64(since)*s.Step.Seconds(), Step: s.Step.Seconds(), Unit: unitOf(m, s, since, first), Value: s.Values[m][since:first]}
	scores := make([]schema.Score, 0, len(observed))
	for i, judged := range baseline.JudgeEach(history, from, observed, baseline.Above, scratch, nil) {
		value := s.Values[m][first+i]
		if judged.Days < surgeLearns {
			judged.Maturity, judged.Chance = baseline.Learning, 1
		}
		if judged.Maturity != baseline.Mature {
			among, n := baseline.Among(peers, usage.PeerDays*int(schema.DaySeconds/s.Step.Seconds()), observed[i])
			switch {
			case n > 0 && judged.Maturity == baseline.Learning:
				judged.Expected, judged.High, judged.Chance = among.Expected, among.High, among.Chance
			case n > 0:
				judged.Chance = max(judged.Chance, among.Chance)
			}
		}
		if m != usage.Bytes && value < surgeLeast {
			judged.Chance = 1
		}
		scores = append(scores, schema.Score{
			Detector: d.Name(), UsageKey: schema.UsageKey{Partner: q.Partner, Capability: s.Capability, App: s.App, Action: s.Action}, Metric: m.String(),
			Bucket: from + int64(i)*s.Step.Seconds(), Step: s.Step, Observed: value,
			Expected: judged.Expected * factor, Low: judged.Low * factor, High: judged.High * factor,
			Chance: judged.Chance, Score: baseline.Corrected(judged.Chance, float64(max(keys[first+i], 1)*len(usage.Metrics)*yearHours)),
			Threshold: warns, Maturity: judged.Maturity.String(),
		})
	}
	return scores
}

// beginning returns the first bucket of the day on which the key was first used.
func beginning(s *usage.Series, before int) int {
	perDay := int(schema.DaySeconds / s.Step.Seconds())
	for i, v := range s.Values[usage.Accesses][:before] {
		if v > 0 {
			return i / perDay * perDay
		}
	}
	return before
}

// unitOf returns what one access adds to a metric, so that few are allowed to differ
// more. Of bytes it is twice their mean: what accesses bring whose sizes differ as
// an exponential's do has the variance of counts in that unit.
func unitOf(m usage.Metric, s *usage.Series, since, before int) float64 {
	if m != usage.Bytes {
		return 1
	}
	bytes, accesses := 0.0, 0.0
	for i := since; i < before; i++ {
		if b := s.Values[usage.Bytes][i]; b > 0 {
			bytes, accesses = bytes+b, accesses+s.Values[usage.Accesses][i]
		}
	}
	if accesses == 0 {
		return 1
	}
	return 2 * bytes / accesses
}

// expectedFactor returns by how much the registry says that more is to be expected
// on a day.
func expectedFactor(r *registry.Registry, partner, capability string, day schema.Day) float64 {
	factor := 1.0
	for _, e := range r.Partners[partner].Expected {
		if day >= e.From && day <= e.Until && (e.Capability == "" || e.Capability == capability) {
			factor = max(factor, e.Factor)
		}
	}
	return factor
}

// surging is what stands out in one hour: the least score of any key and metric.
type surging struct {
	begin  int64
	score  float64
	worst  schema.Score
	total  [len(usage.Metrics)]schema.Score // of the question as a whole
	parts  bool                             // a capability stands out by itself
	people bool                             // people or bytes stand out, not accesses alone
}

func (h *surging) consider(s *schema.Score, key int) {
	if key == 0 {
		for _, m := range usage.Metrics {
			if m.String() == s.Metric {
				h.total[m] = *s
			}
		}
	} else if s.Score <= warns && s.App == "" && s.Action == 0 {
		h.parts = true
	}
	if s.Score <= warns && s.Metric != usage.Accesses.String() {
		h.people = true
	}
	h.score = min(h.score, s.Score)
	if h.worst.Metric == "" || surer(s, &h.worst) {
		h.worst = *s
	}
}

// surer reports whether a says more than b: first comes what stands out, then
// people before accesses before bytes, then what is the less likely.
func surer(a, b *schema.Score) bool {
	if out := a.Score <= warns; out != (b.Score <= warns) {
		return out
	}
	if a.Metric != b.Metric {
		return a.Metric == usage.People.String() || a.Metric == usage.Accesses.String() && b.Metric == usage.Bytes.String()
	}
	return a.Chance < b.Chance
}

// leaveToParts leaves hours to the findings of the capabilities that stand out in
// them by themselves.
func leaveToParts(hours []surging) {
	for i := range hours {
		if hours[i].parts {
			hours[i].score = 1
		}
	}
}

// find makes the finding of a day's hours.
func (d Surge) find(r *registry.Registry, q usage.Question, a usage.Answer, hours []surging) (schema.Finding, bool) {
	var first, last, peak *surging
	for i := range hours {
		h := &hours[i]
		if h.score > warns {
			continue
		}
		if first == nil {
			first, peak = h, h
		}
		if last = h; h.worst.Chance < peak.worst.Chance {
			peak = h
		}
	}
	if first == nil {
		return schema.Finding{}, false
	}
	step := schema.Hourly.Seconds()
	people := peak.total[usage.People]
	f := schema.Finding{
		FindingKey: q.FindingKey, PeriodEnd: q.Spans[0].To,
		Severity: schema.Warning, State: schema.Open,
		FirstCrossing: utc(first.begin + step), Peak: utc(peak.begin + step),
		EvidenceFrom: utc(peak.begin), EvidenceTo: utc(peak.begin + step),
		Accesses: uint64(peak.total[usage.Accesses].Observed),
		People:   about(people.Observed, peak.total[usage.Accesses].Observed),
		Expected: &people.Expected,
		Baseline: schema.Baseline{
			Window:  fmt.Sprintf("people an hour by a baseline of the %d days before (%s); 99 of 100 hours lie between %.0f and %.0f", History, people.Maturity, people.Low, people.High),
			Samples: uint32(History) * 24, Centre: people.Expected, Spread: (people.High - people.Low) / 2,
		},
	}
	if peak.score <= surgePages && peak.worst.Maturity == baseline.Mature.String() && peak.people {
		f.Severity = schema.Critical
	}
	end := last.begin + 2*step // a closed hour that is none
	if last.begin+step == q.Spans[0].End() {
		end = last.begin + step
	}
	if a.Watermark >= end {
		f.State, f.EndedAt = schema.Ended, utc(end)
	}
	f.Sentence = d.sentence(r, q, peak, a.Peers[usage.Accesses])
	return f, true
}

func (d Surge) sentence(r *registry.Registry, q usage.Question, h *surging, peers []float64) string {
	w := &h.worst
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s in the hour to %s, where %s to be expected (99 of 100 hours: up to %s)", q.Partner+" in "+of(q.Capability),
		amount(w.Metric, w.Observed), clock(h.begin+schema.Hourly.Seconds()), amount(w.Metric, w.Expected)+" were", amount(w.Metric, w.High))
	if part := partOf(w, q.Capability); part != "" {
		fmt.Fprintf(&b, ", by %s", part)
	}
	if !h.people {
		b.WriteString("; people and bytes are as usual, as when calls are repeated")
	}
	if w.Maturity != baseline.Mature.String() {
		fmt.Fprintf(&b, "; the baseline is %s, so ", w.Maturity)
		if _, n := baseline.Among(peers, 1, w.Observed); n > 0 {
			fmt.Fprintf(&b, "it is compared with %s and ", count(uint64(n), "peer", "peers"))
		}
		b.WriteString("nobody is woken")
	}
	if f := expectedFactor(r, q.Partner, w.Capability, q.Period); f > 1 {
		fmt.Fprintf(&b, "; the registry expects %g times as much, which is allowed for", f)
	}
	return b.String() + "."
}

// partOf names the part of the question that stands out most.
func partOf(s *schema.Score, capability string) string {
	var parts []string
	if s.App != "" {
		parts = append(parts, "app "+s.App)
	}
	if s.Action != 0 {
		parts = append(parts, s.Action.String())
	}
	if s.Capability != capability {
		parts = append(parts, s.Capability)
	}
	return strings.Join(parts, " ")
}

// amount writes so much of a metric.
func amount(metric string, v float64) string {
	n := uint64(math.Round(max(v, 0)))
	switch metric {
	case usage.People.String():
		return count(n, "person", "people")
	case usage.Accesses.String():
		return count(n, "access", "accesses")
	}
	return count(n, "byte", "bytes")
}
