// Package baseline says what one key's next bucket should hold, judging by the
// closed buckets before it, and how surprising what it holds is.
//
// The baseline is a level times a season. The level of a day is the median of
// the seven before it, so three days of anything do not move it far, and a lasting
// change is followed after four. The season is none, hour of day or hour of week,
// whichever is nearest to the history for what each slot saw of itself. Noise
// grows with the expectation as counts do (variance = unit·μ + φ·μ²); on the
// scale that makes it even, it is a Student-t whose centre, scale and tail are
// those of the history's own residuals, episodes left out, and no lighter than
// what the greatest of each day promise; small counts are mixed with the negative
// binomial. A bucket at which a job came before (daily, weekly, fortnightly, monthly) is
// compared with what it brought then.
//
// Everything is a pure function of the slice: nothing that was scored feeds back.
package baseline

import "math"

// Series is what is known of one key: equally long, closed buckets, oldest first.
type Series struct {
	Start int64     // of the first bucket, in seconds since 1970 UTC
	Step  int64     // seconds a bucket; divides a day
	Unit  float64   // what one event adds: 1 for counts; 0 for what is measured, not counted
	Value []float64 // not negative; a value that is no number is unknown
	Known []bool    // false where coverage was missing or an outage lay; nil: all known
}

// Side says which surprises count.
type Side uint8

// Sides of a baseline.
const (
	Above  Side = iota // as much or more
	Either             // as far from what is expected, above or below
)

// Season is the period that a baseline repeats with.
type Season uint8

// Seasons.
const (
	None Season = iota
	Daily
	Weekly
)

// String implements fmt.Stringer.
func (s Season) String() string { return [...]string{"none", "hour of day", "hour of week"}[s] }

// Job is a schedule on which the key had a burst at this place before.
type Job uint8

// Schedules.
const (
	NoJob   Job = iota
	EachDay     // on the last three days
	EachWeek
	EachFortnight
	EachMonth
)

// String implements fmt.Stringer.
func (j Job) String() string {
	return [...]string{"none", "daily", "weekly", "fortnightly", "monthly"}[j]
}

// Maturity says how much a baseline rests on.
type Maturity uint8

// Maturities: less than a day known; less than two weeks known, so that no
// weekday was seen twice: to be compared with peers; the rest.
const (
	Learning Maturity = iota
	Thin
	Mature
)

// String implements fmt.Stringer.
func (m Maturity) String() string { return [...]string{"learning", "thin", "mature"}[m] }

// Judged is what a baseline says of one bucket.
type Judged struct {
	Expected  float64  // what is expected: the centre
	Low, High float64  // one bucket in a hundred lies below Low, one above High
	Chance    float64  // of this much or more (or as far off) under the baseline; 1 while Learning
	Maturity  Maturity // of the baseline
	Days      float64  // known days in the history
	Season    Season   // that the baseline repeats with
	Job       Job      // that is due in this bucket and taken into account
	Shifted   bool     // would be usual an hour earlier or later, as after a clock change, and is judged so
	CatchesUp bool     // is no more than what an outage just before held back, and is judged so
	Level     float64  // a bucket's mean over the last week, robust, without season
	Spread    float64  // the coefficient of variation √φ beyond what counting itself makes
}

const (
	band     = 0.01 // chance beyond each of Low and High
	hour     = 3600
	day      = 86400
	week     = 7
	thinDays = 14

	outageDays = 2 // for so long what an outage held back may come
)

// Scratch is memory that Judge uses again: a call allocates nothing once it has
// seen a series of that length. It is not for concurrent use.
type Scratch struct {
	level       []float64 // of each bucket's day, before the season
	inverse     []float64 // 1/level
	rootInverse []float64 // 1/√level
	root        []float64 // √value, NaN where unknown
	factor      [3][]float64
	blocks      []float64
	slot        []float64
	own, events []float64 // of each slot
	z           []float64
	mu          []float64
}

// Judge says what s expects of the bucket that begins at t and how surprising
// observed is there. Only buckets of s before t count. Where t lies more than a
// week after the last of them, it knows no more than while Learning.
func Judge(s Series, t int64, observed float64, side Side, w *Scratch) Judged {
	var one [1]Judged
	return JudgeEach(s, t, []float64{observed}, side, w, one[:0])[0]
}

// JudgeEach is Judge for each of the buckets that follow one another from t on,
// a day's at most: all by the baseline of what was before t, which is found once.
// What it says is appended to judged.
func JudgeEach(s Series, t int64, observed []float64, side Side, w *Scratch, judged []Judged) []Judged {
	at := 0
	if s.Step > 0 && t > s.Start {
		at = int((t - s.Start) / s.Step)
	}
	s.Value = s.Value[:min(at, len(s.Value))]
	m, ok := fit(s, at, w)
	for k, x := range observed {
		judged = append(judged, m.judge(s, ok, t+int64(k)*s.Step, at, observed[:k], x, side))
	}
	return judged
}

// judge judges the bucket at t by the model, where there is one; today is what was
// observed between the first judged bucket and it.
func (m *model) judge(s Series, ok bool, t int64, first int, today []float64, observed float64, side Side) Judged {
	at := first + len(today)
	unknown := math.IsNaN(observed)
	observed = math.Min(math.Max(observed, 0), greatest)
	out := Judged{Chance: 1, Days: m.days, Season: m.season, Level: m.level, Spread: math.Sqrt(m.phi)}
	switch {
	case m.days >= thinDays:
		out.Maturity = Mature
	case ok:
		out.Maturity = Thin
	}
	if !ok {
		return out
	}
	mu := m.at(at)
	out.Expected = mu
	out.Low, out.High = m.low(mu), m.high(mu)
	above := m.above(mu, observed)
	if shifted := max(m.at(at-m.hour), m.at(at+m.hour)); above < shiftBelow && shifted > mu {
		if p := math.Min(m.above(shifted, observed), shiftBelow); p > above*10 {
			above, out.Shifted = p, true
		}
	}
	if above < shiftBelow && observed-mu <= m.heldBack(s, first, today) {
		above, out.CatchesUp = shiftBelow, true
	}
	if j, size, spread := recurs(s, m, t, at, out.High); j != NoJob {
		out.Job, out.Expected = j, size
		out.High = math.Min(math.Max(out.High, size*math.Exp(spread*jobTail)), greatest)
		if observed > 0 {
			above = math.Max(above, studentAbove(math.Log(observed/size)/spread, jobFreedom))
		}
	}
	out.Chance = above
	if side == Either {
		out.Chance = math.Min(1, 2*math.Min(above, m.below(mu, observed)))
	}
	out.Chance = math.Max(out.Chance, smallest)
	if unknown {
		out.Chance = 1
	}
	return out
}

// shiftBelow is the chance from which on a clock change is thought of, and that
// what it explains is given: so seldom that ordinary buckets are judged as ever,
// so often that nobody is told.
const shiftBelow = 1e-3

// heldBack is how much of what was to be expected in the two days before did not
// come, in buckets with less than a quarter of it, and has not been made up for since.
func (m *model) heldBack(s Series, first int, today []float64) float64 {
	missed := 0.0
	for i := max(first+len(today)-outageDays*m.per, 0); i < first+len(today); i++ {
		x, known := 0.0, true
		switch {
		case i >= first:
			x = today[i-first]
		case i < len(s.Value):
			x, known = s.Value[i], s.Known == nil || s.Known[i]
		default:
			known = false
		}
		mu := m.at(i)
		if known && x < mu/4 {
			missed += mu - x
		} else if known && x > mu {
			missed = math.Max(missed-(x-mu), 0)
		}
	}
	return missed
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
