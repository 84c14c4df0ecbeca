package store

import (
	"context"
	"fmt"
	"time"

	"github.com/overreach/overreach/schema"
)

// Standing returns the partitions whose own time stood still when somebody wrote so
// last, and those of which somebody wrote that it no longer does, ordered by incarnation and
// partition.
func (s *Store) Standing(ctx context.Context) ([]schema.Standing, error) {
	rows, err := s.conn.Query(ctx, "SELECT incarnation, partition, toUnixTimestamp64Milli(latest), to_offset, backlog, stood, left_out, "+
		"ifNull(toUnixTimestamp64Milli(unread_since), 0) FROM watermark_stalls FINAL ORDER BY incarnation, partition")
	if err != nil {
		return nil, fmt.Errorf("reading watermark_stalls: %w", s.explain(err))
	}
	var all []schema.Standing
	err = scan(rows, func() error {
		var one schema.Standing
		var stood uint32
		if err := rows.Scan(&one.Incarnation, &one.Partition.Partition, &one.Time, &one.To, &one.Backlog, &stood, &one.LeftOut, &one.Unread); err != nil {
			return err
		}
		one.Stood, one.Unread = time.Duration(stood)*time.Second, one.Unread/1000
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading watermark_stalls: %w", s.explain(err))
	}
	return all, nil
}

// WriteStanding writes of partitions whether and how they stand. The latest that is
// written of one, by ClickHouse's clock, is what Standing returns of it.
func (s *Store) WriteStanding(ctx context.Context, all []schema.Standing) error {
	if len(all) == 0 {
		return nil
	}
	columns := []string{"incarnation", "partition", "latest", "to_offset", "backlog", "stood", "left_out", "unread_since"}
	return s.insert(ctx, "watermark_stalls", columns, "", func(b *block) {
		for _, one := range all {
			var unread *time.Time
			if one.Backlog > 0 {
				at := time.Unix(one.Unread, 0).UTC()
				unread = &at
			}
			b.row([]any{one.Incarnation, one.Partition.Partition, time.UnixMilli(one.Time).UTC(), one.To, one.Backlog,
				uint32(one.Stood / time.Second), one.LeftOut, unread}) //nolint:gosec // at most time.stalled_after
		}
	})
}
