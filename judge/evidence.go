package judge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// What evidence holds.
const (
	topContributors = 5
	usualDays       = 28 // closed days before the evidence that say what is usual
	enoughDays      = 7  // fewer say nothing
)

// What of the evidence is read at once: of so many findings, unless they have more
// cells than that, each of which may be 12 kB.
const (
	evidenceAtOnce = 25
	evidenceCells  = 5000
)

// addEvidence reads for findings what an on-call engineer decides by: who in the
// partner did it, beside its own usual value; whose partner it is; whether the log
// was complete; and where the events themselves are. Those that are withdrawn keep
// what they had.
func (r *round) addEvidence(ctx context.Context, all []concluded) error {
	var read []*concluded
	for i := range all {
		c := &all[i]
		if c.State == schema.Withdrawn {
			continue
		}
		if r.addOrigin(c); c.asked.Partner != detectors.NoPartner {
			read = append(read, c)
		}
	}
	err := r.readTogether(ctx, read, func(c *concluded) schema.UsageQuery {
		step := c.asked.Window.Step()
		return schema.UsageQuery{
			Resolution: step, From: c.EvidenceFrom.Unix(), To: c.EvidenceTo.Unix(),
			Capability: c.Capability, Actions: actionsOf(c.Spans),
			ByApp: true, ByAction: true, MaxApps: r.judge.cfg.MaxApps, Subjects: true, Bystanders: step == schema.Daily,
		}
	}, func(c *concluded, cells []schema.UsageCell) error { return addTotals(&c.Finding, cells) })
	if err != nil {
		return fmt.Errorf("reading contributors: %w", err)
	}
	err = r.readTogether(ctx, read, func(c *concluded) schema.UsageQuery {
		before := schema.DayOf(c.EvidenceFrom)
		return schema.UsageQuery{
			Resolution: schema.Daily, From: (before - usualDays).Second(), To: before.Second(),
			Capability: c.Capability, Actions: actionsOf(c.Spans),
			ByApp: true, ByAction: true, ByBucket: true, MaxApps: r.judge.cfg.MaxApps, Subjects: true,
		}
	}, addUsual)
	if err != nil {
		return fmt.Errorf("reading what is usual: %w", err)
	}
	return nil
}

// addOrigin adds to a finding what is known of it without reading usage.
func (r *round) addOrigin(c *concluded) {
	f := &c.Finding
	partner := r.registry.Partners[f.Partner]
	f.Registry, f.Owner, f.Purpose = r.registry.SHA256, partner.Owner, partner.Purpose
	f.BlindSpots = c.detector.BlindSpots()
	f.Runbook = "docs/detectors/" + f.Detector + ".md"
	if f.Partner == detectors.NoPartner {
		f.Owner, f.Query = "whoever runs Overreach", gapQuery(r.gapsOf(f.FindingKey))
		return
	}
	f.Query, f.BlindSpots = eventsQuery(f, c.Spans), r.blindSpots(f)
	exact, merged := r.missing(f)
	f.Missing, f.Complete = exact+merged, exact+merged == 0
}

// readTogether reads for each finding what its query asks of its partner, and hands
// it over. Findings with the same query, such as those of one day, are read at once.
func (r *round) readTogether(ctx context.Context, all []*concluded, query func(*concluded) schema.UsageQuery, use func(*concluded, []schema.UsageCell) error) error {
	alike := map[string][]*concluded{}
	var order []string
	for _, c := range all {
		key := fmt.Sprintf("%+v", query(c))
		if c.asked.Partner == detectors.Folded { // who has no name in the store is read apart
			key += detectors.Folded
		}
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], c)
	}
	for _, key := range order {
		for some := range slices.Chunk(alike[key], evidenceAtOnce) {
			if err := r.readAlike(ctx, some, query(some[0]), use); err != nil {
				return err
			}
		}
	}
	return nil
}

// readAlike is readTogether for findings with the same query: for half of them at a
// time where all together have too many cells.
func (r *round) readAlike(ctx context.Context, some []*concluded, q schema.UsageQuery, use func(*concluded, []schema.UsageCell) error) error {
	var partners []string
	for _, c := range some {
		partners = append(partners, c.asked.Partner)
	}
	q.Limit = 0
	if len(some) > 1 {
		q.Limit = evidenceCells
	}
	cells, err := r.usage(ctx, q, distinct(partners)...)
	if err != nil {
		return err
	}
	if q.Limit > 0 && len(cells) == q.Limit {
		for half := range slices.Chunk(some, (len(some)+1)/2) {
			if err := r.readAlike(ctx, half, q, use); err != nil {
				return err
			}
		}
		return nil
	}
	index := byKey(cells)
	for _, c := range some {
		if err := use(c, index[c.asked.Partner]); err != nil {
			return fmt.Errorf("of %s: %w", c.asked.Partner, err)
		}
	}
	return nil
}

// addUsual adds to a finding what its partner did on the days before, and beside
// each contributor what is usual of it.
func addUsual(c *concluded, cells []schema.UsageCell) error {
	f := &c.Finding
	before := schema.DayOf(f.EvidenceFrom)
	all, err := daily(cells, before, func(schema.UsageCell) bool { return true })
	if err != nil {
		return err
	}
	f.Baseline = baseline(all)
	if f.Window == schema.Window24h && f.Baseline.Samples >= enoughDays {
		f.Expected = &f.Baseline.Centre
	}
	for i := range f.Contributors {
		part := &f.Contributors[i]
		days, err := daily(cells, before, func(cell schema.UsageCell) bool { return partOf(cell, part.Kind) == part.Name })
		if err != nil {
			return err
		}
		if len(days) >= enoughDays {
			median := window.Median(days)
			part.UsualPeople = &median
		}
	}
	return nil
}

