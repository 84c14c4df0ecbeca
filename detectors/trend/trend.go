// Package trend says whether a series of days has been growing for weeks, how fast,
// since when, and where it will be.
package trend

import (
	"math"
	"slices"
)

// The weeks that a trend is looked for in. Of fewer than ten even the straightest
// rise is too likely by chance to stand out in a year of days.
const (
	Weeks = 16 // at most
	Least = 10 // known, at least
)

// stepShare is how much of a year a step spends where it makes a rise most likely,
// where there is about one a year: a month.
const stepShare = 1. / 12

// Trend is the growth of a key over the last weeks. Slopes are of the natural
// logarithm of a day's value, a week.
type Trend struct {
	Known int // weeks with at least four known days

	// Chance is that of weeks as much in ascending order as these, or more, where
	// their order is by chance: Kendall's test (Mann 1945, Kendall 1955), exact. It
	// does not depend on how the values are distributed. A step, wherever it is, is
	// allowed for: the order within its two sides must be as unlikely, but for
	// stepShare. 1 where fewer than Least weeks are known.
	Chance float64

	Slope, Low, High float64 // since then: median of the pairs' slopes, and its 95% interval (Sen 1968, section 3)
	Since            int     // weeks before the last in which the growth began
	Before, Now      float64 // the median day's value until then, and in the last week by the slope
	residual         float64 // 95% of the weeks are within so much of the line, in logarithms
	span             float64 // half of the weeks between the first and the last
}

// Of fits the days, oldest first, of which the last is the last day of the last
// week. NaN is not known. A week is as high as its median day, in logarithms, so
// that neither the season of the week nor three odd days of it move it.
func Of(days []float64) Trend {
	at, height := weeks(days)
	t := Trend{Known: len(at), Chance: 1}
	if t.Known < leastSloped {
		return t
	}
	if t.Known >= Least {
		t.Chance = chanceOf(rises(height), t.Known, 0)
		for k := 1; k < t.Known; k++ {
			sides := chanceOf(rises(height[:k])+rises(height[k:]), k, t.Known-k)
			t.Chance = max(t.Chance, stepShare*sides)
		}
	}
	if from := t.change(at, height); len(at)-from >= leastSloped {
		at, height = at[from:], height[from:]
	}
	t.slope(at, height)
	return t
}

// leastSloped is how many weeks a slope is taken from at least: where the growth is
// younger, those before it count too.
const leastSloped = 6

// slope takes the slope and the level of the weeks.
func (t *Trend) slope(at, height []float64) {
	slopes := make([]float64, 0, len(at)*(len(at)-1)/2)
	for i := range at {
		for j := range i {
			slopes = append(slopes, (height[i]-height[j])/(at[i]-at[j]))
		}
	}
	slices.Sort(slopes)
	n, all := float64(len(at)), float64(len(slopes))
	half := 1.96 * math.Sqrt(n*(n-1)*(2*n+5)/18)
	t.Slope = median(slopes)
	t.Low = slopes[max(0, int(math.Floor((all-half)/2))-1)]
	t.High = slopes[min(len(slopes)-1, int(math.Ceil((all+half)/2)))]
	off := make([]float64, len(at))
	for i := range at {
		off[i] = height[i] - t.Slope*at[i]
	}
	slices.Sort(off)
	centre := median(off)
	t.Now = math.Exp(centre)
	for i := range off {
		off[i] = math.Abs(off[i] - centre)
	}
	slices.Sort(off)
	t.residual, t.span = student(n-2)*math.Sqrt(n/(n-2))*1.4826*median(off), (at[len(at)-1]-at[0])/2
}

