package window

import (
	"math"
	"slices"
)

// Median returns the middle of the values, or the mean of the two in the middle,
// and NaN for none. Up to half of the values may be anything without moving it
// out of the range of the others. The values are left as they are, and must not
// be NaN.
func Median(values []float64) float64 {
	var buf [32]float64
	return median(append(buf[:0], values...))
}

// median is Median, of values that it may reorder.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	low, high := values[(n-1)/2], values[n/2]
	return low + (high-low)/2
}

// MAD returns the median absolute deviation: the median of the distances of the
// values from their median, and NaN for none. It is in the values' unit; for
// values from a normal distribution 1.4826 MAD is the standard deviation.
func MAD(values []float64) float64 {
	centre := Median(values)
	var buf [32]float64
	distances := buf[:0]
	for _, v := range values {
		distances = append(distances, math.Abs(v-centre))
	}
	return median(distances)
}
