package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
)

// accessRows are n events of strangers.
func accessRows(n int) *schema.AccessRows {
	rows := &schema.AccessRows{}
	for i := range n {
		name := strangers[i%len(strangers)]
		rows.Offset = append(rows.Offset, int64(i))
		rows.Item = append(rows.Item, uint32(i%3))
		rows.Time = append(rows.Time, 1_500_000_000_123+int64(i))
		rows.Partner = append(rows.Partner, name)
		rows.App = append(rows.App, "app "+name)
		rows.Capability = append(rows.Capability, name)
		rows.Action = append(rows.Action, schema.Actions[i%3])
		rows.Subject = append(rows.Subject, ^uint64(0)-uint64(i))
		rows.Actor = append(rows.Actor, uint64(i))
		rows.ID = append(rows.ID, name)
		rows.APIVersion = append(rows.APIVersion, "v1")
		rows.Grant = append(rows.Grant, name)
		rows.Status = append(rows.Status, int32(200+i))
		rows.Records = append(rows.Records, int64(i))
		rows.Bytes = append(rows.Bytes, 1<<62)
	}
	return rows
}

func TestRawRowsComeBackAsTheyWereWritten(t *testing.T) {
	s := open(t)
	want := accessRows(40)
	if err := s.InsertAccess(t.Context(), batch(0, 40), want); err != nil {
		t.Fatal(err)
	}
	rows, err := s.conn.Query(t.Context(), `SELECT offset, item, toUnixTimestamp64Milli(time), partner, app, capability,
		CAST(action AS Int8), subject, actor, id, api_version, grant, status, records, bytes, incarnation, partition, pinned FROM access_events ORDER BY offset`)
	if err != nil {
		t.Fatal(err)
	}
	got := &schema.AccessRows{}
	err = scan(rows, func() error {
		var (
			offset, at, records, bytes                      int64
			item                                            uint32
			partner, app, capability, id, api, grant, strem string
			action                                          int8
			subject, actor                                  uint64
			status, partition                               int32
			day                                             time.Time
		)
		if err := rows.Scan(&offset, &item, &at, &partner, &app, &capability, &action, &subject, &actor, &id, &api, &grant,
			&status, &records, &bytes, &strem, &partition, &day); err != nil {
			return err
		}
		if strem != "k/t@0" || partition != 0 || schema.DayOf(day) != pinned {
			t.Errorf("row of %s/%d pinned on %s", strem, partition, day)
		}
		got.Offset, got.Item, got.Time = append(got.Offset, offset), append(got.Item, item), append(got.Time, at)
		got.Partner, got.App, got.Capability = append(got.Partner, partner), append(got.App, app), append(got.Capability, capability)
		got.Action, got.Subject, got.Actor = append(got.Action, schema.Action(action)), append(got.Subject, subject), append(got.Actor, actor)
		got.ID, got.APIVersion, got.Grant = append(got.ID, id), append(got.APIVersion, api), append(got.Grant, grant)
		got.Status, got.Records, got.Bytes = append(got.Status, status), append(got.Records, records), append(got.Bytes, bytes)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestMarkersComeBackAsTheyWereWritten(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	other := batch(100, 105)
	other.Incarnation, other.Partition.Partition = "it's a\\incarnation@1", 7
	last := batch(21, 30)
	last.Pinned++ // tomorrow: perhaps another month
	want := []schema.Marker{
		{Range: other, Records: 5, Events: 5, FirstEvent: 1, LastEvent: 1, Minutes: []uint32{0}},
		{Range: batch(10, 20), Records: 9, Missing: 1, Events: 8, Rejected: 1, Filtered: 2, FirstEvent: 1_500_000_000_123, LastEvent: 1_500_000_100_000, Minutes: []uint32{25_000_000, 25_000_001, 25_000_900}},
		{Range: batch(20, 21), Records: 1, Rejected: 1, Mixed: true, Minutes: []uint32{}},
		{Range: last, Records: 9, Events: 9, FirstEvent: 1_400_000_000_000, LastEvent: 1_400_000_000_001, Minutes: []uint32{23_333_333}},
	}
	for _, m := range want {
		if err := s.InsertUsage(ctx, m, &schema.UsageRows{}); err != nil {
			t.Fatal(err)
		}
	}
	markers := func(after map[schema.Partition]int64, limit int, want []schema.Marker) {
		t.Helper()
		got, err := s.Markers(ctx, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("markers after %v (-want +got):\n%s", after, diff)
		}
	}
	check := func() {
		t.Helper()
		markers(nil, 100, want)
		markers(nil, 1, want[:2])
		markers(map[schema.Partition]int64{other.Partition: 105, last.Partition: 20}, 100, want[2:])
		markers(map[schema.Partition]int64{other.Partition: 105, last.Partition: 30}, 100, nil)
		merged := schema.Marker{Range: schema.Range{Partition: last.Partition, From: 10, To: 30, Pinned: last.Pinned},
			Records: 19, Missing: 1, Events: 17, Rejected: 2, Filtered: 2, FirstEvent: 1_400_000_000_000, LastEvent: 1_500_000_100_000, Mixed: true}
		single := want[0]
		single.Minutes = nil
		got, err := s.Extents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]schema.Marker{single, merged}, got); diff != "" {
			t.Errorf("extents (-want +got):\n%s", diff)
		}
		for p, want := range map[schema.Partition]int64{other.Partition: 105, last.Partition: 30, {Incarnation: "none"}: 0} {
			to, ok, err := s.Counted(ctx, p)
			if err != nil || to != want || ok != (want > 0) {
				t.Errorf("%v is counted up to %d, %v, %v; want %d", p, to, ok, err, want)
			}
		}
	}
	check()
	execute(t, s, "OPTIMIZE TABLE usage FINAL")
	check()
}

// totals reads what a second count would change.
func totals(t *testing.T, s *Store) string {
	return value[string](t, s, `SELECT concat(
		(SELECT toString((sum(accesses), sum(attempts), sum(records_read), uniqCombined64Merge(14)(subjects), max(to_offset))) FROM usage), ' ',
		(SELECT toString(count()) FROM access_events), ' ', (SELECT toString(count()) FROM rejects))`)
}

// insertAll flushes one batch as ingest does.
func insertAll(t *testing.T, s *Store, r schema.Range) error {
	t.Helper()
	n := int(r.To - r.From)
	rejects := &schema.RejectRows{Offset: []int64{r.From}, Item: []uint32{1}, Time: []int64{1_500_000_000_000}, Reason: []string{"no_time"},
		Detail: []string{"it's"}, Outline: []string{"a: string"}, Raw: []string{"\x00\xff"}, Size: []int64{2}}
	usage := &schema.UsageRows{}
	for i, name := range strangers {
		add(usage, schema.Daily, 1_500_000_000/86400*86400, schema.UsageKey{Partner: name, App: name, Capability: name, Action: schema.Read},
			schema.Counters{Accesses: uint64(n), FirstAccess: 1_500_000_000_000, LastAccess: 1_500_000_000_001}, state(uint64(i), uint64(r.From)))
	}
	if err := s.InsertAccess(t.Context(), r, accessRows(n)); err != nil {
		return err
	}
	if err := s.InsertRejects(t.Context(), r, rejects); err != nil {
		return err
	}
	return s.InsertUsage(t.Context(), schema.Marker{Range: r, Records: uint64(n), Events: uint64(n)}, usage)
}

func TestABatchCountsOnceHoweverOftenItIsInserted(t *testing.T) {
	s := open(t)
	odd := batch(0, 10)
	odd.Incarnation = `it's "a" \ incarnation, {x:String} ☃/тема@3`
	ranges := []schema.Range{batch(0, 10), odd, batch(10, 30)}
	for _, r := range ranges {
		if err := insertAll(t, s, r); err != nil {
			t.Fatal(err)
		}
	}
	want := totals(t, s)
	if !strings.HasSuffix(want, " 40 3") {
		t.Fatalf("after one insert of each batch: %s", want)
	}
	again := func(when string) {
		t.Helper()
		for _, r := range ranges {
			if err := insertAll(t, s, r); err != nil {
				t.Fatal(err)
			}
		}
		if got := totals(t, s); got != want {
			t.Errorf("inserted again %s: %s, want %s", when, got, want)
		}
	}
	again("at once")
	execute(t, s, "OPTIMIZE TABLE usage FINAL")
	again("after a merge")
	for i := range int64(20) {
		if err := insertAll(t, s, batch(100+i, 101+i)); err != nil {
			t.Fatal(err)
		}
	}
	want = totals(t, s)
	again("after twenty others")
	execute(t, s, "OPTIMIZE TABLE usage FINAL")
	again("after twenty others and a merge")
}

func TestABatchCountsOnceWhenTheEngineDiesInBetween(t *testing.T) {
	cfg := embedded.EngineConfig{Dir: t.TempDir()}
	e := embeddedtest.StartEngine(t, cfg)
	cfg.NativeAddr, cfg.HTTPAddr = e.NativeAddr(), e.HTTPAddr()
	s := connect(t, e.NativeAddr())
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 20
	seen := 0
	for i := range int64(n) {
		r := batch(i*10, i*10+10)
		if i%5 == 2 { // dies while batches come in
			done := make(chan error)
			go func() { done <- insertAll(t, s, r) }()
			time.Sleep(time.Duration(i) * time.Millisecond)
			e.Kill()
			err := <-done
			if err == nil {
				seen++
			} else if !Temporary(err) {
				t.Errorf("a dead engine is called permanent: %v", err)
			}
			e = embeddedtest.StartEngine(t, cfg)
		}
		for try := 0; ; try++ {
			err := insertAll(t, s, r)
			if err == nil {
				break
			}
			if try == 50 {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	t.Logf("%d of 4 inserts were over before the engine was killed", seen)
	if got := value[uint64](t, s, "SELECT count() FROM access_events"); got != n*10 {
		t.Errorf("%d raw rows, want %d", got, n*10)
	}
	if got := value[uint64](t, s, "SELECT sum(accesses) FROM usage"); got != n*10*uint64(len(strangers)) {
		t.Errorf("%d accesses, want %d", got, n*10*len(strangers))
	}
	if got := value[uint64](t, s, "SELECT sum(records_read) FROM usage WHERE kind = 'range'"); got != n*10 {
		t.Errorf("markers of %d records, want %d", got, n*10)
	}
}

func TestABatchIsOnePart(t *testing.T) {
	s := open(t)
	const n = 300_000 // above the default sizes of blocks
	rows := &schema.UsageRows{}
	for i := range n {
		add(rows, schema.Minute, int64(i%1000)*60+1_000_000_020, schema.UsageKey{Partner: fmt.Sprint("p", i/1000), Capability: "c", Action: schema.Read}, schema.Counters{Accesses: 1})
	}
	before := time.Now()
	if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(0, n)}, rows); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f usage rows a second", n/time.Since(before).Seconds())
	if got := value[uint64](t, s, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'usage' AND active"); got != 1 {
		t.Errorf("%d parts, want 1", got)
	}
	if got := value[uint64](t, s, "SELECT count() FROM usage WHERE kind = 'usage'"); got != n {
		t.Errorf("%d rows, want %d", got, n)
	}
}

func TestATimeThatNoBucketHoldsIsRefused(t *testing.T) {
	s := &Store{}
	for _, second := range []int64{-60, 1 << 32} {
		rows := &schema.UsageRows{}
		add(rows, schema.Minute, second, schema.UsageKey{}, schema.Counters{Accesses: 1})
		if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(0, 1)}, rows); err == nil || Temporary(err) {
			t.Errorf("second %d: %v", second, err)
		}
	}
}

