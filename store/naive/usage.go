package naive

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/overreach/overreach/schema"
)

// chosen are the rows of usage that a query is about.
func (s *Store) chosen(is func(cellKey) bool) map[cellKey]*cell {
	some := map[cellKey]*cell{}
	for k, c := range s.cells {
		if is(k) {
			some[k] = c
		}
	}
	return some
}

// grouped adds up the rows that come to the same key.
func grouped(rows map[cellKey]*cell, key func(cellKey) cellKey) map[cellKey]*cell {
	sums := map[cellKey]*cell{}
	for k, c := range rows {
		g := key(k)
		if sums[g] == nil {
			sums[g] = &cell{}
		}
		sums[g].add(c)
	}
	return sums
}

func byUsageKeyAndBucket(a, b cellKey) int {
	return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.App, b.App),
		cmp.Compare(a.Action, b.Action), cmp.Compare(a.bucket, b.bucket))
}

func among[T comparable](all []T, one T) bool { return all == nil || slices.Contains(all, one) }

// Usage reads usage as the query says.
func (s *Store) Usage(_ context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.chosen(func(k cellKey) bool {
		return k.resolution == q.Resolution && k.bucket >= q.From && k.bucket < q.To && among(q.Buckets, k.bucket) &&
			among(q.Slots, schema.Slot(k.Partner)) && among(q.Partners, k.Partner) && !slices.Contains(q.NotPartners, k.Partner) &&
			(q.Capability == "" || k.Capability == q.Capability) && among(q.Capabilities, k.Capability) && among(q.Actions, k.Action)
	})
	apps := mostUsed(rows, q)
	sums := grouped(rows, func(k cellKey) cellKey {
		g := cellKey{resolution: k.resolution}
		if q.NotPartners == nil {
			g.Partner = k.Partner
		}
		if q.ByCapability {
			g.Capability = k.Capability
		}
		if q.ByApp {
			g.App = apps(g.Partner, k.App)
		}
		if q.ByAction {
			g.Action = k.Action
		}
		if q.ByBucket {
			g.bucket = k.bucket
		}
		return g
	})
	var all []schema.UsageCell
	for _, k := range slices.SortedFunc(maps.Keys(sums), byUsageKeyAndBucket) {
		c := sums[k]
		one := schema.UsageCell{UsageKey: k.UsageKey, Bucket: k.bucket, Counters: c.Counters}
		if q.Subjects {
			one.Subjects = c.subjects.MarshalAppend(nil)
		}
		if q.Actors {
			one.Actors = c.actors.MarshalAppend(nil)
		}
		if q.Bystanders {
			one.Bystanders = c.bystanders.MarshalAppend(nil)
		}
		all = append(all, one)
	}
	if q.Limit > 0 {
		all = all[:min(len(all), q.Limit)]
	}
	return all, nil
}

// mostUsed returns what an app of a partner counts as: itself where it is among
// those with the most calls. Whoever counts as one partner has no more apps than one.
func mostUsed(rows map[cellKey]*cell, q schema.UsageQuery) func(partner, app string) string {
	if q.MaxApps == 0 {
		return func(_, app string) string { return app }
	}
	calls := map[string]map[string]uint64{}
	for k, c := range rows {
		partner := k.Partner
		if q.NotPartners != nil {
			partner = ""
		}
		if calls[partner] == nil {
			calls[partner] = map[string]uint64{}
		}
		calls[partner][k.App] += c.Accesses + c.Attempts
	}
	apart := map[string][]string{}
	for partner, of := range calls {
		names := slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
		apart[partner] = names[:min(len(names), q.MaxApps)]
	}
	return func(partner, app string) string {
		if slices.Contains(apart[partner], app) {
			return app
		}
		return schema.OtherApps
	}
}

// Series reads what each key of some partners did in each bucket.
func (s *Store) Series(_ context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.chosen(func(k cellKey) bool {
		return k.resolution == q.Resolution && k.bucket >= q.From && k.bucket < q.To && slices.Contains(q.Partners, k.Partner) &&
			(!q.ByCapability && !q.ByUsageKey || slices.Contains(q.Capabilities, k.Capability))
	})
	apart := map[string][]string{}
	for k := range rows {
		if !slices.Contains(apart[k.Partner], k.App) {
			apart[k.Partner] = append(apart[k.Partner], k.App)
		}
	}
	for partner, apps := range apart {
		slices.SortFunc(apps, byHash)
		if q.MaxApps > 0 {
			apart[partner] = apps[:min(len(apps), q.MaxApps)]
		}
	}
	sums := grouped(rows, func(k cellKey) cellKey {
		g := cellKey{UsageKey: schema.UsageKey{Partner: k.Partner}, bucket: k.bucket}
		if q.ByCapability || q.ByUsageKey {
			g.Capability = k.Capability
		}
		if q.ByUsageKey {
			g.Action, g.App = k.Action, schema.OtherApps
			if slices.Contains(apart[k.Partner], k.App) {
				g.App = k.App
			}
		}
		return g
	})
	var all []schema.Series
	for _, k := range slices.SortedFunc(maps.Keys(sums), byUsageKeyAndBucket) {
		c := sums[k]
		if c.Accesses == 0 {
			continue
		}
		if n := len(all); n == 0 || all[n-1].UsageKey != k.UsageKey {
			all = append(all, schema.Series{UsageKey: k.UsageKey})
		}
		one := &all[len(all)-1]
		one.Bucket = append(one.Bucket, k.bucket)
		one.Accesses = append(one.Accesses, c.Accesses)
		one.People = append(one.People, min(c.subjects.Estimate().Value, c.Accesses))
		one.Bytes = append(one.Bytes, c.Bytes)
	}
	if q.Limit > 0 {
		all = all[:min(len(all), q.Limit)]
	}
	return all, nil
}

// Peaks reads what each of some partners did at most in a bucket of each day.
func (s *Store) Peaks(_ context.Context, q schema.SeriesQuery) ([]schema.Peak, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type peakKey struct {
		partner, capability string
		day                 schema.Day
	}
	peaks := map[peakKey]schema.Peak{}
	for _, whole := range []bool{true, false} {
		rows := s.chosen(func(k cellKey) bool {
			return k.resolution == q.Resolution && k.bucket >= q.From && k.bucket < q.To && slices.Contains(q.Partners, k.Partner) &&
				(whole || slices.Contains(q.Capabilities, k.Capability))
		})
		sums := grouped(rows, func(k cellKey) cellKey {
			g := cellKey{UsageKey: schema.UsageKey{Partner: k.Partner, Capability: k.Capability}, bucket: k.bucket}
			if whole {
				g.Capability = ""
			}
			return g
		})
		for k, c := range sums {
			at := peakKey{k.Partner, k.Capability, schema.DayOfSecond(k.bucket)}
			p := peaks[at]
			p.Partner, p.Capability, p.Day = at.partner, at.capability, at.day
			p.Accesses, p.Bytes = max(p.Accesses, c.Accesses), max(p.Bytes, c.Bytes)
			peaks[at] = p
		}
	}
	all := slices.SortedFunc(maps.Values(peaks), func(a, b schema.Peak) int {
		return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.Day, b.Day))
	})
	return slices.DeleteFunc(all, func(p schema.Peak) bool { return p.Accesses == 0 }), nil
}
