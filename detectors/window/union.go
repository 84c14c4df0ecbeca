package window

import "fmt"

// A Slider counts the distinct values of a window that slides over buckets, each
// of which is a number of Sketch states. A union cannot forget, so it works as a
// queue made of two stacks does: the front of the window is kept as the unions
// of its suffixes, the back as one growing union,
//
//	bucket    0  1  2  3  4  5  6          n = 5
//	front       |1‥4
//	               |2‥4                    window 2‥6 = 2‥4 ∪ 5‥6
//	                  |3‥4
//	                     |4‥4
//	back                    |5‥6
//
// and where the front is used up, the whole window becomes the new front. Each
// bucket is merged twice at most, and each window costs one union more.
//
// The zero Slider is ready to use. Between calls it keeps only memory: up to
// n Sketches.
type Slider struct {
	front []Sketch // unions of suffixes, shortest first
	back  Sketch
	both  Sketch

	from   int   // first bucket of the front
	suffix []int // for each bucket of the front, which of front begins there; −1 for no value
	used   int   // how many of front are in use
}

// Slide calls emit for each bucket i in [from, to) that wanted holds for, in
// ascending order, with the number of distinct values in the n buckets that end
// with i. Buckets are numbered from 0; windows that would begin before bucket 0
// begin there, so that n ≥ to gives the growing window of a calendar month.
//
// states returns the states of a bucket, none if it is empty; it is called at
// most twice for a bucket, and never for one that lies in no wanted window. A
// malformed state ends the slide with an error that names the bucket.
//
// Where i is not wanted its window is not estimated, which is the dear part:
// people never exceed accesses, so a judge wants a window only where its sum
// reaches what a finding needs.
func (s *Slider) Slide(from, to, n int, wanted func(i int) bool, states func(i int) [][]byte, emit func(i int, e Estimate)) error {
	var (
		middle, next int // the front ends before middle, the back before next
		last         Estimate
		suffix       int  // last is of this suffix of the front and the back,
		fresh        bool // as it still is
	)
	for i := max(from, 0); i < to; i++ {
		if !wanted(i) {
			continue
		}
		begin := max(i-n+1, 0)
		if begin >= middle {
			if err := s.turn(begin, i, states); err != nil {
				return err
			}
			middle, next, fresh = i+1, i+1, false
		}
		for ; next <= i; next++ {
			added := states(next)
			if err := mergeAll(&s.back, added); err != nil {
				return fmt.Errorf("bucket %d: %w", next, err)
			}
			fresh = fresh && len(added) == 0
		}
		if k := s.suffix[begin-s.from]; !fresh || k != suffix {
			last, suffix, fresh = s.estimate(k), k, true
		}
		emit(i, last)
	}
	return nil
}

// turn makes the buckets from first to last the front, and the back empty.
func (s *Slider) turn(first, last int, states func(i int) [][]byte) error {
	s.back.Reset()
	s.from, s.used = first, 0
	s.suffix = append(s.suffix[:0], make([]int, last-first+1)...)
	for i := last; i >= first; i-- {
		if added := states(i); len(added) > 0 {
			if err := s.extend(added); err != nil {
				return fmt.Errorf("bucket %d: %w", i, err)
			}
		}
		s.suffix[i-first] = s.used - 1
	}
	return nil
}

// extend puts a union on the front: the longest one and what is added.
func (s *Slider) extend(added [][]byte) error {
	if s.used == len(s.front) {
		s.front = append(s.front, Sketch{})
	}
	union := &s.front[s.used]
	union.Reset()
	if s.used > 0 {
		union.Merge(&s.front[s.used-1])
	}
	s.used++
	return mergeAll(union, added)
}

// estimate counts what is in a suffix of the front or in the back.
func (s *Slider) estimate(suffix int) Estimate {
	if suffix < 0 {
		return s.back.Estimate()
	}
	front := &s.front[suffix]
	if n, ok := s.back.Exact(); ok && n == 0 {
		return front.Estimate()
	}
	s.both.Reset()
	s.both.Merge(front)
	s.both.Merge(&s.back)
	return s.both.Estimate()
}

func mergeAll(to *Sketch, states [][]byte) error {
	for _, b := range states {
		if err := to.MergeBytes(b); err != nil {
			return err
		}
	}
	return nil
}
