package replay

import (
	"io"

	"github.com/segmentio/kafka-go"
)

// batchBytes is how many bytes of lines a batch has at most, unless a single line
// is longer. It stays under the 1 MiB that topics take by default, also where
// nothing can be compressed.
const batchBytes = 512 << 10

// batch holds the lines that go to a partition together.
type batch struct {
	text []byte // the lines, one behind the other
	ends []int  // where each ends in text
}

// fits reports whether the batch has room for the line.
func (b *batch) fits(line []byte) bool {
	return len(b.ends) == 0 || len(b.text)+len(line) <= batchBytes
}

func (b *batch) add(line []byte) {
	b.text = append(b.text, line...)
	b.ends = append(b.ends, len(b.text))
}

func (b *batch) reset() { b.text, b.ends = b.text[:0], b.ends[:0] }

// records returns the lines as Kafka records without a key, from the first on.
func (b *batch) records() kafka.RecordReader { return &batchReader{batch: b} }

// batchReader reads a batch in kafka-go's way: handing over a whole batch costs
// less a line than its Writer, which queues messages one by one.
type batchReader struct {
	*batch
	next, from int
	record     kafka.Record
}

// ReadRecord implements kafka.RecordReader.
func (r *batchReader) ReadRecord() (*kafka.Record, error) {
	if r.next == len(r.ends) {
		return nil, io.EOF
	}
	end := r.ends[r.next]
	r.record.Value = kafka.NewBytes(r.text[r.from:end])
	r.next, r.from = r.next+1, end
	return &r.record, nil
}
