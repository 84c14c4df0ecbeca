package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/overreach/overreach/schema"
)

// opened is an empty batch that begins at an offset.
func opened(from int64, topic Topic) *batch {
	b := newBatch(testKey, topic, schema.DefaultTimeLimits())
	b.open(from)
	return b
}

// event is one of a usage key and minute, as a record at an offset.
func event(offset int64, partner string, minute int64) *record {
	e := testEvent{Time: day1 + minute*60_000, Partner: partner, Capability: "c", Action: "read", Subject: "s"}
	return &record{offset: offset, time: day1 + 86400_000 + offset, value: e.json()}
}

func TestABatchIsFullFromItsLimitOn(t *testing.T) {
	b := opened(0, Topic{Name: "access"})
	for i := range int64(2) {
		b.add(event(i, fmt.Sprint("p", i), 0))
	}
	b.add(&record{offset: 2, time: day1, value: []byte("garbage")})
	b.counts.filtered = 1
	takes := b.bytes + b.delta.bytes
	for name, c := range map[string]struct {
		limits Limits
		full   bool
	}{
		"as many items": {Limits{Events: 4, Keys: 9, Bytes: 1 << 20}, true}, "one more may come": {Limits{Events: 5, Keys: 9, Bytes: 1 << 20}, false},
		"as many keys": {Limits{Events: 9, Keys: 2, Bytes: 1 << 20}, true}, "one more key may come": {Limits{Events: 9, Keys: 3, Bytes: 1 << 20}, false},
		"as many bytes": {Limits{Events: 9, Keys: 9, Bytes: takes}, true}, "one more byte may come": {Limits{Events: 9, Keys: 9, Bytes: takes + 1}, false},
	} {
		if got := b.full(&c.limits); got != c.full {
			t.Errorf("%s: full %t", name, got)
		}
	}
}

func TestABatchCountsWhatAMarkerSays(t *testing.T) {
	b := opened(10, Topic{Name: "access"})
	if !b.empty() {
		t.Error("it vouches for something before anything came")
	}
	b.add(event(10, "p", 5))
	b.add(event(12, "p", 3))
	b.add(event(11, "q", 9))
	b.add(&record{offset: 13, time: 7, value: []byte("garbage")})
	if b.empty() || b.next != 14 {
		t.Errorf("it goes on at %d", b.next)
	}
	b.pass(20, badCRC)
	b.pass(22, badCRC)
	b.pass(23, badBatch)
	b.counts.missing = 3
	r := schema.Range{From: 10, To: 23}
	want := schema.Marker{Range: r, Records: 4, Missing: 3, Events: 3, Rejected: 1, FirstEvent: day1 + 3*60_000, LastEvent: day1 + 9*60_000,
		LastRecord: day1 + 86400_000 + 12, Unreadable: 9, Why: []string{"bad_batch", "bad_crc"}, Mixed: true}
	got := b.marker(r, true)
	if got.Minutes = nil; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	b.open(23)
	if got := b.marker(r, false); !b.empty() || got.Records+got.Missing+got.Events+got.Rejected+got.Unreadable != 0 || len(got.Minutes)+len(got.Why) != 0 || got.Mixed || got.FirstEvent != 0 {
		t.Errorf("the next one begins with %+v", got)
	}
	if len(b.access.Offset)+len(b.rejects.Offset) != 0 || b.delta.keys() != 0 || b.bytes+b.delta.bytes != 0 {
		t.Error("the next one begins with rows")
	}
}

