package judge

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// tables are a Store of usage that is given as rows, each of one usage key and bucket.
type tables struct {
	Store // whatever else is read or written is a mistake of the test
	rows  map[schema.Resolution][]schema.UsageCell
	gaps  []schema.Gap

	most    int // cells read at once
	limited int // reads that a limit cut off
}

func (s *tables) Usage(_ context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	var all []schema.UsageCell
	sketches := map[string]*window.Sketch{}
	for _, row := range s.rows[q.Resolution] {
		if row.Bucket < q.From || row.Bucket >= q.To || !slices.Contains(q.Partners, row.Partner) ||
			q.Capability != "" && row.Capability != q.Capability || q.Actions != nil && !slices.Contains(q.Actions, row.Action) {
			continue
		}
		c := schema.UsageCell{UsageKey: schema.UsageKey{Partner: row.Partner}}
		if q.ByApp {
			c.App = row.App
		}
		if q.ByAction {
			c.Action = row.Action
		}
		if q.ByBucket {
			c.Bucket = row.Bucket
		}
		key := fmt.Sprint(c)
		i := slices.IndexFunc(all, func(o schema.UsageCell) bool { return o.UsageKey == c.UsageKey && o.Bucket == c.Bucket })
		if i < 0 {
			i, sketches[key] = len(all), &window.Sketch{}
			all = append(all, c)
		}
		all[i].Add(&row.Counters)
		if err := sketches[key].MergeBytes(row.Subjects); err != nil {
			return nil, err
		}
		all[i].Subjects = sketches[key].MarshalAppend(nil)
		if q.Bystanders {
			all[i].Bystanders = schema.EmptyState
		}
	}
	if q.Limit > 0 && len(all) > q.Limit {
		s.limited++
		all = all[:q.Limit]
	}
	s.most = max(s.most, len(all))
	return all, nil
}

// add puts so many accesses of as many people into a bucket.
func (s *tables) add(res schema.Resolution, bucket int64, app string, a schema.Action, people int) {
	var sketch window.Sketch
	for i := range people {
		sketch.Add(uint64(i)*7919 + 1) // the same people in each bucket
	}
	if s.rows == nil {
		s.rows = map[schema.Resolution][]schema.UsageCell{}
	}
	s.rows[res] = append(s.rows[res], schema.UsageCell{
		UsageKey: schema.UsageKey{Partner: "p", App: app, Capability: "messaging", Action: a}, Bucket: bucket,
		Counters: schema.Counters{Accesses: uint64(people), FirstAccess: bucket*1000 + 1, LastAccess: bucket*1000 + 2},
		Subjects: sketch.MarshalAppend(nil),
	})
}

// evidenceDay is the day of the findings whose evidence is read.
const evidenceDay = schema.Day(17883)

