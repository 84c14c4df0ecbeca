package window

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedianAndMAD(t *testing.T) {
	f := func(median, mad float64, values ...float64) {
		t.Helper()
		before := slices.Clone(values)
		if got := Median(values); got != median {
			t.Errorf("median of %v: %v, expected %v", values, got, median)
		}
		if got := MAD(values); got != mad {
			t.Errorf("MAD of %v: %v, expected %v", values, got, mad)
		}
		if !slices.Equal(values, before) {
			t.Errorf("%v was reordered to %v", before, values)
		}
	}
	f(7, 0, 7)
	f(2, 1, 3, 1)
	f(2, 1, 1, 2, 3)
	f(2, 1, 1e300, 2, 1, 3, 1)
	f(2.5, 1, 4, 3, 2, 1)
	f(0, 0, 0, 0, 0, 1e9)
	f(math.MaxFloat64, 0, math.MaxFloat64, math.MaxFloat64)
	if !math.IsNaN(Median(nil)) || !math.IsNaN(MAD(nil)) {
		t.Error("nothing has a median")
	}
}

func TestHalfOfTheValuesMayBeAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		n := 1 + rng.IntN(60)
		values := make([]float64, 0, 2*n)
		for range n {
			values = append(values, 10+rng.Float64())
		}
		for range n - 1 {
			values = append(values, (rng.Float64()-0.5)*1e12)
		}
		rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		if m := Median(values); m < 10 || m > 11 {
			t.Fatalf("%d of %d values lie in 10‥11, the median is %v", n, len(values), m)
		}
	}
}
