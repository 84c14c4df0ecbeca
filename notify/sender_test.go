package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// far is a receiver of webhooks at the other end of a network that is not there,
// so that time need not pass.
type far struct {
	mu     sync.Mutex
	answer func(body webhookBody) (code int, header http.Header, err error)
	got    []webhookBody
	at     []time.Time
}

// RoundTrip implements http.RoundTripper.
func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var body webhookBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got, f.at = append(f.got, body), append(f.at, time.Now())
	code, header := 204, http.Header{}
	if f.answer != nil {
		if code, header, err = f.answer(body); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// kinds are the messages so far, as "kind partner".
func (f *far) kinds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, b := range f.got {
		all = append(all, b.Kind+" "+b.Alert.Partner)
	}
	return all
}

// bodies are the messages so far.
func (f *far) bodies() []webhookBody {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// times are when the messages came.
func (f *far) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.at)
}

func (f *far) use(n *Notifier) { n.senders[0].client.Transport = f }

// oldest is the metric of what was not delivered, in seconds.
func oldest(t *testing.T, n *Notifier) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(n.metrics.oldest)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

var oneWebhook = Config{Webhooks: []Webhook{{URL: "https://user:hunter2@hooks.example/in?token=hunter3", Secret: "hunter4"}}}

// soon lets the notifier do what it does after a nudge.
func soon(n *Notifier) {
	n.Nudge()
	time.Sleep(10 * time.Millisecond)
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestAWebhookIsToldEachEventOnceAlsoAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		n, stop := running(t, oneWebhook, store, receiver.use)
		f := begun("bank", "messaging", schema.Critical)
		store.tell(f, schema.ChangeNew)
		soon(n)
		same(t, "it fires", receiver.kinds(), "firing bank")
		time.Sleep(time.Hour)
		soon(n)
		same(t, "nothing new", receiver.kinds(), "firing bank")
		stop()
		n, _ = running(t, oneWebhook, store, receiver.use)
		time.Sleep(time.Hour)
		same(t, "restarted", receiver.kinds(), "firing bank")
		store.tell(f, schema.ChangeEnded)
		soon(n)
		same(t, "it ended", receiver.kinds(), "firing bank", "resolved bank")
		same(t, "deliveries", store.outcomes(), "firing delivered", "resolved delivered")
		first, last := receiver.bodies()[0].Alert, receiver.bodies()[1].Alert
		if first.ID != last.ID || !first.Started.Equal(last.Started) || last.Ended == nil || last.EndedBecause != "ended" {
			t.Errorf("the end does not belong to the beginning: %+v, %+v", first, last)
		}
	})
}

func TestWhatIsOverWhileAReceiverIsAwayIsToldInOrderWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		receiver := &far{answer: func(webhookBody) (int, http.Header, error) { return 0, nil, errors.New("connection refused") }}
		n, _ := running(t, oneWebhook, store, receiver.use)
		f := begun("bank", "messaging", schema.Critical)
		store.tell(f, schema.ChangeNew)
		soon(n)
		time.Sleep(2 * time.Hour)
		store.tell(f, schema.ChangeEnded)
		soon(n)
		tries := len(receiver.kinds())
		if tries < 100 || tries > 250 {
			t.Errorf("tried %d times in two hours, want about once a minute", tries)
		}
		at := receiver.times()
		for i := range at[1:] {
			if wait := at[i+1].Sub(at[i]); wait < leastBackOff/2 || wait > 2*greatestBackOff {
				t.Errorf("waited %v before attempt %d", wait, i+1)
			}
		}
		if got := oldest(t, n); got < 7000 {
			t.Errorf("the oldest event that was not delivered is %v seconds old, want two hours", got)
		}
		receiver.mu.Lock()
		receiver.answer = nil
		receiver.mu.Unlock()
		time.Sleep(2 * greatestBackOff)
		same(t, "when it is back", receiver.kinds()[tries:], "firing bank", "resolved bank")
		same(t, "deliveries", store.outcomes(), "firing delivered", "resolved delivered")
		if got := oldest(t, n); got != 0 {
			t.Errorf("something is not delivered for %v seconds", got)
		}
		first := receiver.bodies()[0].Event
		if again := receiver.bodies()[tries].Event; again != first {
			t.Errorf("the event is %s when it is told again, it was %s", again, first)
		}
	})
}

func TestOneEventThatAReceiverCannotTakeHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		receiver := &far{answer: func(b webhookBody) (int, http.Header, error) {
			if b.Alert.Partner == "poison" {
				return 500, nil, nil
			}
			return 200, nil, nil
		}}
		n, _ := running(t, oneWebhook, store, receiver.use)
		for _, partner := range []string{"poison", "bank", "shop"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
		}
		soon(n)
		same(t, "at once", receiver.kinds(), "firing poison", "firing bank", "firing shop")
		time.Sleep(10 * time.Minute)
		store.tell(begun("late", "messaging", schema.Critical), schema.ChangeNew)
		time.Sleep(3 * greatestBackOff)
		if !slices.Contains(receiver.kinds(), "firing late") {
			t.Errorf("what came later was not told: %q", receiver.kinds())
		}
	})
}

