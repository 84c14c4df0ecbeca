package consumer

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/overreach/overreach/schema"
)

// member joins the group by hand, so that a test holds its generation.
func member(t *testing.T, cfg Config, m Store) (*Consumer, *kafka.Generation, func()) {
	t.Helper()
	c, _ := newTestConsumer(cfg, m)
	if err := c.cluster.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: cfg.Group, Brokers: cfg.Brokers, Topics: c.cluster.topics, JoinGroupBackoff: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	leave := func() {
		_ = group.Close()
		c.cluster.close()
	}
	t.Cleanup(leave)
	for {
		g, err := group.Next(t.Context())
		if err == nil {
			return c, g, leave
		}
		// A cluster that never had a group first makes what it keeps them in.
		var said kafka.Error
		temporary := errors.As(err, &said) && said.Temporary()
		if !temporary && !errors.Is(err, kafka.RebalanceInProgress) {
			t.Fatal(err)
		}
	}
}

// crashAt works on partition 0 as a member of the group until the nth time that
// it comes to a point, and dies there.
func crashAt(t *testing.T, cfg Config, m Store, point string, nth int) {
	t.Helper()
	c, g, leave := member(t, cfg, m)
	defer leave()
	p := c.newPartition(cfg.Topics[0], c.inForce()[0], c.newProgress("access", 0, cfg.Limits), cfg.Limits, g)
	p.point = func(s string) {
		if s == point {
			if nth--; nth == 0 {
				panic(point)
			}
		}
	}
	died := make(chan any)
	go func() {
		defer func() { died <- recover() }()
		err := p.work(t.Context(), t.Context())
		t.Errorf("work returned %v, it should have died at %q", err, point)
	}()
	if got := <-died; got != point {
		t.Fatalf("died of %v, want %q", got, point)
	}
}

func TestACrashAtAnyPointLosesNothingAndCountsNothingTwice(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(2000)
	values := jsonOf(events)
	values = append(values[:1500:1500], append([][]byte{[]byte("garbage")}, values[1500:]...)...)
	produce(t, addr, 0, 0, values...)

	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 400
	whole := newMemory()
	cfg.Group = "whole"
	r := start(t, cfg, whole)
	r.countedTo(t, whole)
	r.stop()
	sameTotals(t, whole.totals(t), oracle(events))

	for _, point := range []string{pointPinned, pointRejects, pointRaw, pointUsage} {
		t.Run(point, func(t *testing.T) {
			cfg := cfg
			cfg.Group = point
			m := newMemory()
			for range 2 {
				crashAt(t, cfg, m, point, 2)
			}
			cfg.Limits.Events = 77 // another setting must not cut the pinned range otherwise
			written := m.rawWrites
			pinned := len(m.access)
			r := start(t, cfg, m)
			r.countedTo(t, m)
			r.stop()
			sameTotals(t, m.totals(t), oracle(events))
			m.chained(t)
			if point == pointRaw {
				if pinned == 0 || m.rawWrites-written != len(m.access)-pinned {
					t.Errorf("%d inserts of raw rows for %d ranges that had none", m.rawWrites-written, len(m.access)-pinned)
				}
			}
			// What was pinned before the crash came out as it does without one.
			same := 0
			for r, u := range m.usage {
				if w, ok := whole.usage[r]; ok && !reflect.DeepEqual(u, w) {
					t.Errorf("range %d to %d came out otherwise", r.From, r.To)
				} else if ok {
					same++
				}
			}
			if same < 3 {
				t.Errorf("only %d ranges to compare", same)
			}
		})
	}
}

