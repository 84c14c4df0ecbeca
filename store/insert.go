package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/schema"
)

// noTime stands for no time in columns that merge by min: 2200-01-01, in
// milliseconds since 1970. The tables' defaults say the same.
const noTime = 7258118400000

// insertSettings are those under which an insert is one block, in one part,
// under one token, however the server is configured: a token holds for a block,
// and another cut would count rows twice.
func (s *Store) insertSettings(token string) clickhouse.Settings {
	settings := clickhouse.Settings{
		"async_insert":                0,
		"max_insert_block_size":       1 << 40,
		"min_insert_block_size_rows":  1 << 40,
		"min_insert_block_size_bytes": 1 << 50,
		"max_insert_threads":          1,
		"optimize_on_insert":          0, // no two rows of a block merge: looking for them costs half the insert
	}
	if token != "" {
		settings["insert_deduplicate"] = 1
		settings["insert_deduplication_token"] = token
	}
	if s.cluster != "" {
		settings["insert_quorum"] = "auto"
	}
	return settings
}

// token names an insert. The same range of the same table has the same token in
// every attempt.
func token(table string, r schema.Range) string {
	return fmt.Sprintf("%s %s/%d [%d,%d)", table, r.Incarnation, r.Partition.Partition, r.From, r.To)
}

// block is one insert, filled column by column.
type block struct {
	batch driver.Batch
	next  int
	err   error
}

// add fills the next column from slices, one after the other.
func (b *block) add(values ...any) {
	for _, v := range values {
		if b.err == nil {
			if err := b.batch.Column(b.next).Append(v); err != nil {
				// The driver's own words may quote the value.
				b.err = refused("column %d cannot hold what it was given (%T)", b.next+1, err)
			}
		}
	}
	b.next++
}

// row fills all columns of one more row; for the tables that get few.
func (b *block) row(values []any) {
	if b.err == nil {
		if err := b.batch.Append(values...); err != nil {
			b.err = refused("a column cannot hold what it was given (%T)", err)
		}
	}
}

// insert sends one block into the columns of a table. Where a token is given, a
// second insert under it changes nothing.
func (s *Store) insert(ctx context.Context, table string, columns []string, token string, fill func(*block)) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(s.insertSettings(token)))
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+table+" ("+columnList(columns)+")")
	if err != nil {
		return fmt.Errorf("inserting into %s: %w", table, s.explain(err))
	}
	b := &block{batch: batch}
	fill(b)
	if b.err != nil {
		return errors.Join(fmt.Errorf("inserting into %s: %w", table, b.err), batch.Abort())
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("inserting into %s: %w", table, s.explain(err))
	}
	return nil
}

// repeat returns n times v.
func repeat[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// spell returns what each value is called in the tables.
func spell[T fmt.Stringer](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.String()
	}
	return all
}

var accessColumns = []string{"pinned", "incarnation", "partition", "offset", "item", "time", "partner", "app", "capability",
	"action", "subject", "actor", "id", "api_version", "grant", "status", "records", "bytes"}

// InsertAccess inserts the raw rows of a range: all or none, and once however
// often it is called within the reach of the log of tokens.
func (s *Store) InsertAccess(ctx context.Context, r schema.Range, rows *schema.AccessRows) error {
	n := len(rows.Offset)
	if n == 0 {
		return nil
	}
	return s.insert(ctx, "access_events", accessColumns, token("access_events", r), func(b *block) {
		b.add(repeat(r.Pinned.Time(), n))
		b.add(repeat(r.Incarnation, n))
		b.add(repeat(r.Partition.Partition, n))
		b.add(rows.Offset)
		b.add(rows.Item)
		b.add(rows.Time)
		b.add(rows.Partner)
		b.add(rows.App)
		b.add(rows.Capability)
		b.add(spell(rows.Action))
		b.add(rows.Subject)
		b.add(rows.Actor)
		b.add(rows.ID)
		b.add(rows.APIVersion)
		b.add(rows.Grant)
		b.add(rows.Status)
		b.add(rows.Records)
		b.add(rows.Bytes)
	})
}

