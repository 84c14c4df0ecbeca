package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

// stranger is a telling of a partner that the registry does not know.
func stranger(m int, partner string, change schema.ChangeKind) schema.Change {
	t := says(m, partner, change, schema.Critical)
	t.Detector, t.Window, t.Cause, t.Period = strangerDetector, "", "unregistered", 0
	t.ID = t.FindingKey.ID()
	return t
}

func TestManyStrangersAreOneAlertUntilNoneIsLeft(t *testing.T) {
	const isNew, ended, reopened = schema.ChangeNew, schema.ChangeEnded, schema.ChangeReopened
	f := func(what string, at int, tellings []schema.Change, want string) {
		t.Helper()
		got := summary(history{Changes: tellings}, at)
		if !slices.Equal(strings.Fields(got), strings.Fields(want)) {
			t.Errorf("%s: got\n%swant\n%s", what, got, want)
		}
	}
	few := []schema.Change{stranger(0, "a", isNew), stranger(1, "b", isNew), stranger(2, "c", isNew)}
	f("as many as may be are told one by one", 30, few, `
		UnregisteredPartner a/ critical from 0:
		UnregisteredPartner b/ critical from 1:
		UnregisteredPartner c/ critical from 2:`)
	one := append(slices.Clone(few), stranger(3, "d", isNew))
	began := `UnregisteredPartner a/ critical from 0: (), to 3: superseded by the
		UnregisteredPartner b/ critical from 1: (), to 3: superseded by the
		UnregisteredPartner c/ critical from 2: (), to 3: superseded by the
		UnregisteredPartner (unregistered)/ critical from 3:`
	f("one more, and all are one alert", 5, one, began+" , held back 3")
	around := append(slices.Clone(one), stranger(20, "d", ended), stranger(21, "c", ended), stranger(40, "d", reopened), stranger(60, "e", isNew))
	text := summary(history{Changes: around}, 90)
	if n := strings.Count(text, "from"); n != 4 || strings.Count(text, "(unregistered)") != 1 || strings.Contains(strings.Split(text, "(unregistered)")[1], "to 2") {
		t.Errorf("a number around the limit begins or ends something:\n%s", text)
	}
	over := slices.Clone(around)
	for i, name := range []string{"a", "b", "d", "e"} {
		over = append(over, stranger(100+i, name, ended))
	}
	text = summary(history{Changes: over}, 200)
	if strings.Count(text, "from") != 4 || !strings.Contains(text, "to 103: ended") {
		t.Errorf("it does not end with the last:\n%s", text)
	}
	text = summary(history{Changes: append(over, stranger(110, "a", reopened))}, 200)
	if strings.Count(text, "UnregisteredPartner a/ critical from 110") != 1 {
		t.Errorf("after the crowd one stranger is none of it:\n%s", text)
	}
}

func TestAThousandStrangersAtOnceAreOneAlertThatCountsThem(t *testing.T) {
	var h history
	for i := range 1001 {
		h.Changes = append(h.Changes, stranger(0, fmt.Sprintf("session-%04d\x1b", i), schema.ChangeNew))
	}
	alerts := fold(h, maxAge, group, strangers, minute(30)).Alerts
	if len(alerts) != 1 || len(alerts[0].Members) != 1001 || alerts[0].HeldBack != 1000 {
		t.Fatalf("there are %d alerts", len(alerts))
	}
	got := view{alert: alerts[0]}.summary()
	for _, want := range []string{"1001 partners not in the registry: session-", " and 996 more. ", "session id", "overreach registry init", "overreach findings --detector unregistered_partner"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary does not say %q: %s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") || strings.Count(got, "session-") != shownStrangers {
		t.Errorf("names are not escaped, or too many: %q", got)
	}
	for i := range h.Changes {
		h.Changes = append(h.Changes, stranger(40+i%7, h.Changes[i].Partner, schema.ChangeEnded))
	}
	alerts = fold(h, maxAge, group, strangers, minute(100)).Alerts
	if len(alerts) != 1 || alerts[0].fires() || alerts[0].Because != "ended" {
		t.Errorf("when all are over there are %d alerts, the first %+v", len(alerts), alerts[0].labels)
	}
	// What the judge itself has added up stands for more than one can count.
	rest := history{Changes: []schema.Change{stranger(0, "(unregistered)", schema.ChangeNew), stranger(0, "a", schema.ChangeNew)}}
	alerts = fold(rest, maxAge, group, strangers, minute(1)).Alerts
	if got := (view{alert: alerts[0]}).summary(); len(alerts) != 1 || !strings.HasPrefix(got, "More than 1 partner not in the registry: a.") {
		t.Errorf("with those that the judge adds up: %d alerts, %s", len(alerts), got)
	}
}

