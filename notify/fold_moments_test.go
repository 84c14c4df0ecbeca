package notify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestWhatIsAsOldAsMaxAgePagesAndWhatIsOlderDoesNot(t *testing.T) {
	const isNew, raised, reopened = schema.ChangeNew, schema.ChangeRaised, schema.ChangeReopened
	age := func(crossing, peak, seen time.Duration, change schema.ChangeKind) []schema.Change {
		c := overWhenFound(says(0, "p/a", change, schema.Critical)) // so that it does not go on
		c.FirstCrossing, c.Peak, c.LastSeen = c.Reported.Add(-crossing), c.Reported.Add(-peak), c.Reported.Add(-seen)
		return []schema.Change{c}
	}
	const page, digest = "VolumeLimit p/a critical from 0: a", "Digest p/ info from 10: a"
	const older = maxAge + time.Millisecond
	foldsTo(t, "new: it began max_age ago", 20, age(maxAge, older, older, isNew), nil, page)
	foldsTo(t, "new: it began before that", 20, age(older, maxAge, maxAge, isNew), nil, digest)
	foldsTo(t, "raised: its peak was max_age ago", 20, age(older, maxAge, older, raised), nil, page)
	foldsTo(t, "raised: its peak was before that", 20, age(maxAge, older, maxAge, raised), nil, digest)
	foldsTo(t, "reopened: it was seen max_age ago", 20, age(older, older, maxAge, reopened), nil, page)
	foldsTo(t, "reopened: it was seen before that", 20, age(maxAge, maxAge, older, reopened), nil, digest)
}

func TestAnAlertTakesInWhatComesUntilTheIntervalIsOver(t *testing.T) {
	const isNew, critical, warning = schema.ChangeNew, schema.Critical, schema.Warning
	after := func(d time.Duration, name string, severity schema.Severity) schema.Change {
		s := says(0, name, isNew, severity)
		s.Reported = s.Reported.Add(d)
		return s
	}
	type T = []schema.Change
	foldsTo(t, "at its last moment", 30, T{says(0, "p/a", isNew, critical), after(group, "p/b", warning)}, nil,
		"VolumeLimit p/a critical from 0: a b, held back 1, told again at 10")
	foldsTo(t, "after that", 30, T{says(0, "p/a", isNew, critical), after(group+time.Millisecond, "p/b", warning)}, nil,
		"VolumeLimit p/a critical from 0: a\nVolumeLimit p/b warning from 10: b")
	foldsTo(t, "what is worse takes over what began an interval ago", 30, T{says(0, "p/a", isNew, warning), after(group, "p/b", critical)}, nil,
		"VolumeLimit p/a warning from 0: (a), to 10: superseded by\nVolumeLimit p/b critical from 10: b a")
	foldsTo(t, "and not what began before that", 30, T{says(0, "p/a", isNew, warning), after(group+time.Millisecond, "p/b", critical)}, nil,
		"VolumeLimit p/a warning from 0: a\nVolumeLimit p/b critical from 10: b")
	foldsTo(t, "what it held back goes along", 30, T{says(0, "p/a", isNew, warning), says(1, "p/b", isNew, warning), says(2, "p/c", isNew, warning), says(3, "p/d", isNew, critical)}, nil,
		"VolumeLimit p/a warning from 0: (a) (b) (c), held back 2, to 3: superseded by\nVolumeLimit p/d critical from 3: d a b c, held back 2")
	foldsTo(t, "what is as bad does not take over", 30, T{says(0, "p/a", isNew, critical), says(1, "p/b", isNew, critical)}, nil,
		"VolumeLimit p/a critical from 0: a b, held back 1, told again at 10")
	foldsTo(t, "a second time it is told an interval after the first", 60,
		T{says(0, "p/a", isNew, critical), says(10, "p/b", isNew, warning), says(11, "p/a", schema.ChangeEnded, critical), says(15, "p/b", schema.ChangeEnded, warning)}, nil,
		"VolumeLimit p/a critical from 0: (a) (b), held back 1, told again at 10, to 15: ended")
	foldsTo(t, "what is over before it is told is told by its end", 60,
		T{says(0, "p/a", isNew, critical), says(1, "p/b", isNew, warning), says(2, "p/a", schema.ChangeEnded, critical), says(3, "p/b", schema.ChangeEnded, warning)}, nil,
		"VolumeLimit p/a critical from 0: (a) (b), held back 1, to 3: ended")
}

