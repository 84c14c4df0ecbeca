package baseline

import (
	"math"
	"time"
)

const (
	jobFreedom = 4    // degrees of freedom of a job's size, in logarithms: few were seen
	jobSpread  = 0.35 // its spread at least: a job moves half as much again or a third less
	jobTail    = 3.75 // studentAbove(jobTail, jobFreedom) = band
	jobHours   = 12   // longer bursts are no job where they were seen once
)

// recurs says whether bursts above high lay at the same place before, an hour to
// and fro: a week and two weeks ago, two and four weeks ago, or a month ago. It
// gives their usual size and how much it spreads, in logarithms.
func recurs(s Series, m *model, t int64, at int, high float64) (Job, float64, float64) {
	hourBuckets, days := m.hour, m.per
	high = math.Max(high, m.unit)
	usual := m.at(at)
	unusual := func(k int) bool { return s.Value[k] > high*math.Max(m.at(k)/usual, 1) } // for its own hour
	// burst is the greatest near bucket i of those known that are unusual, 0 if there
	// is none.
	burst := func(i int) float64 {
		top := 0.0
		for k := i - hourBuckets; k <= i+hourBuckets; k++ {
			if k < 0 || k >= len(s.Value) || s.Known != nil && !s.Known[k] || !(s.Value[k] <= greatest) {
				continue
			}
			if x := s.Value[k]; x > top && unusual(k) {
				top = x
			}
		}
		return top
	}
	brief := func(i int) bool {
		long := 0
		for k := max(i-jobHours*hourBuckets, 0); k < len(s.Value) && k <= i+jobHours*hourBuckets; k++ {
			if unusual(k) {
				long++
			}
		}
		return long <= jobHours*hourBuckets
	}
	two := func(step int) (float64, float64, bool) {
		a, b := burst(at-step*days), burst(at-2*step*days)
		if a == 0 || b == 0 {
			return 0, 0, false
		}
		return math.Sqrt(a) * math.Sqrt(b), math.Abs(math.Log(a / b)), true
	}
	// alone says that what was at i did not come each week or fortnight.
	alone := func(i int) bool {
		return burst(i-week*days) == 0 && burst(i+week*days) == 0 && burst(i-2*week*days) == 0 && burst(i+2*week*days) == 0
	}
	spread := math.Max(jobSpread, math.Sqrt(m.phi))
	if size, apart, ok := two(week); ok {
		return EachWeek, size, math.Max(spread, apart/2)
	}
	if size, apart, ok := two(2 * week); ok {
		return EachFortnight, size, math.Max(spread, apart/2)
	}
	for _, ago := range monthsAgo(t) {
		i := at - int((t-ago)/s.Step)
		if size := burst(i); size > 0 && brief(i) && alone(i) {
			return EachMonth, size, spread
		}
	}
	return NoJob, 0, 0
}

// monthsAgo is the same day of the last month, the same day counted from the
// month's end, and the same weekday of the month, at the same time of day.
func monthsAgo(t int64) [3]int64 {
	now := time.Unix(t, 0).UTC()
	y, m, d := now.Date()
	clock := t - time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day() // days of this month
	before := time.Date(y, m, 0, 0, 0, 0, 0, time.UTC)       // the last day of the one before
	same := before.AddDate(0, 0, min(d, before.Day())-before.Day())
	fromEnd := before.AddDate(0, 0, -(last - d))
	weeks := int64(4)
	if (now.AddDate(0, 0, -28).Day()-1)/week != (d-1)/week {
		weeks = 5
	}
	return [3]int64{same.Unix() + clock, fromEnd.Unix() + clock, t - weeks*week*day}
}
