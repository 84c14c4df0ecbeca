package judge_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
	"github.com/overreach/overreach/store/naive"
)

const topic = "access"

// engine is where the runs of a test keep what they write, each apart: a
// ClickHouse, or maps where it has no address.
type engine struct {
	addr string
	runs atomic.Int32
}

// inMaps runs a test with maps in the place of ClickHouse, which takes seconds: what
// is in question is the judge alone. Tests of store hold ClickHouse's answers against
// those of the maps.
func inMaps(t *testing.T, test func(t *testing.T, e *engine)) { test(t, &engine{}) }

// onBoth runs a test in maps and in ClickHouse.
func onBoth(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Run("in maps", func(t *testing.T) {
		t.Parallel()
		test(t, &engine{})
	})
	t.Run("in ClickHouse", func(t *testing.T) {
		t.Parallel()
		test(t, startEngine(t))
	})
}

func startEngine(t *testing.T) *engine {
	addr, _ := embeddedtest.Engine(t)
	return &engine{addr: addr}
}

// tables is what runs read and write.
type tables interface {
	judge.Store
	consumer.Store
	SaveRegistry(ctx context.Context, r *registry.Registry, canonical []byte) (ordinal uint32, err error)
	Close() error
}

// open makes the tables of one more run.
func (e *engine) open(t *testing.T) tables {
	t.Helper()
	if e.addr == "" {
		return naive.New()
	}
	cfg := store.Config{Addresses: []string{e.addr}, Database: fmt.Sprintf("run_%d", e.runs.Add(1)), Username: "default", Password: embeddedtest.Password}
	if err := store.CreateDatabase(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// run is one way of the log through broker, consumer and judge.
type run struct {
	t        *testing.T
	store    tables
	consumer *consumer.Consumer
	client   *kafka.Client
	parts    int
	produced int
	registry atomic.Pointer[ruling]
	stop     func()
}

type ruling struct {
	registry *registry.Registry
	ordinal  uint32
}

// start starts broker and consumer for a topic of so many partitions and batches
// of so many events, with wholeRegistry in force.
func (e *engine) start(t *testing.T, partitions, events int) *run {
	t.Helper()
	return e.startThrough(t, partitions, events, func(st tables) consumer.Store { return st })
}

// startThrough is start with a store of the test between consumer and tables.
func (e *engine) startThrough(t *testing.T, partitions, events int, through func(tables) consumer.Store) *run {
	t.Helper()
	st := e.open(t)
	broker := embeddedtest.Broker(t, map[string]int32{topic: int32(partitions)})
	transport := &kafka.Transport{}
	r := &run{t: t, store: st, parts: partitions, client: &kafka.Client{Addr: kafka.TCP(broker.Addr()), Transport: transport}}
	r.rule(wholeRegistry)

	limits := consumer.DefaultLimits()
	limits.Events, limits.Age = events, 50*time.Millisecond
	r.consumer = consumer.New(consumer.Config{
		Brokers: []string{broker.Addr()}, Group: "overreach", Topics: []consumer.Topic{{Name: topic}},
		Start: consumer.Start{At: consumer.Earliest}, Limits: limits, TimeLimits: schema.DefaultTimeLimits(),
		HashKey: consumer.HashKey{1, 2}, Fingerprint: "test",
	}, through(st), zerolog.Nop(), consumer.NewMetrics(prometheus.NewRegistry()))
	r.consumer.Drain()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the consumer ended with %v", err)
		}
		transport.CloseIdleConnections()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { r.stop() })
	go func() { done <- r.consumer.Run(ctx) }()
	return r
}

// rule puts a registry in force.
func (r *run) rule(text string) {
	r.t.Helper()
	registry := parse(r.t, text)
	ordinal, err := r.store.SaveRegistry(r.t.Context(), registry, registry.Canonical())
	if err != nil {
		r.t.Fatal(err)
	}
	r.registry.Store(&ruling{registry, ordinal})
}

