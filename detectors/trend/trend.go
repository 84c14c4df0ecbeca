// Package trend says whether few values grow, how fast, and since when, without
// being misled by one of them that is far off.
package trend

import (
	"math"
	"slices"

	"github.com/overreach/overreach/detectors/window"
)

// Line is a trend of equally spaced values.
type Line struct {
	Slope     float64 // a step, the median of all pairs' (Theil, 1950; Sen, 1968)
	Low, High float64 // 95% interval of it (Sen, 1968, section 4)
	Chance    float64 // of an order as ascending as this or more where every order is as likely (Kendall, 1938), exact; equal values count as neither
	Since     int     // index from which on it grows, where it was level before
	Step      bool    // two levels explain the values better than growth does
	Noise     float64 // deviation of the values from the line, robust
	Values    int

	base float64 // the line at 0
}

// At returns the line at x, which counts values from 0.
func (l *Line) At(x float64) float64 { return l.base + l.Slope*x }

// leastAfter is how many values must lie after the one from which on they grow.
const leastAfter = 3

// Fit returns the trend of values, oldest first. Fewer than three have none: their
// Chance is 1.
func Fit(values []float64) Line {
	n := len(values)
	l := Line{Values: n, Chance: 1}
	if n < 3 {
		return l
	}
	slopes, ascents := make([]float64, 0, n*(n-1)/2), 0
	for j := 1; j < n; j++ {
		for i := range j {
			slopes = append(slopes, (values[j]-values[i])/float64(j-i))
			switch {
			case values[j] > values[i]:
				ascents++
			case values[j] < values[i]:
				ascents--
			}
		}
	}
	slices.Sort(slopes)
	l.Slope = window.Median(slopes)
	// 1.96 deviations of Kendall's S.
	apart := 1.96 * math.Sqrt(float64(n*(n-1)*(2*n+5))/18)
	pairs := float64(len(slopes))
	l.Low = slopes[max(int((pairs-apart)/2), 0)]
	l.High = slopes[min(int(math.Ceil((pairs+apart)/2)), len(slopes)-1)]
	l.Chance = kendall(n, ascents)
	rest := make([]float64, n)
	for i, v := range values {
		rest[i] = v - l.Slope*float64(i)
	}
	l.base = window.Median(rest)
	l.Noise = 1.4826 * window.MAD(rest)
	straight := 0.0
	for i, v := range values {
		straight += math.Abs(v - l.At(float64(i)))
	}
	bent := math.Inf(1)
	for c := range n - leastAfter {
		if miss := hinge(values, c); miss < bent {
			bent, l.Since = miss, c
		}
	}
	if straight < bent {
		l.Since = 0
	}
	stepped := math.Inf(1)
	for c := 1; c < n; c++ {
		stepped = math.Min(stepped, level(values[:c])+level(values[c:]))
	}
	l.Step = stepped < math.Min(straight, bent)
	return l
}

// level is how far values lie from their median, in all.
func level(values []float64) float64 {
	centre, sum := window.Median(values), 0.0
	for _, v := range values {
		sum += math.Abs(v - centre)
	}
	return sum
}

// hinge is how far values lie, in all, from a level up to c and growth after it.
func hinge(values []float64, c int) float64 {
	base := window.Median(values[:c+1])
	var slopes []float64
	for i := c + 1; i < len(values); i++ {
		slopes = append(slopes, (values[i]-base)/float64(i-c))
	}
	slope, sum := window.Median(slopes), level(values[:c+1])
	for i := c + 1; i < len(values); i++ {
		sum += math.Abs(values[i] - base - slope*float64(i-c))
	}
	return sum
}

// kendall is the chance that of n values in any order the pairs that ascend exceed
// those that descend by s or more: by the number of orders with so many inversions
// (Kendall, 1938, section 6).
func kendall(n, s int) float64 {
	most := (n*(n-1)/2 - s) / 2 // inversions
	share := []float64{1}       // of the orders, by inversions
	for k := 2; k <= n; k++ {
		next := make([]float64, k*(k-1)/2+1)
		for i, p := range share {
			for more := range k {
				next[i+more] += p / float64(k)
			}
		}
		share = next
	}
	sum := 0.0
	for _, p := range share[:most+1] {
		sum += p
	}
	return math.Min(sum, 1)
}
