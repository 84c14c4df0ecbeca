package judge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// fewMinutes is up to how many touched minutes are read as such; for more, whole
// days are, which names some partners in vain and is cheaper.
const fewMinutes = 120

// manyCells is how many cells (partner, capability, action and day or minute) are
// read at once of everybody; where there are more, only of those judged by name.
const manyCells = 200_000

// active reads which partners used which scopes on the days, in our slots.
func (r *round) active(ctx context.Context, cadence schema.Cadence, days []schema.Day, minutes []int64) ([]usage.Activity, error) {
	q := schema.UsageQuery{
		Resolution: schema.Daily, From: days[0].Second(), To: (days[len(days)-1] + 1).Second(),
		Slots: r.judge.slots, ByCapability: true, ByAction: true, ByBucket: true,
	}
	if cadence == schema.CadenceMinute && len(minutes) > 0 && len(minutes) <= fewMinutes {
		q.Resolution, q.Buckets = schema.Minute, make([]int64, len(minutes))
		for i, m := range minutes {
			q.Buckets[i] = m * 60
		}
	}
	q.Limit = manyCells
	cells, err := r.judge.store.Usage(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("reading who was active: %w", err)
	}
	if len(cells) == manyCells {
		// More than anybody's registry makes: names that were made up. They are left
		// out by ClickHouse, so that the judge's memory does not grow with them.
		if err := r.readStrangers(ctx); err != nil {
			return nil, err
		}
		q.Limit, q.Partners = 0, append(slices.Sorted(maps.Keys(r.registry.Partners)), r.judge.named...)
		if cells, err = r.judge.store.Usage(ctx, q); err != nil {
			return nil, fmt.Errorf("reading who was active by name: %w", err)
		}
	}
	apart, err := r.unregistered(ctx, cadence, cells)
	if err != nil {
		return nil, err
	}
	var activities []usage.Activity
	for _, c := range cells { // sorted by partner
		if apart != nil && !apart(c.Partner) {
			continue
		}
		if n := len(activities); n == 0 || activities[n-1].Partner != c.Partner {
			activities = append(activities, usage.Activity{Partner: c.Partner})
		}
		a := &activities[len(activities)-1]
		day := schema.DayOfSecond(c.Bucket)
		if _, ok := slices.BinarySearch(days, day); !ok {
			continue
		}
		a.Days = append(a.Days, day)
		a.Scopes = append(a.Scopes, usage.Scope{Capability: c.Capability, Action: c.Action})
	}
	for i := range activities {
		tidy(&activities[i])
	}
	return activities, nil
}

// unregistered returns which partners among the cells are judged by name, nil
// for all: the registered ones and, of the strangers that were ever seen, the
// names with the lowest hashes, so that every instance chooses alike. They are
// read again with the days' cadence, and before that where new names are too many.
func (r *round) unregistered(ctx context.Context, cadence schema.Cadence, cells []schema.UsageCell) (func(partner string) bool, error) {
	j := r.judge
	strangers, fresh := 0, 0
	for i, c := range cells {
		if _, ok := r.registry.Partners[c.Partner]; ok || i > 0 && cells[i-1].Partner == c.Partner {
			continue
		}
		strangers++
		if _, ok := slices.BinarySearch(j.named, c.Partner); !ok {
			fresh++
		}
	}
	if strangers == 0 || cadence != schema.CadenceDay && j.named != nil && j.folded == 0 && len(j.named)+fresh <= j.cfg.MaxUnregistered {
		return nil, nil
	}
	if err := r.readStrangers(ctx); err != nil || j.folded == 0 {
		return nil, err
	}
	return r.byName, nil
}

// byName reports whether a partner is judged by name: all are where the
// strangers are not too many.
func (r *round) byName(partner string) bool {
	_, registered := r.registry.Partners[partner]
	_, named := slices.BinarySearch(r.judge.named, partner)
	return r.judge.folded == 0 || registered || named || partner == detectors.Folded
}

// readStrangers reads, once a round, which unregistered partners are judged by
// name and how many are not.
func (r *round) readStrangers(ctx context.Context) error {
	j := r.judge
	if r.strangersRead {
		return nil
	}
	names, others, err := j.store.Unregistered(ctx, slices.Sorted(maps.Keys(r.registry.Partners)), j.cfg.MaxUnregistered)
	if err != nil {
		return fmt.Errorf("reading unregistered partners: %w", err)
	}
	slices.Sort(names)
	j.named, j.folded, r.strangersRead = append([]string{}, names...), others, true
	j.metrics.unregistered(len(names), others)
	return nil
}

