package consumer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// Limits of one fetch. A broker returns the first batch of a partition whole
// even where it is larger than fetchBytes, so a large record is never stuck.
const (
	fetchBytes   = 1 << 20
	fetchWait    = 250 * time.Millisecond // how long a broker may wait for the first record
	fetchTimeout = 30 * time.Second
	keptBuffer   = 8 << 20 // buffers above this are given back after use
)

// record is one Kafka record. Its value is valid until the next fetch.
type record struct {
	offset int64
	time   int64 // milliseconds since 1970
	value  []byte
}

// fingerprint tells one record from another that lies at the same offset in
// another life of the topic.
type fingerprint struct {
	offset int64
	time   int64
	crc    uint32 // CRC-32C of the value
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) fingerprint() fingerprint {
	return fingerprint{offset: r.offset, time: r.time, crc: crc32.Checksum(r.value, castagnoli)}
}

// chunk is what one fetch brought.
type chunk struct {
	records []record // ascending offsets, none below the one asked for, none of an aborted transaction
	next    int64    // where to go on: past compacted and aborted records and control batches too
	end     int64    // the partition's last stable offset: what can be read lies below it
}

// transaction is one of a producer that was aborted.
type transaction struct {
	producer int64
	first    int64 // its first offset
}

// fetcher reads one partition, and of transactions what was committed. It is the
// only place that knows how records come out of Kafka.
//
// Of kafka-go's three ways, Conn.ReadBatch gives values without their time and
// control records as if they were data, and Client.Fetch copies each value
// through pages and hides where a compacted or control batch ends; neither
// leaves out what was aborted. So the fetch goes through the Transport, which
// knows leaders, TLS and SASL, and the response is read here: values point into
// it, or into what was decompressed.
type fetcher struct {
	transport *kafka.Transport
	cluster   *cluster
	topic     string
	partition int32

	response []byte // reused
	inflated []byte // reused
	records  []record
	aborted  []transaction // that begin behind what was read so far, by first offset
	aborting []int64       // producers within one of them
}

// readCommitted has a broker hand out nothing from a transaction that has not
// ended yet, and name those among it that were aborted. Their records come all
// the same: it is for the reader to leave them out.
const readCommitted = 1

// next returns what follows from offset on, waiting up to fetchWait for the
// first record. kafka.OffsetOutOfRange says that the log does not hold offset.
func (f *fetcher) next(ctx context.Context, offset int64) (chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()

	req := &rawFetch{buffer: f.response[:0], Request: fetchapi.Request{
		ReplicaID:      -1,
		MaxWaitTime:    int32(fetchWait / time.Millisecond),
		MinBytes:       1,
		MaxBytes:       fetchBytes,
		IsolationLevel: readCommitted,
		SessionID:      0,
		SessionEpoch:   -1, // no incremental fetch session
		Topics: []fetchapi.RequestTopic{{
			Topic: f.topic,
			Partitions: []fetchapi.RequestPartition{{
				Partition:          f.partition,
				CurrentLeaderEpoch: -1,
				FetchOffset:        offset,
				LogStartOffset:     -1,
				PartitionMaxBytes:  fetchBytes,
			}},
		}},
	}}
	f.response = nil // where the call is given up, kafka-go may still write into it
	res, err := f.transport.RoundTrip(ctx, f.cluster.addr, req)
	if err != nil {
		return chunk{}, fmt.Errorf("fetching %s/%d from offset %d: %w", f.topic, f.partition, offset, err)
	}
	raw := res.(*rawResponse)
	if cap(raw.body) <= keptBuffer {
		f.response = raw.body
	}
	c, err := f.parse(raw, offset)
	if err != nil {
		return chunk{}, fmt.Errorf("fetching %s/%d from offset %d: %w", f.topic, f.partition, offset, err)
	}
	return c, nil
}

