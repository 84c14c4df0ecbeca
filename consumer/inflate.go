package consumer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"

	"github.com/overreach/overreach/schema"
)

// Limits of what a batch is inflated into. A few kilobytes can inflate to
// gigabytes, so nothing is allocated for what a batch says of its own size.
const (
	// leastWindow and mostWindow are how much is inflated before it is handed over: a
	// window is doubled where it was filled, so a quiet partition holds little.
	leastWindow, mostWindow = 64 << 10, 1 << 20
	// heldRecord is the longest record that is held whole: a value of the greatest
	// size, and as much again of key and headers as Kafka's own clients send.
	heldRecord = schema.MaxRecord + 64<<10
	// recordFields is how long attributes, time, offset and the key's length are at
	// most: one byte and three varints.
	recordFields = 1 + 3*binary.MaxVarintLen64
)

// errFull says that the next record cannot be read before the records that are
// held were handed over, errLong that it is too long to be held.
var (
	errFull = errors.New("the chunk is full")
	errLong = errors.New("the record is too long to be held")
)

// recordData is the records of one batch as bytes, one after another.
type recordData struct {
	b      []byte        // read, and not used yet
	from   io.ReadCloser // where more comes from; nil: nowhere
	err    error         // why no more comes
	window []byte        // reused; b is its end where from is not nil
	filled bool          // the window was, since it was reused
	beyond int64         // bytes of the last record that nobody needs
}

// open begins a batch. Its records may go on behind those of the batch before.
func (d *recordData) open(codec compress.Compression, payload []byte) error {
	d.err, d.beyond = nil, 0
	if codec == compress.None {
		d.b = payload
		return nil
	}
	from, err := inflate(codec, payload)
	if err != nil {
		return err
	}
	if d.window == nil {
		d.window = make([]byte, 0, leastWindow)
	}
	d.from, d.b = from, d.window[len(d.window):]
	return nil
}

// close ends a batch.
func (d *recordData) close() {
	if d.from != nil {
		_ = d.from.Close() // a decoder's, which nothing depends on
	}
	d.b, d.from = nil, nil
}

// reuse says that nobody needs the records any more that were handed over.
func (d *recordData) reuse() {
	size := cap(d.window)
	switch {
	case d.filled && size < mostWindow:
		size *= 2
	case !d.filled && size > mostWindow:
		size = max(mostWindow, len(d.b))
	}
	if d.from == nil {
		d.window = d.window[:0]
		if size != cap(d.window) {
			d.window = make([]byte, 0, size)
		}
	} else {
		d.move(size)
	}
	d.filled = false
}

// move puts what was read and not used at the beginning of a window of a size.
func (d *recordData) move(size int) {
	to := d.window[:cap(d.window)]
	if size != len(to) {
		to = make([]byte, size)
	}
	d.window = to[:copy(to, d.b)]
	d.b = d.window
}

// record returns the next record without its length. held says that records
// which were read before are still needed, so that the window must stay.
func (d *recordData) record(held bool) ([]byte, error) {
	if d.beyond > 0 {
		if held && d.beyond > int64(len(d.b)) {
			return nil, errFull
		}
		if err := d.skip(d.beyond, nil); err != nil {
			return nil, err
		}
		d.beyond = 0
	}
	for {
		length, n := binary.Varint(d.b)
		if n < 0 || n > 0 && length < 0 {
			return nil, broken("a record's length is not a number")
		}
		if n > 0 && length <= int64(len(d.b)-n) {
			body := d.b[n : n+int(length)]
			d.b = d.b[n+int(length):]
			return body, nil
		}
		switch room := len(d.window) < cap(d.window); {
		case d.from == nil:
			return nil, broken("it ends within a record")
		case room:
		case held:
			d.filled = true
			return nil, errFull
		case length > heldRecord:
			return nil, errLong
		default:
			d.filled = true
			d.move(max(cap(d.window), leastWindow, n+int(length)))
		}
		if err := d.more(); err != nil {
			return nil, err
		}
	}
}

