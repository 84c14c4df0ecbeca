package detectors_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

const creepRegistry = `
capabilities: {messaging: {}}
partners:
  p:
    agreement: {start: 2013-01-01}
    limits: [{capability: messaging, people: 4000, per: 24 hours}]
    expected: [{capability: messaging, from: 2018-12-01, until: 2018-12-31, factor: 3, why: a launch}]
`

// daily are days of a partner from before the month of a question until a day of
// it, that are so many accesses on the day i before (negative) or of the month.
func daily(seed uint64, q usage.Question, until int, noise float64, level func(i int) float64) usage.Answer {
	rnd := rand.New(rand.NewPCG(seed, 7))
	s := usage.Series{Leaf: schema.Leaf{Partner: "p", Capability: q.Capability}, Step: schema.Daily, Begin: (q.Period - q.History).Second()}
	for m := range s.Values {
		s.Values[m] = make([]float64, int(q.History)+until)
	}
	for i := range s.Values[usage.Accesses] {
		v := level(i-int(q.History)) * math.Exp(noise*rnd.NormFloat64())
		if i%7 < 2 {
			v *= 0.4
		}
		v = math.Round(v)
		s.Values[usage.Accesses][i], s.Values[usage.People][i], s.Values[usage.Bytes][i] = v, math.Round(0.8*v), 1000*v
	}
	return usage.Answer{Series: []usage.Series{s}, Watermark: s.Begin + int64(s.Buckets())*schema.DaySeconds}
}

// creepQuestion is the one that a day's touch raises about messaging.
func creepQuestion(t *testing.T, day string) usage.Question {
	t.Helper()
	d, err := schema.ParseDay(day)
	if err != nil {
		t.Fatal(err)
	}
	questions := detectors.Creep{}.Ask(parse(t, creepRegistry), usage.Activity{Partner: "p", Days: []schema.Day{d}, Scopes: []usage.Scope{{Capability: "messaging", Action: schema.Read}}})
	if len(questions) != 2 || questions[1].Capability != "messaging" {
		t.Fatalf("questions of the whole and of messaging: %+v", questions)
	}
	return questions[1]
}

func TestGrowthOverWeeksIsOneFindingAMonth(t *testing.T) {
	registry, q := parse(t, creepRegistry), creepQuestion(t, "2018-11-20")
	a := daily(1, q, 10, 0.05, func(i int) float64 { return 1000 * math.Exp(0.08*max(0, float64(i+70)/7)) })
	scores, f, ok := detectors.Creep{}.Score(registry, q, a)
	if !ok || f.Severity != schema.Warning || f.State != schema.Open || f.Period.String() != "2018-11-01" {
		t.Fatalf("found %v: %+v", ok, f)
	}
	for _, says := range []string{"p in messaging: ", "times as much as ", "% a week (95 of 100: ", " since about 2018-0", "in 30 days if it goes on", "it would pass the limit of 4,000 in 24 hours about 201"} {
		if !strings.Contains(f.Sentence, says) {
			t.Errorf("%q does not say %q", f.Sentence, says)
		}
	}
	if len(scores) != 3*10 {
		t.Errorf("%d scores, want those of 3 metrics and 10 days", len(scores))
	}
	for _, s := range scores {
		if s.Step != schema.Daily || s.Score < 0 || s.Score > 1 || !(s.Low <= s.Expected && s.Expected <= s.High) {
			t.Errorf("%+v", s)
		}
	}
}

func TestGrowthThatHasStoppedEnds(t *testing.T) {
	q := creepQuestion(t, "2018-11-20")
	f, ok := detectors.Creep{}.Judge(parse(t, creepRegistry), q, daily(1, q, 30, 0.02, func(i int) float64 {
		if i > 3 {
			return 900
		}
		return 1000 * math.Exp(0.08*float64(i+70)/7)
	}))
	if !ok || f.State != schema.Ended || f.EndedAt.Before(f.FirstCrossing) {
		t.Errorf("found %v: %+v", ok, f)
	}
}

func TestWhatIsNoSlowGrowthIsNoCreep(t *testing.T) {
	registry := parse(t, creepRegistry)
	for _, c := range []struct {
		what  string
		month string
		level func(i int) float64
	}{
		{"as ever", "2018-11-20", func(int) float64 { return 1000 }},
		{"a step", "2018-11-20", func(i int) float64 { return map[bool]float64{true: 3000, false: 1000}[i > -40] }},
		{"two steps", "2018-11-20", func(i int) float64 {
			return 1000 * map[bool]float64{true: 2, false: 1}[i > -60] * map[bool]float64{true: 2, false: 1}[i > -20]
		}},
		{"a launch that the registry expects", "2018-12-20", func(i int) float64 { return map[bool]float64{true: 3000, false: 1000}[i >= 0] }},
		{"an outage", "2018-11-20", func(i int) float64 { return map[bool]float64{true: 0, false: 1000}[i > -20 && i < -5] }},
		{"hardly anything, though it grows", "2018-11-20", func(i int) float64 { return 5 * math.Exp(0.08*float64(i+84)/7) }},
		{"a tenth more in all", "2018-11-20", func(i int) float64 { return 1000 * math.Exp(0.1*float64(i+111)/141) }},
	} {
		q := creepQuestion(t, c.month)
		for seed := range uint64(20) {
			if f, ok := (detectors.Creep{}).Judge(registry, q, daily(seed, q, 30, 0.03, c.level)); ok {
				t.Errorf("%s, seed %d: %s", c.what, seed, f.Sentence)
				break
			}
		}
	}
}

// A score of 0.01 claims one finding in a hundred partner-years at most.
func TestCleanYearsHaveNoMoreCreepThanTheScoreClaims(t *testing.T) {
	registry, q := parse(t, creepRegistry), creepQuestion(t, "2018-11-20")
	const months = 600
	found := 0
	for seed := range uint64(months) {
		if _, ok := (detectors.Creep{}).Judge(registry, q, daily(seed, q, 30, 0.4, func(int) float64 { return 1000 })); ok {
			found++
		}
	}
	t.Logf("%d findings in %d partner-months", found, months)
	if found > 3 { // half of one is claimed; four or more have a chance of 0.002
		t.Errorf("%d findings in %d partner-years, 0.5 are claimed", found, months/12)
	}
}
