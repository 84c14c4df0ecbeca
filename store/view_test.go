package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// peopleRow is a row of people_daily, people_30d and people_monthly.
type peopleRow struct {
	partner, capability string
	day                 schema.Day // or the first day of the month
	people              uint64
	accesses, attempts  uint64
}

// readPeople reads one of the views, ordered by partner, capability and day.
func readPeople(t *testing.T, s *Store, view, day string) []peopleRow {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "SELECT partner, capability, "+day+", people, people_low, people_high, accesses, attempts FROM "+view+" ORDER BY partner, capability, "+day)
	if err != nil {
		t.Fatal(err)
	}
	var all []peopleRow
	err = scan(rows, func() error {
		var r peopleRow
		var low, high uint64
		var at time.Time
		err := rows.Scan(&r.partner, &r.capability, &at, &r.people, &low, &high, &r.accesses, &r.attempts)
		if r.day = schema.DayOf(at); low != r.people || high != r.people {
			t.Errorf("%s: %d people counted exactly are [%d, %d]", view, r.people, low, high)
		}
		all = append(all, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// countPeople counts naively: into names the periods that a day with use
// belongs to, among the days on which that capability was used.
func countPeople(rows []row, into func(day schema.Day, used []schema.Day) []schema.Day) []peopleRow {
	type key struct {
		partner, capability string
		day                 schema.Day
	}
	used := map[key][]schema.Day{} // by partner and capability
	for _, r := range rows {
		for _, c := range []string{"", r.usageKey.Capability} {
			k := key{r.usageKey.Partner, c, 0}
			if day := schema.DayOfSecond(r.bucket); !slices.Contains(used[k], day) {
				used[k] = append(used[k], day)
			}
		}
	}
	sums := map[key]*peopleRow{}
	people := map[key]map[uint64]bool{}
	for _, r := range rows {
		for _, c := range []string{"", r.usageKey.Capability} {
			for _, day := range into(schema.DayOfSecond(r.bucket), used[key{r.usageKey.Partner, c, 0}]) {
				k := key{r.usageKey.Partner, c, day}
				if sums[k] == nil {
					sums[k], people[k] = &peopleRow{partner: k.partner, capability: c, day: day}, map[uint64]bool{}
				}
				sums[k].accesses += r.c.Accesses
				sums[k].attempts += r.c.Attempts
				for _, p := range r.people[0] {
					people[k][p] = true
				}
			}
		}
	}
	var all []peopleRow
	for k, r := range sums {
		r.people = uint64(len(people[k]))
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b peopleRow) int {
		switch {
		case a.partner != b.partner:
			return compare(a.partner, b.partner)
		case a.capability != b.capability:
			return compare(a.capability, b.capability)
		}
		return int(a.day - b.day)
	})
	return all
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestDistinctPeopleAreCountedOverDaysAndMonths(t *testing.T) {
	s := open(t)
	rnd := rand.New(rand.NewPCG(7, 8))
	rows := randomRows(rnd, 500)
	for i := range rows {
		rows[i].res = schema.Daily
		rows[i].bucket = schema.Day(17_000 + rnd.IntN(100)).Second()
		if rows[i].usageKey.Capability == "" {
			rows[i].usageKey.Capability = "messaging"
		}
	}
	insertRows(t, s, rows)
	for _, when := range []string{"before", "after"} {
		for view, f := range map[string]struct {
			day  string
			into func(schema.Day, []schema.Day) []schema.Day
		}{
			"people_daily":   {"day", func(d schema.Day, _ []schema.Day) []schema.Day { return []schema.Day{d} }},
			"people_monthly": {"month", func(d schema.Day, _ []schema.Day) []schema.Day { return []schema.Day{d.Month()} }},
			"people_30d": {"day", func(d schema.Day, used []schema.Day) (ends []schema.Day) {
				for _, end := range used {
					if d <= end && d > end-30 {
						ends = append(ends, end)
					}
				}
				return ends
			}},
		} {
			want := countPeople(rows, f.into)
			if diff := gocmp.Diff(want, readPeople(t, s, view, f.day), gocmp.AllowUnexported(peopleRow{})); diff != "" {
				t.Errorf("%s %s a merge (-want +got):\n%s", view, when, diff)
			}
		}
		execute(t, s, "OPTIMIZE TABLE usage FINAL")
	}
}

func TestAnEstimateHasItsInterval(t *testing.T) {
	s := open(t)
	execute(t, s, `INSERT INTO usage (kind, resolution, bucket, partner, capability, action, pinned, subjects)
		SELECT 'usage', 'day', 86400, 'p', 'c', 'read', today(), uniqCombined64State(14)(number) FROM numbers(20000)`)
	people := value[uint64](t, s, "SELECT people FROM people_daily WHERE capability = 'c'")
	low, high := value[uint64](t, s, "SELECT people_low FROM people_daily WHERE capability = 'c'"), value[uint64](t, s, "SELECT people_high FROM people_daily WHERE capability = 'c'")
	if low >= 20000 || high <= 20000 || low != people-317 && low != people-318 && low != people-316 {
		t.Errorf("20,000 people are %d [%d, %d]", people, low, high)
	}
}

func TestCoverageIsWhatMarkersVouchFor(t *testing.T) {
	s := open(t)
	for _, m := range []schema.Marker{
		{Range: batch(5, 10), Records: 4, Missing: 1, Events: 3, Rejected: 1, FirstEvent: 1_500_000_000_000, LastEvent: 1_500_000_001_000, LastRecord: 1_500_000_002_000},
		{Range: batch(10, 20), Records: 10, Events: 9, Filtered: 1, FirstEvent: 1_400_000_000_000, LastEvent: 1_400_000_000_000, Mixed: true,
			Unreadable: 3, Why: []string{"bad_crc"}},
		{Range: batch(20, 22), Unreadable: 2, Why: []string{"bad_compression", "bad_crc"}},
	} {
		if err := s.InsertUsage(t.Context(), m, &schema.UsageRows{}); err != nil {
			t.Fatal(err)
		}
	}
	empty := batch(0, 1)
	empty.Partition.Partition = 1
	if err := s.InsertUsage(t.Context(), schema.Marker{Range: empty, Records: 1, Rejected: 1}, &schema.UsageRows{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := value[string](t, s, "SELECT toString(groupArray((partition, from_offset, to_offset, records, missing, events, rejected, filtered, first_event, last_event, mixed, unreadable, unreadable_why, last_record))) FROM (SELECT * FROM coverage ORDER BY partition)")
		if want := "[(0,5,22,14,1,12,1,1,'2014-05-13 16:53:20.000','2017-07-14 02:40:01.000',1,5,['bad_compression','bad_crc'],'2017-07-14 02:40:02.000'),(1,0,1,1,0,0,1,0,NULL,NULL,0,0,[],NULL)]"; got != want {
			t.Errorf("coverage is\n%s, want\n%s", got, want)
		}
		execute(t, s, "OPTIMIZE TABLE usage FINAL")
	}
}

func TestRejectsAreSummedByReason(t *testing.T) {
	s := open(t)
	for i := range int64(3) {
		rows := &schema.RejectRows{Offset: []int64{i, i}, Item: []uint32{0, 1}, Time: []int64{1000 + i, 5000 - i}, Reason: []string{"no_time", "bad_json"},
			Detail: []string{"a", "b"}, Outline: []string{"", "x: string"}, Raw: []string{"", "{"}, Size: []int64{10, 20}}
		if err := s.InsertRejects(t.Context(), batch(i, i+1), rows); err != nil {
			t.Fatal(err)
		}
	}
	got := value[string](t, s, "SELECT toString(groupArray((reason, incarnation, rejects, toUnixTimestamp64Milli(first_time), toUnixTimestamp64Milli(last_time), partition, offset, detail, outline))) FROM (SELECT * FROM rejects_by_reason ORDER BY reason)")
	if want := "[('bad_json','k/t@0',3,4998,5000,0,0,'b','x: string'),('no_time','k/t@0',3,1000,1002,0,2,'a','')]"; got != want {
		t.Errorf("rejects are\n%s, want\n%s", got, want)
	}
}

func TestRejectsOfOneReasonAreToldApartByTheirCauseAndNotByNumbers(t *testing.T) {
	s := open(t)
	details := []string{
		"partner has no value: AppId is empty; every event needs partner", "partner has no value: AppId is absent; every event needs partner",
		"partner has no value: AppId is empty; every event needs partner", "time is on 2001-02-03, before min_time", "time is on 1999-12-31, before min_time",
		"subject has 1025 bytes, the limit is 1024", "subject has 90000 bytes, the limit is 1024",
	}
	rows := &schema.RejectRows{}
	for i, detail := range details {
		rows.Offset, rows.Item, rows.Time = append(rows.Offset, 0), append(rows.Item, uint32(i)), append(rows.Time, int64(i)) //nolint:gosec // few
		rows.Reason, rows.Detail = append(rows.Reason, "r"), append(rows.Detail, detail)
		rows.Outline, rows.Raw, rows.Size = append(rows.Outline, ""), append(rows.Raw, ""), append(rows.Size, 1)
	}
	if err := s.InsertRejects(t.Context(), batch(0, 1), rows); err != nil {
		t.Fatal(err)
	}
	got := value[string](t, s, "SELECT arrayStringConcat(groupArray(concat(toString(rejects), ' ', detail)), '\n') FROM (SELECT * FROM rejects_by_reason ORDER BY detail)")
	if want := "1 " + details[1] + "\n2 " + details[0] + "\n2 " + details[6] + "\n2 " + details[4]; got != want {
		t.Errorf("causes are\n%s\nwant\n%s", got, want)
	}
}

func TestGrantedIsShownBesideUsed(t *testing.T) {
	s := open(t)
	r := withGrants("a",
		registry.Grant{Capability: "messaging", Actions: []schema.Action{schema.Read}, From: 17_000, Until: 17_100},
		registry.Grant{Capability: "messaging", Actions: []schema.Action{schema.Read}, From: 17_200, Purpose: "later"},
		registry.Grant{Capability: "friends", Actions: []schema.Action{schema.Write}, From: 17_000, Until: 17_100})
	if _, err := s.SaveRegistry(t.Context(), withGrants("old", registry.Grant{Capability: "gone", Actions: []schema.Action{schema.Read}, From: 1}), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveRegistry(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	for i := range int64(2) {
		rows := &schema.UsageRows{}
		usageKey := schema.UsageKey{Partner: "it's", App: strangers[i], Capability: "messaging", Action: schema.Read}
		add(rows, schema.Daily, 17_000*86400, usageKey, schema.Counters{Accesses: 2, FirstAccess: 1_468_800_000_000 + i, LastAccess: 1_468_800_000_100 + i}, state(1, uint64(2+i)), state(7), state(1))
		add(rows, schema.Daily, 17_001*86400, usageKey, schema.Counters{Attempts: 3, FirstAttempt: 1_468_900_000_000, LastAttempt: 1_468_900_000_000 + i})
		usageKey.Action = schema.Delete
		add(rows, schema.Daily, 17_001*86400, usageKey, schema.Counters{Accesses: 1, FirstAccess: 1_468_900_000_000, LastAccess: 1_468_900_000_000}, state(9))
		if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(i, i+1), Missing: uint64(i), Events: 3, FirstEvent: 1_468_800_000_000, LastEvent: 1_468_900_000_000}, rows); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		got := value[[]string](t, s, `SELECT groupArray(toString((partner, capability, action, granted, granted_since, granted_until, purpose, owner, accesses, attempts,
			toUnixTimestamp64Milli(first_access), toUnixTimestamp64Milli(last_access), toUnixTimestamp64Milli(last_attempt), people, bystanders, days_used,
			toUnixTimestamp64Milli(covered_from), toUnixTimestamp64Milli(covered_to), missing))) FROM (SELECT * FROM granted_vs_used ORDER BY capability, action)`)
		want := []string{
			`('it\'s','friends','write',1,'2016-07-18','2016-10-26','p','o',0,0,NULL,NULL,NULL,0,0,0,1468800000000,1468900000000,1)`,
			`('it\'s','messaging','delete',0,NULL,NULL,'','',2,0,1468900000000,1468900000000,NULL,1,0,1,1468800000000,1468900000000,1)`,
			`('it\'s','messaging','read',2,'2016-07-18',NULL,'later','o',4,6,1468800000000,1468800000101,1468900000001,3,1,1,1468800000000,1468900000000,1)`,
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("granted_vs_used (-want +got):\n%s", diff)
		}
		execute(t, s, "OPTIMIZE TABLE usage FINAL")
	}
}

func TestIdsThatCameMoreThanOnceAreShownWithWhereAndWhen(t *testing.T) {
	s := open(t)
	rows := &schema.AccessRows{}
	event := func(offset int64, partner, id string, at int64) {
		rows.Offset, rows.Item, rows.Time = append(rows.Offset, offset), append(rows.Item, uint32(len(rows.Item))), append(rows.Time, at*1000)
		rows.Partner, rows.App, rows.Capability = append(rows.Partner, partner), append(rows.App, ""), append(rows.Capability, "c")
		rows.Action, rows.Subject, rows.Actor = append(rows.Action, schema.Read), append(rows.Subject, 1), append(rows.Actor, 0)
		rows.ID, rows.APIVersion, rows.Grant = append(rows.ID, id), append(rows.APIVersion, ""), append(rows.Grant, "")
		rows.Status, rows.Records, rows.Bytes = append(rows.Status, 0), append(rows.Records, 0), append(rows.Bytes, 0)
	}
	event(1, "p", "sent again", 100)
	event(2, "p", "sent again", 100)
	event(2, "p", "sent again", 100)
	event(3, "p", "used again", 100)
	event(4, "p", "used again", 160)
	event(5, "p", "once", 100)
	event(6, "q", "once", 100) // another's
	event(7, "q", "", 100)
	event(8, "q", "", 100)
	if err := s.InsertAccess(t.Context(), batch(0, 10), rows); err != nil {
		t.Fatal(err)
	}
	got := value[string](t, s, "SELECT toString(groupArray((partner, id, events, places, times, toUnixTimestamp64Milli(first_time), toUnixTimestamp64Milli(last_time)))) FROM (SELECT * FROM duplicate_ids ORDER BY id)")
	if want := "[('p','sent again',3,2,1,100000,100000),('p','used again',2,2,2,100000,160000)]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