// produce writes events to the partitions that choose names.
func (r *run) produce(log []event, choose func(i int) int) {
	r.t.Helper()
	byPartition := make([][]kafka.Record, r.parts)
	late := logEnd.AddDate(0, 0, 1)
	for i, v := range values(r.t, log) {
		p := choose(i)
		byPartition[p] = append(byPartition[p], kafka.Record{Value: kafka.NewBytes(v), Time: late})
	}
	for p, records := range byPartition {
		for len(records) > 0 {
			some := records[:min(len(records), 5000)]
			records = records[len(some):]
			res, err := r.client.Produce(r.t.Context(), &kafka.ProduceRequest{
				Topic: topic, Partition: p, RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, Records: kafka.NewRecordReader(some...),
			})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.produced += len(log)
}

// spread shares events out among partitions, whatever their partner.
func spread(partitions int) func(i int) int {
	return func(i int) int { return int(uint32(i) * 2654435761 >> 8 % uint32(partitions)) }
}

// incarnation is the incarnation of the topic that is read.
func (r *run) incarnation() string {
	r.t.Helper()
	incarnations, err := r.consumer.Incarnations(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return incarnations[0].Name
}

// counted returns how many items are counted.
func (r *run) counted() (events uint64) {
	r.t.Helper()
	extents, err := r.store.Extents(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range extents {
		events += e.Events + e.Rejected
	}
	return events
}

// awaitCounted waits until all that was produced is counted, and calls meanwhile
// again and again.
func (r *run) awaitCounted(meanwhile func()) {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); r.counted() < uint64(r.produced); {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d of %d events are counted after a minute", r.counted(), r.produced)
		}
		meanwhile()
	}
}

func idle() { time.Sleep(10 * time.Millisecond) }

// kafkaLog is what the judge knows of the broker.
type kafkaLog struct {
	*consumer.Consumer
	slots []uint8
}

func (k kafkaLog) Slots() []uint8 { return k.slots }

// slots are those of one judge of several.
func slots(judge, of int) []uint8 {
	var some []uint8
	for s := range schema.Slots {
		if s%of == judge {
			some = append(some, uint8(s))
		}
	}
	return some
}

// judge makes judge i of n.
func (r *run) judge(st judge.Store, i, n int) *judge.Judge {
	cfg := judge.Config{Lateness: lateness, MaxUnregistered: 10, MaxApps: 20}
	return judge.New(cfg, st, kafkaLog{r.consumer, slots(i, n)}, func() (*registry.Registry, uint32) {
		now := r.registry.Load()
		return now.registry, now.ordinal
	}, func([]schema.FindingChange) {}, judge.NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
}

func (r *run) round(j *judge.Judge) {
	r.t.Helper()
	if err := j.Round(r.t.Context(), true); err != nil {
		r.t.Fatal(err)
	}
}

// drain judges to the end.
func (r *run) drain(j *judge.Judge) {
	r.t.Helper()
	ends, err := r.consumer.Ends(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := j.Drain(r.t.Context(), ends); err != nil {
		r.t.Fatal(err)
	}
}

// findings are the log half of all findings.
func (r *run) findings() []schema.Finding {
	r.t.Helper()
	found, err := r.store.Findings(r.t.Context(), schema.FindingsQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	all := make([]schema.Finding, len(found))
	for i := range found {
		all[i] = found[i].Finding
	}
	return all
}

// scores sums each series of scores up in a line: how many there are, and a hash of all that
// they say. There are too many to be compared one by one in ClickHouse's answers.
func (r *run) scores() []string {
	r.t.Helper()
	if st, ok := r.store.(*naive.Store); ok {
		type sum struct{ n, hash uint64 }
		series := map[string]sum{}
		for _, s := range st.Scores() {
			name := fmt.Sprintf("%s\t%s\t%s\t%s", s.Detector, s.Partner, s.Capability, s.Metric)
			h := fnv.New64a()
			_, _ = fmt.Fprint(h, s.App, s.Action, s.Bucket, s.Step, s.Observed, s.Expected, s.Low, s.High, s.Chance, s.Score, s.Threshold, s.Maturity) // it never fails
			series[name] = sum{series[name].n + 1, series[name].hash + h.Sum64()}
		}
		var lines []string
		for name, s := range series {
			lines = append(lines, fmt.Sprintf("%s\t%d\t%d", name, s.n, s.hash))
		}
		slices.Sort(lines)
		return lines
	}
	return strings.Split(r.ask(`SELECT detector, partner, capability, metric, count(), sum(cityHash64(app, action, bucket, resolution,
		observed, expected, low, high, chance, score, threshold, maturity)) FROM scores FINAL GROUP BY ALL ORDER BY ALL`), "\n")
}

// newPeople are the scores of new people: capability, second of the day's start and how
// many were new, parted by tabs.
func (r *run) newPeople() string {
	r.t.Helper()
	st, ok := r.store.(*naive.Store)
	if !ok {
		return r.ask("SELECT capability, toUnixTimestamp(bucket), observed FROM scores FINAL WHERE metric = 'new_people' ORDER BY ALL")
	}
	var b strings.Builder
	for _, s := range st.Scores() {
		if s.Metric == "new_people" {
			_, _ = fmt.Fprintf(&b, "%s\t%d\t%v\n", s.Capability, s.Bucket, s.Observed) // it never fails
		}
	}
	return b.String()
}

// ask returns the rows of a query, where the run is kept in ClickHouse.
func (r *run) ask(sql string) string {
	r.t.Helper()
	var b strings.Builder
	if err := r.store.(*store.Store).Query(r.t.Context(), sql, &b, store.TSV); err != nil {
		r.t.Fatal(err)
	}
	_, rows, _ := strings.Cut(b.String(), "\n")
	return rows
}

// told are the changes of each finding, by id, in the order in which they were
// told, each as change, severity and state.
func (r *run) told() map[string][][3]string {
	r.t.Helper()
	told := map[string][][3]string{}
	if st, ok := r.store.(*naive.Store); ok {
		for _, c := range st.Changes() {
			id := c.Finding.ID()
			told[id] = append(told[id], [3]string{string(c.Kind), string(c.Finding.Severity), string(c.Finding.State)})
		}
		return told
	}
	for line := range strings.Lines(r.ask("SELECT id, change, severity, state FROM finding_changes ORDER BY id, reported, offsets, registry_ordinal, watermark")) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		told[fields[0]] = append(told[fields[0]], [3]string(fields[1:4]))
	}
	return told
}

// errKilled is how a killed judge ends.
var errKilled = errors.New("killed")

// killing is a store whose process dies: from the n-th write on nothing is
// written any more, and the context of the caller ends.
type killing struct {
	tables
	left *int
	kill context.CancelCauseFunc
}

func (k killing) dies() error {
	if *k.left--; *k.left < 0 {
		k.kill(errKilled)
		return errKilled
	}
	return nil
}

func (k killing) WriteFindings(ctx context.Context, f []schema.Finding, v schema.Version) error {
	if err := k.dies(); err != nil {
		return err
	}
	return k.tables.WriteFindings(ctx, f, v)
}

func (k killing) WriteChanges(ctx context.Context, c []schema.FindingChange) error {
	if err := k.dies(); err != nil {
		return err
	}
	return k.tables.WriteChanges(ctx, c)
}

func (k killing) WriteScores(ctx context.Context, s []schema.Score, v schema.Version) error {
	if err := k.dies(); err != nil {
		return err
	}
	return k.tables.WriteScores(ctx, s, v)
}

func (k killing) WriteJudged(ctx context.Context, p []schema.Position) error {
	if err := k.dies(); err != nil {
		return err
	}
	return k.tables.WriteJudged(ctx, p)
}
