package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store/naive"
)

// TestClickHouseAnswersAsMapsDo holds every reading that counts against loops over
// maps, on which other packages' tests rest.
func TestClickHouseAnswersAsMapsDo(t *testing.T) {
	s, plain := open(t), naive.New()
	rnd := rand.New(rand.NewPCG(7, 7))
	rows := randomRows(rnd, 2000)
	insertRows(t, s, rows)
	insertRows(t, plain, rows)
	for i := range 40 {
		m := schema.Marker{Range: batch(int64(5000+i*10), int64(5010+i*10)), Records: uint64(rnd.IntN(10)), Rejected: uint64(rnd.IntN(2)), Filtered: uint64(rnd.IntN(2)), Mixed: rnd.IntN(9) == 0}
		m.Incarnation = []string{"k/a@0", "k/b@0"}[rnd.IntN(2)]
		m.Missing = uint64(max(0, rnd.IntN(5)-2))
		m.LastRecord = 1_500_000_000_000 + rnd.Int64N(1_000_000)
		if rnd.IntN(3) > 0 {
			m.FirstEvent = 1_500_000_000_000 + rnd.Int64N(1_000_000)
			m.LastEvent, m.Events = m.FirstEvent+rnd.Int64N(100_000), 3
			m.Minutes = []uint32{uint32(m.FirstEvent / 60_000)}
		}
		for _, into := range []counter{s, plain} {
			if err := into.InsertUsage(t.Context(), m, &schema.UsageRows{}); err != nil {
				t.Fatal(err)
			}
		}
	}

	alike(t, "extents", s.Extents, plain.Extents)
	alike(t, "gaps", s.Gaps, plain.Gaps)
	for _, after := range []map[schema.Partition]int64{nil, {{Incarnation: "k/a@0"}: 5100}, {{Incarnation: "k/a@0"}: 0, {Incarnation: "k/b@0"}: 1 << 40}} {
		for _, limit := range []int{3, 1000} {
			read := func(s reader) func(context.Context) ([]schema.Marker, error) {
				return func(ctx context.Context) ([]schema.Marker, error) { return s.Markers(ctx, after, limit) }
			}
			alike(t, fmt.Sprintf("markers after %v", after), read(s), read(plain))
		}
	}
	for _, limit := range []int{0, 2, 100} {
		read := func(s reader) func(context.Context) ([]string, error) {
			return func(ctx context.Context) ([]string, error) {
				names, others, err := s.Unregistered(ctx, strangers[:2], limit)
				return append(names, fmt.Sprint(others)), err
			}
		}
		alike(t, "strangers", read(s), read(plain))
	}
	for range 200 {
		q := randomUsageQuery(rnd)
		read := func(s reader) func(context.Context) ([]schema.UsageCell, error) {
			return func(ctx context.Context) ([]schema.UsageCell, error) {
				cells, err := s.Usage(ctx, q)
				for i := range cells {
					for _, state := range []*[]byte{&cells[i].Subjects, &cells[i].Actors, &cells[i].Bystanders} {
						if *state != nil { // its order depends on how it was merged
							*state = fmt.Append(nil, hashes(t, *state))
						}
					}
				}
				return cells, err
			}
		}
		alike(t, fmt.Sprintf("usage: %+v", q), read(s), read(plain))
	}
	for range 100 {
		q := schema.SeriesQuery{
			Resolution: schema.Resolution(1 + rnd.IntN(3)), From: 1_499_900_000, To: 1_500_400_000 - int64(rnd.IntN(3))*86_400, Partners: strangers[rnd.IntN(3):5],
			MaxApps: rnd.IntN(3), ByCapability: rnd.IntN(2) == 0, ByUsageKey: rnd.IntN(2) == 0, Capabilities: strangers[:1+rnd.IntN(3)], Limit: rnd.IntN(2) * 5,
		}
		alike(t, fmt.Sprintf("series: %+v", q), func(ctx context.Context) ([]schema.Series, error) { return s.Series(ctx, q) },
			func(ctx context.Context) ([]schema.Series, error) { return plain.Series(ctx, q) })
		alike(t, fmt.Sprintf("peaks: %+v", q), func(ctx context.Context) ([]schema.Peak, error) { return s.Peaks(ctx, q) },
			func(ctx context.Context) ([]schema.Peak, error) { return plain.Peaks(ctx, q) })
	}
}

// counter and reader are what ClickHouse and maps have in common.
type counter interface {
	InsertUsage(ctx context.Context, m schema.Marker, rows *schema.UsageRows) error
}

type reader interface {
	Markers(ctx context.Context, after map[schema.Partition]int64, limit int) ([]schema.Marker, error)
	Unregistered(ctx context.Context, registered []string, limit int) ([]string, uint64, error)
	Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error)
}

