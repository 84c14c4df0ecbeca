package judge_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// noise is what another partner's producer sends beside the log: events for a
// partition, and the time that its records bear.
type noise struct {
	partition int
	record    time.Time // zero: that of everybody's records
	events    []event
}

// loud is the partner that makes the noise: nobody knows it.
const loud = "loud"

func noisy(times ...time.Time) []event {
	var all []event
	for i, at := range times {
		all = append(all, event{Time: at.UnixMilli(), Partner: loud, Capability: "friends", Action: "read", Subject: fmt.Sprintf("%s-%d", loud, i%7)})
	}
	return all
}

// lived is what was found of everybody but the noisy one, and how it was told.
type lived struct {
	Findings  []schema.Finding
	Reported  map[string][][3]string
	Watermark string
}

const (
	chapters = 3 // in which the log comes, each judged as it comes
	beside   = 2 // partitions of a run that the log does not come in; it comes in two others
)

// live lets the log happen: in chapters, with what is noisy beside it, each
// judged while the wall clock shows its last event.
func (e *engine) live(t *testing.T, log []event, noises func(chapter int, now time.Time) []noise) (lived, *run) {
	t.Helper()
	r := e.start(t, 2+beside, 100_000)
	j := r.judge(r.store, 0, 1)
	var now time.Time
	j.SetClock(func() time.Time { return now })
	chapter := 0
	for some := range slices.Chunk(log, len(log)/chapters+1) {
		now = time.UnixMilli(latest(log[:len(log)*(chapter+1)/chapters]).Time)
		if last := time.UnixMilli(latest(some).Time); last.After(now) {
			now = last
		}
		for _, n := range noises(chapter, now) {
			r.send(n)
		}
		r.produce(some, spread(2))
		r.awaitCounted(idle)
		r.round(j)
		chapter++
	}
	r.drain(j)
	all := lived{Reported: map[string][][3]string{}}
	told := r.told()
	for _, f := range r.findings() {
		if f.Partner != loud {
			all.Findings = append(all.Findings, f)
			all.Reported[f.ID()] = told[f.ID()]
		}
	}
	positions, err := r.store.Judged(t.Context(), []uint8{0})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range positions {
		all.Watermark = max(all.Watermark, second(p.Watermark))
	}
	return all, r
}

// send produces noise.
func (r *run) send(n noise) {
	r.t.Helper()
	if n.record.IsZero() {
		r.produce(n.events, func(int) int { return n.partition })
		return
	}
	var records []kafka.Record
	for _, v := range values(r.t, n.events) {
		records = append(records, kafka.Record{Value: kafka.NewBytes(v), Time: n.record})
	}
	res, err := r.client.Produce(r.t.Context(), &kafka.ProduceRequest{
		Topic: topic, Partition: n.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.produced += len(n.events)
}

func TestNobodysClockChangesWhatIsFoundOfAnybodyElse(t *testing.T) {
	t.Parallel()
	inMaps(t, nobodysClockChangesWhatIsFoundOfAnybodyElse)
}

func nobodysClockChangesWhatIsFoundOfAnybodyElse(t *testing.T, e *engine) {
	log := of(makeLog(2), "small", "ghost", "between-grants")
	want, r := e.live(t, log, func(int, time.Time) []noise { return nil })
	r.stop()
	if len(want.Findings) < 10 {
		t.Fatalf("%d findings are too few to mean anything", len(want.Findings))
	}
	f := func(what string, counted uint64, beside func(chapter int, now time.Time) []noise) {
		t.Run(what, func(t *testing.T) {
			got, r := e.live(t, log, beside)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("something else is found, or told (- alone, + beside it):\n%s", diff)
			}
			cells, err := r.store.Usage(t.Context(), schema.UsageQuery{Resolution: schema.Daily, From: 0, To: 1 << 32, Partners: []string{loud}})
			if err != nil || len(cells) != 1 || cells[0].Accesses != counted {
				t.Errorf("%d of the noise's events were to be counted, not %v (%v)", counted, cells, err)
			}
			r.stop()
		})
	}
	f("clocks that are ahead", 1+2*chapters, func(chapter int, now time.Time) []noise {
		years := now.AddDate(3, 0, 0)
		all := []noise{{partition: 2, record: years, events: noisy(years, years)}} // a producer that lives in the future
		if chapter == 1 {
			all = append(all,
				noise{partition: 0, events: noisy(years)}, // it is ahead of its own record: a reject
				noise{partition: 0, record: years, events: noisy(years)})
		}
		return all
	})
	f("clocks that are behind, and events that come twice", 2+2+6*chapters, func(chapter int, now time.Time) []noise {
		all := []noise{
			{partition: 3, events: noisy(now.AddDate(0, 0, -9), now.AddDate(0, 0, -8))}, // days behind
			{partition: 0, events: noisy(now.Add(-3*time.Hour), now.Add(-2*time.Hour))}, // two hours behind
		}
		twice := noisy(now.Add(-time.Minute))
		all = append(all, noise{partition: 1, events: append(twice, twice...)})
		if chapter == 0 { // and then never again
			all = append(all, noise{partition: 2, events: noisy(now.Add(-time.Hour), now, now, now)})
		}
		return all
	})
}

func TestADayInRandomOrderIsFoundAsOneInOrder(t *testing.T) {
	t.Parallel()
	inMaps(t, aDayInRandomOrderIsFoundAsOneInOrder)
}

func aDayInRandomOrderIsFoundAsOneInOrder(t *testing.T, e *engine) {
	log := of(makeLog(2), "small", "ghost", "between-grants")
	byDay := map[schema.Day][]event{}
	for _, ev := range log {
		d := schema.DayOfSecond(ev.Time / 1000)
		byDay[d] = append(byDay[d], ev)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	var shuffled []event
	for _, d := range slices.Sorted(maps.Keys(byDay)) {
		rnd.Shuffle(len(byDay[d]), func(i, j int) { byDay[d][i], byDay[d][j] = byDay[d][j], byDay[d][i] })
		shuffled = append(shuffled, byDay[d]...)
	}
	_, r := e.live(t, shuffled, func(int, time.Time) []noise { return nil })
	findsAsTheOracle(t, r.findings(), oracle(parse(t, wholeRegistry), log), 10)
	reportedOnce(t, r, 10)
	r.stop()
}
