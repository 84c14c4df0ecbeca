package consumer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// madeLog is a partition's log as several producers write it at once, some of
// them in transactions, and what a reader of committed records must find.
type madeLog struct {
	batches [][]byte
	bases   []int64
	next    int64
	open    map[int64]int64 // the first offset of a producer's open transaction
	waiting map[int64][]record
	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
	ended   []int64  // the marker's offset of each of aborted
	visible []record // of transactions that were committed, and of none
}

// append adds a batch of a producer (-1: none) with a gap behind each record, as
// compaction leaves them.
func (l *madeLog) append(t testing.TB, producer int64, attributes int16, values []string, gap int64) {
	b := kmsg.NewRecordBatch()
	b.FirstOffset, b.Magic, b.ProducerID, b.Attributes = l.next, 2, producer, attributes
	b.FirstTimestamp, b.MaxTimestamp = 1000+l.next, 5000+l.next
	b.NumRecords = int32(len(values))
	var raw []byte
	var added []record
	delta := int64(0)
	for _, v := range values {
		r := kmsg.Record{TimestampDelta64: 7 * delta, OffsetDelta: int32(delta), Value: []byte(v)}
		if attributes&(1<<5) != 0 {
			r.Key = []byte{0, 0, 0, v[0]}
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // an empty length takes one byte
		raw = r.AppendTo(raw)
		at := record{offset: l.next + delta, time: b.FirstTimestamp + 7*delta, value: []byte(v)}
		if attributes&(1<<3) != 0 {
			at.time = b.MaxTimestamp
		}
		added = append(added, at)
		delta += 1 + gap
	}
	b.LastOffsetDelta = int32(max(0, delta-1))
	b.Records = raw
	if codec := int(attributes & 7); codec != 0 {
		c, err := kgo.DefaultCompressor([]kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		}[codec])
		if err != nil {
			t.Fatal(err)
		}
		b.Records, _ = c.Compress(new(bytes.Buffer), raw)
		b.Records = bytes.Clone(b.Records)
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-batchPrefix))
	binary.BigEndian.PutUint32(out[crcStart-4:], crc32.Checksum(out[crcStart:], castagnoli))
	l.batches, l.bases = append(l.batches, out), append(l.bases, l.next)
	switch {
	case attributes&(1<<5) != 0:
	case attributes&(1<<4) == 0:
		l.visible = append(l.visible, added...)
	default:
		if _, is := l.open[producer]; !is {
			l.open[producer] = l.next
		}
		l.waiting[producer] = append(l.waiting[producer], added...)
	}
	l.next += int64(b.LastOffsetDelta) + 1
}

// end ends a producer's transaction; a marker may also come where none is open.
func (l *madeLog) end(t testing.TB, producer int64, commit bool) {
	first, is := l.open[producer]
	if commit {
		l.visible = append(l.visible, l.waiting[producer]...)
	} else if is {
		a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
		a.ProducerID, a.FirstOffset = producer, first
		l.aborted, l.ended = append(l.aborted, a), append(l.ended, l.next)
	}
	delete(l.open, producer)
	delete(l.waiting, producer)
	kind := "\x00" // abort
	if commit {
		kind = "\x01"
	}
	l.append(t, producer, 1<<4|1<<5, []string{kind}, 0)
}

// stable is the last stable offset.
func (l *madeLog) stable() int64 {
	s := l.next
	for _, first := range l.open {
		s = min(s, first)
	}
	return s
}

// makeLog follows a program: each byte is a step.
func makeLog(t testing.TB, program []byte) *madeLog {
	l := &madeLog{open: map[int64]int64{}, waiting: map[int64][]record{}}
	for i, step := range program {
		producer, codec := int64(step>>3&3)+7, int16(step>>5)%5
		var values []string
		for n := range 1 + i%3 {
			values = append(values, fmt.Sprintf("step %d, record %d", i, n))
		}
		switch step & 7 {
		case 0, 1:
			l.append(t, producer, 1<<4|codec, values, 0)
		case 2:
			l.append(t, producer, 1<<4|codec, values, 2)
		case 3:
			l.append(t, producer, 1<<4, nil, 0) // emptied by compaction
		case 4:
			l.append(t, -1, 1<<3|codec, values, 1)
		case 5:
			l.append(t, producer, codec, values, 0) // idempotent, in no transaction
		case 6:
			l.end(t, producer, true)
		case 7:
			l.end(t, producer, false)
		}
	}
	return l
}