// evidenced reads the evidence of a finding of 24 hours on evidenceDay.
func evidenced(t *testing.T, s *tables) schema.Finding {
	t.Helper()
	r := &round{
		judge:    &Judge{store: s, gaps: s.gaps, cfg: Config{MaxApps: 20}},
		registry: &registry.Registry{SHA256: "ab", Partners: map[string]registry.Partner{"p": {Owner: "Ada", Purpose: "playlists"}}},
	}
	key := schema.FindingKey{Detector: "volume_limit", Partner: "p", Capability: "messaging", Window: schema.Window24h, Cause: "limit", Period: evidenceDay}
	f := schema.Finding{FindingKey: key, EvidenceFrom: evidenceDay.Time(), EvidenceTo: (evidenceDay + 1).Time()}
	q := asked{Question: usage.Question{FindingKey: key, Spans: []usage.Span{{From: evidenceDay, To: evidenceDay + 1}}}, detector: detectors.VolumeLimit{}}
	all := []concluded{{q, f}}
	if err := r.addEvidence(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return all[0].Finding
}

func TestWhatIsUsualIsTheMedianOf28ClosedDaysAndUnknownUnderSeven(t *testing.T) {
	// before are the people of the days before, the last of them yesterday.
	f := func(what string, before []int, samples uint32, usual string) {
		t.Helper()
		s := &tables{}
		s.add(schema.Hourly, evidenceDay.Second()+3600, "android", schema.Read, 90)
		s.add(schema.Daily, evidenceDay.Second(), "android", schema.Read, 90) // the open day itself is not usual
		for i, n := range before {
			if n > 0 {
				s.add(schema.Daily, (evidenceDay - schema.Day(len(before)-i)).Second(), "android", schema.Read, n)
			}
		}
		found := evidenced(t, s)
		got := "unknown"
		if u := found.Contributors[0].UsualPeople; u != nil {
			got = fmt.Sprint(*u)
			if found.Expected == nil || *found.Expected != *u {
				t.Errorf("%s: %v is expected of the partner, with one app of %v", what, found.Expected, *u)
			}
		} else if found.Expected != nil {
			t.Errorf("%s: %v is expected of the partner and nothing of its only app", what, *found.Expected)
		}
		if got != usual || found.Baseline.Samples != samples {
			t.Errorf("%s: usual %s of %d days, want %s of %d", what, got, found.Baseline.Samples, usual, samples)
		}
	}
	f("never used before", nil, 0, "unknown")
	f("six days", []int{4, 4, 4, 4, 4, 4}, 6, "unknown")
	f("seven days", []int{4, 4, 4, 9, 9, 9, 9}, 7, "9")
	f("days without use count as none", []int{4, 0, 0, 0, 0, 9, 9}, 7, "0")
	f("an even number of days", []int{2, 2, 2, 2, 5, 5, 5, 5}, 8, "3.5")
	f("days before the 28 do not count", append([]int{400, 400, 400}, slices.Repeat([]int{6}, 28)...), 28, "6")
	f("one wild day moves nothing", append(slices.Repeat([]int{6}, 20), 400), 21, "6")
}

func TestTheTopContributorsAreThoseWithTheMostPeople(t *testing.T) {
	s := &tables{gaps: []schema.Gap{
		{Missing: 2, First: evidenceDay.Second() * 1000, Last: evidenceDay.Second()*1000 + 1},
		{Missing: 1, Merged: true, First: (evidenceDay - 20).Second() * 1000},
		{Missing: 9, First: (evidenceDay + 1).Second() * 1000, Last: (evidenceDay + 2).Second() * 1000},
	}}
	for i, app := range []string{"a", "b", "c", "d", "e", "f"} {
		s.add(schema.Hourly, evidenceDay.Second(), app, schema.Read, 10*(i+1))
	}
	s.add(schema.Hourly, evidenceDay.Second()+7200, "a", schema.Delete, 200)
	s.add(schema.Hourly, evidenceDay.Second()-3600, "a", schema.Delete, 300) // before the evidence
	f := evidenced(t, s)
	var got []string
	for _, c := range f.Contributors {
		got = append(got, fmt.Sprintf("%s %s %d", c.Kind, c.Name, c.People.Value))
	}
	want := []string{"app a 200", "app f 60", "app e 50", "app d 40", "app c 30", "action delete 200", "action read 60"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Owner != "Ada" || f.Purpose != "playlists" || f.Registry != "ab" || f.Runbook != "docs/detectors/volume_limit.md" || f.BlindSpots == "" {
		t.Errorf("owner %q, purpose %q, registry %q, runbook %q", f.Owner, f.Purpose, f.Registry, f.Runbook)
	}
	if f.Complete || f.Missing != 3 {
		t.Errorf("3 records are missing, and it says complete %v, missing %d", f.Complete, f.Missing)
	}
	if f.FirstSeen.Unix() != evidenceDay.Second() || f.LastSeen.Unix() != evidenceDay.Second()+7200 {
		t.Errorf("seen from %s to %s", f.FirstSeen, f.LastSeen)
	}
}

func TestTheQueryIsForTheVeryEvents(t *testing.T) {
	f := schema.Finding{
		FindingKey:   schema.FindingKey{Partner: `it's\`, Capability: "messaging"},
		EvidenceFrom: evidenceDay.Time(), EvidenceTo: (evidenceDay + 1).Time(),
	}
	const want = `SELECT time, app, capability, action, subject, actor, status, api_version, incarnation, partition, offset FROM access_events ` +
		`WHERE partner = 'it\'s\\' AND capability = 'messaging' AND action IN ('read', 'delete') ` +
		`AND time >= toDateTime64('2018-12-18 00:00:00', 3, 'UTC') AND time < toDateTime64('2018-12-19 00:00:00', 3, 'UTC') ORDER BY time LIMIT 1000`
	if got := eventsQuery(&f, []usage.Span{{Actions: []schema.Action{schema.Delete}}, {Actions: []schema.Action{schema.Read}}}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatWasFoundStaysWhereItsBucketsHaveExpired(t *testing.T) {
	registry, err := registry.Parse("r", []byte("capabilities: {messaging: {}}\npartners: {p: {agreement: {start: 2018-01-01}, limits: [{people: 100, per: hour}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, minutes, day int, now []usage.Point, want string) {
		t.Helper()
		s := &tables{}
		if minutes > 0 {
			s.add(schema.Minute, evidenceDay.Second(), "android", schema.Read, minutes)
		}
		s.add(schema.Daily, evidenceDay.Second(), "android", schema.Read, day)
		key := schema.FindingKey{Detector: "volume_limit", Partner: "p", Window: schema.WindowHour, Cause: "limit", Period: evidenceDay}
		q := asked{Question: usage.Question{FindingKey: key, Spans: []usage.Span{{From: evidenceDay, To: evidenceDay + 1}}}, detector: detectors.VolumeLimit{}, id: key.ID()}
		before := schema.Finding{FindingKey: key, State: schema.Ended, People: schema.Estimate{Value: 300, Low: 300, High: 300}}
		r := &round{judge: &Judge{store: s}, registry: registry}
		_, found, ok := judgeOne(registry, q, usage.Answer{Points: now})
		got, changed, err := r.conclude(t.Context(), q, found, ok, map[string]schema.Finding{q.id: before})
		if err != nil {
			t.Fatal(err)
		}
		said := "it stays"
		if changed {
			said = fmt.Sprintf("%s with %d", got.State, got.People.Value)
		}
		if said != want {
			t.Errorf("%s: %s, want %s", what, said, want)
		}
	}
	point := func(people uint64) []usage.Point {
		return []usage.Point{{Begin: evidenceDay.Second(), End: evidenceDay.Second() + 3600, Accesses: people, People: schema.Estimate{Value: people, Low: people, High: people}}}
	}
	f("the minutes are gone", 0, 300, nil, "it stays")
	f("some minutes are gone, and none is over the limit", 90, 300, nil, "it stays")
	f("some minutes are gone, and fewer people are over it", 150, 300, point(150), "it stays")
	f("all are there, and it does not follow any more", 90, 90, nil, "withdrawn with 300")
	f("all are there, and it follows with more", 350, 350, point(350), "open with 350")
}

func TestEvidenceOfManyIsWhatItIsOfEachAlone(t *testing.T) {
	// More cells than are read at once: apps and days of partners that differ.
	s := &tables{}
	registry := &registry.Registry{SHA256: "ab", Partners: map[string]registry.Partner{}}
	var all []concluded
	for n := range 60 {
		partner := fmt.Sprint("p", n)
		key := schema.FindingKey{Detector: "volume_limit", Partner: partner, Window: schema.Window30d, Cause: "limit", Period: evidenceDay - schema.Day(n%2)}
		f := schema.Finding{FindingKey: key, EvidenceFrom: key.Period.Time(), EvidenceTo: (key.Period + 1).Time()}
		all = append(all, concluded{asked{Question: usage.Question{FindingKey: key, Spans: []usage.Span{{From: key.Period, To: key.Period + 1}}}, detector: detectors.VolumeLimit{}}, f})
		for day := range 24 + n%8 {
			for app := range 2 + n%15 {
				s.add(schema.Daily, (evidenceDay - schema.Day(day)).Second(), fmt.Sprint("app-", app), schema.Read, 1+(n+day+app)%7)
				s.rows[schema.Daily][len(s.rows[schema.Daily])-1].Partner = partner
			}
		}
	}
	r := &round{judge: &Judge{store: s, cfg: Config{MaxApps: 20}}, registry: registry}
	together := slices.Clone(all)
	if err := r.addEvidence(t.Context(), together); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		alone := all[i : i+1]
		if err := r.addEvidence(t.Context(), alone); err != nil {
			t.Fatal(err)
		}
		if !same(alone[0].Finding, together[i].Finding) || len(alone[0].Contributors) == 0 {
			t.Errorf("together %+v, alone %+v", together[i].Finding, alone[0].Finding)
		}
	}
	if s.most > evidenceCells || s.limited == 0 {
		t.Errorf("at most %d cells were read at once, and %d times there were too many", s.most, s.limited)
	}
}
