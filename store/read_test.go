package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

// row is one usage row as the oracle keeps it: with the people themselves.
type row struct {
	res      schema.Resolution
	bucket   int64
	usageKey schema.UsageKey
	c        schema.Counters
	people   [3][]uint64
}

// randomRows are rows of a few usage keys and buckets, so that many fall together.
func randomRows(rnd *rand.Rand, n int) []row {
	var all []row
	for range n {
		r := row{res: schema.Resolution(1 + rnd.IntN(3))}
		r.bucket = 1_500_000_000/86400*86400 + int64(rnd.IntN(4))*r.res.Seconds()
		r.usageKey = schema.UsageKey{Partner: strangers[rnd.IntN(6)], App: strangers[rnd.IntN(3)], Capability: strangers[rnd.IntN(3)], Action: schema.Actions[rnd.IntN(3)]}
		at := r.bucket*1000 + rnd.Int64N(60_000)
		if rnd.IntN(3) > 0 {
			r.c.Accesses, r.c.Records, r.c.Bytes = 1+rnd.Uint64N(5), rnd.Uint64N(9), rnd.Uint64N(1<<40)
			r.c.FirstAccess, r.c.LastAccess = at, at+rnd.Int64N(1000)
			for i := range r.people {
				for range rnd.IntN(12) {
					r.people[i] = append(r.people[i], rnd.Uint64N(100))
				}
			}
		}
		if rnd.IntN(3) == 0 || r.c.Accesses == 0 {
			r.c.Attempts, r.c.FirstAttempt, r.c.LastAttempt = 1+rnd.Uint64N(5), at, at+rnd.Int64N(1000)
		}
		all = append(all, r)
	}
	return all
}

// insertRows inserts rows as batches of two incarnations, each batch with a usage key and
// bucket once.
func insertRows(t *testing.T, s counter, rows []row) {
	t.Helper()
	for i := 0; i < len(rows); i += 50 {
		r := batch(int64(i), int64(i)+50)
		r.Incarnation = []string{"k/a@0", "k/b@0"}[i/50%2]
		usage := &schema.UsageRows{}
		for _, row := range rows[i:min(i+50, len(rows))] {
			states := make([][]byte, 3)
			for k, p := range row.people {
				states[k] = state(slices.Clone(p)...)
			}
			add(usage, row.res, row.bucket, row.usageKey, row.c, states...)
		}
		if err := s.InsertUsage(t.Context(), schema.Marker{Range: r}, usage); err != nil {
			t.Fatal(err)
		}
	}
}

// naiveUsage answers a query from the rows themselves; people are sorted hashes.
func naiveUsage(rows []row, q schema.UsageQuery) (cells []schema.UsageCell, people [][3][]uint64) {
	type key struct {
		usageKey schema.UsageKey
		bucket   int64
	}
	found := map[key]*row{}
	for _, r := range rows {
		if r.res != q.Resolution || r.bucket < q.From || r.bucket >= q.To ||
			q.Buckets != nil && !slices.Contains(q.Buckets, r.bucket) ||
			q.Partners != nil && !slices.Contains(q.Partners, r.usageKey.Partner) ||
			q.Slots != nil && !slices.Contains(q.Slots, schema.Slot(r.usageKey.Partner)) ||
			q.Capability != "" && q.Capability != r.usageKey.Capability ||
			q.Actions != nil && !slices.Contains(q.Actions, r.usageKey.Action) {
			continue
		}
		k := key{schema.UsageKey{Partner: r.usageKey.Partner}, 0}
		if q.ByApp {
			k.usageKey.App = r.usageKey.App
		}
		if q.ByCapability {
			k.usageKey.Capability = r.usageKey.Capability
		}
		if q.ByAction {
			k.usageKey.Action = r.usageKey.Action
		}
		if q.ByBucket {
			k.bucket = r.bucket
		}
		if found[k] == nil {
			found[k] = &row{}
		}
		found[k].c.Add(&r.c)
		for i := range r.people {
			found[k].people[i] = append(found[k].people[i], r.people[i]...)
		}
	}
	var keys []key
	for k := range found {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.usageKey.Partner, b.usageKey.Partner), cmp.Compare(a.usageKey.Capability, b.usageKey.Capability),
			cmp.Compare(a.usageKey.App, b.usageKey.App), cmp.Compare(a.usageKey.Action, b.usageKey.Action), cmp.Compare(a.bucket, b.bucket))
	})
	for _, k := range keys {
		cells = append(cells, schema.UsageCell{UsageKey: k.usageKey, Bucket: k.bucket, Counters: found[k].c})
		var hashed3 [3][]uint64
		for i, asked := range []bool{q.Subjects, q.Actors, q.Bystanders} {
			for _, p := range found[k].people[i] {
				hashed3[i] = append(hashed3[i], hashed(p))
			}
			slices.Sort(hashed3[i])
			if hashed3[i] = slices.Compact(hashed3[i]); !asked {
				hashed3[i] = nil
			}
		}
		people = append(people, hashed3)
	}
	return cells, people
}

