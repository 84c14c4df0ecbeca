package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// watched is a store that keeps what it was asked.
type watched struct {
	*memory
	since    []time.Time
	greatest int // ids or events that it was asked of at once
	asked    map[string]int
}

func (w *watched) note(what string, ids []string) {
	if w.asked == nil {
		w.asked = map[string]int{}
	}
	w.asked[what] += len(ids)
	w.greatest = max(w.greatest, len(ids))
}

// Changes implements Store.
func (w *watched) Changes(ctx context.Context, partners []string, since time.Time) ([]schema.Change, error) {
	w.since = append(w.since, since)
	return w.memory.Changes(ctx, partners, since)
}

// Actions implements Store.
func (w *watched) Actions(ctx context.Context, ids []string) ([]schema.FindingAction, error) {
	w.note("actions", ids)
	return w.memory.Actions(ctx, ids)
}

// Findings implements Store.
func (w *watched) Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	what := "findings"
	if !q.Since.IsZero() {
		what = "findings since " + time.Since(q.Since).String()
	}
	w.note(what, q.IDs)
	return w.memory.Findings(ctx, q)
}

// Deliveries implements Store.
func (w *watched) Deliveries(ctx context.Context, events []string) (map[string]map[string]schema.Outcome, error) {
	w.note("deliveries", events)
	return w.memory.Deliveries(ctx, events)
}

// reader is a notifier that is asked to read alone.
func reader(cfg Config, store Store) *Notifier {
	cfg.MaxAge, cfg.Group, cfg.MaxStrangers = maxAge, group, strangers
	return New(cfg, store, everySlot, NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
}

func TestTheStoreIsAskedOfSomeIdsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = idsAtOnce + 1
		w := &watched{memory: newMemory()}
		for i := range many {
			w.tell(begun(fmt.Sprint("p", i), "messaging", schema.Critical), schema.ChangeNew)
		}
		p, err := reader(oneWebhook, w).read(t.Context(), everySlot())
		if err != nil || len(p.alerts) != many {
			t.Fatalf("%d alerts (%v)", len(p.alerts), err)
		}
		for _, what := range []string{"actions", "findings", "deliveries"} {
			if w.asked[what] != many {
				t.Errorf("asked %d times for %s, want %d", w.asked[what], what, many)
			}
		}
		if w.greatest != idsAtOnce {
			t.Errorf("asked of %d at once, want %d", w.greatest, idsAtOnce)
		}
		for _, a := range p.alerts {
			if len(a.Findings) != many || a.Findings[a.Lead] == nil {
				t.Fatalf("the figures of %d findings were read", len(a.Findings))
			}
		}
		if since := time.Now().Add(-49 * time.Hour); len(w.since) != 1 || !w.since[0].Equal(since) {
			t.Errorf("read since %v, want %v: twice max_age, and the hour that a digest lasts", w.since, since)
		}
	})
}

func TestWhatIsOverIsReadUntilEveryReceiverHeardOfItOrItIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		two := Config{Webhooks: []Webhook{{URL: "http://a.example", Secret: "s"}, {URL: "http://b.example", Secret: "s"}}}
		f := begun("bank", "messaging", schema.Critical)
		store.tell(f, schema.ChangeNew)
		time.Sleep(time.Minute)
		store.tell(f, schema.ChangeEnded)
		n := reader(two, store)
		read := func(what string, want int) plan {
			t.Helper()
			p, err := n.read(t.Context(), everySlot())
			if err != nil || len(p.alerts) != want {
				t.Errorf("%s: %d alerts are read, want %d (%v)", what, len(p.alerts), want, err)
			}
			return p
		}
		events := read("nobody heard of it", 1).alerts[0].events()
		heard := func(receiver string, e told) {
			store.deliveries = append(store.deliveries, schema.Delivery{Receiver: receiver, Event: e.id, Kind: e.kind, Outcome: schema.Delivered})
		}
		heard("webhook a.example", events[0])
		heard("webhook a.example", events[1])
		heard("webhook b.example", events[0])
		if p := read("one heard of all, one of its beginning", 1); len(p.settled["webhook a.example"]) != 2 || len(p.settled["webhook b.example"]) != 1 {
			t.Errorf("heard was %v", p.settled)
		}
		time.Sleep(2*maxAge + lasts)
		read("as long after it as may be", 1)
		time.Sleep(time.Millisecond)
		read("longer after it", 0)
		heard("webhook b.example", events[1])
		read("all heard of it", 0)
	})
}

