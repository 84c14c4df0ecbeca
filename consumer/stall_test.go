package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// saysThatItStands waits for the line on a partition that stands.
func (r *running) saysThatItStands(t *testing.T) {
	t.Helper()
	waitFor(t, "the line that it stands", func() bool { return strings.Contains(r.log.String(), "this partition stands still") })
}

// unreadableMarkers returns the markers of what could not be decoded.
func (m *memory) unreadableMarkers() []schema.Marker {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.markers), func(k schema.Marker) bool { return k.Unreadable == 0 })
}

// committed returns the group's offset of partition 0 and its pin.
func committed(t *testing.T, cfg Config) (int64, pin) {
	t.Helper()
	offset, text, err := outsider(t, cfg).read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := parsePin(offset, text)
	return offset, p
}

// outsider reads and writes the group's offsets of partition 0 while it has no
// members.
func outsider(t *testing.T, cfg Config) *fence {
	t.Helper()
	tr := &kafka.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &fence{client: &kafka.Client{Addr: kafka.TCP(cfg.Brokers[0]), Transport: tr}, group: cfg.Group, topic: "access", generation: -1}
}

const firstPartition = "partition=0,topic=access"

func TestAPartitionStandsBeforeWhatCannotBeDecodedUntilSomebodyHasItPassed(t *testing.T) {
	events := someEvents(400)
	l := newDiskLog(t, events)
	l.alter(200, flip)
	m := newMemory()
	cfg := testConfig(l.addr, "access")
	r := start(t, cfg, m)
	r.saysThatItStands(t)
	partition := schema.Partition{Incarnation: r.inForce()[0].Name}
	if to, _, _ := m.Counted(t.Context(), partition); to != 200 {
		t.Errorf("what lies before it is counted up to %d, want 200", to)
	}
	if offset, p := committed(t, cfg); offset != 200 || p.to != 200 || p.last.offset != 199 {
		t.Errorf("the group's offset is %d with %+v", offset, p)
	}
	stalls := r.Report().Stalls
	want := "stands before records that cannot be decoded (bad_crc) at offset 200; `overreach skip access/0 --reason ...` passes them"
	if len(stalls) != 1 || stalls[0].What != "access/0" || stalls[0].Why != want {
		t.Errorf("the report says %+v", stalls)
	}
	becomes(t, "stands", r.metrics.stands, firstPartition, 1)
	m.skip(partition, 199) // which says nothing of this one
	attempts := func() float64 { return gauges(t, r.metrics.unreadable)["kind=bad_crc,topic=access"] }
	before := attempts()
	waitFor(t, "more attempts", func() bool { return attempts() > before+2 })
	if n := m.chained(t); n.unreadable != 0 || n.records != 200 {
		t.Fatalf("passed, though nobody wants it to be: %+v", n)
	}
	m.skip(partition, 200)
	r.countedTo(t, m)
	becomes(t, "stands", r.metrics.stands, firstPartition, 0)
	becomes(t, "passed", r.metrics.passed, "topic=access", 100)
	if stalls := r.Report().Stalls; len(stalls) != 0 {
		t.Errorf("it was passed, and the report says %+v", stalls)
	}
	r.stop()
	sameTotals(t, m.totals(t), oracle(slices.Concat(events[:200], events[300:])))
	if k := m.unreadableMarkers(); len(k) != 1 || k[0].From != 200 || k[0].To != 300 || k[0].Unreadable != 100 ||
		!slices.Equal(k[0].Why, []string{"bad_crc"}) || k[0].Records != 0 || k[0].Mixed {
		t.Errorf("the markers are %+v", k)
	}
	log := r.log.String()
	for _, want := range []string{
		`"offset":200,"to":300,"kind":"bad_crc"`, "its CRC is ", "`overreach skip access/0 --reason ...` passes them at once; only that command passes it.",
		`"from":200,"to":300,"kind":"bad_crc","message":"passing records that cannot be decoded`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if n := strings.Count(log, "this partition stands still"); n != 1 {
		t.Errorf("said %d times that it stands", n)
	}
	if left := gauges(t, r.metrics.stands); len(left) != 0 {
		t.Errorf("it is nobody's now, and stands says %v", left)
	}
}

func TestWhatCannotBeDecodedIsPassedInTimeAndAllOfTheSameDamageWithIt(t *testing.T) {
	t.Parallel() // it waits most of its time
	events := someEvents(500)
	l := newDiskLog(t, events)
	l.alter(100, flip)
	l.alter(300, func(b []byte) { b[batchHeader] = 1; seal(b) })
	m := newMemory()
	cfg := testConfig(l.addr, "access")
	cfg.UnreadableAfter = 2 * time.Second
	began := time.Now()
	r := start(t, cfg, m)
	r.countedTo(t, m)
	if took := time.Since(began); took < cfg.UnreadableAfter {
		t.Errorf("passed after %s, before it was time", took)
	}
	r.stop()
	sameTotals(t, m.totals(t), oracle(slices.Concat(events[:100], events[200:300], events[400:])))
	k := m.unreadableMarkers()
	if len(k) != 2 || k[0].From != 100 || k[0].To != 200 || k[0].Why[0] != "bad_crc" || k[1].From != 300 || k[1].To != 400 || k[1].Why[0] != "bad_batch" {
		t.Errorf("the markers are %+v", k)
	}
	log := r.log.String()
	if !strings.Contains(log, "passes them at once; in 2s it is passed by itself.") && !strings.Contains(log, "passes them at once; in 1s it is passed by itself.") {
		t.Error("it is not said when the first is passed by itself")
	}
	if !strings.Contains(log, "passes them at once; in 0s it is passed by itself.") {
		t.Error("the second belongs to the same damage, and it is not said that it waits no longer")
	}
}

func TestWhatCanBeDecodedInTimeIsCountedAndNothingPassed(t *testing.T) {
	events := someEvents(300)
	l := newDiskLog(t, events)
	l.alter(100, flip)
	m := newMemory()
	cfg := testConfig(l.addr, "access")
	cfg.UnreadableAfter = time.Hour
	r := start(t, cfg, m)
	r.saysThatItStands(t)
	if !strings.Contains(r.log.String(), "in 1h0m0s it is passed by itself") {
		t.Error("it is not said when it is passed by itself")
	}
	l.alter(100, flip) // another replica has it whole
	r.countedTo(t, m)
	waitFor(t, "the line that it can be decoded", func() bool {
		return strings.Contains(r.log.String(), "these records can be decoded now; nothing was passed")
	})
	becomes(t, "stands", r.metrics.stands, firstPartition, 0)
	if stalls := r.Report().Stalls; len(stalls) != 0 {
		t.Errorf("it goes on, and the report says %+v", stalls)
	}
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if n := m.chained(t); n.unreadable != 0 {
		t.Errorf("the markers say %+v", n)
	}
}

func TestABatchThatLaterOffsetsFindIsReadAndNobodyTroubled(t *testing.T) {
	events := someEvents(300)
	l := newDiskLog(t, events)
	l.from[100] = 150
	m := newMemory()
	r := start(t, testConfig(l.addr, "access"), m)
	r.countedTo(t, m)
	attempts := gauges(t, r.metrics.unreadable)["kind=bad_batch,topic=access"]
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	if attempts != 2 {
		t.Errorf("%v attempts before it was found, want one and the one that is looked into", attempts)
	}
	if log := r.log.String(); strings.Contains(log, "decoded") {
		t.Errorf("said:\n%s", log)
	}
}

func TestNothingIsPassedThatASecondLookCanDecode(t *testing.T) {
	events := someEvents(300)
	l := newDiskLog(t, events)
	l.segments(0)
	// The first fetch reads up to it. Of those from offset 100 on every one fails
	// that would hand it over, and none that looks whether it can be passed.
	for _, nth := range []int{2, 3, 5, 8, 10} {
		l.fail[nth] = int16(kafka.InvalidMessage)
	}
	m := newMemory()
	cfg := testConfig(l.addr, "access")
	cfg.UnreadableAfter = time.Nanosecond
	r := start(t, cfg, m)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	log := r.log.String()
	if n := m.chained(t); n.unreadable != 0 || strings.Contains(log, "passing records") {
		t.Errorf("it was passed: %+v", n)
	}
	if !strings.Contains(log, `"offset":100,"to":100,"kind":"bad_batch"`) || !strings.Contains(log, "can be decoded now") {
		t.Error("that it stood, and that it goes on, is not said")
	}
}

func TestWhatKafkaDeletesWhileAPartitionStandsBeforeItIsMissing(t *testing.T) {
	events := someEvents(300)
	l := newDiskLog(t, events)
	l.alter(0, flip)
	m := newMemory()
	r := start(t, testConfig(l.addr, "access"), m)
	r.saysThatItStands(t)
	deleteRecords(t, l.addr, 150)
	l.mu.Lock()
	l.first = 150
	l.mu.Unlock()
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events[150:]))
	if n := m.chained(t); n.unreadable != 0 || n.missing != 150 {
		t.Errorf("the markers say %+v", n)
	}
	if !strings.Contains(r.log.String(), `"from":0,"to":150,"message":"Kafka no longer has these records`) {
		t.Error("it is not said what is missing")
	}
}

