package judge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// finder is a detector that asks the questions and finds what a test says.
type finder struct {
	questions []usage.Question
	found     map[string]schema.Finding // by id
}

// The methods of Detector.

func (f *finder) Name() string                                { return "finder" }
func (f *finder) BlindSpots() string                          { return "several ids" }
func (f *finder) Watches(*registry.Registry, string) []string { return nil }
func (f *finder) Ask(_ *registry.Registry, a usage.Activity) (all []usage.Question) {
	for _, q := range f.questions {
		if q.Partner == a.Partner {
			all = append(all, q)
		}
	}
	return all
}
func (f *finder) Judge(_ *registry.Registry, q usage.Question, _ usage.Answer) (schema.Finding, bool) {
	found, ok := f.found[q.ID()]
	return found, ok
}

// judging is a judge of one finder, over a ledger, and a pass of hours over these partners.
func judging(l *ledger, found ...schema.Finding) *book {
	k := onLedger(Config{MaxApps: 20}, l, "bank", "shop")
	f := &finder{found: map[string]schema.Finding{}}
	for _, one := range found {
		f.questions = append(f.questions, usage.Question{FindingKey: one.FindingKey, Spans: []usage.Span{{From: one.Period, To: one.Period + 1}}, Threshold: 1 << 60})
		if one.State != "" {
			f.found[one.ID()] = one
		}
	}
	k.j.detectors = []detectors.Detector{f}
	return k
}

// inDays is foundOf in windows of days, whose buckets are never gone.
func inDays(partner string, state schema.State) schema.Finding {
	f := foundOf(partner, state)
	f.Window = schema.WindowMonth
	return f
}

func (k *book) decides(t *testing.T, open ...schema.FindingKey) {
	t.Helper()
	byPartner := map[string][]schema.FindingKey{"bank": nil}
	for _, key := range open {
		byPartner[key.Partner] = append(byPartner[key.Partner], key)
	}
	var all []usage.Activity
	for _, name := range []string{"bank", "shop"} {
		all = append(all, usage.Activity{Partner: name, Open: byPartner[name]})
	}
	if err := k.r.judgeActivities(t.Context(), pass{cadence: schema.CadenceDay}, all); err != nil {
		t.Fatal(err)
	}
}

// wroteStates are what was written, as partner and state.
func (k *book) wroteStates() (all []string) {
	for i := range k.wrote {
		all = append(all, k.wrote[i].Partner+" "+string(k.wrote[i].State))
	}
	return all
}

// heardOf are what was told, as partner and change.
func (k *book) heardOf() (all []string) {
	for _, c := range k.heard {
		all = append(all, c.Finding.Partner+" "+string(c.Kind))
	}
	return all
}

func sameList(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestWhatIsFoundIsWrittenToldAndCounted(t *testing.T) {
	k := judging(&ledger{}, inDays("bank", schema.Open), inDays("shop", ""))
	k.decides(t)
	sameList(t, "written", k.wroteStates(), "bank open")
	sameList(t, "told", k.heardOf(), "bank new")
	if c := k.changes[0]; len(k.changes) != 1 || c.Version != k.r.version || !c.After.IsZero() || time.Since(c.Reported) > time.Minute || c.Finding.Registry != "ab" {
		t.Errorf("written is %+v", k.changes)
	}
	families, err := k.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "overreach_judge_changes_total" {
			m := f.GetMetric()[0]
			if got := fmt.Sprint(m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue(), m.GetLabel()[2].GetValue(), m.GetCounter().GetValue()); got != "newvolume_limitcritical1" {
				t.Errorf("counted is %s", got)
			}
		}
	}

	// The next round finds the same.
	k.findings, k.told = k.wrote, map[string]schema.FindingChange{k.wrote[0].ID(): k.changes[0]}
	k.wrote, k.heard = nil, nil
	k.decides(t)
	sameList(t, "written of the same", k.wroteStates())
	sameList(t, "told of the same", k.heardOf())
}

func TestWhatWasWrittenAndNotToldIsTold(t *testing.T) {
	k := judging(&ledger{}, inDays("bank", schema.Open))
	k.decides(t)
	k.findings, k.wrote, k.heard = k.wrote, nil, nil
	k.decides(t)
	sameList(t, "written", k.wroteStates())
	sameList(t, "told", k.heardOf(), "bank new")
}

