package notify

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestWhatJoinsAnAlertIsPostedAndWhatCameBeforeCountsAsToldWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, receiver := newMemory(), &far{}
		cfg := oneWebhook
		cfg.Group = 10 * time.Minute
		n, _ := running(t, cfg, store, receiver.use)
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		soon(n)
		time.Sleep(time.Minute)
		store.tell(begun("bank", "friends", schema.Warning), schema.ChangeNew)
		time.Sleep(time.Hour)
		same(t, "messages", receiver.kinds(), "firing bank", "joined bank")
		if all := receiver.bodies(); len(all[0].Alert.Findings) != 1 || len(all[1].Alert.Findings) != 2 || all[0].Event == all[1].Event {
			t.Errorf("told %+v", all)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		cfg := Config{Group: 10 * time.Minute, Alertmanagers: []Alertmanager{{URL: "http://am.example"}}}
		back := time.Now().Add(time.Hour)
		running(t, cfg, store, func(n *Notifier) {
			n.senders[0].client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if time.Now().Before(back) {
					return nil, errors.New("it is away")
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
			})
		})
		store.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
		time.Sleep(time.Minute)
		store.tell(begun("bank", "friends", schema.Warning), schema.ChangeNew)
		time.Sleep(2 * time.Hour)
		same(t, "deliveries", store.outcomes(), "firing delivered", "joined delivered")
	})
}
