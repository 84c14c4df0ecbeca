package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// foldsTo compares what a history comes to with the alerts that it should come to, a
// line each.
func foldsTo(t *testing.T, what string, at int, tellings []schema.Change, actions []schema.FindingAction, want string) {
	t.Helper()
	if want != "" {
		want += "\n"
	}
	if got := summary(history{tellings, actions}, at); got != want {
		t.Errorf("%s: got\n%swant\n%s", what, got, want)
	}
}

func TestWhatStillGoesOnPagesHoweverLateItIsFound(t *testing.T) {
	const isNew, critical = schema.ChangeNew, schema.Critical
	type T = []schema.Change
	type A = []schema.FindingAction
	const digest = "Digest p/ info from 10: a"

	found := func(lastSeen time.Duration) T { return T{late(says(0, "p/a", isNew, critical), lastSeen)} }
	foldsTo(t, "last seen just now", 20, found(0), nil, "VolumeLimit p/a critical from 0: a")
	foldsTo(t, "last seen max_age ago", 20, found(maxAge), nil, "VolumeLimit p/a critical from 0: a")
	foldsTo(t, "last seen longer ago", 20, found(maxAge+time.Millisecond), nil, digest)
	foldsTo(t, "last seen just now, and over", 20, T{overWhenFound(found(0)[0])}, nil, digest)
	days := int(maxAge.Minutes()) * 9
	foldsTo(t, "folded long after it was told", days, found(maxAge), nil, "VolumeLimit p/a critical from 0: a")
	foldsTo(t, "told twice, it pages once", 99, append(found(0), late(says(30, "p/a", schema.ChangeReopened, critical), 0)), nil, "VolumeLimit p/a critical from 0: a")
	raised := late(says(30, "p/a", schema.ChangeRaised, critical), 0)
	foldsTo(t, "a digest line that is raised by what is old, and goes on", 69, T{old(says(0, "p/a", isNew, schema.Warning)), raised}, nil,
		digest+"\nVolumeLimit p/a critical from 30: a")

	noted := func(m int) schema.FindingAction { return does(m, schema.GoesOn, "p/a", 0) }
	foldsTo(t, "an old log was read first, and it goes on", 69, found(2*maxAge), A{noted(30)}, digest+"\nVolumeLimit p/a critical from 30: a")
	foldsTo(t, "two instances note it, and it pages once", 69, found(2*maxAge), A{noted(30), noted(31)}, digest+"\nVolumeLimit p/a critical from 30: a")
	foldsTo(t, "it pages before the digest is told, which has nothing left to tell", 20, found(2*maxAge), A{noted(5)}, "VolumeLimit p/a critical from 5: a")
	foldsTo(t, "silenced while it was a digest line, it pages when the silence is over", 69, found(2*maxAge), A{does(20, schema.Silence, "p/a", 40), noted(30)},
		digest+"\nVolumeLimit p/a critical from 40: a")
}

func TestAnAcknowledgedFindingIsToldAnewWhenItsPeopleAreTenTimesWhatLastPaged(t *testing.T) {
	const isNew, warning, critical = schema.ChangeNew, schema.Warning, schema.Critical
	type T = []schema.Change
	type A = []schema.FindingAction
	paged := T{of(100, says(0, "p/a", isNew, warning))}
	ack := when(100, does(20, schema.Acknowledge, "p/a", 0))
	grown := func(m int, people uint64) schema.FindingAction {
		return when(people, does(m, schema.Grown, "p/a", 0))
	}
	const first = "VolumeLimit p/a warning from 0: a"
	const over = "VolumeLimit p/a warning from 0: (a), to 30: superseded by"
	const anew = over + "\nVolumeLimit p/a warning from 30: a, 1 times anew"

	foldsTo(t, "ten times", 99, paged, A{ack, grown(30, 1000)}, anew)
	foldsTo(t, "one fewer", 99, paged, A{ack, grown(30, 999)}, first)
	foldsTo(t, "nobody acknowledged it: the alert fires, and is repeated, as it is", 99, paged, A{grown(30, 1000)}, first)
	foldsTo(t, "two instances note it", 99, paged, A{ack, grown(30, 1000), grown(31, 1001)}, anew)
	foldsTo(t, "not again at ten times the first page", 99, paged, A{ack, grown(30, 5000), grown(40, 49_999)}, anew)
	foldsTo(t, "again at ten times the last page", 99, paged, A{ack, grown(30, 5000), grown(40, 50_000)},
		over+"\nVolumeLimit p/a warning from 30: (a), 1 times anew, to 40: superseded by\nVolumeLimit p/a warning from 40: a, 2 times anew")
	foldsTo(t, "who acknowledges it then has seen them", 99, paged, A{when(1000, ack), grown(30, 9999)}, first)
	foldsTo(t, "and is told at ten times that", 99, paged, A{when(1000, ack), grown(30, 10_000)}, anew)
	foldsTo(t, "of nobody it takes ten", 99, T{says(0, "p/a", isNew, warning)}, A{when(0, ack), grown(25, 9)}, first)
	foldsTo(t, "ten of nobody", 99, T{says(0, "p/a", isNew, warning)}, A{when(0, ack), grown(30, 10)}, anew)
	foldsTo(t, "the next day counts from the same page", 99, append(paged[:1:1], of(80, says(25, "p/a/next", schema.ChangeContinued, warning))),
		A{ack, when(999, does(28, schema.Grown, "p/a/next", 0)), when(1000, does(30, schema.Grown, "p/a/next", 0))}, anew)
	foldsTo(t, "the next time counts from none", 99, append(paged[:1:1], of(1000, says(40, "p/a", schema.ChangeEnded, warning)), of(50, says(60, "p/a", schema.ChangeReopened, warning))),
		A{ack, grown(30, 1000)}, over+"\nVolumeLimit p/a warning from 30: (a), 1 times anew, to 40: ended\nVolumeLimit p/a warning from 60: a")
	foldsTo(t, "resolved it is not acknowledged any more", 99, paged, A{ack, does(25, schema.Resolve, "p/a", 0), grown(30, 1000)},
		"VolumeLimit p/a warning from 0: (a), to 25: resolved by ann: why")
	foldsTo(t, "an alert that has just begun does not take it in", 99, append(paged[:1:1], says(25, "p/b", isNew, critical)), A{ack, grown(30, 1000)},
		over+"\nVolumeLimit p/b critical from 25: b\nVolumeLimit p/a warning from 30: a, 1 times anew")
	foldsTo(t, "what the alert tells besides goes along", 99, append(paged[:1:1], says(1, "p/b", isNew, warning)), A{ack, grown(30, 1000)},
		"VolumeLimit p/a warning from 0: (a) (b), held back 1, told again at 10, to 30: superseded by\nVolumeLimit p/a warning from 30: a b, 1 times anew, held back 1")
}