func TestWhatNoLongerFollowsIsWithdrawn(t *testing.T) {
	old := inDays("bank", schema.Open)
	k := judging(&ledger{findings: []schema.Finding{old}}, inDays("bank", ""))
	k.told = map[string]schema.FindingChange{old.ID(): {Finding: old, Reported: time.Unix(5, 0)}}
	k.decides(t)
	sameList(t, "written", k.wroteStates(), "bank withdrawn")
	sameList(t, "told", k.heardOf(), "bank withdrawn")
	if k.wrote[0].Registry != "ab" || k.changes[0].After.Unix() != 5 || len(k.wrote[0].Contributors) > 0 || k.wrote[0].Query != "" {
		t.Errorf("written is %+v", k.wrote[0])
	}
	k = judging(&ledger{findings: []schema.Finding{inDays("bank", schema.Withdrawn)}}, inDays("bank", ""))
	k.decides(t)
	sameList(t, "of what is withdrawn already", k.wroteStates())
	for _, usages := range k.usages {
		if usages.Resolution == schema.Daily && !usages.Subjects && !usages.ByBucket {
			t.Errorf("of it is asked whether its buckets are kept: %+v", usages)
		}
	}
}

func TestAnOpenFindingNobodyAsksAboutIsWithdrawn(t *testing.T) {
	open, ended, hour := inDays("bank", schema.Open), inDays("bank", schema.Ended), foundOf("bank", schema.Open)
	ended.Cause = "another"
	k := judging(&ledger{findings: []schema.Finding{open, ended, hour}})
	k.decides(t, open.FindingKey, ended.FindingKey, hour.FindingKey)
	sameList(t, "written", k.wroteStates(), "bank withdrawn")
	k = judging(&ledger{findings: []schema.Finding{open}}, open)
	k.decides(t, open.FindingKey)
	if slices.Contains(k.wroteStates(), "bank withdrawn") {
		t.Error("what is asked about is withdrawn")
	}
	other := inDays("shop", schema.Open) // of whom the same is asked as of bank
	k = judging(&ledger{findings: []schema.Finding{other}}, open)
	k.decides(t, other.FindingKey)
	sameList(t, "of each partner", k.wroteStates(), "bank open", "shop withdrawn")
}

func TestAStrangerThatMadeRoomIsNotAskedOf(t *testing.T) {
	f := inDays("stranger", schema.Open)
	k := judging(&ledger{}, f)
	k.j.named, k.j.folded = []string{"other"}, 1
	activity := []usage.Activity{{Partner: "stranger", Open: []schema.FindingKey{f.FindingKey}}}
	questions, orphans := k.r.ask(pass{cadence: schema.CadenceDay}, activity)
	if len(questions) != 0 || len(orphans) != 1 {
		t.Errorf("asked is %v, and orphans are %v", questions, orphans)
	}
	k.j.folded = 0
	if questions, orphans = k.r.ask(pass{cadence: schema.CadenceDay}, activity); len(questions) != 1 || len(orphans) != 0 || questions[0].id != f.ID() {
		t.Errorf("where there is room asked is %v, and orphans are %v", questions, orphans)
	}
}

func TestAWholePeriodIsAskedAboutWithMinutesUntilItCanWait(t *testing.T) {
	whole := foundOf("bank", schema.Open)
	whole.Window, whole.Period = schema.WindowPeriod, 0
	hour := foundOf("bank", schema.Open)
	k := judging(&ledger{}, whole, hour)
	for cadence, want := range map[schema.Cadence]int{schema.CadenceMinute: 2, schema.CadenceHour: 0, schema.CadenceDay: 1, schema.CadenceClosedDay: 0} {
		if got, _ := k.r.ask(pass{cadence: cadence}, []usage.Activity{{Partner: "bank"}}); len(got) != want {
			t.Errorf("%s: %d questions, want %d", cadence, len(got), want)
		}
	}
	for what, c := range map[string]struct {
		f    schema.Finding
		w    schema.Window
		want bool
	}{
		"it is open, with accesses": {schema.Finding{State: schema.Open, Accesses: 1}, schema.WindowPeriod, true},
		"it is open, with attempts": {schema.Finding{State: schema.Open, Attempts: 1}, schema.WindowPeriod, false},
		"it has ended":              {schema.Finding{State: schema.Ended, Accesses: 1}, schema.WindowPeriod, false},
		"its window slides":         {schema.Finding{State: schema.Open, Accesses: 1}, schema.WindowHour, false},
	} {
		q := sliding(c.w, "bank", "", 0, 0)
		if got := canWait(q, map[string]schema.Finding{q.id: c.f}); got != c.want {
			t.Errorf("%s: it can wait is %t, want %t", what, got, c.want)
		}
		if canWait(q, nil) {
			t.Errorf("%q: what is not found yet can wait", c.w)
		}
	}
}

