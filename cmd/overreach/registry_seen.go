package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// usageReader reads usage, as the store does.
type usageReader interface {
	Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error)
}

// seenBy sums up what every partner did, for a draft of a registry.
func seenBy(ctx context.Context, from usageReader) ([]registry.Seen, error) {
	days, err := from.Usage(ctx, schema.UsageQuery{
		Resolution: schema.Daily, To: 1 << 32, ByCapability: true, ByAction: true, ByBucket: true,
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(days, func(a, b schema.UsageCell) int {
		return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Bucket, b.Bucket))
	})
	var all []registry.Seen
	for len(days) > 0 {
		partner := days[0].Partner
		n := 0
		for n < len(days) && days[n].Partner == partner {
			n++
		}
		seen, err := seenOf(ctx, from, days[:n])
		if err != nil {
			return nil, err
		}
		all, days = append(all, seen...), days[n:]
	}
	return all, nil
}

// seenOf sums up what one partner did: a row for each scope, one for each
// capability and one for all. days are its own, in the order of time.
func seenOf(ctx context.Context, from usageReader, days []schema.UsageCell) ([]registry.Seen, error) {
	partner := days[0].Partner
	rows := map[usedScope]*registry.Seen{}
	for _, d := range days {
		day := schema.DayOfSecond(d.Bucket)
		for _, s := range scopesOf(d) {
			row := rows[s]
			if row == nil {
				row = &registry.Seen{Partner: partner, Capability: s.capability, Action: s.action,
					People: map[schema.Window]uint64{}, First: day}
				rows[s] = row
			}
			row.Last = day
		}
	}
	for _, w := range schema.Windows {
		for _, span := range readSpans(w, schema.DayOfSecond(days[0].Bucket), schema.DayOfSecond(days[len(days)-1].Bucket)) {
			if !slices.ContainsFunc(days, func(d schema.UsageCell) bool {
				return d.Bucket >= span.from && d.Bucket < span.to
			}) {
				continue // nothing was done, so no window that ends in it is the greatest
			}
			cells, err := from.Usage(ctx, schema.UsageQuery{
				Resolution: w.Step(), From: span.from - span.lead, To: span.to, Partners: []string{partner},
				ByCapability: true, ByAction: true, ByBucket: true, Subjects: true,
			})
			if err != nil {
				return nil, err
			}
			if err := raisePeaks(rows, w, span, cells); err != nil {
				return nil, fmt.Errorf("usage of %s: %w", partner, err)
			}
		}
	}
	var seen []registry.Seen
	for _, row := range rows {
		seen = append(seen, *row)
	}
	slices.SortFunc(seen, func(a, b registry.Seen) int {
		return cmp.Or(cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.Action, b.Action))
	})
	return seen, nil
}

// usedScope is a scope; action 0 is all actions of a capability, and without a
// capability it is all that a partner does.
type usedScope struct {
	capability string
	action     schema.Action
}

func scopesOf(c schema.UsageCell) [3]usedScope {
	return [3]usedScope{{c.Capability, c.Action}, {c.Capability, 0}, {"", 0}}
}

// readSpan is a span of event time that is read at once, in seconds since 1970;
// windows that end in it reach back by lead.
type readSpan struct{ from, to, lead int64 }

// readSpans cuts the days from first to last so that one read stays small: weeks
// where a window is made of minutes, 60 days of hours, years of days, and each
// calendar month alone.
func readSpans(w schema.Window, first, last schema.Day) []readSpan {
	length := map[schema.Resolution]schema.Day{schema.Minute: 7, schema.Hourly: 60, schema.Daily: 366}[w.Step()]
	lead := int64(max(w.Buckets()-1, 0)) * w.Step().Seconds()
	var spans []readSpan
	for from := first; from <= last; {
		to := from + length
		if w == schema.WindowMonth {
			to = from.NextMonth()
		}
		spans = append(spans, readSpan{from.Second(), to.Second(), lead})
		from = to
	}
	return spans
}

// raisePeaks raises the people of each row to the most in any window that ends
// in the span.
func raisePeaks(rows map[usedScope]*registry.Seen, w schema.Window, span readSpan, cells []schema.UsageCell) error {
	step := w.Step().Seconds()
	start := span.from - span.lead
	states := map[usedScope]map[int][][]byte{}
	for _, c := range cells {
		for _, s := range scopesOf(c) {
			if states[s] == nil {
				states[s] = map[int][][]byte{}
			}
			i := int((c.Bucket - start) / step)
			states[s][i] = append(states[s][i], c.Subjects)
		}
	}
	buckets := int((span.to - start) / step)
	length := w.Buckets()
	if w == schema.WindowMonth {
		length = buckets
	}
	var slider window.Slider
	for s, of := range states {
		row := rows[s]
		if row == nil {
			continue // its day is not kept, its minutes are: the rows went in between
		}
		used := func(i int) bool { return of[i] != nil } // people are most where some were added
		err := slider.Slide(int(span.lead/step), buckets, length, used,
			func(i int) [][]byte { return of[i] },
			func(_ int, e window.Estimate) { row.People[w] = max(row.People[w], e.Value) })
		if err != nil {
			return err
		}
	}
	return nil
}
