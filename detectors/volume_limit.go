package detectors

import (
	"fmt"
	"slices"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// VolumeLimit finds windows in which a partner touched more people than the
// registry allows: a warning when the estimate passes 80% of the limit, critical
// when the lower end of the 95% interval passes the limit itself.
type VolumeLimit struct{}

// nearly is the share of a limit that makes a warning, in percent.
const nearly = 80

// Name implements Detector.
func (VolumeLimit) Name() string { return "volume_limit" }

// BlindSpots implements Detector.
func (VolumeLimit) BlindSpots() string {
	return "partners and capabilities without a limit; the same people read again and again; people beyond the calls that the log holds"
}

// Watches implements Detector.
func (VolumeLimit) Watches(r *registry.Registry, partner string) []string {
	var w []string
	for _, l := range r.Partners[partner].Limits {
		w = append(w, fmt.Sprintf("%s people per %s in %s", thousands(l.People), l.Window, of(l.Capability)))
	}
	return w
}

// Ask implements Detector.
func (d VolumeLimit) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	var questions []usage.Question
	for _, l := range r.Partners[a.Partner].Limits {
		for _, period := range periods(l.Window, a.Days) {
			questions = append(questions, usage.Question{
				FindingKey: schema.FindingKey{
					Detector:   d.Name(),
					Partner:    a.Partner,
					Capability: l.Capability,
					Window:     l.Window,
					Cause:      "limit",
					Period:     period.From,
				},
				Spans:     []usage.Span{period},
				Threshold: l.People*nearly/100 + 1,
			})
		}
	}
	return questions
}

// periods returns the aligned periods in which a window ends that holds one of
// the days, ascending: UTC days for windows of hours, calendar months for longer.
// The 30 days from 31 January on end in three months.
func periods(w schema.Window, days []schema.Day) []usage.Span {
	var spans []usage.Span
	for _, day := range days {
		for d, last := day, lastReach(w, day); d <= last; {
			span := usage.Span{From: d, To: d + 1}
			if w.Step() == schema.Daily {
				span = usage.Span{From: d.Month(), To: d.NextMonth()}
			}
			spans = append(spans, span)
			d = span.To
		}
	}
	slices.SortFunc(spans, func(a, b usage.Span) int { return int(a.From - b.From) })
	return slices.CompactFunc(spans, func(a, b usage.Span) bool { return a.From == b.From })
}

// lastReach returns the last day on which a window ends that holds something of
// the day.
func lastReach(w schema.Window, day schema.Day) schema.Day {
	switch w {
	case schema.WindowMonth:
		return day
	case schema.Window30d:
		return day + 29
	}
	return day + 1
}

// Judge implements Detector.
func (d VolumeLimit) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	limit, ok := limitOf(r, q)
	if !ok {
		return schema.Finding{}, false
	}
	warns := func(p usage.Point) bool { return float64(p.People.Value) > float64(limit)*nearly/100 }
	severity, crosses := schema.Critical, func(p usage.Point) bool { return p.People.Low > limit }
	if !slices.ContainsFunc(a.Points, crosses) {
		severity, crosses = schema.Warning, warns
	}
	// What was critical goes on while it would be a warning: it does not end and
	// begin again around the limit, and what lasts into the next period is open
	// until that one is judged.
	var first, last, peak *usage.Point
	for i := range a.Points {
		p := &a.Points[i]
		if warns(*p) {
			last = p
		}
		if !crosses(*p) {
			continue
		}
		if first == nil {
			first, peak = p, p
		}
		if p.People.Value > peak.People.Value {
			peak = p
		}
	}
	if first == nil {
		return schema.Finding{}, false
	}
	ratio := float64(peak.People.Value) / float64(limit)
	f := schema.Finding{
		FindingKey:    q.FindingKey,
		PeriodEnd:     q.Spans[0].To,
		Severity:      severity,
		State:         schema.Open,
		FirstCrossing: utc(first.End),
		Peak:          utc(peak.End),
		EvidenceFrom:  utc(peak.Begin),
		EvidenceTo:    utc(peak.End),
		Accesses:      peak.Accesses,
		People:        peak.People,
		Limit:         &limit,
		Ratio:         &ratio,
	}
	if end := limitEnds(q, last.End); a.Watermark >= end {
		f.State, f.EndedAt = schema.Ended, utc(end)
	}
	f.Sentence = fmt.Sprintf("%s touched %s in %s within %s (to %s): %.1f times the limit of %s.",
		q.Partner, people(peak.People), of(q.Capability), within(q), clock(peak.End), ratio, thousands(limit))
	if severity == schema.Warning {
		f.Sentence = fmt.Sprintf("%s touched %s in %s within %s (to %s): %.0f%% of the limit of %s.",
			q.Partner, people(peak.People), of(q.Capability), within(q), clock(peak.End), ratio*100, thousands(limit))
	}
	return f, true
}

// limitOf returns the limit that the registry sets for what the question asks.
func limitOf(r *registry.Registry, q usage.Question) (uint64, bool) {
	for _, l := range r.Partners[q.Partner].Limits {
		if l.Window == q.Window && l.Capability == q.Capability {
			return l.People, true
		}
	}
	return 0, false
}

// limitEnds returns when a crossing is over whose last window to make a finding
// ended at last: with the first whole window that makes none for windows of
// hours, the first such day for 30 days, the month for the month. What lasts to
// the end of the period ends with it, because what goes on is the next period's
// finding.
func limitEnds(q usage.Question, last int64) int64 {
	end := q.Spans[0].End()
	switch q.Window {
	case schema.WindowHour, schema.Window24h:
		end = last + int64(q.Window.Buckets())*q.Window.Step().Seconds()
		if last == q.Spans[0].End() {
			end = last
		}
	case schema.Window30d:
		end = min(end, last+schema.DaySeconds)
	}
	return end
}

// within names the window in a sentence.
func within(q usage.Question) string {
	switch q.Window {
	case schema.WindowHour:
		return "an hour"
	case schema.WindowMonth:
		return q.Period.Time().Format("January 2006")
	}
	return string(q.Window)
}

// clock writes a second since 1970 to the minute.
func clock(second int64) string {
	t := utc(second)
	if second%schema.DaySeconds == 0 {
		return "the end of " + t.Add(-time.Second).Format(time.DateOnly)
	}
	return t.Format("2006-01-02 15:04")
}
