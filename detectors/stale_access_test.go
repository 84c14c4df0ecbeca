package detectors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

const rights = `
capabilities:
  messaging: {deprecated: 2014-11-01, sunset: 2015-06-01}
  friends: {}
  gone: {sunset: 2012-01-01}
partners:
  p:
    agreement: {start: 2014-01-01, end: 2018-12-31}
    grants:
      - {capability: messaging, actions: [read, write], from: 2014-01-01}
      - {capability: friends, actions: [read], from: 2014-01-01, until: 2016-03-31}
      - {capability: friends, actions: [read], from: 2016-06-01}
      - {capability: friends, actions: [write], from: 2014-01-01, until: 2016-03-31}
      - {capability: gone, actions: [read], from: 2014-01-01}
`

// asksOf writes what is asked of a partner's capability on days: cause, first day
// not allowed, and the spans with their actions.
func asksOf(t testing.TB, r *registry.Registry, capability string, days ...string) []string {
	t.Helper()
	a := usage.Activity{Partner: "p", Scopes: []usage.Scope{{Capability: capability, Action: schema.Read}}}
	for _, d := range days {
		a.Days = append(a.Days, day(t, d))
	}
	var asked []string
	for _, q := range (detectors.StaleAccess{}).Ask(r, a) {
		s := fmt.Sprintf("%s %s:", q.Cause, q.Period)
		for _, span := range q.Spans {
			s += fmt.Sprintf(" %s..%s %v", span.From, span.To, span.Actions)
		}
		asked = append(asked, s)
	}
	return asked
}

func TestARightThatEndedIsAskedForByItsEarliestCauseOverTheDaysOnWhichItIs(t *testing.T) {
	r := parse(t, rights)
	f := func(capability, days, want string) {
		t.Helper()
		if got := strings.Join(asksOf(t, r, capability, strings.Fields(days)...), "; "); got != want {
			t.Errorf("%s on %s:\n got %s\nwant %s", capability, days, got, want)
		}
	}
	f("messaging", "2014-10-31", "")
	f("messaging", "2014-11-01", "deprecated 2014-11-01: 2014-11-01..2015-06-01 [read write]")
	f("messaging", "2015-06-01", "sunset 2015-06-01: 2015-06-01.. [read write]")
	f("messaging", "2019-06-01", "sunset 2015-06-01: 2015-06-01.. [read write]") // the agreement ended later
	f("friends", "2016-03-31", "")
	f("friends", "2016-04-01", "grant 2016-04-01: 2016-04-01..2016-06-01 [read] 2016-04-01.. [write]")
	f("friends", "2019-01-01", "grant 2016-04-01: 2016-04-01..2016-06-01 [read] 2016-04-01.. [write]; agreement 2019-01-01: 2019-01-01.. [read]")
	f("gone", "2013-12-31", "")
	f("gone", "2014-01-01", "sunset 2012-01-01: 2014-01-01.. [read]")
	f("unknown", "2019-01-01", "")
	f("messaging", "2014-10-31 2015-01-01 2016-01-01", "deprecated 2014-11-01: 2014-11-01..2015-06-01 [read write]; sunset 2015-06-01: 2015-06-01.. [read write]")
}

func TestWhatIsFoundIsAskedForAgainThoughItsPeriodBeginsBeforeTheRight(t *testing.T) {
	r := parse(t, rights)
	open := schema.FindingKey{Detector: "stale_access", Partner: "p", Capability: "gone", Cause: "sunset", Period: day(t, "2012-01-01")}
	a := usage.Activity{
		Partner: "p", Days: []schema.Day{open.Period}, Scopes: []usage.Scope{{Capability: "gone", Action: schema.Read}},
		Open: []schema.FindingKey{open},
	}
	if got := (detectors.StaleAccess{}).Ask(r, a); len(got) != 1 || got[0].FindingKey != open {
		t.Errorf("asked for %v", got)
	}
}

// staleQuestion is the question about a capability and cause.
func staleQuestion(t testing.TB, r *registry.Registry, capability, cause string) usage.Question {
	t.Helper()
	a := usage.Activity{Partner: "p", Scopes: []usage.Scope{{Capability: capability, Action: schema.Read}}}
	for _, q := range (detectors.StaleAccess{}).Ask(r, a) {
		if q.Cause == cause {
			return q
		}
	}
	t.Fatalf("nothing is asked of %s for %s", capability, cause)
	return usage.Question{}
}

