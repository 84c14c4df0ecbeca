package trend

import (
	"math"
	"math/rand/v2"
	"slices"
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

// middle is the median, as one finds it by hand.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// misses is how far values lie, in all, from what is said of each index.
func misses(values []float64, from, to int, said func(i int) float64) (sum float64) {
	for i := from; i < to; i++ {
		sum += math.Abs(values[i] - said(i))
	}
	return sum
}

// orders calls f with every order of 0 to n-1.
func orders(n int, f func([]int)) {
	var fill func(taken []int)
	fill = func(taken []int) {
		if len(taken) == n {
			f(taken)
			return
		}
		for i := range n {
			if !slices.Contains(taken, i) {
				fill(append(taken, i))
			}
		}
	}
	fill(nil)
}

// balance is by how many the pairs that ascend exceed those that descend.
func balance[T int | float64](values []T) (s int) {
	for j := range values {
		for i := range j {
			if values[i] < values[j] {
				s++
			} else if values[i] > values[j] {
				s--
			}
		}
	}
	return s
}

// naive is Fit, as its comments say it.
func naive(values []float64) Line {
	n := len(values)
	l := Line{Values: n}
	var slopes []float64
	for i := range n {
		for j := i + 1; j < n; j++ {
			slopes = append(slopes, (values[j]-values[i])/float64(j-i))
		}
	}
	slices.Sort(slopes)
	l.Slope = middle(slopes)
	half := 1.96 * math.Sqrt(float64(n*(n-1)*(2*n+5))/18) / 2
	centre := float64(len(slopes)) / 2
	l.Low, l.High = slopes[0], slopes[len(slopes)-1]
	if at := centre - half; at >= 1 {
		l.Low = slopes[int(at)]
	}
	if at := int(math.Ceil(centre + half)); at < len(slopes) {
		l.High = slopes[at]
	}
	all, least := 0, 0
	orders(n, func(order []int) {
		all++
		if balance(order) >= balance(values) {
			least++
		}
	})
	l.Chance = float64(least) / float64(all)
	rest := make([]float64, n)
	for i := range values {
		rest[i] = values[i] - l.Slope*float64(i)
	}
	l.base = middle(rest)
	for i := range rest {
		rest[i] = math.Abs(rest[i] - l.base)
	}
	l.Noise = 1.4826 * middle(rest)

	straight := misses(values, 0, n, func(i int) float64 { return l.base + l.Slope*float64(i) })
	bent := math.Inf(1)
	for c := 0; c+3 < n; c++ { // three values grow after it
		base := middle(values[:c+1])
		var growth []float64
		for i := c + 1; i < n; i++ {
			growth = append(growth, (values[i]-base)/float64(i-c))
		}
		miss := misses(values, 0, c+1, func(int) float64 { return base }) +
			misses(values, c+1, n, func(i int) float64 { return base + middle(growth)*float64(i-c) })
		if miss < bent {
			bent, l.Since = miss, c
		}
	}
	if straight < bent {
		l.Since = 0
	}
	for c := 1; c < n; c++ {
		stepped := misses(values, 0, c, func(int) float64 { return middle(values[:c]) }) + misses(values, c, n, func(int) float64 { return middle(values[c:]) })
		l.Step = l.Step || stepped < min(straight, bent)
	}
	return l
}

func TestATrendIsThatOfANaiveOracle(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	steps, bent := 0, 0
	for range 3000 {
		values := make([]float64, 3+rnd.IntN(5))
		for i := range values {
			values[i] = float64(rnd.IntN(4) * (1 + i*rnd.IntN(2)) * 240) // few, so that many are equal, and without rounding
		}
		got, want := Fit(values), naive(values)
		if !near(got.Slope, want.Slope) || !near(got.Low, want.Low) || !near(got.High, want.High) || !near(got.Chance, want.Chance) ||
			!near(got.base, want.base) || !near(got.Noise, want.Noise) || got.Since != want.Since || got.Step != want.Step || got.Values != want.Values {
			t.Fatalf("%v: got %+v, want %+v", values, got, want)
		}
		if got.Step {
			steps++
		}
		if got.Since > 0 {
			bent++
		}
	}
	if steps < 100 || bent < 100 {
		t.Errorf("%d steps and %d bends say nothing", steps, bent)
	}
}

func TestTheIntervalOfTwelveValuesIsByTheSlopesThatSenNames(t *testing.T) {
	squares, slopes := make([]float64, 12), []float64(nil)
	for i := range squares {
		squares[i] = float64(i * i)
		for j := range i {
			slopes = append(slopes, float64(i+j))
		}
	}
	slices.Sort(slopes)
	if l := Fit(squares); l.Low != slopes[18] || l.High != slopes[48] || l.Slope != 11 || l.Values != 12 {
		t.Errorf("the interval is %g to %g around %g, want %g to %g around 11", l.Low, l.High, l.Slope, slopes[18], slopes[48])
	}
}

func TestUnderThreeValuesThereIsNoTrend(t *testing.T) {
	for n := range 3 {
		if l := Fit([]float64{1, 9}[:n]); l != (Line{Values: n, Chance: 1}) {
			t.Errorf("of %d values the trend is %+v", n, l)
		}
	}
	if l := Fit([]float64{1, 9, 17}); l.Slope != 8 || l.Chance != 1.0/6 || l.Since != 0 || l.At(3) != 25 {
		t.Errorf("of three it is %+v", l)
	}
}

func TestGrowthBeginsWhereThreeValuesAtLeastFollow(t *testing.T) {
	for _, c := range []struct {
		values []float64
		since  int
	}{
		{[]float64{5, 5, 5, 5, 6, 7, 8, 9}, 3}, {[]float64{5, 5, 5, 5, 5, 6, 7, 8}, 4}, {[]float64{1, 2, 3, 4, 5, 6, 7, 8}, 0},
	} {
		if l := Fit(c.values); l.Since != c.since || l.Step {
			t.Errorf("%v: it grows since %d, want %d: %+v", c.values, l.Since, c.since, l)
		}
	}
	if l := Fit([]float64{5, 5, 5, 5, 5, 5, 6, 7}); l.Since == 5 {
		t.Errorf("two values are no growth: %+v", l)
	}
}
