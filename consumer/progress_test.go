package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/schema"
)

func TestRetentionIsNearWhereItHasBegunAndLessThanATenthLiesBetween(t *testing.T) {
	f := func(first, next, end int64, want bool) {
		t.Helper()
		if got := near(logBounds{first: first, end: end}, next); got != want {
			t.Errorf("log [%d, %d), next %d: near %t, want %t", first, end, next, got, want)
		}
	}
	f(0, 0, 1000, false) // nothing was deleted yet
	f(0, 50, 1000, false)
	f(1000, 1000, 2000, true)
	f(1000, 1099, 2000, true)
	f(1000, 1100, 2000, false)
	f(1000, 900, 2000, true)   // it has come
	f(1000, 1000, 1000, false) // nothing is left to lose
	f(1000, 2000, 2000, false)
	f(1999, 2000, 2000, false)
}

// gauges returns what a collector exports, by its labels as a line: name=value,….
func gauges(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			values[strings.Join(labels, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// becomes waits until a gauge has a value.
func becomes(t *testing.T, what string, c prometheus.Collector, labels string, want float64) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s{%s} to be %v", what, labels, want), func() bool {
		got, ok := gauges(t, c)[labels]
		return ok && got == want
	})
}

func TestNobodyIsWarnedOfRetentionWhereTheBrokerForgetsWhatIsCounted(t *testing.T) {
	t.Parallel() // it waits most of its time
	const first = "partition=0,topic=access"
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(1500))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Forgets, cfg.Limits.Events = true, 100
	m.setFail(func(step string) error {
		if step == "raw" {
			return errors.New("no answer")
		}
		return nil
	})
	r := start(t, cfg, m)
	becomes(t, "lag", r.metrics.lag, first, 1500)
	deleteRecords(t, addr, 150)
	becomes(t, "headroom", r.metrics.headroom, first, -150)
	becomes(t, "near", r.metrics.near, first, 0)
	if strings.Contains(r.log.String(), "not far behind where it is read") {
		t.Error("it warns of retention, but it deletes the records itself")
	}
	m.setFail(nil)
	r.stop()
}

func TestWhileClickHouseIsAwayLagAndRetentionAreWatchedAndLossesSaidAtTheTime(t *testing.T) {
	t.Parallel() // it waits most of its time
	const first, second = "partition=0,topic=access", "partition=1,topic=access"
	addr := broker(t, kfake.SeedTopics(2, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(200))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 100 // half of what one fetch brings
	m.setFail(func(step string) error {
		if step == "raw" {
			return errors.New("no answer")
		}
		return nil
	})
	r := start(t, cfg, m)
	becomes(t, "lag", r.metrics.lag, first, 200)
	becomes(t, "headroom", r.metrics.headroom, first, 0)
	becomes(t, "near", r.metrics.near, first, 0) // nothing was deleted yet

	produce(t, addr, 0, 0, jsonOf(someEvents(1300))...)
	becomes(t, "lag", r.metrics.lag, first, 1500)
	deleteRecords(t, addr, 150) // of what is read and held, in the batch or behind it
	becomes(t, "headroom", r.metrics.headroom, first, -150)
	becomes(t, "near", r.metrics.near, first, 1)
	if log := r.log.String(); strings.Count(log, "not far behind where it is read") != 1 || strings.Contains(log, "never read") {
		t.Error("expected one warning that retention comes near, and nothing is lost while it is held here")
	}
	deleteRecords(t, addr, 600)
	waitFor(t, "the loss to be said", func() bool { return strings.Contains(r.log.String(), `"lost":400`) })
	deleteRecords(t, addr, 700)
	becomes(t, "headroom", r.metrics.headroom, first, -700)
	if n := strings.Count(r.log.String(), "that were never read"); n != 1 {
		t.Errorf("said %d times that records were lost", n)
	}
	stalls := r.Report().Stalls
	if len(stalls) != 1 || stalls[0].What != "access/0" || stalls[0].Why != "waits for ClickHouse: other; Kafka has deleted 500 records that were never read" {
		t.Errorf("what stands still is %+v", stalls)
	}
	becomes(t, "lag", r.metrics.lag, second, 0) // whose loop has nothing to do

	m.setFail(nil)
	r.countedTo(t, m)
	becomes(t, "lag", r.metrics.lag, first, 0)
	becomes(t, "near", r.metrics.near, first, 0)
	waitFor(t, "the all-clear", func() bool { return strings.Contains(r.log.String(), "well ahead of what Kafka deletes") })
	if report := r.Report(); len(report.Stalls) != 0 || report.Standby {
		t.Errorf("all is counted, and the report is %+v", report)
	}
	r.stop()
	if n := m.chained(t); n.missing != 500 || n.records != 1000 {
		t.Errorf("%+v", n)
	}
	for name, g := range map[string]prometheus.Collector{
		"lag": r.metrics.lag, "headroom": r.metrics.headroom, "near": r.metrics.near, "open": r.metrics.open, "keys": r.metrics.keys,
	} {
		if left := gauges(t, g); len(left) != 0 {
			t.Errorf("no partition is counted here any more, and %s says %v", name, left)
		}
	}
}

func TestAPartitionThatIsTakenOverWhileClickHouseIsAwayIsMeasuredByTheGroupsOffset(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(300))...)
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	r.countedTo(t, m)
	r.stop()
	produce(t, addr, 0, 0, jsonOf(someEvents(700))...)
	m.setFail(func(string) error { return errors.New("no answer") })
	r = start(t, testConfig(addr, "access"), m)
	becomes(t, "lag", r.metrics.lag, "partition=0,topic=access", 700)
	deleteRecords(t, addr, 400)
	waitFor(t, "the loss to be said", func() bool {
		return strings.Contains(r.log.String(), `"lost":100`) && strings.Contains(r.log.String(), "the group's offset")
	})
}

