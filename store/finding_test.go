package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

func ptr[T any](v T) *T { return &v }

// fullFinding has every field set.
func fullFinding() schema.Finding {
	at := func(hour int) time.Time { return time.Date(2018, 12, 18, hour, 0, 0, 0, time.UTC) }
	day := schema.DayOf(at(0))
	return schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "it's \\ a\x00name ☃", Capability: "messaging", Window: schema.Window24h, Cause: "limit", Period: day},
		PeriodEnd:  day + 1, Severity: schema.Critical, State: schema.Ended, Sentence: "one\nsentence",
		FirstCrossing: at(1), Peak: at(2), EvidenceFrom: at(3), EvidenceTo: at(4), FirstSeen: at(5).Add(123 * time.Millisecond), LastSeen: at(6), EndedAt: at(7),
		Accesses: 1 << 63, Attempts: 2, People: schema.Estimate{Value: 3, Low: 2, High: 4}, PeopleNew: ptr(uint64(5)),
		Bystanders: &schema.Estimate{Value: 7, Low: 6, High: 8}, Limit: ptr(uint64(9)), Ratio: ptr(1.5), Expected: ptr(10.25),
		Baseline:    schema.Baseline{Window: "28 closed days", Samples: 28, Centre: 11.5, Spread: 0.5},
		LastAllowed: ptr(at(0)), DaysPast: ptr(uint32(12)), OtherCauses: []string{"grant ended 2017-01-01", "it's"},
		Contributors: []schema.Contributor{
			{Kind: "app", Name: "a'b", Accesses: 1, Attempts: 2, People: schema.Estimate{Value: 3, Low: 2, High: 4}, UsualPeople: ptr(2.5)},
			{Kind: "action", Name: "read", Accesses: 5},
		},
		Complete: true, Missing: 13, Registry: "abc", Owner: "o", Purpose: "p", BlindSpots: "b", Runbook: "r", Query: "SELECT 'x'",
	}
}

