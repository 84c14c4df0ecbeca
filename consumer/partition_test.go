package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/overreach/overreach/schema"
)

// beginning is partition 0, taken over by a member and ready to read at its
// beginning.
func beginning(t *testing.T, cfg Config, m Store) (*partition, *syncBuffer) {
	t.Helper()
	p, log := owner(t, cfg, m)
	if _, err := p.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.batch.open(0)
	return p, log
}

// ranges returns what the markers vouch for, empty ones left out.
func (m *memory) ranges() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, k := range m.markers {
		if k.From < k.To {
			all = append(all, fmt.Sprintf("%d-%d: %d", k.From, k.To, k.Records))
		}
	}
	return all
}

func TestAChunkIsCutWhereBatchesEnd(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	whole := func(from, to int64) []int64 {
		var all []int64
		for ; from < to; from++ {
			all = append(all, from)
		}
		return all
	}
	for name, c := range map[string]struct {
		offsets []int64 // of its records
		next    int64
		most    int   // events of a batch
		redo    int64 // the end of the range that is written again; 0: none
		counted []string
		from    int64 // what is held: [from, next)
	}{
		"it fills no batch":                       {whole(0, 10), 10, 11, 0, nil, 0},
		"it fills one":                            {whole(0, 10), 10, 10, 0, []string{"0-10: 10"}, 10},
		"it fills two and a half":                 {whole(0, 10), 10, 4, 0, []string{"0-4: 4", "4-8: 4"}, 8},
		"it goes on behind its last record":       {whole(0, 10), 15, 10, 0, []string{"0-10: 10"}, 10},
		"it has no record":                        {nil, 7, 4, 0, nil, 0},
		"a range ends within it":                  {whole(0, 10), 10, 2, 5, []string{"0-5: 5", "5-7: 2", "7-9: 2"}, 9},
		"a range ends with it":                    {whole(0, 10), 10, 2, 10, []string{"0-10: 10"}, 10},
		"a range ends behind it":                  {whole(0, 10), 10, 2, 11, nil, 0},
		"a range ends where no record is":         {[]int64{0, 1, 7, 8}, 9, 3, 5, []string{"0-5: 2"}, 5},
		"a range ends just before a record":       {[]int64{0, 1, 5, 8}, 9, 3, 5, []string{"0-5: 2"}, 5},
		"a range ends behind all of its records":  {[]int64{0, 1}, 9, 3, 5, []string{"0-5: 2"}, 5},
		"a range ends where what is there ends":   {[]int64{0, 1}, 5, 3, 5, []string{"0-5: 2"}, 5},
		"of a range nothing is there any more":    {nil, 5, 3, 5, []string{"0-5: 0"}, 5},
		"of a range there is nothing so far":      {nil, 4, 3, 5, nil, 0},
		"a range of which the first record is it": {[]int64{0}, 1, 3, 1, []string{"0-1: 1"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, m := testConfig(addr, "access"), newMemory()
			cfg.Group, cfg.Limits.Events = name, c.most
			p, _ := beginning(t, cfg, m)
			if c.redo > 0 {
				p.redo = &pin{from: 0, to: c.redo, day: 20000, number: 1, by: cfg.fingerprint(&cfg.Topics[0]), last: fingerprint{offset: -1}}
			}
			read := chunk{next: c.next}
			last := p.batch.last
			for _, offset := range c.offsets {
				r := event(offset, "p", offset)
				read.records = append(read.records, *r)
				last = r.fingerprint()
			}
			if err := p.take(t.Context(), &read); err != nil {
				t.Fatal(err)
			}
			if got := m.ranges(); !slices.Equal(got, c.counted) {
				t.Errorf("counted are %v, want %v", got, c.counted)
			}
			b := p.batch
			if b.from != c.from || b.next != max(c.next, c.from) || b.last != last || b.opened.IsZero() {
				t.Errorf("held is %d to %d behind %+v, opened %v; want %d to %d behind %+v", b.from, b.next, b.last, b.opened, c.from, c.next, last)
			}
			if done := c.redo > 0 && len(c.counted) == 0; done != (p.redo != nil) {
				t.Errorf("the range is still to be written: %v", p.redo)
			}
		})
	}
}

