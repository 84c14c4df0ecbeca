package window

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBucketsAreThoseOfTheUTCClock(t *testing.T) {
	f := func(at string, minute, hour, day string) {
		t.Helper()
		when := func(s string) int64 {
			v, err := time.Parse("2006-01-02 15:04:05", s)
			must(t, err)
			return v.Unix()
		}
		for width, want := range map[int64]string{60: minute, 3600: hour, 86400: day} {
			if got := Start(when(at), width); got != when(want) {
				t.Errorf("%s: the bucket of %d seconds starts at %s", at, width, time.Unix(got, 0).UTC())
			}
		}
	}
	f("2018-12-18 23:59:59", "2018-12-18 23:59:00", "2018-12-18 23:00:00", "2018-12-18 00:00:00")
	f("2020-02-29 00:00:00", "2020-02-29 00:00:00", "2020-02-29 00:00:00", "2020-02-29 00:00:00")
	f("1969-12-31 23:59:59", "1969-12-31 23:59:00", "1969-12-31 23:00:00", "1969-12-31 00:00:00")
	for at := int64(-200); at < 200; at++ {
		i := Bucket(at, 60)
		if at < i*60 || at >= (i+1)*60 {
			t.Errorf("%d is not in bucket %d", at, i)
		}
	}
}

func TestSlidingSumsEqualSumsAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		counts := make([]uint64, rng.IntN(50))
		for i := range counts {
			counts[i] = rng.Uint64N(100)
		}
		n := 1 + rng.IntN(60)
		got := SlideSums(counts, n)
		if len(got) != len(counts) {
			t.Fatalf("%d sums of %d buckets", len(got), len(counts))
		}
		for i := range counts {
			var want uint64
			for j := max(0, i-n+1); j <= i; j++ {
				want += counts[j]
			}
			if got[i] != want {
				t.Fatalf("window of %d ending with %d: %d, expected %d", n, i, got[i], want)
			}
		}
	}
}

func TestSlidingUnionsEqualUnionsAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var slider Slider // one for all, as a judge has it
	emitted := 0
	for range 400 {
		buckets := randomBuckets(rng)
		from, to := rng.IntN(len(buckets)), len(buckets)-rng.IntN(3)
		n := 1 + rng.IntN(40)
		wanted := make([]bool, len(buckets))
		share := rng.IntN(5)
		for i := range wanted {
			wanted[i] = rng.IntN(4) < share
		}
		calls := make([]int, len(buckets))
		next := from
		err := slider.Slide(from, to, n,
			func(i int) bool { return wanted[i] },
			func(i int) [][]byte { calls[i]++; return buckets[i] },
			func(i int, got Estimate) {
				for ; next < i; next++ {
					if wanted[next] {
						t.Fatalf("window %d was wanted and left out", next)
					}
				}
				next++
				if !wanted[i] {
					t.Fatalf("window %d was not wanted", i)
				}
				var union Sketch
				for j := max(0, i-n+1); j <= i; j++ {
					for _, b := range buckets[j] {
						must(t, union.MergeBytes(b))
					}
				}
				if want := union.Estimate(); got != want {
					t.Fatalf("window of %d ending with %d: %+v, expected %+v", n, i, got, want)
				}
				emitted++
			})
		must(t, err)
		for ; next < to; next++ {
			if wanted[next] {
				t.Fatalf("window %d was wanted and left out", next)
			}
		}
		for i := range buckets {
			lo, hi := min(max(i, from), to), min(i+n, to)
			if calls[i] > 0 && !slices.Contains(wanted[lo:max(lo, hi)], true) {
				t.Fatalf("bucket %d is in no wanted window and was asked for", i)
			}
		}
		if most := slices.Max(calls); most > 2 {
			t.Fatalf("the states of a bucket were asked for %d times", most)
		}
	}
	if emitted < 2000 {
		t.Errorf("only %d windows were compared", emitted)
	}
}

// randomBuckets returns buckets most of which are empty, with values that come
// again in other buckets.
func randomBuckets(rng *rand.Rand) [][][]byte {
	buckets := make([][][]byte, 1+rng.IntN(120))
	for i := range buckets {
		if rng.IntN(3) > 0 {
			continue
		}
		for range rng.IntN(4) {
			n := []int{0, 1, 3, 30, 600}[rng.IntN(5)]
			var s Sketch
			for range n {
				s.Add(rng.Uint64N(3000))
			}
			buckets[i] = append(buckets[i], s.MarshalAppend(nil))
		}
	}
	return buckets
}

func TestASlideNeedsFewMergesAStep(t *testing.T) {
	const n, steps = 60, 6000
	state := sketchOf(distinct(20, 1)).MarshalAppend(nil)
	var slider Slider
	asked := 0
	must(t, slider.Slide(0, steps, n,
		func(int) bool { return true },
		func(int) [][]byte { asked++; return [][]byte{state} },
		func(int, Estimate) {}))
	if asked > 2*steps {
		t.Errorf("%d steps asked for the states of %d buckets", steps, asked)
	}
	// Two lonely windows need their own buckets and no others.
	asked = 0
	must(t, slider.Slide(0, steps, n,
		func(i int) bool { return i == 1000 || i == 5000 },
		func(int) [][]byte { asked++; return [][]byte{state} },
		func(int, Estimate) {}))
	if asked != 2*n {
		t.Errorf("two lonely windows of %d asked for the states of %d buckets", n, asked)
	}
}

func TestASlideStopsAtAMalformedState(t *testing.T) {
	good := sketchOf(distinct(21, 2)).MarshalAppend(nil)
	for _, bad := range []int{0, 3, 4, 7} { // in the first front, the back, the next front
		var slider Slider
		states := func(i int) [][]byte {
			if i == bad {
				return [][]byte{good, {9}}
			}
			return [][]byte{good}
		}
		err := slider.Slide(0, 10, 4, func(int) bool { return true }, states, func(i int, _ Estimate) {
			if i >= bad {
				t.Errorf("window %d holds bucket %d and was emitted", i, bad)
			}
		})
		if want := "bucket " + string(rune('0'+bad)) + ": "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("bucket %d is malformed: error %v", bad, err)
		}
	}
}

func BenchmarkSlide(b *testing.B) {
	for name, values := range map[string]int{"empty": 0, "sparse=3": 3, "dense=2000": 2000} {
		b.Run(name, func(b *testing.B) {
			const n, steps = 60, 1440
			var states [steps][][]byte
			for i := range states {
				if values > 0 {
					states[i] = [][]byte{sketchOf(distinct(uint64(i), values)).MarshalAppend(nil)}
				}
			}
			var slider Slider
			b.ReportAllocs()
			for b.Loop() {
				must(b, slider.Slide(0, steps, n,
					func(int) bool { return true },
					func(i int) [][]byte { return states[i] },
					func(int, Estimate) {}))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/window")
		})
	}
}
