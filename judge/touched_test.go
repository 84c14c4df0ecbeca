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
)

// usedOn is a cell of somebody who used something on a day.
func usedOn(partner, capability string, action schema.Action, day schema.Day) schema.UsageCell {
	return schema.UsageCell{UsageKey: schema.UsageKey{Partner: partner, Capability: capability, Action: action}, Bucket: day.Second()}
}

// says writes activities, a line each.
func says(all []usage.Activity) (lines []string) {
	for _, a := range all {
		line := a.Partner
		for _, d := range a.Days {
			line += fmt.Sprintf(" %+d", int(d-aMonday))
		}
		for _, s := range a.Scopes {
			line += fmt.Sprintf(" %s:%s", s.Capability, s.Action)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestWhoWasActiveIsReadByMinutesWhereFewWereTouched(t *testing.T) {
	k := onLedger(Config{MaxUnregistered: 3}, &ledger{usage: func(schema.UsageQuery) []schema.UsageCell {
		return []schema.UsageCell{
			usedOn("bank", "messaging", schema.Write, aMonday), usedOn("bank", "friends", schema.Read, aMonday+1), usedOn("bank", "friends", schema.Read, aMonday),
			usedOn("bank", "friends", schema.Read, aMonday+5), // a day that was not touched
			usedOn("shop", "messaging", schema.Read, aMonday+1),
		}
	}}, "bank", "shop")
	minutes := func(n int) (all []int64) {
		for i := range n {
			all = append(all, aMonday.Second()/60+int64(i))
		}
		return all
	}
	days := []schema.Day{aMonday, aMonday + 1}
	for _, c := range []struct {
		cadence schema.Cadence
		minutes []int64
		fine    bool
	}{
		{schema.CadenceMinute, minutes(120), true}, {schema.CadenceMinute, minutes(121), false}, {schema.CadenceMinute, minutes(1), true},
		{schema.CadenceMinute, nil, false}, {schema.CadenceHour, minutes(1), false},
	} {
		got, err := k.r.active(t.Context(), c.cadence, days, c.minutes)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"bank +0 +1 friends:read messaging:write", "shop +1 messaging:read"}; !slices.Equal(says(got), want) {
			t.Errorf("active were %q, want %q", says(got), want)
		}
		q := k.usages[len(k.usages)-1]
		if c.fine != (q.Resolution == schema.Minute && len(q.Buckets) == len(c.minutes) && q.Buckets[0] == aMonday.Second()) || !c.fine && (q.Resolution != schema.Daily || q.Buckets != nil) {
			t.Errorf("%s, %d minutes: read was %+v", c.cadence, len(c.minutes), q)
		}
		if q.From != aMonday.Second() || q.To != (aMonday+2).Second() || !q.ByCapability || !q.ByAction || !q.ByBucket || q.Limit != 200_000 || len(q.Slots) != schema.Slots {
			t.Errorf("read was %+v", q)
		}
	}
}

func TestOfTooManyNamesOnlyThoseThatAreJudgedByNameAreRead(t *testing.T) {
	k := onLedger(Config{MaxUnregistered: 2}, &ledger{names: []string{"y", "x"}, others: 9}, "bank")
	k.usage = func(q schema.UsageQuery) []schema.UsageCell {
		if q.Partners == nil {
			return make([]schema.UsageCell, 200_000)
		}
		return []schema.UsageCell{usedOn("bank", "", 0, aMonday), usedOn("x", "", 0, aMonday), usedOn("z", "", 0, aMonday)}
	}
	got, err := k.r.active(t.Context(), schema.CadenceHour, []schema.Day{aMonday}, nil)
	if err != nil || len(got) != 2 || got[0].Partner != "bank" || got[1].Partner != "x" {
		t.Errorf("active were %q (%v)", says(got), err)
	}
	if q := k.usages[1]; q.Limit != 0 || !slices.Equal(q.Partners, []string{"bank", "x", "y"}) {
		t.Errorf("read was %+v", q)
	}
	if gauge(t, k.metrics, "overreach_judge_unregistered_partners") != 2 || gauge(t, k.metrics, "overreach_judge_unregistered_partners_folded") != 9 {
		t.Error("metrics do not say how many strangers there are")
	}
	k.usage = func(schema.UsageQuery) []schema.UsageCell { return make([]schema.UsageCell, 199_999) }
	before := len(k.usages)
	if _, err := k.r.active(t.Context(), schema.CadenceHour, []schema.Day{aMonday}, nil); err != nil || len(k.usages) != before+1 {
		t.Errorf("one fewer is read %d times (%v)", len(k.usages)-before, err)
	}

	k = onLedger(Config{}, &ledger{fails: "Unregistered", usage: func(schema.UsageQuery) []schema.UsageCell { return make([]schema.UsageCell, 200_000) }})
	if _, err := k.r.active(t.Context(), schema.CadenceHour, []schema.Day{aMonday}, nil); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}
}

func TestStrangersAreReadAgainWhereNewOnesMayBeTooMany(t *testing.T) {
	cells := []schema.UsageCell{usedOn("bank", "", 0, aMonday), usedOn("x", "", 0, aMonday), usedOn("x", "", 0, aMonday+1), usedOn("y", "", 0, aMonday)}
	f := func(what string, cadence schema.Cadence, cells []schema.UsageCell, known []string, others uint64, most int, reads int, named bool) {
		t.Helper()
		k := onLedger(Config{MaxUnregistered: most}, &ledger{names: []string{"x"}, others: others}, "bank")
		k.j.named, k.j.folded = known, others
		is, err := k.r.unregistered(t.Context(), cadence, cells)
		if err != nil || k.times("Unregistered") != reads || (is != nil) != named {
			t.Errorf("%s: read %d times, chosen by name: %t (%v)", what, k.times("Unregistered"), is != nil, err)
		}
		if is != nil && (!is("bank") || !is("x") || is("y") || !is(detectors.Folded)) {
			t.Errorf("%s: the wrong ones are judged by name", what)
		}
	}
	f("no stranger", schema.CadenceDay, cells[:1], nil, 0, 1, 0, false)
	f("strangers, at first", schema.CadenceMinute, cells, nil, 0, 5, 1, false)
	f("strangers, each day", schema.CadenceDay, cells, []string{"x", "y"}, 0, 5, 1, false)
	f("known ones", schema.CadenceMinute, cells, []string{"x", "y"}, 0, 2, 0, false)
	f("as many new ones as may be", schema.CadenceMinute, cells, []string{"x"}, 0, 2, 0, false)
	f("one more", schema.CadenceMinute, cells, []string{"x"}, 0, 1, 1, false)
	f("too many", schema.CadenceMinute, cells, []string{"x"}, 4, 1, 1, true)
}

func TestStrangersThatAreNotNamedAreOneActivity(t *testing.T) {
	f := func(what string, k *book, want ...string) {
		t.Helper()
		got, err := k.r.rest(t.Context(), []schema.Day{aMonday})
		if err != nil || !slices.Equal(says(got), want) {
			t.Errorf("%s: got %q (%v), want %q", what, says(got), err, want)
		}
	}
	f("there are some", onLedger(Config{}, &ledger{others: 3}), "(unregistered) +0")
	f("there are none", onLedger(Config{}, &ledger{}))
	f("another instance has them", onLedger(Config{}, &ledger{others: 3, slots: []uint8{schema.Slot(detectors.Folded) + 1}}))
	k := onLedger(Config{}, &ledger{fails: "Unregistered"})
	if _, err := k.r.rest(t.Context(), nil); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}
	if _, err := k.r.usage(t.Context(), schema.UsageQuery{}, detectors.Folded); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}

	k = onLedger(Config{}, &ledger{names: []string{"y", "x"}, others: 3, usage: func(schema.UsageQuery) []schema.UsageCell {
		return []schema.UsageCell{{Counters: schema.Counters{Accesses: 5}}, {Counters: schema.Counters{Accesses: 6}}}
	}}, "bank")
	cells, err := k.r.usage(t.Context(), schema.UsageQuery{}, detectors.Folded)
	if err != nil || len(cells) != 2 || cells[0].Partner != "(unregistered)" || cells[1].Partner != "(unregistered)" || !slices.Equal(k.usages[0].NotPartners, []string{"bank", "x", "y"}) || k.usages[0].Partners != nil {
		t.Errorf("the rest is %+v, read by %+v (%v)", cells, k.usages[0], err)
	}
	if _, err := k.r.usage(t.Context(), schema.UsageQuery{}, "a", detectors.Folded); err != nil || k.usages[1].NotPartners != nil || len(k.usages[1].Partners) != 2 {
		t.Errorf("others are read by %+v (%v)", k.usages[1], err)
	}
	empty := onLedger(Config{}, &ledger{others: 3}) // nobody is registered, and nobody named
	if _, err := empty.r.usage(t.Context(), schema.UsageQuery{}, detectors.Folded); err != nil || empty.usages[0].NotPartners == nil {
		t.Errorf("where all are strangers they are read one by one: %+v (%v)", empty.usages[0], err)
	}
	if k.times("Unregistered") != 1 {
		t.Errorf("in a round strangers are read %d times", k.times("Unregistered"))
	}
}

