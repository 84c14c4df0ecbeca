package judge_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
)

// A partition stands for as long in these tests before it is left out.
const stalledAfter = 10 * time.Minute

// gate is a store that lets the counting of partition 1 through only as far as a test
// allows: it stops that partition as a batch does that is never written.
type gate struct {
	consumer.Store
	allowed *atomic.Int64 // batches that may still be counted
}

func (g gate) InsertUsage(ctx context.Context, m schema.Marker, rows *schema.UsageRows) error {
	if m.Partition.Partition == 1 && m.Records > 0 {
		for g.allowed.Load() <= 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		g.allowed.Add(-1)
	}
	return g.Store.InsertUsage(ctx, m, rows)
}

// standstill is a log of two partitions: the first holds an event a minute, and is
// counted; what comes on the second, and how far that is counted, a test says. The wall
// clock is the test's.
type standstill struct {
	*run
	judge   *judge.Judge
	log     bytes.Buffer
	allowed atomic.Int64
	began   time.Time
	now     time.Time
	want    uint64 // items that are to be counted
}

func (e *engine) standstill(t *testing.T) *standstill {
	t.Helper()
	s := &standstill{began: time.Date(2019, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.run = e.startThrough(t, 2, 1, func(st tables) consumer.Store { return gate{st, &s.allowed} })
	s.now = s.began
	s.restart()
	hour := make([]event, 25) // a finding that nothing touches later
	for i := range hour {
		hour[i] = event{Time: s.began.Add(-55 * time.Minute).UnixMilli(), Partner: "crosses-all", Capability: "friends", Action: "read", Subject: fmt.Sprint(i)}
	}
	s.send(noise{partition: 0, record: s.now, events: hour})
	s.want = uint64(len(hour))
	return s
}

// restart has another judge go on.
func (s *standstill) restart() {
	cfg := judge.Config{Lateness: lateness, MaxUnregistered: 10, MaxApps: 20, StalledAfter: stalledAfter}
	s.judge = judge.New(cfg, s.store, kafkaLog{s.consumer, slots(0, 1)}, func() (*registry.Registry, uint32) {
		now := s.registry.Load()
		return now.registry, now.ordinal
	}, func([]schema.FindingChange) {}, judge.NewMetrics(prometheus.NewRegistry()), zerolog.New(&s.log))
	s.judge.SetClock(func() time.Time { return s.now })
}

// put produces events for the second partition, with records of now.
func (s *standstill) put(times ...time.Time) {
	s.t.Helper()
	s.send(noise{partition: 1, record: s.now, events: noisy(times...)})
}

// minute lets a minute of the clock pass: the first partition has an event, so many of
// the second's batches are counted, and there is a round.
func (s *standstill) minute(counted int64) {
	s.t.Helper()
	s.now = s.now.Add(time.Minute)
	s.send(noise{partition: 0, record: s.now, events: noisy(s.now)})
	s.allowed.Add(counted)
	s.want += uint64(counted) + 1
	for deadline := time.Now().Add(time.Minute); s.counted() < s.want; idle() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d items are counted after a minute", s.counted(), s.want)
		}
	}
	s.round(s.judge)
}

// expect says where the watermark is, and whether the second partition is left out of it.
func (s *standstill) expect(what string, watermark time.Time, leftOut bool) {
	s.t.Helper()
	positions, err := s.store.Judged(s.t.Context(), []uint8{0})
	if err != nil {
		s.t.Fatal(err)
	}
	var at int64
	for _, p := range positions {
		if p.Cadence == schema.CadenceClosedHour {
			at = max(at, p.Watermark)
		}
	}
	if want := max(0, watermark.Unix()); at != want {
		s.t.Errorf("%s, minute %v: closed hours are judged up to %s, want %s", what, s.now.Sub(s.began).Minutes(), second(at), second(want))
	}
	stalls := slices.Concat(s.judge.LeftOut(), s.judge.Stalls())
	if is := len(stalls) == 1 && stalls[0].What == "access/1" && strings.HasPrefix(stalls[0].Why, "the watermark leaves it out"); is != leftOut || len(stalls) > 1 {
		s.t.Errorf("%s, minute %v: what stands still is %v", what, s.now.Sub(s.began).Minutes(), stalls)
	}
}

// said counts the lines of the log that say so.
func (s *standstill) said(what string) int { return strings.Count(s.log.String(), what) }

const (
	leavesOut  = "the watermark leaves this partition out"
	waitsAgain = "the watermark waits for this partition again"
)

// zero says until when a zero of a partner is proof, and what of the partition it says,
// where the tables have the view.
func (s *standstill) zero(what string, until time.Time, leftOut string) {
	s.t.Helper()
	st, ok := s.store.(*store.Store)
	if !ok {
		return
	}
	rows, err := st.Ledger(s.t.Context(), store.LedgerQuery{Partner: "crosses-all"})
	if err != nil || len(rows) == 0 {
		s.t.Fatalf("%d rows, %v", len(rows), err)
	}
	says := slices.DeleteFunc(strings.Split(rows[0].WhyNot, "; "), func(why string) bool { return !strings.Contains(why, "leaves out") })
	if leftOut != "" {
		leftOut = "the watermark leaves out " + s.incarnation() + " partition 1, " + leftOut
	}
	if got := strings.Join(says, "; "); !rows[0].ZeroTo.Equal(until) || got != leftOut {
		s.t.Errorf("%s: a zero is one until %v and says %q; want until %v and %q", what, rows[0].ZeroTo, got, until, leftOut)
	}
	if got, err := st.Watermark(s.t.Context()); err != nil || !got.Equal(until) {
		s.t.Errorf("%s: statements end at %v, want %v (%v)", what, got, until, err)
	}
}

