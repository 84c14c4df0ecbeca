package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// ready says how this instance does its work, or reports what of it stands still.
func (s *service) ready(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := s.consumer.Incarnations(ctx); err != nil {
		return "", errors.New("no answer from Kafka yet")
	}
	if _, partitions := s.consumer.Owned(); partitions == 0 {
		return "", errors.New("the group has not assigned partitions yet")
	}
	counting := s.consumer.Report()
	if lines := stallLines(time.Now(), slices.Concat(counting.Stalls, s.judge.Stalls())); len(lines) > 0 {
		return "", errors.New(strings.Join(lines, "\n"))
	}
	return readyText(time.Now(), counting.Standby, s.judge.LeftOut()), nil
}

// readyText says that the instance does its work, and which partitions the watermark
// leaves out: all others are judged, so that makes no instance unready.
func readyText(now time.Time, standby bool, leftOut []schema.Stall) string {
	how := "ready"
	if standby {
		how = "ready: a standby, other instances have all partitions"
	}
	return strings.Join(append([]string{how}, stallLines(now, leftOut)...), "\n")
}

// stallLines writes what has stood still for longer than the grace, a line for each
// reason: what, why and since when, the longest first.
func stallLines(now time.Time, stalls []schema.Stall) []string {
	slices.SortStableFunc(stalls, func(a, b schema.Stall) int { return a.Since.Compare(b.Since) })
	var reasons []string
	what, since := map[string][]string{}, map[string]time.Time{}
	for _, st := range stalls {
		if now.Sub(st.Since) < readyGrace {
			continue
		}
		if what[st.Why] == nil {
			reasons = append(reasons, st.Why)
			since[st.Why] = st.Since
		}
		what[st.Why] = append(what[st.Why], st.What)
	}
	lines := make([]string, len(reasons))
	for i, why := range reasons {
		slices.Sort(what[why])
		verb := "stands"
		if len(what[why]) > 1 {
			verb = "stand"
		}
		lines[i] = fmt.Sprintf("%s %s still for %s, since %s: %s", strings.Join(what[why], ", "), verb,
			now.Sub(since[why]).Round(time.Second), since[why].UTC().Format(time.RFC3339), why)
	}
	return lines
}