func TestFindingsAreAskedForAgainByTheirOwnPass(t *testing.T) {
	hour, clockHour, month := foundOf("bank", schema.Open), foundOf("bank", schema.Open), foundOf("shop", schema.Ended)
	hour.Period, hour.PeriodEnd = aMonday, aMonday+1
	clockHour.Window, clockHour.Period, clockHour.PeriodEnd, clockHour.Capability = schema.WindowClockHour, aMonday+2, 0, ""
	month.Window, month.Period, month.PeriodEnd = schema.Window30d, aMonday, aMonday+30
	f := func(what string, p pass, open int, openOnly bool, want ...string) {
		t.Helper()
		k := onLedger(Config{}, &ledger{findings: []schema.Finding{month, hour, clockHour}})
		got, err := k.r.found(t.Context(), p)
		if err != nil || !slices.Equal(says(got), want) {
			t.Errorf("%s: got %q (%v), want %q", what, says(got), err, want)
		}
		if q := k.queries[0]; q.OpenOnly != openOnly || len(q.Slots) != schema.Slots {
			t.Errorf("%s: read was %+v", what, q)
		}
		n := 0
		for _, a := range got {
			n += len(a.Open)
		}
		if n != open {
			t.Errorf("%s: %d findings are asked for, want %d", what, n, open)
		}
	}
	scopes := ""
	for _, a := range schema.Actions {
		scopes += fmt.Sprintf(" messaging:%s", a)
	}
	f("a pass of minutes", pass{cadence: schema.CadenceMinute}, 2, true, "bank +0 +2"+scopes)
	f("of hours of the clock", pass{cadence: schema.CadenceClosedHour}, 1, true, "bank +2")
	f("of days, and the registry changed", pass{cadence: schema.CadenceDay, changed: true}, 2, true, "bank +0 +2"+scopes)
	f("of closed ones, and it did", pass{cadence: schema.CadenceClosedHour, changed: true}, 1, false, "bank +2")
	f("of closed days", pass{cadence: schema.CadenceClosedDay}, 0, true)
	all := onLedger(Config{}, &ledger{findings: []schema.Finding{month, hour}})
	all.findings[0].State = schema.Open
	got, _ := all.r.found(t.Context(), pass{cadence: schema.CadenceDay})
	if want := []string{"bank +0" + scopes, "shop +0 +29" + scopes}; !slices.Equal(says(got), want) {
		t.Errorf("got %q, want %q", says(got), want)
	}
}