var rejectColumns = []string{"pinned", "incarnation", "partition", "offset", "item", "time",
	"reason", "detail", "outline", "raw", "size"}

// InsertRejects inserts the rejects of a range, like InsertAccess.
func (s *Store) InsertRejects(ctx context.Context, r schema.Range, rows *schema.RejectRows) error {
	n := len(rows.Offset)
	if n == 0 {
		return nil
	}
	return s.insert(ctx, "rejects", rejectColumns, token("rejects", r), func(b *block) {
		b.add(repeat(r.Pinned.Time(), n))
		b.add(repeat(r.Incarnation, n))
		b.add(repeat(r.Partition.Partition, n))
		b.add(rows.Offset)
		b.add(rows.Item)
		b.add(rows.Time)
		b.add(rows.Reason)
		b.add(rows.Detail)
		b.add(rows.Outline)
		b.add(rows.Raw)
		b.add(rows.Size)
	})
}

var usageColumns = []string{"kind", "resolution", "bucket", "slot", "incarnation", "partner", "capability", "app", "action",
	"partition", "from_offset", "pinned", "accesses", "attempts", "records", "bytes",
	"first_access", "last_access", "first_attempt", "last_attempt", "subjects_bytes", "actors_bytes", "bystanders_bytes",
	"least_from", "to_offset", "records_read", "missing", "events", "rejected", "filtered",
	"first_event", "last_event", "minutes", "mixed", "unreadable", "unreadable_why", "last_record"}

// InsertUsage inserts the usage of a range and, in the same block, its marker
// and its share in the marker of its month. Once it has returned nil, or the
// marker is seen, the range is counted. A second call for the same range with
// the same rows changes nothing within the reach of the log of tokens; whoever
// comes later asks Counted first.
func (s *Store) InsertUsage(ctx context.Context, m schema.Marker, rows *schema.UsageRows) error {
	n := len(rows.Bucket)
	for _, bucket := range rows.Bucket {
		if bucket < 0 || bucket > math.MaxUint32 {
			return refused("inserting into usage: a bucket starts at second %d since 1970, a DateTime holds 0 to %d: events later than that must become rejects",
				bucket, uint32(math.MaxUint32))
		}
	}
	return s.insert(ctx, "usage", usageColumns, token("usage", m.Range), func(b *block) {
		zeros := make([]uint64, n)
		zeroOffsets := make([]int64, n)
		none := repeat(int64(noTime), n)
		slots := make([]uint8, n)
		for i, partner := range rows.Partner {
			if i > 0 && partner == rows.Partner[i-1] {
				slots[i] = slots[i-1]
			} else {
				slots[i] = schema.Slot(partner)
			}
		}
		twice := func(v uint64) []uint64 { return []uint64{v, v} }
		bothEmpty := []string{"", ""}
		bothZero := twice(0)
		bothNone := []int64{noTime, noTime}
		bothNever := []int64{0, 0}
		bothStates := [][]byte{schema.EmptyState, schema.EmptyState}
		mixed := uint8(0)
		if m.Mixed {
			mixed = 1
		}

		b.add(repeat("usage", n), []string{"range", "month"})
		b.add(spell(rows.Resolution), []string{"none", "none"})
		b.add(rows.Bucket, []int64{0, m.Pinned.Month().Second()})
		b.add(slots, []uint8{0, 0})
		b.add(repeat(m.Incarnation, n+2))
		b.add(rows.Partner, bothEmpty)
		b.add(rows.Capability, bothEmpty)
		b.add(rows.App, bothEmpty)
		b.add(spell(rows.Action), bothEmpty)
		b.add(make([]int32, n), repeat(m.Partition.Partition, 2))
		b.add(zeroOffsets, []int64{m.From, 0})
		b.add(repeat(m.Pinned.Time(), n+2))
		b.add(rows.Accesses, bothZero)
		b.add(rows.Attempts, bothZero)
		b.add(rows.Records, bothZero)
		b.add(rows.Bytes, bothZero)
		b.add(orNone(rows.FirstAccess), bothNone)
		b.add(rows.LastAccess, bothNever)
		b.add(orNone(rows.FirstAttempt), bothNone)
		b.add(rows.LastAttempt, bothNever)
		b.add(rows.Subjects, bothStates)
		b.add(rows.Actors, bothStates)
		b.add(rows.Bystanders, bothStates)
		b.add(zeroOffsets, []int64{m.From, m.From})
		b.add(zeroOffsets, []int64{m.To, m.To})
		b.add(zeros, twice(m.Records))
		b.add(zeros, twice(m.Missing))
		b.add(zeros, twice(m.Events))
		b.add(zeros, twice(m.Rejected))
		b.add(zeros, twice(m.Filtered))
		b.add(none, orNone([]int64{m.FirstEvent, m.FirstEvent}))
		b.add(zeroOffsets, []int64{m.LastEvent, m.LastEvent})
		b.add(make([][]uint32, n), [][]uint32{m.Minutes, nil})
		b.add(make([]uint8, n), []uint8{mixed, mixed})
		b.add(zeros, twice(m.Unreadable))
		b.add(make([][]string, n), [][]string{m.Why, m.Why})
		b.add(zeroOffsets, []int64{m.LastRecord, m.LastRecord})
	})
}

