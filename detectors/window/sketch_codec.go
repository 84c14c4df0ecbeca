package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A state is a type byte, and then
//
//	1, 2  the number of hashes as a varint, and the hashes, 8 bytes each: up to
//	      16 under type 1, from 17 to 512 under type 2
//	3     the registers' ranks, 6 bits each, from the low bit of the first byte;
//	      how many registers have rank 0, 1, …, 51 (uint32 each); how many have
//	      rank 0 (uint16)
//
// all little-endian. In ClickHouse's sources: CombinedCardinalityEstimator.h for
// the three types, SmallTable.h and HashTable.h for the hashes, CompactArray.h
// and HyperLogLogCounter.h for the registers.
const (
	typeSmall  = 1
	typeMedium = 2
	typeLarge  = 3

	smallMax  = 16
	mediumMax = 512

	packedSize = registers * 6 / 8
	countsSize = (maxRank + 1) * 4
	largeSize  = packedSize + countsSize + 2
)

// MarshalAppend appends the Sketch's state to b: 2 bytes for an empty one, 9 or
// 10 and 8 more for each value while it is exact, 12,499 beyond. The hashes are
// in ascending order, so equal sets make equal bytes.
func (s *Sketch) MarshalAppend(b []byte) []byte {
	if s.form == inRanks {
		return s.appendLarge(b)
	}
	var buf [sparseMax]uint64
	hashes := s.appendHashes(buf[:0])
	slices.Sort(hashes)
	b = slices.Grow(b, 3+8*len(hashes))
	if len(hashes) <= smallMax {
		b = append(b, typeSmall)
	} else {
		b = append(b, typeMedium)
	}
	b = binary.AppendUvarint(b, uint64(len(hashes)))
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

func (s *Sketch) appendLarge(b []byte) []byte {
	start := len(b) + 1
	b = slices.Grow(b, 1+largeSize)[:start+largeSize]
	b[start-1] = typeLarge
	packed := b[start:]
	for i := range registers / 8 {
		// Eight bytes are written for six; the next ones overwrite the rest.
		eight := binary.LittleEndian.Uint64(s.ranks[8*i:])
		binary.LittleEndian.PutUint64(packed[6*i:], pack(eight))
	}
	counts := packed[packedSize:]
	ranked := histogram(s.ranks)
	for rank, n := range ranked {
		binary.LittleEndian.PutUint32(counts[4*rank:], n)
	}
	binary.LittleEndian.PutUint16(counts[countsSize:], uint16(ranked[0]))
	return b
}

// Unmarshal makes s the Sketch whose state is b, whoever wrote it; hashes may be
// in any order. What cannot be the state of any set is an error, and s is then
// empty: another length than the type and the count ask for, a count that
// belongs to another type, a hash that comes twice, a rank over 51, counts of
// ranks that do not fit the registers. It keeps nothing of b.
func (s *Sketch) Unmarshal(b []byte) error {
	s.Reset()
	st, err := parse(b)
	if err != nil {
		return err
	}
	if st.large == nil {
		s.addAll(st.hashes)
		want := len(st.hashes) / 8
		if n, ok := s.Exact(); ok && n != want {
			s.Reset()
			return fmt.Errorf("sketch state says %d distinct values and has %d", want, n)
		}
		return nil
	}
	s.mergeLarge(st.large)
	for rank, n := range histogram(s.ranks) {
		if said := rankCount(st.large, rank); said != n {
			s.Reset()
			return fmt.Errorf("sketch state says %d registers of rank %d and has %d", said, rank, n)
		}
	}
	return nil
}

// MergeBytes adds all values of a state: Merge without the Sketch in between. It
// refuses what Unmarshal refuses, and leaves s as it was, but for what would
// only cost time to find and can do no harm to a union: hashes that come twice,
// and counts of ranks that add up and yet are not those of the registers.
func (s *Sketch) MergeBytes(b []byte) error {
	st, err := parse(b)
	if err != nil {
		return err
	}
	if st.large != nil {
		s.mergeLarge(st.large)
	} else {
		s.addAll(st.hashes)
	}
	return nil
}

// state is the body of a state whose type and size are right: either hashes, 8
// bytes each, or registers.
type state struct {
	hashes []byte
	large  []byte
}

func parse(b []byte) (state, error) {
	if len(b) == 0 {
		return state{}, errors.New("sketch state is empty: the state of no values is 2 bytes, 1 and 0")
	}
	body := b[1:]
	switch b[0] {
	case typeSmall:
		return parseHashes(body, 0, smallMax)
	case typeMedium:
		return parseHashes(body, smallMax+1, mediumMax)
	case typeLarge:
		return state{large: body}, checkLarge(body)
	}
	return state{}, fmt.Errorf("sketch state has type %d: expected 1, 2 or 3", b[0])
}

func parseHashes(body []byte, least, most uint64) (state, error) {
	n, size := binary.Uvarint(body)
	if size <= 0 || size > 1 && n < 1<<(7*(size-1)) {
		return state{}, errors.New("sketch state has no count after its type")
	}
	if n < least || n > most {
		return state{}, fmt.Errorf("sketch state has %d values: its type holds %d to %d", n, least, most)
	}
	hashes := body[size:]
	if uint64(len(hashes)) != 8*n {
		return state{}, fmt.Errorf("sketch state has %d bytes for %d values: expected %d", len(hashes), n, 8*n)
	}
	return state{hashes: hashes}, nil
}

func checkLarge(body []byte) error {
	if len(body) != largeSize {
		return fmt.Errorf("sketch state has %d bytes of registers: expected %d", len(body), largeSize)
	}
	// A rank is over 51 (binary 110011) where bits 5 and 4 are set and one of
	// bits 3 and 2.
	const bit5 = 0x820820820820 // of eight ranks
	var over uint64
	for i := 0; i < packedSize; i += 6 {
		x := binary.LittleEndian.Uint64(body[i:])
		over |= x & (x << 1) & (x<<2 | x<<3)
	}
	if over&bit5 != 0 {
		return fmt.Errorf("sketch state has a rank over %d", maxRank)
	}
	var sum uint64
	for rank := range maxRank + 1 {
		sum += uint64(rankCount(body, rank))
	}
	if sum != registers {
		return fmt.Errorf("sketch state counts %d registers: expected %d", sum, registers)
	}
	zeros := binary.LittleEndian.Uint16(body[packedSize+countsSize:])
	if n := rankCount(body, 0); n != uint32(zeros) {
		return fmt.Errorf("sketch state says both %d and %d registers of rank 0", n, zeros)
	}
	return nil
}

// rankCount returns how many registers a large state says to have that rank.
func rankCount(large []byte, rank int) uint32 {
	return binary.LittleEndian.Uint32(large[packedSize+4*rank:])
}

func (s *Sketch) addAll(hashes []byte) {
	s.reserve(max(int(s.n), len(hashes)/8))
	for ; len(hashes) >= 8; hashes = hashes[8:] {
		s.add(binary.LittleEndian.Uint64(hashes))
	}
}

func (s *Sketch) mergeLarge(large []byte) {
	s.makeDense()
	for i := range registers / 8 {
		r := s.ranks[8*i : 8*i+8]
		a, b := binary.LittleEndian.Uint64(r), unpack(binary.LittleEndian.Uint64(large[6*i:]))
		binary.LittleEndian.PutUint64(r, greater(a, b))
	}
}

// unpack spreads the low 48 bits of x, eight ranks of 6 bits, over eight bytes.
func unpack(x uint64) uint64 {
	x = x&0x000000ffffff | x&0xffffff000000<<8
	x = x&0x00000fff00000fff | x&0x00fff00000fff000<<4
	return x&0x003f003f003f003f | x&0x0fc00fc00fc00fc0<<2
}

// pack is the inverse of unpack.
func pack(x uint64) uint64 {
	x = x&0x003f003f003f003f | x&0x3f003f003f003f00>>2
	x = x&0x00000fff00000fff | x&0x0fff00000fff0000>>4
	return x&0x0000000000ffffff | x&0x00ffffff00000000>>8
}