func TestAFindingOfAWholePeriodIsAskedForByWhenItWasSeen(t *testing.T) {
	f := foundOf("bank", schema.Open)
	f.Window, f.Period, f.FirstSeen, f.Capability = schema.WindowPeriod, 0, (aMonday + 3).Time().Add(time.Hour), ""
	var a usage.Activity
	askFor(&a, &f)
	if want := []schema.Day{1, aMonday + 3}; !slices.Equal(a.Days, want) || a.Scopes != nil {
		t.Errorf("asked for is %+v, want the days %v", a, want)
	}
}

func TestWhatRestsOnATouchedDayIsJudgedAgain(t *testing.T) {
	f := func(what string, p pass, change func(*schema.Finding), touched schema.Day, again bool) {
		t.Helper()
		finding := foundOf("bank", schema.Ended)
		finding.Window = map[bool]schema.Window{false: schema.WindowHour, true: schema.WindowClockHour}[p.cadence.Closed()]
		finding.Period, finding.EvidenceFrom = aMonday, aMonday.Time().Add(5*time.Hour)
		change(&finding)
		k := onLedger(Config{}, &ledger{findings: []schema.Finding{finding}})
		activities := []usage.Activity{{Partner: "bank", Days: []schema.Day{aMonday + touched}}}
		if err := k.r.following(t.Context(), p, activities); err != nil {
			t.Fatal(err)
		}
		if got := len(activities[0].Scopes) > 0; got != again || again != slices.Contains(activities[0].Days, aMonday) && touched != 0 {
			t.Errorf("%s: judged again is %t, want %t: %q", what, got, again, says(activities))
		}
	}
	as := func(*schema.Finding) {}
	minutes, closed := pass{cadence: schema.CadenceMinute}, pass{cadence: schema.CadenceClosedHour}
	f("the day before its evidence", minutes, as, -1, true)
	f("28 days before it", minutes, as, -28, true)
	f("29 days before it", minutes, as, -29, false)
	f("the day of its evidence", minutes, as, 0, false)
	f("the day after", minutes, as, 1, false)
	f("as far as any history goes", closed, as, -detectors.LongestHistory, true)
	f("further", closed, as, -detectors.LongestHistory-1, false)
	f("it is withdrawn", minutes, func(f *schema.Finding) { f.State = schema.Withdrawn }, -1, false)
	f("of another pass", minutes, func(f *schema.Finding) { f.Window = schema.Window24h }, -1, false)

	k := onLedger(Config{}, &ledger{fails: "Findings"})
	if err := k.r.following(t.Context(), minutes, nil); err != nil || len(k.asked) > 0 {
		t.Errorf("of nobody it reads %v (%v)", k.asked, err)
	}
	if err := k.r.following(t.Context(), minutes, make([]usage.Activity, 1)); !errors.Is(err, errLedger) || err.Error() != "reading the findings that follow: no answer" {
		t.Errorf("the store fails: %v", err)
	}
}

func TestReadingWhoWasActiveSaysWhatFails(t *testing.T) {
	k := onLedger(Config{}, &ledger{fails: "Usage"})
	if _, err := k.r.active(t.Context(), schema.CadenceDay, []schema.Day{aMonday}, nil); !errors.Is(err, errLedger) || err.Error() != "reading who was active: no answer" {
		t.Errorf("the store fails: %v", err)
	}
	k = onLedger(Config{}, &ledger{})
	k.usage = func(schema.UsageQuery) []schema.UsageCell {
		k.fails = "Usage" // the second time
		return make([]schema.UsageCell, 200_000)
	}
	if _, err := k.r.active(t.Context(), schema.CadenceHour, []schema.Day{aMonday}, nil); !errors.Is(err, errLedger) || !strings.HasPrefix(err.Error(), "reading who was active by name: ") {
		t.Errorf("the store fails: %v", err)
	}
}