func TestOfWhatADigestToldOnlyWhatWasSeenWithinMaxAgeIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{memory: newMemory()}
		old := begun("bank", "messaging", schema.Critical)
		old.FirstCrossing, old.LastSeen = old.FirstCrossing.AddDate(0, 0, -3), old.LastSeen.AddDate(0, 0, -3)
		w.tell(old, schema.ChangeNew)
		acked := begun("shop", "messaging", schema.Critical)
		w.tell(acked, schema.ChangeNew)
		w.do(acked, schema.Acknowledge, time.Time{})
		time.Sleep(time.Minute)
		if _, err := reader(oneWebhook, w).read(t.Context(), everySlot()); err != nil {
			t.Fatal(err)
		}
		if w.asked["findings since 24h0m0s"] != 1 || w.asked["findings"] != 2 { // acked: by its people, and to be shown
			t.Errorf("asked for %v", w.asked)
		}
	})
}

func TestWhatIsNotedHoldsInTheSameReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		f := begun("bank", "messaging", schema.Critical)
		store.tell(f, schema.ChangeNew)
		time.Sleep(time.Second)
		store.do(f, schema.Acknowledge, time.Time{})
		time.Sleep(time.Second)
		f.People = schema.Estimate{Value: 20_000, Low: 20_000, High: 20_000}
		store.findings[f.ID()] = f
		p, err := reader(oneWebhook, store).read(t.Context(), everySlot())
		if err != nil || len(p.alerts) != 2 || p.alerts[0].fires() || p.alerts[1].Escalations != 1 {
			t.Errorf("read are %d alerts (%v)", len(p.alerts), err)
		}
		if got := store.actions[1]; got.Finding != f.ID() || !got.At.Equal(time.Now()) || got.Act != schema.Grown || got.Who != "overreach" || got.People != 20_000 || got.Reason != "20000 people, 2000 when it last paged" {
			t.Errorf("noted is %+v", got)
		}
	})
}

func TestEachFindingIsNotedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var all []schema.Finding
		for i := range strangers + 1 { // a crowd, so each is a run of its partner's and of the crowd's
			f := begun(fmt.Sprint("s", i), "", schema.Critical)
			f.Detector, f.Window, f.Cause, f.Period = strangerDetector, "", "unregistered", 0
			store.tell(f, schema.ChangeNew)
			all = append(all, f)
		}
		time.Sleep(time.Second)
		for _, f := range all {
			store.do(f, schema.Resolve, time.Time{})
		}
		time.Sleep(time.Minute)
		for _, f := range all {
			f.LastSeen = time.Now()
			store.findings[f.ID()] = f
		}
		if _, err := reader(oneWebhook, store).read(t.Context(), everySlot()); err != nil {
			t.Fatal(err)
		}
		noted := map[string]int{}
		for _, a := range store.actions[len(all):] {
			if a.Act == schema.SeenAgain {
				noted[a.Finding]++
			}
		}
		for _, f := range all {
			if noted[f.ID()] != 1 || len(noted) != len(all) {
				t.Errorf("noted, by finding: %v", noted)
			}
		}
	})
}

func TestNotingThatFailsSaysWhatWasToBeNoted(t *testing.T) {
	store := newMemory()
	f := begun("bank", "messaging", schema.Critical)
	store.tell(f, schema.ChangeNew)
	store.do(f, schema.Resolve, time.Time{})
	f.LastSeen = time.Now().Add(time.Minute)
	store.findings[f.ID()] = f
	n := reader(oneWebhook, &unwritable{store})
	if _, err := n.read(t.Context(), everySlot()); err == nil || !strings.HasPrefix(err.Error(), "noting that last seen at ") || !errors.Is(err, errAway) {
		t.Errorf("it says %v", err)
	}
}

// unwritable is a store in which nothing can be noted.
type unwritable struct{ *memory }

// WriteAction implements Store.
func (*unwritable) WriteAction(context.Context, schema.FindingAction) error { return errAway }

