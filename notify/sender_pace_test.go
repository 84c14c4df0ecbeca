package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// counts are the values of a metric, by the values of its labels.
func counts(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		all[strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return all
}

func sameCounts(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// answers has a receiver answer so from now on.
func (f *far) answers(answer func(webhookBody) (int, http.Header, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func away(webhookBody) (int, http.Header, error) { return 0, nil, errors.New("connection refused") }

func status5xx(webhookBody) (int, http.Header, error) { return 503, nil, nil }

// waits are the times between messages, from the n-th on, in seconds.
func (f *far) waits(n int) []float64 {
	var all []float64
	at := f.times()
	for i := n; i+1 < len(at); i++ {
		all = append(all, at[i+1].Sub(at[i]).Seconds())
	}
	return all
}

// around checks that waits are those that are wanted, each up to a quarter longer or shorter.
func around(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	if len(got) < len(want) {
		t.Fatalf("%s: %d waits %v, want %v", what, len(got), got, want)
	}
	differ := false
	for i, w := range want {
		if got[i] < 0.75*w || got[i] > 1.25*w {
			t.Errorf("%s: wait %d is %.2f s, want about %v s", what, i+1, got[i], w)
		}
		differ = differ || got[i] != w
	}
	if !differ {
		t.Errorf("%s: all instances would come at the same moments", what)
	}
}

func TestAReceiverThatIsAwayIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: away}
		n, _ := running(t, oneWebhook, store, receiver.use)
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		time.Sleep(10 * time.Minute)
		around(t, "away", receiver.waits(0), 1, 2, 4, 8, 16, 32, 60, 60, 60)
		receiver.answers(nil)
		time.Sleep(2 * time.Minute)
		tries := len(receiver.times())
		receiver.answers(away)
		store.tell(begun("shop", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		time.Sleep(time.Minute)
		around(t, "away once more", receiver.waits(tries), 1, 2, 4, 8)
		sameCounts(t, "requests that failed", counts(t, n.metrics.failed), map[string]float64{"webhook hooks.example": float64(len(receiver.times()) - 1)})
		sameCounts(t, "deliveries", counts(t, n.metrics.deliveries), map[string]float64{
			"delivered webhook hooks.example": 1, "refused webhook hooks.example": 0, "gave up webhook hooks.example": 0, "overtaken webhook hooks.example": 0,
		})
	})
}

func TestWhereOneEventArrivesAnotherIsTriedAgainAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: away}
		n, _ := running(t, oneWebhook, store, receiver.use)
		for _, partner := range []string{"poison", "bank"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
		}
		soon(n)
		time.Sleep(30 * time.Second) // it waits for long by now
		tries := len(receiver.times())
		receiver.answers(func(b webhookBody) (int, http.Header, error) {
			if b.Alert.Partner == "poison" {
				return 500, nil, nil
			}
			return 200, nil, nil
		})
		time.Sleep(time.Minute)
		kinds := receiver.kinds()[tries:]
		slices.Sort(kinds[:2])
		same(t, "the next time", kinds[:2], "firing bank", "firing poison")
		around(t, "then", receiver.waits(tries+1), 1, 2, 4, 8)
	})
}

func TestAReceiverThatFailsIsTriedThreeTimesAtOnceAndFirstWithWhatWasTriedLeast(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: status5xx}
		for _, partner := range names {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			time.Sleep(time.Millisecond)
		}
		n, _ := running(t, oneWebhook, store, receiver.use)
		soon(n)
		same(t, "at once", receiver.kinds(), "firing a", "firing b", "firing c")
		time.Sleep(1300 * time.Millisecond)
		same(t, "then", receiver.kinds()[3:], "firing d", "firing e", "firing a")
		time.Sleep(2600 * time.Millisecond)
		same(t, "and then", receiver.kinds()[6:], "firing b", "firing c", "firing d")
	})
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: away}
		for _, partner := range names {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			time.Sleep(time.Millisecond)
		}
		n, _ := running(t, oneWebhook, store, receiver.use)
		soon(n)
		same(t, "where nobody answers", receiver.kinds(), "firing a")
	})
}

func TestAReceiverThatAsksForMoreTimeHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: func(b webhookBody) (int, http.Header, error) {
			return 503, http.Header{"Retry-After": {map[string]string{"a": "30", "b": "90", "c": "60"}[b.Alert.Partner]}}, nil
		}}
		for _, partner := range []string{"a", "b", "c"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			time.Sleep(time.Millisecond)
		}
		n, _ := running(t, oneWebhook, store, receiver.use)
		soon(n)
		time.Sleep(5 * time.Minute)
		if waits := receiver.waits(2); waits[0] != 90 {
			t.Errorf("it asked for 30, 90 and 60 seconds, and had %v", waits[0])
		}
	})
}

func TestWhatWaitsForAReceiverAgesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{answer: func(webhookBody) (int, http.Header, error) {
			return 503, http.Header{"Retry-After": {"600"}}, nil
		}}
		n, _ := running(t, oneWebhook, store, receiver.use)
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		for m := range 9 {
			time.Sleep(time.Minute)
			soon(n)
			if got := oldest(t, n); got < float64(60*(m+1)) || got > float64(60*(m+2)) {
				t.Errorf("after %d minutes the oldest is %v seconds old", m+1, got)
			}
		}
		if tries := len(receiver.times()); tries != 1 {
			t.Errorf("it is tried %d times", tries)
		}
		time.Sleep(time.Minute)
		if tries := len(receiver.times()); tries != 2 {
			t.Errorf("after ten minutes it is tried %d times", tries)
		}
	})
}

func TestADeliveryIsKeptWithWhatBecameOfItAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, receiver := newMemory(), &far{answer: status5xx}
		n, stop := running(t, oneWebhook, store, func(n *Notifier) {
			receiver.use(n)
			n.senders[0].log = zerolog.New(zerolog.SyncWriter(&log))
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		time.Sleep(2 * time.Second)
		receiver.answers(func(webhookBody) (int, http.Header, error) { return 413, nil, nil })
		time.Sleep(time.Minute)
		_ = store.use(func() { store.away = true }) // the ClickHouse of what is noted
		receiver.answers(nil)
		stop()
		d := store.deliveries[0]
		body := receiver.bodies()[0]
		tries := uint32(len(receiver.times())) //nolint:gosec // few
		if d.At.Before(receiver.times()[tries-1].Add(-time.Second)) || d.At.After(receiver.times()[tries-1].Add(time.Second)) {
			t.Errorf("it is of %v, the last try was at %v", d.At, receiver.times()[tries-1])
		}
		d.At = time.Time{}
		if want := (schema.Delivery{
			Receiver: "webhook hooks.example", Event: body.Event, Kind: "firing", Alert: body.Alert.ID, Partner: "bank",
			Outcome: schema.Refused, Attempts: tries, Detail: "it answered 413 Request Entity Too Large",
		}); d != want {
			t.Errorf("kept is %+v, want %+v", d, want)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var last map[string]any
		if err := json.Unmarshal([]byte(lines[1]), &last); err != nil {
			t.Fatal(err)
		}
		if len(lines) < 2 || !strings.Contains(lines[0], `"error":"it answered 503 Service Unavailable","message":"a receiver of alerts cannot be reached: trying again"`) ||
			last["message"] != "an alert was not delivered: the receiver refused it" || last["alert"] != body.Alert.ID || last["name"] != "OverreachVolumeLimit" ||
			last["partner"] != "bank" || last["kind"] != "firing" || last["attempts"] != float64(tries) || last["detail"] != d.Detail || last["level"] != "error" {
			t.Errorf("the log says %s", &log)
		}
		if !strings.Contains(lines[2], "the receiver of alerts works again") { // it has no use for that one, but answers
			t.Errorf("the log says %s", &log)
		}
	})
}