func TestFindingsComeBackAsTheyWereWritten(t *testing.T) {
	s := open(t)
	full := fullFinding()
	bare := schema.Finding{FindingKey: schema.FindingKey{Detector: "unregistered_partner", Partner: "p"}, Severity: schema.Warning, State: schema.Open,
		FirstCrossing: time.Unix(86400, 0).UTC()}
	v := schema.Version{Offsets: math.MaxUint64, Registry: 3, Watermark: 1_500_000_000}
	if err := s.WriteFindings(t.Context(), []schema.Finding{full, bare}, v); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteFindings(t.Context(), nil, v); err != nil {
		t.Fatal(err)
	}
	f := func(q schema.FindingsQuery, want ...schema.Finding) {
		t.Helper()
		got, err := s.Findings(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var versioned []schema.VersionedFinding
		for _, w := range want {
			versioned = append(versioned, schema.VersionedFinding{Finding: w, Version: v})
		}
		if diff := gocmp.Diff(versioned, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	f(schema.FindingsQuery{}, bare, full)
	f(schema.FindingsQuery{OpenOnly: true}, bare)
	f(schema.FindingsQuery{Partners: []string{full.Partner}}, full)
	f(schema.FindingsQuery{Partners: []string{}})
	f(schema.FindingsQuery{IDs: []string{bare.ID(), "none"}}, bare)
	f(schema.FindingsQuery{Slots: []uint8{schema.Slot(full.Partner)}}, full)

	change := schema.FindingChange{Reported: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Kind: schema.ChangeRaised, Finding: full, Version: v}
	for range 2 { // tried again after a lost answer
		if err := s.WriteChanges(t.Context(), []schema.FindingChange{change}); err != nil {
			t.Fatal(err)
		}
	}
	if got := value[string](t, s, `SELECT toString(groupArray((reported, change, id, partner, people, contributors[1].name, missing))) FROM finding_changes`); got !=
		value[string](t, s, fmt.Sprintf(`SELECT toString([(toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC'), 'raised', %s, %s, 3, 'a\'b', 13)])`, quote(full.ID()), quote(full.Partner))) {
		t.Errorf("finding_changes holds %s", got)
	}
	other := change
	other.Reported, other.Version.Offsets = change.Reported.Add(time.Millisecond), v.Offsets+1
	if err := s.WriteChanges(t.Context(), []schema.FindingChange{other}); err != nil { // by another judge, which knew no better
		t.Fatal(err)
	}
	if got := value[uint64](t, s, `SELECT count() FROM finding_changes`); got != 1 {
		t.Errorf("a change that two tell makes %d rows", got)
	}
	change.After, change.Reported = change.Reported, change.Reported.Add(time.Second)
	if err := s.WriteChanges(t.Context(), []schema.FindingChange{change}); err != nil {
		t.Fatal(err)
	}
	if got := value[uint64](t, s, `SELECT count() FROM finding_changes`); got != 2 {
		t.Errorf("a second change makes %d rows", got)
	}
	told, err := s.LastReported(t.Context(), []string{full.ID(), bare.ID()})
	if err != nil {
		t.Fatal(err)
	}
	change.After = time.Time{} // it is not kept
	if diff := gocmp.Diff(map[string]schema.FindingChange{full.ID(): change}, told); diff != "" {
		t.Errorf("what was told last (-want +got):\n%s", diff)
	}
}

func TestTheGreatestVersionOfAFindingStays(t *testing.T) {
	s := open(t)
	versions := []schema.Version{ // in their order
		{Offsets: 5, Registry: 9, Watermark: 99}, {Offsets: 6, Registry: 1, Watermark: 50}, {Offsets: 6, Registry: 1, Watermark: 51},
		{Offsets: 6, Registry: 2, Watermark: 10}, {Offsets: 1 << 40, Registry: 0, Watermark: 0},
	}
	for _, i := range []int{3, 0, 4, 1, 2} {
		f := fullFinding()
		f.Missing = uint64(i)
		f.State = schema.Open
		if i == 4 {
			f.State = schema.Withdrawn
		}
		if err := s.WriteFindings(t.Context(), []schema.Finding{f}, versions[i]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		got, err := s.Findings(t.Context(), schema.FindingsQuery{})
		if err != nil || len(got) != 1 || got[0].Missing != 4 || got[0].Version != versions[4] {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := s.Findings(t.Context(), schema.FindingsQuery{OpenOnly: true}); err != nil || len(got) != 0 {
			t.Errorf("an older version is open: %+v, %v", got, err)
		}
		if got := value[uint64](t, s, "SELECT max(missing) FROM findings HAVING count() = 1"); got != 4 {
			t.Errorf("the view has version %d", got)
		}
		execute(t, s, "OPTIMIZE TABLE findings_log FINAL")
	}
}

func TestSinceNamesTheStartOfAnUnbrokenRunOfDays(t *testing.T) {
	s := open(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	var all []schema.Finding
	for _, partner := range strangers[:3] {
		for _, window := range []schema.Window{schema.WindowHour, schema.Window24h, schema.Window30d, schema.WindowPeriod} {
			for day := schema.Day(17_000); day < 17_040; day++ {
				if rnd.IntN(3) == 0 || window == schema.WindowPeriod && day > 17_000 {
					continue
				}
				f := schema.Finding{FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: partner, Window: window, Cause: "limit", Period: day},
					State: []schema.State{schema.Open, schema.Ended, schema.Withdrawn}[rnd.IntN(3)]}
				if window == schema.WindowPeriod {
					f.Period = 0
				}
				f.FirstCrossing = time.Unix(day.Second()+rnd.Int64N(86400), 0).UTC()
				all = append(all, f)
			}
		}
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range 3 { // several parts
		if err := s.WriteFindings(t.Context(), all[i*len(all)/3:(i+1)*len(all)/3], schema.Version{Offsets: 1}); err != nil {
			t.Fatal(err)
		}
	}
	holds := map[schema.FindingKey]time.Time{}
	for _, f := range all {
		if f.State != schema.Withdrawn {
			holds[f.FindingKey] = f.FirstCrossing
		}
	}
	runs := 0
	want := map[string]int64{}
	for _, f := range all {
		since := f.FirstCrossing
		if f.State != schema.Withdrawn && (f.Window == schema.WindowHour || f.Window == schema.Window24h) {
			for k := f.FindingKey; !holds[k].IsZero(); k.Period-- {
				if since != holds[k] {
					runs++
				}
				since = holds[k]
			}
		}
		want[f.ID()] = since.Unix()
	}
	if runs < 20 {
		t.Fatalf("only %d days continue a run", runs)
	}
	for range 2 {
		got := map[string]int64{}
		rows, err := s.conn.Query(t.Context(), "SELECT id, toInt64(toUnixTimestamp(since)) FROM findings")
		if err != nil {
			t.Fatal(err)
		}
		err = scan(rows, func() error {
			var id string
			var since int64
			err := rows.Scan(&id, &since)
			got[id] = since
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("since (-want +got):\n%s", diff)
		}
		execute(t, s, "OPTIMIZE TABLE findings_log FINAL")
	}
}