func TestAStoreThatFailsOnceWhereverItIsAskedChangesNoCount(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(1000)
	values := jsonOf(events)
	produce(t, addr, 0, 0, append(values[:500:500], []byte("no event"))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 100
	failed := map[[24]uintptr]string{} // by the innermost calls
	m.setFail(func(step string) error {
		var place [24]uintptr
		runtime.Callers(1, place[:])
		if _, again := failed[place]; again {
			return nil
		}
		failed[place] = step
		return errors.New("no answer")
	})
	r := start(t, cfg, m)
	r.countedTo(t, m)
	produce(t, addr, 0, 0, values[500:]...)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if c := m.chained(t); c.records != 1001 || c.events != 1000 || c.rejected != 1 {
		t.Errorf("the markers say %+v", c)
	}
	want := []string{"counted", "has raw", "has rejects", "raw", "rejects", "usage"}
	if met := slices.Compact(slices.Sorted(maps.Values(failed))); !slices.Equal(met, want) {
		t.Errorf("these failed: %v, want %v", met, want)
	}
}

func TestAFormerOwnerIsRefused(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(500)
	produce(t, addr, 0, 0, jsonOf(events)...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	former, g, leave := member(t, cfg, m)
	p := former.newPartition(cfg.Topics[0], former.inForce()[0], former.newProgress("access", 0, cfg.Limits), cfg.Limits, g)
	mine := &pin{from: 0, to: 9, day: 20000, by: "x", last: fingerprint{offset: -1}}
	if err := p.fence.commit(t.Context(), mine); err != nil {
		t.Errorf("the owner's commit gave %v", err)
	}
	p.fence.generation--
	if err := p.fence.commit(t.Context(), mine); !errors.Is(err, errFenced) {
		t.Errorf("a commit of a former generation gave %v", err)
	}
	if _, text, err := p.fence.read(t.Context()); err != nil || text != mine.String() {
		t.Errorf("read back %q, %v", text, err)
	}
	if err := p.fence.commit(t.Context(), &pin{from: 0, to: 0, day: 20000, by: "x", last: fingerprint{offset: -1}}); !errors.Is(err, errFenced) {
		t.Errorf("a commit of a former generation gave %v", err)
	}
	p.fence.generation++
	leave() // as if its heartbeats had stayed away
	r := start(t, cfg, m)
	r.countedTo(t, m)
	former.cluster = newCluster(&cfg)
	p.fence.client = &kafka.Client{Addr: kafka.TCP(addr), Transport: former.cluster.commits}
	err := p.fence.commit(t.Context(), &pin{from: 3, to: 9, day: 20000, by: "x", last: fingerprint{offset: -1}})
	if !errors.Is(err, errFenced) {
		t.Errorf("a former owner's commit gave %v", err)
	}
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
}

func TestARangeFinishedUnderAnotherReadingIsMarkedMixed(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(1000))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 300
	crashAt(t, cfg, m, pointRaw, 2)
	cfg.Fingerprint = "the next binary"
	crashAt(t, cfg, m, pointRaw, 1) // even a third attempt knows who pinned it
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	for _, k := range m.markers {
		if want := k.From == 300; k.Mixed != want {
			t.Errorf("the marker from %d says mixed: %t, want %t", k.From, k.Mixed, want)
		}
	}
}

func TestARangeThatTwoReadingsShareStaysMixedWhereTheFirstComesBack(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(600))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 300
	crashAt(t, cfg, m, pointPinned, 2)
	other := cfg
	other.Fingerprint = "the next binary"
	crashAt(t, other, m, pointRaw, 1)
	r := start(t, cfg, m) // the raw rows are the other's, usage is written by this one
	r.countedTo(t, m)
	r.stop()
	for _, k := range m.markers {
		if want := k.From == 300; k.Mixed != want {
			t.Errorf("the marker from %d says mixed: %t, want %t", k.From, k.Mixed, want)
		}
	}
}

