package window

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// sketchOf returns a Sketch to which the values were added in their order.
func sketchOf(values []uint64) *Sketch {
	s := new(Sketch)
	for _, v := range values {
		s.Add(v)
	}
	return s
}

// distinct returns n values, the same for the same seed, none in another seed's.
func distinct(seed uint64, n int) []uint64 {
	values := make([]uint64, n)
	for i := range values {
		values[i] = seed<<32 | uint64(i)
	}
	return values
}

// oracleState writes a state from nothing but the set of values, bit by bit.
func oracleState(values map[uint64]bool) []byte {
	var hashes []uint64
	for v := range values {
		hashes = append(hashes, fmix64(v))
	}
	slices.Sort(hashes)
	if len(hashes) < 512 {
		b := []byte{1}
		if len(hashes) > 16 {
			b[0] = 2
		}
		b = binary.AppendUvarint(b, uint64(len(hashes)))
		for _, h := range hashes {
			b = binary.LittleEndian.AppendUint64(b, h)
		}
		return b
	}
	ranks := make([]int, 16384)
	for _, h := range hashes {
		rank := bits.TrailingZeros64(h>>14) + 1
		ranks[h&16383] = max(ranks[h&16383], min(rank, 51))
	}
	b := make([]byte, 1+12288)
	b[0] = 3
	counts := make([]uint32, 52)
	for i, rank := range ranks {
		for bit := range 6 {
			at := 6*i + bit
			b[1+at/8] |= byte(rank>>bit&1) << (at % 8)
		}
		counts[rank]++
	}
	for _, n := range counts {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return binary.LittleEndian.AppendUint16(b, uint16(counts[0]))
}

// sizes of sets on both sides of every change of form.
var sizes = []int{0, 1, 2, 3, 4, 6, 7, 16, 17, 100, 300, 384, 385, 510, 511, 512, 513, 600, 5000}

func TestASketchIsTheSetOfItsValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range sizes {
		set := map[uint64]bool{}
		for _, v := range distinct(uint64(n), n) {
			set[v] = true
		}
		if n > 2 { // the hash of 0 is 0
			delete(set, uint64(n)<<32)
			set[0] = true
		}
		want := oracleState(set)
		var values []uint64
		for v := range set {
			values = append(values, v)
		}
		slices.Sort(values)
		for range 20 {
			s := cutAndMerge(t, rng, values)
			if got := s.MarshalAppend(nil); !bytes.Equal(got, want) {
				t.Fatalf("%d values, added and merged at random: the state differs from the oracle's (%d and %d bytes)", n, len(got), len(want))
			}
			if got, ok := s.Exact(); ok != (n < 512) || ok && got != n {
				t.Errorf("%d values: Exact() = %d, %v", n, got, ok)
			}
			if got, want := s.Estimate(), sketchOf(values).Estimate(); got != want {
				t.Errorf("%d values: estimate %v, in ascending order %v", n, got, want)
			}
		}
	}
}

// cutAndMerge adds the values, in random order, some again and again, to a few
// Sketches that may have been used before, and merges them in random order and
// by random means into one.
func cutAndMerge(t *testing.T, rng *rand.Rand, values []uint64) *Sketch {
	parts := make([]*Sketch, 1+rng.IntN(8))
	for i := range parts {
		parts[i] = sketchOf(distinct(99, rng.IntN(1000)))
		parts[i].Reset()
	}
	for _, i := range rng.Perm(len(values)) {
		for again := true; again; again = rng.IntN(3) == 0 {
			parts[rng.IntN(len(parts))].Add(values[i])
		}
	}
	for len(parts) > 1 {
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		to, from := parts[0], parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		state := from.MarshalAppend(nil)
		switch rng.IntN(3) {
		case 0:
			to.Merge(from)
		case 1:
			must(t, to.MergeBytes(state))
		case 2:
			read := new(Sketch)
			must(t, read.Unmarshal(state))
			read.Merge(to)
			parts[0] = read
		}
		if after := from.MarshalAppend(nil); !bytes.Equal(after, state) {
			t.Fatal("a merge changed the Sketch that was merged")
		}
	}
	parts[0].Merge(parts[0])
	return parts[0]
}

func TestClickHouseStatesOf512ValuesMeanTheSameInBothForms(t *testing.T) {
	// ClickHouse writes 512 values as hashes while none came twice, and as
	// registers after that.
	values := distinct(7, 512)
	asSet := binary.AppendUvarint([]byte{typeMedium}, 512)
	for _, v := range values {
		asSet = binary.LittleEndian.AppendUint64(asSet, fmix64(v))
	}
	var fromSet Sketch
	must(t, fromSet.Unmarshal(asSet))
	if got, want := fromSet.MarshalAppend(nil), sketchOf(values).MarshalAppend(nil); !bytes.Equal(got, want) {
		t.Errorf("512 values read as a set and added differ")
	}
}

