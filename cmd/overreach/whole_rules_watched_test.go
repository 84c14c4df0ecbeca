package main

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// watched are instances that a Prometheus scrapes, and a receiver of their alerts.
type watched struct {
	*servers
	recording *recording
	targets   []*target // what is scraped, the oldest first
	started   int
	late      *target
	sent      map[int]int64 // records in each partition

	webhook   *httptest.Server
	answer    atomic.Int32 // its status
	refused   atomic.Int32 // how often it was 400
	strangers int
}

func startWatched(t *testing.T, partitions int32) *watched {
	t.Helper()
	w := &watched{servers: startServers(t, partitions), sent: map[int]int64{}}
	w.answer.Store(http.StatusOK)
	w.webhook = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		status := int(w.answer.Load())
		if status == http.StatusBadRequest {
			w.refused.Add(1)
		}
		rw.Header().Set("Retry-After", "600")
		rw.WriteHeader(status)
	}))
	t.Cleanup(w.webhook.Close)
	w.write("secret", hookSecret+"\n")
	return w
}

// all brings about each case after the one before it, and fails where other rules fire.
func (w *watched) all(t *testing.T, cases []ruleCase) {
	t.Helper()
	hold := shippedRules(t)
	for _, c := range cases {
		began := time.Now()
		w.recording = &recording{t: t, series: map[string][]string{}}
		minutes := c.minutes
		for _, rule := range c.fires {
			minutes = max(minutes, int(hold[rule]/time.Minute))
		}
		if c.cause != nil {
			c.cause(w)
		}
		wrong := "nothing was scraped"
		for n := 0; n <= minutes || wrong != "" && len(c.fires) > 0 && time.Since(began) < 2*patience; n++ {
			if c.minute != nil {
				c.minute(w, n)
			}
			w.scrape(c.still)
			if n >= minutes {
				wrong = w.recording.fires(c.fires)
			}
		}
		if wrong != "" {
			t.Fatalf("%s: after %d minutes: %s", c.state, len(w.recording.taken)-1, wrong)
		}
		t.Logf("%s: %v after %d minutes, in %s", c.state, c.fires, len(w.recording.taken)-1, time.Since(began).Round(time.Millisecond))
		if c.mend != nil {
			c.mend(w)
		}
	}
}

// scrape has what all targets answer recorded.
func (w *watched) scrape(still bool) {
	w.t.Helper()
	answers := map[string]string{}
	for _, i := range w.targets {
		answers[i.name] = i.minute(still)
	}
	w.recording.scraped(answers)
}

// start starts an instance, which has answered once.
func (w *watched) start(changes ...string) *target {
	w.t.Helper()
	w.started++
	i := &target{name: fmt.Sprintf("i%d", w.started), address: freeAddress(w.t)}
	text := w.settings(append(changes, w.listen, i.address)...) +
		"alerts: {group: 0s, resend: 5s, webhook: {url: '" + w.webhook.URL + "', secret_file: secret}}\n"
	i.program = start(w.t, "run", "--log-format", "json", "--config", w.write(i.name+".yaml", text))
	i.until("it answers", func() bool { return i.metrics() != "" })
	return i
}

// appear starts an instance that is scraped.
func (w *watched) appear(changes ...string) *target {
	w.t.Helper()
	i := w.start(changes...)
	w.targets = append(w.targets, i)
	return i
}

// join has an instance appear, and the group shared out with it: that takes seconds, and
// to see them as minutes would be wrong.
func (w *watched) join(changes ...string) *target {
	w.t.Helper()
	i := w.appear(changes...)
	i.shows("overreach_rebalances_total", 1)
	w.settle()
	return i
}

// settle waits until all slots are judged by those that are scraped.
func (w *watched) settle() {
	w.t.Helper()
	w.targets[0].until("all slots are judged", func() bool {
		slots := 0.0
		for _, i := range w.targets {
			slots += i.value("overreach_judge_slots")
		}
		return slots == schema.Slots
	})
}

// stop stops all that is scraped; from now on it is not.
func (w *watched) stop() {
	w.t.Helper()
	for _, i := range w.targets {
		i.stop()
	}
	w.targets = nil
}