func TestTheNeighboursOfAFindingAreADayOrAWeekAway(t *testing.T) {
	for w, want := range map[schema.Window]int{
		schema.WindowHour: 1, schema.Window24h: 1, schema.WindowClockHour: 1, schema.WindowClockDay: 1, schema.WindowClockWeek: 7,
		schema.Window30d: 0, schema.WindowMonth: 0, schema.WindowPeriod: 0,
	} {
		k := schema.FindingKey{Window: w, Period: 100}
		if got := int(neighbour(k, 1).Period) - 100; got != want {
			t.Errorf("%q: the next is %d days away, want %d", w, got, want)
		}
		if got := 100 - int(neighbour(k, -1).Period); got != want {
			t.Errorf("%q: the one before is %d days away, want %d", w, got, want)
		}
	}
}

func TestStoredAreTheFindingsOfQuestionsTheirNeighboursAndOrphans(t *testing.T) {
	hour := foundOf("bank", schema.Open)
	k := judging(&ledger{}, hour)
	questions, _ := k.r.ask(pass{cadence: schema.CadenceMinute}, []usage.Activity{{Partner: "bank"}})
	orphan := inDays("shop", schema.Open)
	if _, err := k.r.stored(t.Context(), questions, []schema.FindingKey{orphan.FindingKey}); err != nil {
		t.Fatal(err)
	}
	before, after := hour.FindingKey, hour.FindingKey
	before.Period--
	after.Period++
	sameList(t, "read", k.queries[0].IDs, hour.ID(), before.ID(), after.ID(), orphan.ID())
	if got, err := k.r.stored(t.Context(), nil, nil); err != nil || len(got) != 0 || len(k.queries) != 1 {
		t.Errorf("of nothing %d findings are read (%v)", len(got), err)
	}
}

func TestBucketsAreGoneWhereTheyHoldLessThanTheDays(t *testing.T) {
	f := func(what string, q asked, fine, days uint64, want bool) {
		t.Helper()
		k := onLedger(Config{}, &ledger{usage: func(q schema.UsageQuery) []schema.UsageCell {
			n := fine
			if q.Resolution == schema.Daily {
				n = days
			}
			if n == 0 {
				return nil
			}
			return []schema.UsageCell{{Counters: schema.Counters{Accesses: n}}}
		}})
		got, err := k.r.expired(t.Context(), q)
		if err != nil || got != want {
			t.Errorf("%s: gone is %t (%v), want %t", what, got, err, want)
		}
		for _, u := range k.usages {
			if u.From != (aMonday-1).Second() || u.To != (aMonday+1).Second() || !slices.Equal(u.Partners, []string{"bank"}) {
				t.Errorf("%s: read was %+v", what, u)
			}
		}
	}
	hour := sliding(schema.WindowHour, "bank", "", aMonday, 0)
	f("as many", hour, 5, 5, false)
	f("one fewer", hour, 4, 5, true)
	f("none is left", hour, 0, 5, true)
	f("nothing was", hour, 0, 0, false)
	f("of days", sliding(schema.WindowMonth, "bank", "", aMonday, 0), 0, 5, false)
	f("of what was read", asked{}, 5, 5, true)
	for n := range 2 {
		k := onLedger(Config{}, &ledger{})
		k.usage = func(schema.UsageQuery) []schema.UsageCell {
			k.fails = map[bool]string{true: "Usage"}[n == 1]
			return nil
		}
		k.fails = map[bool]string{true: "Usage"}[n == 0]
		if _, err := k.r.expired(t.Context(), hour); !errors.Is(err, errLedger) {
			t.Errorf("read %d fails: %v", n, err)
		}
	}
}

func TestAFindingWithFewerPeopleReplacesOneOnlyWhileAllIsKept(t *testing.T) {
	q := sliding(schema.WindowHour, "bank", "", aMonday, 0)
	f := func(what string, before, now uint64, state schema.State, asks int, changes bool) {
		t.Helper()
		k := onLedger(Config{}, &ledger{usage: func(q schema.UsageQuery) []schema.UsageCell {
			if q.Resolution == schema.Daily {
				return []schema.UsageCell{{Counters: schema.Counters{Accesses: 9}}}
			}
			return nil // its minutes are gone
		}})
		found := schema.Finding{State: schema.Open, People: schema.Estimate{Value: now}}
		got, ok, err := k.r.conclude(t.Context(), q, found, now > 0, map[string]schema.Finding{q.id: {State: state, People: schema.Estimate{Value: before}}})
		if err != nil || ok != changes || k.times("Usage") != asks || ok && got.People.Value != now {
			t.Errorf("%s: it changes: %t, after %d reads (%v)", what, ok, k.times("Usage"), err)
		}
	}
	f("more people", 5, 6, schema.Open, 0, true)
	f("as many", 5, 5, schema.Open, 0, true)
	f("fewer", 5, 4, schema.Open, 2, false)
	f("none", 5, 0, schema.Ended, 2, false)
	f("fewer than one that was withdrawn", 5, 4, schema.Withdrawn, 0, true)
	f("none, and it was withdrawn", 5, 0, schema.Withdrawn, 0, false)
	k := onLedger(Config{}, &ledger{fails: "Usage"})
	if _, _, err := k.r.conclude(t.Context(), q, schema.Finding{}, false, map[string]schema.Finding{q.id: {State: schema.Open}}); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}
}

