package consumer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/overreach/overreach/schema"
)

// bombRecord is a record whose batch is written piece by piece: its key, its value and its
// headers are that many zeros.
type bombRecord struct{ key, value, headers int64 }

// zeros are as many as are asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (r bombRecord) write(t testing.TB, w io.Writer, n int64) {
	t.Helper()
	head := binary.AppendVarint(binary.AppendVarint([]byte{0}, 0), n) // attributes, time, offset
	head = binary.AppendVarint(head, r.key)
	middle := binary.AppendVarint(nil, r.value)
	length := binary.AppendVarint(nil, int64(len(head)+len(middle))+r.key+r.value+r.headers)
	for _, part := range []io.Reader{
		bytes.NewReader(length), bytes.NewReader(head), io.LimitReader(zeros{}, r.key),
		bytes.NewReader(middle), io.LimitReader(zeros{}, r.value+r.headers),
	} {
		if _, err := io.Copy(w, part); err != nil {
			t.Fatal(err)
		}
	}
}

// xerial writes Snappy blocks as Java's clients do.
type xerial struct{ io.Writer }

func (x xerial) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), 32<<10)]
		block := snappy.Encode(nil, part)
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(block))), block...)
		if _, err := x.Writer.Write(frame); err != nil {
			return 0, err
		}
		rest = rest[len(part):]
	}
	return len(p), nil
}

func (xerial) Close() error { return nil }

// packers write as each codec's clients do.
var packers = map[string]struct {
	number int16
	writer func(io.Writer) io.WriteCloser
}{
	"gzip": {1, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
	"snappy": {2, func(w io.Writer) io.WriteCloser {
		_, _ = w.Write([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"))
		return xerial{w}
	}},
	"lz4":  {3, func(w io.Writer) io.WriteCloser { return struct{ io.WriteCloser }{lz4.NewWriter(w)} }},
	"zstd": {4, func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)); return z }},
}

// packedBatch is a batch whose records are packed by a codec, at offset 0.
func packedBatch(t testing.TB, codec int16, writer func(io.Writer) io.WriteCloser, records ...bombRecord) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := writer(&packed)
	for i, r := range records {
		r.write(t, w, int64(i))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealedBatch(codec, int32(len(records)), packed.Bytes())
}

// sealedBatch is a batch with a right CRC around any payload, at offset 0.
func sealedBatch(codec int16, count int32, payload []byte) []byte {
	b := rawBatch(0, codec, max(0, count-1))
	binary.BigEndian.PutUint32(b[batchHeader-4:], uint32(count))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batchPrefix))
	binary.BigEndian.PutUint32(b[crcStart-4:], crc32.Checksum(b[crcStart:], castagnoli))
	return b
}

// heapPeak returns by how many bytes the live heap has grown at most while f ran.
func heapPeak(f func()) int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	now := func() int64 { metrics.Read(sample); return int64(sample[0].Value.Uint64()) }
	runtime.GC()
	before, peak := now(), int64(0)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			peak = max(peak, now())
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	f()
	close(done)
	watch.Wait()
	return peak - before
}

// readAll reads a response piece by piece.
func readAll(t testing.TB, raw *rawResponse, each func(r *record)) {
	t.Helper()
	var f fetcher
	c, err := f.parse(raw, 0)
	for {
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.records {
			each(&c.records[i])
		}
		if !f.pending() {
			return
		}
		c, err = f.piece(c.next)
	}
}

// TestABatchThatInflatesToMuchTakesLittleMemory reads 256 MB out of each codec.
func TestABatchThatInflatesToMuchTakesLittleMemory(t *testing.T) {
	// What a window, a record and a decoder take, and the garbage of as much again
	// before it is collected.
	const most = 40 << 20
	const all = 256 << 20
	many := make([]bombRecord, 256)
	for i := range many {
		many[i] = bombRecord{value: all / int64(len(many))}
	}
	tiny := make([]bombRecord, 1<<18)
	shapes := map[string][]bombRecord{
		"one value":      {{value: all}, {value: 3}},
		"one key":        {{key: all, value: 5}, {value: 3}},
		"many headers":   {{value: 5, headers: all}, {value: 3}},
		"many values":    many,
		"nothing at all": tiny,
	}
	zero := crc32.Checksum(make([]byte, all), castagnoli)
	for codec, p := range packers {
		for shape, records := range shapes {
			t.Run(codec+" "+shape, func(t *testing.T) {
				raw := rawResponseOf(packedBatch(t, p.number, p.writer, records...))
				next := int64(0)
				grown := heapPeak(func() {
					readAll(t, raw, func(r *record) {
						want := records[r.offset]
						switch {
						case r.offset != next:
							t.Fatalf("offset %d comes after %d", r.offset, next-1)
						case want.value > schema.MaxRecord:
							if r.value != nil || r.large == nil || r.large.size != want.value || r.fingerprint().crc != zero {
								t.Errorf("of a large record is known: %d bytes, %+v", len(r.value), r.large)
							}
						case r.large != nil || int64(len(r.value)) != want.value:
							t.Errorf("record %d has %d bytes, want %d", r.offset, len(r.value), want.value)
						}
						next++
					})
				})
				if next != int64(len(records)) {
					t.Errorf("%d of %d records were read", next, len(records))
				}
				if grown > most {
					t.Errorf("the heap grew by %d MB", grown>>20)
				}
				t.Logf("out of %d kB; the heap grew by %.1f MB", len(raw.body)>>10, float64(grown)/(1<<20))
			})
		}
	}
}

