package baseline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// end is when the bucket after the last begins.
func end(s Series) int64 { return s.Start + int64(len(s.Value))*s.Step }

func judge(s Series, observed float64) Judged {
	var w Scratch
	return Judge(s, end(s), observed, Above, &w)
}

// clone lets a test change a series that others share.
func clone(s Series) Series {
	s.Value = slices.Clone(s.Value)
	return s
}

func within(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*math.Abs(want)) {
		t.Errorf("%s is %.4g, want %.4g give or take %.0f%%", what, got, want, share*100)
	}
}

func TestAPastEpisodeDoesNotRaiseTheBaseline(t *testing.T) {
	plain := simulated(8, 200, 0.05, 1)
	want := judge(plain, 300)
	for _, ended := range []int{2, 24, 24 * 5, 24 * 20} { // hours ago
		for _, long := range []int{1, 6, 24, 48} {
			s := clone(plain)
			for i := len(s.Value) - ended - long; i < len(s.Value)-ended; i++ {
				s.Value[i] = 20*s.Value[i] + 100
			}
			got := judge(s, 300)
			within(t, "the expectation", got.Expected, want.Expected, 0.2)
			within(t, "the upper bound", got.High, want.High, 0.2)
			if again := judge(s, 20*want.Expected); again.Chance > 1e-4 {
				t.Errorf("%d hours of twenty times as much, %d hours ago, make the next chance %.2g", long, ended, again.Chance)
			}
		}
	}
}

func TestAnOutageDoesNotLowerTheBaseline(t *testing.T) {
	plain := simulated(8, 200, 0.05, 2)
	want := judge(plain, 300)
	for _, ended := range []int{0, 3, 24 * 6} {
		for _, long := range []int{5, 24, 72} {
			s := clone(plain)
			s.Known = make([]bool, len(s.Value))
			for i := range s.Known {
				s.Known[i] = i < len(s.Value)-ended-long || i >= len(s.Value)-ended
				if !s.Known[i] {
					s.Value[i] = 0
				}
			}
			got := judge(s, 300)
			within(t, "the expectation", got.Expected, want.Expected, 0.12)
			within(t, "the upper bound", got.High, want.High, 0.15)
		}
	}
}

func TestAnUnmarkedOutageOfTwoDaysDoesNotLowerItEither(t *testing.T) {
	s := simulated(8, 200, 0.05, 3)
	want := judge(s, 300)
	for i := len(s.Value) - 50; i < len(s.Value)-2; i++ {
		s.Value[i] = 0
	}
	within(t, "the expectation", judge(s, 300).Expected, want.Expected, 0.15)
}

func TestALaunchIsAnEpisodeAtFirstAndNormalAfterSomeDays(t *testing.T) {
	s := simulated(10, 200, 0.02, 4)
	launch := 8 * 168
	for i := launch; i < len(s.Value); i++ {
		s.Value[i] *= 3
	}
	var w Scratch
	rare := func(day int) (n int) {
		for i := launch + 24*day; i < launch+24*(day+1); i++ {
			if Judge(s, s.Start+int64(i)*s.Step, s.Value[i], Above, &w).Chance < 1e-3 {
				n++
			}
		}
		return n
	}
	if n := rare(0); n < 20 {
		t.Errorf("only %d hours of a launch's first day are surprising", n)
	}
	if n := rare(7); n > 0 {
		t.Errorf("%d hours are still surprising a week after a launch", n)
	}
}

func TestSteadyGrowthIsFollowed(t *testing.T) {
	s := simulated(8, 200, 0.02, 5)
	for i := range s.Value {
		s.Value[i] = math.Round(s.Value[i] * math.Exp(0.01*float64(i)/24))
	}
	var w Scratch
	rare := 0
	for i := 6 * 168; i < len(s.Value); i++ {
		if Judge(s, s.Start+int64(i)*s.Step, s.Value[i], Above, &w).Chance < 1e-3 {
			rare++
		}
	}
	if rare > 3 {
		t.Errorf("%d of 336 hours are surprising where a key grows by 1%% a day", rare)
	}
}

