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

const (
	week  = schema.Day(17882) // that is judged: from Monday, 17 December 2018
	weeks = 12
)

const weeksRegistry = `
capabilities: {messaging: {}, friends: {}}
partners:
  p:
    agreement: {start: 2013-01-01}
  announced:
    agreement: {start: 2013-01-01}
    expected: [{from: 2018-11-01, until: 2019-01-31, factor: 5, why: a launch}]
`

// key is a key of a partner and how much it does on each of the 84 days.
type key struct {
	capability, app string
	on              func(day int) float64
}

// flat does the same every day but for weekends.
func flat(n float64) func(int) float64 {
	return func(day int) float64 {
		if day%7 >= 5 {
			return n / 3
		}
		return n
	}
}

// growing does more by a share each week.
func growing(n, share float64) func(int) float64 {
	return func(day int) float64 { return flat(n)(day) * math.Pow(1+share, float64(day)/7) }
}

// since does so many times as much from a day on.
func since(of func(int) float64, from int, times float64) func(int) float64 {
	return func(day int) float64 {
		if day >= from {
			return times * of(day)
		}
		return of(day)
	}
}

// asWeeks lays keys out as the answer to a question about a partner, or about a
// capability where one is given; the first series is the whole.
func asWeeks(seed uint64, partner, capability string, keys ...key) (usage.Question, usage.Answer) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	q := usage.Question{
		FindingKey: schema.FindingKey{Partner: partner, Capability: capability, Window: schema.WindowClockWeek, Period: week},
		Spans:      []usage.Span{{From: week, To: week + 7}}, History: detectors.WeeksHistory,
	}
	all := make([]usage.Series, 1+len(keys))
	for k := range all {
		s := &all[k]
		s.UsageKey, s.Begin, s.Step = schema.UsageKey{Partner: partner, Capability: capability}, (week - detectors.WeeksHistory).Second(), schema.Daily
		for m := range s.Values {
			s.Values[m] = make([]float64, weeks*7)
		}
		if k == 0 {
			continue
		}
		s.Capability, s.App, s.Action = keys[k-1].capability, keys[k-1].app, schema.Read
		for day := range weeks * 7 {
			n := math.Round(keys[k-1].on(day) * math.Exp(0.1*rnd.NormFloat64()))
			for m, each := range []float64{usage.Accesses: 1, usage.People: 0.8, usage.Bytes: 1000} {
				s.Values[m][day] = math.Round(n * each)
				all[0].Values[m][day] += s.Values[m][day]
			}
		}
	}
	return q, usage.Answer{Series: all, Watermark: (week + 7).Second()}
}

