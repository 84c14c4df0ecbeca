package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// LedgerQuery says which rows of granted_vs_used to read. What is empty
// restricts nothing.
type LedgerQuery struct {
	Partner   string
	Unused    bool // only scopes that were granted and never used
	Ungranted bool // only scopes that were used and never granted
}

// LedgerRow is a scope that was granted or used: a row of granted_vs_used, whose
// columns say what each field is.
type LedgerRow struct {
	Partner         string     `ch:"partner"`
	Capability      string     `ch:"capability"`
	Action          string     `ch:"action"`
	Granted         uint32     `ch:"granted"`
	GrantedSince    *time.Time `ch:"granted_since"`
	GrantedUntil    *time.Time `ch:"granted_until"`
	Purpose         string     `ch:"purpose"`
	Accesses        uint64     `ch:"accesses"`
	Attempts        uint64     `ch:"attempts"`
	FirstAccess     *time.Time `ch:"first_access"`
	LastAccess      *time.Time `ch:"last_access"`
	People          uint64     `ch:"people"`
	PeopleLow       uint64     `ch:"people_low"`
	PeopleHigh      uint64     `ch:"people_high"`
	Bystanders      uint64     `ch:"bystanders"`
	BystandersLow   uint64     `ch:"bystanders_low"`
	BystandersHigh  uint64     `ch:"bystanders_high"`
	DaysUsed        uint64     `ch:"days_used"`
	NeverUsed       bool       `ch:"never_used"`
	NeverGranted    bool       `ch:"never_granted"`
	AccessesOutside uint64     `ch:"accesses_outside"`
	DaysOutside     uint64     `ch:"days_outside"`
	ZeroFrom        *time.Time `ch:"zero_from"`
	ZeroTo          *time.Time `ch:"zero_to"`
	Partitions      uint64     `ch:"partitions"`
	Offsets         uint64     `ch:"offsets"`
	RecordsRead     uint64     `ch:"records_read"`
	Missing         uint64     `ch:"missing"`
	Unreadable      uint64     `ch:"unreadable"`
	Rejected        uint64     `ch:"rejected"`
	Provable        bool       `ch:"provable"`
	WhyNot          string     `ch:"why_not"`
}

// where writes the query's condition, and the order in which people should read:
// a partner's scopes together, what was never granted first.
func (q LedgerQuery) where() string {
	where := " FROM granted_vs_used WHERE 1"
	if q.Partner != "" {
		where += " AND partner = " + quote(q.Partner)
	}
	if q.Unused {
		where += " AND never_used"
	}
	if q.Ungranted {
		where += " AND granted = 0"
	}
	return where + " ORDER BY max(never_granted) OVER (PARTITION BY partner) DESC, partner, never_granted DESC, capability, CAST(action AS Enum8('read' = 1, 'write' = 2, 'delete' = 3))"
}

// Ledger returns what was granted beside what was used: partners that used what
// they were never granted first, then by partner and capability.
func (s *Store) Ledger(ctx context.Context, q LedgerQuery) ([]LedgerRow, error) {
	var rows []LedgerRow
	err := s.conn.Select(ctx, &rows, `SELECT partner, capability, action, granted, granted_since, granted_until, purpose,
		accesses, attempts, first_access, last_access, people, people_low, people_high, bystanders, bystanders_low, bystanders_high,
		days_used, never_used, never_granted, accesses_outside, days_outside, zero_from, zero_to,
		partitions, offsets, records_read, missing, unreadable, rejected, provable, why_not`+q.where())
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", s.explain(err))
	}
	return rows, nil
}

// LedgerJSON writes the same rows with all columns, one object a line.
func (s *Store) LedgerJSON(ctx context.Context, q LedgerQuery, w io.Writer) error {
	return s.Query(ctx, "SELECT *"+q.where(), w, JSON)
}

// MonthMarkers returns what was read of each partition in each calendar month,
// by the day of the pin, ordered by incarnation, partition and month. They are kept
// for ever.
func (s *Store) MonthMarkers(ctx context.Context) ([]schema.Marker, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT incarnation, partition, min(least_from), `+markerColumns+`
		FROM usage
		WHERE kind = 'month'
		GROUP BY incarnation, partition, bucket
		ORDER BY incarnation, partition, bucket`)
	if err != nil {
		return nil, fmt.Errorf("reading the markers of months: %w", s.explain(err))
	}
	var all []schema.Marker
	err = scan(rows, func() error {
		var m schema.Marker
		if err := scanMarker(rows, &m); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the markers of months: %w", s.explain(err))
	}
	return all, nil
}

// Watermark returns the event time up to which every partition had been read
// when last judged, also those that the judge's watermark leaves out; zero where nothing
// was judged yet.
func (s *Store) Watermark(ctx context.Context) (time.Time, error) {
	var at time.Time
	if err := s.conn.QueryRow(ctx, `WITH (SELECT min(unread_since) FROM watermark_stalls FINAL WHERE left_out) AS unread
		SELECT least(max(watermark) AS judged, ifNull(toDateTime(unread, 'UTC'), judged)) FROM judged FINAL WHERE cadence = 'minute'`).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("reading the watermark: %w", s.explain(err))
	}
	if at.Unix() == 0 {
		return time.Time{}, nil
	}
	return at.UTC(), nil
}

// RegistryVersion is a version of the registry that was in force.
type RegistryVersion struct {
	*registry.Registry
	Ordinal uint32
	Loaded  time.Time // when it was first loaded, UTC
}

// LatestRegistry returns the latest version of the registry; one of nobody, with
// ordinal 0, where none was loaded yet.
func (s *Store) LatestRegistry(ctx context.Context) (RegistryVersion, error) {
	v := RegistryVersion{Registry: &registry.Registry{}}
	var text string
	err := s.conn.QueryRow(ctx, "SELECT max(ordinal), argMax(loaded, ordinal), argMax(text, ordinal) FROM registry_versions").
		Scan(&v.Ordinal, &v.Loaded, &text)
	if err != nil {
		return v, fmt.Errorf("reading registry_versions: %w", s.explain(err))
	}
	if v.Ordinal == 0 {
		return v, nil
	}
	v.Loaded = v.Loaded.UTC()
	if v.Registry, err = registry.Parse(fmt.Sprintf("registry_versions %d", v.Ordinal), []byte(text)); err != nil {
		return v, errors.Join(errors.New("the registry as the database keeps it cannot be read; was it written by a later version?"), err)
	}
	return v, nil
}
