// Package detectors decides from a partner's usage and the registry what is a
// finding. A detector is a pure function: no clock, no I/O, no memory; time is
// event time, so a replay finds what live running found.
package detectors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// A Detector looks for one kind of overreach.
type Detector interface {
	// Name is the detector's name in findings, tables and docs.
	Name() string

	// Ask returns the questions that the touched days of a partner raise. It
	// returns the same question for the same key whatever part of the key's
	// period was touched.
	Ask(r *registry.Registry, a usage.Activity) []usage.Question

	// Judge decides whether the answer makes a finding. What it leaves empty
	// (evidence, owner, coverage) is read for findings alone, by the judge.
	Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool)

	// Watches says in a few words each what it will watch of a partner.
	Watches(r *registry.Registry, partner string) []string

	// BlindSpots says what it cannot see.
	BlindSpots() string
}

// A Scorer is a detector that says of every closed bucket how unusual it was,
// whether that makes a finding or not.
type Scorer interface {
	Detector

	// Score returns the scores of the buckets in the question's span, and the
	// finding that Judge makes.
	Score(r *registry.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool)
}

// warns is the score at or under which a Scorer makes a finding: what ordinary traffic
// comes to once in ten years.
const warns = 0.1

// How many days before what a Scorer judges its series go back: those of hours,
// those of weeks, and any.
const (
	History        schema.Day = 56
	WeeksHistory   schema.Day = 77
	LongestHistory            = WeeksHistory + 7
)

// askClosed asks about closed windows of an activity, each of the periods that hold
// its days: of the partner as a whole, and in each capability that the registry
// lists. Names that it does not list come from whoever writes events, and are
// without bound.
func askClosed(key schema.FindingKey, days, history schema.Day, r *registry.Registry, a usage.Activity, period func(schema.Day) schema.Day) []usage.Question {
	if _, ok := r.Partners[a.Partner]; !ok {
		return nil
	}
	capabilities := []string{""}
	for _, s := range a.Scopes {
		if _, ok := r.Capabilities[s.Capability]; ok && s.Capability != capabilities[len(capabilities)-1] { // scopes are in their order
			capabilities = append(capabilities, s.Capability)
		}
	}
	var periods []schema.Day
	for _, day := range a.Days {
		periods = append(periods, period(day))
	}
	slices.Sort(periods)
	key.Partner = a.Partner
	var questions []usage.Question
	for _, key.Period = range slices.Compact(periods) {
		for _, key.Capability = range capabilities {
			questions = append(questions, usage.Question{
				FindingKey: key, Spans: []usage.Span{{From: key.Period, To: key.Period + days}}, History: history,
			})
		}
	}
	return questions
}

// All returns every detector, in the order of docs/detectors.
func All() []Detector {
	return []Detector{VolumeLimit{}, StaleAccess{}, UnregisteredPartner{}, DataGap{}, Surge{}, NewPeople{}, Creep{}, MixShift{}}
}

// used makes the finding that any use in a question's period is: critical where
// there were accesses, a warning where all was refused.
func used(q usage.Question, a usage.Answer) (schema.Finding, bool) {
	t := &a.Total
	if t.Accesses == 0 && t.Attempts == 0 {
		return schema.Finding{}, false
	}
	severity, crossing := schema.Critical, t.FirstAccess
	if t.Accesses == 0 {
		severity, crossing = schema.Warning, t.FirstAttempt
	}
	first := crossing
	if t.FirstAttempt != 0 {
		first = min(first, t.FirstAttempt)
	}
	last := max(t.LastAccess, t.LastAttempt)
	return schema.Finding{
		FindingKey:    q.FindingKey,
		Severity:      severity,
		State:         schema.Open,
		FirstCrossing: afterMinute(crossing),
		Peak:          afterMinute(last), // it only grows
		EvidenceFrom:  schema.DayOfSecond(first / 1000).Time(),
		EvidenceTo:    (schema.DayOfSecond(last/1000) + 1).Time(),
		FirstSeen:     instant(first),
		LastSeen:      instant(last),
		Accesses:      t.Accesses,
		Attempts:      t.Attempts,
		People:        a.People,
		Bystanders:    &a.Bystanders,
	}, true
}

// about is so many people of a series, as an estimate: there are never more than
// accesses.
func about(people, accesses float64) schema.Estimate {
	return schema.Estimate(window.Around(people)).AtMost(uint64(accesses))
}

// utc is the time of a second since 1970.
func utc(second int64) time.Time { return time.Unix(second, 0).UTC() }

// instant is the time of a millisecond since 1970, and the zero time for 0.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// afterMinute is the end of the minute that a millisecond falls in: when a
// bucket that holds it is complete.
func afterMinute(ms int64) time.Time {
	return utc((ms/60_000 + 1) * 60)
}

// count writes a number of things with thousands set apart.
func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands writes n with a comma before each group of three digits.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// people writes an estimate, saying where it is one.
func people(e schema.Estimate) string {
	if e.Low == e.High {
		return count(e.Value, "person", "people")
	}
	return "about " + count(e.Value, "person", "people")
}

// of names what of the partner a finding is about.
func of(capability string) string {
	if capability == "" {
		return "all capabilities"
	}
	return capability
}