func TestOnlyGrowthOverWeeksCreeps(t *testing.T) {
	registry := parse(t, weeksRegistry)
	for _, c := range []struct {
		what    string
		partner string
		on      func(int) float64
		says    string // empty: no finding
	}{
		{"as ever", "p", flat(500), ""},
		{"a tenth more each week", "p", growing(500, 0.1), "growing by 10% a week"},
		{"a tenth more each week, with an outage of four days and a storm of one", "p", func(day int) float64 {
			switch {
			case day >= 30 && day < 34:
				return 0
			case day == 50:
				return 30 * growing(500, 0.1)(day)
			}
			return growing(500, 0.1)(day)
		}, "growing by"},
		{"a quarter more each week since the fifth", "p", func(day int) float64 { return growing(500, 0.25)(max(day-28, 0)/7*7 + day%7) }, "since the week of 2018-10-2"},
		{"three in a hundred more each week", "p", growing(500, 0.03), ""},
		{"four times as much at one go", "p", since(flat(500), 60, 4), ""},
		{"one week of ten times as much", "p", since(since(flat(500), 70, 10), 77, 0.1), ""},
		{"less each week", "p", growing(5000, -0.1), ""},
		{"a tenth more each week of hardly anything", "p", growing(5, 0.1), ""},
		{"a tenth more each week, which is announced", "announced", growing(500, 0.1), ""},
		{"begun four weeks ago", "p", since(growing(1, 0.5), 56, 500), ""},
	} {
		for seed := range uint64(5) {
			q, a := asWeeks(seed, c.partner, "messaging", key{"messaging", "a", c.on})
			f, ok := detectors.Creep{}.Judge(registry, q, a)
			if ok != (c.says != "") || !strings.Contains(f.Sentence, c.says) || ok && (f.Severity != schema.Warning || f.State != schema.Open) {
				t.Errorf("%s: %v, %s %q; want %q", c.what, ok, f.Severity, f.Sentence, c.says)
			}
		}
	}
	q, a := asWeeks(1, "p", "messaging", key{"messaging", "a", growing(500, 0.1)})
	f, _ := detectors.Creep{}.Judge(registry, q, a)
	const want = "p in messaging: 949 people a day in the week of 2018-12-17, 2.8 times as much as 11 weeks before, growing by 10% a week (95%: 9% to 11%)"
	if !strings.HasPrefix(f.Sentence, want) {
		t.Errorf("it says %q, want %q", f.Sentence, want)
	}
	for m := range a.Series[0].Values {
		for k := range a.Series {
			a.Series[k].Values[m] = a.Series[k].Values[m][:weeks*7-1]
		}
	}
	if scores, _, ok := (detectors.Creep{}).Score(registry, q, a); ok || scores != nil {
		t.Error("a week that is not over is judged")
	}
}

func TestTheBandOfACreepIsAsFarBelowAsAboveByFactor(t *testing.T) {
	q, a := asWeeks(3, "p", "messaging", key{"messaging", "web", growing(500, 0.1)})
	scores, _, _ := detectors.Creep{}.Score(parse(t, weeksRegistry), q, a)
	if len(scores) == 0 {
		t.Fatal("no week was scored")
	}
	for _, s := range scores {
		below, above := s.Expected/s.Low, s.High/s.Expected
		if !(below > 1) || math.Abs(below-above) > 1e-9*above {
			t.Errorf("%s: expected %g, from %g to %g", s.Metric, s.Expected, s.Low, s.High)
		}
	}
}

func TestOnlyAMixThatMovesBeyondItsPastIsAShift(t *testing.T) {
	registry := parse(t, weeksRegistry)
	half := func(from int, a, b float64) []key { // of two capabilities
		return []key{{"messaging", "", since(flat(500), from, a)}, {"friends", "", since(flat(500), from, b)}}
	}
	restless := func(last float64) []key { // which goes to and fro by a quarter each week
		return []key{
			{"messaging", "", func(day int) float64 {
				if day/7 == weeks-1 {
					return 500 * last
				}
				return []float64{250, 750, 400, 600}[day/7%4]
			}},
			{"friends", "", flat(500)},
		}
	}
	for _, c := range []struct {
		what    string
		partner string
		keys    []key
		says    string
	}{
		{"as ever", "p", half(0, 1, 1), ""},
		{"twice as much of everything", "p", half(77, 2, 2), ""},
		{"a fifth of the accesses for something else", "p", half(77, 1.4, 0.6), "messaging had "},
		{"all for something else", "p", half(77, 2, 0), "messaging had 100%, and "},
		{"all of one, for the other fell silent", "p", []key{{"friends", "", since(flat(500), 77, 0)}, {"messaging", "", flat(500)}}, "friends fell silent"},
		{"a twentieth for something else", "p", half(77, 1.1, 0.9), ""},
		{"restless as ever", "p", restless(1.4), ""},
		{"restless, and all for something else", "p", restless(100), ""}, // which it may do, for all its past says
		{"announced", "announced", half(77, 1.4, 0.6), ""},
		{"since four weeks", "p", half(56, 1.4, 0.6), ""},
	} {
		for seed := range uint64(5) {
			q, a := asWeeks(seed, c.partner, "", c.keys...)
			f, ok := detectors.MixShift{}.Judge(registry, q, a)
			if ok != (c.says != "") || !strings.Contains(f.Sentence, c.says) || ok && (f.Severity != schema.Warning || f.State != schema.Open) {
				t.Errorf("%s: %v, %s %q; want %q", c.what, ok, f.Severity, f.Sentence, c.says)
			}
		}
	}
	q, a := asWeeks(1, "p", "messaging", key{"messaging", "web", since(flat(500), 77, 0.5)}, key{"messaging", "batch", since(flat(500), 77, 3)})
	f, _ := detectors.MixShift{}.Judge(registry, q, a)
	if !strings.Contains(f.Sentence, "batch read had 85%, and 50% in the 11 weeks before") {
		t.Errorf("it says %q", f.Sentence)
	}
}

