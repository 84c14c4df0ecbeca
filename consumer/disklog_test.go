package consumer

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// diskLog is the log of partition 0 as a broker keeps it: batches in segments. The
// broker finds a batch by its index, whatever has become of its bytes.
type diskLog struct {
	addr string

	mu      sync.Mutex
	batches []diskBatch
	first   int64           // where the log begins
	stable  int64           // the last stable offset as a fetch says it; -1: it says none
	asked   []int64         // the offsets that were fetched from
	fail    map[int]int16   // the error codes of the nth fetches, from 1
	refused map[int64]bool  // base offsets of batches that the broker cannot read itself
	from    map[int64]int64 // by base offset: the first offset by which it finds the batch
}

type diskBatch struct {
	base, end int64 // [base, end)
	bytes     []byte
	closes    bool // its segment
}

// newDiskLog has a broker answer fetches of partition 0 from batches of a hundred
// events each.
func newDiskLog(t *testing.T, events []testEvent) *diskLog {
	t.Helper()
	c := kfakeCluster(t)
	l := &diskLog{addr: c.ListenAddrs()[0], stable: int64(len(events)), fail: map[int]int16{}, refused: map[int64]bool{}, from: map[int64]int64{}}
	values := jsonOf(events)
	produce(t, l.addr, 0, 0, values...) // for the log's bounds
	for base := 0; base < len(values); base += 100 {
		var texts []string
		for _, v := range values[base:min(base+100, len(values))] {
			texts = append(texts, string(v))
		}
		b := rawBatch(int64(base), 0, int32(len(texts)-1), texts...)
		stamp(b, day1+86400_000)
		l.batches = append(l.batches, diskBatch{base: int64(base), end: int64(base + len(texts)), bytes: b})
	}
	answering(t, c, l.answer)
	return l
}

// stamp gives a batch its greatest and first time, which the records count from.
func stamp(b []byte, ms int64) {
	binary.BigEndian.PutUint64(b[crcStart+6:], uint64(ms))
	binary.BigEndian.PutUint64(b[crcStart+14:], uint64(ms))
	seal(b)
}

// seal makes a batch's CRC right.
func seal(b []byte) {
	binary.BigEndian.PutUint32(b[crcStart-4:], crc32.Checksum(b[crcStart:], castagnoli))
}

func (l *diskLog) answer(offset int64, _ int16) *kmsg.FetchResponseTopicPartition {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, offset)
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset = l.stable, l.stable
	if p.ErrorCode = l.fail[len(l.asked)]; p.ErrorCode != 0 {
		return &p
	}
	if offset < l.first {
		p.ErrorCode = int16(kafka.OffsetOutOfRange)
		return &p
	}
	i := slices.IndexFunc(l.batches, func(b diskBatch) bool { return b.end > offset })
	switch {
	case len(l.batches) == 0: // what comes next is not stable yet
		return &p
	case i < 0:
		return nil // it waits for more, as it does
	}
	for ; i < len(l.batches); i++ {
		b := l.batches[i]
		if l.refused[b.base] || offset < l.from[b.base] {
			if len(p.RecordBatches) == 0 {
				p.ErrorCode, p.HighWatermark, p.LastStableOffset = int16(kafka.InvalidMessage), -1, -1
			}
			break
		}
		if p.RecordBatches = append(p.RecordBatches, b.bytes...); b.closes {
			break
		}
	}
	return &p
}

// alter changes a batch's bytes.
func (l *diskLog) alter(base int64, change func(b []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.batches {
		if b := &l.batches[i]; b.base == base {
			b.bytes = bytes.Clone(b.bytes)
			change(b.bytes)
		}
	}
}

// flip is what one wrong bit of the records is: the CRC is not theirs any more.
func flip(b []byte) { b[batchHeader+2] ^= 1 }

// segments has segments end with the batches of some base offsets.
func (l *diskLog) segments(last ...int64) {
	for i := range l.batches {
		l.batches[i].closes = slices.Contains(last, l.batches[i].base)
	}
}

// fetcher reads the log without a group.
func (l *diskLog) fetcher(t *testing.T) *fetcher {
	t.Helper()
	cfg := testConfig(l.addr, "access")
	k := newCluster(&cfg)
	t.Cleanup(k.close)
	return &fetcher{transport: k.fetches, cluster: k, topic: "access"}
}

// requests returns the offsets that were fetched from since it was called last.
func (l *diskLog) requests() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}