// orNone puts noTime where there is no time.
func orNone(times []int64) []int64 {
	all := make([]int64, len(times))
	for i, t := range times {
		if all[i] = t; t == 0 {
			all[i] = noTime
		}
	}
	return all
}

// orZero is the time in milliseconds that a column merging by min holds, and 0
// for noTime.
func orZero(t int64) int64 {
	if t == noTime {
		return 0
	}
	return t
}

// Counted returns the offset up to which a partition is counted: the greatest
// To of its markers. It is not ok where the partition has none.
func (s *Store) Counted(ctx context.Context, p schema.Partition) (to int64, ok bool, err error) {
	if err := s.sync(ctx, "usage"); err != nil {
		return 0, false, err
	}
	var markers uint64
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`SELECT max(to_offset), count() FROM usage
		WHERE kind = 'month' AND incarnation = %s AND partition = %d`, quote(p.Incarnation), p.Partition)).Scan(&to, &markers)
	if err != nil {
		return 0, false, fmt.Errorf("asking for the markers of %s: %w", p.Incarnation, s.explain(err))
	}
	return to, markers > 0, nil
}

// HasRaw reports whether raw rows of a range are there. One insert is one part,
// so where there is one row there are all.
func (s *Store) HasRaw(ctx context.Context, r schema.Range) (bool, error) {
	return s.has(ctx, "access_events", r)
}

// HasRejects reports whether rejects of a range are there, like HasRaw.
func (s *Store) HasRejects(ctx context.Context, r schema.Range) (bool, error) {
	return s.has(ctx, "rejects", r)
}

func (s *Store) has(ctx context.Context, table string, r schema.Range) (bool, error) {
	if err := s.sync(ctx, table); err != nil {
		return false, err
	}
	var there uint64
	err := s.conn.QueryRow(ctx, fmt.Sprintf(`SELECT count() FROM (SELECT 1 FROM %s
		WHERE pinned = toDate(%d) AND incarnation = %s AND partition = %d AND offset >= %d AND offset < %d LIMIT 1)`,
		table, int32(r.Pinned), quote(r.Incarnation), r.Partition.Partition, r.From, r.To)).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("asking for the rows of %s in %s: %w", r.Incarnation, table, s.explain(err))
	}
	return there > 0, nil
}

// sync waits, on a cluster, until this replica has what others have of a table.
func (s *Store) sync(ctx context.Context, table string) error {
	if s.cluster == "" {
		return nil
	}
	if err := s.conn.Exec(ctx, "SYSTEM SYNC REPLICA "+table+" LIGHTWEIGHT"); err != nil {
		return fmt.Errorf("waiting for the other replicas of %s: %w", table, s.explain(err))
	}
	return nil
}