func TestWhatIsRefusedIsNotTriedAgainAndWhatIsWrongWithTheReceiverIs(t *testing.T) {
	for code, refused := range map[int]bool{400: true, 413: true, 422: true, 401: false, 403: false, 404: false, 408: false, 429: false, 500: false, 503: false, 302: false} {
		synctest.Test(t, func(t *testing.T) {
			store := newMemory()
			receiver := &far{answer: func(webhookBody) (int, http.Header, error) {
				return code, http.Header{"Location": {"https://elsewhere.example"}}, nil
			}}
			n, _ := running(t, oneWebhook, store, receiver.use)
			store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
			soon(n)
			time.Sleep(time.Hour)
			if tries := len(receiver.kinds()); (tries == 1) != refused {
				t.Errorf("%d: tried %d times", code, tries)
			}
			if refused {
				same(t, "deliveries", store.outcomes(), "firing refused")
			}
		})
	}
}

func TestARetryAfterIsHonouredWithinReason(t *testing.T) {
	f := func(header string, want time.Duration) {
		t.Helper()
		if got := retryAfter(header, noon); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
	f("", 0)
	f("7", 7*time.Second)
	f("-7", 0)
	f("99999999999", longestWait)
	f("soon", 0)
	f(noon.Add(time.Minute).Format(http.TimeFormat), time.Minute)
	f(noon.Add(-time.Minute).Format(http.TimeFormat), 0)
	f(noon.AddDate(1, 0, 0).Format(http.TimeFormat), longestWait)

	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		receiver := &far{answer: func(webhookBody) (int, http.Header, error) {
			return 429, http.Header{"Retry-After": {"300"}}, nil
		}}
		n, _ := running(t, oneWebhook, store, receiver.use)
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		for range 6 {
			soon(n) // hurry changes nothing
			time.Sleep(time.Minute - 10*time.Millisecond)
		}
		if at := receiver.times(); len(at) != 2 || at[1].Sub(at[0]) < 5*time.Minute || at[1].Sub(at[0]) > 6*time.Minute {
			t.Errorf("tried at %v, want twice, five minutes apart", at)
		}
	})
}

func TestWhatIsOverForLongIsGivenUpAndWhatStillFiresIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var away = true
		receiver := &far{}
		receiver.answer = func(webhookBody) (int, http.Header, error) {
			if away {
				return 503, nil, nil
			}
			return 200, nil, nil
		}
		n, _ := running(t, oneWebhook, store, receiver.use)
		over, goesOn := begun("bank", "messaging", schema.Critical), begun("shop", "messaging", schema.Critical)
		store.tell(over, schema.ChangeNew)
		store.tell(goesOn, schema.ChangeNew)
		soon(n)
		time.Sleep(time.Hour)
		store.tell(over, schema.ChangeEnded)
		time.Sleep(26 * time.Hour)
		same(t, "deliveries", store.outcomes(), "firing gave up", "resolved gave up")
		receiver.mu.Lock()
		away = false
		receiver.mu.Unlock()
		time.Sleep(2 * greatestBackOff)
		same(t, "deliveries", store.outcomes(), "firing gave up", "resolved gave up", "firing delivered")
	})
}

func TestNoSecretIsLoggedOrStoredAndTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var mu sync.Mutex
		var failing = true
		receiver := &far{answer: func(webhookBody) (int, http.Header, error) {
			mu.Lock()
			defer mu.Unlock()
			if failing {
				return 0, nil, errors.New("connection refused")
			}
			return 400, nil, nil
		}}
		var log bytes.Buffer
		_, stop := running(t, oneWebhook, store, func(n *Notifier) {
			receiver.use(n)
			n.log = zerolog.New(zerolog.SyncWriter(&log))
			n.senders[0].log = n.log.With().Str("receiver", n.senders[0].name).Logger()
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		time.Sleep(time.Hour)
		_ = store.use(func() { store.away = true })
		time.Sleep(time.Hour)
		store.mu.Lock()
		store.away = false
		store.mu.Unlock()
		time.Sleep(time.Hour)
		mu.Lock()
		failing = false
		mu.Unlock()
		time.Sleep(time.Hour)
		stop()
		if lines := strings.Count(log.String(), "\n"); lines != 5 {
			t.Errorf("%d lines, want five: fails, unreadable, readable, refused, works:\n%s", lines, &log)
		}
		written, err := json.Marshal(store.deliveries)
		if err != nil {
			t.Fatal(err)
		}
		if text := log.String() + string(written); strings.Contains(text, "hunter") {
			t.Errorf("a secret is told: %s", text)
		}
	})
}