func TestAStallLastsFromOneGenerationToTheNextAndIsSaidInEach(t *testing.T) {
	l := newDiskLog(t, someEvents(300))
	l.alter(100, flip)
	cfg := testConfig(l.addr, "access")
	cfg.UnreadableAfter = time.Hour
	c, g, _ := member(t, cfg, newMemory())
	log := &syncBuffer{}
	c.log = zerolog.New(log)
	var since []time.Time
	for n := 1; n <= 2; n++ {
		p := c.newPartition(cfg.Topics[0], c.inForce()[0], c.newProgress("access", 0, cfg.Limits), cfg.Limits, g)
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.work(ctx, t.Context()) }()
		waitFor(t, "the line that it stands", func() bool { return strings.Count(log.String(), "this partition stands still") == n })
		end()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		since = append(since, p.stall.since)
	}
	if !since[0].Equal(since[1]) {
		t.Error("the next generation waits anew")
	}
}

func TestAPinnedRangeIsFinishedThoughAPartOfItCannotBeDecodedAnyMore(t *testing.T) {
	for to, want := range map[int64][]string{
		// The range ends behind the damage, before its end, and with it.
		250: {"0-250: 150 and 100 mixed", "250-300: 50 and 0"},
		150: {"0-150: 100 and 50 mixed", "150-200: 0 and 50", "200-300: 100 and 0"},
		200: {"0-200: 100 and 100 mixed", "200-300: 100 and 0"},
	} {
		t.Run(fmt.Sprint("to ", to), func(t *testing.T) {
			t.Parallel()
			l := newDiskLog(t, someEvents(300))
			l.alter(100, flip)
			m := newMemory()
			cfg := testConfig(l.addr, "access")
			begun := pin{from: 0, to: to, day: schema.DayOf(time.Now()), by: cfg.fingerprint(&cfg.Topics[0]), number: 1, last: fingerprint{offset: -1}}
			if err := outsider(t, cfg).commit(t.Context(), &begun); err != nil {
				t.Fatal(err)
			}
			r := start(t, cfg, m)
			r.saysThatItStands(t)
			if n := m.chained(t); n.records != 0 {
				t.Errorf("a part of the range was counted by itself: %+v", n)
			}
			partition := schema.Partition{Incarnation: r.inForce()[0].Name}
			m.skip(partition, 100)
			waitFor(t, "the range", func() bool { at, _, _ := m.Counted(t.Context(), partition); return at >= to })
			m.skip(partition, to)
			r.countedTo(t, m)
			r.stop()
			m.chained(t)
			var got []string
			for _, k := range m.markers {
				text := fmt.Sprintf("%d-%d: %d and %d", k.From, k.To, k.Records, k.Unreadable)
				if k.Mixed {
					text += " mixed"
				}
				got = append(got, text)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the markers are %q, want %q", got, want)
			}
		})
	}
}

