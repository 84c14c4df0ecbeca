package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// errLedger is how a ledger fails.
var errLedger = errors.New("no answer")

// ledger is a Store, and a Log, of what a test writes down. It keeps what it is asked and
// what the judge writes, and fails where the test says so.
type ledger struct {
	fails string // the name of the method that fails
	asked []string

	slots    []uint8
	ends     map[schema.Partition]int64
	extents  []schema.Marker
	markers  []schema.Marker
	gaps     []schema.Gap
	findings []schema.Finding
	told     map[string]schema.FindingChange
	judged   []schema.Position
	standing []schema.Standing
	series   []schema.Series
	peaks    []schema.Peak
	names    []string // unregistered
	others   uint64
	usage    func(schema.UsageQuery) []schema.UsageCell

	usages        []schema.UsageQuery
	allSeries     []schema.SeriesQuery
	allPeaks      []schema.SeriesQuery
	queries       []schema.FindingsQuery
	wrote         []schema.Finding
	changes       []schema.FindingChange
	scores        []schema.Score
	wroteJudged   []schema.Position
	wroteStanding []schema.Standing
}

func (l *ledger) does(what string) error {
	l.asked = append(l.asked, what)
	if l.fails == what {
		return errLedger
	}
	return nil
}

// times is how often it was asked for something.
func (l *ledger) times(what string) (n int) {
	for _, a := range l.asked {
		if a == what {
			n++
		}
	}
	return n
}

// The methods of Store and Log.

func (l *ledger) Slots() []uint8 { return l.slots }

func (l *ledger) Ends(context.Context) (map[schema.Partition]int64, error) {
	return l.ends, l.does("Ends")
}

func (l *ledger) Extents(context.Context) ([]schema.Marker, error) {
	return l.extents, l.does("Extents")
}

func (l *ledger) Markers(context.Context, map[schema.Partition]int64, int) ([]schema.Marker, error) {
	return l.markers, l.does("Markers")
}

func (l *ledger) Usage(_ context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	l.usages = append(l.usages, q)
	if err := l.does("Usage"); err != nil || l.usage == nil {
		return nil, err
	}
	return l.usage(q), nil
}

func (l *ledger) Unregistered(context.Context, []string, int) (names []string, others uint64, err error) {
	return slices.Clone(l.names), l.others, l.does("Unregistered")
}

func (l *ledger) Gaps(context.Context) ([]schema.Gap, error) {
	return slices.Clone(l.gaps), l.does("Gaps")
}

func (l *ledger) Series(_ context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	l.allSeries = append(l.allSeries, q)
	return slices.Clone(l.series), l.does("Series")
}

func (l *ledger) Peaks(_ context.Context, q schema.SeriesQuery) ([]schema.Peak, error) {
	l.allPeaks = append(l.allPeaks, q)
	return l.peaks, l.does("Peaks")
}

func (l *ledger) Findings(_ context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	l.queries = append(l.queries, q)
	var all []schema.VersionedFinding
	for _, f := range l.findings {
		if (q.IDs == nil || slices.Contains(q.IDs, f.ID())) && (!q.OpenOnly || f.State == schema.Open) {
			all = append(all, schema.VersionedFinding{Finding: f})
		}
	}
	return all, l.does("Findings")
}

func (l *ledger) LastReported(context.Context, []string) (map[string]schema.FindingChange, error) {
	return l.told, l.does("LastReported")
}

func (l *ledger) WriteFindings(_ context.Context, all []schema.Finding, _ schema.Version) error {
	if err := l.does("WriteFindings"); err != nil {
		return err
	}
	l.wrote = append(l.wrote, all...)
	return nil
}

func (l *ledger) WriteChanges(_ context.Context, all []schema.FindingChange) error {
	if err := l.does("WriteChanges"); err != nil {
		return err
	}
	l.changes = append(l.changes, all...)
	return nil
}

func (l *ledger) WriteScores(_ context.Context, all []schema.Score, _ schema.Version) error {
	if err := l.does("WriteScores"); err != nil {
		return err
	}
	l.scores = append(l.scores, all...)
	return nil
}

func (l *ledger) Judged(context.Context, []uint8) ([]schema.Position, error) {
	return l.judged, l.does("Judged")
}

func (l *ledger) WriteJudged(_ context.Context, all []schema.Position) error {
	if err := l.does("WriteJudged"); err != nil {
		return err
	}
	l.wroteJudged = append(l.wroteJudged, all...)
	return nil
}

func (l *ledger) Standing(context.Context) ([]schema.Standing, error) {
	return l.standing, l.does("Standing")
}

func (l *ledger) WriteStanding(_ context.Context, all []schema.Standing) error {
	if err := l.does("WriteStanding"); err != nil {
		return err
	}
	l.wroteStanding = append(l.wroteStanding, all...)
	return nil
}

// book is a judge over a ledger, with all that a test may look at.
type book struct {
	*ledger
	j       *Judge
	r       *round
	log     *bytes.Buffer
	metrics *prometheus.Registry
	clock   time.Time
	heard   []schema.FindingChange
}

// onLedger makes a judge of all slots over a ledger, and a round of it, as of a registry
// with some partners of one capability.
func onLedger(cfg Config, l *ledger, partners ...string) *book {
	k := &book{ledger: l, log: &bytes.Buffer{}, metrics: prometheus.NewRegistry(), clock: time.Unix(1_700_000_000, 0)}
	known := &registry.Registry{SHA256: "ab", Capabilities: map[string]registry.Capability{"messaging": {}}, Partners: map[string]registry.Partner{}}
	for _, name := range partners {
		known.Partners[name] = registry.Partner{Name: name}
	}
	if l.slots == nil {
		for s := range schema.Slots {
			l.slots = append(l.slots, uint8(s))
		}
	}
	k.j = New(cfg, l, l, func() (*registry.Registry, uint32) { return known, 3 }, func(c []schema.FindingChange) { k.heard = append(k.heard, c...) },
		NewMetrics(k.metrics), zerolog.New(k.log))
	k.j.now = func() time.Time { return k.clock }
	k.j.slots = l.slots
	k.r = &round{judge: k.j, registry: known, version: schema.Version{Registry: 3}}
	return k
}

// foundOf is a finding of a partner in an hour of a day of the ledger.
func foundOf(partner string, state schema.State) schema.Finding {
	const day = schema.Day(17883)
	return schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: partner, Capability: "messaging", Window: schema.WindowHour, Cause: "limit", Period: day},
		Severity:   schema.Critical, State: state, PeriodEnd: day + 1, Complete: true, BlindSpots: "several ids",
		EvidenceFrom: day.Time(), EvidenceTo: day.Time().Add(time.Hour), People: schema.Estimate{Value: 7, Low: 7, High: 7},
	}
}

// missingOf are the partners of findings, each with what was missing of it.
func missingOf(all []schema.Finding) []string {
	var names []string
	for i := range all {
		names = append(names, fmt.Sprintf("%s %d %t", all[i].Partner, all[i].Missing, all[i].Complete))
	}
	return names
}
