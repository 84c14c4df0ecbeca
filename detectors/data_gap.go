package detectors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// DataGap finds records that were gone from Kafka before they were counted, or that
// could not be decoded. It is about no partner but about everybody: what was lost might have been anyone's.
// What makes it is what reading met, so a replay of the whole log has none.
type DataGap struct{}

// NoPartner is the partner of findings about what was read. No event has an empty
// partner, so it is nobody's name.
const NoPartner = ""

// gapLasts is for how long, after the last event time that it may concern, a gap
// stays open.
const gapLasts = 7 * schema.DaySeconds

// Name implements Detector.
func (DataGap) Name() string { return "data_gap" }

// BlindSpots implements Detector.
func (DataGap) BlindSpots() string {
	return "what never reached Kafka; records that compaction took away; a partition that was read from later than its beginning on purpose"
}

// Watches implements Detector.
func (DataGap) Watches(*registry.Registry, string) []string { return nil }

// Key is the key of the finding that a gap belongs to: one for a partition and
// day of pin, for what was missing and for what could not be decoded.
func (d DataGap) Key(g *schema.Gap) schema.FindingKey {
	what := "missing"
	if g.Why != "" {
		what = "unreadable"
	}
	return schema.FindingKey{
		Detector: d.Name(), Partner: NoPartner, Period: g.Pinned,
		Cause: fmt.Sprintf("%s in %s/%d", what, g.Incarnation, g.Partition.Partition),
	}
}

// Ask implements Detector. What merged markers say has been told when they were
// not merged yet.
func (d DataGap) Ask(_ *registry.Registry, a usage.Activity) []usage.Question {
	if a.Partner != NoPartner {
		return nil
	}
	keys := slices.Clone(a.Open)
	for i := range a.Gaps {
		if !a.Gaps[i].Merged {
			keys = append(keys, d.Key(&a.Gaps[i]))
		}
	}
	var questions []usage.Question
	for i, key := range keys {
		if key.Detector == d.Name() && !slices.Contains(keys[:i], key) {
			questions = append(questions, usage.Question{FindingKey: key, Spans: []usage.Span{{}}})
		}
	}
	return questions
}

// Judge implements Detector.
func (d DataGap) Judge(_ *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	if len(a.Gaps) == 0 {
		return schema.Finding{}, false
	}
	all := a.Gaps[0] // and what holds all of them
	for _, g := range a.Gaps[1:] {
		all.From, all.To, all.First = min(all.From, g.From), max(all.To, g.To), min(all.First, g.First)
		all.Missing += g.Missing
		if !strings.Contains(all.Why, g.Why) {
			all.Why += ", " + g.Why
		}
		if all.Last == 0 || g.Last == 0 {
			all.Last = 0 // no event after one of them
		} else {
			all.Last = max(all.Last, g.Last)
		}
	}
	met := (q.Period + 1).Time() // a pin says only its day
	f := schema.Finding{
		FindingKey: q.FindingKey, PeriodEnd: q.Period + 1,
		Severity: schema.Critical, State: schema.Open,
		FirstCrossing: met, Peak: met,
		EvidenceFrom: minuteOf(all.First), EvidenceTo: later(met, afterMinute(all.First)),
		FirstSeen: instant(all.First), LastSeen: instant(all.Last),
		Missing: all.Missing,
	}
	if all.Last != 0 {
		f.EvidenceTo = afterMinute(all.Last)
		if end := f.EvidenceTo.Unix() + gapLasts; a.Watermark >= end {
			f.State, f.EndedAt = schema.Ended, utc(end)
		}
	}
	f.Sentence = d.sentence(&all, &f)
	return f, true
}

func (DataGap) sentence(g *schema.Gap, f *schema.Finding) string {
	const layout = "2006-01-02 15:04"
	when := ""
	if g.First != 0 {
		when = " from " + f.EvidenceFrom.Format(layout) + " on"
	}
	if g.Last != 0 {
		when += " up to " + f.EvidenceTo.Format(layout)
	}
	if when == "" {
		when = " at any time"
	}
	if g.Why != "" {
		return fmt.Sprintf("%s of %s partition %d (within offsets %d to %d) could not be decoded (%s) and were passed: counts of what happened%s UTC may be too low, for every partner, and a zero is no proof.",
			count(g.Missing, "offset", "offsets"), g.Incarnation, g.Partition.Partition, g.From, g.To, g.Why, when)
	}
	return fmt.Sprintf("Kafka no longer had %s of %s partition %d (offsets %d to %d) when they were to be read: counts of what happened%s UTC may be too low, for every partner, and a zero is no proof.",
		count(g.Missing, "record", "records"), g.Incarnation, g.Partition.Partition, g.From, g.To, when)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// minuteOf is the start of the minute that a millisecond falls in, and the zero
// time for 0.
func minuteOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return utc(ms / 60_000 * 60)
}
