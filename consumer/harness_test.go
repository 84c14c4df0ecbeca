package consumer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

var testKey = HashKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}

// memory is a Store that keeps everything, and drops a repeated insert of a
// range as ClickHouse does while it knows the token.
type memory struct {
	mu        sync.Mutex
	access    map[schema.Range]schema.AccessRows
	rejects   map[schema.Range]schema.RejectRows
	usage     map[schema.Range]schema.UsageRows
	markers   []schema.Marker
	rawWrites int // inserts of raw rows that were tried
	skips     map[schema.Partition]int64
	fail      func(step string) error
}

func newMemory() *memory {
	return &memory{
		access:  map[schema.Range]schema.AccessRows{},
		rejects: map[schema.Range]schema.RejectRows{},
		usage:   map[schema.Range]schema.UsageRows{},
	}
}

func (m *memory) step(name string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(name)
}

func (m *memory) setFail(f func(step string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *memory) Counted(_ context.Context, p schema.Partition) (to int64, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.markers {
		if k.Partition == p {
			to, ok = max(to, k.To), true
		}
	}
	return to, ok, m.step("counted")
}

func (m *memory) HasRaw(_ context.Context, r schema.Range) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.access[r]
	return ok, m.step("has raw")
}

func (m *memory) HasRejects(_ context.Context, r schema.Range) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rejects[r]
	return ok, m.step("has rejects")
}

func (m *memory) Skips(_ context.Context, p schema.Partition, offset int64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, is := m.skips[p]
	return is && at == offset, m.step("skips")
}

func (m *memory) InsertAccess(_ context.Context, r schema.Range, rows *schema.AccessRows) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("raw"); err != nil {
		return err
	}
	m.rawWrites++
	if _, ok := m.access[r]; ok {
		return nil
	}
	m.access[r] = schema.AccessRows{
		Offset: slices.Clone(rows.Offset), Item: slices.Clone(rows.Item), Time: slices.Clone(rows.Time),
		Partner: slices.Clone(rows.Partner), App: slices.Clone(rows.App), Capability: slices.Clone(rows.Capability),
		Action: slices.Clone(rows.Action), Subject: slices.Clone(rows.Subject), Actor: slices.Clone(rows.Actor),
		ID: slices.Clone(rows.ID), APIVersion: slices.Clone(rows.APIVersion), Grant: slices.Clone(rows.Grant),
		Status: slices.Clone(rows.Status), Records: slices.Clone(rows.Records), Bytes: slices.Clone(rows.Bytes),
	}
	return nil
}

func (m *memory) InsertRejects(_ context.Context, r schema.Range, rows *schema.RejectRows) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("rejects"); err != nil {
		return err
	}
	m.rejects[r] = *rows // the consumer makes new ones for each batch
	return nil
}

func (m *memory) InsertUsage(_ context.Context, k schema.Marker, rows *schema.UsageRows) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("usage"); err != nil {
		return err
	}
	if _, ok := m.usage[k.Range]; ok {
		return nil
	}
	m.markers = append(m.markers, k)
	deep := func(states [][]byte) [][]byte {
		c := make([][]byte, len(states))
		for i := range states {
			c[i] = bytes.Clone(states[i])
		}
		return c
	}
	m.usage[k.Range] = schema.UsageRows{
		Resolution: slices.Clone(rows.Resolution), Bucket: slices.Clone(rows.Bucket),
		Partner: slices.Clone(rows.Partner), App: slices.Clone(rows.App), Capability: slices.Clone(rows.Capability),
		Action:   slices.Clone(rows.Action),
		Accesses: slices.Clone(rows.Accesses), Attempts: slices.Clone(rows.Attempts),
		Records: slices.Clone(rows.Records), Bytes: slices.Clone(rows.Bytes),
		FirstAccess: slices.Clone(rows.FirstAccess), LastAccess: slices.Clone(rows.LastAccess),
		FirstAttempt: slices.Clone(rows.FirstAttempt), LastAttempt: slices.Clone(rows.LastAttempt),
		Subjects: deep(rows.Subjects), Actors: deep(rows.Actors), Bystanders: deep(rows.Bystanders),
	}
	return nil
}

// bucketKey is what usage is compared by, summed over ranges and partitions.
type bucketKey struct {
	schema.UsageKey
	resolution schema.Resolution
	bucket     int64
}

// total is the usage of a bucket, with its states as bytes.
type total struct {
	schema.Counters
	Subjects, Actors, Bystanders string
}

type sums struct {
	schema.Counters
	subjects, actors, bystanders window.Sketch
}

