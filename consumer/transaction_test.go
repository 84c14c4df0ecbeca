package consumer

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/overreach/overreach/schema"
)

// transactional returns a producer of the topic access that writes in
// transactions, and only to partition 0.
func transactional(t testing.TB, addr, id string) *kgo.Client {
	t.Helper()
	p, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(id), kgo.DefaultProduceTopic("access"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// write writes values in the transaction that is open, and opens one first
// where none is.
func write(t testing.TB, p *kgo.Client, begin bool, values ...[]byte) {
	t.Helper()
	if begin {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range values {
		p.Produce(context.Background(), &kgo.Record{Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func end(t testing.TB, p *kgo.Client, commit kgo.TransactionEndTry) {
	t.Helper()
	if err := p.EndTransaction(context.Background(), commit); err != nil {
		t.Fatal(err)
	}
}

// endsAt waits until all that can be read ends at an offset: a transaction's end is
// acknowledged before its marker is written.
func (r *running) endsAt(t *testing.T, offset int64) {
	t.Helper()
	waitFor(t, "the transactions' markers", func() bool {
		ends, err := r.Ends(t.Context())
		return err == nil && ends[schema.Partition{Incarnation: r.cluster.id + "/access@1"}] == offset
	})
}

func TestWhatWasAbortedIsNeverCountedAndNoGap(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(1200)
	values := jsonOf(events)
	a, b := transactional(t, addr, "a"), transactional(t, addr, "b")
	var want []testEvent
	for i := range 6 { // two producers' transactions interleaved, and records of none between them
		part := func(n int) [][]byte { return values[200*i+50*n : 200*i+50*n+50] }
		write(t, a, true, part(0)...)
		write(t, b, true, part(1)...)
		write(t, a, false, part(2)...)
		produce(t, addr, 0, 0, part(3)...)
		end(t, a, kgo.TransactionEndTry(i%2 == 0))
		end(t, b, kgo.TransactionEndTry(i%3 == 0))
		want = append(want, events[200*i+150:200*i+200]...)
		if i%2 == 0 {
			want = append(want, events[200*i:200*i+50]...)
			want = append(want, events[200*i+100:200*i+150]...)
		}
		if i%3 == 0 {
			want = append(want, events[200*i+50:200*i+100]...)
		}
	}
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 70 // batches that begin and end within transactions
	r := start(t, cfg, m)
	r.endsAt(t, int64(len(events)+12))
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(want))
	if c := m.chained(t); c.records != uint64(len(want)) || c.events != c.records || c.missing != 0 || c.rejected != 0 {
		t.Errorf("the markers say %+v, want %d records and events and nothing else", c, len(want))
	}
}

func TestARangeOfNothingButAbortedRecordsAdvances(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	p := transactional(t, addr, "a")
	write(t, p, true, jsonOf(someEvents(30))...)
	end(t, p, kgo.TryAbort)
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	r.endsAt(t, 31)
	r.countedTo(t, m)
	r.stop()
	if to, ok, _ := m.Counted(t.Context(), m.markers[0].Partition); !ok || to != 31 {
		t.Errorf("counted up to %d, want 31: thirty records and the marker of the abort", to)
	}
	if c := m.chained(t); c != (counts{}) || len(m.usage[m.markers[len(m.markers)-1].Range].Bucket) != 0 {
		t.Errorf("the markers say %+v, want nothing", c)
	}
}

func TestAnOpenTransactionHoldsBackWhatLiesBehindItAndCountsAsCaughtUp(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(90)
	p := transactional(t, addr, "a")
	produce(t, addr, 0, 0, jsonOf(events[:30])...)
	write(t, p, true, jsonOf(events[30:60])...)
	produce(t, addr, 0, 0, jsonOf(events[60:])...)
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	r.endsAt(t, 30) // where the transaction begins
	r.countedTo(t, m)
	sameTotals(t, m.totals(t), oracle(events[:30]))
	gauges := prometheus.NewRegistry()
	gauges.MustRegister(r.metrics.open)
	waitFor(t, "the metric to say how much waits", func() bool {
		all, err := gauges.Gather()
		return err == nil && len(all) == 1 && all[0].GetMetric()[0].GetGauge().GetValue() == 60
	})
	end(t, p, kgo.TryCommit)
	r.endsAt(t, 91)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if c := m.chained(t); c.records != 90 || c.missing != 0 {
		t.Errorf("the markers say %+v", c)
	}
}

func TestAnUnfinishedBatchOfTransactionsComesOutTheSame(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(120)
	p := transactional(t, addr, "a")
	for i := range 4 {
		write(t, p, true, jsonOf(events[30*i:30*i+30])...)
		end(t, p, kgo.TransactionEndTry(i%2 == 1))
	}
	m := newMemory()
	m.setFail(func(step string) error {
		if step == "usage" && len(m.markers) > 0 { // the first one says where reading begins
			return context.DeadlineExceeded
		}
		return nil
	})
	cfg := testConfig(addr, "access")
	first := start(t, cfg, m)
	waitFor(t, "raw rows without usage", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.access) > 0
	})
	first.stop()
	m.setFail(nil)
	next := start(t, cfg, m)
	next.endsAt(t, int64(len(events)+4))
	next.countedTo(t, m)
	next.stop()
	want := append(append([]testEvent(nil), events[30:60]...), events[90:]...)
	sameTotals(t, m.totals(t), oracle(want))
	if c := m.chained(t); c.records != 60 || m.rawWrites != 1 {
		t.Errorf("the markers say %+v after %d inserts of raw rows", c, m.rawWrites)
	}
}

// BenchmarkParse reads 10,000 records in 100 batches: in no transaction, in 100
// that were committed, and with as many aborted among them, which are twice the
// bytes. The machine's own pace cancels out in the ratios: each round reads all
// three, and the least time of each counts.
func BenchmarkParse(b *testing.B) {
	values := make([]string, 100)
	for i, v := range benchValues(len(values)) {
		values[i] = string(v)
	}
	modes := []string{"none", "committed", "half_aborted"}
	bodies, least := make([][]byte, len(modes)), make([]time.Duration, len(modes))
	for m, mode := range modes {
		l := &madeLog{open: map[int64]int64{}, waiting: map[int64][]record{}}
		for i := range 100 {
			switch mode {
			case "none":
				l.append(b, -1, 0, values, 0)
			case "half_aborted":
				l.append(b, int64(10+i%8), 1<<4, values, 0)
				l.end(b, int64(10+i%8), false)
				fallthrough
			case "committed":
				l.append(b, 7, 1<<4, values, 0)
				l.end(b, 7, true)
			}
		}
		res, _ := l.fetchFrom(0, len(l.batches), false, rand.New(rand.NewPCG(1, 1)))
		res.Version = 11
		bodies[m], least[m] = res.AppendTo(make([]byte, 4)), time.Hour
	}
	var f fetcher
	for b.Loop() {
		for m := range modes {
			began := time.Now()
			c, err := f.parse(&rawResponse{version: 11, body: bodies[m]}, 0)
			if err != nil || len(c.records) != 10_000 {
				b.Fatal(len(c.records), err)
			}
			least[m] = min(least[m], time.Since(began))
		}
	}
	b.ReportMetric(float64(least[0].Nanoseconds())/10_000, "ns/record")
	for m := 1; m < len(modes); m++ {
		b.ReportMetric(float64(least[m])/float64(least[0]), modes[m]+"/none")
	}
}