func TestWhoFinishesARangeThatCouldNotBeDecodedDoesNotReadIt(t *testing.T) {
	for _, point := range []string{pointPinned, pointUsage} {
		events := someEvents(300)
		l := newDiskLog(t, events)
		l.alter(100, flip)
		m := newMemory()
		cfg := testConfig(l.addr, "access")
		cfg.UnreadableAfter = time.Millisecond
		crashAt(t, cfg, m, point, 2) // the first is what lies before
		cfg.UnreadableAfter = 0
		l.requests()
		r := start(t, cfg, m)
		r.countedTo(t, m)
		r.stop()
		if asked := l.requests(); slices.ContainsFunc(asked, func(o int64) bool { return o >= 100 && o < 200 }) {
			t.Errorf("%s: it was fetched from %v", point, asked)
		}
		sameTotals(t, m.totals(t), oracle(slices.Concat(events[:100], events[200:])))
		if k := m.unreadableMarkers(); len(k) != 1 || k[0].From != 100 || k[0].To != 200 || k[0].Mixed || !slices.Equal(k[0].Why, []string{"bad_crc"}) {
			t.Errorf("%s: the markers are %+v", point, k)
		}
	}
}

func TestAFormerOwnerThatStandsLearnsThatItIsOne(t *testing.T) {
	for _, at := range []int64{0, 100} { // with nothing to flush before it, and with a batch
		l := newDiskLog(t, someEvents(300))
		l.alter(at, flip)
		m := newMemory()
		p, log := owner(t, testConfig(l.addr, "access"), m)
		m.counts(p.id, 0)
		p.fence.member = "another"
		ctx, end := context.WithTimeout(t.Context(), 10*time.Second)
		defer end()
		if err := p.work(ctx, t.Context()); !errors.Is(err, errFenced) {
			t.Errorf("before offset %d its work ends with %v", at, err)
		}
		if n := m.chained(t); n.records != 0 || strings.Contains(log.String(), "this partition stands still") {
			t.Errorf("before offset %d it counts %d records, and says:\n%s", at, n.records, log)
		}
	}
}

