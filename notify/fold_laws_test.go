package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

func TestWhatHasStartedKeepsItsNameAndStartAndEndHoweverTheHistoryGoesOn(t *testing.T) {
	type started struct {
		labels
		ID, Lead, Because string
		Started, Ended    time.Time
		Grown             string
	}
	compared := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		h := chance(r)
		m := r.IntN(500)
		now, later := minute(m), minute(m+r.IntN(100))
		of := func(h history, at time.Time) map[string]started {
			all := map[string]started{}
			for _, a := range fold(h, maxAge, group, strangers, at).Alerts {
				if all[a.ID].ID != "" {
					t.Fatalf("seed %d: two alerts have the id %s", seed, a.ID)
				}
				all[a.ID] = started{a.labels, a.ID, a.Lead, a.Because, a.Started, a.Ended, fmt.Sprint(a.Grown)}
			}
			return all
		}
		then := of(until(h, now), now)
		if diff := cmp.Diff(then, of(h, now), cmp.AllowUnexported(started{}, labels{})); diff != "" {
			t.Fatalf("seed %d: what lies ahead changes what is: %s", seed, diff)
		}
		shuffled := history{slices.Clone(h.Changes), slices.Clone(h.Actions)}
		r.Shuffle(len(shuffled.Changes), func(i, j int) {
			shuffled.Changes[i], shuffled.Changes[j] = shuffled.Changes[j], shuffled.Changes[i]
		})
		r.Shuffle(len(shuffled.Actions), func(i, j int) {
			shuffled.Actions[i], shuffled.Actions[j] = shuffled.Actions[j], shuffled.Actions[i]
		})
		after := of(shuffled, later)
		for id, a := range then {
			b, ok := after[id]
			if a.Ended.IsZero() {
				b.Ended, b.Because = time.Time{}, ""
				if strings.HasPrefix(b.Grown, strings.TrimSuffix(a.Grown, "]")) {
					b.Grown = a.Grown
				}
			}
			if compared++; !ok || a != b {
				t.Fatalf("seed %d: alert %v became %v", seed, a, b)
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d alerts were compared", compared)
	}
}

func TestAnActOnOneEpisodeNeverHidesTheNext(t *testing.T) {
	next := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		h := chance(r)
		now := minute(600)
		began := map[schema.FindingKey]time.Time{} // the last episode that goes on
		acted := map[schema.FindingKey]time.Time{}
		key := map[string]schema.FindingKey{}
		for _, tell := range h.Changes {
			k := tell.FindingKey
			k.Period = 0
			key[tell.ID] = k
		}
		for k := range oracle(h, now) {
			var wasOpen bool
			for _, tell := range h.Changes {
				if key[tell.ID] != k {
					continue
				}
				open := openAt(h, k, tell.Reported)
				if open && !wasOpen {
					began[k] = tell.Reported
				}
				wasOpen = open
			}
			if !wasOpen {
				delete(began, k)
			}
		}
		for _, a := range h.Actions {
			if k, ok := key[a.Finding]; ok && a.At.After(acted[k]) {
				acted[k] = a.At
			}
		}
		untouched := told1(fold(history{Changes: h.Changes}, maxAge, group, strangers, now))
		touched := told1(fold(h, maxAge, group, strangers, now))
		for k, at := range began {
			if !acted[k].IsZero() && acted[k].Before(at) {
				if next++; untouched[k] != touched[k] {
					t.Fatalf("seed %d: %v began at %v, after all that was done, and fires: %v; had nothing been done: %v; %v", seed, k, at, touched[k], untouched[k], h)
				}
			}
		}
	}
	if next < 100 {
		t.Errorf("only %d episodes came after an act", next)
	}
}

func openAt(h history, k schema.FindingKey, at time.Time) bool {
	r := &episode{}
	for _, tell := range h.Changes {
		if of := tell.FindingKey; !tell.Reported.After(at) {
			if of.Period = 0; of == k {
				r.tell(tell)
			}
		}
	}
	return len(r.days) > 0 && r.open()
}

func told1(f folded) map[schema.FindingKey]bool {
	all := map[schema.FindingKey]bool{}
	for _, a := range f.Alerts {
		for _, m := range a.Members {
			if k := m.episode.last().FindingKey; a.fires() && !a.digest() && m.Left == "" {
				k.Period = 0
				all[k] = true
			}
		}
	}
	return all
}

func TestWhateverJoinsAnAlertIsToldWithinTheInterval(t *testing.T) {
	joined := 0
	for seed := range uint64(150) {
		h := chance(rand.New(rand.NewPCG(seed, 3)))
		since := map[string]time.Time{} // by alert and run, when it joined
		for now := noon; now.Before(minute(500)); now = now.Add(time.Minute) {
			for _, a := range fold(h, maxAge, group, strangers, now).Alerts {
				events := a.events()
				last := events[len(events)-1].at
				for _, m := range a.Members {
					key := a.ID + about(a.Partner+"/"+m.episode.last().Capability).ID()
					if at, ok := since[key]; !ok && m.Left == "" {
						since[key] = now
						joined++
					} else if ok && now.Sub(at) >= group && last.Before(at) {
						t.Fatalf("seed %d: what joined %s at %s is not told at %s: %v", seed, a.ID, at, now, events)
					} else if ok && m.Left != "" {
						delete(since, key)
					}
				}
			}
		}
	}
	if joined < 300 {
		t.Errorf("only %d joined: the test says nothing", joined)
	}
}
