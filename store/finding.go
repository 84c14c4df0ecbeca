package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/schema"
)

// findingColumns are the columns that findings_log and finding_changes share,
// in the order of findingValues and scanFinding.
var findingColumns = []string{"id", "detector", "partner", "capability", "window", "cause", "period", "period_end",
	"severity", "state", "sentence", "first_crossing", "peak", "evidence_from", "evidence_to", "first_seen", "last_seen",
	"ended_at", "accesses", "attempts", "people", "people_low", "people_high", "people_new",
	"bystanders", "bystanders_low", "bystanders_high", "limit", "ratio", "expected",
	"baseline_window", "baseline_samples", "baseline_centre", "baseline_spread", "last_allowed", "days_past",
	"other_causes", "contributors", "complete", "missing", "registry", "owner", "purpose", "blind_spots", "runbook", "query",
	"offsets", "registry_ordinal", "watermark"}

// contributor is schema.Contributor as the tables' tuple has it.
type contributor struct {
	Kind        string   `ch:"kind"`
	Name        string   `ch:"name"`
	Accesses    uint64   `ch:"accesses"`
	Attempts    uint64   `ch:"attempts"`
	People      uint64   `ch:"people"`
	PeopleLow   uint64   `ch:"people_low"`
	PeopleHigh  uint64   `ch:"people_high"`
	UsualPeople *float64 `ch:"usual_people"`
}

func findingValues(f *schema.Finding, v schema.Version) []any {
	var bystanders, bystandersLow, bystandersHigh *uint64
	if f.Bystanders != nil {
		bystanders, bystandersLow, bystandersHigh = &f.Bystanders.Value, &f.Bystanders.Low, &f.Bystanders.High
	}
	contributors := make([]contributor, len(f.Contributors))
	for i, c := range f.Contributors {
		contributors[i] = contributor{c.Kind, c.Name, c.Accesses, c.Attempts,
			c.People.Value, c.People.Low, c.People.High, c.UsualPeople}
	}
	causes := f.OtherCauses
	if causes == nil {
		causes = []string{}
	}
	return []any{f.ID(), f.Detector, f.Partner, f.Capability, string(f.Window), f.Cause, dayOrNull(f.Period), dayOrNull(f.PeriodEnd),
		string(f.Severity), string(f.State), f.Sentence, orEpoch(f.FirstCrossing), orEpoch(f.Peak),
		orEpoch(f.EvidenceFrom), orEpoch(f.EvidenceTo), orEpoch(f.FirstSeen), orEpoch(f.LastSeen),
		timeOrNull(f.EndedAt), f.Accesses, f.Attempts, f.People.Value, f.People.Low, f.People.High, f.PeopleNew,
		bystanders, bystandersLow, bystandersHigh, f.Limit, f.Ratio, f.Expected,
		f.Baseline.Window, f.Baseline.Samples, f.Baseline.Centre, f.Baseline.Spread, f.LastAllowed, f.DaysPast,
		causes, contributors, f.Complete, f.Missing, f.Registry, f.Owner, f.Purpose, f.BlindSpots, f.Runbook, f.Query,
		v.Offsets, v.Registry, time.Unix(v.Watermark, 0)}
}

// scanFinding reads a row of findingColumns, which the columns of first precede.
func scanFinding(rows driver.Rows, f *schema.Finding, v *schema.Version, first ...any) error {
	var id, window, severity, state string
	var period, periodEnd, endedAt *time.Time
	var bystanders, bystandersLow, bystandersHigh *uint64
	var contributors []contributor
	var watermark time.Time
	err := rows.Scan(append(first, &id, &f.Detector, &f.Partner, &f.Capability, &window, &f.Cause, &period, &periodEnd,
		&severity, &state, &f.Sentence, &f.FirstCrossing, &f.Peak,
		&f.EvidenceFrom, &f.EvidenceTo, &f.FirstSeen, &f.LastSeen,
		&endedAt, &f.Accesses, &f.Attempts, &f.People.Value, &f.People.Low, &f.People.High, &f.PeopleNew,
		&bystanders, &bystandersLow, &bystandersHigh, &f.Limit, &f.Ratio, &f.Expected,
		&f.Baseline.Window, &f.Baseline.Samples, &f.Baseline.Centre, &f.Baseline.Spread, &f.LastAllowed, &f.DaysPast,
		&f.OtherCauses, &contributors, &f.Complete, &f.Missing, &f.Registry, &f.Owner, &f.Purpose, &f.BlindSpots, &f.Runbook, &f.Query,
		&v.Offsets, &v.Registry, &watermark)...)
	if err != nil {
		return err
	}
	f.Window, f.Severity, f.State = schema.Window(window), schema.Severity(severity), schema.State(state)
	f.Period, f.PeriodEnd = dayOrZero(period), dayOrZero(periodEnd)
	for _, t := range []*time.Time{&f.FirstCrossing, &f.Peak, &f.EvidenceFrom, &f.EvidenceTo, &f.FirstSeen, &f.LastSeen} {
		if t.Unix() == 0 && t.Nanosecond() == 0 {
			*t = time.Time{}
		}
	}
	if endedAt != nil {
		f.EndedAt = *endedAt
	}
	if bystanders != nil && bystandersLow != nil && bystandersHigh != nil {
		f.Bystanders = &schema.Estimate{Value: *bystanders, Low: *bystandersLow, High: *bystandersHigh}
	}
	if len(f.OtherCauses) == 0 {
		f.OtherCauses = nil
	}
	for _, c := range contributors {
		f.Contributors = append(f.Contributors, schema.Contributor{Kind: c.Kind, Name: c.Name, Accesses: c.Accesses, Attempts: c.Attempts,
			People: schema.Estimate{Value: c.People, Low: c.PeopleLow, High: c.PeopleHigh}, UsualPeople: c.UsualPeople})
	}
	v.Watermark = watermark.Unix()
	return nil
}

