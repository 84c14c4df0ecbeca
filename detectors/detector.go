// Package detectors decides from a partner's usage and the registry what is a
// finding. A detector is a pure function: no clock, no I/O, no memory; time is
// event time, so a replay finds what live running found.
package detectors

import (
	"fmt"
	"strings"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// A Detector looks for one kind of overreach.
type Detector interface {
	// Name is the detector's name in findings, tables and docs.
	Name() string

	// Ask returns the questions that the touched days of a partner raise. It
	// returns the same question for the same key whatever part of the key's
	// period was touched.
	Ask(r *schema.Registry, a usage.Activity) []usage.Question

	// Judge decides whether the answer makes a finding. What it leaves empty
	// (evidence, owner, coverage) is read for findings alone, by the judge.
	Judge(r *schema.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool)

	// Watches says in a few words each what it will watch of a partner.
	Watches(r *schema.Registry, partner string) []string

	// BlindSpots says what it cannot see.
	BlindSpots() string
}

// A Scorer is a detector that says of every closed bucket how unusual it was,
// whether that makes a finding or not.
type Scorer interface {
	Detector

	// Step is the width of the buckets that it scores.
	Step() schema.Resolution

	// Score returns the scores of the buckets in the question's span, and the
	// finding that Judge makes.
	Score(r *schema.Registry, q usage.Question, a usage.Answer) ([]schema.Score, schema.Finding, bool)
}

// History is how many days before what a Scorer judges its baseline goes back at
// most.
const History schema.Day = 56

// All returns every detector, in the order of docs/detectors.
func All() []Detector {
	return []Detector{VolumeLimit{}, StaleAccess{}, UnregisteredPartner{}, DataGap{}, Surge{}}
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