func TestValuesThatFallIntoOneSlotAreKeptApart(t *testing.T) {
	var s Sketch
	set := map[uint64]bool{}
	for i := range uint64(511) {
		h := i << 40
		s.add(h)
		s.add(h)
		set[h] = true
	}
	got := s.appendHashes(nil)
	if len(got) != len(set) {
		t.Fatalf("%d hashes with equal low bits became %d", len(set), len(got))
	}
	for _, h := range got {
		if !set[h] {
			t.Fatalf("hash %x was never added", h)
		}
	}
}

func TestARankStopsAt51(t *testing.T) {
	for rank := 1; rank <= 52; rank++ {
		var s Sketch
		s.makeDense()
		s.raise(1<<(13+rank) | 5) // for 52 the shift leaves 50 zeros
		if got := int(s.ranks[5]); got != min(rank, 51) {
			t.Errorf("%d zeros: rank %d", rank-1, got)
		}
	}
}

func TestASketchTakes64Bytes(t *testing.T) {
	if size := unsafe.Sizeof(Sketch{}); size != 64 {
		t.Errorf("a Sketch takes %d bytes", size)
	}
}

func TestNothingIsAllocatedWhereThereIsRoom(t *testing.T) {
	for _, n := range sizes {
		values := distinct(3, n)
		s, other := sketchOf(values), sketchOf(distinct(4, n))
		state := other.MarshalAppend(nil)
		buf := make([]byte, 0, 1+largeSize)
		var union Sketch
		f := func(what string, do func()) {
			do()
			if got := testing.AllocsPerRun(10, do); got != 0 {
				t.Errorf("%d values: %s allocates %v times", n, what, got)
			}
		}
		f("Add of known values", func() {
			for _, v := range values {
				s.Add(v)
			}
		})
		f("filling a Sketch that was reset", func() {
			union.Reset()
			for _, v := range values {
				union.Add(v)
			}
		})
		f("Merge", func() { union.Reset(); union.Merge(s); union.Merge(other) })
		f("MergeBytes", func() { union.Reset(); union.Merge(s); must(t, union.MergeBytes(state)) })
		f("Unmarshal", func() { must(t, union.Unmarshal(state)) })
		f("MarshalAppend", func() { buf = s.MarshalAppend(buf[:0]) })
		f("Estimate", func() { _ = s.Estimate() })
	}
}

func TestUpTo3ValuesTakeNoMemoryOfTheirOwn(t *testing.T) {
	got := testing.AllocsPerRun(10, func() {
		var s Sketch
		s.Add(1)
		s.Add(2)
		s.Add(3)
	})
	if got != 0 {
		t.Errorf("3 values allocate %v times", got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{3, 40, 400, 100_000} {
		b.Run(fmt.Sprintf("distinct=%d", n), func(b *testing.B) {
			values := distinct(5, n)
			s := sketchOf(values)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.Add(values[i])
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{1, 23, 200, 100_000} {
		from := sketchOf(distinct(6, n))
		state := from.MarshalAppend(nil)
		for _, into := range []int{0, 400, 100_000} {
			base := sketchOf(distinct(7, into))
			base.Merge(from)
			b.Run(fmt.Sprintf("sketch/from=%d/into=%d", n, into), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					base.Merge(from)
				}
			})
			b.Run(fmt.Sprintf("bytes/from=%d/into=%d", n, into), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := base.MergeBytes(state); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkEstimate(b *testing.B) {
	for _, n := range []int{600, 100_000} {
		b.Run(fmt.Sprintf("distinct=%d", n), func(b *testing.B) {
			s := sketchOf(distinct(8, n))
			b.ReportAllocs()
			for b.Loop() {
				s.Estimate()
			}
		})
	}
}

func BenchmarkState(b *testing.B) {
	for _, n := range []int{3, 40, 400, 100_000} {
		s := sketchOf(distinct(9, n))
		state := s.MarshalAppend(nil)
		b.Run(fmt.Sprintf("marshal/distinct=%d", n), func(b *testing.B) {
			buf := make([]byte, 0, 1+largeSize)
			b.ReportAllocs()
			for b.Loop() {
				buf = s.MarshalAppend(buf[:0])
			}
		})
		b.Run(fmt.Sprintf("unmarshal/distinct=%d", n), func(b *testing.B) {
			var to Sketch
			b.ReportAllocs()
			for b.Loop() {
				if err := to.Unmarshal(state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