func TestHourOfDayAndThenDayOfWeekAreRecognised(t *testing.T) {
	s := simulated(8, 200, 0.02, 6)
	var w Scratch
	at := func(weeks, d, h int) Judged {
		i := weeks*168 + d*24 + h
		mu := 200 * (1 + 0.8*math.Sin(float64(h)/24*2*math.Pi))
		return Judge(s, s.Start+int64(i)*s.Step, mu, Above, &w)
	}
	if j := at(0, 4, 18); j.Season != Daily {
		t.Errorf("after four days the season is %v", j.Season)
	}
	for weeks, below := range map[int]float64{3: 5e-3, 5: 1e-3, 7: 1e-3} {
		j := at(weeks, 5, 6)
		if j.Season != Weekly {
			t.Errorf("after %d weeks the season is %v", weeks, j.Season)
		}
		within(t, "what is expected on a weekend", j.Expected, 0.4*360, 0.15)
		if j.Chance > below {
			t.Errorf("a working day's volume on a weekend has a chance of %.2g after %d weeks", j.Chance, weeks)
		}
	}
}

func TestAKeyWithoutSeasonHasNone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := Series{Step: 3600, Unit: 1}
	for range 1344 {
		s.Value = append(s.Value, poisson(r, 100))
	}
	if j := judge(s, 100); j.Season != None {
		t.Errorf("the season of even noise is %v", j.Season)
	}
}

func TestAJobThatComesAgainIsNoSurpriseAndAGreaterOneIs(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		due  func(time.Time) bool
		want Job
	}{
		{"weekly", func(d time.Time) bool { return d.Weekday() == time.Tuesday && d.Hour() == 3 }, EachWeek},
		{"fortnightly", func(d time.Time) bool { return d.Sub(start)/time.Hour%336 == 100 }, EachFortnight},
		{"monthly on the second", func(d time.Time) bool { return d.Day() == 2 && d.Hour() == 3 }, EachMonth},
		{"monthly on the last day", func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 && d.Hour() == 3 }, EachMonth},
		{"monthly on the first Monday", func(d time.Time) bool { return d.Weekday() == time.Monday && d.Day() <= 7 && d.Hour() == 3 }, EachMonth},
	} {
		r := rand.New(rand.NewPCG(7, 7))
		s := Series{Start: start.Unix(), Step: 3600, Unit: 1}
		var w Scratch
		seen := 0
		for i := range 24 * 100 {
			at := start.Add(time.Duration(i) * time.Hour)
			x := count(r, 40*(1.5+math.Sin(float64(i)/24*2*math.Pi)), 0.05)
			if c.due(at) {
				x += 5000 * math.Exp(0.15*r.NormFloat64())
				if i > 24*65 {
					seen++
					j := Judge(s, at.Unix(), x, Above, &w)
					// A weekly job may be part of a weekly season: then none is named.
					if j.Chance < 1e-2 || j.Job != c.want && j.Season != Weekly {
						t.Errorf("%s: a job that is due has a chance of %.2g (job %v, expected %.0f to %.0f)", c.name, j.Chance, j.Job, j.Expected, j.High)
					}
					if j := Judge(s, at.Unix(), 50*x, Above, &w); j.Chance > 1e-3 {
						t.Errorf("%s: fifty times the job has a chance of %.2g", c.name, j.Chance)
					}
					if j := Judge(s, at.Unix()+2*24*3600, x, Above, &w); j.Chance > 1e-3 {
						t.Errorf("%s: the job on another day has a chance of %.2g", c.name, j.Chance)
					}
				}
			}
			s.Value = append(s.Value, x)
		}
		if seen == 0 {
			t.Errorf("%s: no job was judged", c.name)
		}
	}
}

