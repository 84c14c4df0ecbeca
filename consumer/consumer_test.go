package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

func TestEveryEventIsCountedAsTheOracleCounts(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(3, "access"))
	events := someEvents(6000)
	for i, c := range []kafka.Compression{0, kafka.Zstd, kafka.Lz4} {
		produce(t, addr, i, c, jsonOf(events[i*2000:(i+1)*2000])...)
	}
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 700
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if c := m.chained(t); c.events != 6000 || c.records != 6000 || c.missing != 0 {
		t.Errorf("the markers say %+v", c)
	}
	rows := 0
	for _, a := range m.access {
		rows += len(a.Offset)
	}
	if rows != 6000 {
		t.Errorf("%d raw rows, want 6000", rows)
	}
}

func TestBatchesOfAnySizeGiveTheSameSums(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(1500)
	produce(t, addr, 0, 0, jsonOf(events)...)
	want := oracle(events)
	for _, limits := range []Limits{
		{Events: 1, Keys: 1000, Bytes: 1 << 20},
		{Events: 100_000, Keys: 1_000_000, Bytes: 1 << 30},
		{Events: 100_000, Keys: 7, Bytes: 1 << 30},
		{Events: 100_000, Keys: 1_000_000, Bytes: 1000},
	} {
		m := newMemory()
		cfg := testConfig(addr, "access")
		cfg.Group = fmt.Sprint(limits)
		cfg.Limits = limits
		cfg.Limits.Age = 100 * time.Millisecond
		r := start(t, cfg, m)
		r.countedTo(t, m)
		r.stop()
		sameTotals(t, m.totals(t), want)
		m.chained(t)
		if limits.Events == 1 && len(m.markers) != 1501 {
			t.Errorf("%d markers for batches of one, want 1500 and the one that says where it begins", len(m.markers))
		}
	}
}

func TestEveryCompressionIsRead(t *testing.T) {
	for name, c := range map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		t.Run(name, func(t *testing.T) {
			addr := broker(t, kfake.SeedTopics(1, "access"))
			events := someEvents(3000)
			produce(t, addr, 0, c, jsonOf(events)...)
			m := newMemory()
			r := start(t, testConfig(addr, "access"), m)
			r.countedTo(t, m)
			r.stop()
			sameTotals(t, m.totals(t), oracle(events))
		})
	}
}

func TestWhatIsNoEventIsARejectAndTheGoodOnesBesideItAreCounted(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}))
	events := someEvents(500)
	good := jsonOf(events)
	var garbage [10_000]byte
	random := rand.New(rand.NewPCG(1, 2))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	old, future := events[0], events[0]
	old.Time, future.Time = -62135596800_000, 4102444800_000 // years 1 and 2100
	bad := [][]byte{
		garbage[:],
		good[0][:len(good[0])/2],
		[]byte(`{"time":1545174000000,"partner":7,"capability":"messaging","action":"read","subject":"user-1"}`),
		old.json(), future.json(),
		append(append([]byte(`{"pad":"`), bytes.Repeat([]byte("x"), 10<<20)...), `"}`...),
		nil, // a tombstone
	}
	produce(t, addr, 0, 0, good[:250]...)
	for _, b := range bad {
		produce(t, addr, 0, 0, b)
	}
	produce(t, addr, 0, 0, good[250:]...)

	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Topics[0].KeepRaw = true
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	reasons := map[int64]string{}
	for _, j := range m.rejects {
		for i, offset := range j.Offset {
			reasons[offset] = j.Reason[i]
			sent := bad[offset-250]
			kept := string(sent)
			if len(sent) > schema.MaxRecord {
				kept = "" // it was never held
			}
			if j.Raw[i] != kept || j.Size[i] != int64(len(sent)) {
				t.Errorf("the reject at offset %d holds %d bytes and says %d, want %d and %d", offset, len(j.Raw[i]), j.Size[i], len(kept), len(sent))
			}
		}
	}
	want := map[int64]string{
		250: string(schema.InvalidUTF8), 251: string(schema.NotJSON), 252: string(schema.WrongType),
		253: string(schema.TimeTooEarly), 254: string(schema.TimeTooLate), 255: string(schema.TooLarge), 256: string(schema.NotJSON),
	}
	for offset, reason := range want {
		if reasons[offset] != reason && (offset != 250 || reasons[offset] == "") { // random bytes fail in one way or another
			t.Errorf("the record at offset %d was rejected as %q, want %q", offset, reasons[offset], reason)
		}
	}
	if c := m.chained(t); c.rejected != uint64(len(bad)) || c.events != 500 {
		t.Errorf("the markers say %+v", c)
	}
}

func TestNeitherANewGroupNorResetOffsetsCountTwice(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(2, "access"))
	events := someEvents(2000)
	produce(t, addr, 0, 0, jsonOf(events[:1000])...)
	produce(t, addr, 1, 0, jsonOf(events[1000:])...)
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	r.countedTo(t, m)
	r.stop()
	if !strings.Contains(r.log.String(), "starting as configured") {
		t.Error("it was not said where it started")
	}

	another := testConfig(addr, "access")
	another.Group = "another"
	r = start(t, another, m)
	waitFor(t, "the line on the new group", func() bool {
		return strings.Count(r.log.String(), "the group has no offset here") == 2
	})
	more := someEvents(2500)[2000:]
	produce(t, addr, 1, 0, jsonOf(more)...)
	r.countedTo(t, m)
	r.stop()
	want := oracle(append(events, more...))
	sameTotals(t, m.totals(t), want)

	resetOffsets(t, addr, "overreach", "access", 2)
	r = start(t, testConfig(addr, "access"), m)
	waitFor(t, "the line on the reset offsets", func() bool {
		return strings.Count(r.log.String(), "lies before what was counted") == 2
	})
	time.Sleep(300 * time.Millisecond)
	r.stop()
	sameTotals(t, m.totals(t), want)
	m.chained(t)
}