// used is an answer with accesses and attempts between two times.
func used(t testing.TB, accesses, attempts uint64, first, last, watermark string) usage.Answer {
	t.Helper()
	a := usage.Answer{Watermark: at(t, watermark), People: exactly(accesses), Bystanders: exactly(accesses / 2)}
	a.Total.Accesses, a.Total.Attempts = accesses, attempts
	if accesses > 0 {
		a.Total.FirstAccess, a.Total.LastAccess = at(t, first)*1000, at(t, last)*1000
	}
	if attempts > 0 {
		a.Total.FirstAttempt, a.Total.LastAttempt = at(t, first)*1000, at(t, last)*1000
	}
	return a
}

func TestUseOfARightThatEndedIsCriticalAndAnythingLessAWarning(t *testing.T) {
	r := parse(t, rights)
	f := func(capability, cause string, accesses, attempts uint64, want string) {
		t.Helper()
		q := staleQuestion(t, r, capability, cause)
		got := "none"
		finding, ok := (detectors.StaleAccess{}).Judge(r, q, used(t, accesses, attempts, "2016-05-01 10:00", "2016-05-03 11:30", "2016-05-04 00:00"))
		if ok {
			got = fmt.Sprintf("%s %s", finding.Severity, finding.State)
			if clock(finding.FirstCrossing) != "2016-05-01 10:01" || clock(finding.FirstSeen) != "2016-05-01 10:00" || clock(finding.LastSeen) != "2016-05-03 11:30" {
				t.Errorf("crossed %s, seen from %s to %s", clock(finding.FirstCrossing), clock(finding.FirstSeen), clock(finding.LastSeen))
			}
			if finding.Accesses != accesses || finding.Attempts != attempts || finding.People.Value != accesses || finding.Bystanders.Value != accesses/2 {
				t.Errorf("%d accesses, %d attempts, %v people, %v bystanders", finding.Accesses, finding.Attempts, finding.People, finding.Bystanders)
			}
		}
		if got != want {
			t.Errorf("%s of %s with %d accesses and %d attempts: got %s, want %s", capability, cause, accesses, attempts, got, want)
		}
	}
	f("messaging", "sunset", 3, 0, "critical open")
	f("messaging", "sunset", 3, 4, "critical open")
	f("messaging", "sunset", 0, 4, "warning open") // all refused
	f("messaging", "sunset", 0, 0, "none")
	f("friends", "grant", 3, 0, "critical open")
	f("friends", "agreement", 3, 0, "critical open")
	f("messaging", "deprecated", 3, 0, "warning ended") // it is over since the sunset
}

func TestStaleUseSaysHowLongPastAndWhatElseHasEnded(t *testing.T) {
	r := parse(t, rights)
	f := func(capability, cause, last, allowed string, past uint32, others, sentence string) {
		t.Helper()
		q := staleQuestion(t, r, capability, cause)
		got, _ := (detectors.StaleAccess{}).Judge(r, q, used(t, 1200, 2, last, last, last))
		if got.LastAllowed == nil || got.LastAllowed.Format("2006-01-02") != allowed || *got.DaysPast != past || strings.Join(got.OtherCauses, ", ") != others {
			t.Errorf("%s on %s: last allowed %v, %v days past, others %q", cause, last, got.LastAllowed, *got.DaysPast, got.OtherCauses)
		}
		if got.Sentence != sentence {
			t.Errorf("got  %s\nwant %s", got.Sentence, sentence)
		}
	}
	f("messaging", "sunset", "2015-06-01 12:00", "2015-05-31", 1, "",
		"p still uses messaging 1 day after the capability's last day (2015-05-31): 1,200 accesses, 1,200 people, and 2 attempts refused.")
	f("messaging", "sunset", "2019-01-10 12:00", "2015-05-31", 1320, "agreement since 2019-01-01",
		"p still uses messaging 1,320 days after the capability's last day (2015-05-31): 1,200 accesses, 1,200 people, and 2 attempts refused.")
	f("friends", "agreement", "2019-01-02 12:00", "2018-12-31", 2, "",
		"p still uses friends 2 days after the agreement ended (2018-12-31): 1,200 accesses, 1,200 people, and 2 attempts refused.")
	// A write grant ended long before the agreement did.
	f("friends", "grant", "2019-02-01 12:00", "2016-03-31", 1037, "agreement since 2019-01-01",
		"p still uses friends 1,037 days after its grant ended (2016-03-31): 1,200 accesses, 1,200 people, and 2 attempts refused.")

	got, _ := (detectors.StaleAccess{}).Judge(r, staleQuestion(t, r, "messaging", "sunset"), used(t, 0, 2, "2015-06-02 12:00", "2015-06-02 12:00", "2015-06-02 12:00"))
	if want := "p still tries messaging 2 days after the capability's last day (2015-05-31); all 2 attempts were refused."; got.Sentence != want {
		t.Errorf("got  %s\nwant %s", got.Sentence, want)
	}
	got, _ = (detectors.StaleAccess{}).Judge(r, staleQuestion(t, r, "messaging", "deprecated"), used(t, 1, 0, "2014-11-11 12:00", "2014-11-11 12:00", "2014-11-11 12:00"))
	if want := "p still uses messaging 10 days after it was deprecated (2014-11-01): 1 access, 1 person."; got.Sentence != want || got.DaysPast != nil || got.LastAllowed != nil {
		t.Errorf("got  %s, %v days past\nwant %s", got.Sentence, got.DaysPast, want)
	}
}