func TestAGenerationThatBeginsWhileClickHouseIsAwayIsMeasuredBeforeItIsServed(t *testing.T) {
	t.Parallel() // it waits most of its time
	const first = "partition=0,topic=access"
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(300))...)
	m, cfg := newMemory(), testConfig(addr, "access")
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	produce(t, addr, 0, 0, jsonOf(someEvents(700))...)

	asked := 0
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		if asked++; asked > 1 { // the first answer is needed to start at all
			return nil, errors.New("no answer")
		}
		return now, nil
	}
	r = start(t, cfg, m)
	becomes(t, "lag", r.metrics.lag, first, 700)
	deleteRecords(t, addr, 400)
	becomes(t, "headroom", r.metrics.headroom, first, -100)
	waitFor(t, "the loss to be said", func() bool { return strings.Contains(r.log.String(), `"lost":100`) })
	if stalls := r.Report().Stalls; len(stalls) != 1 || stalls[0].Why != "waits for ClickHouse: other" {
		t.Errorf("what stands still is %+v", stalls)
	}
}

func TestLagIsWatchedThoughTheGroupSharesOutItsPartitionsAnewWhileClickHouseIsAway(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(2, "access"))
	for p := range 2 {
		produce(t, addr, p, 0, jsonOf(someEvents(300))...)
	}
	m := newMemory()
	var away atomic.Bool
	cfg := testConfig(addr, "access")
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		if away.Load() {
			return nil, errors.New("no answer")
		}
		return now, nil
	}
	r := start(t, cfg, m)
	r.countedTo(t, m)
	away.Store(true)
	m.setFail(func(string) error { return errors.New("no answer") })
	rebalances := func() string { return fmt.Sprint(gauges(t, r.metrics.rebalances)) }
	before := rebalances()
	rival, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: cfg.Group, Brokers: []string{addr}, Topics: []string{"access"}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := rival.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(g.Assignments["access"]); n != 1 {
		t.Fatalf("the group gave %d partitions to the other member", n)
	}
	if err := rival.Close(); err != nil { // now all are this one's again, which waits for ClickHouse since it had one
		t.Fatal(err)
	}
	for p := range 2 {
		produce(t, addr, p, 0, jsonOf(someEvents(700))...)
	}
	for p := range 2 {
		becomes(t, "lag", r.metrics.lag, fmt.Sprintf("partition=%d,topic=access", p), 700)
	}
	if after := rebalances(); after != before {
		t.Errorf("it took its partitions though nobody could say which incarnations are in force: %s, it was %s", after, before)
	}
	away.Store(false)
	m.setFail(nil)
	r.countedTo(t, m)
	becomes(t, "lag", r.metrics.lag, "partition=0,topic=access", 0)
}