func TestEachLeafHasARowForEachMinuteHourAndDayThatItTouches(t *testing.T) {
	b := opened(0, Topic{Name: "access"}) // day1 is an hour before midnight
	for i, e := range []struct {
		partner string
		minute  int64
	}{{"p", 7}, {"p", 5}, {"q", 5}, {"p", 5}, {"p", 61}, {"p", 59}, {"p", 130}, {"q", 131}} {
		b.add(event(int64(i), e.partner, e.minute))
	}
	rows := b.delta.usage()
	var got []string
	for i := range rows.Bucket {
		got = append(got, fmt.Sprintf("%s %s %d: %d", rows.Partner[i], rows.Resolution[i], (rows.Bucket[i]-day1/1000)/60, rows.Accesses[i]))
	}
	var want []string
	for _, row := range []struct {
		partner    string
		resolution schema.Resolution
		minute, n  int
	}{
		{"p", schema.Minute, 5, 2}, {"p", schema.Minute, 7, 1}, {"p", schema.Minute, 59, 1}, {"p", schema.Hourly, 0, 4}, {"p", schema.Daily, -23 * 60, 4},
		{"p", schema.Minute, 61, 1}, {"p", schema.Hourly, 60, 1}, {"p", schema.Minute, 130, 1}, {"p", schema.Hourly, 120, 1}, {"p", schema.Daily, 60, 2},
		{"q", schema.Minute, 5, 1}, {"q", schema.Hourly, 0, 1}, {"q", schema.Daily, -23 * 60, 1},
		{"q", schema.Minute, 131, 1}, {"q", schema.Hourly, 120, 1}, {"q", schema.Daily, 60, 1},
	} {
		want = append(want, fmt.Sprintf("%s %s %d: %d", row.partner, row.resolution, row.minute, row.n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARawRowHoldsAllOfItsEvent(t *testing.T) {
	b := opened(0, Topic{Name: "access"})
	b.add(event(6, "another", 1))
	value := fmt.Sprintf(`{"time":%d,"id":"e1","partner":"p","app":"a","capability":"c","action":"write","subject":"s","actor":"t","api_version":"v2","grant":"g","status":403,"records":8,"bytes":9}`, day1)
	b.add(&record{offset: 7, time: day1 + 86400_000, value: []byte(value)})
	a := b.access
	got := fmt.Sprint(a.Offset, a.Item, a.Time, a.Partner, a.App, a.Capability, a.ID, a.APIVersion, a.Grant, a.Status, a.Records, a.Bytes, len(a.Action), len(a.Subject), len(a.Actor))
	want := fmt.Sprintf("[6 7] [0 0] [%d %d] [another p] [ a] [c c] [ e1] [ v2] [ g] [0 403] [0 8] [0 9] 2 2 2", day1+60_000, day1)
	if got != want {
		t.Errorf("the rows are %s, want %s", got, want)
	}
	if a.Action[1] != schema.Write || a.Subject[1] != testKey.hash([]byte("s")) || a.Actor[1] != testKey.hash([]byte("t")) {
		t.Errorf("its action is %v, its people %d and %d", a.Action[1], a.Subject[1], a.Actor[1])
	}
}

func TestARejectIsKeptAsAnOutlineAndWholeOnlyWhereItIsToBe(t *testing.T) {
	const garbage = `{"name":"Ann","age":`
	for _, keep := range []bool{false, true} {
		b := opened(0, Topic{Name: "access", KeepRaw: keep})
		b.add(&record{offset: 4, time: day1 + 5, value: []byte(garbage)})
		j := b.rejects
		if len(j.Offset) != 1 || j.Offset[0] != 4 || j.Time[0] != day1+5 || j.Size[0] != int64(len(garbage)) || j.Reason[0] != string(schema.NotJSON) || j.Detail[0] == "" {
			t.Fatalf("%+v", j)
		}
		if strings.Contains(j.Outline[0], "Ann") || j.Outline[0] == "" || j.Outline[0] == outlineOfLarge {
			t.Errorf("the outline is %q", j.Outline[0])
		}
		if (j.Raw[0] == garbage) != keep || !keep && j.Raw[0] != "" {
			t.Errorf("kept: %q", j.Raw[0])
		}
		if want := int64(bytesAnEvent + bytesAName*(len(j.Raw[0])+len(j.Outline[0])+len(j.Detail[0]))); b.bytes != want {
			t.Errorf("it takes %d bytes, want %d", b.bytes, want)
		}
	}
}

func TestTextsOfABatchAreWhatProducersSentHoweverManyThereAre(t *testing.T) {
	b := opened(0, Topic{Name: "access"})
	var want []string
	for i := range 3000 {
		id := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%60))
		if i%7 == 0 {
			id = ""
		}
		want = append(want, id)
		value := fmt.Sprintf(`{"time":%d,"id":%q,"partner":"p","capability":"c","action":"read","subject":"s","api_version":"v%d","grant":"g%d"}`, day1, id, i%3, i%5)
		b.add(&record{offset: int64(i), time: day1 + 86400_000, value: []byte(value)})
	}
	if b.counts.rejected > 0 || !slices.Equal(b.access.ID, want) {
		t.Errorf("%d rejects, or ids that nobody sent", b.counts.rejected)
	}
	for i := range 3000 {
		if b.access.APIVersion[i] != fmt.Sprint("v", i%3) || b.access.Grant[i] != fmt.Sprint("g", i%5) {
			t.Fatalf("event %d has version %q and grant %q", i, b.access.APIVersion[i], b.access.Grant[i])
		}
	}
	if len(b.words) != 8 {
		t.Errorf("%d words are held", len(b.words))
	}
	long := strings.Repeat("y", idBytes+1)
	if got := b.id([]byte(long)); got != long {
		t.Error("an id that is longer than a piece of memory is another one")
	}
}

func TestWhatABatchHeldIsExportedByTopicAndReason(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	m.begin([]Topic{{Name: "access"}, {Name: "calls"}})
	for name, c := range map[string]prometheus.Collector{"records": m.records, "events": m.events, "filtered": m.filtered, "missing": m.missing, "passed": m.passed, "owned": m.owned} {
		if got := gauges(t, c); len(got) != 2 || got["topic=access"] != 0 {
			t.Errorf("%s begins as %v", name, got)
		}
	}
	if got := gauges(t, m.unreadable); len(got) != 2*len(kinds) {
		t.Errorf("unreadable begins as %v", got)
	}
	for range 2 {
		m.counted("access", &counts{records: 1, events: 2, filtered: 3, missing: 4, unreadable: 5}, &schema.RejectRows{Reason: []string{"not_json", "too_large", "not_json"}})
	}
	for name, c := range map[string]struct {
		from prometheus.Collector
		want float64
	}{"records": {m.records, 2}, "events": {m.events, 4}, "filtered": {m.filtered, 6}, "missing": {m.missing, 8}, "passed": {m.passed, 10}} {
		if got := gauges(t, c.from); got["topic=access"] != c.want || got["topic=calls"] != 0 {
			t.Errorf("%s: %v, want %v of access", name, got, c.want)
		}
	}
	if got := gauges(t, m.rejects); got["reason=not_json,topic=access"] != 4 || got["reason=too_large,topic=access"] != 2 || len(got) != 2 {
		t.Errorf("rejects: %v", got)
	}
}