// unseen checks that all findings name the partition as left out, with where its clock
// stands, or none does. Some are judged in each round, and some are not judged again.
func (s *standstill) unseen(what, clock string) {
	s.t.Helper()
	said := 0
	all := s.findings()
	for _, f := range all {
		if strings.Contains(f.BlindSpots, "left out of the watermark: "+s.incarnation()+" partition 1, whose own clock stands at "+clock) {
			said++
		}
	}
	want := 0
	if clock != "" {
		want = len(all)
	}
	if said != want || len(all) < 2 {
		s.t.Errorf("%s: %d of %d findings say so", what, said, len(all))
	}
}

func TestOnlyAPartitionThatWorksHoldsTheWatermark(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, e *engine) {
		for _, holds := range []struct {
			what string
			test func(*testing.T, *standstill)
		}{
			{"only rejects", onlyRejects},
			{"its clock stands", clockStands},
			{"stopped", stopped},
			{"a backlog", backlog},
		} {
			t.Run(holds.what, func(t *testing.T) {
				t.Parallel()
				holds.test(t, e.standstill(t))
			})
		}
	})
}

// onlyRejects: it is behind in each round, and holds nobody back for longer than that.
func onlyRejects(t *testing.T, s *standstill) {
	before := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // min_time: a reject
	s.put(before)
	for m := range 13 {
		s.put(before) // is not counted before the next minute
		s.minute(1)
		if m > 0 {
			s.expect("rejects go on", s.now.Add(-2*time.Minute-lateness), false) // when what is counted now was produced
		}
	}
	if s.said(leavesOut) > 0 {
		t.Errorf("it is left out though it works:\n%s", &s.log)
	}
}

// clockStands: it is counted, always at one and the same time, and left out.
func clockStands(t *testing.T, s *standstill) {
	ancient := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)
	s.put(ancient)
	for range 11 {
		s.put(ancient)
		s.minute(1)
	}
	s.expect("it has stood for ten minutes since it was first seen", s.now, true)
	if s.said(leavesOut) != 1 || s.said(`"latest":"2000-01-02 00:00:00 UTC"`) != 1 || s.said("its time stands still though its records are counted") != 1 {
		t.Errorf("the log says:\n%s", &s.log)
	}
	s.zero("left out", s.now, "whose own clock stands at 2000-01-02 00:00:00 UTC, and its records are counted")
	s.unseen("left out", "2000-01-02 00:00:00 UTC")
	for range 3 {
		s.put(ancient)
		s.minute(1)
	}
	s.expect("it goes on so", s.now, true)
	left := s.now
	s.put(s.now)
	s.put(s.now)
	s.minute(2) // the one of before, and one of today
	s.expect("its clock goes", left, false)
	s.zero("back", left, "")
	if s.said(leavesOut) != 1 || s.said(waitsAgain) != 1 {
		t.Errorf("it is back, and the log says:\n%s", &s.log)
	}
	s.unseen("back", "")
}

// stopped: it is left out, and waited for again once it goes on.
func stopped(t *testing.T, s *standstill) {
	s.put(s.began)
	s.put(s.began.Add(time.Minute))
	s.minute(1)
	for range 7 {
		s.minute(0)
	}
	s.expect("it has stood for seven minutes", s.began.Add(-lateness), false)
	s.restart() // knows that it had stood for half of the time
	for range 5 {
		s.minute(0)
	}
	s.expect("it has stood for nine minutes that somebody saw or noted", s.began.Add(-lateness), false)
	s.minute(0)
	s.expect("it has stood for ten", s.now, true)
	if s.said(leavesOut) != 1 || s.said("nothing of it is counted though records wait") != 1 {
		t.Errorf("the log says:\n%s", &s.log)
	}
	s.restart()
	s.minute(0)
	s.expect("whoever judges next goes on at once", s.now, true)
	s.zero("left out", s.began.Add(-lateness), "whose own clock stands at 2019-03-01 12:00:00 UTC")
	s.unseen("left out", "2019-03-01 12:00:00 UTC")
	left := s.now
	s.put(s.now)
	s.minute(1)
	s.expect("it works off what waited", left, false)
	s.minute(1)
	s.expect("it is caught up", s.now, false)
	s.zero("back", s.now, "")
	if s.said(waitsAgain) != 1 {
		t.Errorf("it is back, and the log says:\n%s", &s.log)
	}
	s.unseen("back", "")
}

// backlog: it is three hours behind and works, and all wait for it.
func backlog(t *testing.T, s *standstill) {
	first := s.began.Add(-3 * time.Hour)
	for i := range 40 {
		s.put(first.Add(time.Duration(i/12) * 20 * time.Minute)) // twelve at a time bear one time
	}
	for m := range 26 {
		s.minute(1)
		s.expect("a backlog", first.Add(time.Duration(m/12)*20*time.Minute-lateness), false)
	}
	if s.said(leavesOut) > 0 {
		t.Errorf("it is left out though it works:\n%s", &s.log)
	}
}
