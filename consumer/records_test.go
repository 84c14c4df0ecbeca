package consumer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"

	"github.com/overreach/overreach/schema"
)

// patterned is bytes of which no two parts are alike.
func patterned(n int, seed uint32) []byte {
	b := make([]byte, 0, n+4)
	for i := seed * 1_000_003; len(b) < n; i++ {
		b = binary.BigEndian.AppendUint32(b, i*2654435761)
	}
	return b[:n]
}

// fullRecord is a record with its length in front. A key or value of no bytes is
// null where it is nil.
func fullRecord(offset int, key, value, headers []byte) []byte {
	r := binary.AppendVarint([]byte{0}, int64(offset)*7) // attributes, time
	r = binary.AppendVarint(r, int64(offset))
	for _, part := range [][]byte{key, value} {
		size := int64(len(part))
		if part == nil {
			size = -1
		}
		r = append(binary.AppendVarint(r, size), part...)
	}
	r = append(r, headers...)
	return append(binary.AppendVarint(nil, int64(len(r))), r...)
}

// packs packs by each codec, each in a way that its clients have.
var packs = map[string]func(records []byte) (codec int16, payload []byte){
	"none": func(records []byte) (int16, []byte) { return 0, records },
	"gzip": func(records []byte) (int16, []byte) {
		return 1, written(records, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	},
	"snappy":        func(records []byte) (int16, []byte) { return 2, snappy.Encode(nil, records) },
	"xerial snappy": func(records []byte) (int16, []byte) { return 2, written(records, packers["snappy"].writer) },
	"lz4": func(records []byte) (int16, []byte) {
		return 3, written(records, func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) })
	},
	"zstd": func(records []byte) (int16, []byte) { return 4, written(records, packers["zstd"].writer) },
}

