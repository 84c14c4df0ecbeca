package judge

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// densePartners is for how many partners at a time the sketches of days are
// read: two months of dense days are 750 kB a capability.
const densePartners = 50

// answer answers the questions, in their order. Questions about the same windows
// of the same period, and about the same whole period, are read together.
func (r *round) answer(ctx context.Context, questions []asked) ([]usage.Answer, error) {
	answers := make([]usage.Answer, len(questions))
	windows := map[schema.Window][]int{}
	for i, q := range questions {
		answers[i].Watermark = r.version.Watermark
		if q.Partner == detectors.NoPartner {
			answers[i].Gaps = r.gapsOf(q.FindingKey)
			continue
		}
		windows[q.Window] = append(windows[q.Window], i)
	}
	for w, of := range windows {
		var err error
		switch {
		case w == schema.WindowPeriod:
			err = r.answerPeriods(ctx, questions, of, answers)
		case w == schema.WindowClockDay:
			err = r.answerReach(ctx, questions, of, answers)
		case w.Closed():
			err = r.answerSeries(ctx, questions, of, answers)
		default:
			err = r.answerWindows(ctx, w, questions, of, answers)
		}
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// answerWindows answers questions about one sliding window. It goes from coarse
// to fine and drops at each step the questions that the counters allow no
// finding for: counters of the next coarser buckets, counters of the window's own,
// and only then sketches.
func (r *round) answerWindows(ctx context.Context, w schema.Window, questions []asked, of []int, answers []usage.Answer) error {
	of, err := r.possible(ctx, w, questions, of)
	if err != nil {
		return err
	}
	byPeriod := map[schema.Day][]int{}
	var periods []schema.Day
	for _, i := range of {
		p := questions[i].Period
		if byPeriod[p] == nil {
			periods = append(periods, p)
		}
		byPeriod[p] = append(byPeriod[p], i)
	}
	slices.Sort(periods)
	for _, p := range periods {
		for some := range slices.Chunk(byPeriod[p], densePartners) {
			if err := r.slide(ctx, w, questions, some, answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// possible drops questions whose windows cannot hold enough accesses: a window
// of an hour lies in two hours of the clock, one of 24 hours in two days.
func (r *round) possible(ctx context.Context, w schema.Window, questions []asked, of []int) ([]int, error) {
	coarse := w.Step() + 1
	if coarse > schema.Daily {
		return of, nil // a few rows of days; sliding over them sorts it out
	}
	first, last := questions[of[0]].Period, questions[of[0]].Period
	var partners []string
	for _, i := range of {
		first, last = min(first, questions[i].Period), max(last, questions[i].Period)
		partners = append(partners, questions[i].Partner)
	}
	byPartner := map[string][]schema.UsageCell{}
	cells, err := r.judge.store.Usage(ctx, schema.UsageQuery{
		Resolution: coarse, From: (first - 1).Second(), To: (last + 1).Second(),
		Partners: distinct(partners), ByCapability: true, ByBucket: true,
	})
	if err != nil {
		return nil, fmt.Errorf("reading counters: %w", err)
	}
	for _, c := range cells {
		byPartner[c.Partner] = append(byPartner[c.Partner], c)
	}
	var left []int
	for _, i := range of {
		q := questions[i]
		from := (q.Period - 1).Second()
		sums := make([]uint64, 2*schema.DaySeconds/coarse.Seconds())
		for _, c := range byPartner[q.Partner] {
			n := (c.Bucket - from) / coarse.Seconds()
			if c.Bucket >= from && n < int64(len(sums)) && (q.Capability == "" || q.Capability == c.Capability) {
				sums[n] += c.Accesses
			}
		}
		if slices.Max(window.SlideSums(sums, 2)) >= q.Threshold {
			left = append(left, i)
		}
	}
	return left, nil
}

// slide answers questions about one window in one period: sums over its own
// buckets first, then unions where the sums allow a finding.
func (r *round) slide(ctx context.Context, w schema.Window, questions []asked, of []int, answers []usage.Answer) error {
	span, step := questions[of[0]].Spans[0], w.Step()
	n := int64(w.Buckets())
	begin := span.From.Second() - max(n-1, 0)*step.Seconds()
	to := span.End()
	buckets := int((to - begin) / step.Seconds())
	if n == 0 {
		n = int64(buckets) // a calendar month grows to its end
	}
	q := schema.UsageQuery{Resolution: step, From: begin, To: to, ByCapability: true, ByBucket: true}
	for _, i := range of {
		q.Partners = append(q.Partners, questions[i].Partner)
	}
	q.Partners = distinct(q.Partners)
	cells, err := r.judge.store.Usage(ctx, q)
	if err != nil {
		return fmt.Errorf("reading counters: %w", err)
	}
	index := byKey(cells)
	type run struct {
		question int
		sums     []uint64
		wanted   []bool
	}
	var runs []run
	var partners []string
	least, most := int64(math.MaxInt64), int64(0)
	for _, i := range of {
		counts := make([]uint64, buckets)
		last := (r.version.Watermark - begin) / step.Seconds()
		for _, c := range index.of(questions[i].FindingKey) {
			b := (c.Bucket - begin) / step.Seconds()
			counts[b] += c.Accesses
			last = max(last, b)
		}
		one := run{question: i, sums: window.SlideSums(counts, int(n)), wanted: make([]bool, buckets)}
		any := false
		for b := int((span.From.Second() - begin) / step.Seconds()); b < buckets && int64(b) <= last; b++ {
			if one.sums[b] < questions[i].Threshold {
				continue
			}
			one.wanted[b], any = true, true
			least = min(least, begin+max(int64(b)-n+1, 0)*step.Seconds())
			most = max(most, begin+int64(b+1)*step.Seconds())
		}
		if any {
			runs = append(runs, one)
			partners = append(partners, questions[i].Partner)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	q.From, q.To, q.Partners, q.Subjects = least, most, distinct(partners), true
	if cells, err = r.judge.store.Usage(ctx, q); err != nil {
		return fmt.Errorf("reading sketches: %w", err)
	}
	index = byKey(cells)
	var slider window.Slider
	for _, one := range runs {
		states := make([][][]byte, buckets)
		for _, c := range index.of(questions[one.question].FindingKey) {
			b := (c.Bucket - begin) / step.Seconds()
			states[b] = append(states[b], c.Subjects)
		}
		a := &answers[one.question]
		err := slider.Slide(0, buckets, int(n), func(b int) bool { return one.wanted[b] }, func(b int) [][]byte { return states[b] },
			func(b int, e window.Estimate) {
				end := begin + int64(b+1)*step.Seconds()
				a.Points = append(a.Points, usage.Point{
					Begin: max(end-n*step.Seconds(), begin), End: end, Accesses: one.sums[b], People: schema.Estimate(e).AtMost(one.sums[b]),
				})
			})
		if err != nil {
			return fmt.Errorf("people of %s: %w", questions[one.question].Partner, err)
		}
	}
	return nil
}

// cellIndex finds the cells of a key.
type cellIndex map[string][]schema.UsageCell

func byKey(cells []schema.UsageCell) cellIndex {
	index := cellIndex{}
	for _, c := range cells {
		index[c.Partner] = append(index[c.Partner], c)
	}
	return index
}

// of returns the cells of the key's partner that are of its capability, or all
// where the key names none.
func (x cellIndex) of(k schema.FindingKey) []schema.UsageCell {
	if k.Capability == "" {
		return x[k.Partner]
	}
	var cells []schema.UsageCell
	for _, c := range x[k.Partner] {
		if c.Capability == k.Capability {
			cells = append(cells, c)
		}
	}
	return cells
}

// answerPeriods answers questions about whole periods. Questions with the same
// spans are read together.
func (r *round) answerPeriods(ctx context.Context, questions []asked, of []int, answers []usage.Answer) error {
	type part struct {
		capability string
		from, to   int64
		actions    string
	}
	reads := map[part][]int{}
	spans := map[part]usage.Span{}
	for _, i := range of {
		for _, s := range questions[i].Spans {
			p := part{questions[i].Capability, s.From.Second(), s.End(), spelled(s.Actions)}
			reads[p] = append(reads[p], i)
			spans[p] = s
		}
	}
	people := make([]struct{ subjects, bystanders window.Sketch }, len(questions))
	for p, which := range reads {
		for some := range r.together(questions, which) {
			q := schema.UsageQuery{
				Resolution: schema.Daily, From: p.from, To: p.to,
				Capability: p.capability, Actions: spans[p].Actions, Subjects: true, Bystanders: true,
			}
			byPartner := map[string][]int{}
			var partners []string
			for _, i := range some {
				byPartner[questions[i].Partner] = append(byPartner[questions[i].Partner], i)
				partners = append(partners, questions[i].Partner)
			}
			cells, err := r.usage(ctx, q, distinct(partners)...)
			if err != nil {
				return fmt.Errorf("reading whole periods: %w", err)
			}
			for _, c := range cells {
				for _, i := range byPartner[c.Partner] {
					answers[i].Total.Add(&c.Counters)
					if err := people[i].subjects.MergeBytes(c.Subjects); err != nil {
						return fmt.Errorf("people of %s: %w", c.Partner, err)
					}
					if err := people[i].bystanders.MergeBytes(c.Bystanders); err != nil {
						return fmt.Errorf("bystanders of %s: %w", c.Partner, err)
					}
				}
			}
		}
	}
	for _, i := range of {
		answers[i].People = schema.Estimate(people[i].subjects.Estimate()).AtMost(answers[i].Total.Accesses)
		answers[i].Bystanders = schema.Estimate(people[i].bystanders.Estimate()).AtMost(answers[i].Total.Accesses)
	}
	return nil
}

// spelled writes actions, so that they can be part of a key.
func spelled(actions []schema.Action) string {
	b := make([]byte, len(actions))
	for i, a := range actions {
		b[i] = byte(a)
	}
	return string(b)
}

// together yields the questions that are read at once: some dozens, the rest of
// the unregistered apart from all others.
func (r *round) together(questions []asked, which []int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		var named []int
		for _, i := range which {
			if questions[i].Partner != detectors.Folded {
				named = append(named, i)
			} else if !yield([]int{i}) {
				return
			}
		}
		for some := range slices.Chunk(named, densePartners) {
			if !yield(some) {
				return
			}
		}
	}
}

// distinct sorts names and drops repeats.
func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
