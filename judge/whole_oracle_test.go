package judge_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// expected is what the naive oracle says of a finding.
type expected struct {
	Key           string // detector partner capability window cause period
	PeriodEnd     schema.Day
	Severity      schema.Severity
	State         schema.State
	FirstCrossing string
	Peak          string
	EndedAt       string
	People        uint64
	Accesses      uint64
	Attempts      uint64
	Bystanders    int64 // -1: not known
	FirstSeen     string
	LastSeen      string
}

// told is what a finding says, in the oracle's words.
func told(f *schema.Finding) expected {
	e := expected{
		Key: key(f.FindingKey), PeriodEnd: f.PeriodEnd, Severity: f.Severity, State: f.State,
		FirstCrossing: clock(f.FirstCrossing), Peak: clock(f.Peak), EndedAt: clock(f.EndedAt),
		People: f.People.Value, Accesses: f.Accesses, Attempts: f.Attempts, Bystanders: -1,
		FirstSeen: clock(f.FirstSeen), LastSeen: clock(f.LastSeen),
	}
	if f.Bystanders != nil {
		e.Bystanders = int64(f.Bystanders.Value)
	}
	return e
}

func key(k schema.FindingKey) string {
	return fmt.Sprintf("%s %s %q %q %s %s", k.Detector, k.Partner, k.Capability, k.Window, k.Cause, k.Period)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

func second(s int64) string { return clock(time.Unix(s, 0)) }
func milli(ms int64) string { return clock(time.UnixMilli(ms)) }

// people counts distinct persons, and those who were not the actor of a call
// that had one.
type people struct{ subjects, bystanders map[string]bool }

func newPeople() people { return people{map[string]bool{}, map[string]bool{}} }

func (p people) add(e *event) {
	p.subjects[e.Subject] = true
	if e.Actor != "" && e.Actor != e.Subject {
		p.bystanders[e.Subject] = true
	}
}

// span is what some events of a log say as a whole.
type span struct {
	people
	accesses, attempts      uint64
	firstAccess, lastAccess int64 // milliseconds, as below
	firstAttempt            int64
	firstSeen, lastSeen     int64 // access or attempt
}

func sum(events []event) span {
	s := span{people: newPeople()}
	for i := range events {
		e := &events[i]
		if s.firstSeen == 0 || e.Time < s.firstSeen {
			s.firstSeen = e.Time
		}
		s.lastSeen = max(s.lastSeen, e.Time)
		if e.refused() {
			s.attempts++
			if s.firstAttempt == 0 || e.Time < s.firstAttempt {
				s.firstAttempt = e.Time
			}
			continue
		}
		s.accesses++
		s.add(e)
		if s.firstAccess == 0 || e.Time < s.firstAccess {
			s.firstAccess = e.Time
		}
		s.lastAccess = max(s.lastAccess, e.Time)
	}
	return s
}

// oracle says which findings a log makes, at the time of its latest event. It
// counts with maps, window by window.
func oracle(r *registry.Registry, log []event) []expected {
	log = slices.Clone(log)
	slices.SortStableFunc(log, func(a, b event) int { return cmp.Compare(a.Time, b.Time) })
	now := log[len(log)-1].Time / 1000
	byPartner := map[string][]event{}
	for _, e := range log {
		byPartner[e.Partner] = append(byPartner[e.Partner], e)
	}
	var all []expected
	for partner, events := range byPartner {
		p, registered := r.Partners[partner]
		if !registered {
			k := schema.FindingKey{Detector: "unregistered_partner", Partner: partner, Cause: "unregistered"}
			all = append(all, wholePeriod(k, events))
			continue
		}
		for _, l := range p.Limits {
			some := events
			if l.Capability != "" {
				some = slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Capability != l.Capability })
			}
			all = append(all, overLimit(partner, l, some, now)...)
		}
		all = append(all, stale(r, partner, events, now)...)
	}
	slices.SortFunc(all, func(a, b expected) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// wholePeriod is the finding that all of the events make.
func wholePeriod(k schema.FindingKey, events []event) expected {
	s := sum(events)
	severity, crossing := schema.Critical, s.firstAccess
	if s.accesses == 0 {
		severity, crossing = schema.Warning, s.firstAttempt
	}
	return expected{
		Key: key(k), Severity: severity, State: schema.Open, FirstCrossing: second((crossing/60_000 + 1) * 60),
		Peak:   second((s.lastSeen/60_000 + 1) * 60),
		People: uint64(len(s.subjects)), Accesses: s.accesses, Attempts: s.attempts, Bystanders: int64(len(s.bystanders)),
		FirstSeen: milli(s.firstSeen), LastSeen: milli(s.lastSeen),
	}
}

// stale puts together, day by day, the events that had no right any more.
func stale(r *registry.Registry, partner string, events []event, now int64) []expected {
	because := func(capability string, a schema.Action, d schema.Day) (schema.FindingKey, bool) {
		k := schema.FindingKey{Detector: "stale_access", Partner: partner, Capability: capability}
		right := r.Right(partner, capability, a, d)
		switch {
		case right.Status == registry.Stale:
			k.Cause, k.Period = right.Cause, right.Since
		case right.Deprecated:
			k.Cause, k.Period = "deprecated", right.DeprecatedSince
		}
		return k, k.Cause != ""
	}
	found := map[schema.FindingKey][]event{}
	for _, e := range events {
		a, err := schema.ParseAction(e.Action)
		if err != nil {
			panic(err)
		}
		if k, ok := because(e.Capability, a, schema.DayOfSecond(e.Time/1000)); ok {
			found[k] = append(found[k], e)
		}
	}
	var all []expected
	for k, some := range found {
		e := wholePeriod(k, some)
		if k.Cause == "deprecated" {
			e.Severity = schema.Warning
		}
		// The period ends with the last day on which the cause is the one that holds.
		const horizon = schema.Day(20000) // 2024
		for d := k.Period; d <= horizon; d++ {
			for _, a := range schema.Actions {
				if other, ok := because(k.Capability, a, d); ok && other == k {
					e.PeriodEnd = d + 1
				}
			}
		}
		if e.PeriodEnd > horizon {
			e.PeriodEnd = 0
		}
		// Seven days without use, counted from the end of the last minute of use.
		end := (sum(some).lastSeen/60_000+1)*60 + 7*schema.DaySeconds
		if e.PeriodEnd != 0 {
			end = min(end, e.PeriodEnd.Second())
		}
		if now >= end {
			e.State, e.EndedAt = schema.Ended, second(end)
		}
		all = append(all, e)
	}
	return all
}

// sliding is one window and its people.
type sliding struct {
	begin, end int64
	people     uint64
	accesses   uint64
}

// overLimit slides over every window that was told by now, and makes a finding
// of each period in which one was over 80% of the limit. Events are sorted.
func overLimit(partner string, l registry.Limit, events []event, now int64) []expected {
	periods := map[schema.Day][]sliding{}
	for _, w := range windowsOf(l.Window, events, now) {
		if w.people*100 <= l.People*80 {
			continue
		}
		day := schema.DayOfSecond(w.end - 1)
		if l.Window == schema.Window30d || l.Window == schema.WindowMonth {
			day = day.Month()
		}
		periods[day] = append(periods[day], w)
	}
	var all []expected
	for _, day := range slices.Sorted(maps.Keys(periods)) {
		windows := periods[day]
		k := schema.FindingKey{Detector: "volume_limit", Partner: partner, Capability: l.Capability, Window: l.Window, Cause: "limit", Period: day}
		e := expected{Key: key(k), PeriodEnd: day + 1, Severity: schema.Warning, State: schema.Open, Bystanders: -1}
		if l.Window == schema.Window30d || l.Window == schema.WindowMonth {
			e.PeriodEnd = day.NextMonth()
		}
		last := windows[len(windows)-1].end
		over := slices.DeleteFunc(slices.Clone(windows), func(w sliding) bool { return w.people <= l.People })
		if len(over) > 0 {
			e.Severity, windows = schema.Critical, over
		}
		peak := slices.MaxFunc(windows, func(a, b sliding) int { return cmp.Compare(a.people, b.people) }) // the first of the greatest
		within := slices.DeleteFunc(slices.Clone(events), func(v event) bool { return v.Time < peak.begin*1000 || v.Time >= peak.end*1000 })
		s := sum(within)
		e.FirstCrossing, e.Peak = second(windows[0].end), second(peak.end)
		e.People, e.Accesses, e.Attempts = peak.people, peak.accesses, s.attempts
		e.FirstSeen, e.LastSeen = milli(s.firstAccess), milli(s.lastAccess)
		if l.Window.Step() == schema.Daily {
			e.Bystanders = int64(len(s.bystanders))
		}
		if end := limitEnds(l.Window, e.PeriodEnd, last); now >= end {
			e.State, e.EndedAt = schema.Ended, second(end)
		}
		all = append(all, e)
	}
	return all
}

func limitEnds(w schema.Window, periodEnd schema.Day, last int64) int64 {
	switch {
	case w == schema.WindowMonth || last == periodEnd.Second():
		return periodEnd.Second()
	case w == schema.WindowHour:
		return last + 3600
	case w == schema.Window24h:
		return last + schema.DaySeconds
	}
	return last + schema.DaySeconds // the first day under it
}

// windowsOf counts each window that holds an access and begins its last bucket
// by now.
func windowsOf(w schema.Window, events []event, now int64) []sliding {
	if len(events) == 0 {
		return nil
	}
	step, length := w.Step().Seconds(), int64(w.Buckets())*w.Step().Seconds()
	if w == schema.WindowMonth {
		length = 31 * schema.DaySeconds
	}
	first := events[0].Time / 1000 / step * step
	last := min(events[len(events)-1].Time/1000+length, now)
	var all []sliding
	from := 0
	for bucket := first; bucket <= last; bucket += step {
		one := sliding{begin: bucket + step - length, end: bucket + step}
		if w == schema.WindowMonth {
			one.begin = schema.DayOfSecond(bucket).Month().Second()
		}
		for from < len(events) && events[from].Time < one.begin*1000 {
			from++
		}
		seen := map[string]bool{}
		for i := from; i < len(events) && events[i].Time < one.end*1000; i++ {
			if !events[i].refused() {
				seen[events[i].Subject] = true
				one.accesses++
			}
		}
		if one.people = uint64(len(seen)); one.people > 0 {
			all = append(all, one)
		}
	}
	return all
}