func TestAClockChangeIsToleratedAndSaid(t *testing.T) {
	s := Series{Step: 3600, Unit: 1}
	r := rand.New(rand.NewPCG(8, 8))
	mu := func(i int) float64 { // an office: sharp edges
		if h := i % 24; h >= 9 && h < 17 {
			return 1000
		}
		return 20
	}
	for i := range 1344 {
		s.Value = append(s.Value, count(r, mu(i), 0.01))
	}
	shifted := 0
	for range 24 {
		i := len(s.Value)
		x := count(r, mu(i+1), 0.01) // everybody is an hour early
		j := judge(s, x)
		if j.Chance < 1e-3 {
			t.Errorf("at %d o'clock after a clock change the chance is %.2g", i%24, j.Chance)
		}
		if j.Shifted {
			shifted++
		}
		s.Value = append(s.Value, x)
	}
	if shifted != 1 {
		t.Errorf("%d hours say that they would be usual an hour later, want the one before the office opens", shifted)
	}
}

func TestARetryStormIsASurpriseThatLeavesNothingBehind(t *testing.T) {
	s := simulated(8, 200, 0.05, 9)
	next := judge(s, 0).Expected
	if j := judge(s, 10*next); j.Chance > 1e-4 {
		t.Errorf("ten times the usual has a chance of %.2g", j.Chance)
	}
	before := s.Value[len(s.Value)-24]
	s.Value = append(s.Value, 10*next)
	after := judge(s, before)
	if after.Chance < 1e-3 {
		t.Errorf("the hour after a storm has a chance of %.2g", after.Chance)
	}
}

func TestMaturitySaysWhatWasSeen(t *testing.T) {
	s := simulated(8, 200, 0.05, 10)
	for _, c := range []struct {
		hours int
		want  Maturity
	}{{0, Learning}, {23, Learning}, {24, Thin}, {335, Thin}, {336, Mature}, {1344, Mature}} {
		s := s
		s.Value = s.Value[:c.hours]
		j := judge(s, 1e6)
		if j.Maturity != c.want || j.Days != float64(c.hours)/24 {
			t.Errorf("after %d hours: %v, %.1f days; want %v", c.hours, j.Maturity, j.Days, c.want)
		}
		if c.want == Learning && j.Chance != 1 {
			t.Errorf("while learning the chance is %v, want 1", j.Chance)
		}
	}
}

func TestWhatComesLaterAndWhatScratchHeldChangeNothing(t *testing.T) {
	s := simulated(8, 200, 0.05, 11)
	var used Scratch
	for _, i := range []int{1000, 100, 1300, 500} {
		cut := s
		cut.Value = s.Value[:i]
		want := judge(cut, 400)
		if got := Judge(s, end(cut), 400, Above, &used); got != want {
			t.Errorf("bucket %d: %+v, want %+v", i, got, want)
		}
	}
}

func TestTheChanceFallsAsTheObservedGrowsAndBoundsAgreeWithIt(t *testing.T) {
	for _, rate := range []float64{0.05, 1, 30, 1e4, 1e7} {
		s := simulated(8, rate, 0.1, 12)
		j := judge(s, 0)
		last := 2.0
		for x := 0.0; x < 20*rate+20; x = x*1.1 + 1 {
			p := judge(s, math.Floor(x)).Chance
			if p > last*(1+1e-9) {
				t.Fatalf("rate %v: the chance rises to %v at %v", rate, p, x)
			}
			last = p
		}
		if p := judge(s, math.Ceil(j.High)+1).Chance; p > band*1.05 {
			t.Errorf("rate %v: above High the chance is %v", rate, p)
		}
		if j.Low > j.Expected || j.High < j.Expected {
			t.Errorf("rate %v: expected %v lies outside %v to %v", rate, j.Expected, j.Low, j.High)
		}
	}
}

func TestDropsAreSurprisingOnEitherSideOnly(t *testing.T) {
	s := simulated(8, 1000, 0.01, 13)
	var w Scratch
	if p := Judge(s, end(s), 0, Either, &w).Chance; p > 1e-3 {
		t.Errorf("silence has a chance of %v", p)
	}
	if p := judge(s, 0).Chance; p < 0.9 {
		t.Errorf("silence has a chance of %v where only more counts", p)
	}
}