func (s *sums) total() total {
	return total{s.Counters, string(s.subjects.MarshalAppend(nil)), string(s.actors.MarshalAppend(nil)), string(s.bystanders.MarshalAppend(nil))}
}

// totals adds up all usage rows of some incarnations, all where none is named.
func (m *memory) totals(t *testing.T) map[bucketKey]total {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[bucketKey]*sums{}
	for _, u := range m.usage {
		for i := range u.Bucket {
			k := bucketKey{schema.UsageKey{Partner: u.Partner[i], App: u.App[i], Capability: u.Capability[i], Action: u.Action[i]}, u.Resolution[i], u.Bucket[i]}
			if all[k] == nil {
				all[k] = &sums{}
			}
			s := all[k]
			s.Add(&schema.Counters{
				Accesses: u.Accesses[i], Attempts: u.Attempts[i], Records: u.Records[i], Bytes: u.Bytes[i],
				FirstAccess: u.FirstAccess[i], LastAccess: u.LastAccess[i], FirstAttempt: u.FirstAttempt[i], LastAttempt: u.LastAttempt[i],
			})
			if err := errors.Join(s.subjects.MergeBytes(u.Subjects[i]), s.actors.MergeBytes(u.Actors[i]), s.bystanders.MergeBytes(u.Bystanders[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := map[bucketKey]total{}
	for k, s := range all {
		out[k] = s.total()
	}
	return out
}

// testEvent is an event as a producer writes it.
type testEvent struct {
	Time       int64  `json:"time"`
	ID         string `json:"id,omitempty"`
	Partner    string `json:"partner"`
	App        string `json:"app,omitempty"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Subject    string `json:"subject"`
	Actor      string `json:"actor,omitempty"`
	Status     int32  `json:"status,omitempty"`
	Records    int64  `json:"records,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
}

func (e *testEvent) json() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

// day1 is when the tests' events begin: 2018-12-18, 23:00.
const day1 = int64(1545174000_000)

// someEvents makes n events of a few partners, out of order, over some hours
// around midnight; the same n always gives the same.
func someEvents(n int) []testEvent {
	events := make([]testEvent, n)
	x := uint64(1)
	next := func(below uint64) uint64 { // a small generator, the same in every Go version
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return x % below
	}
	for i := range events {
		e := testEvent{
			Time:    day1 + int64(i)*97 + int64(next(3*3600_000)),
			ID:      fmt.Sprintf("e%d", i),
			Partner: fmt.Sprintf("partner-%d", next(5)), App: fmt.Sprintf("app-%d", next(3)),
			Capability: []string{"messaging", "friends"}[next(2)], Action: []string{"read", "write", "delete"}[next(3)],
			Subject: fmt.Sprintf("user-%d", next(uint64(n))), Records: int64(next(9)), Bytes: int64(next(999)),
		}
		switch next(4) {
		case 0:
			e.Actor = e.Subject
		case 1, 2:
			e.Actor = fmt.Sprintf("user-%d", next(50))
		}
		if next(10) == 0 {
			e.Status = []int32{401, 403, 429, 503}[next(4)]
		}
		events[i] = e
	}
	return events
}

// oracle counts events naively, each into its three buckets.
func oracle(events []testEvent) map[bucketKey]total {
	all := map[bucketKey]*sums{}
	for i := range events {
		e := &events[i]
		action, err := schema.ParseAction(e.Action)
		if err != nil {
			panic(err)
		}
		for _, r := range []schema.Resolution{schema.Minute, schema.Hourly, schema.Daily} {
			k := bucketKey{schema.UsageKey{Partner: e.Partner, App: e.App, Capability: e.Capability, Action: action}, r,
				e.Time / 1000 / r.Seconds() * r.Seconds()}
			if all[k] == nil {
				all[k] = &sums{}
			}
			s := all[k]
			if e.Status != 0 {
				s.Add(&schema.Counters{Attempts: 1, FirstAttempt: e.Time, LastAttempt: e.Time})
				continue
			}
			s.Add(&schema.Counters{Accesses: 1, Records: uint64(e.Records), Bytes: uint64(e.Bytes), FirstAccess: e.Time, LastAccess: e.Time})
			s.subjects.Add(testKey.hash([]byte(e.Subject)))
			if r == schema.Daily && e.Actor != "" {
				s.actors.Add(testKey.hash([]byte(e.Actor)))
				if e.Actor != e.Subject {
					s.bystanders.Add(testKey.hash([]byte(e.Subject)))
				}
			}
		}
	}
	out := map[bucketKey]total{}
	for k, s := range all {
		out[k] = s.total()
	}
	return out
}

func sameTotals(t *testing.T, got, want map[bucketKey]total) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for k, w := range want {
		if g := got[k]; g != w {
			t.Errorf("%v %s %d: counted %+v, want %+v (and maybe more)", k.UsageKey, k.resolution, k.bucket, g.Counters, w.Counters)
			break
		}
	}
	t.Fatalf("%d buckets, want %d", len(got), len(want))
}

// chained checks that the markers of every partition form a chain, and returns
// their sums.
func (m *memory) chained(t *testing.T) counts {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	byPartition := map[schema.Partition][]schema.Marker{}
	var c counts
	for _, k := range m.markers {
		byPartition[k.Partition] = append(byPartition[k.Partition], k)
		c.records += k.Records
		c.events += k.Events
		c.missing += k.Missing
		c.unreadable += k.Unreadable
		c.rejected += k.Rejected
		c.filtered += k.Filtered
		if k.Records+k.Missing+k.Unreadable > uint64(k.To-k.From) || (k.Unreadable > 0) != (len(k.Why) > 0) {
			t.Fatalf("%v: the marker from %d to %d says %d records, %d missing and %d unreadable %q", k.Partition, k.From, k.To, k.Records, k.Missing, k.Unreadable, k.Why)
		}
	}
	for p, ks := range byPartition {
		slices.SortFunc(ks, func(a, b schema.Marker) int { return cmp.Compare(a.From, b.From) })
		for i := 1; i < len(ks); i++ {
			if ks[i].From != ks[i-1].To {
				t.Fatalf("%v: a marker ends at %d, the next begins at %d", p, ks[i-1].To, ks[i].From)
			}
		}
	}
	return c
}

// broker starts a broker in this process and returns its address; while
// TestOnAnApacheKafka runs it is the real one's, with a new topic.
func broker(t testing.TB, opts ...kfake.Opt) string {
	t.Helper()
	if apache != nil {
		return apache.renewed()
	}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// produce writes values to a partition of the topic access, in order.
func produce(t testing.TB, addr string, partition int, compression kafka.Compression, values ...[]byte) {
	t.Helper()
	produceTo(t, addr, "access", partition, compression, values...)
}

func produceTo(t testing.TB, addr, topic string, partition int, compression kafka.Compression, values ...[]byte) {
	t.Helper()
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	for len(values) > 0 {
		n, size := 0, 0
		for n < len(values) && (n == 0 || size+len(values[n]) < 700_000) {
			size += len(values[n]) + 50
			n++
		}
		var records []kafka.Record
		for _, v := range values[:n] {
			records = append(records, kafka.Record{Value: kafka.NewBytes(v), Time: time.UnixMilli(day1 + 86400_000)})
		}
		res, err := client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Compression: compression,
			Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			t.Fatal(err)
		}
		values = values[n:]
	}
}

func jsonOf(events []testEvent) [][]byte {
	values := make([][]byte, len(events))
	for i := range events {
		values[i] = events[i].json()
	}
	return values
}

func testConfig(addr string, topics ...string) Config {
	c := Config{
		Brokers: []string{addr}, Group: "overreach", Start: Start{At: Earliest},
		Limits: DefaultLimits(), TimeLimits: schema.DefaultTimeLimits(), HashKey: testKey, Fingerprint: "test",
	}
	c.Limits.Age = 100 * time.Millisecond
	for _, name := range topics {
		c.Topics = append(c.Topics, Topic{Name: name})
	}
	return c
}

// running is a Consumer that runs until stopped, and what it logged.
type running struct {
	*Consumer
	log  *syncBuffer
	stop func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newTestConsumer(cfg Config, store Store) (*Consumer, *syncBuffer) {
	log := &syncBuffer{}
	c := New(cfg, store, zerolog.New(log), NewMetrics(prometheus.NewRegistry()))
	c.lastFlush = time.Second
	c.pace = 50 * time.Millisecond
	return c, log
}

func start(t *testing.T, cfg Config, store Store) *running {
	t.Helper()
	c, log := newTestConsumer(cfg, store)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(15 * time.Second):
			t.Error("Run did not return in time")
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			_, _ = io.Copy(t.Output(), strings.NewReader(log.String()))
		}
	})
	return &running{c, log, stop}
}

// countedTo waits until the markers reach the end of every partition.
func (r *running) countedTo(t *testing.T, m *memory) {
	t.Helper()
	waitFor(t, "the markers to reach the ends", func() bool {
		ends, err := r.Ends(t.Context())
		if err != nil {
			return false
		}
		for p, end := range ends {
			if to, ok, _ := m.Counted(t.Context(), p); end > 0 && (!ok || to < end) {
				return false
			}
		}
		return true
	})
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
