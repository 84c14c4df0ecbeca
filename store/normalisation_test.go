package store

import (
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/decode"
)

// openIncarnation opens the first incarnation of k/t, first seen at a time.
func openIncarnation(t *testing.T, s *Store, at time.Time) {
	t.Helper()
	if _, err := s.OpenIncarnation(t.Context(), Incarnation{Name: "k/t@1", Cluster: "k", Topic: "t", Number: 1, Group: "g", KeyFingerprint: "f", FirstSeen: at}); err != nil {
		t.Fatal(err)
	}
}

func TestNormalisationsAreNotedOnceAndATopicThatWasCountedBeforeIsNamed(t *testing.T) {
	s := open(t)
	at := time.UnixMilli(1_600_000_000_123).UTC()
	unnoted := func() []Unnoted {
		t.Helper()
		known, err := s.Normalisations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		incarnations, err := s.Incarnations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return UnnotedTopics(incarnations, known)
	}
	openIncarnation(t, s, at)
	if diff := gocmp.Diff([]Unnoted{{Topic: "k/t"}}, unnoted()); diff != "" {
		t.Errorf("with nothing noted (-want +got):\n%s", diff)
	}
	lower, nothing := []decode.Normalisation{decode.LowerCase()}, []decode.Normalisation{{}}
	for _, incarnation := range []string{"k/t@1", "k/t@2", "k/t@1"} {
		if err := s.NoteNormalisations(t.Context(), incarnation, lower, nothing, at.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if n := value[uint64](t, s, "SELECT count() FROM normalisations"); n != 2 {
		t.Errorf("two normalisations of one topic make %d rows", n)
	}
	if diff := gocmp.Diff([]Unnoted{{"k/t", at.Add(time.Hour)}}, unnoted()); diff != "" {
		t.Errorf("noted an hour after the first record (-want +got):\n%s", diff)
	}
	if err := s.NoteNormalisations(t.Context(), "k/t@1", nothing, nil, at); err != nil {
		t.Fatal(err)
	}
	if all := unnoted(); len(all) != 0 {
		t.Errorf("noted before the first record, but %v", all)
	}
	execute(t, s, "INSERT INTO normalisations (topic, member, steps, first_used) VALUES ('k/t', 'subject', '{\"upper\":true}', now64())")
	if _, err := s.Normalisations(t.Context()); err == nil || Temporary(err) {
		t.Errorf("a step of a later version: %v", err)
	}
}

func TestAPersonIsLookedForOnlyWhereTheFormOfTheIDWasUsed(t *testing.T) {
	s := open(t)
	rows := randomAccess(rand.New(rand.NewPCG(7, 8)), 600)
	for _, incarnation := range []string{"k/t@1", "k/t@2", "k/tt@1"} {
		r := batch(0, 600)
		r.Incarnation = incarnation
		if err := s.InsertAccess(t.Context(), r, rows); err != nil {
			t.Fatal(err)
		}
	}
	const a, b = 1, 1 + 5<<60
	// In this order: each deletes what it has found, and the last finds what the others do.
	for _, q := range []struct {
		name   string
		sought []Sought
		where  string
	}{
		{"a topic", []Sought{{Hash: a, Topic: "k/t"}}, "startsWith(incarnation, 'k/t@') AND (subject = 1 OR actor = 1)"},
		{"a subject", []Sought{{Hash: a, Topic: "k/tt", Member: MemberSubject}}, "incarnation = 'k/tt@1' AND subject = 1"},
		{"an actor", []Sought{{Hash: a, Member: MemberActor}}, "actor = 1"},
		{"a and b elsewhere", []Sought{{Hash: a}, {Hash: b, Topic: "k/tt", Member: MemberActor}}, "subject = 1 OR actor = 1 OR incarnation = 'k/tt@1' AND actor = 5764607523034234881"},
	} {
		want := value[uint64](t, s, "SELECT count() FROM access_events WHERE "+q.where)
		n, err := s.CountRaw(t.Context(), q.sought)
		if err != nil || n != want || n == 0 {
			t.Errorf("%s: %d rows (%v), want %d", q.name, n, err, want)
		}
		touches, err := s.Touches(t.Context(), q.sought)
		if err != nil {
			t.Fatal(err)
		}
		for _, touch := range touches {
			if !q.sought[0].Finds(&touch) && !q.sought[len(q.sought)-1].Finds(&touch) {
				t.Errorf("%s: found %+v", q.name, touch)
			}
		}
		if len(touches) == 0 {
			t.Errorf("%s: no touches", q.name)
		}
		if err := s.ForgetRaw(t.Context(), q.sought); err != nil {
			t.Fatal(err)
		}
		if n := value[uint64](t, s, "SELECT count() FROM access_events WHERE "+q.where); n != 0 {
			t.Errorf("%s: %d rows are left", q.name, n)
		}
	}
	if n := value[uint64](t, s, "SELECT count() FROM access_events"); n == 0 {
		t.Error("everybody was deleted")
	}
}