// deleteRecords makes the log of partition 0 begin at an offset.
func deleteRecords(t *testing.T, addr string, to int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "access"
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = to
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(t.Context(), client)
	if err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

func TestRecordsThatKafkaNoLongerHasAreMissingInTheMarker(t *testing.T) {
	events := someEvents(1000)
	for name, c := range map[string]struct {
		point   string
		deleted int64
		want    uint64 // events counted
	}{
		"between two batches":              {pointUsage, 700, 700}, // 400 counted, 700 to 1000
		"part of the pinned range":         {pointPinned, 500, 700},
		"the pinned range and some beyond": {pointPinned, 800, 400},
	} {
		t.Run(name, func(t *testing.T) {
			addr := broker(t, kfake.SeedTopics(1, "access"))
			produce(t, addr, 0, 0, jsonOf(events)...)
			m := newMemory()
			cfg := testConfig(addr, "access")
			cfg.Limits.Events = 200
			crashAt(t, cfg, m, c.point, 2)
			deleteRecords(t, addr, c.deleted)
			r := start(t, cfg, m)
			r.countedTo(t, m)
			r.stop()
			if n := m.chained(t); n.events != c.want || n.missing != 1000-c.want {
				t.Errorf("the markers say %+v, want %d events and %d missing", n, c.want, 1000-c.want)
			}
		})
	}
}

func TestATopicMadeAgainStopsThePartitionWithOneClearLine(t *testing.T) {
	events := someEvents(500)
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(events)...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Cluster = "named"
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()

	addr = broker(t, kfake.SeedTopics(1, "access")) // the topic's next incarnation, so far a shorter one
	cfg.Brokers = []string{addr}
	produce(t, addr, 0, 0, jsonOf(events[:300])...)
	r = start(t, cfg, m)
	waitFor(t, "the clear line", func() bool { return strings.Contains(r.log.String(), "this partition stands still") })
	time.Sleep(300 * time.Millisecond)
	r.stop()
	if n := strings.Count(r.log.String(), "this partition stands still"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if n := m.chained(t); n.events != 500 {
		t.Errorf("counted on: %+v", n)
	}
}

func TestAnotherRecordAtTheLastOffsetIsAnotherIncarnation(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(900)
	produce(t, addr, 0, 0, jsonOf(events)...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	fence := &fence{client: &kafka.Client{Addr: kafka.TCP(addr), Transport: &kafka.Transport{}}, group: cfg.Group, topic: "access", generation: -1}
	other := record{offset: 499, time: day1 + 86400_000, value: []byte("another incarnation's record")}
	if err := fence.commit(t.Context(), &pin{from: 500, to: 500, day: 20000, by: "x", last: other.fingerprint()}); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg, m)
	waitFor(t, "the clear line", func() bool { return strings.Contains(r.log.String(), "this partition stands still") })
	r.stop()
	if len(m.markers) != 0 {
		t.Errorf("counted on: %v", m.markers)
	}
}

func TestControlBatchesAreNoRecordsAndNoGaps(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(60)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("access"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 3 {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, e := range events[i*20 : (i+1)*20] {
			r := &kgo.Record{Value: e.json(), Timestamp: time.UnixMilli(day1 + 86400_000)}
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if c := m.chained(t); c.records != 60 || c.missing != 0 || c.rejected != 0 {
		t.Errorf("the markers say %+v", c)
	}
	if p := m.markers[len(m.markers)-1]; p.To != 63 {
		t.Errorf("the last marker ends at %d, want 63", p.To)
	}
}

func TestWhereANewOwnerGoesOn(t *testing.T) {
	p := pin{from: 10, to: 20, day: schema.Day(20000), by: "me", last: fingerprint{offset: 19}}
	settled := pin{from: 20, to: 20, last: fingerprint{offset: 19}}
	f := func(name string, s standing, from int64, redo, start, said bool) {
		t.Helper()
		s.end = 100
		got, err := s.decide()
		if err != nil || got.from != from || (got.redo != nil) != redo || got.start != start || (got.said != "") != said {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	f("a new incarnation and a new group", standing{committed: -1}, 0, false, true, false)
	f("a new incarnation, a group with an offset", standing{committed: 7}, 7, false, false, true)
	f("crashed after the first pin", standing{committed: 10, pinned: true, pin: p}, 10, true, false, false)
	f("crashed after a later pin", standing{vouched: true, counted: 10, committed: 10, pinned: true, pin: p}, 10, true, false, false)
	f("crashed after usage", standing{vouched: true, counted: 20, committed: 10, pinned: true, pin: p}, 20, false, false, false)
	f("stopped in peace", standing{vouched: true, counted: 20, committed: 20, pinned: true, pin: settled}, 20, false, false, false)
	f("a new group", standing{vouched: true, counted: 20, committed: -1}, 20, false, false, true)
	f("offsets reset to the beginning", standing{vouched: true, counted: 20, committed: 0}, 20, false, false, true)
	f("offsets set ahead", standing{vouched: true, counted: 20, committed: 50}, 20, false, false, true)
	f("another group counted past the pin", standing{vouched: true, counted: 40, committed: 10, pinned: true, pin: p}, 40, false, false, true)
	f("another group counted into the pin", standing{vouched: true, counted: 15, committed: 10, pinned: true, pin: p}, 15, false, false, true)
	f("the tables were lost up to before the pin", standing{vouched: true, counted: 5, committed: 10, pinned: true, pin: p}, 5, false, false, true)
	for _, s := range []standing{
		{vouched: true, counted: 20, committed: 20, end: 19},
		{vouched: true, counted: 10, committed: 10, pinned: true, pin: p, end: 19},
		{committed: 20, end: 19},
	} {
		if _, err := s.decide(); !errors.Is(err, errOtherIncarnation) {
			t.Errorf("%+v: %v, want another incarnation", s, err)
		}
	}
}

func TestTheStartIsKeptBeforeAnythingIsRead(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(300)
	produce(t, addr, 0, 0, jsonOf(events[:100])...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Start.At = Latest
	c, g, leave := member(t, cfg, m)
	if next, err := c.newPartition(cfg.Topics[0], c.inForce()[0], c.newProgress("access", 0, cfg.Limits), cfg.Limits, g).takeOver(t.Context()); err != nil || next.from != 100 {
		t.Fatal(next, err)
	}
	leave() // it dies here, and what comes meanwhile is not skipped
	produce(t, addr, 0, 0, jsonOf(events[100:])...)
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events[100:]))
}

func TestAMissedDeadlineEndsTheLastFlush(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	longer, release := outlive(ctx, 50*time.Millisecond)
	defer release()
	stop()
	if longer.Err() != nil {
		t.Error("it ended with the context that it should outlive")
	}
	select {
	case <-longer.Done():
	case <-time.After(5 * time.Second):
		t.Error("it never ended")
	}
}
