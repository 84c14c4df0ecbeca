package judge

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// What one step of a round holds at most.
const (
	markersARead = 2000 // of each partition
	daysASlice   = 31
	partnersAAsk = 500

	// So many partners × 12 keys ≈ seriesAtOnce; a larger chunk is split and read again.
	partnersCompared = 150
)

// round is one round of the judge: a registry, a version, and what is touched.
type round struct {
	judge    *Judge
	registry *registry.Registry
	version  schema.Version
	extents  []schema.Marker

	strangersRead bool // the judge's named and folded are this round's
	peers         *peers
}

// run judges, for one cadence, what the markers since its last run have touched.
func (r *round) run(ctx context.Context, cadence schema.Cadence) error {
	j := r.judge
	for {
		markers, err := j.store.Markers(ctx, j.at[cadence], markersARead)
		if err != nil {
			return fmt.Errorf("reading markers: %w", err)
		}
		to, minutes := r.chain(cadence, markers)
		full := more(markers)
		changed := j.judgedBy[cadence] != 0 && j.judgedBy[cadence] != r.version.Registry
		rolls := r.version.Watermark/60 > j.rolled[cadence]/60 && !full
		if len(to) == 0 && !changed && !rolls {
			return nil
		}
		if err := r.judgeTouched(ctx, cadence, minutes, changed, rolls); err != nil {
			return err
		}
		if rolls {
			j.rolled[cadence] = r.version.Watermark // the judge's may be later: rounds of minutes come between
		}
		if err := j.store.WriteJudged(ctx, r.positions(cadence, to)); err != nil {
			return fmt.Errorf("writing how far was judged: %w", err)
		}
		reached(pointJudged)
		maps.Copy(j.at[cadence], to)
		j.judgedBy[cadence] = r.version.Registry
		if !full || len(to) == 0 {
			return nil
		}
	}
}

// judgeTouched judges every key that the minutes touched, in slices of event
// time, oldest first; every key of all where the registry changed; and the keys
// of open findings where the watermark rolled. Of closed buckets it judges those that
// have closed since, and those that were touched again.
func (r *round) judgeTouched(ctx context.Context, cadence schema.Cadence, minutes []int64, changed, rolls bool) error {
	p := pass{cadence: cadence, changed: changed}
	days := daysOf(minutes)
	switch {
	case cadence.Closed():
		p.fresh = r.closes(cadence, minutes, changed, rolls)
		if len(p.fresh) == 0 {
			return nil
		}
		days, minutes = slices.Sorted(maps.Keys(p.fresh)), nil
	case changed:
		days, minutes = r.everyDay(), nil
	}
	if err := r.judgeDays(ctx, p, days, minutes); err != nil {
		return err
	}
	if !rolls && !changed && !cadence.Closed() {
		return nil
	}
	return r.judgeFound(ctx, p)
}

// judgeDays judges what was active on the days, in slices of event time, oldest
// first.
func (r *round) judgeDays(ctx context.Context, p pass, days []schema.Day, minutes []int64) error {
	days, err := r.used(ctx, days)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(days, daysASlice) {
		activities, err := r.active(ctx, p.cadence, chunk, minutes)
		if err != nil {
			return err
		}
		if p.cadence == schema.CadenceDay {
			rest, err := r.rest(ctx, chunk)
			if err != nil {
				return err
			}
			activities = append(activities, rest...)
		}
		if err := r.following(ctx, p, activities); err != nil {
			return err
		}
		if err := r.judgeActivities(ctx, p, activities); err != nil {
			return err
		}
	}
	return nil
}

// used leaves out of many days those on which nothing was counted: nobody was active
// on them. One event whose clock was never set makes the log decades long.
func (r *round) used(ctx context.Context, days []schema.Day) ([]schema.Day, error) {
	if len(days) <= daysASlice {
		return days, nil
	}
	cells, err := r.judge.store.Usage(ctx, schema.UsageQuery{
		Resolution: schema.Daily, From: days[0].Second(), To: (days[len(days)-1] + 1).Second(), NotPartners: []string{}, ByBucket: true,
	})
	if err != nil {
		return nil, fmt.Errorf("reading on which days anything was counted: %w", err)
	}
	counted := map[schema.Day]bool{}
	for _, c := range cells {
		counted[schema.DayOfSecond(c.Bucket)] = true
	}
	return slices.DeleteFunc(days, func(d schema.Day) bool { return !counted[d] }), nil
}

// judgeFound judges the keys of findings that may have ended.
func (r *round) judgeFound(ctx context.Context, p pass) error {
	activities, err := r.found(ctx, p)
	if err != nil {
		return err
	}
	return r.judgeActivities(ctx, p, activities)
}

// lastWeek is how many days are compared anew with what is usual where the registry
// changed, beside those with findings: a year of them would take minutes.
const lastWeek = 7

// closes returns on which days buckets of the cadence's width have closed since it
// was last judged, or were closed and have been touched, each with the first
// of these buckets; where the registry changed, the days of the last week too.
func (r *round) closes(cadence schema.Cadence, minutes []int64, changed, rolls bool) map[schema.Day]int64 {
	rolled, step := r.judge.rolled[cadence], cadence.Step().Seconds()
	if rolled == 0 && !rolls {
		return nil // once the watermark is known, every day is due
	}
	until := window.Start(r.version.Watermark, step)
	fresh := map[schema.Day]int64{}
	due := func(bucket int64) {
		if day := schema.DayOfSecond(bucket); bucket+step <= until {
			if first, ok := fresh[day]; !ok || bucket < first {
				fresh[day] = bucket
			}
		}
	}
	for _, m := range minutes {
		due(window.Start(m*60, step))
	}
	for _, d := range r.everyDay() {
		if rolls && rolled == 0 || changed && d >= schema.DayOfSecond(until)-lastWeek {
			due(d.Second())
		}
	}
	if rolls && rolled > 0 {
		for b := window.Start(rolled, step); b < until; b += step {
			due(b)
		}
	}
	return fresh
}

// daysOf returns the UTC days that the minutes fall in, ascending.
func daysOf(minutes []int64) []schema.Day {
	var days []schema.Day
	for _, m := range minutes {
		days = append(days, schema.DayOfSecond(m*60))
	}
	return slices.Compact(days)
}

// everyDay returns the days between the first and the last event, ascending.
func (r *round) everyDay() []schema.Day {
	first, last := int64(0), int64(0)
	for _, e := range r.extents {
		if e.FirstEvent != 0 && (first == 0 || e.FirstEvent < first) {
			first = e.FirstEvent
		}
		last = max(last, e.LastEvent)
	}
	var days []schema.Day
	if last == 0 {
		return nil
	}
	for d := schema.DayOfSecond(first / 1000); d <= schema.DayOfSecond(last/1000); d++ {
		days = append(days, d)
	}
	return days
}
