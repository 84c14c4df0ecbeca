package main

import (
	"cmp"
	"slices"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// findingsOf lets every detector judge what a partner did from its first judged day on,
// once all of it is known. It returns what was found, in the order of the keys, and
// hands over each question's scores.
func findingsOf(p *partner, scored func(*usage.Question, []schema.Score)) []schema.Finding {
	a := newAnswering(p)
	var findings []schema.Finding
	for _, d := range detectors.All() {
		for _, q := range questions(d, p) {
			answer := a.answer(&q)
			var f schema.Finding
			var ok bool
			if scorer, is := d.(detectors.Scorer); is {
				var scores []schema.Score
				scores, f, ok = scorer.Score(p.registry, q, answer)
				if scored != nil {
					scored(&q, scores)
				}
			} else {
				f, ok = d.Judge(p.registry, q, answer)
			}
			if ok {
				findings = append(findings, f)
			}
		}
	}
	slices.SortFunc(findings, func(a, b schema.Finding) int {
		return cmp.Or(cmp.Compare(a.Detector, b.Detector), cmp.Compare(a.Capability, b.Capability),
			cmp.Compare(a.Window, b.Window), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Period, b.Period))
	})
	return findings
}

// questions are a detector's about the judged days, each once.
func questions(d detectors.Detector, p *partner) []usage.Question {
	var all []usage.Question
	asked := map[schema.FindingKey]bool{}
	ask := func(a usage.Activity) {
		for _, q := range d.Ask(p.registry, a) {
			if !asked[q.FindingKey] {
				asked[q.FindingKey] = true
				all = append(all, q)
			}
		}
	}
	if len(p.gaps) > 0 {
		ask(usage.Activity{Partner: detectors.NoPartner, Gaps: p.gaps})
	}
	for day := max(p.unseen, p.begin); day < p.begin+schema.Day(p.hours/24); day++ {
		activity := usage.Activity{Partner: p.name, Days: []schema.Day{day}}
		first := int(day-p.begin) * 24
		for i := range p.flows {
			f := &p.flows[i]
			scope := usage.Scope{Capability: f.usageKey.Capability, Action: f.usageKey.Action}
			used := slices.ContainsFunc(f.accesses[first:first+24], positive) || slices.ContainsFunc(f.attempts[first:first+24], positive)
			if used && !slices.Contains(activity.Scopes, scope) {
				activity.Scopes = append(activity.Scopes, scope)
			}
		}
		if len(activity.Scopes) == 0 {
			continue
		}
		slices.SortFunc(activity.Scopes, func(x, y usage.Scope) int {
			return cmp.Or(cmp.Compare(x.Capability, y.Capability), cmp.Compare(x.Action, y.Action))
		})
		ask(activity)
	}
	return all
}

func positive(v float64) bool { return v > 0 }

// episode is a finding and the days that continue it.
type episode struct {
	schema.Finding // the first
	severity       schema.Severity
	last           schema.Finding
}

// episodes puts together what is told as one: the findings of days that lasted to
// their ends with those of the next days.
func episodes(findings []schema.Finding) []episode {
	var all []episode
	for _, f := range findings {
		if n := len(all); n > 0 {
			last := &all[n-1].last
			next := last.FindingKey
			next.Period++
			if next.Window == schema.WindowClockWeek {
				next.Period += 6
			}
			if next == f.FindingKey && (last.EndedAt.IsZero() || !last.EndedAt.Before(last.PeriodEnd.Time())) {
				*last = f
				if f.Severity == schema.Critical {
					all[n-1].severity = schema.Critical
				}
				continue
			}
		}
		all = append(all, episode{Finding: f, severity: f.Severity, last: f})
	}
	return all
}
