package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

const (
	maxAge = 24 * time.Hour
	group  = 10 * time.Minute

	strangers = 3
)

// noon is when the tests' histories begin; they count in minutes from then.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func minute(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }

// about returns the key of a finding: partner/capability/day.
func about(name string) schema.FindingKey {
	parts := strings.Split(name, "/")
	k := schema.FindingKey{Detector: "volume_limit", Partner: parts[0], Window: schema.WindowHour, Cause: "limit", Period: schema.DayOf(noon)}
	if len(parts) > 1 {
		k.Capability = parts[1]
	}
	if len(parts) > 2 && parts[2] == "next" {
		k.Period++
	}
	return k
}

// told is a telling of a finding that has just begun, or been seen.
func says(m int, name string, change schema.ChangeKind, severity schema.Severity) schema.Change {
	k := about(name)
	t := schema.Change{FindingKey: k, ID: k.ID(), Reported: minute(m), Kind: change, Severity: severity, State: schema.Open,
		FirstCrossing: minute(m), Peak: minute(m), LastSeen: minute(m)}
	switch change {
	case schema.ChangeEnded:
		t.State = schema.Ended
	case schema.ChangeWithdrawn:
		t.State = schema.Withdrawn
	}
	return t
}

// old is the same of one that began too long ago.
func old(t schema.Change) schema.Change {
	age := maxAge + time.Minute
	t.FirstCrossing, t.Peak, t.LastSeen = t.Reported.Add(-age), t.Reported.Add(-age), t.Reported.Add(-age)
	return t
}

// late is the same of one that began too long ago, and was last seen so long before it
// was told.
func late(t schema.Change, lastSeen time.Duration) schema.Change {
	t = old(t)
	t.LastSeen = t.Reported.Add(-lastSeen)
	return t
}

// of is a telling of so many people.
func of(people uint64, t schema.Change) schema.Change {
	t.People = people
	return t
}

// when is an act at a time at which so many people were known.
func when(people uint64, a schema.FindingAction) schema.FindingAction {
	a.People = people
	return a
}

// overWhenFound is the same of one that has ended already.
func overWhenFound(t schema.Change) schema.Change {
	t.State = schema.Ended
	return t
}

// does is an act of ann; until counts for silences.
func does(m int, act schema.Act, name string, until int) schema.FindingAction {
	a := schema.FindingAction{Finding: about(name).ID(), At: minute(m), Act: act, Who: "ann", Reason: "why"}
	if act == schema.Silence {
		a.Until = minute(until)
	}
	return a
}