// parse reads a response of one topic and partition.
func (f *fetcher) parse(raw *rawResponse, offset int64) (chunk, error) {
	d := reader{b: raw.body}
	d.skip(4) // correlation
	d.skip(4) // throttle time
	if raw.version >= 7 {
		if code := d.int16(); code != 0 {
			return chunk{}, kafka.Error(code)
		}
		d.skip(4) // session
	}
	if topics := d.int32(); topics != 1 {
		return chunk{}, fmt.Errorf("response holds %d topics, asked for one", topics)
	}
	d.skip(int(d.int16())) // topic
	if partitions := d.int32(); partitions != 1 {
		return chunk{}, fmt.Errorf("response holds %d partitions, asked for one", partitions)
	}
	d.skip(4) // partition
	code := d.int16()
	highWatermark, lastStable := d.int64(), d.int64()
	if lastStable < 0 { // from a server without transactions
		lastStable = highWatermark
	}
	c := chunk{next: offset, end: lastStable}
	if raw.version >= 5 {
		d.skip(8) // where the log begins
	}
	f.aborted, f.aborting = f.aborted[:0], f.aborting[:0]
	for n := d.int32(); n > 0 && !d.bad; n-- { // -1 is none
		f.aborted = append(f.aborted, transaction{producer: d.int64(), first: d.int64()})
	}
	slices.SortFunc(f.aborted, func(a, b transaction) int { return cmp.Compare(a.first, b.first) })
	if raw.version >= 11 {
		d.skip(4) // preferred replica
	}
	if code != 0 {
		return chunk{}, kafka.Error(code)
	}
	size := int(d.int32())
	if d.bad {
		return chunk{}, errors.New("response is cut off")
	}
	f.records, f.inflated = f.records[:0], f.inflated[:0]
	if cap(f.inflated) > keptBuffer {
		f.inflated = nil
	}
	if size > 0 {
		if err := f.parseBatches(d.take(size), offset, &c); err != nil {
			return chunk{}, err
		}
	}
	c.records = f.records
	return c, nil
}

// A batch begins with its base offset, length, leader epoch, magic and CRC; the
// length counts what follows it.
const (
	batchPrefix = 8 + 4
	batchHeader = batchPrefix + 4 + 1 + 4 + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4
	crcStart    = batchPrefix + 4 + 1 + 4
)

// parseBatches adds the records of all whole batches in b; the broker cuts the
// last one off where the limit of bytes falls.
func (f *fetcher) parseBatches(b []byte, offset int64, c *chunk) error {
	whole := 0
	for len(b) >= batchPrefix {
		length := batchPrefix + int(int32(binary.BigEndian.Uint32(b[8:])))
		if length < batchPrefix+5 {
			return fmt.Errorf("a batch of %d bytes is too short", length)
		}
		if length > len(b) {
			break
		}
		if magic := b[batchPrefix+4]; magic != 2 {
			return fmt.Errorf("message format %d of before Kafka 0.11 is not read: "+
				"set the topic's log.message.format.version to 0.11 or later and produce again", magic)
		}
		if length < batchHeader {
			return fmt.Errorf("a batch of %d bytes is too short", length)
		}
		if err := f.parseBatch(b[:length], offset, c); err != nil {
			return err
		}
		b = b[length:]
		whole++
	}
	if whole == 0 {
		return errors.New("broker sent less than one whole batch")
	}
	return nil
}

