package baseline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTailsAgreeWithPublishedQuantiles(t *testing.T) {
	for _, c := range []struct{ x, nu, want float64 }{ // Abramowitz and Stegun, table 26.10
		{0, 5, 0.5}, {1.943, 6, 0.05}, {2.764, 10, 0.01}, {4.604, 4, 0.005}, {2.457, 30, 0.01}, {-1.943, 6, 0.95},
	} {
		within(t, "the tail of a Student-t", studentAbove(c.x, c.nu), c.want, 0.001)
	}
}

func TestTheNegativeBinomialAgreesWithItsSum(t *testing.T) {
	for _, mu := range []float64{0.01, 0.5, 7, 300} {
		for _, phi := range []float64{0.001, 0.1, 2, 25} {
			r := 1 / phi
			p := r / (r + mu)
			term, sum := math.Exp(r*math.Log(p)), 0.0
			for k := 0; k < 2000; k++ {
				if want := 1 - sum; want > 1e-6 {
					if got := negativeBinomialAbove(float64(k), mu, phi); math.Abs(got-want) > 1e-6*want+1e-9 {
						t.Fatalf("mean %v, φ %v: the chance of %d or more is %v, its sum says %v", mu, phi, k, got, want)
					}
				}
				sum += term
				term *= (float64(k) + r) / float64(k+1) * (1 - p)
			}
		}
	}
}

func TestRanksAgreeWithSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for n := 1; n < 200; n++ {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(r.IntN(n))
		}
		sorted := slices.Clone(v)
		slices.Sort(sorted)
		k := r.IntN(n)
		if got := selectRank(slices.Clone(v), k); got != sorted[k] {
			t.Fatalf("rank %d of %v is %v", k, v, got)
		}
		insertionSort(v)
		if !slices.Equal(v, sorted) {
			t.Fatalf("%v is not sorted", v)
		}
	}
}

func TestTheEvenScaleIsInverted(t *testing.T) {
	for _, phi := range []float64{1e-6, 0.1, 25} {
		m := model{phi: phi, unit: 1}
		for _, x := range []float64{0, 0.5, 3, 1000, 1e7} {
			if got := m.uneven(m.even(x)); math.Abs(got-x) > 1e-6*(1+x) {
				t.Errorf("φ %v: %v comes back as %v", phi, x, got)
			}
		}
	}
}

func TestTheCorrectionIsWhatSimulationSays(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	const n, chance, runs = 200, 0.002, 20000
	hit := 0.0
	for range runs {
		for range n {
			if r.Float64() < chance {
				hit++
				break
			}
		}
	}
	within(t, "the corrected chance", Corrected(chance, n), hit/runs, 0.05)
	if Corrected(0, 10) != 0 || Corrected(1, 10) != 1 || Corrected(1e-30, 1e6) > 1.1e-24 {
		t.Errorf("at the ends: %v %v %v", Corrected(0, 10), Corrected(1, 10), Corrected(1e-30, 1e6))
	}
}

func TestABandIsWhereTheChanceIsAHundredth(t *testing.T) {
	for _, nu := range []float64{2, 2.5, 3, 6, 30} {
		for _, daily := range []float64{0, 2, 6} {
			for _, per := range []int{1, 24, 1440} {
				tl := tail{centre: 0.3, scale: 1.4, nu: nu, daily: daily, width: 0.5}
				if p := tl.above(tl.quantile(per), per); math.Abs(p/band-1) > 0.06 {
					t.Errorf("%+v of %d buckets a day: %v", tl, per, p)
				}
			}
		}
	}
	for _, rate := range []float64{100, 1e4, 1e7} {
		s := simulated(8, rate, 0.1, 12)
		s.Unit = 0 // measured, so that no step between two counts blurs it
		j := judge(s, rate)
		if above := Judge(s, end(s), j.High, Above, new(Scratch)).Chance; math.Abs(above/band-1) > 0.06 {
			t.Errorf("rate %v: as much as %v or more has a chance of %v", rate, j.High, above)
		}
		if off := Judge(s, end(s), j.Low, Either, new(Scratch)).Chance / 2; math.Abs(off/band-1) > 0.06 {
			t.Errorf("rate %v: as little as %v or less has a chance of %v", rate, j.Low, off)
		}
	}
}
