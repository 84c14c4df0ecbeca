package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The partitions of the kill test's topic. Events go to the first of them by their
// subject, so that every partner is on every one; the last two stand still, each
// in its own way, though records keep coming.
const (
	tortureBusy       = 8
	tortureRejected   = tortureBusy     // nothing in it is an event
	tortureStill      = tortureBusy + 1 // all its events bear tortureStillTime
	torturePartitions = tortureBusy + 2
)

const tortureTime = "2006-01-02T15:04:05.000Z"

// tortureStillTime is what a clock says that somebody never set.
var tortureStillTime = time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)

// tortureEvent is a record of the kill test as its producer knows it: an event,
// or what must become a reject.
type tortureEvent struct {
	Time       string `json:"time"`
	ID         string `json:"id,omitempty"`
	Partner    string `json:"partner,omitempty"`
	App        string `json:"app,omitempty"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Subject    string `json:"subject"`
	Actor      string `json:"actor,omitempty"`
	Status     int    `json:"status,omitempty"`

	at         int64  // milliseconds
	reject     string // why it is none; empty: it is an event
	size       int    // bytes that it is made long to with spaces; 0: as it is
	partition  int32
	unreadable bool // Kafka's file holds it damaged
}

// attempt reports whether the call was refused.
func (e *tortureEvent) attempt() bool { return e.Status == 403 || e.Status >= 500 }

// place is where Kafka put a record.
type place struct {
	partition int32
	offset    int64
}

// tortureLog makes records from a seed and remembers where each went.
type tortureLog struct {
	random *rand.Rand
	from   time.Time // of the first event
	n      int
	client *kgo.Client
	packed []*kgo.Client // one for each codec, which send large records
	topic  string

	sending sync.Mutex // of who makes and sends records
	mu      sync.Mutex
	placed  map[place]tortureEvent
	files   [torturePartitions]int64 // where each partition's last file begins, an offset
	damage  map[string]int           // how many batches are damaged, by the kind that overreach gives it
}

// span is the event time that a log goes over, again and again: the second time
// round, all is late.
const tortureSpan = 6 * 24 * time.Hour

func newTortureLog(t *testing.T, seed uint64, addrs []string, topic string) *tortureLog {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &tortureLog{
		random: rand.New(rand.NewPCG(seed, 1)), from: time.Now().UTC().Truncate(24 * time.Hour).Add(-tortureSpan),
		client: client, packed: packingClients(t, addrs), topic: topic, placed: map[place]tortureEvent{}, damage: map[string]int{},
	}
}

// next makes a record. Partners behave in ways that detectors find, new strangers
// keep coming, some events are late, some come twice, some are none.
func (l *tortureLog) next() tortureEvent {
	r := l.random
	l.n++
	at := time.Duration(l.n) * 10 * time.Second
	switch {
	case r.IntN(20) == 0:
		at -= time.Duration(r.Int64N(int64(4 * time.Minute))) // late, within lateness
	case r.IntN(200) == 0:
		at -= time.Duration(r.Int64N(int64(30 * time.Hour))) // far beyond it
	}
	when := l.from.Add(max(0, at) % tortureSpan)
	e := tortureEvent{
		Partner: fmt.Sprintf("partner-%d", r.IntN(5)), App: fmt.Sprintf("app-%d", r.IntN(3)), Capability: []string{"messaging", "friends"}[r.IntN(2)],
		Action: []string{"read", "write"}[r.IntN(2)], Subject: fmt.Sprintf("person-%d", r.IntN(400)),
	}
	switch r.IntN(60) {
	case 0:
		e.Partner = fmt.Sprintf("stray-%d", l.n/200) // a stranger, and soon another
	case 1, 2:
		e.Partner, e.Subject = "wide", fmt.Sprintf("person-%d", r.IntN(100_000))
	case 3:
		e.ID = fmt.Sprintf("id-%d", r.IntN(5)) // the same ids again and again: each record counts
	}
	if r.IntN(3) == 0 {
		e.Actor = fmt.Sprintf("person-%d", r.IntN(400))
	}
	if r.IntN(10) == 0 {
		e.Status = []int{200, 403, 404, 500}[r.IntN(4)]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.Subject)) // a hash never fails
	e.partition = int32(h.Sum32() % tortureBusy)
	why := r.IntN(100)
	switch r.IntN(24) {
	case 0:
		e.partition, why = tortureRejected, why%4
	case 1:
		e.partition, why, when = tortureStill, -1, tortureStillTime
	}
	switch why {
	case 0:
		e.reject, e.Partner = "missing_member", ""
	case 1:
		e.reject, e.Action = "bad_action", "look"
	case 2:
		e.reject, when = "time_too_early", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	case 3:
		e.reject = "not_json"
	}
	e.at, e.Time = when.UnixMilli(), when.Format(tortureTime)
	return e
}

// value is what Kafka is sent.
func (e *tortureEvent) value() ([]byte, error) {
	value, err := json.Marshal(e)
	if e.reject == "not_json" {
		value = value[:len(value)-2]
	}
	if n := e.size - len(value); n > 0 {
		value = append(value, bytes.Repeat([]byte(" "), n)...)
	}
	return value, err
}

// produce sends n records and waits until Kafka has them all.
func (l *tortureLog) produce(ctx context.Context, n int) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.send(ctx, l.client, l.some(n))
}

// some makes n records. Whoever calls it holds sending.
func (l *tortureLog) some(n int) []tortureEvent {
	events := make([]tortureEvent, n)
	for i := range events {
		events[i] = l.next()
	}
	return events
}

// send sends records and waits until Kafka has them all.
func (l *tortureLog) send(ctx context.Context, client *kgo.Client, events []tortureEvent) error {
	var wait sync.WaitGroup
	var failed error
	for _, e := range events {
		value, err := e.value()
		if err != nil {
			return err
		}
		wait.Add(1)
		client.Produce(ctx, &kgo.Record{Topic: l.topic, Partition: e.partition, Value: value}, func(r *kgo.Record, err error) {
			defer wait.Done()
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			l.placed[place{r.Partition, r.Offset}] = e
		})
	}
	wait.Wait()
	return failed
}

// run produces until ctx ends, in bursts, so that partitions fall idle between
// them too. What was begun is finished.
func (l *tortureLog) run(ctx context.Context, burst int) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := l.produceLarge(context.WithoutCancel(ctx), n); err != nil {
			return err
		}
		for range 10 {
			if err := l.produce(context.WithoutCancel(ctx), burst); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Duration(300+rand.IntN(900)) * time.Millisecond) //nolint:gosec // it is no secret
	}
	return nil
}

// counts reports whether it is an event that can be read.
func (e *tortureEvent) counts() bool { return e.reject == "" && !e.unreadable }

// ends are the partitions' end offsets, and the time of the latest event.
func (l *tortureLog) ends() (ends [torturePartitions]int64, latest int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, e := range l.placed {
		ends[p.partition] = max(ends[p.partition], p.offset+1)
		if e.counts() {
			latest = max(latest, e.at)
		}
	}
	return ends, latest
}

// tortureRegistry is what the log's partners may do.
const tortureRegistry = `
capabilities:
  messaging: {data: private messages, sunset: 2015-06-01}
  friends: {data: names of friends}
partners:
  partner-0:
    owner: a@example.com
    purpose: hour by hour
    agreement: {start: 2013-01-01}
    grants: [{capability: friends, actions: [read, write], from: 2013-01-01}]
    limits: [{people: 25, per: hour}, {people: 30, per: hour, capability: friends}]
  partner-1:
    owner: b@example.com
    purpose: day by day
    agreement: {start: 2013-01-01}
    grants: [{capability: friends, actions: [read], from: 2013-01-01}]
    limits: [{people: 300, per: 24 hours}]
  partner-2:
    owner: c@example.com
    purpose: had its time
    agreement: {start: 2013-01-01, end: 2018-12-31}
    grants: [{capability: friends, actions: [read, write], from: 2013-01-01}]
  partner-3:
    owner: d@example.com
    purpose: month by month
    agreement: {start: 2013-01-01}
    grants: [{capability: friends, actions: [read, write], from: 2013-01-01}]
    limits: [{people: 350, per: 30 days}, {people: 390, per: month}]
  wide:
    owner: e@example.com
    purpose: many people
    agreement: {start: 2013-01-01}
    grants: [{capability: friends, actions: [read, write], from: 2013-01-01}]
    limits: [{people: 600, per: 30 days}]
`

// tortureReadings are two mappings under which the log comes out the same, save
// how many records each call is said to have returned: what is kept of an event
// names the reading that it was kept under.
var tortureReadings = [2]string{tortureReading + `, records: {const: "1"}}`, tortureReading + `, records: {const: "1000"}}`}

const tortureReading = `event: {time: time, partner: partner, app: app, capability: capability, action: action, ` +
	`subject: subject, actor: actor, id: id, status: status`
