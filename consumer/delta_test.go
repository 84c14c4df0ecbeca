package consumer

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

// readInto adds records to a batch as the loop does.
func readInto(b *batch, values [][]byte) {
	for i, v := range values {
		b.add(&record{offset: int64(i), time: day1 + 86400_000, value: v})
	}
}

func TestTheSameBatchAgainGivesTheSameRows(t *testing.T) {
	events := someEvents(5000)
	b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	var first string
	for i := range 3 {
		b.open(0)
		readInto(b, jsonOf(events))
		text := fmt.Sprint(*b.delta.usage(), b.marker(schema.Range{}, false), b.access)
		if i == 0 {
			first = text
		} else if text != first {
			t.Fatalf("attempt %d came out otherwise", i)
		}
		// What another batch leaves behind must not show.
		b.open(9)
		readInto(b, jsonOf(someEvents(300)))
		b.delta.usage()
	}
}

func TestABatchIsHeldToTakeMoreTheLongerItsNamesAre(t *testing.T) {
	takes := func(e testEvent) int64 {
		e.Time, e.Action, e.Subject = day1, "read", "s"
		b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
		b.open(0)
		readInto(b, [][]byte{e.json()})
		return b.bytes
	}
	const long = "a name of thirty-two characters."
	least := takes(testEvent{Partner: "p", App: "a", Capability: "c"})
	for what, e := range map[string]testEvent{
		"partner":    {Partner: long, App: "a", Capability: "c"},
		"app":        {Partner: "p", App: long, Capability: "c"},
		"capability": {Partner: "p", App: "a", Capability: long},
	} {
		if got, want := takes(e)-least, int64(bytesAName*(len(long)-1)); got != want {
			t.Errorf("a %s of %d bytes in the place of one adds %d, not %d", what, len(long), got, want)
		}
	}
}

func TestAMarkerNamesTheMinutesAndTheTimes(t *testing.T) {
	b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	b.open(7)
	var values [][]byte
	for _, minute := range []int64{5, 2, 5, 9, 2} {
		e := testEvent{Time: day1 + minute*60_000 + 59_999, Partner: "p", Capability: "c", Action: "read", Subject: "s"}
		values = append(values, e.json())
	}
	readInto(b, values)
	m := b.marker(schema.Range{}, false)
	first := uint32(day1 / 60_000)
	if want := fmt.Sprint([]uint32{first + 2, first + 5, first + 9}); fmt.Sprint(m.Minutes) != want {
		t.Errorf("minutes %v, want %s", m.Minutes, want)
	}
	if m.FirstEvent != day1+2*60_000+59_999 || m.LastEvent != day1+9*60_000+59_999 {
		t.Errorf("events from %d to %d", m.FirstEvent, m.LastEvent)
	}
}

func TestRawRowsHoldHashesAndNoIDs(t *testing.T) {
	b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	b.open(0)
	e := testEvent{Time: day1, ID: "e1", Partner: "p", Capability: "c", Action: "read", Subject: "user-17"}
	f := e
	f.Actor = "user-18"
	readInto(b, [][]byte{e.json(), f.json()})
	// sipHash64Keyed((506097522914230528, 1084818905618843912), 'user-17') in ClickHouse
	if got := b.access.Subject[0]; got != testKey.hash([]byte("user-17")) || got == 0 {
		t.Errorf("the subject is %d", got)
	}
	if b.access.Actor[0] != 0 || b.access.Actor[1] != testKey.hash([]byte("user-18")) {
		t.Errorf("the actors are %v", b.access.Actor)
	}
}

// SipHash-2-4 of the bytes 0, 1, … under the key 0, 1, … 15: the vectors of the
// reference implementation, which ClickHouse's sipHash64Keyed gives too.
func TestHashesAreSipHash24(t *testing.T) {
	for n, want := range map[int]uint64{1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		if got := testKey.hash(b); got != want {
			t.Errorf("%d bytes hash to %x, want %x", n, got, want)
		}
	}
	if testKey.hash(nil) != 0 {
		t.Error("no user must be 0")
	}
}

func TestAnEventOfAKnownCellAllocatesNothing(t *testing.T) {
	b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	b.open(0)
	values := jsonOf(someEvents(200))
	for range 10 { // the columns grow
		readInto(b, values)
	}
	b.access.Offset = b.access.Offset[:0]
	rows := b.access
	resetAccess(&rows)
	allocs := testing.AllocsPerRun(5, func() {
		b.access = rows
		readInto(b, values)
	})
	if allocs > 1 { // a piece of memory for ids, at times
		t.Errorf("%v allocations for 200 events", allocs)
	}
}

