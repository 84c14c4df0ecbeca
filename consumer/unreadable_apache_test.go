package consumer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/embedded/kafkatest"
	"github.com/overreach/overreach/schema"
)

const batchEvents = 100 // of each batch that the test below writes

// damage is what a faulty disk does to one topic's first segment, and what is to
// be found there.
type damage struct {
	topic       string
	compression kafka.Compression
	batches     int
	do          func(at func(offset int64) kafkatest.Batch, last kafkatest.Batch) // last is the segment's
	from, to    int64
	why         kind
}

var damages = []*damage{
	{topic: "crc", batches: 20, from: 1000, to: 1100, why: badCRC,
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) { at(1000)[batchHeader+300] ^= 1 }},
	{topic: "codec", batches: 20, compression: kafka.Lz4, from: 1000, to: 1100, why: badCompression,
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) {
			b := at(1000)
			clear(b[batchHeader:])
			b.Seal()
		}},
	{topic: "structure", batches: 20, from: 1001, to: 1100, why: badBatch, // the first record of the batch is whole
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) {
			b := at(1000)
			length, n := binary.Varint(b[batchHeader:])
			b[batchHeader+n+int(length)] = 1 // the second record has a negative length
			b.Seal()
		}},
	{topic: "two-in-a-row", batches: 20, from: 1000, to: 1200, why: badCRC,
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) {
			at(1000)[batchHeader+300] ^= 1
			at(1100)[batchHeader+300] ^= 1
		}},
	{topic: "length", batches: 20, from: 1000, to: 1100, why: badBatch, // the broker itself cannot read there
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) { binary.BigEndian.PutUint32(at(1000)[8:], 3) }},
	{topic: "end-of-segment", batches: 70, why: badCRC, // it rolls at a megabyte, the least that Kafka takes
		do: func(_ func(int64) kafkatest.Batch, last kafkatest.Batch) { last[batchHeader+300] ^= 1 }},
	{topic: "end-of-segment-header", batches: 70, why: badCRC, // and where the batch ends, its header does not say
		do: func(_ func(int64) kafkatest.Batch, last kafkatest.Batch) { last[crcStart+5] ^= 7 }},
	{topic: "end-of-log", batches: 10, from: 900, to: 1000, why: badCRC,
		do: func(at func(int64) kafkatest.Batch, _ kafkatest.Batch) { at(900)[batchHeader+300] ^= 1 }},
}

// TestWhatCannotBeDecodedIsSaidAndPassed alters files of a real broker between a
// clean stop and a start.
func TestWhatCannotBeDecodedIsSaidAndPassed(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{Own: true})
	addr := c.Addrs()[0]
	events := map[string][]testEvent{}
	for _, d := range damages {
		d.topic = c.CreateTopic(d.topic, 1, map[string]string{"segment.bytes": "1048576"})
		events[d.topic] = someEvents(d.batches * batchEvents)
		values := jsonOf(events[d.topic])
		for batch := range slices.Chunk(values, batchEvents) {
			produceTo(t, addr, d.topic, 0, d.compression, batch...)
		}
	}
	// One topic is counted before its last record is damaged.
	end := damages[len(damages)-1]
	before := newMemory()
	r := start(t, testConfig(addr, end.topic), before)
	r.countedTo(t, before)
	r.stop()

	c.Stop(0)
	whole := map[string][]byte{}
	for _, d := range damages {
		c.Alter(0, kafkatest.Segment(d.topic, 0, 0), func(log []byte) []byte {
			whole[d.topic] = slices.Clone(log)
			batches := kafkatest.Batches(log)
			last := batches[len(batches)-1]
			if d.to == 0 {
				d.from, d.to = last.Offsets()
			}
			d.do(func(offset int64) kafkatest.Batch {
				return batches[slices.IndexFunc(batches, func(b kafkatest.Batch) bool { from, _ := b.Offsets(); return from == offset })]
			}, last)
			return log
		})
	}
	c.Restart(0)
	c.AwaitBrokers()

	for _, d := range damages {
		t.Run(d.topic, func(t *testing.T) {
			all := events[d.topic]
			readable := slices.Concat(all[:d.from], all[d.to:])
			for _, way := range []string{"time", "command"} {
				t.Run(way, func(t *testing.T) { d.isPassed(t, addr, way, readable) })
			}
		})
	}
	t.Run("a crash at any point", func(t *testing.T) { damages[0].crashes(t, addr, events[damages[0].topic]) })
	t.Run("a batch that was begun while it could be decoded", func(t *testing.T) { damages[0].wasBegun(t, addr, events[damages[0].topic]) })
	t.Run("the record that was read last", func(t *testing.T) {
		r := start(t, testConfig(addr, end.topic), before)
		more := someEvents(1200)[1000:]
		produceTo(t, addr, end.topic, 0, 0, jsonOf(more)...)
		r.countedTo(t, before)
		r.stop()
		sameTotals(t, before.totals(t), oracle(append(events[end.topic][:1000:1000], more...)))
		if !strings.Contains(r.log.String(), "nothing says whether it is still the same") {
			t.Error("that it was not compared was not said")
		}
	})
	t.Run("it can be decoded again in time", func(t *testing.T) {
		d := damages[0]
		m := newMemory()
		cfg := testConfig(addr, d.topic)
		cfg.Group, cfg.UnreadableAfter = "again", time.Hour
		r := start(t, cfg, m)
		waitFor(t, "the line that says so", func() bool { return strings.Contains(r.log.String(), "cannot be decoded") })
		c.Stop(0)
		c.Alter(0, kafkatest.Segment(d.topic, 0, 0), func([]byte) []byte { return whole[d.topic] })
		c.Restart(0)
		c.AwaitBrokers()
		r.countedTo(t, m)
		r.stop()
		sameTotals(t, m.totals(t), oracle(events[d.topic]))
		if n := m.chained(t); n.unreadable != 0 || !strings.Contains(r.log.String(), "can be decoded now") {
			t.Errorf("the markers say %+v", n)
		}
	})
}