func TestUsageReadsWhatANaiveCountGives(t *testing.T) {
	s := open(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	rows := randomRows(rnd, 600)
	insertRows(t, s, rows)
	maybe := func() bool { return rnd.IntN(2) == 0 }
	nonEmpty := 0
	for i := range 120 {
		if i == 60 {
			execute(t, s, "OPTIMIZE TABLE usage FINAL")
		}
		q := schema.UsageQuery{Resolution: schema.Resolution(1 + rnd.IntN(3)), To: 1 << 31,
			ByApp: maybe(), ByCapability: maybe(), ByAction: maybe(), ByBucket: maybe(),
			Subjects: maybe(), Actors: maybe(), Bystanders: maybe()}
		if maybe() {
			q.From = 1_500_000_000/86400*86400 + q.Resolution.Seconds()
			q.To = q.From + int64(rnd.IntN(3))*q.Resolution.Seconds()
		}
		if rnd.IntN(3) == 0 {
			for range rnd.IntN(3) {
				q.Buckets = append(q.Buckets, q.From+int64(rnd.IntN(3))*q.Resolution.Seconds())
			}
		}
		if maybe() {
			q.Partners = slices.Clone(strangers[rnd.IntN(3):][:rnd.IntN(4)]) // at times none, which is not nil
		}
		if rnd.IntN(3) == 0 {
			q.Slots = []uint8{schema.Slot(strangers[0]), schema.Slot(strangers[2]), 200}
		}
		if rnd.IntN(3) == 0 {
			q.Capability = strangers[rnd.IntN(3)]
		}
		if rnd.IntN(3) == 0 {
			q.Actions = []schema.Action{schema.Read, schema.Delete}
		}
		want, wantPeople := naiveUsage(rows, q)
		got, err := s.Usage(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var people [][3][]uint64
		for k := range got {
			var p [3][]uint64
			for j, st := range [][]byte{got[k].Subjects, got[k].Actors, got[k].Bystanders} {
				if st != nil {
					p[j] = hashes(t, st)
				}
			}
			people = append(people, p)
			got[k].Subjects, got[k].Actors, got[k].Bystanders = nil, nil, nil
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v: cells (-want +got):\n%s", q, diff)
		}
		if diff := gocmp.Diff(wantPeople, people); diff != "" {
			t.Fatalf("%+v: people (-want +got):\n%s", q, diff)
		}
		if len(want) > 0 {
			nonEmpty++
		}
	}
	if nonEmpty < 50 {
		t.Errorf("only %d of 120 queries found anything", nonEmpty)
	}
}

func TestManyPartnersCanBeAskedFor(t *testing.T) {
	s := open(t)
	insertRows(t, s, randomRows(rand.New(rand.NewPCG(3, 4)), 50))
	partners := make([]string, 100_000)
	for i := range partners {
		partners[i] = fmt.Sprintf("partner number %d with a long name", i)
	}
	got, err := s.Usage(t.Context(), schema.UsageQuery{Resolution: schema.Daily, To: 1 << 31, Partners: append(partners, strangers...)})
	if err != nil || len(got) == 0 {
		t.Errorf("%d cells, %v", len(got), err)
	}
}

func TestUnregisteredPartnersAreChosenAlikeByAll(t *testing.T) {
	s := open(t)
	rows := &schema.UsageRows{}
	for _, name := range strangers {
		add(rows, schema.Daily, 86400, schema.UsageKey{Partner: name, Capability: "c", Action: schema.Read}, schema.Counters{Attempts: 1})
	}
	add(rows, schema.Minute, 60, schema.UsageKey{Partner: "by minute alone"}, schema.Counters{Accesses: 1})
	if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(0, 1)}, rows); err != nil {
		t.Fatal(err)
	}
	hash := map[string]uint64{}
	for _, name := range strangers {
		hash[name] = value[uint64](t, s, "SELECT sipHash64("+quote(name)+")")
	}
	f := func(registered []string, limit int) {
		t.Helper()
		var want []string
		for _, name := range strangers {
			if !slices.Contains(registered, name) {
				want = append(want, name)
			}
		}
		slices.SortFunc(want, func(a, b string) int { return cmp.Compare(hash[a], hash[b]) })
		wantOthers := uint64(max(len(want)-limit, 0))
		want = want[:min(limit, len(want))]
		got, others, err := s.Unregistered(t.Context(), registered, limit)
		if err != nil || !slices.Equal(got, want) || others != wantOthers {
			t.Errorf("registered %q, limit %d: %q and %d others, %v; want %q and %d", registered, limit, got, others, err, want, wantOthers)
		}
	}
	f(nil, 100)
	f(nil, 3)
	f(nil, 0)
	f(strangers[:4], 5)
	f(strangers, 5)
}

