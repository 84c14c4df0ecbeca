package judge

import (
	"context"
	"fmt"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// judgeGaps reads what was not counted of the log wherever that may have changed,
// finds the gaps, and has findings that are known already say whether they are
// complete, and which partitions the watermark leaves out. Times are narrowed when the events after a gap come, so gaps are read
// until those have.
func (r *round) judgeGaps(ctx context.Context) error {
	j := r.judge
	missing, partial := uint64(0), slices.ContainsFunc(j.gaps, func(g schema.Gap) bool { return g.Last == 0 })
	for _, e := range r.extents {
		missing += e.Missing + e.Unreadable
	}
	if j.gapsRead && missing == j.missing && !partial && !j.outChanged {
		return nil
	}
	before, read := j.gaps, j.gapsRead
	gaps, err := j.store.Gaps(ctx)
	if err != nil {
		return fmt.Errorf("reading gaps: %w", err)
	}
	j.gaps, j.missing, j.gapsRead = gaps, missing, true
	if !j.outChanged && (read && slices.Equal(before, gaps) || !read && len(gaps) == 0) {
		return nil
	}
	if err := r.reportGaps(ctx); err != nil {
		j.gapsRead = false // once more
		return err
	}
	j.outChanged = false
	return nil
}

func (r *round) reportGaps(ctx context.Context) error {
	if slices.Contains(r.judge.slots, schema.Slot(detectors.NoPartner)) {
		coverage := usage.Activity{Partner: detectors.NoPartner, Gaps: r.judge.gaps}
		if err := r.judgeActivities(ctx, pass{cadence: schema.CadenceMinute}, []usage.Activity{coverage}); err != nil {
			return err
		}
	}
	found, err := r.judge.store.Findings(ctx, schema.FindingsQuery{Slots: r.judge.slots})
	if err != nil {
		return fmt.Errorf("reading findings that a gap may touch: %w", err)
	}
	var changed []schema.Finding
	for i := range found {
		f := &found[i].Finding
		if f.Partner == detectors.NoPartner || f.State == schema.Withdrawn {
			continue
		}
		missing, merged := r.missing(f)
		if merged > 0 {
			missing = max(missing, f.Missing) // what it said while that was known exactly
		}
		if unseen := r.blindSpots(f); missing != f.Missing || unseen != f.BlindSpots {
			f.Missing, f.Complete, f.BlindSpots = missing, missing == 0, unseen
			changed = append(changed, *f)
		}
	}
	if err := r.judge.store.WriteFindings(ctx, changed, r.version); err != nil {
		return fmt.Errorf("writing which findings are not complete: %w", err)
	}
	return nil
}

// missing returns how many lost records may be of a finding's evidence: by the
// markers of batches, and by those that only the marker of a month is left of.
func (r *round) missing(f *schema.Finding) (exact, merged uint64) {
	from, to := f.EvidenceFrom.UnixMilli(), f.EvidenceTo.UnixMilli()
	for i := range r.judge.gaps {
		g := &r.judge.gaps[i]
		switch {
		case !g.Touches(from, to, r.judge.cfg.Lateness.Milliseconds()):
		case g.Merged:
			merged += g.Missing
		default:
			exact += g.Missing
		}
	}
	return exact, merged
}

// gapsOf returns the gaps of a question about coverage.
func (r *round) gapsOf(k schema.FindingKey) []schema.Gap {
	var gaps []schema.Gap
	for _, g := range r.judge.gaps {
		if !g.Merged && (detectors.DataGap{}).Key(&g) == k {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// gapQuery writes the ClickHouse query for the partition that a gap is in.
func gapQuery(gaps []schema.Gap) string {
	if len(gaps) == 0 {
		return ""
	}
	return fmt.Sprintf("SELECT * FROM coverage WHERE incarnation = %s AND partition = %d", quote(gaps[0].Incarnation), gaps[0].Partition.Partition)
}