// reads waits until an instance reads both partitions.
func (w *watched) reads(i *target) {
	w.t.Helper()
	for partition := range 2 {
		i.shows(fmt.Sprintf(`overreach_lag_records{partition="%d",topic="access"}`, partition), 0)
	}
}

// deletes has Kafka delete what lies before an offset.
func (w *watched) deletes(partition int32, before int64) {
	w.t.Helper()
	if err := w.broker.DeleteBefore(wholeTopic, partition, before); err != nil {
		w.t.Fatal(err)
	}
}

// ahead waits until an instance sees that what is deleted has been passed, which takes it
// seconds: to see them as minutes would be wrong.
func (w *watched) ahead(i *target) {
	w.t.Helper()
	i.until("it reads ahead of what is deleted", func() bool {
		body := i.metrics()
		return valueIn(body, `overreach_retention_near{partition="0",topic="access"}`) == 0 && valueIn(body, `overreach_retention_near{partition="1",topic="access"}`) == 0
	})
}

// standby is the instance that owns no partition; the others own one each.
func (w *watched) standby() *target {
	w.t.Helper()
	var idle *target
	for _, i := range w.targets {
		switch owned, slots := i.value(`overreach_partitions_owned{topic="access"}`), i.value("overreach_judge_slots"); {
		case owned == 0 && slots == 0 && idle == nil:
			idle = i
		case owned != 1 || slots != 128:
			w.t.Fatalf("%s owns %v partitions and %v slots, one of %d stands by", i.name, owned, slots, len(w.targets))
		}
	}
	if idle == nil {
		w.t.Fatalf("none of %d stands by", len(w.targets))
	}
	return idle
}

// send sends records to a partition.
func (w *watched) send(partition int, records ...[]byte) {
	w.t.Helper()
	w.produce(partition, records...)
	w.sent[partition] += int64(len(records))
}

func (w *watched) event(partner, subject string) []byte {
	return madeEvent{Time: time.Now().UTC().Format(time.RFC3339Nano), Partner: partner, Capability: "messaging", Action: "read", Subject: subject}.json(w.t)
}

// load sends so many events to each of two partitions.
func (w *watched) load(each int) {
	w.t.Helper()
	for partition := range 2 {
		var all [][]byte
		for n := range each {
			all = append(all, w.event(fmt.Sprintf("partner-%d", n%3), fmt.Sprintf("person-%d", n)))
		}
		w.send(partition, all...)
	}
}

// outrun sends large events to one partition.
func (w *watched) outrun(n int) {
	w.t.Helper()
	var all [][]byte
	for k := range n {
		all = append(all, hostileEvent("partner", "app", k, true))
	}
	for some := range slices.Chunk(all, 2000) {
		w.send(0, some...)
	}
}

// stranger sends an event of a partner whom nobody knows, which is an alert.
func (w *watched) stranger() {
	w.t.Helper()
	w.strangers++
	w.send(0, w.event(fmt.Sprintf("stranger-%d", w.strangers), "person"))
}

func (w *watched) answers(status int32) { w.answer.Store(status) }

// target is an instance that is scraped.
type target struct {
	*program
	name, address string
	round         float64 // when a round of judging had ended well, in the scrape before
}

// metrics asks an instance for its metrics; empty where it does not answer.
func (i *target) metrics() string {
	status, body := httpGet(i.t, "http://"+i.address+"/metrics")
	if status != 200 {
		return ""
	}
	return body
}

// value is that of a series, with its labels as the instance writes them; NaN where it
// is not there.
func (i *target) value(series string) float64 {
	return valueIn(i.metrics(), series)
}

func valueIn(body, series string) float64 {
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return v
			}
		}
	}
	return math.NaN()
}

// shows waits until a series has at least a value.
func (i *target) shows(series string, least float64) {
	i.t.Helper()
	i.until(fmt.Sprintf("%s is %v or more", series, least), func() bool { return i.value(series) >= least })
}

const lastRound = "overreach_judge_last_round_timestamp_seconds"

// minute returns what an instance answers after a minute. In a minute a judge that works
// has a round, so that is waited for, unless it stands still.
func (i *target) minute(still bool) string {
	wait := patience
	if still {
		wait = 250 * time.Millisecond
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		body := i.metrics()
		round := valueIn(body, lastRound)
		if body == "" || round != i.round || time.Now().After(deadline) {
			i.round = round
			return body
		}
	}
}