func TestWhatACapabilityDoesByItselfIsNotToldOfTheWholeToo(t *testing.T) {
	registry := parse(t, weeksRegistry)
	for _, c := range []struct {
		what  string
		keys  []key
		found bool
	}{
		{"one capability grows", []key{{"messaging", "", growing(500, 0.12)}, {"friends", "", flat(20)}}, false},
		{"each capability takes over what the one before did, and a little more", []key{
			{"a", "", since(flat(300), 21, 0.1)}, {"b", "", since(since(flat(50), 21, 8), 42, 0.1)},
			{"c", "", since(since(flat(50), 42, 12), 63, 0.1)}, {"d", "", since(flat(50), 63, 20)},
		}, true},
	} {
		q, a := asWeeks(1, "p", "", c.keys...)
		if f, ok := (detectors.Creep{}).Judge(registry, q, a); ok != c.found {
			t.Errorf("%s: %v %q", c.what, ok, f.Sentence)
		}
	}
}

func TestAWeeksFindingLastsUntilTheNextWeekIsClosed(t *testing.T) {
	registry := parse(t, weeksRegistry)
	q, a := asWeeks(1, "p", "messaging", key{"messaging", "a", growing(500, 0.1)})
	for _, c := range []struct {
		watermark schema.Day
		state     schema.State
	}{{week + 7, schema.Open}, {week + 13, schema.Open}, {week + 14, schema.Ended}, {week + 40, schema.Ended}} {
		a.Watermark = c.watermark.Second()
		f, ok := detectors.Creep{}.Judge(registry, q, a)
		if !ok || f.State != c.state || c.state == schema.Ended && !f.EndedAt.Equal((week+14).Time()) {
			t.Errorf("at %s it is %s, to %s", c.watermark, f.State, f.EndedAt)
		}
	}
}

func TestOrdinaryWeeksSeldomCreepOrShift(t *testing.T) {
	registry := parse(t, weeksRegistry)
	rnd := rand.New(rand.NewPCG(9, 9))
	const partners = 4000
	creeps, shifts := 0, 0
	for seed := range uint64(partners) {
		// A business that grows or shrinks by up to 15% a month and wanders by 5% a week.
		wander := make([]float64, weeks)
		for i := 1; i < weeks; i++ {
			wander[i] = wander[i-1] + 0.05*rnd.NormFloat64()
		}
		drift := 0.035 * (2*rnd.Float64() - 1)
		size := math.Exp(4 + 5*rnd.Float64())
		on := func(share float64) func(int) float64 {
			return func(day int) float64 { return share * growing(size, drift)(day) * math.Exp(wander[day/7]) }
		}
		q, a := asWeeks(seed, "p", "", key{"messaging", "", on(0.6)}, key{"friends", "", on(0.4)})
		if _, ok := (detectors.Creep{}).Judge(registry, q, a); ok {
			creeps++
		}
		if _, ok := (detectors.MixShift{}).Judge(registry, q, a); ok {
			shifts++
		}
	}
	years := partners / 52.18
	t.Logf("%d of creep and %d of mix_shift in %.0f partner-years", creeps, shifts, years)
	if float64(creeps) > 0.2*years || float64(shifts) > 0.2*years {
		t.Errorf("in %.0f years creep warned %d times and mix_shift %d times", years, creeps, shifts)
	}
}
