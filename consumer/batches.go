package consumer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/overreach/overreach/schema"
)

// A batch begins with its base offset, length, leader epoch, magic and CRC; the
// length counts what follows it.
const (
	batchPrefix = 8 + 4
	batchHeader = batchPrefix + 4 + 1 + 4 + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4
	crcStart    = batchPrefix + 4 + 1 + 4
	magicAt     = batchPrefix + 4
)

// chunkRecords is how many records a chunk holds at most: 64 B each, so that tiny
// records take no more memory than their bytes do.
const chunkRecords = 1 << 16

// openBatch is the batch whose records are being read.
type openBatch struct {
	base, last         int64 // its first and last offset, which compaction may have taken
	firstTime, maxTime int64
	appendTime         bool // all records have maxTime
	left               int  // records that were not read yet
}

// pending reports whether a part of the last response was not handed over yet.
func (f *fetcher) pending() bool { return f.batch.left > 0 || len(f.rest) > 0 }

// drop forgets what is held of the last response.
func (f *fetcher) drop() {
	f.in.close()
	f.rest, f.batch, f.held = nil, openBatch{}, chunk{}
}

// piece hands over the next records of the response, from offset on. Where it
// comes to what cannot be decoded, it hands over what lies before; where nothing
// does, that is the error.
func (f *fetcher) piece(offset int64) (chunk, error) {
	f.records = f.records[:0]
	f.in.reuse()
	err := f.batches(offset)
	c := f.held
	c.records = f.records
	if err != nil {
		f.drop()
	}
	var bad *unreadable
	if errors.As(err, &bad) {
		bad.offset, bad.log = offset, c
		if c.next > offset {
			return c, nil
		}
	}
	return c, err
}

// batches reads batches until the chunk is full or none is left. The broker cuts
// the last one off where the limit of bytes falls.
func (f *fetcher) batches(offset int64) error {
	for {
		if f.batch.left > 0 {
			if err := f.readRecords(offset); err != nil {
				return err
			}
			if f.batch.left > 0 {
				return nil // the chunk is full
			}
			f.in.close()
			f.held.next = max(f.held.next, f.batch.last+1)
		}
		if len(f.records) >= chunkRecords {
			return nil
		}
		whole, err := wholeBatch(f.rest)
		if errors.Is(err, errCutOff) && f.held.next > f.asked {
			f.rest = nil
			return nil
		}
		if len(f.rest) == 0 {
			return broken("what the broker sent ends before the offset that it was asked for")
		}
		if err != nil {
			return err
		}
		f.rest = f.rest[len(whole):]
		if err := f.begin(whole, offset); err != nil {
			return err
		}
	}
}

// errCutOff says that bytes end within a batch.
var errCutOff = errors.New("the batch is longer than what the broker sent of it")

// wholeBatch returns the bytes of the batch that b begins with. It looks at its
// length and format, no further.
func wholeBatch(b []byte) ([]byte, error) {
	if len(b) < batchPrefix {
		return nil, &unreadable{kind: badBatch, err: errCutOff}
	}
	length := batchPrefix + int(int32(binary.BigEndian.Uint32(b[8:])))
	if length < magicAt+1 {
		return nil, broken("a batch of %d bytes is too short", length)
	}
	if length > len(b) {
		return nil, &unreadable{kind: badBatch, err: errCutOff}
	}
	if magic := b[magicAt]; magic != 2 {
		return nil, &unreadable{kind: oldFormat, err: fmt.Errorf("it is of message format %d, from before Kafka 0.11: produce it again into a topic of a later format", magic)}
	}
	if length < batchHeader {
		return nil, broken("a batch of %d bytes is too short", length)
	}
	return b[:length], nil
}

// begin checks a batch and opens its records, where any of them is to be handed
// over.
func (f *fetcher) begin(b []byte, offset int64) error {
	batch, attributes, producer, err := batchOf(b)
	if err != nil {
		return err
	}
	aborted := attributes.Transactional() && f.aborts(producer, batch.last, attributes.Control())
	if aborted || attributes.Control() || batch.left == 0 || batch.last < offset {
		f.held.next = max(f.held.next, batch.last+1)
		return nil
	}
	f.batch = batch
	return f.in.open(attributes.Compression(), b[batchHeader:])
}

// batchOf reads the header of a whole batch, and checks its CRC.
func batchOf(b []byte) (openBatch, protocol.Attributes, int64, error) {
	base := int64(binary.BigEndian.Uint64(b))
	sum := binary.BigEndian.Uint32(b[crcStart-4:])
	if got := crc32.Checksum(b[crcStart:], castagnoli); got != sum {
		return openBatch{}, 0, 0, &unreadable{kind: badCRC, err: fmt.Errorf("its CRC is %08x, its header says %08x", got, sum)}
	}
	h := reader{b: b[crcStart:batchHeader]}
	attributes := protocol.Attributes(h.int16())
	batch := openBatch{base: base, last: base + int64(h.int32()), firstTime: h.int64(), maxTime: h.int64(), appendTime: attributes&(1<<3) != 0}
	producer := h.int64()
	h.skip(2 + 4) // epoch, sequence
	batch.left = int(h.int32())
	if base < 0 || batch.last < base || batch.left < 0 {
		return openBatch{}, 0, 0, broken("it has %d records, from offset %d to %d", batch.left, base, batch.last)
	}
	return batch, attributes, producer, nil
}

// readRecords reads records of the open batch until it ends or the chunk is full.
// Each begins with its length; of what follows its value, the headers, nobody
// needs anything.
func (f *fetcher) readRecords(offset int64) error {
	b := &f.batch
	for b.left > 0 && len(f.records) < chunkRecords {
		var r record
		d := reader{}
		body, err := f.in.record(len(f.records) > 0)
		switch {
		case err == nil:
			d.b = body
			d.skip(1) // attributes
			r.time, r.offset = d.varint(), d.varint()
			d.skip(max(0, int(d.varint()))) // key
			r.value = d.take(max(0, int(d.varint())))
			if len(r.value) > schema.MaxRecord {
				r.large, r.value = &large{size: int64(len(r.value)), crc: crc32.Checksum(r.value, castagnoli)}, nil
			}
		case errors.Is(err, errFull):
			return nil
		case errors.Is(err, errLong):
			if r, err = f.in.long(); err != nil {
				return err
			}
		default:
			return err
		}
		b.left--
		r.offset += b.base
		if r.time += b.firstTime; b.appendTime {
			r.time = b.maxTime
		}
		switch {
		case d.bad:
			return broken("a record ends before its value does")
		case r.offset < b.base || r.offset > b.last:
			return broken("a record has offset %d, its batch says that it holds offsets %d to %d", r.offset, b.base, b.last)
		case r.offset < offset:
			continue
		case r.offset < f.held.next:
			return broken("offset %d comes after offset %d", r.offset, f.held.next-1)
		}
		f.records = append(f.records, r)
		f.held.next = r.offset + 1
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