// fetchFrom answers as a broker does: batches from the one that holds the
// offset on, at most n and none past the last stable offset, the last one cut.
// It returns how far the whole ones reach.
func (l *madeLog) fetchFrom(offset int64, n int, cut bool, random *rand.Rand) (*kmsg.FetchResponse, int64) {
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica = l.next, l.stable(), 0, -1
	reached := offset
	for i, batch := range l.batches {
		end := l.next
		if i+1 < len(l.bases) {
			end = l.bases[i+1]
		}
		if end <= offset {
			continue
		}
		if l.bases[i] >= l.stable() {
			break
		}
		if n--; n < 0 && reached > offset {
			if cut {
				p.RecordBatches = append(p.RecordBatches, batch[:len(batch)-5]...)
			}
			break
		}
		p.RecordBatches = append(p.RecordBatches, batch...)
		reached = end
	}
	for i, a := range l.aborted {
		if l.ended[i] >= offset && a.FirstOffset < reached {
			p.AbortedTransactions = append(p.AbortedTransactions, a)
		}
	}
	random.Shuffle(len(p.AbortedTransactions), func(i, j int) { // Redpanda sorts them otherwise than Kafka
		a := p.AbortedTransactions
		a[i], a[j] = a[j], a[i]
	})
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.Partitions = "access", []kmsg.FetchResponseTopicPartition{p}
	res := kmsg.NewFetchResponse()
	res.Topics = []kmsg.FetchResponseTopic{topic}
	return &res, reached
}

// FuzzFetchAgainstAnotherClient reads what several producers wrote, with and
// without transactions, compression and compaction, from any offset on, and
// compares with what was committed and with what franz-go reads.
func FuzzFetchAgainstAnotherClient(f *testing.F) {
	f.Add([]byte{0, 4, 6, 0, 7, 4}, uint64(0))            // committed, then aborted
	f.Add([]byte{0, 8, 0, 15, 8, 7, 14, 0, 4}, uint64(3)) // two producers at once, one open at the end
	f.Add([]byte{0, 0, 7, 0, 6}, uint64(9))               // from within an aborted transaction on
	f.Add([]byte{3, 7, 0, 6}, uint64(1))                  // all of the aborted one compacted away
	random := rand.New(rand.NewPCG(5, 3))
	for range 200 {
		program := make([]byte, random.IntN(40))
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		f.Add(program, random.Uint64())
	}
	f.Fuzz(func(t *testing.T, program []byte, seed uint64) {
		l := makeLog(t, program[:min(len(program), 200)])
		random := rand.New(rand.NewPCG(seed, 1))
		var fetch fetcher
		for offset := random.Int64N(l.stable() + 1); offset < l.stable(); {
			res, reached := l.fetchFrom(offset, 1+random.IntN(8), random.IntN(2) == 0, random)
			res.Version = 4 + int16(random.IntN(8))
			c, err := fetch.parse(&rawResponse{version: res.Version, body: res.AppendTo(make([]byte, 4))}, offset)
			if err != nil {
				t.Fatal(err)
			}
			if c.next != reached || c.end != l.stable() {
				t.Fatalf("from %d: next %d, end %d; expected %d, %d", offset, c.next, c.end, reached, l.stable())
			}
			same := func(a, b record) bool {
				return a.offset == b.offset && a.time == b.time && bytes.Equal(a.value, b.value)
			}
			var want []record
			for _, r := range l.visible {
				if r.offset >= offset && r.offset < reached {
					want = append(want, r)
				}
			}
			slices.SortFunc(want, func(a, b record) int { return int(a.offset - b.offset) })
			if !slices.EqualFunc(c.records, want, same) {
				t.Fatalf("from %d: read %v, committed %v", offset, c.records, want)
			}
			theirs, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
				Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: "access",
			}, &res.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
			var read []record
			for _, r := range theirs.Records {
				read = append(read, record{offset: r.Offset, time: r.Timestamp.UnixMilli(), value: r.Value})
			}
			if theirs.Err != nil || !slices.EqualFunc(c.records, read, same) {
				t.Fatalf("from %d: read %v, franz-go reads %v (%v)", offset, c.records, read, theirs.Err)
			}
			offset = reached
		}
	})
}