func TestARecordThatIsTooLargeIsARejectWithItsSize(t *testing.T) {
	const size = schema.MaxRecord + 1
	for name, body := range map[string][]byte{
		"packed":     packedBatch(t, 4, packers["zstd"].writer, bombRecord{value: size}),
		"not packed": rawBatch(0, 0, 0, strings.Repeat("\x00", size)),
	} {
		b := newBatch(testKey, Topic{Name: "access", KeepRaw: true}, schema.DefaultTimeLimits())
		b.open(0)
		readAll(t, rawResponseOf(body), b.add)
		j := b.rejects
		if b.counts.records != 1 || b.counts.rejected != 1 || len(j.Reason) != 1 || j.Reason[0] != string(schema.TooLarge) ||
			j.Size[0] != size || j.Time[0] < 0 || j.Outline[0] != outlineOfLarge || j.Raw[0] != "" {
			t.Errorf("%s: %+v, %+v", name, b.counts, j)
		}
	}
}

// A block that lies about its size must not be believed before it is inflated.
func TestABatchThatLiesAboutItsSizeAllocatesNothing(t *testing.T) {
	header := "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	for name, payload := range map[string]string{
		"a frame of 2 GB":          header + "\x7f\xff\xff\xff" + "x",
		"a block of 4 GB":          "\xff\xff\xff\xff\x0f" + "x",
		"a block of 4 GB in frame": header + "\x00\x00\x00\x06" + "\xff\xff\xff\xff\x0f" + "x",
	} {
		grown := heapPeak(func() {
			var f fetcher
			_, err := f.parse(rawResponseOf(sealedBatch(2, 1, []byte(payload))), 0)
			var bad *unreadable
			if !errors.As(err, &bad) || bad.kind != badCompression {
				t.Errorf("%s: %v", name, err)
			}
		})
		if grown > 16<<20 {
			t.Errorf("%s: the heap grew by %d MB", name, grown>>20)
		}
	}
}

// A frame may refer far back, as zstd's greatest levels do; its decoder then holds
// as much, and there is one of it.
func TestAZstdFrameOfAGreatWindowIsReadByOneDecoderAtATime(t *testing.T) {
	great := func(size int) func(io.Writer) io.WriteCloser {
		return func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(size))
			if err != nil {
				t.Fatal(err)
			}
			return z
		}
	}
	records := []bombRecord{{value: 1 << 20}, {value: 20 << 20}, {value: 7}}
	raw := rawResponseOf(packedBatch(t, 4, great(64<<20), records...))
	var all sync.WaitGroup
	grown := heapPeak(func() {
		for range 4 {
			all.Go(func() {
				read := 0
				readAll(t, raw, func(r *record) {
					if want := records[r.offset].value; r.large == nil && int64(len(r.value)) != want || r.large != nil && r.large.size != want {
						t.Errorf("record %d: %d bytes", r.offset, len(r.value))
					}
					read++
				})
				if read != len(records) {
					t.Errorf("%d records", read)
				}
			})
		}
		all.Wait()
	})
	// One window, and that of the decoder before where no collection came between; four are 256 MB.
	if grown > 192<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	t.Logf("the heap grew by %d MB", grown>>20)
	var f fetcher
	_, err := f.parse(rawResponseOf(packedBatch(t, 4, great(256<<20), bombRecord{value: 300 << 20})), 0)
	var bad *unreadable
	if !errors.As(err, &bad) || bad.kind != badCompression {
		t.Errorf("a window above the greatest gave %v", err)
	}
}