func TestWhatWasDeliveredIsWrittenOnceTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, receiver := newMemory(), &far{}
		receiver.answer = func(webhookBody) (int, http.Header, error) {
			_ = store.use(func() { store.away = true })
			return 204, nil, nil
		}
		n, _ := running(t, oneWebhook, store, func(n *Notifier) {
			receiver.use(n)
			n.senders[0].log = zerolog.New(zerolog.SyncWriter(&log))
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		time.Sleep(time.Hour)
		same(t, "told while it is away", receiver.kinds(), "firing bank")
		same(t, "written", store.outcomes())
		store.mu.Lock()
		store.away = false
		store.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait() // from here on the sender sleeps, so its log and lists can be read
		same(t, "told when it is back", receiver.kinds(), "firing bank")
		same(t, "written", store.outcomes(), "firing delivered")
		fails, works := strings.Count(log.String(), "cannot be written to ClickHouse: trying again"), strings.Count(log.String(), "is written to ClickHouse again")
		if fails != 1 || works != 1 {
			t.Errorf("the log says\n%s", &log)
		}
		if p := n.senders[0]; len(p.settled) != 1 || len(p.unwritten) != 0 {
			t.Errorf("it still has %v and %v", p.settled, p.unwritten)
		}
	})
}

// posts is an Alertmanager that is not there: it keeps the partners of each request.
type posts struct {
	mu     sync.Mutex
	got    []string
	answer func(partners []string) (int, error)
}

// RoundTrip implements http.RoundTripper.
func (p *posts) RoundTrip(r *http.Request) (*http.Response, error) {
	var all []postableAlert
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		return nil, err
	}
	var partners []string
	for _, a := range all {
		partners = append(partners, a.Labels["partner"])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, strings.Join(partners, " "))
	code := http.StatusOK
	if p.answer != nil {
		var err error
		if code, err = p.answer(partners); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

func (p *posts) use(n *Notifier) { n.senders[0].client.Transport = p }

// requests are those so far.
func (p *posts) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

var oneAlertmanager = Config{Alertmanagers: []Alertmanager{{URL: "http://am.example"}}, Resend: time.Hour}

func TestWhatAnAlertmanagerRefusesTogetherIsSentOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		am := &posts{answer: func(partners []string) (int, error) {
			if slices.Contains(partners, "poison") {
				return 400, nil
			}
			return 200, nil
		}}
		for _, partner := range []string{"bank", "poison", "shop"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			time.Sleep(time.Millisecond)
		}
		n, _ := running(t, oneAlertmanager, store, am.use)
		soon(n)
		same(t, "requests", am.requests(), "bank poison shop", "bank", "poison", "shop")
		same(t, "deliveries", store.outcomes(), "firing delivered", "firing refused", "firing delivered")
		sameCounts(t, "requests that failed", counts(t, n.metrics.failed), map[string]float64{"alertmanager am.example": 2})
		soon(n)
		time.Sleep(30 * time.Minute)
		soon(n)
		if all := am.requests(); len(all) != 4 {
			t.Errorf("soon after it is told %q", all[4:])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		am := &posts{answer: func(partners []string) (int, error) {
			switch {
			case len(partners) > 1:
				return 400, nil
			case partners[0] == "poison":
				return 0, errors.New("connection reset")
			}
			return 200, nil
		}}
		for _, partner := range []string{"bank", "poison", "shop"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			time.Sleep(time.Millisecond)
		}
		n, _ := running(t, oneAlertmanager, store, am.use)
		soon(n)
		same(t, "it goes away amid them", am.requests(), "bank poison shop", "bank", "poison")
		same(t, "deliveries", store.outcomes(), "firing delivered")
	})
}

func TestAnAlertmanagerIsToldFiftyAlertsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, am := newMemory(), &posts{}
		for i := range 51 {
			store.tell(begun(fmt.Sprint("p", i), "messaging", schema.Critical), schema.ChangeNew)
		}
		n, _ := running(t, oneAlertmanager, store, am.use)
		soon(n)
		all := am.requests()
		if len(all) != 2 || strings.Count(all[0], " ") != 49 || strings.Contains(all[1], " ") {
			t.Errorf("51 alerts are told as %q", all)
		}
	})
}

