package judge

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// reachPartners is for how many partners at a time the sketches of twelve weeks are
// read: of dense days they are 1 MB a capability.
const reachPartners = 10

// answerReach answers questions about whom a partner touched that it had not touched
// before, some partners at a time.
func (r *round) answerReach(ctx context.Context, questions []asked, of []int, answers []usage.Answer) error {
	return r.byBlocks(ctx, questions, of, reachPartners, func(asking []int, partners []string) error {
		return r.readReach(ctx, questions, asking, partners, answers)
	})
}

// readReach answers questions about days of one block.
func (r *round) readReach(ctx context.Context, questions []asked, asking []int, partners []string, answers []usage.Answer) error {
	closed := schema.DayOfSecond(r.version.Watermark)
	begin, end := schema.Day(math.MaxInt32), schema.Day(0)
	for _, i := range asking {
		q := &questions[i].Question
		begin, end = min(begin, q.Spans[0].From-q.History), max(end, min(q.Spans[0].To, closed))
	}
	if begin >= end {
		return nil
	}
	query := schema.UsageQuery{Resolution: schema.Daily, From: begin.Second(), To: end.Second(), Partners: partners, ByBucket: true, Subjects: true}
	for _, name := range partners {
		query.Slots = append(query.Slots, schema.Slot(name))
	}
	byKey := map[schema.FindingKey][]usage.Reach{} // of partner and capability alone
	var slider window.Slider
	read := func() error {
		cells, err := r.judge.store.Usage(ctx, query)
		if err != nil {
			return fmt.Errorf("reading whom partners touched day by day: %w", err)
		}
		for len(cells) > 0 {
			n := slices.IndexFunc(cells, func(c schema.UsageCell) bool { return c.UsageKey != cells[0].UsageKey })
			if n < 0 {
				n = len(cells)
			}
			one, err := reachOf(cells[:n], begin, end, &slider)
			if err != nil {
				return fmt.Errorf("people of %s: %w", cells[0].Partner, err)
			}
			cells = cells[n:]
			whole := schema.FindingKey{Partner: one.Partner}
			byKey[whole] = append(byKey[whole], one)
			if part := (schema.FindingKey{Partner: one.Partner, Capability: one.Capability}); part != whole {
				byKey[part] = append(byKey[part], one)
			}
		}
		return nil
	}
	if err := read(); err != nil { // the whole comes before its parts
		return err
	}
	query.ByCapability, query.Capabilities = true, slices.Sorted(maps.Keys(r.registry.Capabilities))
	if err := read(); err != nil {
		return err
	}
	for _, i := range asking {
		q := &questions[i].Question
		from, to := int(q.Spans[0].From-q.History-begin), int(min(q.Spans[0].To, closed)-begin)
		if from >= to {
			continue
		}
		for _, one := range byKey[schema.FindingKey{Partner: q.Partner, Capability: q.Capability}] {
			one.Begin += schema.Day(from)
			for _, values := range []*[]float64{&one.Accesses, &one.People, &one.Before, &one.New} {
				*values = (*values)[from:to]
			}
			answers[i].Reach = append(answers[i].Reach, one)
		}
	}
	return nil
}

// reachOf lays out day by day whom the cells of one key touched.
func reachOf(cells []schema.UsageCell, begin, end schema.Day, slider *window.Slider) (usage.Reach, error) {
	n := int(end - begin)
	all := make([]float64, 4*n)
	one := usage.Reach{
		UsageKey: cells[0].UsageKey, Begin: begin,
		Accesses: all[:n:n], People: all[n : 2*n : 2*n], Before: all[2*n : 3*n : 3*n], New: all[3*n:],
	}
	states := make([][][]byte, n)
	for _, c := range cells {
		day := schema.DayOfSecond(c.Bucket) - begin
		one.Accesses[day] = float64(c.Accesses)
		states[day] = [][]byte{c.Subjects}
	}
	used := func(day int) bool { return day < n && one.Accesses[day] > 0 }
	next := func(day int) bool { return used(day + 1) }
	at := func(day int) [][]byte { return states[day] }
	for _, slide := range []struct {
		days   int
		wanted func(int) bool
		emit   func(int, window.Estimate)
	}{
		{1, used, func(day int, e window.Estimate) { one.People[day] = math.Min(float64(e.Value), one.Accesses[day]) }},
		{usage.ReachDays, next, func(day int, e window.Estimate) { one.Before[day+1] = float64(e.Value) }},
		{usage.ReachDays + 1, used, func(day int, e window.Estimate) {
			one.New[day] = math.Min(float64(e.Value)-one.Before[day], one.People[day])
		}},
	} {
		if err := slider.Slide(0, n, slide.days, slide.wanted, at, slide.emit); err != nil {
			return usage.Reach{}, err
		}
	}
	return one, nil
}
