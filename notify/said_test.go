package notify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// episodeOf is a run of one finding, as it was told.
func episodeOf(f *schema.Finding) *episode {
	return &episode{days: []schema.Change{{FindingKey: f.FindingKey, ID: f.ID(), Severity: f.Severity, State: f.State}}, severity: f.Severity}
}

// fourRuns is an alert of four runs: of what bank did in messaging, about which everything was
// done that can be done; in photos, which is over; in friends, which left it; and in
// contacts, of which no figures are to be had.
func fourRuns() (view, []*schema.Finding) {
	at := func(h, m int) time.Time { return time.Date(2026, 3, 1, h, m, 0, 0, time.UTC) }
	limit, fresh, past := uint64(1000), uint64(1500), uint32(3)
	ratio, expected := 2.5, 800.0
	messaging := &schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "bank", Capability: "messaging", Window: schema.WindowHour, Cause: "limit", Period: 20513},
		Severity:   schema.Critical, State: schema.Open, Sentence: "bank touched 2,500 people.",
		FirstCrossing: at(9, 30), Peak: at(9, 45), FirstSeen: at(9, 0), LastSeen: at(10, 15),
		Accesses: 5000, Attempts: 70, People: schema.Estimate{Value: 2500, Low: 2450, High: 2550}, PeopleNew: &fresh,
		Bystanders: &schema.Estimate{Value: 40, Low: 39, High: 41}, Limit: &limit, Ratio: &ratio, Expected: &expected, DaysPast: &past,
		Missing: 7, Owner: "platform", Purpose: "to send\nreceipts", BlindSpots: "people behind <several> ids",
		Runbook: "docs/detectors/volume_limit.md", Query: "SELECT 1 WHERE partner = 'bank'",
	}
	photos := &schema.Finding{
		FindingKey: schema.FindingKey{Detector: "surge", Partner: "bank", Capability: "photos", Window: schema.WindowClockHour, Cause: "surge", Period: 20513},
		Severity:   schema.Warning, State: schema.Ended, Sentence: "bank read 3,000 photos.", EndedAt: at(10, 0),
		People: schema.Estimate{Value: 3000, Low: 3000, High: 3000}, Complete: true,
	}
	friends := &schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "bank", Capability: "friends", Window: schema.WindowHour, Cause: "limit", Period: 20513},
		Severity:   schema.Warning, State: schema.Open, Sentence: "bank touched 10 friends.", People: schema.Estimate{Value: 10, Low: 10, High: 10},
	}
	contacts := &schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "bank", Capability: "contacts", Window: schema.WindowHour, Cause: "limit", Period: 20513},
		Severity:   schema.Warning, State: schema.Open,
	}
	all := []*schema.Finding{messaging, photos, friends, contacts}
	lead := episodeOf(messaging)
	lead.acknowledged = &schema.FindingAction{Who: "ann", At: at(9, 50), Reason: "asked\nthem"}
	lead.silence = &schema.FindingAction{Who: "bob", Until: at(12, 0), Reason: "agreed"}
	lead.again = &schema.FindingAction{Who: "eve", At: at(9, 40)}
	lead.escalations, lead.grewFrom, lead.paged = 2, 250, 2500
	a := &alert{
		labels: labels{Name: "OverreachVolumeLimit", Partner: "bank", Capability: "messaging", Severity: schema.Critical, Detector: "volume_limit", Escalations: 2},
		ID:     "0123456789abcdef0123456789abcdef", Lead: messaging.ID(), Started: at(9, 35), HeldBack: 3,
		Members: []member{{episode: lead}, {episode: episodeOf(friends), Left: "silenced by bob"}, {episode: episodeOf(photos)}, {episode: episodeOf(contacts)}},
	}
	known := map[string]*schema.Finding{messaging.ID(): messaging, photos.ID(): photos, friends.ID(): friends}
	return view{a, known}, all
}