func dayOrNull(d schema.Day) *time.Time {
	if d == 0 {
		return nil
	}
	t := d.Time()
	return &t
}

func dayOrZero(t *time.Time) schema.Day {
	if t == nil {
		return 0
	}
	return schema.DayOf(*t)
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// orEpoch writes no time as 1970, the zero of ClickHouse's times.
func orEpoch(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}

// WriteFindings writes the log half of findings, all under one version, which
// replaces every lower version of the same findings and is replaced by higher ones.
func (s *Store) WriteFindings(ctx context.Context, findings []schema.Finding, v schema.Version) error {
	if len(findings) == 0 {
		return nil
	}
	return s.insert(ctx, "findings_log", findingColumns, "", func(b *block) {
		for i := range findings {
			b.row(findingValues(&findings[i], v))
		}
	})
}

// changesAlone is how many changes at once are an insert each. An insert takes
// milliseconds and makes a part, so that more are one together.
const changesAlone = 32

// WriteChanges appends what was told. For an instant after partitions changed hands
// two judges may tell the same: of those who go on from the same last telling of a
// finding the first is heard, within the reach of the log of tokens. Of more than
// changesAlone at once that holds only where both tell of the same findings.
func (s *Store) WriteChanges(ctx context.Context, changes []schema.FindingChange) error {
	if len(changes) > changesAlone {
		return s.writeChanges(ctx, changes)
	}
	for i := range changes {
		if err := s.writeChanges(ctx, changes[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeChanges(ctx context.Context, changes []schema.FindingChange) error {
	h := sha256.New()
	for i := range changes {
		c := &changes[i]
		_, _ = fmt.Fprintf(h, "%s %d\n", c.Finding.ID(), c.After.UnixMilli()) // a hash never fails
	}
	token := "finding_changes " + hex.EncodeToString(h.Sum(nil))
	return s.insert(ctx, "finding_changes", append([]string{"reported", "change"}, findingColumns...), token, func(b *block) {
		for i := range changes {
			c := &changes[i]
			b.row(append([]any{c.Reported, string(c.Kind)}, findingValues(&c.Finding, c.Version)...))
		}
	})
}

// Findings reads the latest version of findings, ordered by detector, partner,
// capability, window, cause and period.
func (s *Store) Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	where := []string{"1"}
	if q.IDs != nil {
		where = append(where, in("id", quoteAll(q.IDs)))
	}
	if q.Partners != nil {
		where = append(where, in("partner", quoteAll(q.Partners)))
	}
	if q.OpenOnly {
		where = append(where, "state = 'open'") // with FINAL, the state of the latest version
	}
	if !q.Since.IsZero() {
		where = append(where, fmt.Sprintf("last_seen >= fromUnixTimestamp64Milli(%d, 'UTC')", q.Since.UnixMilli()))
	}
	rows, err := s.conn.Query(ctx, "SELECT "+columnList(findingColumns)+" FROM findings_log FINAL WHERE "+strings.Join(where, " AND ")+
		" ORDER BY detector, partner, capability, window, cause, period, id")
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", s.explain(err))
	}
	var slots [schema.Slots]bool
	for _, slot := range q.Slots {
		slots[slot] = true
	}
	var all []schema.VersionedFinding
	err = scan(rows, func() error {
		var f schema.VersionedFinding
		if err := scanFinding(rows, &f.Finding, &f.Version); err != nil {
			return err
		}
		if q.Slots == nil || slots[schema.Slot(f.Partner)] {
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", s.explain(err))
	}
	return all, nil
}

// LastReported returns the last change that was reported of each of the findings, by id.
func (s *Store) LastReported(ctx context.Context, ids []string) (map[string]schema.FindingChange, error) {
	rows, err := s.conn.Query(ctx, "SELECT reported, change, "+columnList(findingColumns)+" FROM finding_changes WHERE "+in("id", quoteAll(ids))+
		" ORDER BY id, reported DESC, offsets DESC LIMIT 1 BY id")
	if err != nil {
		return nil, fmt.Errorf("reading what was told: %w", s.explain(err))
	}
	told := map[string]schema.FindingChange{}
	err = scan(rows, func() error {
		var c schema.FindingChange
		var change string
		if err := scanFinding(rows, &c.Finding, &c.Version, &c.Reported, &change); err != nil {
			return err
		}
		c.Kind = schema.ChangeKind(change)
		told[c.Finding.ID()] = c
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was told: %w", s.explain(err))
	}
	return told, nil
}
