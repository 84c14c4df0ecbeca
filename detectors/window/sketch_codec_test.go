package window

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// edited returns a copy of b with the change made.
func edited(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return b
}

// list writes hashes as a state of that type, without any check.
func list(kind byte, count int, hashes ...uint64) []byte {
	b := binary.AppendUvarint([]byte{kind}, uint64(count))
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

func upTo(n int) []uint64 {
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = uint64(i)
	}
	return hashes
}

var large = sketchOf(distinct(11, 700)).MarshalAppend(nil)

// putCount changes how many registers a large state says to have a rank.
func putCount(b []byte, rank int, by int) {
	at := b[1+packedSize+4*rank:]
	binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)+uint32(by))
}

func TestMalformedStatesAreRefused(t *testing.T) {
	f := func(name string, b []byte, want string) {
		t.Helper()
		s := sketchOf(distinct(12, 5))
		before := s.MarshalAppend(nil)
		if err := s.MergeBytes(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: MergeBytes says %v, expected %q", name, err, want)
		}
		if !bytes.Equal(s.MarshalAppend(nil), before) {
			t.Errorf("%s: MergeBytes changed the Sketch", name)
		}
		if err := s.Unmarshal(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Unmarshal says %v, expected %q", name, err, want)
		}
		if n, ok := s.Exact(); n != 0 || !ok {
			t.Errorf("%s: after an error Unmarshal left %d values", name, n)
		}
	}
	f("nothing", nil, "is empty")
	f("no such type", []byte{4, 0}, "has type 4")
	f("type alone", []byte{1}, "no count")
	f("a count that never ends", []byte{1, 0xff, 0xff}, "no count")
	f("a count over 64 bits", append([]byte{1}, bytes.Repeat([]byte{0xff}, 11)...), "no count")
	f("a count of two bytes where one is enough", append([]byte{1, 0x81, 0}, make([]byte, 8)...), "no count")
	f("a huge count", []byte{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "holds 17 to 512")
	f("17 of type 1", list(1, 17, upTo(17)...), "holds 0 to 16")
	f("16 of type 2", list(2, 16, upTo(16)...), "holds 17 to 512")
	f("513 of type 2", list(2, 513, upTo(513)...), "holds 17 to 512")
	f("a hash too few", list(1, 3, 1, 2), "16 bytes for 3 values")
	f("a hash too many", list(1, 1, 1, 2), "16 bytes for 1 values")
	f("a cut hash", list(1, 1, 1)[:9], "7 bytes for 1 values")
	f("a byte too many", append(list(1, 1, 1), 0), "9 bytes for 1 values")
	f("cut registers", large[:len(large)-1], "12497 bytes of registers")
	f("long registers", append(bytes.Clone(large), 0), "12499 bytes of registers")
	for rank := maxRank + 1; rank < 64; rank++ {
		for at := range 8 {
			f("a rank too high", edited(large, func(b []byte) {
				x := binary.LittleEndian.Uint64(b[1+600:])
				x = x&^(63<<(6*at)) | uint64(rank)<<(6*at)
				binary.LittleEndian.PutUint64(b[1+600:], x)
			}), "rank over 51")
		}
	}
	f("counts that do not add up", edited(large, func(b []byte) { putCount(b, 3, 1) }), "counts 16385 registers")
	f("two counts of zeros", edited(large, func(b []byte) { b[len(b)-2]++ }), "registers of rank 0")

	g := func(name string, b []byte, want string) {
		t.Helper()
		var s Sketch
		if err := s.Unmarshal(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Unmarshal says %v, expected %q", name, err, want)
		}
		if n, ok := s.Exact(); n != 0 || !ok {
			t.Errorf("%s: after an error Unmarshal left %d values", name, n)
		}
		if err := s.MergeBytes(b); err != nil {
			t.Errorf("%s: harmless to a union, and refused: %v", name, err)
		}
	}
	g("a hash twice", list(1, 3, 1, 2, 1), "says 3 distinct values and has 2")
	g("0 twice", list(2, 20, append(upTo(19), 0)...), "says 20 distinct values and has 19")
	g("511 in a list of 512", list(2, 512, append(upTo(511), 7)...), "says 512 distinct values and has 511")
	g("counts of other registers", edited(large, func(b []byte) { putCount(b, 3, 1); putCount(b, 4, -1) }), "registers of rank 3")
}

func TestEveryRankIsPackedAndUnpacked(t *testing.T) {
	for rank := range uint64(64) {
		for at := range 8 {
			spread, packed := rank<<(8*at), rank<<(6*at)
			if got := pack(spread); got != packed {
				t.Fatalf("pack(%x) = %x", spread, got)
			}
			if got := unpack(packed | 0xffff<<48); got != spread {
				t.Fatalf("unpack(%x) = %x", packed, got)
			}
		}
	}
}

func TestAStateIsAppended(t *testing.T) {
	for _, n := range sizes {
		s := sketchOf(distinct(13, n))
		got := s.MarshalAppend([]byte("before"))
		if want := append([]byte("before"), s.MarshalAppend(nil)...); !bytes.Equal(got, want) {
			t.Errorf("%d values: appending gives other bytes", n)
		}
	}
}

// FuzzUnmarshal: what is accepted is written again as the same bytes, but for
// the order of hashes, and but for 512 of them, which become registers; merging
// it, in one go or twice, is the same as reading it.
func FuzzUnmarshal(f *testing.F) {
	for _, n := range sizes {
		f.Add(sketchOf(distinct(14, n)).MarshalAppend(nil))
	}
	f.Add(list(2, 512, upTo(512)...))
	f.Add(list(1, 3, 9, 0, 4))
	f.Add(list(1, 3, 9, 9, 4))
	f.Add([]byte{})
	f.Add(edited(large, func(b []byte) { b[1] = 0xff }))
	f.Add(edited(large, func(b []byte) { putCount(b, 3, 1); putCount(b, 4, -1) }))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, union Sketch
		mergeErr := union.MergeBytes(b)
		if err := s.Unmarshal(b); err != nil {
			if n, ok := s.Exact(); n != 0 || !ok {
				t.Fatal("a refused state left something behind")
			}
			return
		}
		if mergeErr != nil {
			t.Fatalf("Unmarshal accepts what MergeBytes refuses: %v", mergeErr)
		}
		got := s.MarshalAppend(nil)
		if want := ascending(b); len(b) != 1+2+8*512 && !bytes.Equal(got, want) {
			t.Fatalf("wrote %x, read %x", got, want)
		}
		must(t, union.MergeBytes(b))
		union.Merge(&s)
		if !bytes.Equal(union.MarshalAppend(nil), got) {
			t.Fatal("merging a state again changes it")
		}
		if e := s.Estimate(); e.Low > e.Value || e.Value > e.High {
			t.Fatalf("%+v is not in order", e)
		}
	})
}

// ascending returns an accepted state with its hashes in ascending order.
func ascending(b []byte) []byte {
	if b[0] == typeLarge {
		return b
	}
	_, size := binary.Uvarint(b[1:])
	var hashes []uint64
	for i := 1 + size; i < len(b); i += 8 {
		hashes = append(hashes, binary.LittleEndian.Uint64(b[i:]))
	}
	slices.Sort(hashes)
	return list(b[0], len(hashes), hashes...)
}

// The state of 1 and 2, as ClickHouse 26.9 writes it.
func ExampleSketch_MarshalAppend() {
	var s Sketch
	s.Add(1)
	s.Add(2)
	s.Add(1)
	fmt.Printf("%X\n", s.MarshalAppend(nil))
	// Output: 0102E7830665202ABF3A2CCBC234FCBC56B4
}