func TestAnAlertmanagerIsToldAllThatOnCallDecidesBy(t *testing.T) {
	v, f := fourRuns()
	am := alertmanager{authorization: "Bearer x", runbooks: "https://git.example/overreach/"}
	now := time.Date(2026, 3, 1, 10, 20, 0, 0, time.UTC)
	body, header, err := am.request([]message{{v, v.events()[0]}}, now)
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    string
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].StartsAt != "2026-03-01T09:35:00Z" || got[0].EndsAt != "2026-03-01T11:20:00Z" || header.Get("Authorization") != "Bearer x" {
		t.Errorf("the request is %s, with the header %v", body, header)
	}
	sameMap(t, "label", got[0].Labels, map[string]string{
		"alertname": "OverreachVolumeLimit", "partner": "bank", "capability": "messaging", "severity": "critical", "detector": "volume_limit", "escalation": "2",
	})
	short := func(i int) string { return f[i].ID()[:10] }
	sameMap(t, "annotation", got[0].Annotations, map[string]string{
		"alert":   "0123456789abcdef0123456789abcdef",
		"summary": "bank touched 2,500 people.",
		"description": short(0) + " critical: bank touched 2,500 people.\n" +
			short(1) + " warning: bank read 3,000 photos. [over]\n" +
			short(3) + " warning: (its figures are not to be had)\n" +
			short(2) + " warning: bank touched 10 friends. [silenced by bob]",
		"findings":     f[0].ID() + " " + f[2].ID() + " " + f[1].ID() + " " + f[3].ID(),
		"held_back":    "3",
		"acknowledged": short(0) + ` by ann at 2026-03-01 09:50 UTC: asked\nthem`,
		"grown":        short(0) + " acknowledged, and grown from 250 to 2500 people since it last paged",
		"silenced":     short(0) + " by bob until 2026-03-01 12:00 UTC: agreed",
		"seen_again":   short(0) + " resolved by eve at 2026-03-01 09:40 UTC, seen again",
		"acknowledge":  "overreach ack " + short(0) + ` --reason "…"`,
		"people":       "3000", // photos have the most, and are exact
		"owner":        "platform",
		"runbook":      "https://git.example/overreach/docs/detectors/volume_limit.md",
		"query":        "SELECT 1 WHERE partner = 'bank'",
		"blind_spots":  "people behind ‹several› ids",
		"complete":     "no: 7 records missing",
	})
}

func TestWhatIsNotKnownIsLeftOutOfAnAlert(t *testing.T) {
	am := alertmanager{}
	v, f := fourRuns()
	v.Members, v.Lead, v.HeldBack, v.labels = v.Members[3:], f[3].ID(), 0, labels{Name: "OverreachVolumeLimit", Severity: schema.Warning}
	sameMap(t, "annotation", am.annotations(v), map[string]string{
		"alert": v.ID, "summary": "OverreachVolumeLimit of (none)", "findings": f[3].ID(),
		"description": f[3].ID()[:10] + " warning: (its figures are not to be had)", "acknowledge": "overreach ack " + f[3].ID()[:10] + ` --reason "…"`,
	})
	sameMap(t, "label", labelSet(v.labels), map[string]string{"alertname": "OverreachVolumeLimit", "partner": "(none)", "severity": "warning"})

	v, f = fourRuns()
	v.Members, v.Lead = v.Members[2:3], f[1].ID()
	if got := am.annotations(v); got["complete"] != "yes" || got["owner"] != "" || got["summary"] != "bank read 3,000 photos." {
		t.Errorf("of photos it says %v", got)
	}
	if _, header, err := am.request(nil, noon); err != nil || len(header) != 0 {
		t.Errorf("without credentials the header is %v (%v)", header, err)
	}
}

