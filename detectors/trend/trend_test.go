package trend

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTheChanceIsThatOfAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{3, 5, 8, 12} {
		below := map[float64]int{0.3: 0, 0.1: 0, 0.02: 0}
		const runs = 20000
		for range runs {
			values := make([]float64, n)
			for i := range values {
				values[i] = rnd.Float64()
			}
			l := Fit(values)
			for c := range below {
				if l.Chance <= c {
					below[c]++
				}
			}
		}
		for c, got := range below {
			if share := float64(got) / runs; share > c+4*math.Sqrt(c/runs) {
				t.Errorf("%d values in any order: a chance of %g comes up in %g", n, c, share)
			}
		}
	}
	up := []float64{1, 2, 3, 4}
	if got := Fit(up).Chance; math.Abs(got-1.0/24) > 1e-12 {
		t.Errorf("four ascending values have a chance of %g, want 1 of 24", got)
	}
	if got := Fit([]float64{2, 2, 2, 2, 2}).Chance; got < 0.5 {
		t.Errorf("equal values have a chance of %g", got)
	}
}

func TestTheIntervalHoldsTheSlopeNineteenTimesOfTwenty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	const runs, slope = 4000, 0.07
	held := 0
	for range runs {
		values := make([]float64, 12)
		for i := range values {
			values[i] = 3 + slope*float64(i) + 0.1*rnd.NormFloat64()
		}
		if l := Fit(values); l.Low <= slope && slope <= l.High {
			held++
		}
	}
	if share := float64(held) / runs; share < 0.94 || share > 0.985 {
		t.Errorf("the interval holds the slope in %g", share)
	}
}

func TestGrowthIsToldFromAStepAndItsBeginningIsFound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	made := func(of func(i int) float64) []float64 {
		values := make([]float64, 12)
		for i := range values {
			values[i] = of(i) + 0.02*rnd.NormFloat64()
		}
		return values
	}
	for range 200 {
		if l := Fit(made(func(i int) float64 { return 0.08 * float64(i) })); l.Step || l.Chance > 1e-4 || l.Since > 2 {
			t.Errorf("steady growth is %+v", l)
		}
		if l := Fit(made(func(i int) float64 { return 0.15 * math.Max(0, float64(i-5)) })); l.Step || l.Since < 4 || l.Since > 6 {
			t.Errorf("growth since the sixth is %+v", l)
		}
		if l := Fit(made(func(i int) float64 { return math.Floor(float64(i) / 7) })); !l.Step {
			t.Errorf("a step is %+v", l)
		}
	}
	values := made(func(i int) float64 { return 0.08 * float64(i) })
	straight := Fit(values)
	values[7] += 50
	if bent := Fit(values); math.Abs(bent.Slope-straight.Slope) > 0.02 {
		t.Errorf("one value far off moves the slope from %g to %g", straight.Slope, bent.Slope)
	}
}