func TestTheAlertsThatFireAreCountedBySeverity(t *testing.T) {
	store := newMemory()
	n := reader(Config{}, store)
	now := func(what string, critical, warning, digests float64, slots []uint8) {
		t.Helper()
		if _, err := n.read(t.Context(), slots); err != nil {
			t.Fatal(err)
		}
		sameCounts(t, what, counts(t, n.metrics.firingNow), map[string]float64{"critical": critical, "warning": warning, "info": digests})
	}
	now("none", 0, 0, 0, everySlot())
	bank := begun("bank", "messaging", schema.Critical)
	store.tell(bank, schema.ChangeNew)
	store.tell(begun("shop", "messaging", schema.Critical), schema.ChangeNew)
	store.tell(begun("quiz", "messaging", schema.Warning), schema.ChangeNew)
	now("three", 2, 1, 0, everySlot())
	store.tell(bank, schema.ChangeEnded)
	now("one is over", 1, 1, 0, everySlot())
	now("another's", 0, 0, 0, nil)
}

func TestANotifierLooksEveryTwoSecondsUntilItHasSlots(t *testing.T) {
	for _, c := range []struct{ resend, none, some time.Duration }{
		{time.Minute, 2 * time.Second, time.Minute}, {time.Second, time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var looked []time.Time
			var mine []uint8
			cfg := oneWebhook
			cfg.Resend = c.resend
			running(t, cfg, newMemory(), func(n *Notifier) {
				n.slots = func() []uint8 {
					mu.Lock()
					defer mu.Unlock()
					looked = append(looked, time.Now())
					return mine
				}
			})
			time.Sleep(9500 * time.Millisecond)
			mu.Lock()
			mine = everySlot()
			before := len(looked)
			mu.Unlock()
			time.Sleep(3 * time.Minute)
			mu.Lock()
			defer mu.Unlock()
			for i := range looked[1:] {
				want := c.some
				if i+1 <= before {
					want = c.none
				}
				if wait := looked[i+1].Sub(looked[i]); wait != want {
					t.Errorf("resend is %v: it waits %v after look %d, want %v", c.resend, wait, i+1, want)
				}
			}
		})
	}
}

func TestWhileTheStoreIsAwayOnlyOwnPartnersAreEscalations(t *testing.T) {
	var log bytes.Buffer
	store := newMemory()
	store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
	store.tell(begun("shop", "messaging", schema.Critical), schema.ChangeNew)
	n := reader(oneWebhook, store)
	n.log = zerolog.New(&log)
	if got := n.turn(t.Context(), time.Second, everySlot()); len(got.alerts) != 2 {
		t.Fatalf("%d alerts", len(got.alerts))
	}
	store.away = true
	for range 2 {
		if got := n.turn(t.Context(), time.Second, []uint8{schema.Slot("shop")}); len(got.alerts) != 1 || got.alerts[0].Partner != "shop" {
			t.Errorf("told again are %d alerts", len(got.alerts))
		}
	}
	if got := n.turn(t.Context(), time.Second, everySlot()); len(got.alerts) != 2 {
		t.Errorf("when the other is its own again, told are %d alerts", len(got.alerts))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	store.away = false
	n.turn(ended, time.Second, everySlot()) // it is this process that ends: nothing is said
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), `"level":"error","error":"the store is away","message":"alerts cannot be read from ClickHouse: what fired is told again until they can"`) {
		t.Errorf("the log says %s", &log)
	}
	n.turn(t.Context(), time.Second, everySlot())
	if !strings.HasSuffix(log.String(), `{"level":"info","message":"alerts are read from ClickHouse again"}`+"\n") {
		t.Errorf("the log says %s", &log)
	}
}