func TestABatchThatIsAnotherMembersEndsTheWork(t *testing.T) {
	for name, c := range map[string]struct {
		redo, next int64
		offsets    []int64
	}{
		"it is full":                 {0, 3, []int64{0, 1, 2}},
		"a range ends with a record": {3, 3, []int64{0, 1, 2}},
		"a range ends before one":    {3, 6, []int64{0, 1, 5}},
		"a range ends behind all":    {5, 5, []int64{0, 1}},
	} {
		addr := broker(t, kfake.SeedTopics(1, "access"))
		cfg, m := testConfig(addr, "access"), newMemory()
		cfg.Limits.Events = 3
		p, _ := beginning(t, cfg, m)
		if c.redo > 0 {
			p.redo = &pin{from: 0, to: c.redo, day: 20000, number: 1, last: fingerprint{offset: -1}}
		}
		p.fence.member = "another"
		read := chunk{next: c.next}
		for _, offset := range c.offsets {
			read.records = append(read.records, *event(offset, "p", offset))
		}
		if err := p.take(t.Context(), &read); !errors.Is(err, errFenced) || len(m.ranges()) != 0 {
			t.Errorf("%s: %v, counted are %v", name, err, m.ranges())
		}
	}
}

func TestABatchIsDueByItsAgeOrWhereNothingMoreComes(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	cfg := testConfig(addr, "access")
	cfg.Limits.Age = time.Hour
	p, _ := beginning(t, cfg, newMemory())
	drained := false
	p.drained = func() bool { return drained }
	due := func(what string, atEnd, want bool) {
		t.Helper()
		if got := p.due(atEnd); got != want {
			t.Errorf("%s: due %t", what, got)
		}
	}
	due("nothing is held, for long", true, false)
	p.batch.add(event(0, "p", 0))
	p.batch.opened = time.Now()
	due("a record came just now", true, false)
	drained = true
	due("and nothing more comes", true, true)
	due("and more is there", false, false)
	p.batch.opened = time.Now().Add(-time.Hour)
	due("it has waited for as long as it may", false, true)
	p.redo = &pin{to: 5}
	due("a range that is to end elsewhere", true, false)
	p.redo = nil
	p.batch.open(7)
	due("nothing is held", true, false)
}

func TestALogThatEndsBeforeWhatIsReadNextIsAnotherStream(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(300))...)
	p, _ := beginning(t, testConfig(addr, "access"), newMemory())
	p.batch.open(301)
	if _, _, err := p.next(t.Context()); !errors.Is(err, errOtherIncarnation) || !strings.Contains(err.Error(), "offset 301 was to be read next, but the log ends at 300") {
		t.Errorf("%v", err)
	}
	p.batch.open(300)
	if c, bad, err := p.next(t.Context()); err != nil || bad != nil || len(c.records) != 0 || c.next != 300 || c.end != 300 {
		t.Errorf("at the end: %+v, %v, %v", c, bad, err)
	}
	deleteRecords(t, addr, 200)
	p.batch.open(100)
	p.redo = &pin{from: 100, to: 150}
	if c, _, err := p.next(t.Context()); err != nil || c.next != 150 || c.end != 300 || p.batch.counts.missing != 50 {
		t.Errorf("of a range that was deleted: next %d, end %d, missing %d, %v", c.next, c.end, p.batch.counts.missing, err)
	}
	p.batch.open(100)
	p.redo = nil
	if c, _, err := p.next(t.Context()); err != nil || c.next != 200 || p.batch.counts.missing != 100 {
		t.Errorf("of what was deleted: next %d, missing %d, %v", c.next, p.batch.counts.missing, err)
	}
}

func TestAfterAnErrorTheRecordThatWasReadLastIsComparedAgain(t *testing.T) {
	l := newDiskLog(t, someEvents(300))
	p, _ := beginning(t, testConfig(l.addr, "access"), newMemory())
	p.batch.open(200)
	p.batch.last = fingerprint{offset: 199, crc: 7} // of another incarnation
	l.requests()
	if _, _, err := p.next(t.Context()); err != nil {
		t.Errorf("without an error it is not asked for: %v", err)
	}
	p.fetch.drop()
	l.requests()
	l.fail[1] = int16(kafka.NotLeaderForPartition)
	if _, _, err := p.next(t.Context()); !errors.Is(err, errOtherIncarnation) {
		t.Errorf("after an error: %v", err)
	}
	if asked := l.requests(); !slices.Equal(asked, []int64{200, 199}) {
		t.Errorf("it was fetched from %v", asked)
	}
}

