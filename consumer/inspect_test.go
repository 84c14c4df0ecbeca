package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/schema"
)

// inspected returns where each partition stands, as a line.
func inspected(t *testing.T, cfg Config, m Store) map[string]string {
	t.Helper()
	_, all, err := Inspect(t.Context(), cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, s := range all {
		_, name, _ := strings.Cut(s.Incarnation, "/")
		line := fmt.Sprintf("counted %d, committed %d, log %d to %d", s.Counted, s.Committed, s.First, s.End)
		if s.Stopped != nil {
			line += ", stopped: " + s.Stopped.Error()
		}
		if s.Unreadable != nil {
			line += fmt.Sprintf(", unreadable %d to %d: %s", s.Unreadable.From, s.Unreadable.To, s.Unreadable.Why)
		}
		lines[fmt.Sprintf("%s/%d", name, s.Partition.Partition)] = line
	}
	return lines
}

// counts has a store know that a partition was counted up to an offset.
func (m *memory) counts(p schema.Partition, to int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.markers = append(m.markers, schema.Marker{Range: schema.Range{Partition: p, To: to}})
}

func TestInspectingSaysWhereEveryPartitionOfEveryTopicStands(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(3, "calls", "access"))
	produceTo(t, addr, "access", 2, 0, jsonOf(someEvents(30))...)
	produceTo(t, addr, "calls", 0, 0, jsonOf(someEvents(20))...)
	cfg := testConfig(addr, "calls", "access") // not in the order of their names
	m := newMemory()
	incarnations, all, err := Inspect(t.Context(), cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	if len(incarnations) != 2 || incarnations[0].Topic != "calls" || incarnations[1].Topic != "access" || incarnations[0].Partitions != 3 || incarnations[0].MadeAgain() {
		t.Errorf("the incarnations are %+v", incarnations)
	}
	var order []string
	for _, s := range all {
		order = append(order, fmt.Sprint(s.Partition))
	}
	var want []string
	for _, s := range incarnations {
		for id := range int32(3) {
			want = append(want, fmt.Sprint(schema.Partition{Incarnation: s.Name, Partition: id}))
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	m.counts(schema.Partition{Incarnation: incarnations[1].Name, Partition: 2}, 12)
	m.counts(schema.Partition{Incarnation: incarnations[1].Name, Partition: 1}, 0)
	if err := outsider(t, cfg).commit(t.Context(), &pin{from: 0, to: 0, day: 20000, number: 1, last: fingerprint{offset: -1}}); err != nil {
		t.Fatal(err)
	}
	got := inspected(t, cfg, m)
	for name, want := range map[string]string{
		"calls@1/0":  "counted -1, committed -1, log 0 to 20",
		"access@1/0": "counted -1, committed 0, log 0 to 0",
		"access@1/1": "counted 0, committed -1, log 0 to 0",
		"access@1/2": "counted 12, committed -1, log 0 to 30",
	} {
		if got[name] != want {
			t.Errorf("%s: %s; want %s", name, got[name], want)
		}
	}
	if len(m.usage) != 0 || len(m.access) != 0 {
		t.Error("inspecting wrote something")
	}
	if offset, _ := committed(t, cfg); offset != 0 {
		t.Errorf("inspecting committed %d", offset)
	}
}

func TestInspectingNamesThePartitionsThatStandStill(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(2, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(30))...)
	produce(t, addr, 1, 0, jsonOf(someEvents(40))...)
	cfg := testConfig(addr, "access")
	m := newMemory()
	incarnations, _, err := Inspect(t.Context(), cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	m.counts(schema.Partition{Incarnation: incarnations[0].Name}, 31)
	m.counts(schema.Partition{Incarnation: incarnations[0].Name, Partition: 1}, 40)
	got := inspected(t, cfg, m)
	if want := "counted 31, committed -1, log 0 to 30, stopped: the topic is another one now: offsets up to 31 have been read, but the log ends at 30"; got["access@1/0"] != want {
		t.Errorf("%s; want %s", got["access@1/0"], want)
	}
	if want := "counted 40, committed -1, log 0 to 40"; got["access@1/1"] != want {
		t.Errorf("%s; want %s", got["access@1/1"], want)
	}
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		now[0].TopicID = strings.Repeat("0", 31) + "f"
		return now, nil
	}
	incarnations, all, err := Inspect(t.Context(), cfg, m)
	if err != nil || !incarnations[0].MadeAgain() {
		t.Fatal(incarnations, err)
	}
	for _, s := range all {
		if !errors.Is(s.Stopped, errMadeAgain) || s.Stopped.Error() != "the topic is another one now: it was deleted and made again" {
			t.Errorf("%v: %v", s.Partition, s.Stopped)
		}
	}
}

func TestInspectingSaysWhatAPartitionStandsBefore(t *testing.T) {
	type state struct{ counted, pinnedTo int64 } // 0: not at all
	for name, c := range map[string]struct {
		state
		damage     func(l *diskLog)
		unreadable string // where, empty: nothing
	}{
		"nothing is damaged":                      {state{counted: 100}, func(*diskLog) {}, ""},
		"the next record":                         {state{counted: 100}, func(l *diskLog) { l.alter(100, flip) }, "100 to 200: bad_crc"},
		"the record after the next":               {state{counted: 99}, func(l *diskLog) { l.alter(100, flip) }, ""},
		"what was counted":                        {state{counted: 200}, func(l *diskLog) { l.alter(100, flip) }, ""},
		"the end of a batch that was begun":       {state{counted: 50, pinnedTo: 101}, func(l *diskLog) { l.alter(100, flip) }, "100 to 200: bad_crc"},
		"what lies behind a batch that was begun": {state{counted: 50, pinnedTo: 100}, func(l *diskLog) { l.alter(100, flip); l.segments(0) }, ""},
		"the last batch":                          {state{counted: 200}, func(l *diskLog) { l.refused[200] = true }, "200 to 300: bad_batch"},
		"all is counted":                          {state{counted: 300}, func(l *diskLog) { l.alter(200, flip) }, ""},
		"a later offset finds it":                 {state{counted: 100}, func(l *diskLog) { l.from[100] = 150 }, ""},
		"Kafka deleted it":                        {state{counted: 100}, func(l *diskLog) { l.first = 200 }, ""},
		"a transaction that is open":              {state{counted: 100}, func(l *diskLog) { l.batches, l.stable = nil, 100 }, ""},
		"nobody knows where it begins":            {state{}, func(l *diskLog) { l.alter(0, flip) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newDiskLog(t, someEvents(300))
			c.damage(l)
			cfg, m := testConfig(l.addr, "access"), newMemory()
			if c.counted > 0 {
				m.counts(schema.Partition{Incarnation: l.incarnationName(t)}, c.counted)
			}
			if c.pinnedTo > 0 {
				p := pin{from: c.counted, to: c.pinnedTo, day: 20000, number: 1, last: fingerprint{offset: -1}}
				if err := outsider(t, cfg).commit(t.Context(), &p); err != nil {
					t.Fatal(err)
				}
			}
			got := inspected(t, cfg, m)["access@1/0"]
			_, where, _ := strings.Cut(got, ", unreadable ")
			if where != c.unreadable {
				t.Errorf("it stands before %q, want %q: %s", where, c.unreadable, got)
			}
		})
	}
}

// incarnationName is that of the topic's first incarnation.
func (l *diskLog) incarnationName(t *testing.T) string {
	t.Helper()
	incarnations, _, err := Inspect(t.Context(), testConfig(l.addr, "access"), newMemory())
	if err != nil {
		t.Fatal(err)
	}
	l.requests()
	return incarnations[0].Name
}

func TestWhatKeepsFromInspectingIsAnError(t *testing.T) {
	l := newDiskLog(t, someEvents(300))
	m := newMemory()
	m.counts(schema.Partition{Incarnation: l.incarnationName(t)}, 100)
	f := func(want error, text string, change func(cfg *Config)) {
		t.Helper()
		cfg := testConfig(l.addr, "access")
		change(&cfg)
		_, _, err := Inspect(t.Context(), cfg, m)
		if err == nil || !strings.Contains(err.Error(), text) || want != nil && !errors.Is(err, want) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	f(nil, "no consumer group is named", func(cfg *Config) { cfg.Group = "" })
	f(ErrRefused, "another key", func(cfg *Config) {
		cfg.Incarnations = func(context.Context, []Incarnation) ([]Incarnation, error) {
			return nil, fmt.Errorf("%w: another key", ErrRefused)
		}
	})
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := Inspect(ended, testConfig("127.0.0.1:1", "access"), m); err == nil || !strings.Contains(err.Error(), "no Kafka broker at 127.0.0.1:1") {
		t.Errorf("where nobody listens: %v", err)
	}
	refuse := func(nths ...int) {
		l.requests()
		l.fail = map[int]int16{}
		for _, nth := range nths {
			l.fail[nth] = int16(kafka.TopicAuthorizationFailed)
		}
	}
	refuse(1) // of what comes next
	f(kafka.TopicAuthorizationFailed, "fetching access/0 from offset 100", func(*Config) {})
	l.alter(100, flip)
	soon, end := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	refuse(2, 3, 4, 5) // of where it ends, which is asked for again
	if _, _, err := Inspect(soon, testConfig(l.addr, "access"), m); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("looking for the end of it: %v", err)
	}
	refuse()
	m.setFail(func(string) error { return errors.New("no answer") })
	soon, end = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	if _, _, err := Inspect(soon, testConfig(l.addr, "access"), m); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a store that does not answer: %v", err)
	}
}

func TestAStartLiesSomewhereInEachPartition(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(3, "access", "calls"))
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	for i, minute := range []int64{0, 1, 2} {
		if _, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: "access", Partition: i % 2, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x")), Time: time.UnixMilli(day1 + minute*60_000)})}); err != nil {
			t.Fatal(err)
		}
	}
	deleteRecords(t, addr, 1) // partition 0 is [1, 2), 1 is [0, 1), 2 is empty
	cfg := testConfig(addr, "access", "calls")
	for _, c := range []struct {
		start Start
		want  map[int32]int64
	}{
		{Start{At: Earliest}, map[int32]int64{0: 1, 1: 0, 2: 0}},
		{Start{At: Latest}, map[int32]int64{0: 2, 1: 1, 2: 0}},
		{Start{At: Since, Time: time.UnixMilli(day1 + 2*60_000)}, map[int32]int64{0: 1, 1: 1, 2: 0}},
		{Start{At: Since, Time: time.UnixMilli(day1 + 2*60_000 + 1)}, map[int32]int64{0: 2, 1: 1, 2: 0}},
	} {
		got, id, err := StartsAt(t.Context(), cfg, "access", c.start)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) || len(id) != 32 {
			t.Errorf("%s: %v, topic %q, %v; want %v", c.start, got, id, err, c.want)
		}
	}
	_, access, _ := StartsAt(t.Context(), cfg, "access", Start{At: Earliest})
	if _, calls, err := StartsAt(t.Context(), cfg, "calls", Start{At: Earliest}); err != nil || calls == access {
		t.Errorf("two topics have the id %s, %v", calls, err)
	}
	soon, end := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	if _, _, err := StartsAt(soon, testConfig("127.0.0.1:1", "access"), "access", Start{At: Earliest}); err == nil || !strings.Contains(err.Error(), "no Kafka broker at 127.0.0.1:1") {
		t.Errorf("where nobody listens: %v", err)
	}
}
