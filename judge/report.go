package judge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/overreach/overreach/schema"
)

// write stores the findings, then their changes, then sends the changes. A change
// follows from the last reported change, not from the stored finding, so that a
// crash between the two steps loses no change.
func (r *round) write(ctx context.Context, findings []schema.Finding, stored map[string]schema.Finding) error {
	if err := r.judge.store.WriteFindings(ctx, findings, r.version); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	reached(pointFindings)
	ids := make([]string, 0, len(stored))
	for id := range stored {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	reported, err := r.judge.store.LastReported(ctx, ids)
	if err != nil {
		return fmt.Errorf("reading what was told: %w", err)
	}
	var changes []schema.FindingChange
	for _, id := range ids {
		f := stored[id]
		before, ok := reported[id]
		c := change(before, ok, f)
		if c == "" || c == schema.ChangeEnded && goesOn(f, stored) {
			continue
		}
		if c == schema.ChangeNew && continues(f, stored) {
			c = schema.ChangeContinued
		}
		changes = append(changes, schema.FindingChange{Reported: time.Now().UTC(), After: before.Reported, Kind: c, Finding: f, Version: r.version})
	}
	if len(changes) == 0 {
		return nil
	}
	if !slices.Equal(r.judge.log.Slots(), r.judge.slots) {
		return errOtherSlots // the new owner reports it
	}
	if err := r.judge.store.WriteChanges(ctx, changes); err != nil {
		return fmt.Errorf("writing what is told: %w", err)
	}
	reached(pointChanges)
	r.judge.metrics.reported(changes)
	r.judge.tell(changes)
	reached(pointReported)
	return nil
}

// change returns the change to report of a finding after the last reported one, and
// nothing where nothing is new.
func change(before schema.FindingChange, reported bool, f schema.Finding) schema.ChangeKind {
	was := before.Finding
	switch {
	case !reported && f.State == schema.Withdrawn:
		return ""
	case !reported:
		return schema.ChangeNew // also where it has ended already: nobody knew
	case f.State == was.State && f.Severity == was.Severity:
		return ""
	case f.State == schema.Withdrawn:
		return schema.ChangeWithdrawn
	case f.State == schema.Ended && was.State == schema.Open:
		return schema.ChangeEnded
	case f.State == schema.Open && was.State != schema.Open:
		return schema.ChangeReopened
	case f.Severity == schema.Critical && was.Severity == schema.Warning:
		return schema.ChangeRaised
	}
	return ""
}

// continues reports whether the finding is a new day of an episode: the day before
// has one that lasted to its end.
func continues(f schema.Finding, stored map[string]schema.Finding) bool {
	before, ok := stored[neighbour(f.FindingKey, -1).ID()]
	return ok && before.FindingKey != f.FindingKey && reachesEnd(before)
}

// goesOn reports whether the episode goes on with a finding of the next day.
func goesOn(f schema.Finding, stored map[string]schema.Finding) bool {
	after, ok := stored[neighbour(f.FindingKey, +1).ID()]
	return ok && after.FindingKey != f.FindingKey && after.State != schema.Withdrawn && reachesEnd(f)
}

func reachesEnd(f schema.Finding) bool {
	return f.State != schema.Withdrawn && (f.EndedAt.IsZero() || !f.EndedAt.Before(f.PeriodEnd.Time()))
}