func TestWhatAMappingLeavesOutIsCountedApart(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	mapping, err := decode.ParseMapping("test.yaml", []byte(`
where:
  - {path: kind, equals: call}
event:
  time: at
  partner: who
  capability: {const: messaging}
  action: {const: read}
  subject: whose
`))
	if err != nil {
		t.Fatal(err)
	}
	record := func(kind string) []byte {
		return []byte(`{"kind":"` + kind + `","at":1545174000000,"who":"p","whose":"user-1"}`)
	}
	produce(t, addr, 0, 0, record("call"), record("ping"), record("call"), record("ping"), record("ping"), []byte(`{"kind":"call"}`))
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Topics[0].Encoding = mapping
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	if c := m.chained(t); c.records != 6 || c.events != 2 || c.filtered != 3 || c.rejected != 1 {
		t.Errorf("the markers say %+v", c)
	}
}

// resetOffsets commits 0 for every partition from outside of the group.
func resetOffsets(t *testing.T, addr, group, topic string, partitions int) {
	t.Helper()
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	var commits []kafka.OffsetCommit
	for i := range partitions {
		commits = append(commits, kafka.OffsetCommit{Partition: i})
	}
	res, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			t.Fatal(p.Error)
		}
	}
}

func TestTwoInstancesShareThePartitionsAndCountOnce(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(4, "access"))
	events := someEvents(8000)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 150
	a := start(t, cfg, m)
	for i := range 4 {
		produce(t, addr, i, 0, jsonOf(events[i*1000:(i+1)*1000])...)
	}
	waitFor(t, "the first instance to own all", func() bool { p, n := a.Owned(); return len(p) == 4 && n == 4 })
	b := start(t, cfg, m)
	waitFor(t, "the two to share", func() bool {
		p, _ := a.Owned()
		q, _ := b.Owned()
		return len(p) == 2 && len(q) == 2
	})
	for i := range 4 {
		produce(t, addr, i, 0, jsonOf(events[4000+i*1000:4000+(i+1)*1000])...)
	}
	b.countedTo(t, m)
	a.stop()
	b.stop()
	sameTotals(t, m.totals(t), oracle(events))
	m.chained(t)
}

func TestAnOutageOfClickHouseIsSaidOnceAndLosesNothing(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(1000)
	m := newMemory()
	m.setFail(func(string) error { return errors.New("connection refused") })
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 300
	r := start(t, cfg, m)
	produce(t, addr, 0, 0, jsonOf(events)...)
	waitFor(t, "the line on the outage", func() bool { return strings.Contains(r.log.String(), "ClickHouse does not answer") })
	time.Sleep(300 * time.Millisecond)
	m.setFail(nil)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if log := r.log.String(); strings.Count(log, "ClickHouse does not answer") != 1 || strings.Count(log, "ClickHouse is back") != 1 {
		t.Errorf("said:\n%s", log)
	}
}

func TestADrainedPartitionIsFlushedAtOnce(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(2, "access"))
	events := someEvents(100)
	produce(t, addr, 1, 0, jsonOf(events)...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Age = time.Hour
	var mu syncBuffer
	cfg.Counted = func(c Counted) {
		_, _ = fmt.Fprintf(&mu, "%s %d %d: %d records, %d events;", c.Topic, c.Partition, c.To, c.Records, c.Events)
	}
	r := start(t, cfg, m)
	time.Sleep(time.Second)
	if len(m.totals(t)) != 0 {
		t.Fatal("flushed before it was due")
	}
	r.Drain()
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if mu.String() != "access 1 100: 100 records, 100 events;" {
		t.Errorf("told %q", mu.String())
	}
}

func TestAStopFlushesWhatIsHeld(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(100)
	produce(t, addr, 0, 0, jsonOf(events)...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Age = time.Hour
	r := start(t, cfg, m)
	waitFor(t, "the partition to be assigned", func() bool { p, _ := r.Owned(); return len(p) == 1 })
	time.Sleep(time.Second)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
}

// discard is a Store that keeps nothing but where it stands.
type discard struct{ *memory }

func (discard) InsertAccess(context.Context, schema.Range, *schema.AccessRows) error { return nil }

func (d discard) InsertUsage(_ context.Context, k schema.Marker, _ *schema.UsageRows) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.markers = append(d.markers, k)
	return nil
}

// BenchmarkIngest is the whole way from a broker in this process to rows that
// are ready to be inserted, on two partitions.
func BenchmarkIngest(b *testing.B) {
	const n = 100_000
	addr := broker(b, kfake.SeedTopics(2, "access"))
	values := benchValues(n)
	for i := range 2 {
		produce(b, addr, i, kafka.Lz4, values...)
	}
	for i := 0; b.Loop(); i++ {
		cfg := testConfig(addr, "access")
		cfg.Group = fmt.Sprint("bench", i)
		m := newMemory()
		c, _ := newTestConsumer(cfg, discard{m})
		c.Drain()
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		for counted := int64(0); counted < 2*n; time.Sleep(5 * time.Millisecond) {
			counted = 0
			m.mu.Lock()
			for _, k := range m.markers {
				counted += int64(k.Records)
			}
			m.mu.Unlock()
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(2*n*b.N)/b.Elapsed().Seconds(), "events/s")
}