// weeks returns the place and height of each known week; the last has place 0.
func weeks(days []float64) (at, height []float64) {
	known := make([]float64, 0, 7)
	for w := min(len(days)/7, Weeks) - 1; w >= 0; w-- {
		known = known[:0]
		end := len(days) - 7*w
		for _, v := range days[end-7 : end] {
			if v > 0 { // a day without anything says nothing of the growth
				known = append(known, math.Log(v))
			}
		}
		if len(known) >= 4 {
			slices.Sort(known)
			at, height = append(at, -float64(w)), append(height, median(known))
		}
	}
	return at, height
}

// student is the 97.5% quantile of Student's t (Abramowitz and Stegun, 26.7.5): the
// spread is known from a few weeks only.
func student(freedom float64) float64 {
	return 1.96 + 2.37/freedom + 2.82/(freedom*freedom)
}

// change finds the week since which it grows: flat until then and a line from
// there on, with the least sum of absolute residuals.
func (t *Trend) change(at, height []float64) (from int) {
	n, least := len(at), math.Inf(1)
	scratch := make([]float64, 0, n)
	for k := 0; k < max(1, n-2); k++ {
		scratch = append(scratch[:0], height[:k+1]...)
		slices.Sort(scratch)
		level := median(scratch)
		scratch = scratch[:0]
		for i := k + 1; i < n; i++ {
			scratch = append(scratch, (height[i]-level)/(at[i]-at[k]))
		}
		slices.Sort(scratch)
		slope, sum := median(scratch), 0.0
		for i := range at {
			sum += math.Abs(height[i] - level - slope*max(0, at[i]-at[k]))
		}
		if sum < least {
			least, from = sum, k
			t.Since, t.Before = int(-at[k]), math.Exp(level)
		}
	}
	return from
}

// In returns a day's value so many weeks after the last, if it grows on as it did,
// and bounds that hold nine of ten such weeks: fewer than the 95 of 100 that their
// parts are made for, since the spread and the beginning are learned from the
// same few weeks.
func (t Trend) In(weeks float64) (value, low, high float64) {
	log := math.Log(t.Now) + t.Slope*weeks
	below := math.Hypot((t.Slope-t.Low)*(weeks+t.span), t.residual)
	above := math.Hypot((t.High-t.Slope)*(weeks+t.span), t.residual)
	return math.Exp(log), math.Exp(log - below), math.Exp(log + above)
}

// Band returns between what a week's median day would be 99 times of 100 without
// growth, by how far the weeks are off the line.
func (t Trend) Band() (low, high float64) {
	off := math.Exp(t.residual * 2.58 / 1.96)
	return t.Before / off, t.Before * off
}

// rises counts the ascending pairs.
func rises(v []float64) int {
	n := 0
	for i := range v {
		for j := range i {
			if v[i] > v[j] {
				n++
			}
		}
	}
	return n
}

// pairs is how many pairs there are at most, and one.
const pairs = Weeks*(Weeks-1)/2 + 1

// tails holds, for two runs of such lengths, what chanceOf returns: it depends on
// nothing else, and would cost the most of a fit.
var tails = func() (all [Weeks + 1][Weeks + 1][pairs]float64) {
	for a := range all {
		for b := 0; a+b <= Weeks; b++ {
			all[a][b] = tail(a, b)
		}
	}
	return all
}()

// chanceOf returns the chance that, where two runs of such lengths are each in an
// order by chance, at least so many pairs within them are ascending.
func chanceOf(rises, a, b int) float64 { return tails[a][b][rises] }

// tail counts permutations by their inversions.
func tail(lengths ...int) (ways [pairs]float64) {
	ways[0] = 1
	most := 0
	for _, n := range lengths {
		for k := 2; k <= n; k++ {
			var next [pairs]float64
			for i := 0; i <= most; i++ {
				for j := range k {
					next[i+j] += ways[i] / float64(k)
				}
			}
			most += k - 1
			ways = next
		}
	}
	for i := most - 1; i >= 0; i-- {
		ways[i] += ways[i+1]
	}
	ways[0] = 1
	return ways
}

// median of sorted values.
func median(v []float64) float64 {
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