// plainEvent is what encoding/json decodes into for comparison.
type plainEvent struct {
	Time       int64  `json:"time"`
	ID         string `json:"id"`
	Partner    string `json:"partner"`
	App        string `json:"app"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Subject    string `json:"subject"`
	Actor      string `json:"actor"`
	APIVersion string `json:"api_version"`
	Grant      string `json:"grant"`
	Status     int32  `json:"status"`
	Records    int64  `json:"records"`
	Bytes      int64  `json:"bytes"`
}

// benchValues are records as producers send them, with all members: in runs of
// ten events of one partner, as batch jobs call.
func benchValues(n int) [][]byte {
	values := make([][]byte, n)
	for i := range values {
		e := plainEvent{
			Time: day1 + int64(i)*37, ID: fmt.Sprintf("4f9d3c1a-%08x", i), Partner: fmt.Sprintf("partner-%02d", i/10%40),
			App: fmt.Sprintf("app-%d", i/10%3), Capability: "messaging", Action: "read",
			Subject: fmt.Sprintf("user-%07d", i*7919%100_000), Actor: fmt.Sprintf("user-%07d", i%1000),
			APIVersion: "v2.3", Grant: "grant-2018-17", Status: 200, Records: int64(i % 50), Bytes: int64(i % 5000),
		}
		values[i], _ = json.Marshal(&e)
	}
	return values
}

func BenchmarkEncodingJSON(b *testing.B) {
	values := benchValues(10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var e plainEvent
		if err := json.Unmarshal(values[i%len(values)], &e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeAndDeltaAdd is a record's whole way into the delta, with the
// hashing of both ids, without the raw rows.
func BenchmarkDecodeAndDeltaAdd(b *testing.B) {
	values := benchValues(10_000)
	r := decode.JSON{}.NewReader(schema.DefaultTimeLimits())
	d := newDelta()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		events, rejects, _ := r.Read(values[i%len(values)], day1+86400_000)
		if len(rejects) > 0 {
			b.Fatal(rejects[0])
		}
		e := &events[0]
		d.add(e, testKey.hash(e.Subject), testKey.hash(e.Actor))
	}
}

func BenchmarkDeltaAdd(b *testing.B) {
	values := benchValues(10_000)
	var events []schema.Event
	for _, v := range values {
		var dec decode.Decoder
		var e schema.Event
		if r := dec.Decode(v, &e); r != nil {
			b.Fatal(r)
		}
		events = append(events, e)
	}
	d := newDelta()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := &events[i%len(events)]
		d.add(e, testKey.hash(e.Subject), testKey.hash(e.Actor))
	}
}

// BenchmarkBatchAdd is BenchmarkDecodeAndDeltaAdd with the raw rows, opening the
// batch anew every 50,000 records.
func BenchmarkBatchAdd(b *testing.B) {
	values := benchValues(50_000)
	batch := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	batch.open(0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % len(values)
		if n == 0 {
			batch.open(int64(i))
		}
		batch.add(&record{offset: int64(i), time: day1 + 86400_000, value: values[n]})
	}
}

// BenchmarkFlushEncoding rolls a batch of 50,000 events up and marshals its
// states.
func BenchmarkFlushEncoding(b *testing.B) {
	batch := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
	batch.open(0)
	readInto(batch, benchValues(50_000))
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		rows = len(batch.delta.usage().Bucket)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// BenchmarkFetch reads a partition of a broker in this process, which works on
// the same cores: so the figure is an upper bound.
func BenchmarkFetch(b *testing.B) {
	for name, c := range benchCompressions {
		b.Run(name, func(b *testing.B) {
			addr := broker(b, kfake.SeedTopics(1, "access"))
			values := benchValues(100_000)
			produce(b, addr, 0, c, values...)
			cfg := testConfig(addr, "access")
			k := newCluster(&cfg)
			defer k.close()
			f := &fetcher{transport: k.fetches, cluster: k, topic: "access"}
			b.ReportAllocs()
			runtime.GC()
			records := 0
			began := time.Now()
			for b.Loop() {
				for offset := int64(0); offset < int64(len(values)); {
					ch, err := f.next(b.Context(), offset)
					if err != nil {
						b.Fatal(err)
					}
					records += len(ch.records)
					offset = ch.next
				}
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(records), "ns/record")
		})
	}
}
