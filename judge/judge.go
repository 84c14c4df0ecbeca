// Package judge reads in rounds what was touched since the last one, runs the
// detectors over it and keeps the findings. Its only state is in ClickHouse: how
// far each slot has been judged.
package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// Config sets the pace of judging. Shorter windows are judged more often, since
// reading thirty dense days each second costs more than it shows.
type Config struct {
	Interval        time.Duration // between rounds; each judges windows of an hour, and what is new
	HourEvery       time.Duration // between rounds that judge windows of 24 hours
	DayEvery        time.Duration // between rounds that judge windows of days and whole periods
	Lateness        time.Duration // event time by which records may come out of order
	StalledAfter    time.Duration // how long a partition that stands still holds the watermark back; 0: for ever
	MaxUnregistered int           // unregistered names that are judged apart
	MaxApps         int           // apps of a partner that evidence lists one by one
}

// Store is what the judge reads and writes.
type Store interface {
	Extents(ctx context.Context) ([]schema.Marker, error)
	// Markers returns at most limit of a partition's, by incarnation, partition and From.
	Markers(ctx context.Context, after map[schema.Partition]int64, limit int) ([]schema.Marker, error)
	Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error)
	Unregistered(ctx context.Context, registered []string, limit int) (names []string, others uint64, err error)
	Gaps(ctx context.Context) ([]schema.Gap, error)
	Series(ctx context.Context, q schema.SeriesQuery) ([]schema.Series, error)
	Peaks(ctx context.Context, q schema.SeriesQuery) ([]schema.Peak, error)

	Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error)
	LastReported(ctx context.Context, ids []string) (map[string]schema.FindingChange, error)
	WriteFindings(ctx context.Context, findings []schema.Finding, v schema.Version) error
	WriteChanges(ctx context.Context, changes []schema.FindingChange) error
	WriteScores(ctx context.Context, scores []schema.Score, v schema.Version) error

	Judged(ctx context.Context, slots []uint8) ([]schema.Position, error)
	WriteJudged(ctx context.Context, positions []schema.Position) error

	// Standing returns the partitions that stood when somebody wrote so last.
	Standing(ctx context.Context) ([]schema.Standing, error)
	WriteStanding(ctx context.Context, all []schema.Standing) error
}

// Log is what the judge knows of Kafka.
type Log interface {
	// Ends returns the end offset of every partition that the group reads now
	// and that counts for the watermark.
	Ends(ctx context.Context) (map[schema.Partition]int64, error)
	// Slots returns the slots that this instance judges now.
	Slots() []uint8
}

// Registry returns the registry in force and its ordinal.
type Registry func() (*registry.Registry, uint32)

// Judge judges the slots that its Log gives it.
type Judge struct {
	cfg       Config
	store     Store
	log       Log
	registry  Registry
	tell      func([]schema.FindingChange)
	metrics   *Metrics
	logger    zerolog.Logger
	detectors []detectors.Detector
	now       func() time.Time // the wall clock, which events may not be ahead of

	// Where it stands. Everything here can be read again from the store.
	slots     []uint8
	at        map[schema.Cadence]map[schema.Partition]int64
	judgedBy  map[schema.Cadence]uint32 // ordinal of the registry
	rolled    map[schema.Cadence]int64  // watermark
	lastRun   map[schema.Cadence]time.Time
	named     []string      // unregistered partners judged by name, ascending
	folded    uint64        // unregistered partners that are not
	lastRound time.Time     // when the last round that went well began
	tookAmid  time.Duration // the last round amid a pass over closed buckets
	watermark int64
	gaps      []schema.Gap // of what was read, where gapsRead
	missing   uint64       // offsets that were when they were read, or unreadable
	gapsRead  bool
	gapSince  map[place]waiting // cadences before a gap in the chain of markers
	unjudged  map[place]waiting // positions before something that is counted

	// Partitions whose own time stands still.
	standing     map[schema.Partition]standing
	standingRead bool // what others saw of them was read
	keptOf       map[schema.Partition]kept
	out          map[schema.Partition]bool // those that the watermark leaves out
	outChanged   bool                      // findings do not say yet which
	looked       time.Time
	offsets      uint64 // the log's own clock, and when it moved
	offsetsMoved time.Time

	health  health
	failure failure
}