// summary writes what a history comes to, an alert a line: its name, severity and
// start, the runs that it tells, those that left, how many were held back, when it was told again, its end.
func summary(h history, at int) string {
	var b strings.Builder
	for _, a := range fold(h, maxAge, group, strangers, minute(at)).Alerts {
		fmt.Fprintf(&b, "%s %s %s from %d:", strings.TrimPrefix(a.Name, "Overreach"), a.Partner+"/"+a.Capability, a.Severity, int(a.Started.Sub(noon).Minutes()))
		for _, m := range a.Members {
			name := m.episode.last().Capability
			if m.Left != "" {
				name = "(" + name + ")"
			}
			b.WriteString(" " + name)
		}
		if a.Escalations > 0 {
			fmt.Fprintf(&b, ", %d times anew", a.Escalations)
		}
		if a.HeldBack > 0 {
			fmt.Fprintf(&b, ", held back %d", a.HeldBack)
		}
		for _, at := range a.Grown {
			fmt.Fprintf(&b, ", told again at %d", int(at.Sub(noon).Minutes()))
		}
		if !a.fires() {
			because, _, _ := strings.Cut(a.Because, " alert ")
			fmt.Fprintf(&b, ", to %d: %s", int(a.Ended.Sub(noon).Minutes()), because)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestAlertsFollowFromWhatWasToldAndDone(t *testing.T) {
	const (
		isNew, continued, raised, reopened = schema.ChangeNew, schema.ChangeContinued, schema.ChangeRaised, schema.ChangeReopened
		ended, withdrawn                   = schema.ChangeEnded, schema.ChangeWithdrawn
		warning, critical                  = schema.Warning, schema.Critical
		ack, silence, resolve, seenAgain   = schema.Acknowledge, schema.Silence, schema.Resolve, schema.SeenAgain
	)
	f := func(what string, at int, tellings []schema.Change, actions []schema.FindingAction, want string) {
		t.Helper()
		got := summary(history{tellings, actions}, at)
		if want = strings.ReplaceAll(strings.TrimSpace(want)+"\n", "\t", ""); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: got\n%swant\n%s", what, got, want)
		}
	}
	type T = []schema.Change
	type A = []schema.FindingAction

	f("nothing", 10, nil, nil, "")
	f("it fires", 10, T{says(0, "p/a", isNew, warning)}, nil, "VolumeLimit p/a warning from 0: a")
	f("a day and those that continue it, told at once, are one run", 10,
		T{says(0, "p/a/next", continued, critical), says(0, "p/a", isNew, critical)}, nil, "VolumeLimit p/a critical from 0: a")
	f("it ends", 10, T{says(0, "p/a", isNew, warning), says(7, "p/a", ended, warning)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 7: ended")
	f("it is withdrawn", 10, T{says(0, "p/a", isNew, warning), says(7, "p/a", withdrawn, warning)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 7: withdrawn")
	f("what lies ahead is not known yet", 6, T{says(0, "p/a", isNew, warning), says(7, "p/a", ended, warning)}, nil,
		"VolumeLimit p/a warning from 0: a")

	f("at the same time it is one alert", 20, T{says(0, "p/a", isNew, warning), says(10, "p/b", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a b, held back 1, told again at 10")
	f("it lasts until the last is over", 30, T{says(0, "p/a", isNew, warning), says(10, "p/b", isNew, warning), says(20, "p/a", ended, warning)}, nil,
		"VolumeLimit p/a warning from 0: (a) b, held back 1, told again at 10")
	f("what joins is told after the interval, together", 30, T{says(0, "p/a", isNew, warning), says(1, "p/b", isNew, warning), says(9, "p/c", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a b c, held back 2, told again at 10")
	f("and not before", 9, T{says(0, "p/a", isNew, warning), says(1, "p/b", isNew, warning), says(9, "p/c", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a b c, held back 2")
	f("later it is two", 20, T{says(0, "p/a", isNew, warning), says(11, "p/b", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a\nVolumeLimit p/b warning from 11: b")
	f("partners are not grouped", 20, T{says(0, "p/a", isNew, warning), says(1, "q/a", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a\nVolumeLimit q/a warning from 1: a")
	f("what is worse takes over", 20, T{says(0, "p/a", isNew, warning), says(5, "p/b", isNew, critical)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 5: superseded by\nVolumeLimit p/b critical from 5: b a")
	f("what is not as bad joins", 20, T{says(0, "p/a", isNew, critical), says(5, "p/b", isNew, warning)}, nil,
		"VolumeLimit p/a critical from 0: a b, held back 1, told again at 10")
	f("raised long after it began", 99, T{says(0, "p/a", isNew, warning), says(60, "p/a", raised, critical)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 60: superseded by\nVolumeLimit p/a critical from 60: a")

	next := says(60, "p/a/next", continued, warning)
	f("a day that goes on pages nobody", 99, T{says(0, "p/a", isNew, warning), next}, nil, "VolumeLimit p/a warning from 0: a")
	f("and ends with its last day", 99, T{says(0, "p/a", isNew, warning), next, says(70, "p/a/next", ended, warning)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 70: ended")
	f("over when it was found, it fires for an hour", 99, T{overWhenFound(says(0, "p/a", isNew, warning))}, nil,
		"VolumeLimit p/a warning from 0: (a), to 60: ended")

	f("too old is a digest", 20, T{old(says(0, "p/a", isNew, critical)), old(says(9, "p/b", isNew, warning))}, nil,
		"Digest p/ info from 10: a b")
	f("that is told for an hour", 99, T{old(says(0, "p/a", isNew, critical))}, nil, "Digest p/ info from 10: a, to 70: a digest is told once")
	f("the next one collects meanwhile", 99, T{old(says(0, "p/a", isNew, critical)), old(says(20, "p/b", isNew, critical)), old(says(70, "p/c", isNew, critical))}, nil,
		"Digest p/ info from 10: a, to 70: a digest is told once\nDigest p/ info from 80: b c")
	f("withdrawn before it is told", 99, T{old(says(0, "p/a", isNew, critical)), says(5, "p/a", withdrawn, critical)}, nil, "")
	f("too old, then raised now", 99, T{old(says(0, "p/a", isNew, warning)), says(30, "p/a", raised, critical)}, nil,
		"Digest p/ info from 10: a, to 70: a digest is told once\nVolumeLimit p/a critical from 30: a")

	one := T{says(0, "p/a", isNew, warning)}
	f("acknowledged it goes on", 20, one, A{does(5, ack, "p/a", 0)}, "VolumeLimit p/a warning from 0: a")
	f("a verdict changes nothing", 20, one, A{does(5, schema.Judgement, "p/a", 0)}, "VolumeLimit p/a warning from 0: a")
	f("silenced it does not fire", 20, one, A{does(5, silence, "p/a", 30)},
		"VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 12:30 UTC: why")
	f("it fires when the silence is over", 30, one, A{does(5, silence, "p/a", 30)},
		"VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 12:30 UTC: why\nVolumeLimit p/a warning from 30: a")
	f("or lifted", 30, one, A{does(5, silence, "p/a", 300), does(8, silence, "p/a", 8)},
		"VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 17:00 UTC: why\nVolumeLimit p/a warning from 8: a")
	f("a silence covers the run", 99, append(slices.Clone(one), next), A{does(5, silence, "p/a", 500)},
		"VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 20:20 UTC: why")
	f("and nothing after it", 99, append(slices.Clone(one), says(20, "p/a", ended, warning), says(60, "p/a", reopened, warning)), A{does(5, silence, "p/a", 500)},
		"VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 20:20 UTC: why\nVolumeLimit p/a warning from 60: a")
	f("a silence of one leaves the other", 20, append(slices.Clone(one), says(3, "p/b", isNew, warning)), A{does(5, silence, "p/a", 500)},
		"VolumeLimit p/a warning from 0: (a) b, held back 1, told again at 10")
	f("a silence of what is in a digest ends without a page", 99, T{old(says(0, "p/a", isNew, warning))}, A{does(20, silence, "p/a", 30)},
		"Digest p/ info from 10: a, to 70: a digest is told once")
	f("resolved", 20, one, A{does(5, resolve, "p/a", 0)}, "VolumeLimit p/a warning from 0: (a), to 5: resolved by ann: why")
	f("and seen again", 20, one, A{does(5, resolve, "p/a", 0), does(9, seenAgain, "p/a", 0)},
		"VolumeLimit p/a warning from 0: (a), to 5: resolved by ann: why\nVolumeLimit p/a warning from 9: a")
	f("resolved, and raised", 20, append(slices.Clone(one), says(12, "p/a", raised, critical)), A{does(5, resolve, "p/a", 0)},
		"VolumeLimit p/a warning from 0: (a), to 5: resolved by ann: why\nVolumeLimit p/a critical from 12: a")
	f("resolved, ended, and there again", 99, append(slices.Clone(one), says(12, "p/a", ended, warning), says(60, "p/a", reopened, warning)), A{does(5, resolve, "p/a", 0)},
		"VolumeLimit p/a warning from 0: (a), to 5: resolved by ann: why\nVolumeLimit p/a warning from 60: a")
	f("an act on what is over is none", 99, append(slices.Clone(one), says(12, "p/a", ended, warning), says(60, "p/a", reopened, warning)),
		A{does(20, silence, "p/a", 500), does(21, resolve, "p/a", 0)},
		"VolumeLimit p/a warning from 0: (a), to 12: ended\nVolumeLimit p/a warning from 60: a")
}

// oracle says of each run, by its key, whether it is to fire now, from its own
// tellings and acts alone and without timers or alerts.
func oracle(h history, now time.Time) map[schema.FindingKey]bool {
	type event struct {
		at   time.Time
		tell *schema.Change
		act  *schema.FindingAction
	}
	events := map[schema.FindingKey][]event{}
	key := map[string]schema.FindingKey{}
	for _, t := range h.Changes {
		k := t.FindingKey
		k.Period = 0
		key[t.ID] = k
		events[k] = append(events[k], event{at: t.Reported, tell: &t})
	}
	for _, a := range h.Actions {
		if k, ok := key[a.Finding]; ok {
			events[k] = append(events[k], event{at: a.At, act: &a})
		}
	}
	fires := map[schema.FindingKey]bool{}
	for k, all := range events {
		slices.SortStableFunc(all, func(a, b event) int { return a.at.Compare(b.at) })
		days := map[schema.Day]schema.State{}
		var due, resolved bool
		var silentTo, lastsTo time.Time
		open := func() bool {
			var last schema.Day
			state := schema.Withdrawn
			for d, s := range days {
				if s != schema.Withdrawn && d >= last {
					last, state = d, s
				}
			}
			return state == schema.Open
		}
		pass := func(at time.Time) { // what ends by itself
			if !open() && !at.Before(lastsTo) {
				due, resolved, silentTo = false, false, time.Time{}
			}
		}
		for _, e := range all {
			if e.at.After(now) {
				break
			}
			pass(e.at)
			if t := e.tell; t != nil {
				wasOpen := open()
				days[t.Period] = t.State
				if !wasOpen && open() {
					resolved, silentTo = false, time.Time{} // another episode
				}
				switch t.Kind {
				case schema.ChangeEnded, schema.ChangeWithdrawn:
					if !open() {
						due, resolved, silentTo, lastsTo = false, false, time.Time{}, time.Time{}
					}
				default:
					if t.Reported.Sub(t.Peak) > maxAge && (t.State != schema.Open || t.Reported.Sub(t.LastSeen) > maxAge) {
						continue
					}
					due, resolved = true, false
					if !open() {
						lastsTo = t.Reported.Add(lasts)
					}
				}
				continue
			}
			known := slices.ContainsFunc(h.Changes, func(t schema.Change) bool { return t.ID == e.act.Finding && !t.Reported.After(e.at) })
			if !known || !open() && !e.at.Before(lastsTo) {
				continue
			}
			switch e.act.Act {
			case schema.Silence:
				silentTo = e.act.Until
			case schema.Resolve:
				resolved = true
			case schema.SeenAgain:
				resolved = false
			case schema.GoesOn:
				due = due || open()
			}
		}
		pass(now)
		fires[k] = due && !resolved && !now.Before(silentTo)
	}
	return fires
}

// chance makes a history that may well not make sense.
func chance(r *rand.Rand) history {
	var h history
	names := []string{"p", "p/a", "p/a/next", "p/b", "p/b/next", "q/a"}
	at := 0
	first := map[string]bool{}
	people := func() uint64 { return []uint64{0, 1, 9, 10, 100, 1000}[r.IntN(6)] }
	for range 4 + r.IntN(20) {
		at += 1 + r.IntN(30)
		name := names[r.IntN(len(names))]
		if r.IntN(3) == 0 {
			act := []schema.Act{schema.Acknowledge, schema.Silence, schema.Silence, schema.Resolve, schema.Judgement, schema.SeenAgain, schema.GoesOn, schema.Grown}[r.IntN(8)]
			h.Actions = append(h.Actions, when(people(), does(at, act, name, at-5+r.IntN(120))))
			continue
		}
		changes := []schema.ChangeKind{schema.ChangeContinued, schema.ChangeRaised, schema.ChangeReopened, schema.ChangeEnded, schema.ChangeEnded, schema.ChangeWithdrawn}
		change := changes[r.IntN(len(changes))]
		if strings.HasSuffix(name, "next") {
			if !first[strings.TrimSuffix(name, "/next")] {
				continue // a second day is told after the first
			}
			if !first[name] {
				change = schema.ChangeContinued
			}
		} else if !first[name] {
			change = schema.ChangeNew
		}
		first[name] = true
		t := of(people(), says(at, name, change, []schema.Severity{schema.Warning, schema.Critical}[r.IntN(2)]))
		switch r.IntN(7) {
		case 0:
			t = old(t)
		case 1:
			t = overWhenFound(t)
		case 2:
			t = late(t, maxAge/2)
		}
		if change == schema.ChangeWithdrawn {
			t.State = schema.Withdrawn
		}
		h.Changes = append(h.Changes, t)
	}
	return h
}

// until is the part of a history that is known at a time.
func until(h history, now time.Time) history {
	return history{
		slices.DeleteFunc(slices.Clone(h.Changes), func(t schema.Change) bool { return t.Reported.After(now) }),
		slices.DeleteFunc(slices.Clone(h.Actions), func(a schema.FindingAction) bool { return a.At.After(now) }),
	}
}

func TestWhateverIsToldAndDoneEveryEpisodeFiresInOneAlertUnlessAPersonHoldsItBack(t *testing.T) {
	firings, held := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := chance(r)
		now := minute(r.IntN(600))
		got := map[schema.FindingKey]int{}
		seen := map[labels]bool{}
		for _, a := range fold(h, maxAge, group, strangers, now).Alerts {
			if !a.fires() {
				continue
			}
			if seen[a.labels] {
				t.Fatalf("seed %d: two alerts fire with the labels %v", seed, a.labels)
			}
			seen[a.labels] = true
			for _, m := range a.Members {
				if a.digest() || m.Left != "" {
					continue
				}
				k := m.episode.last().FindingKey
				k.Period = 0
				got[k]++
				if rank(a.Severity) < rank(m.episode.severity) {
					t.Errorf("seed %d: a %s alert tells what is %s", seed, a.Severity, m.episode.severity)
				}
			}
		}
		for k, fires := range oracle(h, now) {
			want := 0
			if fires {
				want = 1
				firings++
			} else {
				held++
			}
			if got[k] != want {
				t.Fatalf("seed %d at %d: %v is told by %d firing alerts, want %d; tellings %v; acts %v", seed, int(now.Sub(noon).Minutes()), k, got[k], want, h.Changes, h.Actions)
			}
		}
	}
	if firings < 1000 || held < 1000 {
		t.Errorf("only %d fire and %d do not: the test says nothing", firings, held)
	}
}
