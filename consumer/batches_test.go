package consumer

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestABatchIsWholeWhereItsLengthSaysSo(t *testing.T) {
	good := rawBatch(40, 0, 1, "a", "b")
	sized := func(b []byte, length int) []byte {
		b = slices.Clone(b)
		binary.BigEndian.PutUint32(b[8:], uint32(length-batchPrefix))
		return b
	}
	magic := func(m byte) []byte { b := slices.Clone(good); b[magicAt] = m; return b }
	const cut = "the batch is longer than what the broker sent of it"
	for name, c := range map[string]struct {
		bytes []byte
		kind  kind
		want  string // the error
		whole int
	}{
		"whole":                           {good, "", "", len(good)},
		"whole, with more behind it":      {append(slices.Clone(good), good...), "", "", len(good)},
		"without records":                 {sized(good, batchHeader), "", "", batchHeader},
		"nothing":                         {nil, badBatch, cut, 0},
		"less than its length":            {good[:batchPrefix-1], badBatch, cut, 0},
		"no more than its length":         {good[:batchPrefix], badBatch, cut, 0},
		"one byte too few":                {good[:len(good)-1], badBatch, cut, 0},
		"a header that is one too short":  {sized(good, batchHeader-1), badBatch, "a batch of 60 bytes is too short", 0},
		"so short that it says no format": {sized(good, magicAt), badBatch, "a batch of 16 bytes is too short", 0},
		"a negative length":               {sized(good, 5), badBatch, "a batch of 5 bytes is too short", 0},
		"just long enough to say its format, which is an old": {sized(magic(1), magicAt+1), oldFormat, "it is of message format 1, from before Kafka 0.11", 0},
		"of format 0": {magic(0), oldFormat, "it is of message format 0, from before Kafka 0.11: produce it again into a topic of a later format", 0},
		"of format 3": {magic(3), oldFormat, "it is of message format 3", 0},
	} {
		got, err := wholeBatch(c.bytes)
		if len(got) != c.whole || kindOfDamage(err) != c.kind || c.kind == "" && err != nil || c.kind != "" && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes, %v; want %d, %s", name, len(got), err, c.whole, c.want)
		}
		if errors.Is(err, errCutOff) != (c.want == cut) {
			t.Errorf("%s: cut off: %v", name, err)
		}
	}
}

func TestTheHeaderOfABatchIsReadAndMustNotContradictItself(t *testing.T) {
	b := rawBatch(40, 4|1<<3|1<<4, 9, "a", "b")
	binary.BigEndian.PutUint64(b[crcStart+22:], 17) // its producer
	seal(b)
	got, attributes, producer, err := batchOf(b)
	want := openBatch{base: 40, last: 49, firstTime: 1000, maxTime: 5000, appendTime: true, left: 2}
	if err != nil || got != want || producer != 17 || !attributes.Transactional() || attributes.Control() || attributes.Compression() != 4 {
		t.Errorf("%+v, %v, producer %d, %v", got, attributes, producer, err)
	}
	if got, _, _, _ := batchOf(rawBatch(40, 4|1<<4, 9, "a")); got.appendTime {
		t.Error("the records have times of their own")
	}
	for _, c := range []struct {
		base, lastDelta, count int64
		want                   string
	}{
		{40, 0, 0, ""},
		{0, 0, 1, ""},
		{-1, 5, 1, "it has 1 records, from offset -1 to 4"},
		{40, -1, 1, "it has 1 records, from offset 40 to 39"},
		{40, 0, -1, "it has -1 records, from offset 40 to 40"},
	} {
		b := rawBatch(c.base, 0, int32(c.lastDelta))
		binary.BigEndian.PutUint32(b[batchHeader-4:], uint32(c.count))
		seal(b)
		if _, _, _, err := batchOf(b); c.want == "" && err != nil || c.want != "" && (kindOfDamage(err) != badBatch || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	b[len(b)-1] ^= 1
	if _, _, _, err := batchOf(b); kindOfDamage(err) != badCRC || !strings.Contains(err.Error(), "its CRC is ") || !strings.Contains(err.Error(), ", its header says ") {
		t.Errorf("%v", err)
	}
}

// deltaBatch is a batch whose records have these offsets, counted from its own.
func deltaBatch(base int64, lastDelta int32, deltas ...int64) []byte {
	var records []byte
	for _, d := range deltas {
		r := binary.AppendVarint([]byte{0, 0}, d)
		r = append(r, 1, 2, 'v', 0) // no key, a value of one byte, no headers
		records = append(binary.AppendVarint(records, int64(len(r))), r...)
	}
	b := rawBatch(base, 0, lastDelta)
	binary.BigEndian.PutUint32(b[batchHeader-4:], uint32(len(deltas)))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batchPrefix))
	seal(b)
	return b
}