// New returns a judge that does nothing until Run or Drain. tell is called with
// what changed, after it was written.
func New(cfg Config, store Store, log Log, registry Registry, tell func([]schema.FindingChange), metrics *Metrics, logger zerolog.Logger) *Judge {
	return &Judge{
		cfg: cfg, store: store, log: log, registry: registry, tell: tell, metrics: metrics, logger: logger,
		detectors: detectors.All(), now: time.Now,
		gapSince: map[place]waiting{}, unjudged: map[place]waiting{},
		standing: map[schema.Partition]standing{}, keptOf: map[schema.Partition]kept{}, out: map[schema.Partition]bool{},
	}
}

// Run judges until the context ends. A round that fails is tried again with the next
// one; that is said once, and again where it fails for another reason.
func (j *Judge) Run(ctx context.Context) error {
	ticker := time.NewTicker(j.cfg.Interval)
	defer ticker.Stop()
	j.health.works()
	j.metrics.upToDate() // a judge that never gets a round done stands still since now
	for {
		j.attempt(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// attempt is a round, with what is to be said of how it ended.
func (j *Judge) attempt(ctx context.Context) {
	err := j.Round(ctx, false)
	if ctx.Err() == nil && (err != nil || len(j.slots) > 0) {
		j.note(err)
	}
}

// Round judges once what was touched since the last round: every cadence where all
// is set, else those whose time has come.
func (j *Judge) Round(ctx context.Context, all bool) error {
	started := time.Now()
	if err := j.takeSlots(ctx); err != nil {
		return err
	}
	if len(j.slots) == 0 {
		if j.health.idles() {
			j.lastRound = started
			j.metrics.upToDate()
			j.standsBy()
		}
		return nil
	}
	r, err := j.begin(ctx)
	if err != nil {
		return err
	}
	for _, cadence := range schema.Cadences {
		switch err := r.runDue(ctx, cadence, started, all); {
		case errors.Is(err, errOtherSlots):
			return j.Round(ctx, all)
		case err != nil:
			return err
		}
	}
	j.finished(started, r)
	return nil
}

// runDue judges a cadence in a round that began at a time of the clock, where its own has
// come.
func (r *round) runDue(ctx context.Context, cadence schema.Cadence, began time.Time, all bool) error {
	j := r.judge
	changed := j.judgedBy[cadence] != 0 && j.judgedBy[cadence] != r.version.Registry
	if !all && !changed && began.Sub(j.lastRun[cadence]) < j.every(cadence) {
		return nil
	}
	j.lastRun[cadence] = began
	j.noteBehind(cadence, r.extents)
	if err := r.run(ctx, cadence); err != nil {
		return fmt.Errorf("judging the cadence %s: %w", cadence, err)
	}
	j.noteBehind(cadence, r.extents)
	reached(pointCadence)
	return nil
}

// begin reads what a round goes by, and judges gaps.
func (j *Judge) begin(ctx context.Context) (*round, error) {
	extents, err := j.store.Extents(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading how far was counted: %w", err)
	}
	ends, err := j.log.Ends(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the end offsets: %w", err)
	}
	out, err := j.lookAround(ctx, extents, ends)
	if err != nil {
		return nil, err
	}
	j.watermark = watermark(extents, ends, out, int64(j.cfg.Lateness.Seconds()), j.now().Unix(), j.watermark)
	registry, ordinal := j.registry()
	r := &round{
		judge:    j,
		registry: registry,
		version:  schema.Version{Offsets: counted(extents), Registry: ordinal, Watermark: j.watermark},
		extents:  extents,
	}
	if err := r.judgeGaps(ctx); err != nil {
		return nil, fmt.Errorf("judging gaps: %w", err)
	}
	return r, nil
}

// finished notes a round that began at a time of the clock.
func (j *Judge) finished(started time.Time, r *round) {
	before := j.lastRound
	if before.IsZero() {
		before = started
	}
	if started.After(j.lastRound) {
		j.lastRound = started
	}
	j.health.moves()
	j.metrics.round(time.Since(started), time.Since(before), j.watermark, latest(r.extents))
}

// errOtherSlots ends a round when slot ownership changed: the new owner reports the old
// slots, and our new slots must not wait for a long pass over closed buckets.
// It begins again with them.
var errOtherSlots = errors.New("other slots are judged here now")

// meanwhile is a round of the windows that slide amid a pass over closed buckets, where
// its time has come: they must not wait for what is held against weeks, which may take
// minutes. The pass gets as much time as these rounds do.
func (j *Judge) meanwhile(ctx context.Context) error {
	started := time.Now()
	if started.Sub(j.lastRun[schema.CadenceMinute]) < max(j.cfg.Interval, j.tookAmid) {
		return nil
	}
	if !slices.Equal(j.log.Slots(), j.slots) {
		return errOtherSlots
	}
	r, err := j.begin(ctx)
	if err != nil {
		return err
	}
	for _, cadence := range schema.Cadences {
		if cadence.Closed() {
			continue
		}
		if err := r.runDue(ctx, cadence, started, false); err != nil {
			return err
		}
	}
	j.finished(started, r)
	j.lastRun[schema.CadenceMinute], j.tookAmid = time.Now(), time.Since(started)
	return nil
}

// every returns how often a cadence is judged.
func (j *Judge) every(cadence schema.Cadence) time.Duration {
	switch cadence.Step() {
	case schema.Hourly:
		return j.cfg.HourEvery
	case schema.Daily:
		return j.cfg.DayEvery
	}
	return 0
}

// takeSlots asks which slots are ours, and where they changed reads how far
// each was judged. Slots that were judged further than others are judged again
// from the least on, which comes out the same.
func (j *Judge) takeSlots(ctx context.Context) error {
	slots := j.log.Slots()
	j.metrics.slots.Set(float64(len(slots)))
	if j.at != nil && slices.Equal(slots, j.slots) {
		return nil
	}
	positions, err := j.store.Judged(ctx, slots)
	if err != nil {
		return fmt.Errorf("reading how far was judged: %w", err)
	}
	j.at = map[schema.Cadence]map[schema.Partition]int64{}
	j.judgedBy = map[schema.Cadence]uint32{}
	j.rolled = map[schema.Cadence]int64{}
	j.lastRun = map[schema.Cadence]time.Time{}
	for _, cadence := range schema.Cadences {
		j.at[cadence] = map[schema.Partition]int64{}
	}
	seen := map[schema.Cadence]map[schema.Partition]int{}
	for _, p := range positions {
		at := j.at[p.Cadence]
		if at == nil {
			return fmt.Errorf("the table judged holds a cadence %d that this version does not know", p.Cadence)
		}
		if seen[p.Cadence] == nil {
			seen[p.Cadence] = map[schema.Partition]int{}
		}
		if old, ok := at[p.Partition]; !ok || p.To < old {
			at[p.Partition] = p.To
		}
		seen[p.Cadence][p.Partition]++
		if old := j.judgedBy[p.Cadence]; old == 0 || p.Registry < old {
			j.judgedBy[p.Cadence] = p.Registry
		}
		j.watermark = max(j.watermark, p.Watermark)
		if old, ok := j.rolled[p.Cadence]; !ok || p.Watermark < old {
			j.rolled[p.Cadence] = p.Watermark
		}
	}
	for cadence, partitions := range seen {
		for p, n := range partitions {
			if n < len(slots) { // a slot that never was judged this far
				delete(j.at[cadence], p)
				delete(j.rolled, cadence)
			}
		}
	}
	j.slots, j.gapsRead, j.standingRead = slots, false, false
	return nil
}

// Judged reports whether every cadence has judged up to the given offsets.
func (j *Judge) Judged(to map[schema.Partition]int64) bool {
	return j.at != nil && len(j.notJudged(to)) == 0
}

// notJudged says which cadences have not judged up to the given offsets.
func (j *Judge) notJudged(to map[schema.Partition]int64) []string {
	var all []string
	for p, offset := range to {
		for _, cadence := range schema.Cadences {
			if at := j.at[cadence][p]; offset > 0 && at < offset {
				all = append(all, fmt.Sprintf("the cadence %s is at offset %d of %d in %s partition %d", cadence, at, offset, p.Incarnation, p.Partition))
			}
		}
	}
	slices.Sort(all)
	return all
}

// errNoProgress ends a drain that would never end.
var errNoProgress = errors.New("rounds of judging no longer advance though not all that was counted is judged")

// Drain judges everything that has been counted up to the given offsets, and
// lets the watermark roll to the latest event.
func (j *Judge) Drain(ctx context.Context, to map[schema.Partition]int64) error {
	const rounds = 100
	for range rounds {
		if err := j.Round(ctx, true); err != nil {
			return err
		}
		if j.Judged(to) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errNoProgress, strings.Join(j.notJudged(to), ", "))
}