func TestADigestSaysHowManyFindingsItTellsAndNothingToActUpon(t *testing.T) {
	am := alertmanager{}
	v, f := fourRuns()
	v.labels, v.HeldBack, v.Because = labels{Name: digestName, Partner: "bank", Severity: info}, 0, "a digest\nis told once"
	got := am.annotations(v)
	if want := "bank: 4 findings that had been so for too long to page anyone."; got["summary"] != want || got["ended_because"] != `a digest\nis told once` {
		t.Errorf("it says %v", got)
	}
	for _, name := range []string{"acknowledge", "people", "owner", "runbook", "query", "complete", "held_back"} {
		if got[name] != "" {
			t.Errorf("it says %s: %q", name, got[name])
		}
	}
	v.Members, v.Partner = v.Members[:1], ""
	if got := am.annotations(v); got["summary"] != "(none): 1 finding that had been so for too long to page anyone." || got["findings"] != f[0].ID() {
		t.Errorf("of one finding of no partner it says %v", got)
	}
}

func TestAnAlertmanagerHoldsAnAlertUntilItEndsOrNobodySpeaksOfIt(t *testing.T) {
	v, _ := fourRuns()
	now := v.Started.Add(48 * time.Hour)
	over := *v.alert
	over.Ended = v.Started.Add(7 * time.Minute)
	begins, ends := *v.alert, *v.alert
	begins.Name, ends.Name, ends.Ended = digestName, digestName, v.Started.Add(time.Hour)
	for what, c := range map[string]struct {
		alert *alert
		kind  string
		want  time.Time
	}{
		"it fires":                   {v.alert, firing, now.Add(time.Hour)},
		"it is over":                 {&over, resolved, v.Started.Add(7 * time.Minute)},
		"a digest":                   {&begins, digest, v.Started.Add(time.Hour)},
		"a digest that is told late": {&ends, digest, now.Add(time.Hour)},
		"a test, which nobody ends":  {v.alert, test, v.Started.Add(5 * time.Minute)},
		"what joins while it fires":  {v.alert, joined, now.Add(time.Hour)},
	} {
		if got := endsAt(message{view{alert: c.alert}, told{kind: c.kind}}, now); !got.Equal(c.want) {
			t.Errorf("%s: until %v, want %v", what, got, c.want)
		}
	}
}

func TestAWebhookIsToldEveryFigureOfEveryFinding(t *testing.T) {
	v, f := fourRuns()
	w := webhook{secret: []byte("s"), runbooks: "https://git.example"}
	e := v.events()[0]
	body, header, err := w.request([]message{{v, e}}, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "header", []string{header.Get("Overreach-Event"), header.Get("Overreach-Signature")},
		e.id, signature([]byte("s"), body, time.Unix(1_800_000_000, 0)))
	short := func(i int) string { return f[i].ID()[:10] }
	want := fmt.Sprintf(`{
		"version": 1, "event": %q, "kind": "firing", "at": "2026-03-01T09:35:00Z",
		"alert": {
			"id": "0123456789abcdef0123456789abcdef",
			"labels": {"alertname": "OverreachVolumeLimit", "partner": "bank", "capability": "messaging", "severity": "critical", "detector": "volume_limit", "escalation": "2"},
			"partner": "bank", "summary": "bank touched 2,500 people.", "started": "2026-03-01T09:35:00Z", "ended": null,
			"people": 3000, "people_low": 3000, "people_high": 3000, "held_back": 3,
			"acknowledged": %q, "grown": %q, "silenced": %q, "seen_again": %q,
			"findings": [
				{"id": %q, "detector": "volume_limit", "partner": "bank", "capability": "messaging", "window": "hour", "cause": "limit", "severity": "critical", "state": "open",
				 "sentence": "bank touched 2,500 people.",
				 "first_crossing": "2026-03-01T09:30:00Z", "peak": "2026-03-01T09:45:00Z", "first_seen": "2026-03-01T09:00:00Z", "last_seen": "2026-03-01T10:15:00Z", "ended": null,
				 "accesses": 5000, "attempts": 70, "people": 2500, "people_low": 2450, "people_high": 2550, "people_new": 1500, "bystanders": 40,
				 "limit": 1000, "ratio": 2.5, "expected": 800, "days_past": 3, "complete": false, "missing": 7,
				 "owner": "platform", "purpose": "to send\nreceipts", "blind_spots": "people behind \u003cseveral\u003e ids",
				 "runbook": "https://git.example/docs/detectors/volume_limit.md", "query": "SELECT 1 WHERE partner = 'bank'"},
				%s,
				%s
			],
			"more": 1
		}
	}`, e.id,
		short(0)+` by ann at 2026-03-01 09:50 UTC: asked\nthem`, short(0)+" acknowledged, and grown from 250 to 2500 people since it last paged",
		short(0)+" by bob until 2026-03-01 12:00 UTC: agreed", short(0)+" resolved by eve at 2026-03-01 09:40 UTC, seen again",
		f[0].ID(), bare(f[1], 3000, "surge", "photos", string(schema.WindowClockHour), "surge", "ended", "bank read 3,000 photos.", `"2026-03-01T10:00:00Z"`, true),
		bare(f[2], 10, "volume_limit", "friends", "hour", "limit", "open", "bank touched 10 friends.", "null", false))
	sameJSON(t, body, want)

	v.Ended, v.Because = v.Started.Add(time.Minute).In(time.FixedZone("", 3600)), "silenced by <bob>"
	v.Findings = nil
	var over webhookBody
	if body, _, err = w.request([]message{{v, v.events()[1]}}, noon); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &over); err != nil {
		t.Fatal(err)
	}
	if over.Kind != resolved || !over.At.Equal(v.Ended) || over.Alert.Ended == nil || over.Alert.EndedBecause != "silenced by ‹bob›" || over.Alert.More != 4 || over.Alert.Findings == nil {
		t.Errorf("its end is %s", body)
	}
	if !strings.Contains(string(body), `"ended":"2026-03-01T09:36:00Z"`) || !strings.Contains(string(body), `"at":"2026-03-01T09:36:00Z"`) {
		t.Errorf("times are not UTC: %s", body)
	}
}