func TestTheFiringSetIsRepeatedWhileClickHouseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var mu sync.Mutex
		var sent int
		var last []postableAlert
		cfg := Config{Alertmanagers: []Alertmanager{{URL: "http://am.example"}}}
		n, _ := running(t, cfg, store, func(n *Notifier) {
			n.senders[0].client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				sent++
				last = nil
				err := json.NewDecoder(r.Body).Decode(&last)
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, err
			})
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		_ = store.use(func() { store.away = true })
		mu.Lock()
		before := sent
		mu.Unlock()
		time.Sleep(3 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if sent-before < 170 || len(last) != 1 || time.Until(last[0].EndsAt) < 55*time.Minute {
			t.Errorf("sent %d times in three hours, last %v, want once a minute", sent-before, last)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnotherInstancesPartnersAreNeitherToldNorResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		var mu sync.Mutex
		mine := []uint8{schema.Slot("bank")}
		n, _ := running(t, oneWebhook, store, func(n *Notifier) {
			receiver.use(n)
			n.slots = func() []uint8 {
				mu.Lock()
				defer mu.Unlock()
				return mine
			}
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		store.tell(begun("shop", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		same(t, "its own", receiver.kinds(), "firing bank")
		mu.Lock()
		mine = nil
		mu.Unlock()
		time.Sleep(3 * time.Hour)
		same(t, "none of its own", receiver.kinds(), "firing bank")
	})
}

func TestWhatIsDueAtTheEndIsTriedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		var left atomic.Bool
		_, stop := running(t, oneWebhook, store, func(n *Notifier) {
			receiver.use(n)
			n.slots = func() []uint8 {
				if left.Load() {
					return nil
				}
				return everySlot()
			}
		})
		time.Sleep(time.Second)
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		left.Store(true) // ingest ends at the same time, and leaves the group
		began := time.Now()
		stop()
		same(t, "at the end", receiver.kinds(), "firing bank")
		same(t, "deliveries", store.outcomes(), "firing delivered")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestAResolvedFindingThatIsSeenAgainFiresAgainAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		n, _ := running(t, oneWebhook, store, receiver.use)
		f := begun("bank", "messaging", schema.Critical)
		store.tell(f, schema.ChangeNew)
		soon(n)
		store.do(f, schema.Resolve, time.Time{})
		soon(n)
		time.Sleep(10 * time.Minute)
		same(t, "resolved", receiver.kinds(), "firing bank", "resolved bank")
		f.LastSeen = time.Now()
		_ = store.use(func() { store.findings[f.ID()] = f })
		time.Sleep(10 * time.Minute)
		same(t, "seen again", receiver.kinds(), "firing bank", "resolved bank", "firing bank")
		if again := receiver.bodies()[2].Alert; !strings.Contains(again.SeenAgain, "resolved by ann") || again.ID == receiver.bodies()[0].Alert.ID {
			t.Errorf("it does not say that it was seen again: %+v", again)
		}
		var acts int
		_ = store.use(func() { acts = len(store.actions) })
		if acts != 2 {
			t.Errorf("%d acts, want ann's and one note that it was seen again", acts)
		}
	})
}

func TestADigestIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		running(t, oneWebhook, store, receiver.use)
		for _, capability := range []string{"messaging", "friends"} {
			f := begun("bank", capability, schema.Critical)
			f.FirstCrossing, f.LastSeen = f.FirstCrossing.AddDate(0, -1, 0), f.LastSeen.AddDate(0, -1, 0)
			store.tell(f, schema.ChangeNew)
		}
		time.Sleep(5 * time.Minute)
		same(t, "while it collects", receiver.kinds())
		time.Sleep(5 * time.Hour)
		same(t, "then", receiver.kinds(), "digest bank")
		if d := receiver.bodies()[0].Alert; len(d.Findings) != 2 || d.Labels["alertname"] != digestName {
			t.Errorf("the digest is %+v", d)
		}
	})
}

func TestAnAlertThatWasSupersededBeforeItWasToldIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		store.tell(begun("bank", "messaging", schema.Warning), schema.ChangeNew)
		time.Sleep(time.Millisecond)
		store.tell(begun("bank", "friends", schema.Critical), schema.ChangeNew)
		running(t, oneWebhook, store, receiver.use)
		time.Sleep(time.Hour)
		same(t, "messages", receiver.kinds(), "firing bank")
		same(t, "deliveries", store.outcomes(), "firing overtaken", "resolved overtaken", "firing delivered")
		if a := receiver.bodies()[0].Alert; a.Labels["severity"] != "critical" || len(a.Findings) != 2 {
			t.Errorf("told %+v", a)
		}
	})
}

func TestAReceiverThatHangsHoldsUpNeitherTheOthersNorTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		cfg := oneWebhook
		cfg.Alertmanagers = []Alertmanager{{URL: "http://am.example"}}
		n, stop := running(t, cfg, store, func(n *Notifier) {
			n.senders[0].client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done() // until the client has had enough of it
				return nil, r.Context().Err()
			})
			n.senders[1].client.Transport = receiver
		})
		for _, partner := range []string{"bank", "shop"} {
			store.tell(begun(partner, "messaging", schema.Critical), schema.ChangeNew)
			soon(n)
		}
		same(t, "the other", receiver.kinds(), "firing bank", "firing shop")
		time.Sleep(time.Hour)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}
