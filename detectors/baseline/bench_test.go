package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
)

// simulated is eight weeks of a key with a day, a weekend and noise.
func simulated(weeks int, rate, phi float64, seed uint64) Series {
	r := rand.New(rand.NewPCG(seed, 1))
	s := Series{Start: 1_700_000_000 / 3600 * 3600, Step: 3600, Unit: 1}
	for i := range weeks * 168 {
		h := float64(i % 24)
		mu := rate * (1 + 0.8*math.Sin(h/24*2*math.Pi))
		if i/24%7 >= 5 {
			mu *= 0.4
		}
		s.Value = append(s.Value, count(r, mu, phi))
	}
	return s
}

// count draws from a negative binomial as a Poisson whose mean is a gamma.
func count(r *rand.Rand, mu, phi float64) float64 {
	if phi > 0 {
		mu *= gamma(r, 1/phi) * phi
	}
	return poisson(r, mu)
}

func poisson(r *rand.Rand, mu float64) float64 {
	if mu > 200 {
		return math.Max(0, math.Round(mu+math.Sqrt(mu)*r.NormFloat64()))
	}
	k, p, l := 0.0, r.Float64(), math.Exp(-mu)
	for p > l {
		k++
		p *= r.Float64()
	}
	return k
}

// gamma is Marsaglia and Tsang's (2000).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := r.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func BenchmarkJudgeEightWeeksOfHours(b *testing.B) {
	s := simulated(8, 200, 0.05, 1)
	var w Scratch
	t := s.Start + int64(len(s.Value))*s.Step
	Judge(s, t, 100, Above, &w)
	b.ReportAllocs()
	for b.Loop() {
		Judge(s, t, 500, Above, &w)
	}
}
