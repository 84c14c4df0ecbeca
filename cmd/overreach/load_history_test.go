package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// history is usage of many usage keys over many days, as ingest would have written it
// of a topic that is no longer read.
type history struct {
	partners, days int
	dense          int // partners with one usage key that touches thousands of people each day
}

// Each partner has ten usage keys, which have few events a day.
const (
	usageKeysAPartner = 10
	eventsADay        = 4
	peopleADay        = 2160 // of a dense usage key: three every two minutes
)

func (h history) partner(n int) string { return fmt.Sprintf("partner-%04d", n) }

func (h history) usageKey(n int) schema.UsageKey {
	return schema.UsageKey{
		Partner: h.partner(n / usageKeysAPartner), App: fmt.Sprintf("app-%d", n%5), Capability: []string{"friends", "profile"}[n/5%2], Action: schema.Read,
	}
}

// registry lets each partner do what it does; who is dense comes
// near to what it may.
func (h history) registry() string {
	var b strings.Builder
	b.WriteString("capabilities: {friends: {data: names of friends}, profile: {data: profiles}}\npartners:\n")
	for n := range h.partners {
		fmt.Fprintf(&b, "  %s:\n    agreement: {start: 2013-01-01}\n    grants: [{capability: friends, actions: [read], from: 2013-01-01}, {capability: profile, actions: [read], from: 2013-01-01}]\n"+
			"    limits: [{people: 1000, per: hour}, {people: 3000, per: 24 hours}, {people: 70000, per: 30 days}]\n", h.partner(n))
	}
	return b.String()
}

// write puts the days before today into the tables, a block a day.
func (h history) write(t *testing.T, cfg store.Config) {
	t.Helper()
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }() // what matters has been answered
	random := rand.New(rand.NewPCG(3, 4))
	today := schema.DayOf(time.Now())
	at := int64(0)
	for day := today - schema.Day(h.days); day < today; day++ {
		var rows schema.UsageRows
		minutes := map[uint32]bool{}
		events := 0
		for n := range h.partners * usageKeysAPartner {
			usageKey := h.usageKey(n)
			people := map[int64][]uint64{} // by minute
			if n%usageKeysAPartner == 0 && n/usageKeysAPartner < h.dense {
				for i := range peopleADay {
					minute := day.Second() + int64(i/3*2)*60
					people[minute] = append(people[minute], random.Uint64())
				}
			}
			for range eventsADay {
				minute := day.Second() + random.Int64N(1440)*60
				people[minute] = append(people[minute], random.Uint64N(1_000_000))
			}
			for minute := range people {
				minutes[uint32(minute/60)] = true //nolint:gosec // of this century
			}
			events += addUsageOf(&rows, usageKey, people)
		}
		m := schema.Marker{
			Range:   schema.Range{Partition: schema.Partition{Incarnation: "history/access@1"}, From: at, To: at + int64(events), Pinned: today},
			Records: uint64(events), Events: uint64(events), FirstEvent: day.Second() * 1000, LastEvent: (day+1).Second()*1000 - 1,
			Minutes: slices.Sorted(maps.Keys(minutes)),
		}
		if err := st.InsertUsage(t.Context(), m, &rows); err != nil {
			t.Fatal(err)
		}
		at = m.To
	}
}

// addUsageOf adds what a usage key did in the minutes of a day: minutes, hours and the day.
func addUsageOf(rows *schema.UsageRows, usageKey schema.UsageKey, people map[int64][]uint64) (events int) {
	for _, r := range []schema.Resolution{schema.Minute, schema.Hourly, schema.Daily} {
		buckets := map[int64][]uint64{}
		for minute, some := range people {
			start := window.Start(minute, r.Seconds())
			buckets[start] = append(buckets[start], some...)
		}
		for _, bucket := range slices.SortedFunc(maps.Keys(buckets), cmp.Compare[int64]) {
			var s window.Sketch
			for _, v := range buckets[bucket] {
				s.Add(v)
			}
			n := len(buckets[bucket])
			rows.Resolution, rows.Bucket = append(rows.Resolution, r), append(rows.Bucket, bucket)
			rows.Partner, rows.App = append(rows.Partner, usageKey.Partner), append(rows.App, usageKey.App)
			rows.Capability, rows.Action = append(rows.Capability, usageKey.Capability), append(rows.Action, usageKey.Action)
			rows.Accesses, rows.Attempts = append(rows.Accesses, uint64(n)), append(rows.Attempts, 0)
			rows.Records, rows.Bytes = append(rows.Records, uint64(n)), append(rows.Bytes, 0)
			rows.FirstAccess, rows.LastAccess = append(rows.FirstAccess, bucket*1000), append(rows.LastAccess, (bucket+r.Seconds())*1000-1)
			rows.FirstAttempt, rows.LastAttempt = append(rows.FirstAttempt, 0), append(rows.LastAttempt, 0)
			rows.Subjects = append(rows.Subjects, s.MarshalAppend(nil))
			rows.Actors, rows.Bystanders = append(rows.Actors, schema.EmptyState), append(rows.Bystanders, schema.EmptyState)
			if r == schema.Daily {
				events += n
			}
		}
	}
	return events
}

// steady sends events of all usage keys in turn at a rate, until the function that it
// returns is called.
func (w *loaded) steady(h history, partitions int32, perSecond int) (stop func()) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		random := rand.New(rand.NewPCG(5, 6))
		began := time.Now()
		for n := 0; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			for ; n < int(time.Since(began).Seconds()*float64(perSecond)); n++ {
				usageKey := h.usageKey(n % (h.partners * usageKeysAPartner))
				value := fmt.Appendf(nil, `{"time":%q,"partner":%q,"app":%q,"capability":%q,"action":"read","subject":"user:%d"}`,
					time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), usageKey.Partner, usageKey.App, usageKey.Capability, random.IntN(1_000_000))
				client.Produce(ctx, &kgo.Record{Topic: wholeTopic, Partition: int32(n) % partitions, Value: value}, nil)
			}
		}
	}()
	return func() { cancel(); <-done; client.Close() }
}

// migrate makes the tables.
func (w *loaded) migrate() {
	w.t.Helper()
	p := startProgram(w.t, w.program, "migrate", "--config", w.write("config.yaml", w.settings()))
	if code := p.exit(patience); code != exitOK {
		w.t.Fatalf("migrate ended with exit code %d", code)
	}
}