// more reads what fits into the window, at least one byte.
func (d *recordData) more() error {
	for d.err == nil {
		n, err := d.from.Read(d.window[len(d.window):cap(d.window)])
		d.err = err
		d.window = d.window[:len(d.window)+n]
		d.b = d.window[len(d.window)-len(d.b)-n:]
		if n > 0 {
			return nil
		}
	}
	if errors.Is(d.err, io.EOF) {
		return broken("it ends within a record")
	}
	return &unreadable{kind: badCompression, err: d.err}
}

// fill makes at least n bytes be there, of which nothing is needed before b.
func (d *recordData) fill(n int) error {
	for len(d.b) < n {
		if len(d.window) == cap(d.window) {
			d.filled = true
			d.move(max(cap(d.window), n))
		}
		if err := d.more(); err != nil {
			return err
		}
	}
	return nil
}

// skip passes n bytes, and adds them to a CRC where one is given.
func (d *recordData) skip(n int64, crc *uint32) error {
	for n > 0 {
		if len(d.b) == 0 {
			d.window = d.window[:0]
			if err := d.more(); err != nil {
				return err
			}
		}
		part := d.b[:min(n, int64(len(d.b)))]
		if crc != nil {
			*crc = crc32.Update(*crc, castagnoli, part)
		}
		d.b, n = d.b[len(part):], n-int64(len(part))
	}
	return nil
}

// long reads a record that is longer than heldRecord, for which record returned
// errLong: its time and offset, from those of its batch on, and its value where
// that has no more than schema.MaxRecord bytes.
func (d *recordData) long() (record, error) {
	length, n := binary.Varint(d.b)
	if err := d.fill(n + recordFields); err != nil {
		return record{}, err
	}
	f := reader{b: d.b[n:]}
	f.skip(1) // attributes
	r := record{time: f.varint(), offset: f.varint()}
	key := max(0, f.varint())
	length -= int64(len(d.b) - n - len(f.b))
	if d.b = f.b; f.bad || key > length {
		return record{}, broken("a record ends before its value does")
	}
	if err := d.skip(key, nil); err != nil {
		return record{}, err
	}
	if err := d.fill(int(min(length-key, binary.MaxVarintLen64))); err != nil {
		return record{}, err
	}
	f = reader{b: d.b[:min(length-key, int64(len(d.b)))]}
	before := len(f.b)
	size := max(0, f.varint())
	n = before - len(f.b)
	length -= key + int64(n)
	if f.bad || size > length {
		return record{}, broken("a record ends before its value does")
	}
	d.b = d.b[n:]
	if size > schema.MaxRecord {
		r.large = &large{size: size}
		d.beyond = length - size
		return r, d.skip(size, &r.large.crc)
	}
	if err := d.fill(int(size)); err != nil {
		return record{}, err
	}
	r.value, d.b, d.beyond = d.b[:size:size], d.b[size:], length-size
	return r, nil
}

// inflate returns a reader that unpacks a batch as it is read, so that the batch is never
// whole in memory.
func inflate(codec compress.Compression, payload []byte) (io.ReadCloser, error) {
	switch codec {
	case compress.Gzip:
		z := gzips.Get().(*gzip.Reader)
		if err := z.Reset(bytes.NewReader(payload)); err != nil {
			return nil, &unreadable{kind: badCompression, err: err}
		}
		return &pooled{z, func() {
			_ = z.Reset(bytes.NewReader(nil)) // it says that nothing is there
			gzips.Put(z)
		}}, nil
	case compress.Snappy:
		return &snappyReader{packed: payload}, nil
	case compress.Lz4:
		z := lz4s.Get().(*lz4.Reader)
		z.Reset(bytes.NewReader(payload))
		return &pooled{z, func() {
			z.Reset(nil)
			lz4s.Put(z)
		}}, nil
	case compress.Zstd:
		return newZstdReader(payload), nil
	}
	return nil, &unreadable{kind: badCompression, err: fmt.Errorf("its codec has the unknown number %d", codec)}
}

var (
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4s  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
)

// pooled is a decoder that others use later, when it holds the batch no more.
type pooled struct {
	io.Reader
	giveBack func()
}

// Close implements io.Closer.
func (p *pooled) Close() error {
	p.giveBack()
	return nil
}

