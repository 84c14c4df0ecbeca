package main

import (
	"fmt"
	"math"

	"github.com/overreach/overreach/detectors/baseline"
)

type feed struct {
	times  []int64
	values []float64
	steps  []int64
	low    float64
	w      [6]baseline.Scratch
	buf    []float64
	known  []bool
	peak   float64
	last   int
}

const (
	rowsKept  = 4032
	hoursKept = 1344
)

func (f *feed) next(t int64, v float64) (float64, string) {
	if len(f.values) == 0 {
		f.low = v
		f.last = -1 << 30
	}
	f.low = math.Min(f.low, v)
	f.times = append(f.times, t)
	f.values = append(f.values, v)
	n := len(f.values)
	if n < 20 {
		return 0, ""
	}
	step := f.step()
	off := -math.Min(f.low, 0)
	// The row itself.
	from := max(0, n-1-rowsKept)
	f.buf = f.buf[:0]
	for _, x := range f.values[from : n-1] {
		f.buf = append(f.buf, x+off)
	}
	s := baseline.Series{Start: t - int64(len(f.buf))*step, Step: step, Value: f.buf}
	row := baseline.Judge(s, t, v+off, baseline.Either, &f.w[0]).Chance
	hour, rough, change, six := 1.0, 1.0, 1.0, 1.0
	value := func(i int) float64 { return f.values[i] + off }
	if step < 3600 {
		hour = f.spans(1, 3600, value)
		rough = f.spans(2, 3600, func(i int) float64 {
			if i == 0 {
				return 0
			}
			return math.Abs(f.values[i] - f.values[i-1])
		})
	}
	if step < 21600 {
		six = f.spans(3, 21600, value)
	}
	if step < 3600 {
		change = f.changes(4, 3600, value)
	}
	p := 3 * math.Min(row, math.Min(hour, rough))
	sc := math.Max(0, -math.Log10(p))
	if n-f.last > 24*int(3600/min(step, 3600)) {
		f.peak = 0
	}
	res := 0.0
	if sc > f.peak+1 {
		res = sc
		f.peak = sc
		f.last = n
	}
	return math.Min(res/300, 1), fmt.Sprintf("%.2g/%.2g/%.2g/%.2g/%.2g", row, hour, rough, six, change)
}

// spans judges the mean of the last span's rows against the spans before it.
func (f *feed) spans(view int, span int64, value func(int) float64) float64 {
	at, k := f.bucket(span, value)
	if k < 1 {
		return 1
	}
	s := baseline.Series{Start: at - int64(k)*span, Step: span, Value: f.buf[:k], Known: f.known[:k]}
	return baseline.Judge(s, at, f.buf[k], baseline.Either, &f.w[view]).Chance
}

func (f *feed) changes(view int, span int64, value func(int) float64) float64 {
	at, k := f.bucket(span, value)
	if k < 2 {
		return 1
	}
	for i := k; i > 0; i-- {
		f.buf[i] = math.Abs(f.buf[i] - f.buf[i-1])
		f.known[i] = f.known[i] && f.known[i-1]
	}
	f.known[0] = false
	s := baseline.Series{Start: at - int64(k)*span, Step: span, Value: f.buf[:k], Known: f.known[:k]}
	return baseline.Judge(s, at, f.buf[k], baseline.Above, &f.w[view]).Chance
}

// bucket fills buf with the means of the spans up to now, the last at k.
func (f *feed) bucket(span int64, value func(int) float64) (int64, int) {
	n := len(f.values)
	t := f.times[n-1]
	f.buf, f.known = f.buf[:0], f.known[:0]
	sum, got := 0.0, 0
	edge := t - span
	for i := n - 1; i >= 0 && len(f.buf) <= hoursKept; i-- {
		for f.times[i] <= edge && len(f.buf) <= hoursKept {
			f.buf = append(f.buf, sum/math.Max(float64(got), 1))
			f.known = append(f.known, got > 0)
			sum, got = 0, 0
			edge -= span
		}
		sum += value(i)
		got++
	}
	for i, j := 0, len(f.buf)-1; i < j; i, j = i+1, j-1 {
		f.buf[i], f.buf[j] = f.buf[j], f.buf[i]
		f.known[i], f.known[j] = f.known[j], f.known[i]
	}
	return t - span, len(f.buf) - 1
}

// step is the usual time between two rows, as far as seen, rounded to a divisor of a day.
func (f *feed) step() int64 {
	n := min(len(f.times), 100)
	var d []int64
	for i := 1; i < n; i++ {
		d = append(d, f.times[i]-f.times[i-1])
	}
	for i := 1; i < len(d); i++ {
		for j := i; j > 0 && d[j] < d[j-1]; j-- {
			d[j], d[j-1] = d[j-1], d[j]
		}
	}
	m := d[len(d)/2]
	for _, c := range []int64{60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 86400} {
		if m <= c+c/4 {
			return c
		}
	}
	return 86400
}
