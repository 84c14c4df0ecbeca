package replay

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// numbers lists the records one by one.
func (s Spans) numbers() []int64 {
	var all []int64
	for _, span := range s {
		for n := span.From; n < span.To; n++ {
			all = append(all, n)
		}
	}
	return all
}

// someSpans makes spans below n.
func someSpans(r *rand.Rand, n int64) Spans {
	var s Spans
	for range r.IntN(5) {
		from := r.Int64N(n)
		s = s.With(Span{from, from + r.Int64N(n-from+1)})
	}
	return s
}

func TestSpansDoWhatListsOfTheirRecordsDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		a, b, n := someSpans(r, 20), someSpans(r, 20), r.Int64N(25)
		from := r.Int64N(20)
		places := Span{from, from + r.Int64N(20)}
		var with, rest, at, before []int64
		for i := range int64(40) {
			inA := slices.Contains(a.numbers(), i)
			if inA || slices.Contains(b.numbers(), i) {
				with = append(with, i)
			}
			if !inA && i < n {
				rest = append(rest, i)
			}
			if inA && i < n {
				before = append(before, i)
			}
		}
		for i, record := range a.numbers() {
			if int64(i) >= places.From && int64(i) < places.To {
				at = append(at, record)
			}
		}
		for name, c := range map[string]struct {
			got  Spans
			want []int64
		}{
			"With": {a.With(b...), with}, "Rest": {a.Rest(n), rest}, "At": {a.At(places), at}, "Before": {a.Before(n), before},
		} {
			if !slices.Equal(c.got.numbers(), c.want) || c.got.Len() != int64(len(c.want)) {
				t.Fatalf("%s of %v, %v, %d, %v is %v, want %v", name, a, b, n, places, c.got, c.want)
			}
		}
		for _, s := range []Spans{a.With(b...), a.Rest(n)} {
			for i, span := range s {
				if span.From >= span.To || i > 0 && span.From <= s[i-1].To {
					t.Fatalf("%v are not ascending, apart and full", s)
				}
			}
		}
	}
}

func TestAnOffsetNamesARecord(t *testing.T) {
	for _, s := range []Stripes{{1, 1}, {1, 3}, {4, 2}, {1000, 2}} {
		offsets := map[int]int64{}
		var first Spans
		for n := range int64(50) {
			p := s.Partition(n)
			if got := s.Record(int32(p), offsets[p]); got != n {
				t.Fatalf("%v: record %d is at offset %d of partition %d, which is called %d", s, n, offsets[p], p, got)
			}
			if offsets[p]++; p == 0 {
				first = first.With(Span{n, n + 1})
			}
			if below := s.Below(0, offsets[0]); !slices.Equal(below, first) {
				t.Fatalf("%v: below offset %d stand %v, want %v", s, offsets[0], below, first)
			}
		}
	}
}