func alike[T any](t *testing.T, what string, clickhouse, maps func(context.Context) ([]T, error)) {
	t.Helper()
	got, err := clickhouse(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want, err := maps(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (- maps, + ClickHouse):\n%s", what, diff)
	}
}

func randomUsageQuery(rnd *rand.Rand) schema.UsageQuery {
	q := schema.UsageQuery{
		Resolution: schema.Resolution(1 + rnd.IntN(3)), From: 1_499_900_000, To: 1_500_400_000 - int64(rnd.IntN(3))*86_400,
		MaxApps: rnd.IntN(3), ByApp: rnd.IntN(2) == 0, ByCapability: rnd.IntN(2) == 0, ByAction: rnd.IntN(2) == 0, ByBucket: rnd.IntN(2) == 0,
		Subjects: rnd.IntN(2) == 0, Actors: rnd.IntN(2) == 0, Bystanders: rnd.IntN(2) == 0, Limit: rnd.IntN(2) * 7,
	}
	switch rnd.IntN(4) {
	case 0:
		q.Partners = strangers[rnd.IntN(3):5]
	case 1:
		q.NotPartners = strangers[rnd.IntN(3):4]
	case 2:
		q.Slots = []uint8{schema.Slot(strangers[0]), schema.Slot(strangers[3])}
	}
	switch rnd.IntN(4) {
	case 0:
		q.Capability = strangers[0]
	case 1:
		q.Capabilities = strangers[1:3]
	case 2:
		q.Actions = schema.Actions[:1+rnd.IntN(2)]
	}
	if rnd.IntN(4) == 0 {
		day := int64(1_500_000_000 / 86_400 * 86_400)
		q.Buckets = []int64{day, day + q.Resolution.Seconds()}
	}
	return q
}

func TestClickHouseKeepsFindingsAndPositionsAsMapsDo(t *testing.T) {
	s, plain := open(t), naive.New()
	rnd := rand.New(rand.NewPCG(8, 8))
	type keeper interface {
		WriteFindings(ctx context.Context, findings []schema.Finding, v schema.Version) error
		WriteChanges(ctx context.Context, changes []schema.FindingChange) error
		WriteJudged(ctx context.Context, positions []schema.Position) error
		Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error)
		LastReported(ctx context.Context, ids []string) (map[string]schema.FindingChange, error)
		Judged(ctx context.Context, slots []uint8) ([]schema.Position, error)
	}
	at := time.Date(2018, 12, 18, 9, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 150 {
		f := schema.Finding{
			FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: strangers[rnd.IntN(4)], Cause: "limit", Period: schema.Day(17_000 + rnd.IntN(3))},
			Severity:   schema.Warning, State: []schema.State{schema.Open, schema.Ended}[rnd.IntN(2)], Accesses: uint64(i),
			FirstCrossing: at, Peak: at, EvidenceFrom: at, EvidenceTo: at, FirstSeen: at, LastSeen: at,
		}
		ids = append(ids, f.ID())
		v := schema.Version{Offsets: uint64(rnd.IntN(6)), Registry: uint32(rnd.IntN(3)), Watermark: int64(rnd.IntN(3))}
		change := schema.FindingChange{Reported: at.Add(time.Duration(i) * time.Second), After: at.Add(-time.Duration(rnd.IntN(30)) * time.Second), Kind: schema.ChangeNew, Finding: f, Version: v}
		position := schema.Position{Slot: uint8(rnd.IntN(3)), Cadence: schema.Cadences[rnd.IntN(2)], Partition: schema.Partition{Incarnation: "k/a@0", Partition: int32(rnd.IntN(2))},
			To: int64(rnd.IntN(5)), Watermark: int64(rnd.IntN(3)), Registry: uint32(rnd.IntN(3))}
		for _, into := range []keeper{s, plain} {
			for _, err := range []error{into.WriteFindings(t.Context(), []schema.Finding{f}, v), into.WriteChanges(t.Context(), []schema.FindingChange{change}),
				into.WriteJudged(t.Context(), []schema.Position{position})} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, q := range []schema.FindingsQuery{{}, {OpenOnly: true}, {IDs: ids[:3]}, {Partners: strangers[1:3]}, {Slots: []uint8{schema.Slot(strangers[2])}, OpenOnly: true}} {
		read := func(from keeper) func(context.Context) ([]schema.VersionedFinding, error) {
			return func(ctx context.Context) ([]schema.VersionedFinding, error) { return from.Findings(ctx, q) }
		}
		alike(t, fmt.Sprintf("findings: %+v", q), read(s), read(plain))
	}
	told := func(from keeper) func(context.Context) ([]map[string]schema.FindingChange, error) {
		return func(ctx context.Context) ([]map[string]schema.FindingChange, error) {
			all, err := from.LastReported(ctx, ids[:100])
			return []map[string]schema.FindingChange{all}, err
		}
	}
	alike(t, "told", told(s), told(plain))
	judged := func(from keeper) func(context.Context) ([]schema.Position, error) {
		return func(ctx context.Context) ([]schema.Position, error) { return from.Judged(ctx, []uint8{0, 2}) }
	}
	alike(t, "judged", judged(s), judged(plain))
}