func TestAnAlertmanagerIsEscalationsWhenItIsTimeAndWhenAnAlertSaysSomethingElse(t *testing.T) {
	const resend = 100 * time.Second
	v, f := fourRuns()
	am := &alertmanager{resend: resend, last: map[string]sending{}}
	fires := v.events()[0].id
	settled := map[string]bool{}
	due := func(what string, now time.Time, want int) {
		t.Helper()
		if got := am.due(plan{alerts: []view{v}}, func(id string) bool { return settled[id] }, now); len(got) != want {
			t.Errorf("%s: %d messages are due, want %d", what, len(got), want)
		}
	}
	due("at first", noon, 1)
	settled[fires] = true
	due("told by another instance", noon, 1)
	am.sent([]message{{v, v.events()[0]}}, noon)
	due("told", noon, 0)
	due("not yet", noon.Add(90*time.Second-1), 0)
	due("a little before it is time", noon.Add(90*time.Second), 1)
	settled[fires] = false
	due("it has not arrived", noon, 1)
	settled[fires] = true
	f[0].People.Value = 4000
	due("there are more people", noon, 1)
	f[0].People.Value = 2500
	due("there are as many as before", noon, 0)

	v.Ended = noon
	due("it is over", noon, 1)
	settled[v.events()[1].id] = true
	due("and that has arrived", noon, 0)
	am.due(plan{}, nil, noon)
	if len(am.last) != 0 {
		t.Errorf("it remembers what is no more: %v", am.last)
	}
}

func TestWhatWasToldOfAnAlertGoesInTheOrderInWhichItHappened(t *testing.T) {
	v, _ := fourRuns()
	v.Grown = []time.Time{v.Started.Add(time.Minute), v.Started.Add(2 * time.Minute)}
	v.Ended = v.Started.Add(3 * time.Minute)
	var kinds, ids []string
	for _, e := range v.events() {
		kinds, ids = append(kinds, e.kind+" "+e.at.Format("15:04")), append(ids, e.id)
	}
	same(t, "events", kinds, "firing 09:35", "joined 09:36", "joined 09:37", "resolved 09:38")
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 4 {
		t.Errorf("two events have one id: %v", ids)
	}
	settled := map[string]bool{}
	w := &webhook{}
	for i, e := range v.events() {
		got := w.due(plan{alerts: []view{v}}, func(id string) bool { return settled[id] }, noon)
		if len(got) != 1 || got[0].id != e.id {
			t.Errorf("event %d: due is %v", i, got)
		}
		settled[e.id] = true
	}
	if got := w.due(plan{alerts: []view{v}}, func(id string) bool { return settled[id] }, noon); len(got) != 0 {
		t.Errorf("when all are told, due is %v", got)
	}
}

func TestAMessageOnItsWayIsWaitedForAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		receiver := &far{answer: func(webhookBody) (int, http.Header, error) { return 204, nil, nil }}
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		_, stop := running(t, oneWebhook, store, func(n *Notifier) {
			n.senders[0].client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second) // whatever the sender wants meanwhile
				return receiver.RoundTrip(r)
			})
		})
		time.Sleep(500 * time.Millisecond)
		stop()
		same(t, "told", receiver.kinds(), "firing bank")
		same(t, "deliveries", store.outcomes(), "firing delivered")
	})
}

func TestEveryReceiverIsShownBeforeItIsToldAnything(t *testing.T) {
	n := reader(oneWebhook, newMemory())
	sameCounts(t, "requests that failed", counts(t, n.metrics.failed), map[string]float64{"webhook hooks.example": 0})
	sameCounts(t, "the oldest", counts(t, n.metrics.oldest), map[string]float64{"webhook hooks.example": 0})
	sameCounts(t, "deliveries", counts(t, n.metrics.deliveries), map[string]float64{
		"delivered webhook hooks.example": 0, "refused webhook hooks.example": 0, "gave up webhook hooks.example": 0, "overtaken webhook hooks.example": 0,
	})
}
