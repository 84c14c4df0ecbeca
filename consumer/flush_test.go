package consumer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/overreach/overreach/schema"
)

// madeAnew makes a topic of one partition anew.
func madeAnew(t *testing.T, addr, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	gone := kmsg.NewDeleteTopicsRequest()
	name := kmsg.NewDeleteTopicsRequestTopic()
	name.Topic = &topic
	gone.TopicNames, gone.Topics = []string{topic}, append(gone.Topics, name)
	if _, err := gone.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	again := kmsg.NewCreateTopicsRequest()
	of := kmsg.NewCreateTopicsRequestTopic()
	of.Topic, of.NumPartitions, of.ReplicationFactor = topic, 1, 1
	again.Topics = append(again.Topics, of)
	res, err := again.RequestWith(t.Context(), client)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

func TestABatchIsNotPinnedOnceItsTopicWasMadeAgain(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(300))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	c, g, _ := member(t, cfg, m)
	p := c.newPartition(cfg.Topics[0], c.inForce()[0], c.newProgress("access", 0, cfg.Limits), cfg.Limits, g)
	if _, err := p.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.batch.open(0)
	ch, _, err := p.next(t.Context())
	if err != nil || len(ch.records) == 0 {
		t.Fatal(len(ch.records), err)
	}
	if err := p.take(t.Context(), &ch); err != nil {
		t.Fatal(err)
	}
	madeAnew(t, addr, "access")
	produce(t, addr, 0, 0, jsonOf(someEvents(400))...) // as long as before, and longer
	if err := p.flush(t.Context()); !errors.Is(err, errOtherIncarnation) {
		t.Errorf("the flush gave %v", err)
	}
	_, text, err := p.fence.read(t.Context())
	if pinned, is := parsePin(0, text); err != nil || is && pinned.to > 0 {
		t.Errorf("pinned all the same: %q, %v", text, err)
	}
	if n := m.chained(t); n.records != 0 || len(m.access) != 0 {
		t.Errorf("counted all the same: %+v", n)
	}
}

// forgetful is a Store whose first answer to each insert is lost, and that knows
// no token any more when the insert is made again.
type forgetful struct {
	*memory
	t     *testing.T
	known map[string]map[schema.Range]bool
}

func (f *forgetful) insert(table string, r schema.Range, err error) error {
	if f.known[table] == nil {
		f.known[table] = map[schema.Range]bool{}
	}
	if err != nil {
		return err
	}
	if f.known[table][r] {
		f.t.Errorf("the rows from %d to %d are twice in %s", r.From, r.To, table)
		return nil
	}
	f.known[table][r] = true
	return errors.New("the answer is lost")
}

func (f *forgetful) InsertAccess(ctx context.Context, r schema.Range, rows *schema.AccessRows) error {
	return f.insert("access_events", r, f.memory.InsertAccess(ctx, r, rows))
}

func (f *forgetful) InsertRejects(ctx context.Context, r schema.Range, rows *schema.RejectRows) error {
	return f.insert("rejects", r, f.memory.InsertRejects(ctx, r, rows))
}

func (f *forgetful) InsertUsage(ctx context.Context, k schema.Marker, rows *schema.UsageRows) error {
	if k.From == k.To { // where reading begins
		return f.memory.InsertUsage(ctx, k, rows)
	}
	return f.insert("usage", k.Range, f.memory.InsertUsage(ctx, k, rows))
}

func TestAnInsertWhoseAnswerWasLostIsLookedForAndNotMadeAgain(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(600)
	produce(t, addr, 0, 0, append(jsonOf(events), []byte("garbage"))...)
	m := &forgetful{memory: newMemory(), t: t, known: map[string]map[schema.Range]bool{}}
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 250
	r := start(t, cfg, m)
	r.countedTo(t, m.memory)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if len(m.known["access_events"]) != 3 || len(m.known["usage"]) != 3 || len(m.known["rejects"]) != 1 {
		t.Errorf("inserts: %v", m.known)
	}
}

