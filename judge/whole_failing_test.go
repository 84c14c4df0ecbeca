package judge_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

// errAway is what a store says that does not answer.
var errAway = errors.New("no answer")

// failing is a store that fails once at each place from which it is asked.
type failing struct {
	tables
	seen   map[[24]uintptr]bool
	failed int
}

func (f *failing) fails() error {
	var place [24]uintptr // the innermost calls, which the test and the runtime do not reach
	runtime.Callers(2, place[:])
	if f.seen[place] {
		return nil
	}
	f.seen[place] = true
	f.failed++
	return errAway
}

// first is what f answers, or an error where a store fails.
func first[T any](f *failing, answer func() (T, error)) (T, error) {
	if err := f.fails(); err != nil {
		var none T
		return none, err
	}
	return answer()
}

func (f *failing) Extents(ctx context.Context) ([]schema.Marker, error) {
	return first(f, func() ([]schema.Marker, error) { return f.tables.Extents(ctx) })
}

func (f *failing) Markers(ctx context.Context, after map[schema.Partition]int64, limit int) ([]schema.Marker, error) {
	return first(f, func() ([]schema.Marker, error) { return f.tables.Markers(ctx, after, limit) })
}

func (f *failing) Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	return first(f, func() ([]schema.UsageCell, error) { return f.tables.Usage(ctx, q) })
}

func (f *failing) Unregistered(ctx context.Context, registered []string, limit int) (names []string, others uint64, err error) {
	if err := f.fails(); err != nil {
		return nil, 0, err
	}
	return f.tables.Unregistered(ctx, registered, limit)
}

func (f *failing) Gaps(ctx context.Context) ([]schema.Gap, error) {
	return first(f, func() ([]schema.Gap, error) { return f.tables.Gaps(ctx) })
}

func (f *failing) Series(ctx context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	return first(f, func() ([]schema.Series, error) { return f.tables.Series(ctx, q) })
}

func (f *failing) Peaks(ctx context.Context, q schema.SeriesQuery) ([]schema.Peak, error) {
	return first(f, func() ([]schema.Peak, error) { return f.tables.Peaks(ctx, q) })
}

func (f *failing) Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	return first(f, func() ([]schema.VersionedFinding, error) { return f.tables.Findings(ctx, q) })
}

func (f *failing) LastReported(ctx context.Context, ids []string) (map[string]schema.FindingChange, error) {
	return first(f, func() (map[string]schema.FindingChange, error) { return f.tables.LastReported(ctx, ids) })
}

func (f *failing) Judged(ctx context.Context, slots []uint8) ([]schema.Position, error) {
	return first(f, func() ([]schema.Position, error) { return f.tables.Judged(ctx, slots) })
}

func (f *failing) Standing(ctx context.Context) ([]schema.Standing, error) {
	return first(f, func() ([]schema.Standing, error) { return f.tables.Standing(ctx) })
}

// done writes, unless the store fails.
func (f *failing) done(write func() error) error {
	if err := f.fails(); err != nil {
		return err
	}
	return write()
}

func (f *failing) WriteFindings(ctx context.Context, all []schema.Finding, v schema.Version) error {
	return f.done(func() error { return f.tables.WriteFindings(ctx, all, v) })
}

func (f *failing) WriteChanges(ctx context.Context, all []schema.FindingChange) error {
	return f.done(func() error { return f.tables.WriteChanges(ctx, all) })
}

func (f *failing) WriteScores(ctx context.Context, all []schema.Score, v schema.Version) error {
	return f.done(func() error { return f.tables.WriteScores(ctx, all, v) })
}

func (f *failing) WriteJudged(ctx context.Context, all []schema.Position) error {
	return f.done(func() error { return f.tables.WriteJudged(ctx, all) })
}

func (f *failing) WriteStanding(ctx context.Context, all []schema.Standing) error {
	return f.done(func() error { return f.tables.WriteStanding(ctx, all) })
}

func TestARoundThatFailsAnywhereSaysSoAndTheNextOneFindsTheSame(t *testing.T) {
	t.Parallel()
	inMaps(t, func(t *testing.T, e *engine) {
		log := of(makeLog(5), "small", "past-agreement", "only-tries")
		undisturbed := once(t, e, log, 2)
		r := e.start(t, 2, 500)
		r.produce(log, spread(2))
		r.awaitCounted(idle)
		st := &failing{tables: r.store, seen: map[[24]uintptr]bool{}}
		j := r.judge(st, 0, 1)
		ends, err := r.consumer.Ends(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, attempt := range []func() error{
			func() error { return j.Round(t.Context(), true) },
			func() error { return j.Drain(t.Context(), ends) },
		} {
			for done := false; !done; {
				before := st.failed
				err := attempt()
				if failed := st.failed - before; (failed > 0) != (err != nil) || err != nil && !errors.Is(err, errAway) {
					t.Fatalf("after %d failures the store fails %d times, and the judge says %v", before, failed, err)
				}
				done = err == nil
			}
		}
		places := st.failed
		if places < 20 {
			t.Errorf("the store failed at %d places: the log no longer comes by where it is asked", places)
		}
		if diff := cmp.Diff(undisturbed.findings(), r.findings()); diff != "" {
			t.Errorf("after %d failures (-undisturbed +disturbed):\n%s", places, diff)
		}
	})
}