func TestAnAnswerIsTakenRefusedOrTriedAgainByItsStatus(t *testing.T) {
	var code int
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(code)
	}))
	defer server.Close()
	e := Config{Webhooks: []Webhook{{URL: server.URL, Secret: "s"}}}.receivers()[0]
	for c, want := range map[int]failure{
		200: {}, 204: {}, 299: {},
		300: {err: errors.New("it answered 300 Multiple Choices: redirects are not followed, name the address that it leads to")},
		399: {err: errors.New("it answered 399 : redirects are not followed, name the address that it leads to")},
		400: {err: errors.New("it answered 400 Bad Request"), refused: true},
		401: {err: errors.New("it answered 401 " + http.StatusText(http.StatusUnauthorized)), after: 3 * time.Second},
		403: {err: errors.New("it answered 403 Forbidden"), after: 3 * time.Second},
		404: {err: errors.New("it answered 404 Not Found"), after: 3 * time.Second},
		405: {err: errors.New("it answered 405 Method Not Allowed"), after: 3 * time.Second},
		407: {err: errors.New("it answered 407 Proxy Authentication Required"), after: 3 * time.Second},
		408: {err: errors.New("it answered 408 Request Timeout"), after: 3 * time.Second},
		410: {err: errors.New("it answered 410 Gone"), refused: true},
		425: {err: errors.New("it answered 425 Too Early"), after: 3 * time.Second},
		429: {err: errors.New("it answered 429 Too Many Requests"), after: 3 * time.Second},
		499: {err: errors.New("it answered 499 "), refused: true},
		500: {err: errors.New("it answered 500 Internal Server Error"), after: 3 * time.Second},
		503: {err: errors.New("it answered 503 Service Unavailable"), after: 3 * time.Second},
	} {
		code = c
		f := post(t.Context(), e.client, e.url, http.Header{"Overreach-Event": {"e"}}, []byte("{}"))
		switch {
		case want.err == nil && f == nil:
		case f == nil || want.err == nil || f.err.Error() != want.err.Error() || f.refused != want.refused || f.after != want.after || f.network:
			t.Errorf("%d: got %+v, want %+v", c, f, want)
		}
	}
	same(t, "header", []string{got.Method, got.Header.Get("Content-Type"), got.Header.Get("User-Agent"), got.Header.Get("Overreach-Event")},
		"POST", "application/json", "overreach", "e")
	server.Close()
	if f := post(t.Context(), e.client, e.url, nil, nil); f == nil || !f.network || f.refused || strings.Contains(f.err.Error(), "http://") {
		t.Errorf("where nobody answers: %+v", f)
	}
}

func TestAReceiverThatDoesNotAnswerIsWaitedForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := oneWebhook.receivers()[0]
		e.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		if f := post(t.Context(), e.client, e.url, nil, nil); f == nil || !f.network || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), f)
		}
	})
}

func TestReceiversAreToldApartByNumberWhereTheirHostsAreTheSame(t *testing.T) {
	c := Config{Resend: time.Minute, Runbooks: "https://r", Webhooks: []Webhook{
		{URL: "http://h/1", Secret: "s"}, {URL: "http://h/2", Secret: "s"}, {URL: "http://h/3", Secret: "s"}, {URL: "no address", Secret: "s"}},
		Alertmanagers: []Alertmanager{{URL: "http://h"}, {URL: "ftp://h"}, {URL: "http://h/#f"}},
	}
	var names []string
	for _, e := range c.receivers() {
		names = append(names, e.name)
	}
	same(t, "names", names, "alertmanager h", "webhook h", "webhook h #2", "webhook h #3")
	err := c.Check()
	if err == nil {
		t.Fatal("three that cannot be told pass")
	}
	same(t, "what is wrong", strings.Split(err.Error(), "\n"),
		"alertmanager 2: its URL has no http:// or https:// and host: expected http://HOST:PORT or https://HOST:PORT",
		"alertmanager 3: its URL has a fragment (#…), which is never sent: leave it out",
		"webhook 4: its URL has no http:// or https:// and host: expected http://HOST:PORT or https://HOST:PORT")
	c = Config{Webhooks: []Webhook{{URL: "http://h", Secret: "s"}, {URL: "http://h"}}}
	if err := c.Check(); err == nil || err.Error() != "webhook 2: it has no secret to sign with; openssl rand -hex 32 makes one" {
		t.Errorf("without a secret: %v", err)
	}
	am := Config{Resend: time.Minute, Runbooks: "https://r", Alertmanagers: []Alertmanager{{URL: "http://h", Authorization: "Basic x"}}}.receivers()[0].receiver.(*alertmanager)
	if am.resend != time.Minute || am.runbooks != "https://r" || am.authorization != "Basic x" {
		t.Errorf("it is made as %+v", am)
	}
}

func TestEachReceiverSaysHowItTookTheTest(t *testing.T) {
	codes := map[string]int{"/ok": 200, "/bad": 400, "/away": 503}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.WriteHeader(codes[r.URL.Path])
	}))
	defer server.Close()
	hook := func(path string) Webhook { return Webhook{URL: server.URL + path, Secret: "s"} }
	var got []string
	for _, r := range SendTest(t.Context(), Config{Webhooks: []Webhook{hook("/ok"), hook("/bad"), hook("/away")}}) {
		got = append(got, fmt.Sprint(r.Err))
	}
	same(t, "results", got, "<nil>", "it answered 400 Bad Request", "it answered 503 Service Unavailable")
	if !slices.Equal(asked, []string{"/ok", "/bad", "/away"}) {
		t.Errorf("asked were %v: each once", asked)
	}
}