// bare is how a webhook tells a finding of which little is known.
func bare(f *schema.Finding, people int, detector, capability, window, cause, state, sentence, ended string, complete bool) string {
	return fmt.Sprintf(`{"id": %q, "detector": %q, "partner": "bank", "capability": %q, "window": %q, "cause": %q, "severity": "warning", "state": %q,
		"sentence": %q, "first_crossing": "0001-01-01T00:00:00Z", "peak": "0001-01-01T00:00:00Z", "first_seen": "0001-01-01T00:00:00Z", "last_seen": "0001-01-01T00:00:00Z",
		"ended": %s, "accesses": 0, "attempts": 0, "people": %d, "people_low": %d, "people_high": %d, "people_new": null, "bystanders": null,
		"limit": null, "ratio": null, "expected": null, "days_past": null, "complete": %v, "missing": 0, "owner": "", "purpose": "", "blind_spots": "", "runbook": "", "query": ""}`,
		f.ID(), detector, capability, window, cause, state, sentence, ended, people, people, people, complete)
}

func TestAnAlertTellsTwentyRunsInWordsAndFiftyByTheirIds(t *testing.T) {
	w := webhook{}
	for _, n := range []int{20, 21, 50, 51} {
		a := &alert{labels: labels{Name: "OverreachVolumeLimit", Partner: "bank"}}
		known := map[string]*schema.Finding{}
		for i := range n {
			f := &schema.Finding{FindingKey: schema.FindingKey{Partner: "bank", Capability: fmt.Sprint("c", i)}, State: schema.Open, Sentence: "it did."}
			if i == 20 {
				f.People.Value = 1000 // of one that is not shown
			}
			known[f.ID()] = f
			a.Members = append(a.Members, member{episode: episodeOf(f)})
		}
		v := view{a, known}
		lines, ids := v.lines(), strings.Split(v.findingIDs(), " ")
		rest := fmt.Sprintf("and %d more: overreach findings shows them", n-20)
		if more := n > 20; (len(lines) == 21) != more || (lines[len(lines)-1] == rest) != more {
			t.Errorf("%d runs are told in %d lines, the last is %q", n, len(lines), lines[len(lines)-1])
		}
		if last := ids[len(ids)-1]; n <= 50 && (len(ids) != n || last == "more") || n == 51 && !strings.HasSuffix(v.findingIDs(), " and 1 more") {
			t.Errorf("%d runs are told by the ids %q", n, ids)
		}
		if got := w.alert(v); len(got.Findings) != 20 || got.More != n-20 || got.People != 0 {
			t.Errorf("a webhook is told %d of %d findings, %d more and %d people", len(got.Findings), n, got.More, got.People)
		}
	}
}