func TestWhatEndsAPartitionsWorkIsSaidInALineOfItsOwn(t *testing.T) {
	l := newDiskLog(t, someEvents(300))
	cfg := testConfig(l.addr, "access")
	cfg.Limits.Events = 100
	for name, c := range map[string]struct {
		prepare func(p *partition, m *memory)
		stopped float64 // while it runs
		why     string
		line    string
	}{
		"another member has it": {func(p *partition, _ *memory) { p.fence.member = "another" }, 0, "",
			"this instance lost the partition during a flush; its new owner finishes the batch"},
		"the topic is another one": {func(p *partition, m *memory) { m.counts(p.id, 301) }, 1,
			"stopped, for the topic is another one now; `overreach topic new access` begins its next incarnation",
			"this partition stands still; `overreach topic new` begins the next incarnation of the topic"},
		"its time is over": {func(_ *partition, m *memory) {
			m.setFail(func(step string) error {
				if step == "raw" {
					return errors.New("no answer")
				}
				return nil
			})
		}, 0, "waits for ClickHouse: other", "the last batch was not finished; the next owner of the partition does it"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			cfg.Group = name
			p, log := owner(t, cfg, m)
			c.prepare(p, m)
			ctx, end := context.WithCancel(t.Context())
			write, over := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { p.run(ctx, write); close(done) }()
			if c.why != "" {
				waitFor(t, "why it stands", func() bool { s, _ := p.progress.stall(time.Now()); return s.Why == c.why })
				becomes(t, "stopped", p.metrics.stopped, "", c.stopped)
			} else {
				waitFor(t, "the line", func() bool { return strings.Contains(log.String(), c.line) })
			}
			select {
			case <-done:
				t.Error("it returned, which ends the generation of all")
			default:
			}
			end()
			over()
			<-done
			if n := strings.Count(log.String(), c.line); n != 1 {
				t.Errorf("it is said %d times:\n%s", n, log)
			}
			becomes(t, "stopped", p.metrics.stopped, "", 0)
			if left := gauges(t, p.metrics.stands); len(left) != 0 {
				t.Errorf("it has ended, and stands says %v", left)
			}
			if s, still := p.progress.stall(time.Now()); name == "its time is over" && still && strings.HasPrefix(s.Why, "waits") {
				t.Errorf("it has ended, and waits: %+v", s)
			}
		})
	}
}

func TestAStopSettlesWhatWasPassedWithoutARecord(t *testing.T) {
	c := kfakeCluster(t)
	addr := c.ListenAddrs()[0]
	produce(t, addr, 0, 0, jsonOf(someEvents(10))...)
	var behind atomic.Bool
	answering(t, c, func(offset int64, _ int16) *kmsg.FetchResponseTopicPartition {
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset = 10, 10
		if offset < 5 {
			p.RecordBatches = deltaBatch(0, 4) // compaction has taken all of it
		}
		behind.Store(offset >= 5)
		time.Sleep(time.Millisecond)
		return &p
	})
	cfg, m := testConfig(addr, "access"), newMemory()
	cfg.Limits.Age = time.Hour
	r := start(t, cfg, m)
	waitFor(t, "it to read on", behind.Load)
	r.stop()
	if got := m.ranges(); !slices.Equal(got, []string{"0-5: 0"}) {
		t.Errorf("counted are %v", got)
	}
	if offset, p := committed(t, cfg); offset != 5 || p.to != 5 || p.day != schema.DayOf(time.Now()) {
		t.Errorf("the group's offset is %d with %+v", offset, p)
	}
}

func TestWhatIsCountedIsSettledWhileNothingMoreComes(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(100))...)
	cfg := testConfig(addr, "access")
	r := start(t, cfg, newMemory())
	waitFor(t, "the group's offset to follow", func() bool {
		offset, p := committed(t, cfg)
		return offset == 100 && p.to == 100 && p.last.offset == 99
	})
	r.stop()
}