func TestALoopThatHangsWithoutAnErrorIsSaidToStandStill(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(10))...)
	m := newMemory()
	hangs := make(chan struct{})
	m.fail = func(step string) error {
		if step == "raw" {
			m.mu.Unlock()
			<-hangs
			m.mu.Lock()
		}
		return nil
	}
	r := start(t, testConfig(addr, "access"), m)
	var stalls []schema.Stall
	waitFor(t, "the stall", func() bool { stalls = r.Report().Stalls; return len(stalls) == 1 && stalls[0].What == "access/0" })
	if stalls[0].Why != "nothing is counted while records wait (lag 10)" || time.Since(stalls[0].Since) > 30*time.Second {
		t.Errorf("the stall is %+v", stalls[0])
	}
	close(hangs)
	waitFor(t, "the end of the stall", func() bool { return len(r.Report().Stalls) == 0 })
}

func TestAnIdlePartitionDoesNotStandStillWhenARecordComes(t *testing.T) {
	p := newProgress(place{"access", 3}, time.Second, NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
	p.at(20, 20)
	p.moved = time.Now().Add(-time.Hour)
	p.measure(logBounds{end: 20, high: 20})
	p.measure(logBounds{end: 21, high: 21})
	if s, still := p.stall(time.Now()); still {
		t.Errorf("a record came just now, and the stall is %+v", s)
	}
	want := schema.Stall{What: "access/3", Since: p.moved.Add(time.Second), Why: "nothing is counted while records wait (lag 1)"}
	if s, _ := p.stall(time.Now().Add(time.Minute)); s != want {
		t.Errorf("a minute later the stall is %+v, want %+v", s, want)
	}
}

func TestAPartitionOfAnotherTopicNamesItselfAndIsNotMeasured(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(500))...)
	cfg := testConfig(addr, "access")
	commit := &fence{client: &kafka.Client{Addr: kafka.TCP(addr), Transport: &kafka.Transport{}}, group: cfg.Group, topic: "access", generation: -1}
	other := record{offset: 299, time: day1, value: []byte("another incarnation's record")}
	if err := commit.commit(t.Context(), &pin{from: 300, to: 300, day: 20000, by: "x", last: other.fingerprint()}); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg, newMemory())
	waitFor(t, "the stall", func() bool {
		s := r.Report().Stalls
		return len(s) == 1 && s[0].What == "access/0" && strings.Contains(s[0].Why, "the topic is another one now")
	})
	for range 2 { // polls, of which the first may have begun before
		r.metrics.open.Reset()
		becomes(t, "open", r.metrics.open, "partition=0,topic=access", 0)
	}
	if lag := gauges(t, r.metrics.lag); len(lag) != 0 {
		t.Errorf("its offsets mean other records, and lag says %v", lag)
	}
}

func TestAMemberWithoutPartitionsIsAStandby(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	m := newMemory()
	members := []*running{start(t, testConfig(addr, "access"), m), start(t, testConfig(addr, "access"), m)}
	if r := members[0].Report(); r.Standby || len(r.Stalls) != 1 || !strings.Contains(r.Stalls[0].What, "consumer group") {
		t.Errorf("before it has joined the group the report is %+v", r)
	}
	waitFor(t, "one of the two to be a standby", func() bool {
		a, b := members[0].Report(), members[1].Report()
		return len(a.Stalls)+len(b.Stalls) == 0 && a.Standby != b.Standby
	})
	for _, r := range members {
		if lag := slices.Sorted(maps.Keys(gauges(t, r.metrics.lag))); r.Report().Standby && len(lag) != 0 {
			t.Errorf("a standby exports the lag of %v", lag)
		}
	}
}
