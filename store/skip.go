package store

import (
	"context"
	"fmt"
	"time"

	"github.com/overreach/overreach/schema"
)

// Skip says that a person wants a partition to pass what cannot be decoded.
type Skip struct {
	schema.Partition
	Offset, To  int64  // [Offset, To), as the person saw it
	Why         string // bad_crc, bad_compression, bad_batch or old_format
	Reason, Who string
	At          time.Time // UTC
}

// SaveSkip records a skip. Whoever reads the partition takes it up.
func (s *Store) SaveSkip(ctx context.Context, k Skip) error {
	token := fmt.Sprintf("skips %s/%d %d", k.Incarnation, k.Partition.Partition, k.Offset)
	return s.insert(ctx, "skips", []string{"incarnation", "partition", "offset", "to_offset", "why", "reason", "who", "at"}, token, func(b *block) {
		b.row([]any{k.Incarnation, k.Partition.Partition, k.Offset, k.To, k.Why, k.Reason, k.Who, k.At})
	})
}

// Skips reports whether a person wants a partition to pass what it stands before
// at an offset.
func (s *Store) Skips(ctx context.Context, p schema.Partition, offset int64) (bool, error) {
	if err := s.sync(ctx, "skips"); err != nil {
		return false, err
	}
	var n uint64
	err := s.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM skips WHERE incarnation = %s AND partition = %d AND offset = %d",
		quote(p.Incarnation), p.Partition, offset)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("asking whether %s/%d is to pass offset %d: %w", p.Incarnation, p.Partition, offset, s.explain(err))
	}
	return n > 0, nil
}