func TestDecidingThatFailsSaysAtWhat(t *testing.T) {
	for method, want := range map[string]string{
		"Findings": "reading findings: no answer", "WriteFindings": "writing findings: no answer", "LastReported": "reading what was told: no answer",
		"WriteChanges": "writing what is told: no answer", "WriteScores": "writing scores: no answer", "Usage": "reading counters: no answer",
	} {
		k := judging(&ledger{fails: method}, inDays("bank", schema.Open))
		err := k.r.judgeActivities(t.Context(), pass{cadence: schema.CadenceDay}, []usage.Activity{{Partner: "bank"}})
		if !errors.Is(err, errLedger) || err.Error() != want || len(k.heard) > 0 {
			t.Errorf("%s fails: %v, want %q; told is %v", method, err, want, k.heard)
		}
	}
	for n, want := range map[int]string{1: "reading contributors: no answer", 2: "reading what is usual: no answer"} {
		k := judging(&ledger{}, inDays("bank", schema.Open))
		k.usage = func(schema.UsageQuery) []schema.UsageCell {
			if len(k.usages) == n {
				k.fails = "Usage"
			}
			return nil
		}
		err := k.r.judgeActivities(t.Context(), pass{cadence: schema.CadenceDay}, []usage.Activity{{Partner: "bank"}})
		if !errors.Is(err, errLedger) || err.Error() != want {
			t.Errorf("read %d fails: %v, want %q", n, err, want)
		}
	}
}

func TestADayThatGoesOnIsToldAsThatOne(t *testing.T) {
	monday, tuesday := foundOf("bank", schema.Ended), foundOf("bank", schema.Open)
	monday.EndedAt = monday.PeriodEnd.Time()
	tuesday.Period, tuesday.PeriodEnd = tuesday.Period+1, tuesday.PeriodEnd+1
	k := onLedger(Config{}, &ledger{})
	open := monday
	open.State, open.EndedAt = schema.Open, time.Time{}
	k.told = map[string]schema.FindingChange{monday.ID(): {Finding: open}}
	stored := map[string]schema.Finding{monday.ID(): monday, tuesday.ID(): tuesday}
	if err := k.r.write(t.Context(), nil, stored); err != nil {
		t.Fatal(err)
	}
	sameList(t, "told", k.heardOf(), "bank continued")
	k.heard = nil
	delete(stored, tuesday.ID())
	if err := k.r.write(t.Context(), nil, stored); err != nil {
		t.Fatal(err)
	}
	sameList(t, "where it does not go on", k.heardOf(), "bank ended")
	asks := k.times("LastReported")
	if err := k.r.write(t.Context(), nil, nil); err != nil || k.times("LastReported") != asks {
		t.Errorf("of nothing it is read what was told (%v)", err)
	}
}