func TestRawRowsAreFoundByTheirRange(t *testing.T) {
	s := open(t)
	r := batch(10, 12)
	there := func(r schema.Range) bool {
		found, err := s.HasRaw(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if there(r) {
		t.Error("an empty table has the raw rows of a range")
	}
	rows := &schema.AccessRows{
		Offset: []int64{11}, Item: []uint32{0}, Time: []int64{1_545_000_000_000}, Partner: []string{"p"}, App: []string{""},
		Capability: []string{"c"}, Action: []schema.Action{schema.Read}, Subject: []uint64{1}, Actor: []uint64{0}, ID: []string{""},
		APIVersion: []string{""}, Grant: []string{""}, Status: []int32{0}, Records: []int64{0}, Bytes: []int64{0},
	}
	if err := s.InsertAccess(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	if !there(r) {
		t.Error("the raw rows of a range are not found")
	}
	if there(batch(12, 14)) || there(batch(8, 11)) {
		t.Error("raw rows are found for a range that has none")
	}
	other := r
	other.Pinned++
	if there(other) {
		t.Error("raw rows are found under another day of the pin")
	}
}

func TestRejectsAreFoundByTheirRange(t *testing.T) {
	s := open(t)
	r := batch(10, 12)
	there := func(r schema.Range) bool {
		found, err := s.HasRejects(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if there(r) {
		t.Error("an empty table has the rejects of a range")
	}
	rows := &schema.RejectRows{
		Offset: []int64{11}, Item: []uint32{0}, Time: []int64{1_545_000_000_000}, Reason: []string{"not_json"},
		Detail: []string{""}, Outline: []string{""}, Raw: []string{""}, Size: []int64{3},
	}
	if err := s.InsertRejects(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	if !there(r) {
		t.Error("the rejects of a range are not found")
	}
	if there(batch(12, 14)) || there(batch(8, 11)) {
		t.Error("rejects are found for a range that has none")
	}
}