func TestWhatLiesBeforeDamageIsHandedOverAndThenTheDamage(t *testing.T) {
	good := deltaBatch(40, 1, 0, 1)
	bad := deltaBatch(42, 1, 0, 1)
	flip(bad)
	cut := func(n int) []byte { return deltaBatch(42, 1, 0, 1)[:n] }
	long := deltaBatch(40, 0, 0) // whose value says that it is longer than its record
	long[len(long)-3] = 100
	seal(long)
	for name, c := range map[string]struct {
		batches []byte
		offset  int64
		records []int64 // of the first piece
		next    int64   // where it ends
		fails   string  // then; empty: it goes on with another fetch
	}{
		"all of it":                                   {deltaBatch(40, 1, 0, 1), 40, []int64{40, 41}, 42, ""},
		"from its last record on":                     {deltaBatch(40, 1, 0, 1), 41, []int64{41}, 42, ""},
		"with gaps":                                   {deltaBatch(40, 9, 2, 5), 40, []int64{42, 45}, 50, ""},
		"a batch that ends before":                    {slices.Concat(deltaBatch(38, 1, 0, 1), good), 40, []int64{40, 41}, 42, ""},
		"cut off":                                     {slices.Concat(good, cut(70)), 40, []int64{40, 41}, 42, ""},
		"cut off within the length":                   {slices.Concat(good, cut(5)), 40, []int64{40, 41}, 42, ""},
		"cut off, and nothing before it":              {cut(70), 42, nil, 42, "the batch is longer than what the broker sent of it"},
		"it ends before what was asked for":           {good, 42, nil, 42, "what the broker sent ends before the offset that it was asked for"},
		"damage behind a batch":                       {slices.Concat(good, bad), 40, []int64{40, 41}, 42, "its CRC is "},
		"damage at once":                              {slices.Concat(bad, good), 42, nil, 42, "its CRC is "},
		"a record behind its batch":                   {deltaBatch(40, 1, 0, 2), 40, []int64{40}, 41, "a record has offset 42, its batch says that it holds offsets 40 to 41"},
		"a record before its batch":                   {deltaBatch(40, 1, -1), 39, nil, 39, "a record has offset 39, its batch says that it holds offsets 40 to 41"},
		"an offset twice":                             {deltaBatch(40, 2, 0, 1, 1), 40, []int64{40, 41}, 42, ""},
		"offsets that go back":                        {deltaBatch(40, 2, 0, 2, 1), 40, []int64{40, 42}, 43, ""},
		"a batch that goes back":                      {slices.Concat(good, deltaBatch(41, 1, 0, 1)), 40, []int64{40, 41}, 42, ""},
		"a value that ends behind its record":         {slices.Concat(deltaBatch(38, 1, 0, 1), long), 38, []int64{38, 39}, 40, "a record ends before its value does"},
		"a batch that says it has more than there is": {more(good), 40, []int64{40, 41}, 42, ""},
	} {
		var f fetcher
		got, err := f.parse(rawResponseOf(c.batches), c.offset)
		var offsets []int64
		for _, r := range got.records {
			offsets = append(offsets, r.offset)
			if string(r.value) != "v" {
				t.Errorf("%s: the value at %d is %q", name, r.offset, r.value)
			}
		}
		if !slices.Equal(offsets, c.records) || err == nil && (got.next != c.next || got.end != 99) {
			t.Errorf("%s: offsets %v, next %d, end %d; want %v, %d", name, offsets, got.next, got.end, c.records, c.next)
		}
		if err == nil && c.fails != "" {
			if len(c.records) == 0 {
				t.Errorf("%s: nothing comes before it, and it is no error", name)
			}
			_, err = f.parse(rawResponseOf(c.batches), c.next) // as another fetch would
			if kindOfDamage(err) == "" {
				_, err = f.piece(c.next)
			}
		}
		var bad *unreadable
		if errors.As(err, &bad) != (c.fails != "") || bad != nil && (!strings.Contains(err.Error(), c.fails) || bad.offset != c.next || bad.log.end != 99) {
			t.Errorf("%s: %v, want %q at %d: %+v", name, err, c.fails, c.next, bad)
		}
		if err != nil && f.pending() {
			t.Errorf("%s: something is held behind the damage", name)
		}
	}
}

