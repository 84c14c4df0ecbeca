package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

// naiveSeries adds up what the rows say with maps of people.
func naiveSeries(rows []row, q schema.SeriesQuery) []schema.Series {
	type cell struct {
		accesses, bytes uint64
		people          map[uint64]bool
	}
	cells := map[schema.UsageKey]map[int64]*cell{}
	for _, r := range rows {
		if r.res != q.Resolution || r.bucket < q.From || r.bucket >= q.To || !slices.Contains(q.Partners, r.usageKey.Partner) || r.c.Accesses == 0 {
			continue
		}
		if (q.ByCapability || q.ByUsageKey) && !slices.Contains(q.Capabilities, r.usageKey.Capability) {
			continue
		}
		key := schema.UsageKey{Partner: r.usageKey.Partner}
		if q.ByCapability {
			key.Capability = r.usageKey.Capability
		}
		if q.ByUsageKey {
			key = r.usageKey
		}
		if cells[key] == nil {
			cells[key] = map[int64]*cell{}
		}
		c := cells[key][r.bucket]
		if c == nil {
			c = &cell{people: map[uint64]bool{}}
			cells[key][r.bucket] = c
		}
		c.accesses += r.c.Accesses
		c.bytes += r.c.Bytes
		for _, p := range r.people[0] {
			c.people[p] = true
		}
	}
	var all []schema.Series
	for key, buckets := range cells {
		one := schema.Series{UsageKey: key}
		for b := q.From; b < q.To; b += q.Resolution.Seconds() {
			if c := buckets[b]; c != nil {
				one.Bucket, one.Accesses = append(one.Bucket, b), append(one.Accesses, c.accesses)
				one.People, one.Bytes = append(one.People, min(uint64(len(c.people)), c.accesses)), append(one.Bytes, c.bytes)
			}
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b schema.Series) int {
		return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.App, b.App), cmp.Compare(a.Action, b.Action))
	})
	return all
}

