package main

import (
	"math"
	"slices"

	"github.com/overreach/overreach/detectors/baseline"
)

// A feed turns rows into scores, a row at a time. The benchmark's rows are not
// hourly counts of a partner, so it translates: it asks the baseline about the
// row and about the last hour's mean, on either side. How surprising each is it
// holds against how surprising the series was so far, since all series are read
// at one threshold; and it tells an episode once, unless it gets worse.
type feed struct {
	times  []int64
	values []float64
	low    float64
	views  [2]view // of the row, of the last hour
	peak   float64
	last   int
	buf    []float64
	known  []bool
}

const (
	rowsKept  = 4032
	span      = 3600
	spansKept = 1344
	enough    = 20  // rows before the first is judged
	quiet     = 200 // rows after which an episode is over
	worse     = 1.5 // by which an episode must surpass what was told of it
)

// next is the score of a row.
func (f *feed) next(t int64, v float64) float64 {
	if len(f.values) == 0 {
		f.low, f.last = v, -quiet-1
	}
	f.low = min(f.low, v)
	f.times, f.values = append(f.times, t), append(f.values, v)
	n := len(f.values)
	if n < enough {
		return 0
	}
	step := f.step()
	total := f.views[0].surprise(f.row(step))
	if step < span {
		total += f.views[1].surprise(f.hour())
	}
	if n-f.last > quiet {
		f.peak = 0
	}
	if total <= 0 || total <= f.peak+worse {
		return 0
	}
	f.peak, f.last = total, n
	return math.Min(total/100, 1)
}

// above0 moves a value so that none so far is negative.
func (f *feed) above0(v float64) float64 { return v - min(f.low, 0) }

func (f *feed) row(step int64) float64 {
	n := len(f.values)
	f.buf = f.buf[:0]
	for _, x := range f.values[max(0, n-1-rowsKept) : n-1] {
		f.buf = append(f.buf, f.above0(x))
	}
	t := f.times[n-1]
	s := baseline.Series{Start: t - int64(len(f.buf))*step, Step: step, Value: f.buf}
	return baseline.Judge(s, t, f.above0(f.values[n-1]), baseline.Either, &f.views[0].scratch).Chance
}

// hour judges the mean of the last hour's rows against the hours before it.
func (f *feed) hour() float64 {
	n := len(f.values)
	t := f.times[n-1]
	f.buf, f.known = f.buf[:0], f.known[:0]
	sum, got, edge := 0.0, 0, t-span
	for i := n - 1; i >= 0 && len(f.buf) <= spansKept; i-- {
		for f.times[i] <= edge && len(f.buf) <= spansKept {
			f.buf = append(f.buf, sum/max(float64(got), 1))
			f.known = append(f.known, got > 0)
			sum, got, edge = 0, 0, edge-span
		}
		sum += f.above0(f.values[i])
		got++
	}
	k := len(f.buf) - 1
	if k < 1 {
		return 1
	}
	slices.Reverse(f.buf)
	slices.Reverse(f.known)
	at := t - span
	s := baseline.Series{Start: at - int64(k)*span, Step: span, Value: f.buf[:k], Known: f.known[:k]}
	return baseline.Judge(s, at, f.buf[k], baseline.Either, &f.views[1].scratch).Chance
}

// step is the usual time between two of the first rows, as a divisor of a day.
func (f *feed) step() int64 {
	var gaps []int64
	for i := 1; i < min(len(f.times), 100); i++ {
		gaps = append(gaps, f.times[i]-f.times[i-1])
	}
	slices.Sort(gaps)
	usual := gaps[len(gaps)/2]
	for _, c := range []int64{60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400} {
		if usual <= c+c/4 {
			return c
		}
	}
	return 86400
}

// A view holds a chance against the series' own past: it learns where the most
// surprising row of a block of rows usually lies, and how far beyond that they
// reach, and gives the tail of that (Pareto's, the predictive distribution of an
// exponential whose mean was estimated), as -log10.
type view struct {
	scratch baseline.Scratch
	blocks  []float64 // sorted
	rows    int
	top     float64
	middle  float64
	reach   float64
}

const (
	block       = 60  // rows
	before      = 15  // blocks that a series is thought to have had before its first
	priorMiddle = 1.2 // of those
	priorReach  = 0.3 // of those
	learnt      = 8.0 // a block's greatest counts as this much at most
	heard       = 30.0
)

func (v *view) surprise(chance float64) float64 {
	if v.rows == 0 {
		v.middle, v.reach = priorMiddle, priorReach
	}
	s := min(-math.Log10(chance), heard)
	n := float64(len(v.blocks) + before)
	out := 0.0
	if beyond := s - v.middle; beyond > 0 {
		out = n * math.Log10(1+beyond/(n*v.reach))
	}
	v.top = max(v.top, s)
	if v.rows++; v.rows%block == 0 {
		top := min(v.top, learnt)
		at, _ := slices.BinarySearch(v.blocks, top)
		v.blocks = slices.Insert(v.blocks, at, top)
		v.top = 0
		k := len(v.blocks)
		v.middle = (v.blocks[k/2]*float64(k) + priorMiddle*before) / float64(k+before)
		sum, over := priorReach*before, float64(before)
		for _, b := range v.blocks {
			if b > v.middle {
				sum += b - v.middle
				over++
			}
		}
		v.reach = sum / over
	}
	return out
}