func TestMissingRecordsLieBetweenTheBatchesAroundThem(t *testing.T) {
	s := open(t)
	at := func(hour int) time.Time { return time.Date(2018, 12, 18, hour, 0, 0, 0, time.UTC) }
	ms := func(hour int) int64 { return at(hour).UnixMilli() }
	old := batch(0, 10) // its marker has expired, the month's has not
	old.Pinned = pinned - 100
	lost := batch(30, 40)
	other := batch(0, 10)
	other.Partition.Partition = 1
	for _, m := range []schema.Marker{
		{Range: old, Missing: 1000, FirstEvent: ms(1), LastEvent: ms(2)},
		{Range: batch(10, 20), FirstEvent: ms(4), LastEvent: ms(5)},
		{Range: batch(20, 30), Missing: 100, FirstEvent: ms(7), LastEvent: ms(8)},
		{Range: lost, Missing: 10}, // nothing was left of it
		{Range: batch(40, 50), FirstEvent: ms(12), LastEvent: ms(13)},
		{Range: other, FirstEvent: ms(0), LastEvent: ms(23)},
	} {
		if err := s.InsertUsage(t.Context(), m, &schema.UsageRows{}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(from, to int, want uint64) {
		t.Helper()
		gaps, err := s.Gaps(t.Context())
		var got uint64
		for _, g := range gaps {
			if g.Touches(ms(from), ms(to), 0) {
				got += g.Missing
			}
		}
		if err != nil || got != want {
			t.Errorf("hours %d to %d: %d missing, %v; want %d", from, to, got, err, want)
		}
	}
	for range 2 {
		f(0, 24, 1110)
		f(0, 1, 0)
		f(1, 2, 1000)
		f(3, 5, 0)
		f(5, 7, 100) // between the batch before and its own events
		f(6, 7, 100)
		f(10, 11, 110) // and up to the next events
		f(14, 20, 0)
		execute(t, s, "OPTIMIZE TABLE usage FINAL")
	}
}

func TestWhatCouldNotBeDecodedIsAGapThatSaysWhy(t *testing.T) {
	s := open(t)
	old := batch(0, 10) // its marker has expired, the month's has not
	old.Pinned = pinned - 100
	for _, m := range []schema.Marker{
		{Range: old, Unreadable: 7, Why: []string{"bad_crc"}, FirstEvent: 1000, LastEvent: 2000},
		{Range: batch(10, 20), FirstEvent: 4000, LastEvent: 5000},
		{Range: batch(20, 30), Unreadable: 10, Why: []string{"bad_crc", "old_format"}},
		{Range: batch(30, 40), Missing: 2, Unreadable: 3, Why: []string{"bad_batch"}, FirstEvent: 6000, LastEvent: 9000},
	} {
		if err := s.InsertUsage(t.Context(), m, &schema.UsageRows{}); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, s, "OPTIMIZE TABLE usage FINAL")
	month := old
	month.From, month.To, month.Pinned = 0, 0, old.Pinned.Month()
	want := []schema.Gap{
		{Range: month, Missing: 7, Why: "bad_crc", First: 1000, Last: 2000, Merged: true},
		{Range: batch(20, 30), Missing: 10, Why: "bad_crc, old_format", First: 5000, Last: 6000},
		{Range: batch(30, 40), Missing: 2, First: 5000}, // no event came after it
		{Range: batch(30, 40), Missing: 3, Why: "bad_batch", First: 5000},
	}
	got, err := s.Gaps(t.Context())
	if diff := gocmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestASkipIsOfOneOffsetOfOnePartition(t *testing.T) {
	s := open(t)
	p := batch(0, 1).Partition
	k := Skip{Partition: p, Offset: 1000, To: 1100, Why: "bad_crc", Reason: "disk's lost", Who: "ann", At: time.UnixMilli(1_545_000_000_000).UTC()}
	for range 2 {
		if err := s.SaveSkip(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	other := p
	other.Partition++
	for _, c := range []struct {
		p      schema.Partition
		offset int64
		want   bool
	}{{p, 1000, true}, {p, 1001, false}, {p, 999, false}, {other, 1000, false}, {schema.Partition{Incarnation: p.Incarnation + "2", Partition: p.Partition}, 1000, false}} {
		if is, err := s.Skips(t.Context(), c.p, c.offset); err != nil || is != c.want {
			t.Errorf("%v at %d: %t, %v", c.p, c.offset, is, err)
		}
	}
	if n := value[uint64](t, s, "SELECT count() FROM skips"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestAReadThatItsCallerEndedReturns(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	before := time.Now()
	if _, err := s.conn.Query(ctx, "SELECT sleep(3) FROM numbers(1)"); err == nil {
		t.Error("a query longer than its deadline gave rows")
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestAppsPastTheMostUsedAndPartnersThatAreNotNamedAreAddedUp(t *testing.T) {
	s := open(t)
	rows := &schema.UsageRows{}
	day := int64(17883 * 86400)
	for i, app := range []string{"a", "b", "c", "d"} {
		usageKey := schema.UsageKey{Partner: "p", App: app, Capability: "c", Action: schema.Read}
		add(rows, schema.Daily, day, usageKey, schema.Counters{Accesses: uint64(10 - i)}, schema.EmptyState)
	}
	for _, partner := range []string{"q", "r"} {
		usageKey := schema.UsageKey{Partner: partner, Capability: "c", Action: schema.Read}
		add(rows, schema.Daily, day, usageKey, schema.Counters{Accesses: 100}, schema.EmptyState)
	}
	if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(0, 6)}, rows); err != nil {
		t.Fatal(err)
	}
	query := schema.UsageQuery{Resolution: schema.Daily, From: day, To: day + 86400}

	byApp := query
	byApp.Partners, byApp.ByApp, byApp.MaxApps = []string{"p"}, true, 2
	cells, err := s.Usage(t.Context(), byApp)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, c := range cells {
		got[c.App] = c.Accesses
	}
	if want := map[string]uint64{"a": 10, "b": 9, schema.OtherApps: 15}; !maps.Equal(got, want) {
		t.Errorf("two apps apart and the others together are %v, want %v", got, want)
	}

	rest := query
	rest.NotPartners = []string{"p"}
	cells, err = s.Usage(t.Context(), rest)
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) != 1 || cells[0].Partner != "" || cells[0].Accesses != 200 {
		t.Errorf("all partners but one are %+v, want one cell of 200 accesses", cells)
	}
	rest.NotPartners = []string{}
	if cells, err = s.Usage(t.Context(), rest); err != nil || len(cells) != 1 || cells[0].Accesses != 234 {
		t.Errorf("all partners are %+v, %v, want one cell of 234 accesses", cells, err)
	}

	// Those who count as one have no more apps apart than one, however many they are.
	rest.ByApp, rest.MaxApps = true, 1
	if cells, err = s.Usage(t.Context(), rest); err != nil || len(cells) != 2 || cells[0].App != "" || cells[0].Accesses != 200 || cells[1].App != schema.OtherApps || cells[1].Accesses != 34 {
		t.Errorf("all partners by app are %+v, %v, want two cells", cells, err)
	}
}