func written(data []byte, writer func(io.Writer) io.WriteCloser) []byte {
	var b bytes.Buffer
	w := writer(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestRecordsOfAnySizeAreReadOutOfAnyCodec(t *testing.T) {
	key := func(n int) []byte { return patterned(n, 1) }
	const most = schema.MaxRecord
	frame := len(fullRecord(1, nil, patterned(most, 0), nil)) - most // around a value of the greatest size
	type parts struct{ key, value, headers []byte }
	for name, all := range map[string][]parts{
		"small":        {{nil, nil, nil}, {key(3), patterned(5, 2), key(2)}, {nil, []byte{}, nil}, {[]byte{}, patterned(9, 3), nil}},
		"of a window":  {{nil, patterned(leastWindow-20, 2), nil}, {nil, patterned(leastWindow, 3), nil}, {nil, patterned(leastWindow+1, 4), nil}, {nil, patterned(7, 5), nil}},
		"many of some": slices.Repeat([]parts{{key(10), patterned(50_000, 2), key(3)}, {nil, patterned(33_333, 3), nil}}, 20),
		"the longest that is held, and one byte more": {{key(1 << 10), patterned(most, 2), key(heldRecord - most - 1<<10 - frame)},
			{key(1 << 10), patterned(most, 3), key(heldRecord - most - 1<<10 - frame + 8)}, {nil, patterned(7, 4), nil}},
		"the greatest value, and one byte more": {{nil, patterned(most, 2), nil}, {nil, patterned(most+1, 3), nil}, {key(9), patterned(7, 4), nil}},
		"the same behind a great key":           {{key(1 << 20), patterned(most, 2), key(5)}, {key(1 << 20), patterned(most+1, 3), key(5)}, {nil, patterned(7, 4), nil}},
		"a great key and nothing":               {{key(heldRecord), nil, nil}, {key(heldRecord), []byte{}, key(9)}, {nil, patterned(7, 4), nil}},
		"great headers":                         {{nil, patterned(7, 2), key(heldRecord)}, {nil, patterned(8, 3), key(2 * heldRecord)}, {nil, patterned(7, 4), nil}},
	} {
		var records []byte
		for i, p := range all {
			records = append(records, fullRecord(i, p.key, p.value, p.headers)...)
		}
		for codec, pack := range packs {
			number, payload := pack(records)
			n := 0
			readAll(t, rawResponseOf(sealedBatch(number, int32(len(all)), payload)), func(r *record) {
				want := all[n].value
				if r.offset != int64(n) || r.time != 1000+7*int64(n) {
					t.Errorf("%s, %s: record %d has offset %d and time %d", name, codec, n, r.offset, r.time)
				}
				if large := len(want) > schema.MaxRecord; large != (r.large != nil) || !large && !bytes.Equal(r.value, want) {
					t.Errorf("%s, %s: record %d has other bytes: %d, want %d", name, codec, n, len(r.value), len(want))
				}
				if r.large != nil && (r.large.size != int64(len(want)) || r.value != nil) || r.fingerprint().crc != crc32.Checksum(want, castagnoli) {
					t.Errorf("%s, %s: of record %d is known %+v", name, codec, n, r.large)
				}
				n++
			})
			if n != len(all) {
				t.Errorf("%s, %s: %d records, want %d", name, codec, n, len(all))
			}
		}
	}
}

// streamed is recordData that a decoder hands over in pieces of its own.
func streamed(r io.Reader, window int) *recordData {
	d := &recordData{from: io.NopCloser(r), window: make([]byte, 0, window)}
	d.b = d.window
	return d
}

func TestADecoderMayHandItsBytesOverInAnyPieces(t *testing.T) {
	var stream []byte
	for i := range 30 {
		stream = append(stream, fullRecord(i, patterned(i, 1), patterned(37*i, 2), nil)...)
	}
	for name, r := range map[string]io.Reader{
		"all at once":        bytes.NewReader(stream),
		"byte by byte":       iotest.OneByteReader(bytes.NewReader(stream)),
		"in halves":          iotest.HalfReader(bytes.NewReader(stream)),
		"the end with bytes": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		d := streamed(r, leastWindow)
		for i := range 30 {
			want := fullRecord(i, patterned(i, 1), patterned(37*i, 2), nil)
			body, err := d.record(true)
			if err != nil || !bytes.HasSuffix(want, body) || len(want)-len(body) > 2 {
				t.Errorf("%s: record %d has %d bytes, %v", name, i, len(body), err)
			}
		}
		if _, err := d.record(true); kindOfDamage(err) != badBatch || !strings.Contains(err.Error(), "it ends within a record") {
			t.Errorf("%s: behind the last record: %v", name, err)
		}
	}
}

// kindOfDamage is that of an error, empty where it is another error.
func kindOfDamage(err error) kind {
	var bad *unreadable
	if errors.As(err, &bad) {
		return bad.kind
	}
	return ""
}

func TestWhatIsNoRecordIsAnErrorThatSaysWhy(t *testing.T) {
	whole := fullRecord(0, []byte("key"), []byte("value"), nil)
	const within, number = "it ends within a record", "a record's length is not a number"
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"whole":             {whole, ""},
		"no bytes at all":   {[]byte{0}, ""},
		"nothing":           {nil, within},
		"one byte is left":  {whole[:len(whole)-1], within},
		"half of a length":  {[]byte{0x80}, within},
		"a negative length": {[]byte{1}, number},
		"an endless length": {bytes.Repeat([]byte{0xff}, 11), number},
	} {
		for way, d := range map[string]*recordData{"held": {b: c.stream}, "streamed": streamed(bytes.NewReader(c.stream), leastWindow)} {
			body, err := d.record(false)
			if c.want == "" && (err != nil || len(body) != len(c.stream)-1) {
				t.Errorf("%s, %s: %d bytes, %v", name, way, len(body), err)
			}
			if c.want != "" && (kindOfDamage(err) != badBatch || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, %s: %v, want %q", name, way, err, c.want)
			}
		}
	}
	fails := errors.New("the codec fails")
	d := streamed(io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(fails)), leastWindow)
	if _, err := d.record(false); err != nil {
		t.Errorf("before the codec fails: %v", err)
	}
	if _, err := d.record(false); kindOfDamage(err) != badCompression || !errors.Is(err, fails) {
		t.Errorf("where the codec fails: %v", err)
	}
}

