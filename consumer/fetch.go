package consumer

import (
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
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// Limits of one fetch. A broker returns the first batch of a partition whole
// even where it is larger than fetchBytes, so a large record is never stuck.
const (
	fetchBytes   = 1 << 20
	fetchWait    = 250 * time.Millisecond // how long a broker may wait for the first record
	fetchTimeout = 30 * time.Second
	keptBuffer   = 8 << 20 // responses above this are given back after use
)

// record is one Kafka record. Its value is valid until the next fetch.
type record struct {
	offset int64
	time   int64 // milliseconds since 1970
	value  []byte
	large  *large // not nil: the value has more than schema.MaxRecord bytes, and is not held
}

// large is what is known of a value that is not held.
type large struct {
	size int64  // in bytes
	crc  uint32 // CRC-32C
}

// fingerprint tells one record from another that lies at the same offset in
// another incarnation of the topic.
type fingerprint struct {
	offset int64
	time   int64
	crc    uint32 // CRC-32C of the value
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) fingerprint() fingerprint {
	if r.large != nil {
		return fingerprint{offset: r.offset, time: r.time, crc: r.large.crc}
	}
	return fingerprint{offset: r.offset, time: r.time, crc: crc32.Checksum(r.value, castagnoli)}
}

// chunk is what one fetch brought, or a piece of it: no piece takes more memory
// than window and chunkRecords allow, however much a response inflates to.
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
	records  []record
	aborted  []transaction // that begin behind what was read so far, by first offset
	aborting []int64       // producers within one of them

	asked  int64 // where the response begins
	detour detour
	held   chunk      // next is where the rest of the response goes on; its records are not set
	rest   []byte     // batches of the response that are not begun
	batch  openBatch  // the one that is begun
	in     recordData // its records
}

// readCommitted has a broker hand out nothing from a transaction that has not
// ended yet, and name those among it that were aborted. Their records come all
// the same: it is for the reader to leave them out.
const readCommitted = 1

// next returns what follows from offset on, waiting up to fetchWait for the
// first record. kafka.OffsetOutOfRange says that the log does not hold offset,
// *unreadable that what is there cannot be decoded. The first fetch may take
// several calls to hand over.
func (f *fetcher) next(ctx context.Context, offset int64) (chunk, error) {
	c, err := f.goOn(ctx, offset)
	if err != nil {
		f.drop()
		return chunk{}, fmt.Errorf("fetching %s/%d from offset %d: %w", f.topic, f.partition, offset, err)
	}
	return c, nil
}

// goOn hands over the next piece of what is held, or fetches.
func (f *fetcher) goOn(ctx context.Context, offset int64) (chunk, error) {
	if f.pending() && f.held.next == offset {
		if c, err := f.piece(offset); err != nil || c.next > offset {
			return c, err
		}
	}
	at := offset
	if f.detour.to == offset {
		at = f.detour.by
	}
	raw, err := f.ask(ctx, at)
	if err != nil {
		return chunk{}, err
	}
	return f.parse(raw, offset)
}

// ask fetches from an offset on, and drops what is held.
func (f *fetcher) ask(ctx context.Context, offset int64) (*rawResponse, error) {
	f.drop()
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
		return nil, err
	}
	raw := res.(*rawResponse)
	if cap(raw.body) <= keptBuffer {
		f.response = raw.body
	}
	return raw, nil
}

// parse reads a response of one topic and partition, and returns its first piece.
func (f *fetcher) parse(raw *rawResponse, offset int64) (chunk, error) {
	f.drop()
	c, batches, err := f.open(raw, offset)
	if err != nil {
		return chunk{}, err
	}
	f.asked, f.held, f.rest = offset, c, batches
	if len(batches) == 0 {
		return c, nil
	}
	return f.piece(offset)
}

// open reads what comes before the batches of a response, and returns them too.
func (f *fetcher) open(raw *rawResponse, offset int64) (chunk, []byte, error) {
	d := reader{b: raw.body}
	d.skip(4) // correlation
	d.skip(4) // throttle time
	if raw.version >= 7 {
		if code := d.int16(); code != 0 {
			return chunk{}, nil, kafka.Error(code)
		}
		d.skip(4) // session
	}
	if topics := d.int32(); topics != 1 {
		return chunk{}, nil, fmt.Errorf("response holds %d topics, asked for one", topics)
	}
	d.skip(int(d.int16())) // topic
	if partitions := d.int32(); partitions != 1 {
		return chunk{}, nil, fmt.Errorf("response holds %d partitions, asked for one", partitions)
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
	if kafka.Error(code) == kafka.InvalidMessage { // the broker itself cannot read its log there
		return chunk{}, nil, &unreadable{kind: badBatch, offset: offset, log: c, err: kafka.InvalidMessage}
	}
	if code != 0 {
		return chunk{}, nil, kafka.Error(code)
	}
	batches := d.take(max(0, int(d.int32())))
	if d.bad {
		return chunk{}, nil, errors.New("response is cut off")
	}
	return c, batches, nil
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