// more has a batch say that it has one record more than it has.
func more(b []byte) []byte {
	b = slices.Clone(b)
	b[batchHeader-1]++
	seal(b)
	return b
}

func TestAPieceHoldsNoMoreRecordsThanItMay(t *testing.T) {
	for name, sizes := range map[string][]int{
		"one batch of a piece":       {chunkRecords},
		"one more":                   {chunkRecords + 1},
		"two batches of a piece":     {chunkRecords - 3, 3},
		"two batches, and one more":  {chunkRecords - 3, 4},
		"a piece, and another batch": {chunkRecords, 2},
	} {
		var batches []byte
		all := 0
		for _, n := range sizes {
			deltas := make([]int64, n)
			for i := range deltas {
				deltas[i] = int64(i)
			}
			batches = append(batches, deltaBatch(int64(all), int32(n-1), deltas...)...)
			all += n
		}
		var f fetcher
		c, err := f.parse(rawResponseOf(batches), 0)
		if first := min(all, chunkRecords); err != nil || len(c.records) != first || c.next != int64(first) || f.pending() != (all > first) {
			t.Errorf("%s: %d records, next %d, pending %t, %v", name, len(c.records), c.next, f.pending(), err)
		}
		if all == chunkRecords {
			continue
		}
		if c, err = f.piece(c.next); err != nil || len(c.records) != all-chunkRecords || c.records[0].offset != chunkRecords || c.next != int64(all) || f.pending() {
			t.Errorf("%s: then %d records, next %d, pending %t, %v", name, len(c.records), c.next, f.pending(), err)
		}
	}
}

func TestATransactionIsAbortedFromItsFirstOffsetUpToItsEnd(t *testing.T) {
	f := fetcher{aborted: []transaction{{producer: 1, first: 10}, {producer: 2, first: 20}, {producer: 1, first: 30}}}
	for _, c := range []struct {
		producer, last int64
		control, want  bool
	}{
		{1, 9, false, false}, // one that was committed before
		{1, 10, false, true},
		{2, 19, false, false},
		{1, 20, false, true},
		{2, 21, false, true},
		{3, 22, false, false},
		{3, 23, true, false}, // another's end
		{1, 24, false, true},
		{1, 25, true, true}, // the end of its own
		{1, 26, false, false},
		{2, 27, false, true},
		{1, 30, false, true},
		{2, 31, true, true},
		{1, 32, true, true},
		{1, 33, false, false},
	} {
		if got := f.aborts(c.producer, c.last, c.control); got != c.want {
			t.Errorf("what producer %d wrote up to %d is aborted: %t, want %t", c.producer, c.last, got, c.want)
		}
	}
}