func TestEvidenceSaysWhoDidItAndWhen(t *testing.T) {
	cell := func(app string, action schema.Action, accesses, attempts uint64, from, to int, first, last int64) schema.UsageCell {
		c := onDay("bank", "", 0, accesses, from, to)
		c.App, c.Action, c.Attempts, c.FirstAccess, c.LastAccess = app, action, attempts, first, last
		return c
	}
	cells := []schema.UsageCell{
		cell("a", schema.Read, 5, 1, 0, 5, 2000, 3000), cell("b", schema.Read, 5, 3, 0, 5, 1000, 2500), cell("c", schema.Write, 4, 0, 0, 9, 4000, 5000), cell("a", schema.Write, 1, 0, 0, 1, 0, 0),
	}
	var f schema.Finding
	if err := addTotals(&f, cells); err != nil {
		t.Fatal(err)
	}
	if f.FirstSeen.UnixMilli() != 1000 || f.LastSeen.UnixMilli() != 5000 || f.Attempts != 4 || f.Bystanders != nil {
		t.Errorf("seen from %v to %v, %d attempts, bystanders %v", f.FirstSeen, f.LastSeen, f.Attempts, f.Bystanders)
	}
	var got []string
	for _, c := range f.Contributors {
		got = append(got, fmt.Sprint(c.Kind, " ", c.Name, " ", c.Accesses, " ", c.Attempts, " ", c.People.Value))
	}
	sameList(t, "contributors", got, "app b 5 3 5", "app a 6 1 5", "app c 4 0 4", "action read 10 4 5", "action write 5 0 5")

	known := schema.Finding{FirstSeen: time.Unix(7, 0), Attempts: 70}
	cells[0].Bystanders = peopleOf(0, 3)
	if err := addTotals(&known, cells); err != nil || known.FirstSeen.Unix() != 7 || known.Attempts != 70 || known.Bystanders != nil {
		t.Errorf("what the detector knows is overwritten: %+v (%v)", known, err)
	}
	f = schema.Finding{}
	if err := addTotals(&f, cells); err != nil || f.Bystanders == nil || f.Bystanders.Value != 3 {
		t.Errorf("bystanders are %+v (%v)", f.Bystanders, err)
	}
	cells[0].Bystanders = []byte{9}
	if err := addTotals(&f, cells); err == nil || !strings.HasPrefix(err.Error(), "bystanders: ") {
		t.Errorf("bystanders that cannot be read: %v", err)
	}
	cells[0].Bystanders, cells[0].Subjects = nil, []byte{9}
	if err := addTotals(&f, cells); err == nil || !strings.HasPrefix(err.Error(), "people of a") {
		t.Errorf("people that cannot be read: %v", err)
	}
	if _, err := daily(cells, 5, func(schema.UsageCell) bool { return true }); err == nil || !strings.HasPrefix(err.Error(), "people of a day: ") {
		t.Errorf("people of a day that cannot be read: %v", err)
	}
}

func TestContributorsAreOrderedByPeopleThenByCalls(t *testing.T) {
	for c, want := range map[[4]uint64]int{{1, 2, 9, 1}: -1, {2, 1, 1, 9}: 1, {1, 1, 1, 2}: -1, {1, 1, 2, 1}: 1, {1, 1, 1, 1}: 0} {
		if got := compare(c[0], c[1], c[2], c[3]); got != want {
			t.Errorf("%v: got %d, want %d", c, got, want)
		}
	}
}

func TestOnlyWindowsOfTwentyFourHoursAreHeldAgainstUsualDays(t *testing.T) {
	for w, want := range map[schema.Window]bool{schema.Window24h: true, schema.WindowHour: false, schema.Window30d: false} {
		var cells []schema.UsageCell
		for d := range schema.Day(7) {
			cells = append(cells, onDay("bank", "", aMonday-7+d, 9, 0, 9))
		}
		f := schema.Finding{FindingKey: schema.FindingKey{Window: w}, EvidenceFrom: aMonday.Time()}
		c := concluded{Finding: f}
		if err := addUsual(&c, cells); err != nil {
			t.Fatal(err)
		}
		if c.Expected == nil == want || c.Baseline.Samples != 7 || c.Baseline.Centre != 9 || c.Baseline.Window != "people a day, over the 28 closed days before" {
			t.Errorf("%q: expected is %v by %+v", w, c.Expected, c.Baseline)
		}
	}
}

func TestALiteralIsQuotedSoThatItCanBeRead(t *testing.T) {
	for text, want := range map[string]string{`a'b\c`: `'a\'b\\c'`, "é\n\x1b": `'é\x0A\x1B'`, "\u202e": `'\xE2\x80\xAE'`, "": "''"} {
		if got := quote(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	f := schema.Finding{FindingKey: schema.FindingKey{Partner: "p"}}
	for _, actions := range [][]schema.Action{nil, schema.Actions[:]} {
		if got := eventsQuery(&f, []usage.Span{{Actions: actions}}); strings.Contains(got, "action IN") || strings.Contains(got, "capability =") {
			t.Errorf("all actions are asked for as %s", got)
		}
	}
	if got := actionsOf([]usage.Span{{Actions: []schema.Action{schema.Read}}, {}}); got != nil {
		t.Errorf("one span of all actions is of %v", got)
	}
	if got := actionsOf([]usage.Span{{Actions: []schema.Action{schema.Write, schema.Read}}, {Actions: []schema.Action{schema.Read}}}); len(got) != 2 || !slices.IsSorted(got) {
		t.Errorf("actions are %v", got)
	}
}
