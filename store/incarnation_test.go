package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func anIncarnation() Incarnation {
	return Incarnation{Name: "k/t@1", Cluster: "k", Topic: "t", TopicID: "a1", Number: 1, Partitions: 3, Group: "g", KeyFingerprint: "f1",
		FirstSeen: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func sameIncarnations(t *testing.T, s *Store, want ...Incarnation) {
	t.Helper()
	got, err := s.Incarnations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("incarnations (-want +got):\n%s", diff)
	}
}

func TestAnIncarnationIsRecordedOnceAndKeepsHowItBegan(t *testing.T) {
	s := open(t)
	first := anIncarnation()
	later := first // as the next start finds it
	later.FirstSeen, later.Partitions, later.Backfill = first.FirstSeen.Add(time.Hour), 8, true
	want := first
	for _, now := range []Incarnation{first, first, later} {
		want.Backfill = now.Backfill
		got, err := s.OpenIncarnation(t.Context(), now)
		if err != nil || got != want {
			t.Errorf("%+v opens as %+v (%v), want %+v", now, got, err, want)
		}
		sameIncarnations(t, s, want)
	}
}

func TestAnIdThatWasNotKnownIsFilledInAndAnotherOneIsNot(t *testing.T) {
	s := open(t)
	for _, id := range []struct{ now, want string }{{"", ""}, {"a1", "a1"}, {"b2", "a1"}, {"", "a1"}} {
		st := anIncarnation()
		st.TopicID = id.now
		if got, err := s.OpenIncarnation(t.Context(), st); err != nil || got.TopicID != id.want {
			t.Errorf("with id %q it opens with %q (%v), want %q", id.now, got.TopicID, err, id.want)
		}
	}
}

func TestTheGreatestNumberIsInForce(t *testing.T) {
	s := open(t)
	first := anIncarnation()
	if _, err := s.OpenIncarnation(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	next := first
	for range 10 { // @11 comes before @2 where text is sorted
		next = next.Next("b2")
		for range 2 {
			if err := s.SaveIncarnation(t.Context(), next); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.OpenIncarnation(t.Context(), first); err != nil || got != next {
			t.Errorf("in force is %+v (%v), want %+v", got, err, next)
		}
	}
	if next.Name != "k/t@11" || next.Partitions != 0 || next.TopicID != "b2" {
		t.Errorf("the eleventh incarnation is %+v", next)
	}
	if all, err := s.Incarnations(t.Context()); err != nil || len(all) != 11 {
		t.Errorf("%d incarnations (%v), want 11", len(all), err)
	}
}

func TestAnotherHashKeyAndAnotherGroupAreRefused(t *testing.T) {
	s := open(t)
	if _, err := s.OpenIncarnation(t.Context(), anIncarnation()); err != nil {
		t.Fatal(err)
	}
	f := func(want string, change func(*Incarnation)) {
		t.Helper()
		st := anIncarnation()
		change(&st)
		if _, err := s.OpenIncarnation(t.Context(), st); err == nil || Temporary(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", st, err, want)
		}
	}
	f("use that key, or another database", func(st *Incarnation) { st.KeyFingerprint = "f2" })
	f("use that key, or another database", func(st *Incarnation) { st.KeyFingerprint, st.Name = "f2", "k/other@1" })
	f("overreach topic take t", func(st *Incarnation) { st.Group = "g2" })
	sameIncarnations(t, s, anIncarnation())
	taken := anIncarnation()
	for _, group := range []string{"g2", "g", "g2"} { // there and back again
		taken.Group = group
		if err := s.SaveIncarnation(t.Context(), taken); err != nil {
			t.Fatal(err)
		}
		sameIncarnations(t, s, taken)
	}
	f("overreach topic take t", func(*Incarnation) {})
}

func TestOfProcessesThatStartAtOnceWithOtherKeysOrGroupsOneGetsIn(t *testing.T) {
	for round := range 3 {
		s := open(t)
		var wait sync.WaitGroup
		results := make(chan Incarnation, 8)
		for i := range 8 {
			wait.Go(func() {
				st := anIncarnation()
				st.KeyFingerprint = fmt.Sprint("key ", i%4)
				st.Name, st.Topic = fmt.Sprintf("k/t%d@1", i%2), fmt.Sprint("t", i%2)
				got, err := s.OpenIncarnation(t.Context(), st)
				if err == nil {
					results <- got
				} else if Temporary(err) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		close(results)
		keys := map[string]bool{}
		for st := range results {
			keys[st.KeyFingerprint] = true
		}
		all, err := s.Incarnations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			keys[st.KeyFingerprint] = true
		}
		if len(keys) != 1 || len(all) == 0 {
			t.Errorf("round %d: %d keys in %d incarnations", round, len(keys), len(all))
		}
	}
}