func TestADamageThatGoesOnDoesNotWaitAnew(t *testing.T) {
	at := func(offset int64) *unreadable { return &unreadable{kind: badCRC, offset: offset} }
	const after = time.Minute
	long := time.Now().Add(-time.Hour)
	s := stall{sure: true, tried: true, said: true}
	if s.meets(at(7), after) || s.sure || s.tried || s.said || time.Since(s.since) > after {
		t.Errorf("the first attempt: %+v", s)
	}
	s.since, s.sure, s.tried, s.said = long, true, true, true
	if !s.meets(at(7), after) || !s.sure || !s.tried || !s.said || !s.since.Equal(long) {
		t.Errorf("another attempt at the same: %+v", s)
	}
	if s.meets(at(8), after) || s.sure || s.since.Equal(long) {
		t.Errorf("another place, where none was passed: %+v", s)
	}
	s = stall{since: long, passed: time.Now().Add(-after / 2)}
	if s.meets(at(9), after) || !s.since.Equal(long) {
		t.Errorf("soon after one was passed: %+v", s)
	}
	s = stall{since: long, passed: time.Now().Add(-2 * after)}
	if s.meets(at(9), after) || s.since.Equal(long) {
		t.Errorf("long after one was passed: %+v", s)
	}
}

func TestWhatCannotBeDecodedSaysWhereAndWhy(t *testing.T) {
	why := errors.New("its CRC is wrong")
	for want, err := range map[string]error{
		"the record batch there cannot be decoded (bad_crc): its CRC is wrong":                      &unreadable{kind: badCRC, offset: 7, err: why},
		"what Kafka holds from offset 7 to 9 cannot be decoded (bad_compression): its CRC is wrong": &Unreadable{From: 7, To: 9, Why: string(badCompression), err: why},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if !errors.Is(&unreadable{err: why}, why) {
		t.Error("it hides its cause")
	}
}
