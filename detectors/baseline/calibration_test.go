package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A chance is calibrated where, of ordinary buckets, a share of p has a chance
// of p or less, whatever the key looks like.
func TestOfOrdinaryBucketsAsManyAreSurprisingAsTheChanceSays(t *testing.T) {
	lognormal := func(sigma float64) func(*rand.Rand, float64) float64 {
		return func(r *rand.Rand, mu float64) float64 {
			return math.Round(mu * math.Exp(sigma*r.NormFloat64()))
		}
	}
	binomial := func(phi float64) func(*rand.Rand, float64) float64 {
		return func(r *rand.Rand, mu float64) float64 { return count(r, mu, phi) }
	}
	kinds := []struct {
		name string
		rate float64
		draw func(*rand.Rand, float64) float64
	}{
		{"Poisson 0.2", 0.2, binomial(0)}, {"Poisson 3", 3, binomial(0)}, {"Poisson 1000", 1000, binomial(0)},
		{"negative binomial 2, φ 0.5", 2, binomial(0.5)}, {"negative binomial 50, φ 0.1", 50, binomial(0.1)},
		{"negative binomial 5000, φ 0.5", 5000, binomial(0.5)},
		{"lognormal 300, σ 0.3", 300, lognormal(0.3)}, {"lognormal 5000, σ 1", 5000, lognormal(1)},
	}
	levels := []float64{0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
	total, all := make([]float64, len(levels)), 0.0
	var w Scratch
	for _, days := range []int{4, 16, 56} {
		for _, k := range kinds {
			r := rand.New(rand.NewPCG(101, uint64(days)))
			below, n := make([]float64, len(levels)), 0.0
			for range 40 {
				s := Series{Start: 1_700_000_000 / 3600 * 3600, Step: 3600, Unit: 1}
				for i := range days*24 + 48 {
					mu := k.rate * (1 + 0.8*math.Sin(float64(i%24)/24*2*math.Pi))
					if i/24%7 >= 5 {
						mu *= 0.5
					}
					s.Value = append(s.Value, k.draw(r, mu))
				}
				for i := days * 24; i < len(s.Value); i += 3 {
					at, x := s.Start+int64(i)*s.Step, s.Value[i]
					atLeast, more := Judge(s, at, x, Above, &w).Chance, Judge(s, at, x+1, Above, &w).Chance
					// Randomised over the ties that counts have, so that exact means uniform.
					p := more + r.Float64()*(atLeast-more)
					n++
					for j, l := range levels {
						if p <= l {
							below[j]++
						}
					}
				}
			}
			worst := 0.0
			for j, l := range levels {
				total[j] += below[j]
				worst = math.Max(worst, math.Abs(below[j]/n-l))
			}
			all += n
			t.Logf("%2d days, %-30s ≤0.001: %.4f  ≤0.01: %.4f  ≤0.05: %.3f  ≤0.5: %.3f  farthest off: %.3f",
				days, k.name, below[0]/n, below[1]/n, below[2]/n, below[7]/n, worst)
			if below[1]/n > 0.04 {
				t.Errorf("%d days of %s: %.3f of ordinary buckets have a chance of 0.01", days, k.name, below[1]/n)
			}
		}
	}
	expected := 0.0
	for j, l := range levels {
		expected += math.Abs(total[j]/all-l) / float64(len(levels))
		t.Logf("chance ≤ %.3f: %.4f of %.0f buckets", l, total[j]/all, all)
	}
	t.Logf("expected calibration error %.4f", expected)
	if expected > 0.05 {
		t.Errorf("expected calibration error %.3f, want at most 0.05", expected)
	}
}
