package store

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// hourly is a finding of an hour's window on the nth day after Monday.
func hourly(partner string, n int, state schema.State) schema.Finding {
	day := schema.DayOf(monday) + schema.Day(n) //nolint:gosec // a few days
	f := schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: partner, Window: schema.WindowHour, Cause: "limit", Period: day},
		PeriodEnd:  day + 1, Severity: schema.Critical, State: state, FirstCrossing: day.Time().Add(time.Hour),
		Peak: day.Time().Add(2 * time.Hour), LastSeen: day.Time().Add(23 * time.Hour),
	}
	if state == schema.Ended {
		f.EndedAt = day.Time().Add(24 * time.Hour)
	}
	return f
}

// found writes findings, and tells of each at noon of its day.
func found(t testing.TB, s *Store, change schema.ChangeKind, findings ...schema.Finding) {
	t.Helper()
	v := schema.Version{Offsets: 1}
	if err := s.WriteFindings(t.Context(), findings, v); err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		told := f.Period.Time().Add(12 * time.Hour)
		if err := s.WriteChanges(t.Context(), []schema.FindingChange{{Reported: told, After: told, Kind: change, Finding: f, Version: v}}); err != nil {
			t.Fatal(err)
		}
	}
}

func act(t testing.TB, s *Store, a schema.FindingAction) {
	t.Helper()
	if err := s.WriteAction(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

func TestActsComeBackInTheirOrderAndTheLatestHolds(t *testing.T) {
	s := open(t)
	id := hourly("p", 0, schema.Open).ID()
	acts := []schema.FindingAction{
		{Finding: id, At: monday, Act: schema.Acknowledge, Who: "ann", Reason: "it's \\ mine\n☃", People: 1 << 40},
		{Finding: id, At: monday.Add(time.Millisecond), Act: schema.Judgement, Who: "ben", Reason: "a test", Verdict: schema.VerdictFalse},
		{Finding: id, At: monday.Add(time.Hour), Act: schema.Silence, Who: "ann", Reason: "known", Until: monday.Add(5 * time.Hour)},
		{Finding: id, At: monday.Add(2 * time.Hour), Act: schema.Judgement, Who: "cem", Reason: "no, it was so", Verdict: schema.VerdictTrue},
		{Finding: id, At: monday.Add(3 * time.Hour), Act: schema.Resolve, Who: "dee", Reason: "key revoked"},
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		act(t, s, acts[i])
	}
	act(t, s, schema.FindingAction{Finding: "other", At: monday, Act: schema.Acknowledge, Who: "eve"})
	got, err := s.Actions(t.Context(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(acts, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const want = "ann 2026-03-02 00:00:00.000, ann until 2026-03-02 05:00:00.000 known, dee 2026-03-02 03:00:00.000, true cem"
	if got := value[string](t, s, `SELECT concat(acknowledged_by, ' ', toString(acknowledged_at), ', ', silenced_by, ' until ', toString(silenced_until), ' ', silence_reason,
		', ', resolved_by, ' ', toString(resolved_at), ', ', verdict, ' ', verdict_by) FROM triage WHERE finding = '`+id+`'`); got != want {
		t.Errorf("triage says %s, want %s", got, want)
	}
	act(t, s, schema.FindingAction{Finding: id, At: monday.Add(4 * time.Hour), Act: schema.SeenAgain, Who: "overreach"})
	if got := value[string](t, s, "SELECT concat(resolved_by, ';', ifNull(toString(resolved_at), 'NULL')) FROM triage WHERE finding = '"+id+"'"); got != ";NULL" {
		t.Errorf("what was seen again is resolved: %s", got)
	}
	if got := value[uint64](t, s, "SELECT count() FROM triage WHERE finding = 'other' AND resolved_at IS NULL AND silenced_until IS NULL AND verdict = ''"); got != 1 {
		t.Error("acts that nobody did are not empty")
	}
}

func TestATellingSaysHowManyPeopleThereWereAndOnlyRecentFindingsAreReadWhereAsked(t *testing.T) {
	s := open(t)
	f := hourly("p", 0, schema.Open)
	f.People, f.LastSeen = schema.Estimate{Value: 1234, Low: 1200, High: 1300}, monday.Add(time.Hour+time.Millisecond)
	found(t, s, schema.ChangeNew, f)
	told, err := s.Changes(t.Context(), nil, monday)
	if err != nil || len(told) != 1 || told[0].People != 1234 || !told[0].LastSeen.Equal(f.LastSeen) {
		t.Errorf("it was told %+v, error %v", told, err)
	}
	for since, want := range map[time.Time]int{f.LastSeen: 1, f.LastSeen.Add(time.Millisecond): 0, {}: 1} {
		if got, err := s.Findings(t.Context(), schema.FindingsQuery{IDs: []string{f.ID()}, Since: since}); err != nil || len(got) != want {
			t.Errorf("seen since %s: %d findings, error %v, want %d", since, len(got), err, want)
		}
	}
}

func TestASilenceCountsWhatItHeldBackOfItsRunAndNothingElse(t *testing.T) {
	s := open(t)
	run := []schema.Finding{hourly("p", 0, schema.Ended), hourly("p", 1, schema.Ended), hourly("p", 2, schema.Ended)}
	found(t, s, schema.ChangeNew, run[0], hourly("p", 5, schema.Open), hourly("q", 1, schema.Open))
	found(t, s, schema.ChangeContinued, run[1], run[2])
	found(t, s, schema.ChangeEnded, run[2])

	f := func(name string, until time.Time, want uint64) {
		t.Helper()
		if got := value[uint64](t, s, "SELECT held_back FROM silences WHERE owner = 'ann' AND partner = 'p' AND detector = 'volume_limit' ORDER BY since DESC LIMIT 1"); got != want {
			t.Errorf("%s: %d held back, want %d", name, got, want)
		}
		if got := value[string](t, s, "SELECT toString(toUnixTimestamp(until)) FROM silences ORDER BY since LIMIT 1"); got != value[string](t, s, "SELECT toString("+fmtUnix(until)+")") {
			t.Errorf("%s: the first silence ends at %s, want %s", name, got, until)
		}
	}
	act(t, s, schema.FindingAction{Finding: run[0].ID(), At: monday.Add(13 * time.Hour), Act: schema.Silence, Who: "ann", Reason: "launch", Until: monday.AddDate(0, 0, 9)})
	f("both days that continued the run, not the one after a pause", monday.AddDate(0, 0, 9), 2)

	lifted := monday.Add(36*time.Hour + time.Minute)
	act(t, s, schema.FindingAction{Finding: run[0].ID(), At: lifted, Act: schema.Silence, Who: "ben", Reason: "enough", Until: lifted})
	f("only the day until it was lifted", lifted, 1)
	if got := value[uint64](t, s, "SELECT count() FROM silences"); got != 1 {
		t.Errorf("lifting a silence makes %d silences of one", got)
	}
}

func fmtUnix(t time.Time) string { return "toUnixTimestamp('" + t.Format(time.DateTime) + "', 'UTC')" }

func TestPrecisionIsWhatTheVerdictsSay(t *testing.T) {
	s := open(t)
	var all []schema.Finding
	for n := range 5 {
		all = append(all, hourly("p", n, schema.Ended))
	}
	withdrawn := hourly("p", 9, schema.Withdrawn)
	found(t, s, schema.ChangeNew, append(all, withdrawn)...)
	if got := value[uint64](t, s, "SELECT count() FROM alert_precision WHERE precision IS NULL AND findings = 5"); got != 1 {
		t.Error("without a verdict there is a precision, or a withdrawn finding counts")
	}
	for i, v := range []schema.Verdict{schema.VerdictTrue, schema.VerdictTrue, schema.VerdictBenign, schema.VerdictFalse} {
		act(t, s, schema.FindingAction{Finding: all[i].ID(), At: monday, Act: schema.Judgement, Who: "ann", Reason: "seen", Verdict: v})
	}
	act(t, s, schema.FindingAction{Finding: withdrawn.ID(), At: monday, Act: schema.Judgement, Who: "ann", Reason: "seen", Verdict: schema.VerdictFalse})
	if got := value[string](t, s, "SELECT toString((findings, judged, verdict_true, verdict_benign, verdict_false, precision, accuracy)) FROM alert_precision"); got != "(5,4,2,1,1,0.5,0.75)" {
		t.Errorf("precision is %s", got)
	}
}

func TestTellingsAreThoseOfPartnersWithSomethingOpenRecentOrActedUpon(t *testing.T) {
	s := open(t)
	quiet, open, recent, acted := hourly("quiet", 0, schema.Ended), hourly("open", 0, schema.Open), hourly("recent", 3, schema.Ended), hourly("acted", 0, schema.Ended)
	found(t, s, schema.ChangeNew, quiet, open, recent, acted)
	found(t, s, schema.ChangeEnded, hourly("open", 1, schema.Ended))
	act(t, s, schema.FindingAction{Finding: acted.ID(), At: monday.AddDate(0, 0, 3), Act: schema.Resolve, Who: "ann", Reason: "done"})
	f := func(partners []string, want ...string) {
		t.Helper()
		tellings, err := s.Changes(t.Context(), partners, monday.AddDate(0, 0, 2))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, told := range tellings {
			got = append(got, told.Partner+" "+string(told.Kind))
			if told.ID != told.FindingKey.ID() || told.Reported.Location() != time.UTC || told.Peak.IsZero() {
				t.Errorf("%+v is not what was told", told)
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", partners, diff)
		}
	}
	all, err := s.Changes(t.Context(), nil, monday.AddDate(0, 0, 2))
	if err != nil || len(all) != 4 {
		t.Fatalf("%d tellings, %v", len(all), err)
	}
	f([]string{"open"}, "open new", "open ended")
	f([]string{"quiet"})
	f([]string{"recent", "quiet"}, "recent new")
	f([]string{"acted"}, "acted new")
}

func TestADeliveryIsKnownByReceiverAndEvent(t *testing.T) {
	s := open(t)
	d := schema.Delivery{Receiver: "webhook hooks.example", Event: "e1", Kind: "firing", Alert: "a", Partner: "p", At: monday, Outcome: schema.GaveUp, Attempts: 3, Detail: "status 500"}
	later := d
	later.At, later.Outcome, later.Detail = monday.Add(time.Second), schema.Delivered, ""
	other := d
	other.Receiver, other.Event = "alertmanager am:9093", "e2"
	if err := s.WriteDeliveries(t.Context(), []schema.Delivery{later, d, other}); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteDeliveries(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Deliveries(t.Context(), []string{"e1", "e3"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(map[string]map[string]schema.Outcome{d.Receiver: {"e1": schema.Delivered}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFindingIDsAreFoundByTheirFirstDigits(t *testing.T) {
	s := open(t)
	one, two := hourly("p", 0, schema.Open), hourly("p", 1, schema.Open)
	found(t, s, schema.ChangeNew, one, two)
	for prefix, want := range map[string]int{"": 2, one.ID(): 1, one.ID()[:12]: 1, "zz": 0, "'": 0} {
		got, err := s.FindingIDs(t.Context(), prefix, 5)
		if err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", prefix, got, err)
		}
	}
}
