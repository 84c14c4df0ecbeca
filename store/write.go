package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// Judged returns how far judging has come in the given slots, ordered by slot,
// cadence, incarnation and partition.
func (s *Store) Judged(ctx context.Context, slots []uint8) ([]schema.Position, error) {
	rows, err := s.conn.Query(ctx, "SELECT slot, CAST(cadence AS Int8), incarnation, partition, to_offset, toInt64(toUnixTimestamp(watermark)), registry FROM judged FINAL WHERE "+
		in("slot", numbers(slots))+" ORDER BY slot, cadence, incarnation, partition")
	if err != nil {
		return nil, fmt.Errorf("reading judged: %w", s.explain(err))
	}
	var all []schema.Position
	err = scan(rows, func() error {
		var p schema.Position
		var cadence int8
		if err := rows.Scan(&p.Slot, &cadence, &p.Incarnation, &p.Partition.Partition, &p.To, &p.Watermark, &p.Registry); err != nil {
			return err
		}
		p.Cadence = schema.Cadence(cadence)
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading judged: %w", s.explain(err))
	}
	return all, nil
}

// WriteJudged records how far judging has come. A position never goes back: of
// several for one slot, cadence and partition the one with the greatest To, then
// registry, then watermark stays.
func (s *Store) WriteJudged(ctx context.Context, positions []schema.Position) error {
	if len(positions) == 0 {
		return nil
	}
	columns := []string{"slot", "cadence", "incarnation", "partition", "to_offset", "watermark", "registry"}
	return s.insert(ctx, "judged", columns, "", func(b *block) {
		for _, p := range positions {
			b.row([]any{p.Slot, p.Cadence.String(), p.Incarnation, p.Partition.Partition, p.To, time.Unix(p.Watermark, 0), p.Registry})
		}
	})
}

// SaveRegistry records a version of the registry with its grants, canonical
// being its canonical form, and returns its ordinal: that of the latest version
// where nothing has changed, one more where something has. Processes that do so
// at once agree: one of them wins the next ordinal, the others come after it.
func (s *Store) SaveRegistry(ctx context.Context, r *registry.Registry, canonical []byte) (ordinal uint32, err error) {
	const tries = 20 // each lost one means that another process has saved a version
	for range tries {
		ordinal, latest, err := s.latestRegistry(ctx)
		if err != nil {
			return 0, err
		}
		if latest == r.SHA256 {
			return ordinal, s.saveGrants(ctx, ordinal, r)
		}
		// The token lets one insert of this ordinal through.
		token := fmt.Sprintf("registry_versions %d", ordinal+1)
		err = s.insert(ctx, "registry_versions", []string{"ordinal", "sha256", "loaded", "text"}, token, func(b *block) {
			b.add([]uint32{ordinal + 1})
			b.add([]string{r.SHA256})
			b.add([]time.Time{time.Now()})
			b.add([][]byte{canonical})
		})
		if err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("saving the registry: %d times another process saved another version first: give all processes the same registry", tries)
}

func (s *Store) latestRegistry(ctx context.Context) (ordinal uint32, sha string, err error) {
	if err := s.sync(ctx, "registry_versions"); err != nil {
		return 0, "", err
	}
	err = s.conn.QueryRow(ctx, "SELECT max(ordinal), argMax(sha256, ordinal) FROM registry_versions").Scan(&ordinal, &sha)
	if err != nil {
		return 0, "", fmt.Errorf("reading registry_versions: %w", s.explain(err))
	}
	return ordinal, sha, nil
}

// saveGrants writes the grants of a version where they are not there yet, as
// after a crash behind the version's own row.
func (s *Store) saveGrants(ctx context.Context, ordinal uint32, r *registry.Registry) error {
	var rows [][]any
	for _, name := range slices.Sorted(maps.Keys(r.Partners)) {
		p := r.Partners[name]
		for _, g := range p.Grants {
			purpose := g.Purpose
			if purpose == "" {
				purpose = p.Purpose
			}
			for _, a := range g.Actions {
				rows = append(rows, []any{ordinal, name, g.Capability, a.String(), g.From.Time(), dayOrNull(g.Until),
					purpose, p.Owner, dayOrNull(p.AgreementStart), dayOrNull(p.AgreementEnd)})
			}
		}
	}
	if err := s.sync(ctx, "registry_grants"); err != nil {
		return err
	}
	var saved uint64
	err := s.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM registry_grants WHERE ordinal = %d", ordinal)).Scan(&saved)
	if err != nil {
		return fmt.Errorf("reading registry_grants: %w", s.explain(err))
	}
	if saved > 0 || len(rows) == 0 {
		return nil
	}
	columns := []string{"ordinal", "partner", "capability", "action", "from", "until", "purpose", "owner", "agreement_start", "agreement_end"}
	return s.insert(ctx, "registry_grants", columns, fmt.Sprintf("registry_grants %d", ordinal), func(b *block) {
		for _, row := range rows {
			b.row(row)
		}
	})
}