func TestStaleUseEndsAfterSevenDaysWithoutUseOrWhereItsPeriodDoes(t *testing.T) {
	r := parse(t, rights)
	f := func(capability, cause, last, watermark, ended string) {
		t.Helper()
		got, _ := (detectors.StaleAccess{}).Judge(r, staleQuestion(t, r, capability, cause), used(t, 3, 0, last, last, watermark))
		if clock(got.EndedAt) != ended || (got.State == schema.Ended) != (ended != "") {
			t.Errorf("%s last used %s, at %s: %s %q, want it ended at %q", capability, last, watermark, got.State, clock(got.EndedAt), ended)
		}
	}
	f("messaging", "sunset", "2016-05-03 11:30", "2016-05-10 11:30", "")
	f("messaging", "sunset", "2016-05-03 11:30", "2016-05-10 11:31", "2016-05-10 11:31") // the minute of use is over at 11:31
	f("messaging", "sunset", "2016-05-03 11:30", "2018-01-01 00:00", "2016-05-10 11:31")
	f("messaging", "deprecated", "2015-05-30 10:00", "2015-05-31 23:59", "")
	f("messaging", "deprecated", "2015-05-30 10:00", "2015-06-01 00:00", "2015-06-01 00:00")

	// Granted again: what was stale is over, and what comes after is allowed.
	again := parse(t, strings.ReplaceAll(rights, "actions: [write], from: 2014-01-01, until: 2016-03-31", "actions: [delete], from: 2014-01-01"))
	got, _ := (detectors.StaleAccess{}).Judge(again, staleQuestion(t, again, "friends", "grant"), used(t, 3, 0, "2016-05-31 10:00", "2016-05-31 10:00", "2016-06-01 00:00"))
	if got.PeriodEnd != day(t, "2016-06-01") || clock(got.EndedAt) != "2016-06-01 00:00" {
		t.Errorf("granted again: %s until %s, ended %q", got.State, got.PeriodEnd, clock(got.EndedAt))
	}
	if asked := asksOf(t, again, "friends", "2016-06-01"); len(asked) > 0 {
		t.Errorf("of a day on which it is granted again is asked %q", asked)
	}
}

func TestStaleAccessWatchesEachEndThatTheRegistryKnows(t *testing.T) {
	got := (detectors.StaleAccess{}).Watches(parse(t, rights), "p")
	want := []string{
		"friends from 2019-01-01 on (agreement)", "friends from 2016-04-01 on (grant)", "gone from 2012-01-01 on (sunset)",
		"messaging from 2014-11-01 on (deprecated)", "messaging from 2015-06-01 on (sunset)",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("it watches %q, want %q", got, want)
	}
	if got := (detectors.StaleAccess{}).Watches(parse(t, rights), "nobody"); got != nil {
		t.Errorf("of a stranger it watches %q", got)
	}
}