func TestTheLatestDayOfTheRunThatAnAlertBeganWithSpeaksForIt(t *testing.T) {
	days := []string{"monday", "tuesday", "wednesday"}
	r, other := &episode{}, &episode{days: []schema.Change{{ID: "other", State: schema.Open}}}
	for i, id := range days {
		r.days = append(r.days, schema.Change{FindingKey: schema.FindingKey{Period: schema.Day(i + 1)}, ID: id, State: schema.Open})
	}
	a := &alert{Lead: "tuesday", Members: []member{{episode: other}, {episode: r}}}
	same(t, "the lead", []string{a.leadNow()}, "wednesday")
	r.days[2].State = schema.Withdrawn
	same(t, "the last day is withdrawn", []string{a.leadNow()}, "tuesday")
	for i := range r.days {
		r.days[i].State = schema.Withdrawn
	}
	same(t, "all are", []string{a.leadNow()}, "wednesday")
	a.Members = a.Members[:1]
	same(t, "it tells the run no longer", []string{a.leadNow()}, "tuesday")
}

func TestTheTestAlertHoldsNothingButThatItIsATest(t *testing.T) {
	got := map[string][]byte{}
	now := noon
	a := &alert{labels: labels{Name: testName, Partner: "overreach-test", Severity: info}, ID: "id", Started: now}
	m := message{view{a, nil}, told{"e", test, now}}
	am, hook := &alertmanager{}, &webhook{}
	for name, r := range map[string]receiver{"alertmanager": am, "webhook": hook} {
		body, _, err := r.request([]message{m}, now)
		if err != nil {
			t.Fatal(err)
		}
		got[name] = body
	}
	const says = "This is a test of Overreach's alerts: nothing happened, and nothing is to be done."
	sameJSON(t, got["alertmanager"], fmt.Sprintf(`[{
		"labels": {"alertname": "OverreachTest", "partner": "overreach-test", "severity": "info"},
		"annotations": {"alert": "id", "summary": %q}, "startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:05:00Z"}]`, says))
	sameJSON(t, got["webhook"], fmt.Sprintf(`{"version": 1, "event": "e", "kind": "test", "at": "2026-03-01T12:00:00Z", "alert": {
		"id": "id", "labels": {"alertname": "OverreachTest", "partner": "overreach-test", "severity": "info"}, "partner": "overreach-test", "summary": %q,
		"started": "2026-03-01T12:00:00Z", "ended": null, "people": 0, "people_low": 0, "people_high": 0, "held_back": 0, "findings": [], "more": 0}}`, says))
}

// sameMap says which entries differ.
func sameMap(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s %s: got %q, want %q", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s %s: got %q, want none", what, name, got[name])
		}
	}
}

// sameJSON compares two documents, whatever the order of their members.
func sameJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	x, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(x), "\n"), strings.Split(string(y), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("line %d is\n%s\nwant\n%s", i+1, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Errorf("%d lines, want %d", len(gotLines), len(wantLines))
	}
}

func TestOfAsManyPeopleTheFirstFindingSpeaks(t *testing.T) {
	v, f := fourRuns()
	f[0].People = schema.Estimate{Value: 3000, Low: 2900, High: 3100}
	same(t, "people", []string{people(v.people())}, "3000 (2900 to 3100)")
}