// A zstd frame says how far back it may refer, and so how much its decoder must
// hold. Up to commonWindow, which the format recommends that everybody reads,
// there are as many decoders as are used at once; up to greatWindow, which zstd's own
// library reads unless it was told otherwise, the whole program has one.
const (
	commonWindow = 8 << 20
	greatWindow  = 128 << 20
)

var (
	zstds      = sync.Pool{New: func() any { return newZstd(commonWindow) }}
	greatZstds = sync.Pool{New: func() any { return newZstd(greatWindow) }}
	greatZstd  = make(chan struct{}, 1) // holds who uses a decoder for great windows
)

func newZstd(window uint64) *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		panic(err) // the options are wrong, whatever is read
	}
	return z
}

// zstdReader reads a batch's frames.
type zstdReader struct {
	payload []byte
	z       *zstd.Decoder
	read    int64
	great   bool // z is one for great windows
}

func newZstdReader(payload []byte) *zstdReader {
	r := &zstdReader{payload: payload, z: zstds.Get().(*zstd.Decoder)}
	_ = r.z.Reset(bytes.NewReader(payload)) // Read says what is wrong
	return r
}

// Read implements io.Reader.
func (r *zstdReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if n == 0 && !r.great && (errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded)) {
		if err := r.grow(); err != nil {
			return 0, err
		}
		n, err = r.z.Read(p)
	}
	r.read += int64(n)
	return n, err
}

// grow goes on by a decoder for great windows, once nobody else uses one.
func (r *zstdReader) grow() error {
	r.giveBack(&zstds)
	greatZstd <- struct{}{}
	r.z, r.great = greatZstds.Get().(*zstd.Decoder), true
	if err := r.z.Reset(bytes.NewReader(r.payload)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, struct{ io.Reader }{r.z}, r.read)
	return err
}

// Close implements io.Closer.
func (r *zstdReader) Close() error {
	if !r.great {
		r.giveBack(&zstds)
		return nil
	}
	r.giveBack(&greatZstds)
	<-greatZstd
	return nil
}

func (r *zstdReader) giveBack(pool *sync.Pool) {
	_ = r.z.Reset(nil) // it says that nothing is there
	pool.Put(r.z)
}

// snappyReader reads a batch of Snappy blocks: one, or several in the frames of
// Java's xerial library. A block refers to all that came before in it, so it is
// inflated whole.
type snappyReader struct {
	packed []byte
	framed bool
	block  []byte // the rest of one that is inflated
	buffer []byte // reused
}

// xerialHeader is the magic number, and two versions of which the reader may not
// care.
var xerialHeader = []byte("\x82SNAPPY\x00")

const xerialHeaderBytes = 8 + 4 + 4

// snappyRatio is how many bytes one packed byte can stand for, rounded up: a copy
// of 64 takes three. A block that says that it has more is a broken one.
const snappyRatio = 22

// Read implements io.Reader.
func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.block) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.block)
	s.block = s.block[n:]
	return n, nil
}

// next inflates the next block.
func (s *snappyReader) next() error {
	if len(s.packed) >= xerialHeaderBytes && bytes.HasPrefix(s.packed, xerialHeader) {
		s.packed, s.framed = s.packed[xerialHeaderBytes:], true
	}
	if len(s.packed) == 0 {
		return io.EOF
	}
	packed := s.packed
	if s.framed {
		d := reader{b: packed}
		packed = d.take(int(uint32(d.int32()))) //nolint:gosec // as it was written
		if s.packed = d.b; d.bad {
			return errors.New("a frame is longer than what is left")
		}
	} else {
		s.packed = nil
	}
	size, err := snappy.DecodedLen(packed)
	if err != nil {
		return err
	}
	if size > snappyRatio*len(packed) {
		return fmt.Errorf("a block of %d bytes cannot hold the %d that it says", len(packed), size)
	}
	s.buffer = slices.Grow(s.buffer[:0], size)
	s.block, err = snappy.Decode(s.buffer[:size], packed)
	return err
}

// Close implements io.Closer.
func (s *snappyReader) Close() error { return nil }