func TestSeriesAddUpWhatEachKeyDidInEachBucket(t *testing.T) {
	s := open(t)
	rows := randomRows(rand.New(rand.NewPCG(5, 6)), 500)
	insertRows(t, s, rows)
	first := int64(1_500_000_000 / 86400 * 86400)
	for _, q := range []schema.SeriesQuery{
		{Resolution: schema.Hourly, From: first, To: first + 4*3600},
		{Resolution: schema.Hourly, From: first + 3600, To: first + 3*3600, ByCapability: true},
		{Resolution: schema.Hourly, From: first, To: first + 4*3600, ByUsageKey: true},
		{Resolution: schema.Daily, From: first, To: first + 3*86400, ByUsageKey: true},
	} {
		q.Partners, q.Capabilities = strangers[:4], strangers[:2] // of three
		got, err := s.Series(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		want := naiveSeries(rows, q)
		if len(want) == 0 {
			t.Fatal("nothing to compare")
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: want -, got +:\n%s", q, diff)
		}
		q.Limit = 1
		if got, err = s.Series(t.Context(), q); err != nil || len(got) != 1 {
			t.Errorf("%d series, %v, want one", len(got), err)
		}
	}
}

func TestPeaksAreTheGreatestBucketOfEachDay(t *testing.T) {
	s := open(t)
	rows := randomRows(rand.New(rand.NewPCG(5, 8)), 500)
	insertRows(t, s, rows)
	first := int64(1_500_000_000 / 86400 * 86400)
	q := schema.SeriesQuery{Resolution: schema.Hourly, From: first, To: first + 3*86400, Partners: strangers[:4], Capabilities: strangers[1:3]}
	type key struct {
		partner, capability string
		day                 schema.Day
	}
	want := map[key]schema.Peak{}
	for _, apart := range []bool{false, true} {
		q.ByCapability = apart
		for _, one := range naiveSeries(rows, q) {
			for i, bucket := range one.Bucket {
				k := key{one.Partner, one.Capability, schema.DayOfSecond(bucket)}
				p := want[k]
				want[k] = schema.Peak{Partner: k.partner, Capability: k.capability, Day: k.day, Accesses: max(p.Accesses, one.Accesses[i]), Bytes: max(p.Bytes, one.Bytes[i])}
			}
		}
	}
	got, err := s.Peaks(t.Context(), q)
	if err != nil || len(got) != len(want) || len(got) < 10 {
		t.Fatalf("%d peaks, %v, want %d", len(got), err, len(want))
	}
	for _, p := range got {
		if p != want[key{p.Partner, p.Capability, p.Day}] {
			t.Errorf("got %+v, want %+v", p, want[key{p.Partner, p.Capability, p.Day}])
		}
	}
}

func TestALaterScoreReplacesAnEarlierOneOfTheSameBucket(t *testing.T) {
	s := open(t)
	score := schema.Score{
		Detector: "surge", UsageKey: schema.UsageKey{Partner: "it's", App: "a", Capability: "c", Action: schema.Write}, Metric: "people",
		Bucket: 1_500_000_000 / 3600 * 3600, Step: schema.Hourly, Observed: 10, Expected: 2, Low: 1, High: 5, Chance: 1e-9, Score: 0.0001, Threshold: 0.01, Maturity: "mature",
	}
	total := score
	total.App, total.Action, total.Capability = "", 0, ""
	later := score
	later.Observed = 11
	for i, some := range [][]schema.Score{{score, total}, {later}, {score}} {
		offsets := []uint64{5, 7, 6}[i]
		if err := s.WriteScores(t.Context(), some, schema.Version{Offsets: offsets}); err != nil {
			t.Fatal(err)
		}
	}
	got := value[string](t, s, `SELECT toString(groupArray((detector, partner, capability, app, action, metric, toUnixTimestamp(bucket), resolution, observed, expected,
		low, high, chance, score, threshold, maturity, offsets, scored = today()))) FROM (SELECT * FROM scores FINAL ORDER BY app)`)
	want := fmt.Sprintf("[('surge','it\\'s','','','','people',%d,'hour',10,2,1,5,1e-9,0.0001,0.01,'mature',5,1),"+
		"('surge','it\\'s','c','a','write','people',%d,'hour',11,2,1,5,1e-9,0.0001,0.01,'mature',7,1)]", score.Bucket, score.Bucket)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSeriesFoldTheAppsThatAreTooMany(t *testing.T) {
	s := open(t)
	rows := randomRows(rand.New(rand.NewPCG(5, 7)), 300)
	insertRows(t, s, rows)
	first := int64(1_500_000_000 / 86400 * 86400)
	q := schema.SeriesQuery{Resolution: schema.Hourly, From: first, To: first + 4*3600, Partners: strangers[:4], ByUsageKey: true, MaxApps: 1, Capabilities: strangers[:3]}
	got, err := s.Series(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	apps, accesses := map[string]map[string]bool{}, uint64(0)
	for _, one := range got {
		if apps[one.Partner] == nil {
			apps[one.Partner] = map[string]bool{}
		}
		apps[one.Partner][one.App] = true
		for _, n := range one.Accesses {
			accesses += n
		}
	}
	folded := 0
	for partner, of := range apps {
		if len(of) > 2 || len(of) == 2 && !of[schema.OtherApps] {
			t.Errorf("%q has the apps %v, want one and what the others did", partner, of)
		}
		if of[schema.OtherApps] {
			folded++
		}
	}
	if folded == 0 {
		t.Error("nothing was folded")
	}
	q.ByUsageKey = false
	var want uint64
	for _, one := range naiveSeries(rows, q) {
		for _, n := range one.Accesses {
			want += n
		}
	}
	if accesses != want {
		t.Errorf("%d accesses, want %d: folding loses nothing", accesses, want)
	}
}
