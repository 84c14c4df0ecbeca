package window

import (
	"encoding/binary"
	"math/bits"
)

const (
	precision = 14
	registers = 1 << precision
	maxRank   = 64 - precision + 1

	// fewMax hashes lie in the Sketch itself.
	fewMax = 3

	// sparseMax is how many values a Sketch holds exactly. ClickHouse goes on to
	// 512, but turns such a state into registers as soon as a value comes again,
	// also in a merge, so that what it holds at 512 depends on the order of
	// events. Below 512 it is always a set, above always registers; by using
	// registers from 512 on we are right both ways and depend on no order.
	sparseMax = 511
)

// form says which field of a Sketch holds the values.
type form uint8

const (
	inFew form = iota
	inTable
	inRanks
)

// A Sketch counts distinct 64-bit values: exactly up to 511 of them, and from
// 512 on as a HyperLogLog of 16,384 registers. It is the set of its values and
// nothing else: in whatever order they were added and merged, two Sketches of
// the same values give the same Estimate and the same bytes.
//
// Those bytes are a ClickHouse uniqCombined64(14) state of a UInt64 column:
// ClickHouse reads and merges them as its own, and what it writes can be merged
// here. As ClickHouse does, a Sketch hashes each value (with murmur's fmix64),
// keeps the hashes while they are few, and then for each of the 2¹⁴ values that
// a hash's low 14 bits can have the greatest rank seen: one more than the number
// of trailing zeros in the other 50 bits.
//
// The zero Sketch is empty and ready to use. It takes 64 bytes, and no others
// for up to 3 values; at most 8 KiB more while it is exact, and 16 KiB more once
// it has registers. A Sketch must not be copied once it holds values.
type Sketch struct {
	few   [fewMax]uint64    // the first n are the hashes
	table []uint64          // linear probing; its length is a power of two, 0 marks a free slot
	ranks *[registers]uint8 // greatest rank of each register
	n     uint16            // distinct hashes, unless inRanks
	form  form
	zero  bool // the hash 0, which the table cannot hold, is in the set
}

// Add adds a value. It allocates only when the Sketch has to grow, which it does
// by doubling, nine times at most.
func (s *Sketch) Add(v uint64) { s.add(fmix64(v)) }

// fmix64 is the finaliser of MurmurHash3, a bijection; ClickHouse calls it
// intHash64.
func fmix64(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

func (s *Sketch) add(h uint64) {
	switch s.form {
	case inRanks:
		s.raise(h)
	case inTable:
		s.insert(h)
	default:
		for _, x := range s.few[:s.n] {
			if x == h {
				return
			}
		}
		if s.n < fewMax {
			s.few[s.n] = h
			s.n++
			return
		}
		s.reserve(fewMax + 1)
		s.insert(h)
	}
}

// raise counts a hash in the registers.
func (s *Sketch) raise(h uint64) {
	const cap50 = 1 << (64 - precision) // stands for a one after 50 zeros
	rank := uint8(bits.TrailingZeros64(h>>precision|cap50) + 1)
	if r := &s.ranks[h%registers]; *r < rank {
		*r = rank
	}
}

// insert adds a hash to the table.
func (s *Sketch) insert(h uint64) {
	slot, found := s.find(h)
	switch {
	case found:
		return
	case s.n == sparseMax:
		s.makeDense()
		s.raise(h)
		return
	case tableSize(int(s.n)+1) > len(s.table):
		s.reserve(int(s.n) + 1)
		slot, _ = s.find(h)
	}
	s.n++
	if h == 0 {
		s.zero = true
		return
	}
	s.table[slot] = h
}

// find returns the slot of the table that h is in or would go to. The hash 0
// has no slot.
//
// Slots go by the low bits: states list their hashes in ascending order, and
// slots by the high bits would crowd together while such a list is added.
func (s *Sketch) find(h uint64) (slot int, found bool) {
	if h == 0 {
		return 0, s.zero
	}
	mask := len(s.table) - 1
	for i := int(h) & mask; ; i = (i + 1) & mask {
		if x := s.table[i]; x == h || x == 0 {
			return i, x == h
		}
	}
}

// tableSize returns how long a table for n hashes is: at most three quarters
// full.
func tableSize(n int) int {
	size := 8
	for size*3 < n*4 {
		size *= 2
	}
	return size
}

// reserve makes room for n hashes, as long as the Sketch is exact.
func (s *Sketch) reserve(n int) {
	if s.form == inRanks || n <= fewMax {
		return
	}
	size := tableSize(n)
	if s.form != inTable || size > len(s.table) {
		s.rehash(size)
	}
}

// rehash moves the hashes into a table of that length.
func (s *Sketch) rehash(size int) {
	var buf [sparseMax]uint64
	hashes := s.appendHashes(buf[:0])
	if size <= cap(s.table) {
		s.table = s.table[:size]
		clear(s.table)
	} else {
		s.table = make([]uint64, size)
	}
	s.form = inTable
	for _, h := range hashes {
		if h != 0 {
			slot, _ := s.find(h)
			s.table[slot] = h
			continue
		}
		s.zero = true
	}
}

// makeDense turns the set of hashes into registers. The table is kept for when
// the Sketch is reset.
func (s *Sketch) makeDense() {
	if s.form == inRanks {
		return
	}
	var buf [sparseMax]uint64
	hashes := s.appendHashes(buf[:0])
	if s.ranks == nil {
		s.ranks = new([registers]uint8)
	} else {
		clear(s.ranks[:])
	}
	s.form = inRanks
	for _, h := range hashes {
		s.raise(h)
	}
}

// appendHashes appends the hashes of an exact Sketch, in no order.
func (s *Sketch) appendHashes(to []uint64) []uint64 {
	if s.form == inFew {
		return append(to, s.few[:s.n]...)
	}
	if s.zero {
		to = append(to, 0)
	}
	for _, h := range s.table {
		if h != 0 {
			to = append(to, h)
		}
	}
	return to
}

// Merge adds all values of o, which stays as it is.
func (s *Sketch) Merge(o *Sketch) {
	switch {
	case o.form == inFew:
		for _, h := range o.few[:o.n] {
			s.add(h)
		}
	case o.form == inTable:
		s.reserve(int(max(s.n, o.n)))
		if o.zero {
			s.add(0)
		}
		for _, h := range o.table {
			if h != 0 {
				s.add(h)
			}
		}
	case s.form != inRanks && s.n == 0 && s.ranks != nil:
		*s.ranks = *o.ranks
		s.form = inRanks
	default:
		s.makeDense()
		for i := 0; i < registers; i += 8 {
			r := s.ranks[i : i+8 : i+8]
			a, b := binary.LittleEndian.Uint64(r), binary.LittleEndian.Uint64(o.ranks[i:i+8:i+8])
			binary.LittleEndian.PutUint64(r, greater(a, b))
		}
	}
}

// greater returns the greater of each pair of bytes in a and b, all below 128.
func greater(a, b uint64) uint64 {
	const top = 0x8080808080808080
	least := ((a | top) - b) & top // the top bit of each byte of a that is no less
	mask := (least >> 7) * 0xff
	return a&mask | b&^mask
}

// Reset makes the Sketch empty. It keeps its memory for what is added next.
func (s *Sketch) Reset() {
	s.n, s.form, s.zero = 0, inFew, false
}

// Exact returns the number of distinct values, and whether it is known: below
// 512 it is.
func (s *Sketch) Exact() (n int, ok bool) {
	if s.form == inRanks {
		return 0, false
	}
	return int(s.n), true
}
