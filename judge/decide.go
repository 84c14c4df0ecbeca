package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// pass is what is judged together.
type pass struct {
	cadence schema.Cadence
	changed bool                 // the registry is another one than before
	fresh   map[schema.Day]int64 // of a closed cadence: by day, the first bucket to score anew
}

// judges reports whether the questions about a window belong to the pass.
func (p pass) judges(w schema.Window) bool { return w.Cadence() == p.cadence }

// judgeActivities asks, answers and decides, some hundred partners at a time, fewer
// where much of their past is read.
func (r *round) judgeActivities(ctx context.Context, p pass, activities []usage.Activity) error {
	most := partnersAAsk
	if p.cadence.Closed() {
		most = partnersCompared
	}
	for chunk := range slices.Chunk(activities, most) {
		if err := r.decideSome(ctx, p, chunk); err != nil {
			return err
		}
	}
	return nil
}

// decideSome decides for half of the partners at a time where all of them are more
// than can be held at once.
func (r *round) decideSome(ctx context.Context, p pass, activities []usage.Activity) error {
	err := r.decide(ctx, p, activities)
	if !errors.Is(err, errTooManySeries) || len(activities) < 2 {
		return err
	}
	for half := range slices.Chunk(activities, (len(activities)+1)/2) {
		if err := r.decideSome(ctx, p, half); err != nil {
			return err
		}
	}
	return nil
}

// asked is a question with the detector that asked it.
type asked struct {
	usage.Question
	detector detectors.Detector
	id       string
}

// decide judges one chunk of partners and writes what came out.
func (r *round) decide(ctx context.Context, p pass, activities []usage.Activity) error {
	questions, orphans := r.ask(p, activities)
	stored, err := r.stored(ctx, questions, orphans)
	if err != nil {
		return err
	}
	if p.cadence == schema.CadenceMinute {
		questions = slices.DeleteFunc(questions, func(q asked) bool { return canWait(q, stored) })
	}
	answers, err := r.answer(ctx, questions)
	if err != nil {
		return err
	}
	var all []concluded
	var scores []schema.Score
	for i, q := range questions {
		if p.cadence.Closed() {
			if err := r.judge.meanwhile(ctx); err != nil {
				return err
			}
		}
		scored, f, ok := judgeOne(r.registry, q, answers[i])
		for _, s := range scored {
			if from, is := p.fresh[schema.DayOfSecond(s.Bucket)]; is && s.Bucket >= from {
				scores = append(scores, s)
			}
		}
		if len(scores) >= scoresAtOnce {
			if err := r.writeScores(ctx, scores); err != nil {
				return err
			}
			scores = scores[:0]
		}
		f, ok, err := r.conclude(ctx, q, f, ok, stored)
		if err != nil {
			return err
		}
		if ok {
			all = append(all, concluded{q, f})
		}
	}
	if err := r.addEvidence(ctx, all); err != nil {
		return err
	}
	var findings []schema.Finding
	for _, c := range all {
		before, had := stored[c.id]
		if !had || !same(before, c.Finding) {
			findings = append(findings, c.Finding)
			stored[c.id] = c.Finding
		}
	}
	for _, key := range orphans {
		if f, ok := stored[key.ID()]; ok && f.State == schema.Open {
			findings = append(findings, r.withdrawn(f))
			stored[key.ID()] = r.withdrawn(f)
		}
	}
	if err := r.writeScores(ctx, scores); err != nil {
		return err
	}
	return r.write(ctx, findings, stored)
}

func (r *round) writeScores(ctx context.Context, scores []schema.Score) error {
	if err := r.judge.store.WriteScores(ctx, scores, r.version); err != nil {
		return fmt.Errorf("writing scores: %w", err)
	}
	return nil
}

// concluded is a finding with the question that it answers.
type concluded struct {
	asked
	schema.Finding
}

// judgeOne lets the detector judge, and score where it scores.
func judgeOne(registry *registry.Registry, q asked, a usage.Answer) ([]schema.Score, schema.Finding, bool) {
	if scorer, ok := q.detector.(detectors.Scorer); ok {
		return scorer.Score(registry, q.Question, a)
	}
	f, ok := q.detector.Judge(registry, q.Question, a)
	return nil, f, ok
}