func TestWhatBeginsAgainAtTheMomentOfItsEndGoesOn(t *testing.T) {
	const isNew, critical, ended, reopened = schema.ChangeNew, schema.Critical, schema.ChangeEnded, schema.ChangeReopened
	over, again := says(0, "p/a", ended, critical), says(0, "p/a", reopened, critical)
	foldsTo(t, "at one moment", 9, []schema.Change{says(0, "p/a", isNew, critical), over, again}, nil, "VolumeLimit p/a critical from 0: a")
	foldsTo(t, "the silence ends when it began", 9, []schema.Change{says(5, "p/a", isNew, critical)},
		[]schema.FindingAction{does(5, schema.Silence, "p/a", 6), does(5, schema.Silence, "p/a", 5)}, "VolumeLimit p/a critical from 5: a")
	foldsTo(t, "it ends once more", 20, []schema.Change{says(0, "p/a", isNew, critical), over, again, says(9, "p/a", ended, critical)}, nil,
		"VolumeLimit p/a critical from 0: (a), to 9: ended")
}

func TestTheEndOfOneDayIsNoEndWhileTheNextGoesOn(t *testing.T) {
	const isNew, warning, ended, continued = schema.ChangeNew, schema.Warning, schema.ChangeEnded, schema.ChangeContinued
	goesOn := []schema.Change{says(0, "p/a", isNew, warning), says(20, "p/a/next", continued, warning)}
	foldsTo(t, "its first day ends", 40, append(slices.Clone(goesOn), says(30, "p/a", ended, warning)), nil, "VolumeLimit p/a warning from 0: a")
	foldsTo(t, "its last day is withdrawn", 40, append(slices.Clone(goesOn), says(30, "p/a/next", schema.ChangeWithdrawn, warning)), nil, "VolumeLimit p/a warning from 0: a")
	foldsTo(t, "then its first day ends", 40, append(slices.Clone(goesOn), says(30, "p/a/next", schema.ChangeWithdrawn, warning), says(31, "p/a", ended, warning)), nil,
		"VolumeLimit p/a warning from 0: (a), to 31: ended")
	foldsTo(t, "a new day that continues nothing is a run of its own", 40, []schema.Change{says(0, "p/a", isNew, warning), says(20, "p/a/next", isNew, warning)}, nil,
		"VolumeLimit p/a warning from 0: a a, held back 1, told again at 20")
	foldsTo(t, "what continues what nobody told is one too", 40, []schema.Change{says(20, "p/a/next", continued, warning)}, nil,
		"VolumeLimit p/a warning from 20: a")
}

func TestADigestTellsWhatNothingElseHasToldMeanwhile(t *testing.T) {
	const isNew, warning, critical = schema.ChangeNew, schema.Warning, schema.Critical
	type T = []schema.Change
	goesOn := does(5, schema.GoesOn, "p/a", 0)
	foldsTo(t, "one of two goes on", 15, T{old(says(0, "p/a", isNew, critical)), old(says(1, "p/b", isNew, critical))}, []schema.FindingAction{goesOn},
		"VolumeLimit p/a critical from 5: a\nDigest p/ info from 10: b")
	foldsTo(t, "the first of two is withdrawn", 15, T{old(says(0, "p/a", isNew, critical)), old(says(1, "p/b", isNew, critical)), says(2, "p/a", schema.ChangeWithdrawn, critical)}, nil,
		"Digest p/ info from 10: b")
	foldsTo(t, "told twice it is a line", 15, T{old(says(0, "p/a", isNew, warning)), old(says(1, "p/a", schema.ChangeRaised, critical))}, nil,
		"Digest p/ info from 10: a")
	foldsTo(t, "long after the last one it waits for the interval alone", 300, T{old(says(0, "p/a", isNew, critical)), old(says(200, "p/b", isNew, critical))}, nil,
		"Digest p/ info from 10: a, to 70: a digest is told once\nDigest p/ info from 210: b, to 270: a digest is told once")
	foldsTo(t, "a digest takes in no page", 15, T{old(says(0, "p/a", isNew, critical)), says(12, "p/b", isNew, warning)}, nil,
		"Digest p/ info from 10: a\nVolumeLimit p/b warning from 12: b")
	foldsTo(t, "a page goes on beside it", 15, T{says(0, "p/b", isNew, warning), old(says(0, "p/a", isNew, critical)), says(12, "p/b", schema.ChangeEnded, warning)}, nil,
		"VolumeLimit p/b warning from 0: (b), to 12: ended\nDigest p/ info from 10: a")

	first := T{old(says(0, "p/a", isNew, critical)), old(says(1, "p/b", isNew, critical)), says(2, "p/a", schema.ChangeWithdrawn, critical)}
	digests := fold(history{Changes: first}, maxAge, group, strangers, minute(15)).Alerts
	if d := digests[0]; d.Lead != about("p/b").ID() || d.Severity != "info" || len(d.events()) != 1 || d.events()[0].kind != "digest" {
		t.Errorf("the digest is %+v", d)
	}
}

