package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// days are the weeks of a partner with a week's season, that is so much on day i.
func days(r *rand.Rand, noise float64, level func(i int) float64) []float64 {
	return someDays(r, 7*Weeks, noise, level)
}

func someDays(r *rand.Rand, n int, noise float64, level func(i int) float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = level(i) * math.Exp(noise*r.NormFloat64())
		if i%7 >= 5 {
			all[i] *= 0.3
		}
	}
	return all
}

func TestTheChanceIsThatOfAllPermutations(t *testing.T) {
	for n := 1; n <= 7; n++ {
		counts, total := map[int]float64{}, 0.0
		var permute func(left, taken []int)
		permute = func(left, taken []int) {
			if len(left) == 0 {
				rises := 0
				for i := range taken {
					for j := range i {
						if taken[i] > taken[j] {
							rises++
						}
					}
				}
				counts[rises]++
				total++
			}
			for i := range left {
				rest := append(append([]int{}, left[:i]...), left[i+1:]...)
				permute(rest, append(append([]int{}, taken...), left[i]))
			}
		}
		all := []int{0, 1, 2, 3, 4, 5, 6}[:n]
		permute(all, nil)
		sum := 0.0
		for rises := n * (n - 1) / 2; rises >= 0; rises-- {
			sum += counts[rises] / total
			if got := chanceOf(rises, n, 0); math.Abs(got-sum) > 1e-12 {
				t.Errorf("%d of %d: %v, counted %v", rises, n, got, sum)
			}
		}
	}
}

func TestSlowGrowthIsSeenWithItsSlopeAndItsBeginning(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	got := Of(days(r, 0.05, func(i int) float64 { return 1000 * math.Exp(0.08*max(0, float64(i-28)/7)) }))
	if got.Chance > 1e-6 {
		t.Errorf("8%% a week for twelve weeks has a chance of %v", got.Chance)
	}
	if got.Low > 0.08 || got.High < 0.08 || got.High-got.Low > 0.05 {
		t.Errorf("the slope is %v to %v, want 0.08 in a narrow interval", got.Low, got.High)
	}
	if got.Since < 9 || got.Since > 13 {
		t.Errorf("it began %d weeks before the last, want about 11", got.Since)
	}
}

func TestAStepASpikeAnOutageAndASeasonAreNoGrowth(t *testing.T) {
	for _, c := range []struct {
		what  string
		level func(i int) float64
	}{
		{"a step", func(i int) float64 { return 100 + 1000*float64(i/56) }},
		{"a step back up after an outage", func(i int) float64 {
			if i > 20 && i < 35 {
				return 0
			}
			return 100
		}},
		{"a spike", func(i int) float64 {
			if i == 100 {
				return 1e6
			}
			return 100
		}},
		{"a week of ten times as much", func(i int) float64 {
			if i >= 7*(Weeks-1) {
				return 1000
			}
			return 100
		}},
		{"a monthly season", func(i int) float64 { return 100 + 50*math.Sin(float64(i)/30*2*math.Pi) }},
	} {
		for seed := range uint64(200) {
			got := Of(days(rand.New(rand.NewPCG(seed, 2)), 0.1, c.level))
			if got.Chance < 1e-5 {
				t.Fatalf("%s, seed %d: a chance of %v", c.what, seed, got.Chance)
			}
		}
	}
}

func TestOfWeeksWithoutGrowthNoMoreLookGrowingThanTheChanceSays(t *testing.T) {
	const n = 3000
	for _, noise := range []float64{0.02, 0.3, 1} {
		r := rand.New(rand.NewPCG(3, 3))
		below := map[float64]int{}
		for range n {
			got := Of(days(r, noise, func(int) float64 { return 100 }))
			for _, p := range []float64{0.1, 0.01, 0.001} {
				if got.Chance <= p {
					below[p]++
				}
			}
		}
		for p, k := range below {
			if limit := p*n + 4*math.Sqrt(p*n); float64(k) > limit {
				t.Errorf("noise %v: %d of %d have a chance of %v or less", noise, k, n, p)
			}
		}
	}
}

func TestTheIntervalsHoldWhatTheySay(t *testing.T) {
	const n, weekly, ahead = 2000, 0.05, 4
	r := rand.New(rand.NewPCG(4, 4))
	slope, forecast := 0, 0
	for range n {
		all := someDays(r, 7*(Weeks+ahead), 0.1, func(i int) float64 { return 100 * math.Exp(weekly*float64(i)/7) })
		got := Of(all[:7*Weeks])
		if got.Low <= weekly && weekly <= got.High {
			slope++
		}
		future := all[len(all)-7:]
		slices.Sort(future)
		if _, low, high := got.In(ahead); low <= future[3] && future[3] <= high {
			forecast++
		}
	}
	t.Logf("%d slopes and %d forecasts of %d are in their intervals", slope, forecast, n)
	if slope < n*94/100 || forecast < n*90/100 {
		t.Errorf("of %d, %d slopes are in their intervals of 95%% and %d weeks in the forecasts' of 90%%", n, slope, forecast)
	}
}

func TestTooFewWeeksSayNothing(t *testing.T) {
	all := make([]float64, 7*Weeks)
	for i := range all {
		all[i] = math.NaN()
	}
	if got := Of(all); got.Chance != 1 || got.Known != 0 {
		t.Errorf("of nothing: %+v", got)
	}
	for i := 7 * (Weeks - Least + 1); i < len(all); i++ {
		all[i] = math.Exp(float64(i))
	}
	if got := Of(all); got.Chance != 1 || got.Known != Least-1 {
		t.Errorf("of %d weeks: %+v", Least-1, got)
	}
}

func BenchmarkSixteenWeeks(b *testing.B) {
	all := days(rand.New(rand.NewPCG(1, 1)), 0.1, func(i int) float64 { return 100 + float64(i) })
	b.ReportAllocs()
	for b.Loop() {
		Of(all)
	}
}
