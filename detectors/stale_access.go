package detectors

import (
	"fmt"
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// StaleAccess finds use of a right that existed and has ended: the agreement,
// the grant or the capability itself. A capability that is deprecated but not
// yet gone is a warning, and so are attempts that were all refused.
type StaleAccess struct{}

// idle is how long, in seconds of event time, without use ends a finding.
const idle = 7 * schema.DaySeconds

// deprecated is the cause of use in the time between announcement and sunset.
const deprecated = "deprecated"

// Name implements Detector.
func (StaleAccess) Name() string { return "stale_access" }

// BlindSpots implements Detector.
func (StaleAccess) BlindSpots() string {
	return "ends that the registry does not know; scopes that were never granted; copies that the partner made while it was allowed"
}

// Watches implements Detector.
func (d StaleAccess) Watches(r *registry.Registry, partner string) []string {
	var w []string
	for _, q := range d.Ask(r, usage.Activity{Partner: partner, Scopes: granted(r.Partners[partner]), Days: nil}) {
		w = append(w, fmt.Sprintf("%s from %s on (%s)", of(q.Capability), q.Period, q.Cause))
	}
	return w
}

// granted lists the scopes that a partner was ever granted.
func granted(p registry.Partner) []usage.Scope {
	var scopes []usage.Scope
	for _, g := range p.Grants {
		for _, a := range g.Actions {
			scopes = append(scopes, usage.Scope{Capability: g.Capability, Action: a})
		}
	}
	return scopes
}

// Ask implements Detector. With no days in the activity it asks of all time.
func (d StaleAccess) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	if _, ok := r.Partners[a.Partner]; !ok {
		return nil
	}
	var capabilities []string
	for _, s := range a.Scopes {
		capabilities = append(capabilities, s.Capability)
	}
	slices.Sort(capabilities)
	var questions []usage.Question
	for _, c := range slices.Compact(capabilities) {
		for _, q := range d.ofCapability(r, a.Partner, c) {
			touched := slices.ContainsFunc(q.Spans, func(s usage.Span) bool { return holdsAny(s, a.Days) })
			if touched || len(a.Days) == 0 || slices.Contains(a.Open, q.FindingKey) {
				questions = append(questions, q)
			}
		}
	}
	return questions
}

// ofCapability returns every question about one capability: one for each cause
// and date, over the days and actions for which it is the earliest that holds.
func (d StaleAccess) ofCapability(r *registry.Registry, partner, capability string) []usage.Question {
	var questions []usage.Question
	for _, action := range schema.Actions {
		for _, s := range r.Segments(partner, capability, action) {
			cause, since := s.Cause, s.Since
			switch {
			case s.Status == registry.Stale:
			case s.Deprecated:
				cause, since = deprecated, s.DeprecatedSince
			default:
				continue
			}
			span := usage.Span{From: s.From, To: s.To, Actions: []schema.Action{action}}
			i := slices.IndexFunc(questions, func(q usage.Question) bool { return q.Cause == cause && q.Period == since })
			if i < 0 {
				i = len(questions)
				questions = append(questions, usage.Question{FindingKey: schema.FindingKey{
					Detector: d.Name(), Partner: partner, Capability: capability, Cause: cause, Period: since,
				}})
			}
			questions[i].Spans = append(questions[i].Spans, span)
		}
	}
	for i := range questions {
		questions[i].Spans = joined(questions[i].Spans)
	}
	return questions
}

// joined puts spans together where they follow each other for the same action,
// and then where they are the same for two actions.
func joined(spans []usage.Span) []usage.Span {
	var runs, out []usage.Span
	for _, s := range spans {
		if n := len(runs); n > 0 && runs[n-1].To == s.From && slices.Equal(runs[n-1].Actions, s.Actions) {
			runs[n-1].To = s.To
		} else {
			runs = append(runs, s)
		}
	}
	for _, s := range runs {
		if i := slices.IndexFunc(out, func(o usage.Span) bool { return o.From == s.From && o.To == s.To }); i >= 0 {
			out[i].Actions = append(out[i].Actions, s.Actions...)
		} else {
			out = append(out, s)
		}
	}
	return out
}

func holdsAny(s usage.Span, days []schema.Day) bool {
	return slices.ContainsFunc(days, func(d schema.Day) bool { return d >= s.From && (s.To == 0 || d < s.To) })
}

// Judge implements Detector.
func (d StaleAccess) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	f, ok := used(q, a)
	if !ok {
		return schema.Finding{}, false
	}
	f.PeriodEnd = lastEnd(q.Spans)
	last := schema.DayOf(f.LastSeen)
	f.OtherCauses = otherCauses(r, q, last)
	past := uint32(max(last-q.Period, 0)) //nolint:gosec // not negative
	if q.Cause == deprecated {
		f.Severity = schema.Warning
	} else {
		past++ // the period begins with the first day not allowed
		lastAllowed := (q.Period - 1).Time()
		f.LastAllowed, f.DaysPast = &lastAllowed, &past
	}
	end := afterMinute(f.LastSeen.UnixMilli()).Unix() + idle // to the minute, as the watermark rolls
	if f.PeriodEnd != 0 {
		end = min(end, f.PeriodEnd.Second())
	}
	if a.Watermark >= end {
		f.State, f.EndedAt = schema.Ended, utc(end)
	}
	f.Sentence = d.sentence(q, a, past)
	return f, true
}

func (StaleAccess) sentence(q usage.Question, a usage.Answer, past uint32) string {
	why := map[string]string{
		registry.CauseAgreement: fmt.Sprintf("the agreement ended (%s)", q.Period-1),
		registry.CauseGrant:     fmt.Sprintf("its grant ended (%s)", q.Period-1),
		registry.CauseSunset:    fmt.Sprintf("the capability's last day (%s)", q.Period-1),
		deprecated:              fmt.Sprintf("it was deprecated (%s)", q.Period),
	}[q.Cause]
	when := fmt.Sprintf("%s after %s", count(uint64(past), "day", "days"), why)
	if a.Total.Accesses == 0 {
		return fmt.Sprintf("%s still tries %s %s; all %s were refused.", q.Partner, q.Capability, when, count(a.Total.Attempts, "attempt", "attempts"))
	}
	s := fmt.Sprintf("%s still uses %s %s: %s, %s", q.Partner, q.Capability, when, count(a.Total.Accesses, "access", "accesses"), people(a.People))
	if a.Total.Attempts > 0 {
		s += ", and " + count(a.Total.Attempts, "attempt", "attempts") + " refused"
	}
	return s + "."
}

// otherCauses lists what else had ended by the day, each with its date.
func otherCauses(r *registry.Registry, q usage.Question, day schema.Day) []string {
	var others []string
	for _, s := range q.Spans {
		for _, action := range s.Actions {
			for _, o := range r.Right(q.Partner, q.Capability, action, day).Others {
				others = append(others, fmt.Sprintf("%s since %s", o.Cause, o.Since))
			}
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// lastEnd returns the first day after all spans, 0 where one has no end.
func lastEnd(spans []usage.Span) schema.Day {
	var end schema.Day
	for _, s := range spans {
		if s.To == 0 {
			return 0
		}
		end = max(end, s.To)
	}
	return end
}