func TestThePinNamesTheLastRecordOfABatchThatFillsInTheMiddleOfAChunk(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	values := jsonOf(someEvents(1000)) // one chunk
	produce(t, addr, 0, 0, values...)
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 150
	for nth := 1; nth <= 3; nth++ {
		cfg.Group = "to " + string(rune('0'+nth))
		m := newMemory()
		crashAt(t, cfg, m, pointPinned, nth)
		f := &fence{client: &kafka.Client{Addr: kafka.TCP(addr), Transport: &kafka.Transport{}}, group: cfg.Group, topic: "access", generation: -1}
		from, text, err := f.read(t.Context())
		got, is := parsePin(from, text)
		end := int64(150 * nth)
		want := record{offset: end - 1, time: day1 + 86400_000, value: values[end-1]}
		if err != nil || !is || got.to != end || got.last != want.fingerprint() {
			t.Errorf("pin %d is %q, %v; want it to end with %+v", nth, text, err, want.fingerprint())
		}
	}
}

// answering has a broker answer fetches in another way than it would; nil: as it
// would.
func answering(t *testing.T, c *kfake.Cluster, answer func(offset int64, version int16) *kmsg.FetchResponseTopicPartition) {
	t.Helper()
	c.ControlKey(int16(kmsg.Fetch), func(k kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := k.(*kmsg.FetchRequest)
		p := answer(req.Topics[0].Partitions[0].FetchOffset, req.Version)
		if p == nil {
			return nil, nil, false
		}
		res := kmsg.NewFetchResponse()
		res.Version = req.Version
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.Partitions = req.Topics[0].Topic, []kmsg.FetchResponseTopicPartition{*p}
		res.Topics = append(res.Topics, topic)
		return &res, nil, true
	})
}

func kfakeCluster(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "access"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWhoeverRefusesOrIsAwayIsNeverPassed(t *testing.T) {
	// Few at a time: after each error the pause before the next try doubles.
	for name, codes := range map[string][]int16{
		"not authorised, unknown topic, another leader, timed out": {29, 3, 6, 7},
		"disk, unknown error, fenced, transaction state":           {56, -1, 74, 48},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := kfakeCluster(t)
			addr := c.ListenAddrs()[0]
			events := someEvents(300)
			produce(t, addr, 0, 0, jsonOf(events)...)
			n := 0
			answering(t, c, func(int64, int16) *kmsg.FetchResponseTopicPartition {
				if n++; n > len(codes) {
					return nil
				}
				p := kmsg.NewFetchResponseTopicPartition()
				p.ErrorCode, p.HighWatermark, p.LastStableOffset = codes[n-1], -1, -1
				return &p
			})
			m := newMemory()
			cfg := testConfig(addr, "access")
			cfg.UnreadableAfter = time.Millisecond
			r := start(t, cfg, m)
			r.countedTo(t, m)
			r.stop()
			sameTotals(t, m.totals(t), oracle(events))
			if c := m.chained(t); c.unreadable != 0 || n <= len(codes) {
				t.Errorf("the markers say %+v after %d fetches", c, n)
			}
		})
	}
}

func TestRecordsOfAnOldFormatArePassedUpToTheFirstOfALaterOne(t *testing.T) {
	c := kfakeCluster(t)
	addr := c.ListenAddrs()[0]
	events := someEvents(300)
	values := jsonOf(events)
	for i := range 3 {
		produce(t, addr, 0, 0, values[i*100:(i+1)*100]...)
	}
	magic := byte(0)
	answering(t, c, func(offset int64, _ int16) *kmsg.FetchResponseTopicPartition {
		if offset >= 200 {
			return nil
		}
		old := rawBatch(offset/100*100, 0, 0, "a message of an old format")
		old[magicAt] = magic
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.RecordBatches = 300, 300, old
		return &p
	})
	for magic = range byte(2) {
		m := newMemory()
		cfg := testConfig(addr, "access")
		cfg.Group = "of " + string(rune('0'+magic))
		cfg.UnreadableAfter = time.Millisecond
		r := start(t, cfg, m)
		r.countedTo(t, m)
		r.stop()
		sameTotals(t, m.totals(t), oracle(events[200:]))
		if k := m.markers[1]; k.From != 0 || k.To != 200 || k.Unreadable != 200 || len(k.Why) != 1 || k.Why[0] != string(oldFormat) {
			t.Errorf("the marker is %+v", k)
		}
	}
}
