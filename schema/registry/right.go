package registry

import (
	"cmp"
	"slices"

	"github.com/overreach/overreach/schema"
)

// RightStatus says whether a partner has a right on a day.
type RightStatus uint8

// The statuses. On each day a right has exactly one.
const (
	Unregistered RightStatus = iota // the registry does not know the partner
	Never                           // the partner never had the right until then
	Stale                           // the partner had it, and it has ended
	Allowed                         // the partner has it
)

// The causes for which a right ends.
const (
	CauseAgreement = "agreement" // the agreement is over
	CauseGrant     = "grant"     // every grant that had begun is over
	CauseSunset    = "sunset"    // the capability should be gone
)

// CauseDate is a cause and the first day not allowed by it.
type CauseDate struct {
	Cause string
	Since schema.Day
}

// Right is what a partner may do in one scope on one day.
//
//	Unregistered  the partner is not in the registry
//	Never         until this day no grant of the scope was in force on a day of the agreement
//	Stale         one was, but a cause holds: the agreement ended before this
//	              day, every grant that had begun ended before it, or the
//	              capability was sunset on or before it
//	Allowed       one was, and no cause holds: so a grant is in force, and the
//	              agreement too
//
// A grant of a capability that was sunset already when it began counts as a
// right that ended: somebody granted it, so the sunset is what to tell about.
type Right struct {
	Status RightStatus

	// Where Status is Stale: of the causes that hold, the one with the earliest
	// date (in a tie agreement, then grant, then sunset), the first day not
	// allowed by it, and the other causes in order of date.
	Cause  string
	Since  schema.Day
	Others []CauseDate

	// Where Status is Allowed: whether the capability is deprecated on that day,
	// and since when.
	Deprecated      bool
	DeprecatedSince schema.Day
}

func (r Right) equal(o Right) bool {
	return r.Status == o.Status && r.Cause == o.Cause && r.Since == o.Since && slices.Equal(r.Others, o.Others) &&
		r.Deprecated == o.Deprecated && r.DeprecatedSince == o.DeprecatedSince
}

// Right returns what the partner may do with the capability on day d, by the
// dates that the registry gives for that day.
func (r *Registry) Right(partner, capability string, a schema.Action, d schema.Day) Right {
	p, ok := r.Partners[partner]
	if !ok {
		return Right{Status: Unregistered}
	}
	existed := false
	latest := schema.Day(0) // the last day of those grants that had begun by d
	open := false           // one of them is open-ended
	for _, g := range p.Grants {
		if g.Capability != capability || g.From > d || !slices.Contains(g.Actions, a) {
			continue
		}
		first := max(g.From, p.AgreementStart)
		existed = existed || first <= d && !ends(g.Until, first) && !ends(p.AgreementEnd, first)
		latest, open = max(latest, g.Until), open || g.Until == 0
	}
	if !existed {
		return Right{Status: Never}
	}
	c := r.Capabilities[capability]
	var causes []CauseDate
	if p.AgreementEnd != 0 && p.AgreementEnd < d {
		causes = append(causes, CauseDate{CauseAgreement, p.AgreementEnd + 1})
	}
	if !open && latest < d {
		causes = append(causes, CauseDate{CauseGrant, latest + 1})
	}
	if c.Sunset != 0 && c.Sunset <= d {
		causes = append(causes, CauseDate{CauseSunset, c.Sunset})
	}
	if len(causes) > 0 {
		slices.SortStableFunc(causes, func(a, b CauseDate) int { return cmp.Compare(a.Since, b.Since) })
		return Right{Status: Stale, Cause: causes[0].Cause, Since: causes[0].Since, Others: causes[1:]}
	}
	if c.Deprecated != 0 && c.Deprecated <= d {
		return Right{Status: Allowed, Deprecated: true, DeprecatedSince: c.Deprecated}
	}
	return Right{Status: Allowed}
}

// Segment is a span of days [From, To) over which a right does not change. From
// 0 means that it has always been so, To 0 that it stays so.
type Segment struct {
	From, To schema.Day
	Right
}

// Segments returns the right as a step function over all days from 1970 on: the
// first segment has From 0, the last To 0, each begins where the one before
// ends, and two neighbours differ.
func (r *Registry) Segments(partner, capability string, a schema.Action) []Segment {
	p, c := r.Partners[partner], r.Capabilities[capability]
	days := []schema.Day{0, p.AgreementStart, dayAfter(p.AgreementEnd), c.Deprecated, c.Sunset}
	for _, g := range p.Grants {
		if g.Capability == capability {
			days = append(days, g.From, dayAfter(g.Until))
		}
	}
	slices.Sort(days)
	var segments []Segment
	for _, d := range slices.Compact(days) {
		right := r.Right(partner, capability, a, d)
		if n := len(segments); n > 0 {
			if right.equal(segments[n-1].Right) {
				continue
			}
			segments[n-1].To = d
		}
		segments = append(segments, Segment{From: d, Right: right})
	}
	return segments
}

// dayAfter returns the first day not allowed after a last one, and 0 for none.
func dayAfter(last schema.Day) schema.Day {
	if last == 0 {
		return 0
	}
	return last + 1
}
