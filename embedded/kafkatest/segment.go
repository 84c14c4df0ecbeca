package kafkatest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Segment is the name of the file that holds the records of a partition from an
// offset on, as Alter takes it. A partition begins with the one that is named by 0.
func Segment(topic string, partition int32, from int64) string {
	return fmt.Sprintf("%s-%d/%020d.log", topic, partition, from)
}

// Where a batch's fields lie. It begins with its first offset and its length, which
// counts what follows it; the CRC covers what follows the CRC.
const (
	batchLengthAt  = 8
	batchPrefix    = batchLengthAt + 4
	batchCRCAt     = batchPrefix + 4 + 1
	batchCodecAt   = batchCRCAt + 4 + 1
	batchLastAt    = batchCodecAt + 1
	batchRecordsAt = batchLastAt + 4 + 8 + 8 + 8 + 2 + 4 + 4
)

// Batch is one record batch among a segment's bytes. What alters it alters those.
type Batch []byte

// Batches returns the batches of a whole segment.
func Batches(segment []byte) []Batch {
	var all []Batch
	for len(segment) >= batchRecordsAt {
		end := batchPrefix + int(binary.BigEndian.Uint32(segment[batchLengthAt:]))
		all = append(all, segment[:end:end])
		segment = segment[end:]
	}
	return all
}

// Offsets are those of the batch's records: [from, to).
func (b Batch) Offsets() (from, to int64) {
	from = int64(binary.BigEndian.Uint64(b)) //nolint:gosec // as Kafka wrote it
	return from, from + int64(binary.BigEndian.Uint32(b[batchLastAt:])) + 1
}

// Records are the bytes of the records, packed where the batch is.
func (b Batch) Records() []byte { return b[batchRecordsAt:] }

// Seal makes the CRC right again.
func (b Batch) Seal() {
	sum := crc32.Checksum(b[batchCRCAt+4:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[batchCRCAt:], sum)
}

// BreakCRC alters one bit of the records, as a failing disk does.
func (b Batch) BreakCRC() { b.Records()[len(b.Records())/2] ^= 1 }

// BreakCompression has the batch say that LZ4 packed its records, which are zeros:
// the CRC is right, and nobody can unpack it.
func (b Batch) BreakCompression() {
	const codecs, lz4 = 7, 3
	b[batchCodecAt] = b[batchCodecAt]&^codecs | lz4
	clear(b.Records())
	b.Seal()
}

// Roll has a partition go on in another file from its end on, an offset, while a
// broker is stopped. A broker that was killed checks the last file of a partition
// when it starts, and cuts it off at a damaged batch with all that lies behind; it
// leaves the files before that as they are.
func (c *Cluster) Roll(broker int, topic string, partition int32, end int64) {
	c.t.Helper()
	if err := c.brokers[broker].write(Segment(topic, partition, end), nil); err != nil {
		c.t.Fatalf("making the file of %s/%d from %d on: %v", topic, partition, end, err)
	}
}