func TestAnActDoesWhatItSaysAndOnlyWhileItHolds(t *testing.T) {
	const isNew, warning, critical = schema.ChangeNew, schema.Warning, schema.Critical
	one := []schema.Change{says(0, "p/a", isNew, warning)}
	type A = []schema.FindingAction
	const silenced = "VolumeLimit p/a warning from 0: (a), to 5: silenced by ann until 2026-03-01 "
	foldsTo(t, "a silence that another one lengthens", 45, one, A{does(5, schema.Silence, "p/a", 30), does(10, schema.Silence, "p/a", 60)}, silenced+"12:30 UTC: why")
	foldsTo(t, "ends with the other", 60, one, A{does(5, schema.Silence, "p/a", 30), does(10, schema.Silence, "p/a", 60)},
		silenced+"12:30 UTC: why\nVolumeLimit p/a warning from 60: a")
	foldsTo(t, "a silence that another one shortens", 25, one, A{does(5, schema.Silence, "p/a", 30), does(10, schema.Silence, "p/a", 20)},
		silenced+"12:30 UTC: why\nVolumeLimit p/a warning from 20: a")
	foldsTo(t, "seen again though nobody resolved it", 20, one, A{does(5, schema.SeenAgain, "p/a", 0)}, "VolumeLimit p/a warning from 0: a")
	foldsTo(t, "goes on though it pages", 20, append(slices.Clone(one), says(6, "p/a", schema.ChangeRaised, critical)), A{does(5, schema.GoesOn, "p/a", 0)},
		"VolumeLimit p/a warning from 0: (a), to 6: superseded by\nVolumeLimit p/a critical from 6: a")
	foldsTo(t, "an act on what nobody told", 20, one, A{does(5, schema.Silence, "p/x", 60)}, "VolumeLimit p/a warning from 0: a")
	foldsTo(t, "what was over when it was found can be silenced for its hour", 99, []schema.Change{overWhenFound(one[0])}, A{does(5, schema.Silence, "p/a", 600)},
		silenced+"22:00 UTC: why")
	foldsTo(t, "and not after it", 99, append([]schema.Change{overWhenFound(one[0])}, says(70, "p/a", schema.ChangeReopened, warning)), A{does(60, schema.Silence, "p/a", 600)},
		"VolumeLimit p/a warning from 0: (a), to 60: ended\nVolumeLimit p/a warning from 70: a")

	r := fold(history{one, A{does(5, schema.Resolve, "p/a", 0), does(9, schema.SeenAgain, "p/a", 0)}}, maxAge, group, strangers, minute(20)).Alerts[1].Members[0].episode
	same(t, "it says", []string{r.saysSeenAgain()}, "resolved by ann at 2026-03-01 12:05 UTC, seen again")
	r = fold(history{append(slices.Clone(one), says(30, "p/a", schema.ChangeEnded, warning), says(40, "p/a", schema.ChangeReopened, warning)),
		A{does(5, schema.Resolve, "p/a", 0), does(9, schema.SeenAgain, "p/a", 0)}}, maxAge, group, strangers, minute(50)).Alerts[2].Members[0].episode
	same(t, "of the next time", []string{r.saysSeenAgain()}, "")
}