// conclude returns the finding that an answer led to, without its evidence, or the
// one that it withdraws; none where there is none, and where the buckets that a
// former one rested on are no longer kept.
func (r *round) conclude(ctx context.Context, q asked, f schema.Finding, ok bool, stored map[string]schema.Finding) (schema.Finding, bool, error) {
	before, had := stored[q.id]
	if had && before.State != schema.Withdrawn && (!ok || f.People.Value < before.People.Value) {
		expired, err := r.expired(ctx, q)
		if err != nil || expired {
			return schema.Finding{}, false, err
		}
		if !ok {
			return r.withdrawn(before), true, nil
		}
	}
	return f, ok, nil
}

// withdrawn is a finding that no longer follows, as it was when it did.
func (r *round) withdrawn(f schema.Finding) schema.Finding {
	f.State, f.Registry = schema.Withdrawn, r.registry.SHA256
	return f
}

// ask collects the questions that belong to the pass. A question about a whole
// period belongs to the days' cadence, and to each round as long as it cannot wait.
// Orphans are open findings of the pass that nobody asks about any more, since
// the registry no longer has what they were of.
func (r *round) ask(p pass, activities []usage.Activity) (questions []asked, orphans []schema.FindingKey) {
	for _, a := range activities {
		first := len(questions)
		for _, d := range r.judge.detectors {
			if !r.byName(a.Partner) {
				break // a stranger that made room for another: it is part of the rest now
			}
			for _, q := range d.Ask(r.registry, a) {
				if p.judges(q.Window) || q.Window == schema.WindowPeriod && p.cadence == schema.CadenceMinute {
					questions = append(questions, asked{Question: q, detector: d, id: q.ID()})
				}
			}
		}
		for _, key := range a.Open {
			isIt := func(q asked) bool { return q.FindingKey == key }
			if p.judges(key.Window) && !slices.ContainsFunc(questions[first:], isIt) {
				orphans = append(orphans, key)
			}
		}
	}
	return questions, orphans
}

// stored reads the findings that stand so far: of the questions, of their
// neighbours in time, and the orphans.
func (r *round) stored(ctx context.Context, questions []asked, orphans []schema.FindingKey) (map[string]schema.Finding, error) {
	var ids []string
	for _, q := range questions {
		ids = append(ids, q.id, neighbour(q.FindingKey, -1).ID(), neighbour(q.FindingKey, +1).ID())
	}
	for _, key := range orphans {
		ids = append(ids, key.ID())
	}
	stored := map[string]schema.Finding{}
	if len(ids) == 0 {
		return stored, nil
	}
	found, err := r.judge.store.Findings(ctx, schema.FindingsQuery{IDs: ids})
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", err)
	}
	for _, f := range found {
		stored[f.ID()] = f.Finding
	}
	return stored, nil
}

// canWait reports whether a question about a whole period can wait for the days'
// cadence: its finding is there, and is as bad as it can be.
func canWait(q asked, stored map[string]schema.Finding) bool {
	f, ok := stored[q.id]
	return q.Window == schema.WindowPeriod && ok && f.State == schema.Open && f.Accesses > 0
}

// neighbour returns the key of the finding one day before or after, for the
// windows whose findings are of a day.
func neighbour(k schema.FindingKey, days schema.Day) schema.FindingKey {
	switch {
	case k.Window == schema.WindowClockWeek:
		k.Period += 7 * days
	case k.Window == schema.WindowClockDay, k.Window.Step() != schema.Daily:
		k.Period += days
	}
	return k
}

// expired reports whether the buckets that the question's windows are made of
// are no longer all kept, in which case what was found stays.
func (r *round) expired(ctx context.Context, q asked) (bool, error) {
	if q.Partner == detectors.NoPartner {
		return true, nil // a marker is never taken back: what it said has expired
	}
	if q.Window.Step() == schema.Daily {
		return false, nil
	}
	sum := func(res schema.Resolution) (uint64, error) {
		cells, err := r.judge.store.Usage(ctx, schema.UsageQuery{
			Resolution: res, From: (q.Period - 1).Second(), To: (q.Period + 1).Second(), Partners: []string{q.Partner},
		})
		if err != nil || len(cells) == 0 {
			return 0, err
		}
		return cells[0].Accesses, nil
	}
	fine, err := sum(q.Window.Step())
	if err != nil {
		return false, err
	}
	whole, err := sum(schema.Daily)
	return fine < whole, err
}

// same reports whether two versions of a finding say the same.
func same(a, b schema.Finding) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