// partOf returns the cell's part of the given kind of contributor.
func partOf(c schema.UsageCell, kind string) string {
	if kind == "app" {
		return c.App
	}
	return c.Action.String()
}

// addTotals fills what the evidence window as a whole says, and the top
// contributors of each kind, most people first.
func addTotals(f *schema.Finding, cells []schema.UsageCell) error {
	var total schema.Counters
	var bystanders window.Sketch
	type part struct {
		schema.Counters
		people window.Sketch
	}
	kinds := map[string]map[string]*part{"app": {}, "action": {}}
	for _, c := range cells {
		total.Add(&c.Counters)
		if c.Bystanders != nil {
			if err := bystanders.MergeBytes(c.Bystanders); err != nil {
				return fmt.Errorf("bystanders: %w", err)
			}
		}
		for kind, parts := range kinds {
			name := partOf(c, kind)
			p := parts[name]
			if p == nil {
				p = &part{}
				parts[name] = p
			}
			p.Add(&c.Counters)
			if err := p.people.MergeBytes(c.Subjects); err != nil {
				return fmt.Errorf("people of %s %s: %w", kind, name, err)
			}
		}
	}
	if f.FirstSeen.IsZero() {
		f.FirstSeen, f.LastSeen = time.UnixMilli(total.FirstAccess).UTC(), time.UnixMilli(total.LastAccess).UTC()
		f.Attempts = total.Attempts
		if len(cells) > 0 && cells[0].Bystanders != nil {
			e := schema.Estimate(bystanders.Estimate()).AtMost(total.Accesses)
			f.Bystanders = &e
		}
	}
	for _, kind := range []string{"app", "action"} {
		var top []schema.Contributor
		for _, name := range slices.Sorted(maps.Keys(kinds[kind])) {
			p := kinds[kind][name]
			top = append(top, schema.Contributor{
				Kind: kind, Name: name, Accesses: p.Accesses, Attempts: p.Attempts, People: schema.Estimate(p.people.Estimate()).AtMost(p.Accesses),
			})
		}
		slices.SortStableFunc(top, func(a, b schema.Contributor) int {
			return compare(b.People.Value, a.People.Value, b.Accesses+b.Attempts, a.Accesses+a.Attempts)
		})
		f.Contributors = append(f.Contributors, top[:min(len(top), topContributors)]...)
	}
	return nil
}

// compare orders by the first pair, then by the second.
func compare(a, b, c, d uint64) int {
	switch {
	case a < b || a == b && c < d:
		return -1
	case a == b && c == d:
		return 0
	}
	return 1
}

// daily returns the people a day of the cells that are wanted, from their first
// day on up to but not including the day before; days without use count as 0.
func daily(cells []schema.UsageCell, before schema.Day, wanted func(schema.UsageCell) bool) ([]float64, error) {
	var sketches [usualDays]window.Sketch
	first := usualDays
	for _, c := range cells {
		if !wanted(c) || c.Accesses == 0 {
			continue
		}
		day := int(schema.DayOfSecond(c.Bucket) - (before - usualDays))
		first = min(first, day)
		if err := sketches[day].MergeBytes(c.Subjects); err != nil {
			return nil, fmt.Errorf("people of a day: %w", err)
		}
	}
	var people []float64
	for day := first; day < usualDays; day++ {
		people = append(people, float64(sketches[day].Estimate().Value))
	}
	return people, nil
}

func baseline(days []float64) schema.Baseline {
	b := schema.Baseline{Window: "people a day, over the 28 closed days before", Samples: uint32(len(days))} //nolint:gosec // at most 28
	if len(days) > 0 {
		b.Centre, b.Spread = window.Median(days), window.MAD(days)
	}
	return b
}

// actionsOf returns the actions that the spans count, nil for all.
func actionsOf(spans []usage.Span) []schema.Action {
	var actions []schema.Action
	for _, s := range spans {
		if s.Actions == nil {
			return nil
		}
		actions = append(actions, s.Actions...)
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// eventsQuery writes the ClickHouse query for the events of a finding.
func eventsQuery(f *schema.Finding, spans []usage.Span) string {
	where := []string{"partner = " + quote(f.Partner)}
	if f.Capability != "" {
		where = append(where, "capability = "+quote(f.Capability))
	}
	if actions := actionsOf(spans); len(actions) > 0 && len(actions) < len(schema.Actions) {
		names := make([]string, len(actions))
		for i, a := range actions {
			names[i] = quote(a.String())
		}
		where = append(where, "action IN ("+strings.Join(names, ", ")+")")
	}
	const layout = "2006-01-02 15:04:05"
	where = append(where,
		"time >= toDateTime64("+quote(f.EvidenceFrom.Format(layout))+", 3, 'UTC')",
		"time < toDateTime64("+quote(f.EvidenceTo.Format(layout))+", 3, 'UTC')")
	return "SELECT time, app, capability, action, subject, actor, status, api_version, incarnation, partition, offset FROM access_events WHERE " +
		strings.Join(where, " AND ") + " ORDER BY time LIMIT 1000"
}

// quote writes a string as a ClickHouse literal. What does not print is escaped, so
// that the query can be read, sent and copied from a terminal.
func quote(s string) string {
	var b strings.Builder
	for _, r := range strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	return "'" + b.String() + "'"
}
