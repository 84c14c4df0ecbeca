package naive

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func compareVersions(a, b schema.Version) int {
	return cmp.Or(cmp.Compare(a.Offsets, b.Offsets), cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Watermark, b.Watermark))
}

// Findings reads the latest version of findings.
func (s *Store) Findings(_ context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []schema.VersionedFinding
	for id, f := range s.findings {
		if among(q.IDs, id) && among(q.Partners, f.Partner) && among(q.Slots, schema.Slot(f.Partner)) && (!q.OpenOnly || f.State == schema.Open) {
			f.Contributors, f.OtherCauses = slices.Clone(f.Contributors), slices.Clone(f.OtherCauses)
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b schema.VersionedFinding) int {
		return cmp.Or(cmp.Compare(a.Detector, b.Detector), cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability),
			cmp.Compare(a.Window, b.Window), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Period, b.Period), cmp.Compare(a.ID(), b.ID()))
	})
	return all, nil
}

// WriteFindings keeps of each finding its greatest version, of two alike the later.
func (s *Store) WriteFindings(_ context.Context, findings []schema.Finding, v schema.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range findings {
		if before, ok := s.findings[f.ID()]; !ok || compareVersions(v, before.Version) >= 0 {
			s.findings[f.ID()] = schema.VersionedFinding{Finding: f, Version: v}
		}
	}
	return nil
}

// LastReported returns the last change of each of the findings.
func (s *Store) LastReported(_ context.Context, ids []string) (map[string]schema.FindingChange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := map[string]schema.FindingChange{}
	for _, c := range s.changes {
		id := c.Finding.ID()
		before, ok := last[id]
		if slices.Contains(ids, id) && (!ok || cmp.Or(c.Reported.Compare(before.Reported), cmp.Compare(c.Version.Offsets, before.Version.Offsets)) > 0) {
			c.After = time.Time{}
			last[id] = c
		}
	}
	return last, nil
}

// WriteChanges adds what was told: of two that go on from the same last change the
// first.
func (s *Store) WriteChanges(_ context.Context, changes []schema.FindingChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		token := fmt.Sprintf("%s %d", c.Finding.ID(), c.After.UnixMilli())
		if s.told[token] {
			continue
		}
		s.told[token] = true
		c.Reported = c.Reported.UTC().Truncate(time.Millisecond)
		s.changes = append(s.changes, c)
	}
	return nil
}

// Changes returns everything that was told, in the order in which it was.
func (s *Store) Changes() []schema.FindingChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// WriteScores keeps of each score its latest version.
func (s *Store) WriteScores(_ context.Context, scores []schema.Score, v schema.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range scores {
		k := scoreKey{one.Detector, one.UsageKey, one.Metric, one.Bucket, one.Step}
		if before, ok := s.scored[k]; !ok || v.Offsets >= before {
			s.scores[k], s.scored[k] = one, v.Offsets
		}
	}
	return nil
}

// Scores returns every score.
func (s *Store) Scores() []schema.Score {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.scores), func(a, b schema.Score) int {
		return cmp.Or(cmp.Compare(a.Detector, b.Detector), cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability),
			cmp.Compare(a.App, b.App), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Step, b.Step))
	})
}

// Judged returns how far judging has come in some slots.
func (s *Store) Judged(_ context.Context, slots []uint8) ([]schema.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []schema.Position
	for _, p := range s.judged {
		if slices.Contains(slots, p.Slot) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b schema.Position) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Cadence, b.Cadence), cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return all, nil
}

// WriteJudged keeps of each position the one that has come furthest.
func (s *Store) WriteJudged(_ context.Context, positions []schema.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		k := judgedKey{p.Slot, p.Cadence, p.Partition}
		if before, ok := s.judged[k]; !ok || cmp.Or(cmp.Compare(p.To, before.To), cmp.Compare(p.Registry, before.Registry), cmp.Compare(p.Watermark, before.Watermark)) >= 0 {
			s.judged[k] = p
		}
	}
	return nil
}

// Standing returns what was written last of each partition that stood.
func (s *Store) Standing(context.Context) ([]schema.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.standing))
	slices.SortFunc(all, func(a, b schema.Standing) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition.Partition, b.Partition.Partition))
	})
	return all, nil
}

// WriteStanding keeps the latest of each partition.
func (s *Store) WriteStanding(_ context.Context, all []schema.Standing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range all {
		s.standing[one.Partition] = one
	}
	return nil
}

// SaveRegistry returns the ordinal of a version of the registry: a new one where
// it is not the latest.
func (s *Store) SaveRegistry(_ context.Context, r *registry.Registry, _ []byte) (ordinal uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.registries); n == 0 || s.registries[n-1] != r.SHA256 {
		s.registries = append(s.registries, r.SHA256)
	}
	return uint32(len(s.registries)), nil //nolint:gosec // few
}

// Close does nothing.
func (*Store) Close() error { return nil }
