package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// read is a marker of partition p that vouches for [from, to) of the incarnation,
// with events on the days given.
func read(p int32, from, to int64, first, last schema.Day) schema.Marker {
	r := batch(from, to)
	r.Partition.Partition = p
	m := schema.Marker{Range: r, Records: uint64(to - from), Events: uint64(to - from)}
	if first != 0 {
		m.FirstEvent, m.LastEvent = first.Second()*1000+1, last.Second()*1000+1
	}
	return m
}

// insertMarkers writes markers, the first with usage rows.
func insertMarkers(t *testing.T, s *Store, rows *schema.UsageRows, markers ...schema.Marker) {
	t.Helper()
	for _, m := range markers {
		if err := s.InsertUsage(t.Context(), m, rows); err != nil {
			t.Fatal(err)
		}
		rows = &schema.UsageRows{}
	}
}

// judgedTo records that everything was judged up to the start of a day.
func judgedTo(t *testing.T, s *Store, day schema.Day) {
	t.Helper()
	err := s.WriteJudged(t.Context(), []schema.Position{
		{Slot: 3, Cadence: schema.CadenceMinute, Partition: schema.Partition{Incarnation: "k/t@0"}, To: 5, Watermark: day.Second() - 1},
		{Slot: 4, Cadence: schema.CadenceMinute, Partition: schema.Partition{Incarnation: "k/t@0"}, To: 5, Watermark: day.Second()},
		{Slot: 3, Cadence: schema.CadenceDay, Partition: schema.Partition{Incarnation: "k/t@0"}, To: 5, Watermark: day.Second() + 99},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// beforeAndAfterAMerge runs f on rows as they were inserted, and merged.
func beforeAndAfterAMerge(t *testing.T, s *Store, f func(when string)) {
	t.Helper()
	f("before")
	execute(t, s, "OPTIMIZE TABLE usage FINAL")
	f("after")
}

func TestUseOutsideOfTheGrantsDaysIsToldApart(t *testing.T) {
	s := open(t)
	// Two grants with a gap between them; the agreement ends within the second.
	r := withGrants("p",
		registry.Grant{Capability: "c", Actions: []schema.Action{schema.Read}, From: 17_010, Until: 17_020},
		registry.Grant{Capability: "c", Actions: []schema.Action{schema.Read}, From: 17_030})
	p := r.Partners["it's"]
	p.AgreementStart, p.AgreementEnd = 17_012, 17_040
	r.Partners[p.Name] = p
	if _, err := s.SaveRegistry(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	for i, day := range []schema.Day{17_009, 17_011, 17_012, 17_020, 17_021, 17_029, 17_030, 17_040, 17_041} {
		rows := &schema.UsageRows{}
		for _, app := range []string{"one", "two"} { // two usage keys make one day
			add(rows, schema.Daily, day.Second(), schema.UsageKey{Partner: p.Name, App: app, Capability: "c", Action: schema.Read},
				schema.Counters{Accesses: 1 << i, FirstAccess: day.Second() * 1000, LastAccess: day.Second() * 1000}, state(uint64(i)))
		}
		insertMarkers(t, s, rows, read(0, int64(i), int64(i)+1, day, day))
	}
	attempts := &schema.UsageRows{}
	add(attempts, schema.Daily, 86400, schema.UsageKey{Partner: p.Name, Capability: "c", Action: schema.Read}, schema.Counters{Attempts: 7, FirstAttempt: 86_400_000, LastAttempt: 86_400_001})
	insertMarkers(t, s, attempts, read(0, 9, 10, 1, 1))
	const outside = 2 * (1<<0 + 1<<1 + 1<<4 + 1<<5 + 1<<8) // two before, two in the gap, one after
	beforeAndAfterAMerge(t, s, func(when string) {
		got := value[string](t, s, "SELECT toString((granted, accesses, attempts, accesses_outside, days_outside, days_used, people, never_used, never_granted, toUnixTimestamp64Milli(first_attempt))) FROM granted_vs_used")
		if want := fmt.Sprintf("(2,%d,7,%d,5,9,9,false,false,86400000)", 2*511, outside); got != want {
			t.Errorf("%s a merge: %s, want %s", when, got, want)
		}
	})
}

func TestAZeroIsProvedOnlyWhereAllThatCouldDisproveItWasRead(t *testing.T) {
	address, _ := embeddedtest.Engine(t)
	databases := 0
	grant := registry.Grant{Capability: "c", Actions: []schema.Action{schema.Read}, From: 17_050}
	f := func(name string, watermark schema.Day, markers []schema.Marker, provable bool, from, to schema.Day, why ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			databases++
			cfg := Config{Addresses: []string{address}, Password: embeddedtest.Password, Database: fmt.Sprintf("case_%d", databases)}
			if err := CreateDatabase(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }() // it was only of this case
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.SaveRegistry(t.Context(), withGrants("p", grant), nil); err != nil {
				t.Fatal(err)
			}
			insertMarkers(t, s, &schema.UsageRows{}, markers...)
			if watermark != 0 {
				judgedTo(t, s, watermark)
			}
			beforeAndAfterAMerge(t, s, func(when string) {
				rows, err := s.Ledger(t.Context(), LedgerQuery{Unused: true})
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) != 1 || !rows[0].NeverUsed || rows[0].NeverGranted {
					t.Fatalf("%s a merge there are %+v, want one scope that was never used", when, rows)
				}
				r := rows[0]
				if r.Provable != provable || r.WhyNot != strings.Join(why, "; ") {
					t.Errorf("%s a merge: provable %v, %q, want %v, %q", when, r.Provable, r.WhyNot, provable, strings.Join(why, "; "))
				}
				day := func(t *time.Time) schema.Day {
					if t == nil {
						return 0
					}
					return schema.DayOf(*t)
				}
				if day(r.ZeroFrom) != from || day(r.ZeroTo) != to {
					t.Errorf("%s a merge the zero goes from %v to %v, want %s to %s", when, r.ZeroFrom, r.ZeroTo, from, to)
				}
			})
		})
	}
	with := func(m schema.Marker, change func(*schema.Marker)) schema.Marker {
		change(&m)
		return m
	}
	whole := read(0, 0, 10, 17_000, 17_100)
	f("all was read since before the grant", 17_101, []schema.Marker{whole}, true, 17_050, 17_100)
	f("judging has come less far than counting", 17_080, []schema.Marker{whole}, true, 17_050, 17_080)
	f("a record is missing", 17_101, []schema.Marker{whole, with(read(0, 10, 13, 17_100, 17_100), func(m *schema.Marker) { m.Missing = 2 })},
		false, 17_050, 17_100, "records missing: 2")
	f("offsets could not be decoded", 17_101, []schema.Marker{whole, with(read(0, 10, 13, 17_100, 17_100), func(m *schema.Marker) { m.Unreadable, m.Why = 3, []string{"bad_crc"} })},
		false, 17_050, 17_100, "offsets whose records could not be decoded: 3")
	f("an item was rejected", 17_101, []schema.Marker{with(whole, func(m *schema.Marker) { m.Rejected = 1 })},
		false, 17_050, 17_100, "items rejected, and whose they were is not known: 1")
	f("a batch is mixed", 17_101, []schema.Marker{with(whole, func(m *schema.Marker) { m.Mixed = true })},
		false, 17_050, 17_100, "a batch was begun under another mapping, key or version")
	f("coverage begins after the grant", 17_101, []schema.Marker{read(0, 0, 10, 17_060, 17_100)},
		true, 17_060, 17_100, "coverage begins 2016-09-16, the grant began 2016-09-06")
	f("one partition was not read from its first record", 17_101, []schema.Marker{whole, read(1, 5, 10, 17_070, 17_080)},
		true, 17_070, 17_100, "coverage begins 2016-09-26, the grant began 2016-09-06")
	f("one partition was empty from its first record on", 17_101, []schema.Marker{whole, read(1, 0, 0, 0, 0)}, true, 17_050, 17_100)
	f("nothing was judged", 0, []schema.Marker{whole}, false, 17_050, 0, "nothing was judged yet")
	f("nothing was counted", 17_101, nil, false, 0, 0, "nothing was counted")
	f("all was read before the grant began", 17_101, []schema.Marker{read(0, 0, 10, 17_000, 17_040)},
		false, 17_050, 17_040, "nothing was counted since the grant began")
}

func TestTheLedgerShowsFirstWhatWasNeverGrantedAndTakesAnyName(t *testing.T) {
	s := open(t)
	const partner = "it's"
	r := withGrants("p", registry.Grant{Capability: "c", Actions: []schema.Action{schema.Write, schema.Read}, From: 17_000})
	if _, err := s.SaveRegistry(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	rows := &schema.UsageRows{}
	for _, stranger := range strangers {
		if stranger == partner {
			continue
		}
		add(rows, schema.Daily, 17_000*86400, schema.UsageKey{Partner: stranger, Capability: stranger, Action: schema.Read}, schema.Counters{Accesses: 1}, state(1))
		add(rows, schema.Daily, 17_000*86400, schema.UsageKey{Partner: stranger, Capability: "tried", Action: schema.Delete}, schema.Counters{Attempts: 1})
	}
	insertMarkers(t, s, rows, read(0, 0, 10, 17_000, 17_000))
	all, err := s.Ledger(t.Context(), LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if last := i >= len(all)-2; last != (r.Partner == partner) {
			t.Errorf("row %d is of %q: what was never granted should come first", i, r.Partner)
		}
		if r.NeverGranted != (r.Accesses > 0) {
			t.Errorf("%q %s: never granted is %v after %d accesses", r.Partner, r.Capability, r.NeverGranted, r.Accesses)
		}
	}
	if n := len(all); n < 4 || all[n-2].Action != "read" || all[n-1].Action != "write" {
		t.Errorf("the actions of a capability are not in their order: %+v", all)
	}
	ungranted, err := s.Ledger(t.Context(), LedgerQuery{Ungranted: true})
	if err != nil || len(ungranted) != len(all)-2 {
		t.Errorf("%d scopes were never granted (%v), want %d", len(ungranted), err, len(all)-2)
	}
	for _, stranger := range strangers {
		if stranger == partner || stranger == "" {
			continue
		}
		one, err := s.Ledger(t.Context(), LedgerQuery{Partner: stranger})
		if err != nil || len(one) != 2 || one[0].Partner != stranger || one[0].Capability != stranger {
			t.Errorf("of %q there are %+v, %v", stranger, one, err)
		}
		var b strings.Builder
		if err := s.LedgerJSON(t.Context(), LedgerQuery{Partner: stranger}, &b); err != nil || strings.Count(b.String(), "\n") != 2 {
			t.Errorf("of %q the JSON is %q, %v", stranger, b.String(), err)
		}
	}
}

func TestWhatWasReadIsKeptByMonth(t *testing.T) {
	s := open(t)
	if at, err := s.Watermark(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("before anything was judged the watermark is %v, %v", at, err)
	}
	first, second := read(0, 5, 10, 17_000, 17_001), read(0, 10, 30, 16_000, 17_003)
	first.Pinned, second.Pinned = schema.DayOf(time.Now()).Month()-1, schema.DayOf(time.Now()).Month()
	third := read(0, 30, 31, 0, 0)
	third.Pinned, third.Missing, third.Rejected, third.Filtered, third.Mixed = second.Pinned+1, 4, 5, 6, true
	insertMarkers(t, s, &schema.UsageRows{}, first, second, third)
	judgedTo(t, s, 17_002)
	want := []schema.Marker{first, second}
	want[1].To, want[1].Pinned, want[1].Records, want[1].Events = 31, third.Pinned, 21, 21
	want[1].Missing, want[1].Rejected, want[1].Filtered, want[1].Mixed = 4, 5, 6, true
	beforeAndAfterAMerge(t, s, func(when string) {
		got, err := s.MonthMarkers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s a merge (-want +got):\n%s", when, diff)
		}
	})
	if at, err := s.Watermark(t.Context()); err != nil || at.Unix() != schema.Day(17_002).Second() {
		t.Errorf("the watermark is %v, %v", at, err)
	}
}

func TestTheLatestRegistryIsReadBackAsItWasLoaded(t *testing.T) {
	s := open(t)
	v, err := s.LatestRegistry(t.Context())
	if err != nil || v.Ordinal != 0 || len(v.Partners) != 0 {
		t.Errorf("before one was loaded it is %+v, %v", v, err)
	}
	for i, text := range []string{"capabilities: {c: {}}\npartners: {}\n", "capabilities: {c: {sunset: 2018-01-01}}\npartners: {\"it's \\u001b[2J\": {owner: o, agreement: {start: 2017-01-01}, grants: [{capability: c, actions: [read], from: 2017-01-01}]}}\n"} {
		r, err := registry.Parse("registry.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveRegistry(t.Context(), r, r.Canonical()); err != nil {
			t.Fatal(err)
		}
		v, err := s.LatestRegistry(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(r, v.Registry); diff != "" || v.Ordinal != uint32(i+1) || time.Since(v.Loaded) > time.Hour {
			t.Errorf("version %d of %s (-want +got):\n%s", v.Ordinal, v.Loaded, diff)
		}
	}
}
