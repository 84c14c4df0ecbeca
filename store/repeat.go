package store

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/schema"
)

// Repeats says how many accesses bear an id that the partner's accesses bore before,
// as far as the raw events are kept: what the view duplicate_ids lists, in numbers.
type Repeats struct {
	Kept      uint64 // accesses of the time whose raw event is kept
	WithoutID uint64 // of these, without an id
	Repeated  uint64 // of these, with an id that an earlier access bore
}

// repeatsMemory is how many bytes of ids are held before ClickHouse groups on disk.
const repeatsMemory = 1 << 30

// Repeats counts the repeated ids of a partner in the days from and to, both
// included.
func (s *Store) Repeats(ctx context.Context, partner string, from, to schema.Day) (r Repeats, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_group_by": repeatsMemory}))
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`
		SELECT sum(n), sumIf(n, without), toUInt64(sumIf(n - (first >= toDateTime64(%[2]d, 3, 'UTC')), n > 0 AND NOT without))
		FROM
		(
			SELECT countIf(e.time >= toDateTime64(%[2]d, 3, 'UTC') AND e.time < toDateTime64(%[3]d, 3, 'UTC')) AS n, min(e.time) AS first, e.id = '' AS without
			FROM access_events AS e
			WHERE e.partner = %[1]s AND NOT (e.status IN (401, 403, 429) OR e.status BETWEEN 500 AND 599)
			GROUP BY sipHash128(e.id), without
		)`, quote(partner), from.Second(), (to+1).Second())).Scan(&r.Kept, &r.WithoutID, &r.Repeated)
	if err != nil {
		return Repeats{}, fmt.Errorf("counting repeated ids of %s: %w", partner, s.explain(err))
	}
	return r, nil
}
