package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAKeyWithoutAPastIsSurprisingWhereItExceedsWhatItsPeersDiffer(t *testing.T) {
	peers := []float64{100, 200, 0, 300, 400, 500, 90, 110}
	before := 1.0
	for _, observed := range []float64{0, 10, 300, 1000, 1e4, 1e6} {
		j, n := Among(peers, 336, observed)
		if n != 7 || j.Chance > before || j.High != 500 || math.Abs(j.Expected-200) > 1e-9 {
			t.Errorf("%g: %+v, after a chance of %g", observed, j, before)
		}
		before = j.Chance
	}
	if before > 1e-5 {
		t.Errorf("two thousand times the greatest peer has a chance of %g", before)
	}
	if j, n := Among([]float64{1, 2, 3, 4, 0, 0}, 336, 1e9); n != 0 || j.Chance != 1 {
		t.Errorf("four peers say %+v", j)
	}
}

func TestTheChanceAmongPeersIsThatOfAnOrdinaryOne(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const keys, buckets = 20000, 336
	for _, n := range []int{5, 12, 100} {
		var below [3]int
		chances := [3]float64{0.1, 0.01, 0.001}
		for range keys {
			size := 5 * rnd.NormFloat64() // of the capability
			peers := make([]float64, n)
			draw := func() float64 { return math.Exp(size + 1.2*rnd.NormFloat64()) }
			for i := range peers {
				peers[i] = draw()
			}
			j, _ := Among(peers, buckets, draw())
			most := -math.Expm1(buckets * math.Log1p(-j.Chance)) // of the greatest bucket
			for i, c := range chances {
				if most <= c {
					below[i]++
				}
			}
		}
		for i, c := range chances {
			got := float64(below[i]) / keys
			// Of few peers nothing is said too surely; of many it is what it says.
			if got > 2.5*c+3*math.Sqrt(c/keys) || n > 5 && got < c/5 {
				t.Errorf("%d peers: a chance of %g comes up in %g", n, c, got)
			}
		}
	}
}