func TestALongRecordMustHoldWhatItSays(t *testing.T) {
	const long = heldRecord + 1
	fields := func(value int64) int { return 3 + 1 + len(binary.AppendVarint(nil, value)) }
	const short = "a record ends before its value does"
	for name, c := range map[string]struct {
		key, value int64
		want       string
	}{
		"a value that fills it":           {0, long - int64(fields(long)), ""},
		"a value of a byte more":          {0, long - int64(fields(long)) + 1, short},
		"a value that is null":            {0, -1, ""},
		"a key that is null":              {-1, 5, ""},
		"a key that is longer than it is": {2 * long, 0, short},
	} {
		body := binary.AppendVarint([]byte{0, 2, 4}, c.key)
		body = append(body, make([]byte, max(0, min(c.key, long)))...)
		body = binary.AppendVarint(body, c.value)
		body = append(body, make([]byte, max(0, long-len(body)))...)[:long]
		data := slices.Concat(binary.AppendVarint(nil, long), body, fullRecord(3, nil, []byte("next"), nil))
		d := streamed(bytes.NewReader(data), leastWindow)
		if _, err := d.record(false); !errors.Is(err, errLong) {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := d.long()
		if c.want != "" {
			if kindOfDamage(err) != badBatch || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		size := int64(len(r.value))
		if r.large != nil {
			size = r.large.size
		}
		if err != nil || r.offset != 2 || r.time != 1 || size != max(0, c.value) {
			t.Errorf("%s: %d bytes, %v", name, size, err)
		}
		if next, err := d.record(false); err != nil || !bytes.HasSuffix(next, []byte("next")) {
			t.Errorf("%s: the record behind it is %q, %v", name, next, err)
		}
	}
}

func TestAWindowGrowsWhereItWasFilledAndShrinksWhereItWasNot(t *testing.T) {
	for _, c := range []struct {
		size   int
		filled bool
		held   int // bytes that are not used yet
		want   int
	}{
		{leastWindow, false, 0, leastWindow},
		{leastWindow, true, 0, 2 * leastWindow},
		{mostWindow / 2, true, 10, mostWindow},
		{mostWindow, true, 10, mostWindow},
		{mostWindow, false, 10, mostWindow},
		{4 * mostWindow, true, 10, 4 * mostWindow},
		{4 * mostWindow, false, 10, mostWindow},
		{4 * mostWindow, false, 2 * mostWindow, 2 * mostWindow},
	} {
		rest := patterned(c.held, 1)
		d := streamed(nil, c.size)
		d.window = append(d.window[:c.size-c.held], rest...)
		d.b, d.filled = d.window[c.size-c.held:], c.filled
		d.reuse()
		if cap(d.window) != c.want || !bytes.Equal(d.b, rest) || !bytes.Equal(d.window, rest) || d.filled {
			t.Errorf("%d bytes, filled: %t, with %d held, become %d with %d", c.size, c.filled, c.held, cap(d.window), len(d.b))
		}
		if d.from = nil; c.held > 0 {
			continue
		}
		d.filled = c.filled // and the same where nothing is being read
		d.window = make([]byte, 5, c.size)
		if d.reuse(); cap(d.window) != c.want || len(d.window) != 0 || d.filled {
			t.Errorf("%d bytes, filled: %t, become %d of which %d are used", c.size, c.filled, cap(d.window), len(d.window))
		}
	}
}

func TestWhatIsHeldStaysWhereItIsUntilTheChunkIsHandedOver(t *testing.T) {
	first, second := fullRecord(0, nil, patterned(leastWindow/2, 1), nil), fullRecord(1, nil, patterned(leastWindow/2, 2), nil)
	d := streamed(bytes.NewReader(slices.Concat(first, second)), leastWindow)
	held, err := d.record(false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.record(true); !errors.Is(err, errFull) || !d.filled {
		t.Errorf("the window has no room: %v, filled: %t", err, d.filled)
	}
	if !bytes.HasSuffix(first, held) {
		t.Error("what is held has changed")
	}
	d.reuse()
	if body, err := d.record(false); err != nil || !bytes.HasSuffix(second, body) {
		t.Errorf("then %d bytes are read, %v", len(body), err)
	}
}

func TestSnappyBlocksAreReadInFramesAndWithout(t *testing.T) {
	const header = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	block := func(text string) string { return string(snappy.Encode(nil, []byte(text))) }
	frame := func(text string) string {
		b := block(text)
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b
	}
	for name, c := range map[string]struct{ packed, want, fails string }{
		"nothing":                  {"", "", ""},
		"one block":                {block("one"), "one", ""},
		"a header and nothing":     {header, "", ""},
		"a header that is cut off": {header[:15], "", "a block of 15 bytes cannot hold"},
		"a frame":                  {header + frame("one"), "one", ""},
		"an empty frame":           {header + frame("") + frame("two"), "two", ""},
		"several":                  {header + frame("one") + frame("two") + frame("three"), "onetwothree", ""},
		"another header between":   {header + frame("one") + header + frame("two"), "onetwo", ""},
		"a frame that is cut off":  {header + frame("one")[:8], "", "a frame is longer than what is left"},
		"a size that is cut off":   {header + frame("one") + "\x00\x00", "one", "a frame is longer than what is left"},
		"a frame of no size":       {header + "\x00\x00\x00\x00", "", "corrupt"},
		"as much as it may be":     {string(binary.AppendUvarint(nil, 4*snappyRatio)) + "\x00\x00\x00", "", "corrupt"},
		"more than it may be":      {string(binary.AppendUvarint(nil, 4*snappyRatio+1)) + "\x00\x00\x00", "", "a block of 4 bytes cannot hold the 89 that it says"},
		"as dense as it gets":      {block(strings.Repeat("a", 60_000)), strings.Repeat("a", 60_000), ""},
	} {
		got, err := io.ReadAll(&snappyReader{packed: []byte(c.packed)})
		if string(got) != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %.20q, %v; want %.20q, %s", name, got, err, c.want, c.fails)
		}
	}
}

func TestACodecThatIsNotKnownOrFailsIsNamed(t *testing.T) {
	for want, c := range map[string]struct {
		codec   compress.Compression
		payload string
	}{
		"its codec has the unknown number 5": {5, "x"},
		"its codec has the unknown number 7": {7, "x"},
		"gzip: invalid header":               {compress.Gzip, "no gzip at all, though long enough for its header"},
	} {
		var d recordData
		if err := d.open(c.codec, []byte(c.payload)); kindOfDamage(err) != badCompression || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		d.close()
	}
}

func TestAFrameOfAGreatWindowBehindACommonOneIsReadOn(t *testing.T) {
	pack := func(data []byte, window int) []byte {
		return written(data, func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
			if err != nil {
				t.Fatal(err)
			}
			return z
		})
	}
	one, two := patterned(300_000, 1), patterned(9<<20, 2)
	r := newZstdReader(slices.Concat(pack(one, 1<<20), pack(two, 64<<20)))
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, slices.Concat(one, two)) || !r.great {
		t.Errorf("%d bytes, %v; by a decoder for great windows: %t", len(got), err, r.great)
	}
	if err := r.Close(); err != nil || len(greatZstd) != 0 {
		t.Errorf("it is not given back: %v", err)
	}
	small := newZstdReader(pack(one, 1<<20))
	if got, err := io.ReadAll(small); err != nil || !bytes.Equal(got, one) || small.great {
		t.Errorf("%d bytes of a common window, %v; by a decoder for great ones: %t", len(got), err, small.great)
	}
	_ = small.Close()
}