func (f *fetcher) parseBatch(b []byte, offset int64, c *chunk) error {
	base := int64(binary.BigEndian.Uint64(b))
	sum := binary.BigEndian.Uint32(b[crcStart-4:])
	if got := crc32.Checksum(b[crcStart:], castagnoli); got != sum {
		return fmt.Errorf("the batch at offset %d has CRC %08x, its header says %08x", base, got, sum)
	}
	h := reader{b: b[crcStart:batchHeader]}
	attributes := protocol.Attributes(h.int16())
	last := base + int64(h.int32())
	firstTime := h.int64()
	maxTime := h.int64()
	producer := h.int64()
	h.skip(2 + 4) // epoch, sequence
	count := int(h.int32())

	c.next = max(c.next, last+1)
	aborted := attributes.Transactional() && f.aborts(producer, last, attributes.Control())
	if aborted || attributes.Control() || last < offset {
		return nil
	}
	payload := b[batchHeader:]
	if codec := attributes.Compression(); codec != compress.None {
		var err error
		if payload, err = f.inflate(codec, payload); err != nil {
			return fmt.Errorf("the %s batch at offset %d: %w", codec, base, err)
		}
	}
	logAppendTime := attributes&(1<<3) != 0
	d := reader{b: payload}
	for range count {
		d.varint() // length
		d.skip(1)  // attributes
		t := firstTime + d.varint()
		if logAppendTime {
			t = maxTime
		}
		r := record{offset: base + d.varint(), time: t}
		d.skip(max(0, int(d.varint()))) // key
		r.value = d.take(max(0, int(d.varint())))
		for range d.varint() { // headers
			d.skip(max(0, int(d.varint())))
			d.skip(max(0, int(d.varint())))
			if d.bad {
				break
			}
		}
		if d.bad {
			return fmt.Errorf("the batch at offset %d ends within a record", base)
		}
		if r.offset < offset {
			continue
		}
		if n := len(f.records); n > 0 && r.offset <= f.records[n-1].offset {
			return fmt.Errorf("offset %d comes after offset %d", r.offset, f.records[n-1].offset)
		}
		f.records = append(f.records, r)
	}
	return nil
}

// aborts reports whether a producer's transactional batch that ends at an offset
// is part of an aborted transaction. A control batch ends the producer's: what it
// writes from there on is another one.
func (f *fetcher) aborts(producer, last int64, control bool) bool {
	for len(f.aborted) > 0 && f.aborted[0].first <= last {
		f.aborting = append(f.aborting, f.aborted[0].producer)
		f.aborted = f.aborted[1:]
	}
	if len(f.aborting) == 0 {
		return false
	}
	is := slices.Contains(f.aborting, producer)
	if control {
		f.aborting = slices.DeleteFunc(f.aborting, func(p int64) bool { return p == producer })
	}
	return is
}

// inflate decompresses a batch behind what was decompressed before. Values that
// point into an older array stay as they are when the buffer moves.
func (f *fetcher) inflate(c compress.Compression, payload []byte) ([]byte, error) {
	codec := c.Codec()
	if codec == nil {
		return nil, errors.New("unknown compression")
	}
	r := codec.NewReader(bytes.NewReader(payload))
	start := len(f.inflated)
	out := slices.Grow(f.inflated, 4*len(payload))
	for {
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("decompressing: %w", err), r.Close())
		}
		if len(out) == cap(out) {
			out = slices.Grow(out, cap(out))
		}
	}
	f.inflated = out
	return out[start:], r.Close()
}

// rawFetch is a fetch request whose response is kept as it came.
type rawFetch struct {
	fetchapi.Request
	buffer  []byte
	version int16
}

type rawResponse struct {
	version int16
	body    []byte
}

// ApiKey implements protocol.Message.
func (*rawResponse) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface spells it so

// Required implements protocol.RawExchanger.
func (r *rawFetch) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Fetch]
	return true
}

// RawExchange implements protocol.RawExchanger.
func (r *rawFetch) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if r.version < 4 {
		return nil, fmt.Errorf("the broker speaks version %d of fetch: Kafka 0.11 or later is needed", r.version)
	}
	if err := protocol.WriteRequest(rw, r.version, 0, "overreach", &r.Request); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(rw, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	body := slices.Grow(r.buffer, n)[:n]
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	return &rawResponse{version: r.version, body: body}, nil
}

// reader reads Kafka's big-endian fields. After the first read past the end it
// is bad and everything reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) int16() int16 {
	if v := r.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (r *reader) int32() int32 {
	if v := r.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (r *reader) int64() int64 {
	if v := r.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}