// Whatever comes later, in whatever order it is read, what was told stays.
func TestWhatWasToldOfStrangersStaysHoweverTheHistoryGoesOn(t *testing.T) {
	crowds, compared := 0, 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 9))
		open := map[string]bool{}
		var h history
		for m := range 120 {
			name := fmt.Sprint("s", r.IntN(8))
			change := schema.ChangeNew
			if open[name] {
				change = schema.ChangeEnded
			}
			if r.IntN(3) == 0 {
				open[name] = !open[name]
				h.Changes = append(h.Changes, stranger(m, name, change))
			}
		}
		now := r.IntN(120)
		type told struct{ id, from, to, because string }
		of := func(h history, at, end int) (all []told) {
			firing := 0
			for _, a := range fold(h, maxAge, group, strangers, minute(at)).Alerts {
				if a.crowded() {
					crowds++
				} else if a.fires() {
					firing++
				}
				if minute(end).Before(a.Started) {
					continue
				}
				l := told{a.ID, a.Started.String(), a.Ended.String(), a.Because}
				if a.fires() || a.Ended.After(minute(end)) {
					l.to, l.because = "", ""
				}
				all = append(all, l)
			}
			if firing > strangers {
				t.Fatalf("seed %d: %d alerts of one stranger each", seed, firing)
			}
			return all
		}
		before := of(until(h, minute(now)), now, now)
		r.Shuffle(len(h.Changes), func(i, j int) { h.Changes[i], h.Changes[j] = h.Changes[j], h.Changes[i] })
		after := of(h, 200, now)
		slices.SortFunc(after, func(a, b told) int { return strings.Compare(a.id, b.id) })
		slices.SortFunc(before, func(a, b told) int { return strings.Compare(a.id, b.id) })
		if compared += len(before); !slices.Equal(before, after) {
			t.Fatalf("seed %d: at %d\n%v\nbecame\n%v", seed, now, before, after)
		}
	}
	if crowds < 200 || compared < 500 {
		t.Errorf("%d crowds and %d alerts say nothing", crowds, compared)
	}
}

func TestTheSummaryOfManyStrangersNamesTheFirstFiveThatAreStillThere(t *testing.T) {
	of := func(fires bool, names ...string) string {
		a := &alert{labels: labels{Detector: strangerDetector, Partner: "(unregistered)"}}
		for _, name := range names {
			gone := strings.HasPrefix(name, "-")
			m := member{episode: &episode{days: []schema.Change{{FindingKey: schema.FindingKey{Partner: strings.TrimPrefix(name, "-")}}}}}
			if gone {
				m.Left = "ended"
			}
			a.Members = append(a.Members, m)
		}
		if !fires {
			a.Ended = noon
		}
		first, _, _ := strings.Cut(view{alert: a}.summary(), ". So many")
		return first
	}
	same(t, "summaries", []string{
		of(true, "a", "b", "c", "d", "e"), of(true, "a", "b", "c", "d", "e", "f"), of(true, "a", "-b", "c"), of(false, "-a", "-b"), of(true, "a", "(unregistered)"),
		of(true, "(unregistered)"), of(true, "-a"),
	},
		"5 partners not in the registry: a, b, c, d, e", "6 partners not in the registry: a, b, c, d, e and 1 more", "2 partners not in the registry: a, c",
		"2 partners not in the registry: a, b", "More than 1 partner not in the registry: a", "More than 0 partners not in the registry", "0 partners not in the registry")
}

