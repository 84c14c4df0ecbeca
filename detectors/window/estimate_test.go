package window

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTheIntervalHoldsTheTrueNumberIn94Of100Sets(t *testing.T) {
	checkpoints := []int{512, 513, 600, 1000, 5000, 10_000, 20_000, 45_000, 100_000, 300_000}
	trials := 600
	if testing.Short() {
		trials = 100
	}
	inside := make([]int, len(checkpoints))
	bias := make([]float64, len(checkpoints))
	squares := make([]float64, len(checkpoints))
	var s Sketch
	for trial := range trials {
		s.Reset()
		added := 0
		for k, n := range checkpoints {
			for ; added < n; added++ {
				s.Add(uint64(trial)<<32 | uint64(added))
			}
			e := s.Estimate()
			if e.Low > e.Value || e.Value > e.High {
				t.Fatalf("%d values: %+v is not in order", n, e)
			}
			if e.Low <= uint64(n) && uint64(n) <= e.High {
				inside[k]++
			}
			relative := (float64(e.Value) - float64(n)) / float64(n)
			bias[k] += relative / float64(trials)
			squares[k] += relative * relative / float64(trials)
		}
	}
	for k, n := range checkpoints {
		coverage := float64(inside[k]) / float64(trials)
		rmse := math.Sqrt(squares[k])
		t.Logf("%7d values: %.1f%% inside, error %.2f%%, bias %+.3f%%", n, 100*coverage, 100*rmse, 100*bias[k])
		if coverage < 0.94 && !testing.Short() {
			t.Errorf("%d values: the interval held the true number in %.1f%% of %d sets", n, 100*coverage, trials)
		}
		if coverage < 0.88 {
			t.Errorf("%d values: the interval held the true number in only %.1f%% of %d sets", n, 100*coverage, trials)
		}
		if rmse > 1.15*standardError {
			t.Errorf("%d values: error %.2f%%, expected at most %.2f%%", n, 100*rmse, 100*standardError)
		}
		// Near 512 the estimate is cut off at 512, which lifts its mean.
		if n >= 600 && math.Abs(bias[k]) > 0.001 && !testing.Short() {
			t.Errorf("%d values: bias %+.3f%%", n, 100*bias[k])
		}
	}
}

func TestAnEstimateNeverFalls(t *testing.T) {
	for seed := range uint64(5) {
		var s Sketch
		var before Estimate
		for i, v := range distinct(100+seed, 30_000) {
			s.Add(v)
			if i > 2000 && i%17 != 0 {
				continue
			}
			e := s.Estimate()
			if e.Value < before.Value || e.Low < before.Low || e.High < before.High {
				t.Fatalf("after %d values %+v, before %+v", i+1, e, before)
			}
			if e.Exact() != (i+1 < 512) {
				t.Fatalf("%d values: exact is %v", i+1, e.Exact())
			}
			before = e
		}
	}
}

func TestFullRegistersEstimateWithoutOverflow(t *testing.T) {
	var s Sketch
	s.makeDense()
	if got := s.Estimate(); got.Low != 512 || got.Value != 512 || got.High < 512 {
		t.Errorf("no register set: %+v", got)
	}
	for i := range s.ranks {
		s.ranks[i] = maxRank
	}
	if got, most := s.Estimate(), uint64(math.MaxUint64); got != (Estimate{most, most, most}) {
		t.Errorf("every register full: %+v", got)
	}
	s.ranks[0] = 1
	// The sum of the powers of two is then one half, of that register alone.
	if got, want := s.Estimate().Value, uint64(math.Round(registers*registers/math.Ln2)); got != want {
		t.Errorf("all but one register full: %d, expected %d", got, want)
	}
}

func TestTheEstimatorsSeries(t *testing.T) {
	f := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-15*max(1, want) {
			t.Errorf("%s = %v, expected %v", name, got, want)
		}
	}
	// Summed term by term from the definitions, smallest terms first.
	series := func(term func(k int) float64, terms int) (sum float64) {
		for k := terms; k >= 1; k-- {
			sum += term(k)
		}
		return sum
	}
	for _, x := range []float64{0, 0.1, 0.5, 0.9} {
		f("sigma", sigma(x), x+series(func(k int) float64 {
			return math.Pow(x, math.Exp2(float64(k))) * math.Exp2(float64(k-1))
		}, 20))
	}
	for _, x := range []float64{0.1, 0.5, 0.9} {
		f("tau", tau(x), (1-x-series(func(k int) float64 {
			d := 1 - math.Pow(x, math.Exp2(-float64(k)))
			return d * d * math.Exp2(-float64(k))
		}, 60))/3)
	}
	f("standardError", standardError, math.Sqrt(3*math.Ln2-1)/math.Sqrt(registers))
}

func TestAUnionGrowsAsUnevenlyAsTheGrainSaysAndSmallOnesLess(t *testing.T) {
	if got := Grain(sparseMax); got != 1 {
		t.Errorf("where all are counted the grain is %g", got)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ before, added int }{{5_000, 500}, {20_000, 2_000}, {100_000, 5_000}, {400_000, 10_000}} {
		const sets = 100
		squares := 0.0
		for range sets {
			var union Sketch
			for range c.before {
				union.Add(rnd.Uint64())
			}
			before := union.Estimate().Value
			for range c.added {
				union.Add(rnd.Uint64())
			}
			d := float64(union.Estimate().Value-before) - float64(c.added)
			squares += d * d / sets
		}
		// The grain of the middle, less what is no error: that each adds itself.
		want := float64(c.added) * (Grain(float64(c.before+c.added/2)) - 1)
		if ratio := squares / want; ratio < 0.6 && c.before >= 100_000 || ratio > 1.6 {
			t.Errorf("%d added to %d: the variance is %.2f times what the grain says", c.added, c.before, ratio)
		}
	}
}

func TestAnEstimateOfUpTo511IsWithoutDoubtAndBeyondWithAnInterval(t *testing.T) {
	for x, want := range map[float64]Estimate{
		0: {0, 0, 0}, 0.4: {0, 0, 0}, 7.5: {8, 8, 8}, 511: {511, 511, 511}, 511.4: {511, 511, 511}, 511.5: {512, 512, 520}, 512: {512, 512, 521}, 10_000: {10_000, 9843, 10_162},
	} {
		if got := Around(x); got != want {
			t.Errorf("around %g: got %+v, want %+v", x, got, want)
		}
		if got := Around(x).Exact(); got != (x < 511.5) {
			t.Errorf("around %g is exact: %t", x, got)
		}
	}
}
