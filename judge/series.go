package judge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// What is held at once: series, each of which may be 50 kB, and scores.
const (
	seriesAtOnce = 2500
	seriesApps   = 20 // of a partner; evidence lists more of them one by one
	scoresAtOnce = 50_000
)

// errTooManySeries says that the partners have more keys than are held at once.
var errTooManySeries = errors.New("too many series")

// answerSeries answers questions about closed buckets: everything from the least
// history to the last span is read at once, for some dozens of partners. Where they
// have more series than are held at once it ends with errTooManySeries, unless it
// is one partner.
func (r *round) answerSeries(ctx context.Context, questions []asked, of []int, answers []usage.Answer) error {
	left := seriesAtOnce
	if !slices.ContainsFunc(of, func(i int) bool { return questions[i].Partner != questions[of[0]].Partner }) {
		left = 0
	}
	return r.byBlocks(ctx, questions, of, densePartners, func(asking []int, partners []string) error {
		return r.readSeries(ctx, questions, asking, partners, answers, &left)
	})
}

// byBlocks hands over the questions of so many partners and of a month of days at a time,
// whose history is read together. Partners of one slot lie together in ClickHouse.
func (r *round) byBlocks(ctx context.Context, questions []asked, of []int, most int, read func(asking []int, partners []string) error) error {
	byPartner := map[string][]int{}
	for _, i := range of {
		byPartner[questions[i].Partner] = append(byPartner[questions[i].Partner], i)
	}
	partners := slices.SortedFunc(maps.Keys(byPartner), func(a, b string) int {
		return cmp.Or(cmp.Compare(schema.Slot(a), schema.Slot(b)), cmp.Compare(a, b))
	})
	for some := range slices.Chunk(partners, most) {
		if err := r.judge.meanwhile(ctx); err != nil {
			return err
		}
		byBlock := map[schema.Day][]int{}
		for _, name := range some {
			for _, i := range byPartner[name] {
				byBlock[questions[i].Period/daysASlice] = append(byBlock[questions[i].Period/daysASlice], i)
			}
		}
		for _, asking := range byBlock {
			if err := read(asking, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSeries answers questions about days of one block, so that what is held of
// them is bounded: by how many series are left to be held, where that is not 0.
func (r *round) readSeries(ctx context.Context, questions []asked, asking []int, partners []string, answers []usage.Answer, left *int) error {
	step := questions[asking[0]].Window.Step()
	closed := window.Start(r.version.Watermark, step.Seconds())
	begin, end := int64(math.MaxInt64), int64(0)
	for _, i := range asking {
		q := &questions[i].Question
		begin, end = min(begin, historyOf(q)), max(end, min(q.Spans[0].End(), closed))
	}
	if begin >= end {
		return nil
	}
	capabilities := slices.Sorted(maps.Keys(r.registry.Capabilities))
	byKey := map[schema.FindingKey][]usage.Series{} // of partner and capability alone
	read := func(q schema.SeriesQuery, keep func(schema.UsageKey) []schema.FindingKey) error {
		q.Resolution, q.From, q.To, q.Partners, q.MaxApps = step, begin, end, partners, min(seriesApps, r.judge.cfg.MaxApps)
		q.Capabilities, q.Limit = capabilities, *left
		all, err := r.judge.store.Series(ctx, q)
		if err != nil {
			return fmt.Errorf("reading series: %w", err)
		}
		if *left > 0 {
			if *left -= len(all); *left <= 0 {
				return errTooManySeries
			}
		}
		for i := range all {
			s := spread(&all[i], begin, end, step)
			for _, key := range keep(s.UsageKey) {
				byKey[key] = append(byKey[key], s)
			}
		}
		return nil
	}
	whole := func(l schema.UsageKey) schema.FindingKey { return schema.FindingKey{Partner: l.Partner} }
	part := func(l schema.UsageKey) schema.FindingKey {
		return schema.FindingKey{Partner: l.Partner, Capability: l.Capability}
	}
	// A whole comes before its parts.
	for _, level := range []struct {
		query schema.SeriesQuery
		keep  func(schema.UsageKey) []schema.FindingKey
	}{
		{schema.SeriesQuery{}, func(l schema.UsageKey) []schema.FindingKey { return []schema.FindingKey{whole(l)} }},
		{schema.SeriesQuery{ByCapability: true}, func(l schema.UsageKey) []schema.FindingKey { return []schema.FindingKey{whole(l), part(l)} }},
		{schema.SeriesQuery{ByUsageKey: true}, func(l schema.UsageKey) []schema.FindingKey { return []schema.FindingKey{part(l)} }},
	} {
		if err := read(level.query, level.keep); err != nil {
			return err
		}
	}
	for _, i := range asking {
		q := &questions[i].Question
		from, to := historyOf(q), min(q.Spans[0].End(), closed)
		if from >= to {
			continue
		}
		for _, s := range byKey[schema.FindingKey{Partner: q.Partner, Capability: q.Capability}] {
			answers[i].Series = append(answers[i].Series, cut(s, from, to))
		}
	}
	return r.addPeers(ctx, step, questions, asking, answers)
}

// historyOf returns where the series of a question begin.
func historyOf(q *usage.Question) int64 { return (q.Spans[0].From - q.History).Second() }

// spread lays a series out bucket by bucket.
func spread(s *schema.Series, begin, end int64, step schema.Resolution) usage.Series {
	n := int((end - begin) / step.Seconds())
	all := make([]float64, n*len(usage.Metrics))
	one := usage.Series{UsageKey: s.UsageKey, Begin: begin, Step: step}
	for m, counts := range [...][]uint64{usage.Accesses: s.Accesses, usage.People: s.People, usage.Bytes: s.Bytes} {
		values := all[m*n : (m+1)*n : (m+1)*n]
		for i, bucket := range s.Bucket {
			values[(bucket-begin)/step.Seconds()] = float64(counts[i])
		}
		one.Values[m] = values
	}
	return one
}

// cut returns the part of a series in [from, to).
func cut(s usage.Series, from, to int64) usage.Series {
	a, b := (from-s.Begin)/s.Step.Seconds(), (to-s.Begin)/s.Step.Seconds()
	s.Begin = from
	for m := range s.Values {
		s.Values[m] = s.Values[m][a:b]
	}
	return s
}