func TestWhatIsToBeNotedOfARunFollowsFromItsLatestFigures(t *testing.T) {
	resolvedAt := &schema.FindingAction{At: noon}
	now := noon.Add(time.Hour)
	f := func(state schema.State, seen time.Time, people uint64) *schema.Finding {
		return &schema.Finding{State: state, LastSeen: seen, People: schema.Estimate{Value: people}}
	}
	a := &alert{}
	for _, c := range []struct {
		what    string
		episode episode
		f       *schema.Finding
		act     schema.Act
		why     string
	}{
		{"resolved, and last seen then", episode{due: true, resolved: resolvedAt}, f(schema.Open, noon, 1), "", ""},
		{"resolved, and seen later", episode{due: true, resolved: resolvedAt}, f(schema.Open, noon.Add(time.Minute), 1), schema.SeenAgain, "last seen at 2026-03-01 12:01 UTC, after it was resolved"},
		{"a digest's, seen max_age ago", episode{}, f(schema.Open, now.Add(-maxAge), 1), schema.GoesOn, "last seen at 2026-02-28 13:00 UTC; only a digest had told it, as old"},
		{"a digest's, seen before that", episode{}, f(schema.Open, now.Add(-maxAge-time.Millisecond), 1), "", ""},
		{"a digest's, and over", episode{}, f(schema.Ended, now, 1), "", ""},
		{"a digest's stranger, which the crowd's alert tells", episode{crowded: true}, f(schema.Open, now, 1), "", ""},
		{"acknowledged, ten times as many", episode{due: true, acknowledged: resolvedAt, alert: a, paged: 7}, f(schema.Open, now, 70), schema.Grown, "70 people, 7 when it last paged"},
		{"acknowledged, one fewer", episode{due: true, acknowledged: resolvedAt, alert: a, paged: 7}, f(schema.Open, now, 69), "", ""},
		{"acknowledged, and silenced", episode{due: true, acknowledged: resolvedAt, paged: 7}, f(schema.Open, now, 70), "", ""},
		{"nobody acknowledged it", episode{due: true, alert: a, paged: 7}, f(schema.Open, now, 70), "", ""},
	} {
		if act, why := c.episode.next(c.f, maxAge, now); act != c.act || why != c.why {
			t.Errorf("%s: got %q because %q, want %q because %q", c.what, act, why, c.act, c.why)
		}
	}
}

func TestOnlyRunsOfWhichSomethingMayBeNotedAreWatched(t *testing.T) {
	const isNew, critical = schema.ChangeNew, schema.Critical
	h := history{
		[]schema.Change{
			says(0, "fires/a", isNew, critical), says(0, "acked/a", isNew, critical), says(0, "resolved/a", isNew, critical), old(says(0, "digest/a", isNew, critical)),
			says(0, "over/a", isNew, critical), says(2, "over/a", schema.ChangeEnded, critical),
		},
		[]schema.FindingAction{does(1, schema.Acknowledge, "acked/a", 0), does(1, schema.Resolve, "resolved/a", 0), does(1, schema.Acknowledge, "over/a", 0)},
	}
	var partners, ids []string
	for _, r := range fold(h, maxAge, group, strangers, minute(5)).Watched {
		partners, ids = append(partners, r.last().Partner), append(ids, r.id())
	}
	if !slices.IsSorted(ids) {
		t.Errorf("they are not in the order of their ids: %q", ids)
	}
	slices.Sort(partners)
	same(t, "watched", partners, "acked", "digest", "resolved")
}

func TestAlertsAreInTheOrderInWhichTheyBegan(t *testing.T) {
	var h history
	for _, p := range []string{"e", "d", "c", "b", "a"} {
		h.Changes = append(h.Changes, says(0, p+"/x", schema.ChangeNew, schema.Critical))
	}
	h.Changes = append(h.Changes, says(-1, "z/x", schema.ChangeNew, schema.Critical))
	var first string
	var ids []string
	for i, a := range fold(h, maxAge, group, strangers, minute(5)).Alerts {
		if i == 0 {
			first = a.Partner
			continue
		}
		ids = append(ids, a.ID)
	}
	if first != "z" || len(ids) != 5 || !slices.IsSorted(ids) {
		t.Errorf("the first is %s, then come %q", first, ids)
	}
}

func TestAnAlertsIdIsMadeOfWhatItIsAndWhenItBegan(t *testing.T) {
	l := labels{Name: "OverreachSurge", Severity: schema.Warning}
	ids := []string{alertID(l, "lead", noon)}
	more := func(l labels, lead string, at time.Time) { ids = append(ids, alertID(l, lead, at)) }
	more(labels{Name: "OverreachCreep", Severity: schema.Warning}, "lead", noon)
	more(labels{Name: "OverreachSurge", Severity: schema.Critical}, "lead", noon)
	more(l, "other", noon)
	more(l, "lead", noon.Add(time.Millisecond))
	l.Escalations = 1
	more(l, "lead", noon)
	l.Escalations = 2
	more(l, "lead", noon)
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != 7 {
		t.Errorf("two have one id: %q", ids)
	}
	l.Escalations, l.Partner = 0, "bank"
	if got := alertID(l, "lead", noon); !slices.Contains(ids, got) || len(got) != 32 || strings.Trim(got, "0123456789abcdef") != "" {
		t.Errorf("the id is %q, want one of %q", got, ids)
	}
	same(t, "names", []string{alertName("volume_limit"), alertName("surge"), alertName("a__b")}, "OverreachVolumeLimit", "OverreachSurge", "OverreachAB")
}