// rest returns the activity of the unregistered partners that are not judged by
// name, added up; nil where there are none, or their slot is another instance's.
func (r *round) rest(ctx context.Context, days []schema.Day) ([]usage.Activity, error) {
	if !slices.Contains(r.judge.slots, schema.Slot(detectors.Folded)) {
		return nil, nil
	}
	if err := r.readStrangers(ctx); err != nil || r.judge.folded == 0 {
		return nil, err
	}
	return []usage.Activity{{Partner: detectors.Folded, Days: days}}, nil
}

// usage reads the usage of partners. The rest alone, which has no name in the
// store, is everybody who is not judged by name, added up.
func (r *round) usage(ctx context.Context, q schema.UsageQuery, partners ...string) ([]schema.UsageCell, error) {
	if !slices.Equal(partners, []string{detectors.Folded}) {
		q.Partners = partners
		return r.judge.store.Usage(ctx, q)
	}
	if err := r.readStrangers(ctx); err != nil {
		return nil, err
	}
	q.NotPartners = append([]string{}, slices.Sorted(maps.Keys(r.registry.Partners))...) // never nil: nil would list each partner by name
	q.NotPartners = append(q.NotPartners, r.judge.named...)
	cells, err := r.judge.store.Usage(ctx, q)
	for i := range cells {
		cells[i].Partner = detectors.Folded
	}
	return cells, err
}

// found returns an activity for each partner that has findings in our slots, so
// that they are asked for again: those that have not ended, and of a pass over
// closed buckets only its own, and all of them where the registry changed, since
// not every day is judged again.
func (r *round) found(ctx context.Context, p pass) ([]usage.Activity, error) {
	findings, err := r.judge.store.Findings(ctx, schema.FindingsQuery{Slots: r.judge.slots, OpenOnly: !p.cadence.Closed() || !p.changed})
	if err != nil {
		return nil, fmt.Errorf("reading findings to judge again: %w", err)
	}
	byPartner := map[string]*usage.Activity{}
	for _, f := range findings {
		if p.cadence.Closed() && !p.judges(f.Window) {
			continue
		}
		a := byPartner[f.Partner]
		if a == nil {
			a = &usage.Activity{Partner: f.Partner}
			byPartner[f.Partner] = a
		}
		a.Open = append(a.Open, f.FindingKey)
		askFor(a, &f.Finding)
		if f.PeriodEnd != 0 {
			a.Days = append(a.Days, f.PeriodEnd-1) // what lasts to there goes on in the next period
		}
	}
	activities := make([]usage.Activity, 0, len(byPartner))
	for _, name := range slices.Sorted(maps.Keys(byPartner)) {
		tidy(byPartner[name])
		activities = append(activities, *byPartner[name])
	}
	return activities, nil
}

// following adds to the activities what asks for those findings of the pass
// again whose evidence says what was usual on one of the touched days.
func (r *round) following(ctx context.Context, p pass, activities []usage.Activity) error {
	if len(activities) == 0 {
		return nil
	}
	byPartner := map[string]int{}
	for i, a := range activities {
		byPartner[a.Partner] = i
	}
	findings, err := r.judge.store.Findings(ctx, schema.FindingsQuery{Partners: slices.Collect(maps.Keys(byPartner))})
	if err != nil {
		return fmt.Errorf("reading the findings that follow: %w", err)
	}
	again := slices.DeleteFunc(findings, func(f schema.VersionedFinding) bool {
		before := schema.DayOf(f.EvidenceFrom)
		back := schema.Day(usualDays)
		if p.cadence.Closed() {
			back = detectors.LongestHistory
		}
		usual := func(d schema.Day) bool { return d >= before-back && d < before }
		return !p.judges(f.Window) || f.State == schema.Withdrawn || !slices.ContainsFunc(activities[byPartner[f.Partner]].Days, usual)
	})
	for i := range again {
		askFor(&activities[byPartner[again[i].Partner]], &again[i].Finding)
	}
	for i := range activities {
		tidy(&activities[i])
	}
	return nil
}

// askFor adds to an activity what leads to a finding's question.
func askFor(a *usage.Activity, f *schema.Finding) {
	a.Days = append(a.Days, max(f.Period, 1))
	if f.Window == schema.WindowPeriod {
		a.Days = append(a.Days, schema.DayOf(f.FirstSeen)) // its period may begin before what it is about
	}
	if f.Capability != "" {
		for _, action := range schema.Actions {
			a.Scopes = append(a.Scopes, usage.Scope{Capability: f.Capability, Action: action})
		}
	}
}

func tidy(a *usage.Activity) {
	slices.Sort(a.Days)
	a.Days = slices.Compact(a.Days)
	slices.SortFunc(a.Scopes, func(x, y usage.Scope) int {
		return cmp.Or(cmp.Compare(x.Capability, y.Capability), cmp.Compare(x.Action, y.Action))
	})
	a.Scopes = slices.Compact(a.Scopes)
}