// config is that of a group of its own, for which what cannot be decoded is
// passed soon, or by command alone.
func (d *damage) config(addr, group string, soon bool) Config {
	cfg := testConfig(addr, d.topic)
	cfg.Group = d.topic + " " + group
	if soon {
		cfg.UnreadableAfter = 300 * time.Millisecond
	}
	return cfg
}

// isPassed shows that a partition stands, and goes on by time or by command.
func (d *damage) isPassed(t *testing.T, addr, way string, readable []testEvent) {
	m := newMemory()
	r := start(t, d.config(addr, way, way == "time"), m)
	waitFor(t, "the line that says so", func() bool { return strings.Contains(r.log.String(), "this partition stands still") })
	if way == "command" {
		time.Sleep(500 * time.Millisecond)
		partition := schema.Partition{Incarnation: r.inForce()[0].Name}
		if to, _, _ := m.Counted(t.Context(), partition); to != d.from {
			t.Errorf("it is counted up to %d, what cannot be decoded begins at %d", to, d.from)
		}
		m.skip(partition, d.from-1) // which says nothing of this one
		time.Sleep(300 * time.Millisecond)
		if n := m.chained(t); n.unreadable != 0 {
			t.Fatalf("passed without being told to: %+v", n)
		}
		_, standing, err := Inspect(t.Context(), r.cfg, m)
		if u := standing[0].Unreadable; err != nil || u == nil || u.From != d.from || u.To != d.to || u.Why != string(d.why) {
			t.Errorf("inspecting says %v, %v", u, err)
		}
		m.skip(partition, d.from)
	}
	r.countedTo(t, m)
	r.stop()
	d.isMarked(t, m, readable)
	log := r.log.String()
	for _, want := range []string{fmt.Sprintf(`"offset":%d,"to":%d,"kind":"%s"`, d.from, d.to, d.why), "overreach skip " + d.topic + "/0 --reason"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if n := strings.Count(log, "this partition stands still"); n != 1 || strings.Contains(log, `"error":"fetching`) {
		t.Errorf("said %d times that it stands still", n)
	}
}

// skip has a partition pass what it stands before at an offset.
func (m *memory) skip(p schema.Partition, offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.skips = map[schema.Partition]int64{p: offset}
}

// isMarked fails unless the range is marked, all else counted once.
func (d *damage) isMarked(t *testing.T, m *memory, readable []testEvent) {
	t.Helper()
	sameTotals(t, m.totals(t), oracle(readable))
	n := m.chained(t)
	if n.unreadable != uint64(d.to-d.from) || n.missing != 0 || n.rejected != 0 {
		t.Errorf("the markers say %+v, want %d to %d unreadable", n, d.from, d.to)
	}
	for _, k := range m.markers {
		if k.Unreadable > 0 && (k.From != d.from || k.To != d.to || !slices.Equal(k.Why, []string{string(d.why)}) || k.Mixed || k.Records != 0) {
			t.Errorf("the marker is %+v, want one from %d to %d of %s", k, d.from, d.to, d.why)
		}
	}
}

// crashes dies at each point of the flush that marks the range. Who comes next may
// pass nothing by itself: the pin says all.
func (d *damage) crashes(t *testing.T, addr string, all []testEvent) {
	for _, point := range []string{pointPinned, pointRejects, pointRaw, pointUsage} {
		t.Run(point, func(t *testing.T) {
			m := newMemory()
			crashAt(t, d.config(addr, point, true), m, point, 2) // the first is what was read before
			r := start(t, d.config(addr, point, false), m)
			r.countedTo(t, m)
			r.stop()
			d.isMarked(t, m, slices.Concat(all[:d.from], all[d.to:]))
			if strings.Contains(r.log.String(), "cannot be decoded") {
				t.Error("the range was read again")
			}
		})
	}
}

// wasBegun has a pin that was made while all of its range could be decoded.
func (d *damage) wasBegun(t *testing.T, addr string, all []testEvent) {
	m := newMemory()
	cfg := d.config(addr, "begun", true)
	cfg.Limits.Events = 500
	crashAt(t, cfg, m, pointUsage, 1) // 0 to 500 is counted
	f := &fence{client: &kafka.Client{Addr: kafka.TCP(addr), Transport: &kafka.Transport{}}, group: cfg.Group, topic: d.topic, generation: -1}
	begun := pin{from: 500, to: 1300, day: schema.DayOf(time.Now()), by: cfg.fingerprint(&cfg.Topics[0]), number: 1, last: fingerprint{offset: -1}}
	if err := f.commit(t.Context(), &begun); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(slices.Concat(all[:d.from], all[d.to:])))
	for _, k := range m.markers {
		if k.From == 500 && (k.To != 1300 || k.Unreadable != 100 || k.Records != 700 || !k.Mixed) {
			t.Errorf("the batch's marker is %+v", k)
		}
	}
	if n := m.chained(t); n.unreadable != 100 {
		t.Errorf("the markers say %+v", n)
	}
}