func TestAnAcknowledgedAlertDoesNotTakeInAnotherCapability(t *testing.T) {
	const isNew, warning, critical = schema.ChangeNew, schema.Warning, schema.Critical
	type T = []schema.Change
	type A = []schema.FindingAction
	ack := A{does(3, schema.Acknowledge, "p/a", 0)}
	surge := says(5, "p/a", isNew, warning)
	surge.Detector, surge.ID = "surge", "surge of p/a"
	const joined = ", held back 1, told again at 10"

	foldsTo(t, "not acknowledged", 20, T{says(0, "p/a", isNew, critical), says(5, "p/b", isNew, warning)}, nil, "VolumeLimit p/a critical from 0: a b"+joined)
	foldsTo(t, "acknowledged after that", 20, T{says(0, "p/a", isNew, critical), says(2, "p/b", isNew, warning)}, ack, "VolumeLimit p/a critical from 0: a b"+joined)
	foldsTo(t, "acknowledged before", 20, T{says(0, "p/a", isNew, critical), says(5, "p/b", isNew, warning)}, ack,
		"VolumeLimit p/a critical from 0: a\nVolumeLimit p/b warning from 5: b")
	foldsTo(t, "acknowledged before, and as bad", 20, T{says(0, "p/a", isNew, critical), says(5, "p/b", isNew, critical)}, ack,
		"VolumeLimit p/a critical from 0: a\nVolumeLimit p/b critical from 5: b")
	foldsTo(t, "a third joins the second", 20, T{says(0, "p/a", isNew, critical), says(5, "p/b", isNew, warning), says(6, "p/c", isNew, warning)}, ack,
		"VolumeLimit p/a critical from 0: a\nVolumeLimit p/b warning from 5: b c, held back 1, told again at 15")
	foldsTo(t, "another finding of the same capability", 20, T{says(0, "p/a", isNew, critical), surge}, ack, "VolumeLimit p/a critical from 0: a a"+joined)
	foldsTo(t, "the partner as a whole", 20, T{says(0, "p/a", isNew, critical), says(5, "p", isNew, warning)}, ack, "VolumeLimit p/a critical from 0: a "+joined)
	foldsTo(t, "the whole was acknowledged, and nobody knew which part", 20, T{says(0, "p", isNew, critical), says(5, "p/b", isNew, warning)},
		A{does(3, schema.Acknowledge, "p", 0)}, "VolumeLimit p/ critical from 0: \nVolumeLimit p/b warning from 5: b")
}

func TestAStrangerThatTheCrowdsAlertTellsPagesNotByItself(t *testing.T) {
	var told []schema.Change
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		told = append(told, stranger(i, name, schema.ChangeNew))
	}
	var acts []schema.FindingAction
	for i := range told {
		ack, goesOn := does(10, schema.Acknowledge, "", 0), does(20, schema.GoesOn, "", 0)
		ack.Finding, goesOn.Finding = told[i].ID, told[i].ID
		acts = append(acts, ack, goesOn)
	}
	const firing = "critical from 3: "
	if got := summary(history{told, acts}, 30); strings.Count(got, " from ") != 4 || strings.Count(got, firing) != 1 {
		t.Errorf("five strangers are\n%s", got)
	}
	for _, r := range fold(history{told, acts}, maxAge, group, 3, minute(30)).Watched {
		f := schema.Finding{FindingKey: r.last().FindingKey, State: schema.Open, LastSeen: minute(30)}
		if act, why := r.next(&f, maxAge, minute(30)); act != "" {
			t.Errorf("of %s it is noted that it %s: %s", f.Partner, act, why)
		}
	}
}