func TestJudgingAllocatesNothing(t *testing.T) {
	s := simulated(8, 200, 0.05, 14)
	var w Scratch
	if n := testing.AllocsPerRun(10, func() { Judge(s, end(s), 500, Above, &w) }); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func FuzzAChanceIsAlwaysAChance(f *testing.F) {
	f.Add(int64(0), int64(3600), int64(90000), 1.0, 5.0, []byte{0, 1, 2, 3, 250, 251, 252, 253, 254, 255})
	f.Add(int64(-7), int64(7), int64(1<<60), 0.0, math.Inf(1), []byte{1})
	f.Add(int64(1<<62), int64(86400*9), int64(-1<<62), 1e300, math.NaN(), []byte{255, 0})
	f.Fuzz(func(t *testing.T, start, step, at int64, unit, observed float64, b []byte) {
		if len(b) == 0 || step > 0 && step < 60 {
			return
		}
		odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e308, 1e-308, 1e99, math.MaxInt64}
		s := Series{Start: start, Step: step, Unit: unit}
		for i := range 400 {
			x := float64(b[i%len(b)])
			if x >= 248 {
				x = odd[int(x)-248]
			}
			s.Value = append(s.Value, x)
			s.Known = append(s.Known, b[i%len(b)]%16 != 15)
		}
		var w Scratch
		for _, t0 := range []int64{at, start + 400*step} {
			for _, side := range []Side{Above, Either} {
				j := Judge(s, t0, observed, side, &w)
				for _, x := range []float64{j.Expected, j.Low, j.High, j.Level, j.Spread, j.Days} {
					if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
						t.Fatalf("%+v", j)
					}
				}
				if !(j.Chance > 0 && j.Chance <= 1) {
					t.Fatalf("%+v", j)
				}
			}
		}
	})
}

func TestWhatAnOutageHeldBackMayComeAfterItAndNoMore(t *testing.T) {
	// after is a series whose last hours are empty, and what its next hour expects.
	after := func(outage int) (Series, float64) {
		s := simulated(8, 200, 0.01, 5)
		usual := s.Value[len(s.Value)-7*24]
		clear(s.Value[len(s.Value)-outage:])
		return s, usual
	}
	var w Scratch
	judge := func(outage int, times ...float64) []Judged {
		s, usual := after(outage)
		observed := make([]float64, len(times))
		for i := range times {
			observed[i] = times[i] * usual
		}
		return JudgeEach(s, s.Start+int64(len(s.Value))*s.Step, observed, Above, &w, nil)
	}
	for _, c := range []struct {
		what   string
		outage int
		times  []float64
		excuse []bool
	}{
		{"twice the usual without an outage", 0, []float64{2}, []bool{false}},
		{"twice the usual after an outage of twelve hours", 12, []float64{2}, []bool{true}},
		{"sixty times the usual after an outage of twelve hours", 12, []float64{60}, []bool{false}},
		{"what was held back, and more than what is left of it", 12, []float64{2, 3.5}, []bool{true, false}},
	} {
		for i, j := range judge(c.outage, c.times...) {
			if j.CatchesUp != c.excuse[i] || j.CatchesUp != (j.Chance == shiftBelow) {
				t.Errorf("%s, hour %d: %+v", c.what, i+1, j)
			}
		}
	}
}

func TestAJobInIdleHoursIsKnownAMonthLaterHoweverBusyTheDayIs(t *testing.T) {
	s := simulated(8, 2000, 0.01, 6)
	at := s.Start + int64(len(s.Value))*s.Step
	at += 86400 - at%86400 + 16*3600 // where its day is quietest
	for s.Start+int64(len(s.Value))*s.Step < at {
		s.Value = append(s.Value, s.Value[len(s.Value)-168])
	}
	size := 20_000.0
	ago := monthsAgo(at)
	s.Value[(ago[0]-s.Start)/s.Step] = size
	var w Scratch
	if j := Judge(s, at, size, Above, &w); j.Job != EachMonth || j.Chance < 0.01 {
		t.Errorf("a job of %g a month ago: %+v", size, j)
	}
}