func TestACrowdLastsFromTheTellingThatIsOneTooManyToTheOneThatLeavesNone(t *testing.T) {
	const isNew, ended = schema.ChangeNew, schema.ChangeEnded
	spans := func(most int, told ...schema.Change) string {
		var all []string
		for _, s := range newCrowd(told, most, newPartnerFold("", maxAge, group)).spans {
			to := "on"
			if !s.to.IsZero() {
				to = fmt.Sprint(s.to.Sub(noon).Minutes())
			}
			all = append(all, fmt.Sprint(s.from.Sub(noon).Minutes(), " to ", to))
		}
		return strings.Join(all, ", ")
	}
	limit := says(3, "z", isNew, schema.Critical) // it is no stranger
	same(t, "spans", []string{
		spans(2, stranger(0, "a", isNew), stranger(1, "b", isNew), limit),
		spans(2, stranger(0, "a", isNew), stranger(1, "b", isNew), stranger(2, "c", isNew)),
		spans(2, stranger(2, "c", isNew), stranger(1, "b", isNew), stranger(0, "a", isNew), stranger(5, "a", ended), stranger(6, "b", ended)),
		spans(2, stranger(0, "a", isNew), stranger(1, "b", isNew), stranger(2, "c", isNew), stranger(5, "a", ended), stranger(6, "b", ended), stranger(7, "c", ended)),
		spans(2, stranger(0, "a", isNew), stranger(1, "b", isNew), stranger(2, "c", isNew), stranger(2, "a", ended)), // at once
		spans(1, stranger(0, "a", isNew), stranger(1, "b", isNew), stranger(2, "a", ended), stranger(2, "b", ended), stranger(3, "a", isNew), stranger(4, "b", isNew)),
		spans(2, stranger(0, "(unregistered)", isNew)),
	}, "", "2 to on", "2 to on", "2 to 7", "", "1 to 2, 4 to on", "0 to on")

	c := &crowd{spans: []span{{from: minute(2), to: minute(7)}, {from: minute(9)}}}
	var has []string
	for m := range 11 {
		if c.has(stranger(m, "a", isNew)) {
			has = append(has, fmt.Sprint(m))
		}
	}
	same(t, "told by the crowd's alert", has, "2", "3", "4", "5", "6", "7", "9", "10")
	if c.has(says(3, "a", isNew, schema.Critical)) {
		t.Error("a finding of another kind is told by it")
	}
}

func TestAStrangersAlertThatEndsForTheCrowdsIsOvertakenByIt(t *testing.T) {
	h := history{Changes: []schema.Change{
		stranger(0, "gone", schema.ChangeNew), stranger(1, "gone", schema.ChangeEnded),
		stranger(2, "a", schema.ChangeNew), stranger(3, "b", schema.ChangeNew), stranger(4, "c", schema.ChangeNew), stranger(5, "d", schema.ChangeNew),
	}}
	of := map[string]*alert{}
	for _, a := range fold(h, maxAge, group, strangers, minute(30)).Alerts {
		of[a.Partner] = a
	}
	for _, name := range []string{"a", "b", "c"} {
		if a := of[name]; a.fires() || !a.Superseded || !a.Ended.Equal(minute(5)) || a.Because != "superseded by the alert of all partners that are not in the registry" {
			t.Errorf("the alert of %s is %+v", name, a)
		}
	}
	if a := of["gone"]; a.fires() || a.Superseded {
		t.Errorf("what was over before is %+v", a)
	}
	var names []string
	for _, m := range of["(unregistered)"].Members {
		names = append(names, m.episode.last().Partner)
	}
	slices.Sort(names)
	same(t, "the crowd's alert tells", names, "a", "b", "c", "d")
	if of["d"] != nil || !of["(unregistered)"].crowded() || of["a"].crowded() {
		t.Errorf("there are alerts of %v", of)
	}
}

func TestAStrangerThatIsSilencedIsHandedToTheCrowdToo(t *testing.T) {
	h := history{Changes: []schema.Change{
		stranger(0, "a", schema.ChangeNew), stranger(2, "b", schema.ChangeNew), stranger(3, "c", schema.ChangeNew), stranger(5, "d", schema.ChangeNew),
	}}
	silence := does(1, schema.Silence, "", 600)
	silence.Finding = h.Changes[0].ID
	h.Actions = []schema.FindingAction{silence}
	for _, a := range fold(h, maxAge, group, strangers, minute(30)).Alerts {
		if a.crowded() && (!a.fires() || len(a.Members) != 4) || a.Partner == "a" && (a.Superseded || !strings.HasPrefix(a.Because, "silenced by ann")) {
			t.Errorf("there is %+v", a)
		}
	}
}
