// Package statement writes on one page what a partner might do and did between
// two days, and what that rests on: to be handed to the partner or a regulator.
package statement

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// Statement is the page's content. Days are UTC, From and To included.
type Statement struct {
	Partner  string
	From, To schema.Day
	Registry *registry.Registry // by whose dates everything is judged

	RegistryOrdinal uint32
	RegistryLoaded  time.Time

	Scopes       []Scope
	Capabilities []Capability
	Findings     []schema.Finding // that were seen in the time
	Repeats      Repeats
	Coverage     Coverage

	Made    time.Time
	Version string // of the program
}

// Repeats says how many of the accesses bear an id that the partner's calls bore
// before, as far as the raw events are kept.
type Repeats struct {
	Kept      uint64 // accesses of the time whose raw event is kept
	WithoutID uint64 // of these, without an id
	Repeated  uint64 // of these, with an id that an earlier access bore
}

// repeats says it in a sentence; accesses are those of the time.
func (s *Statement) repeats(accesses uint64) string {
	r := s.Repeats
	switch {
	case accesses == 0:
		return ""
	case r.Kept == 0:
		return "Whether calls were counted twice is not known: of no access of this time the raw event is kept."
	}
	text := fmt.Sprintf("%s of %s an id that an earlier access of the partner bears", thousands(r.Repeated), number(r.Kept, "access repeats", "accesses repeat"))
	if r.Repeated > 0 {
		text += ": most likely the call was sent or counted more than once"
	}
	text += "."
	if r.WithoutID > 0 {
		text += fmt.Sprintf(" %s no id, so that it is not known of them.", number(r.WithoutID, "access bears", "accesses bear"))
	}
	if r.Kept < accesses {
		text += fmt.Sprintf(" Of the other %s the raw event is no longer kept.", thousands(accesses-r.Kept))
	}
	return text
}

// Scope is what the partner did with one scope in the time.
type Scope struct {
	Capability string
	Action     schema.Action
	schema.Counters
	People, Bystanders schema.Estimate
	Days               int             // UTC days with an access
	Outside            schema.Counters // of those days on which it had no right
	DaysOutside        int
}

// Capability is how many people the partner touched in one capability on each
// UTC day of the time, from the first on.
type Capability struct {
	Name   string
	People []DayOfUse
}

// DayOfUse is one day of a Capability.
type DayOfUse struct {
	People  schema.Estimate
	Outside bool // some of it without a right
}

// registered returns what the registry says of the partner.
func (s *Statement) registered() (registry.Partner, bool) {
	p, ok := s.Registry.Partners[s.Partner]
	return p, ok
}

// who says in a sentence whose statement it is.
func (s *Statement) who() string {
	p, ok := s.registered()
	if !ok {
		return "The registry does not know this partner: there is no agreement and no grant."
	}
	agreement := "The agreement has no dates."
	switch {
	case p.AgreementStart != 0 && p.AgreementEnd != 0:
		agreement = fmt.Sprintf("The agreement runs from %s to %s, both days included.", p.AgreementStart, p.AgreementEnd)
	case p.AgreementStart != 0:
		agreement = fmt.Sprintf("The agreement runs from %s on, without an end.", p.AgreementStart)
	case p.AgreementEnd != 0:
		agreement = fmt.Sprintf("The agreement ran until %s, that day included.", p.AgreementEnd)
	}
	return agreement
}

// grants returns the grants of a scope, with their purposes.
func (s *Statement) grants(scope Scope) []registry.GrantRow {
	var rows []registry.GrantRow
	for _, g := range s.Registry.GrantRows() {
		if g.Partner == s.Partner && g.Capability == scope.Capability && g.Action == scope.Action {
			rows = append(rows, g)
		}
	}
	return rows
}

// granted says since when and until when a scope was granted, and what for.
func (s *Statement) granted(scope Scope) string {
	var parts []string
	for _, g := range s.grants(scope) {
		part := "from " + g.From.String()
		if g.Until != 0 {
			part += " to " + g.Until.String()
		}
		if g.Purpose != "" {
			part += ": " + g.Purpose
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "never granted"
	}
	return strings.Join(parts, "; ")
}

// allowed reports whether the partner had the right on some day of the time.
func (s *Statement) allowed(scope Scope) bool {
	for d := s.From; d <= s.To; d++ {
		if s.Registry.Right(s.Partner, scope.Capability, scope.Action, d).Status == registry.Allowed {
			return true
		}
	}
	return false
}

// past are the actions as they were done.
var past = map[schema.Action]string{schema.Read: "read", schema.Write: "wrote", schema.Delete: "deleted"}

// Zeros returns a sentence for each scope that the partner had a right to in the
// time and did not use: that it did not, and whether that is proof. Names are
// as they were sent.
func (s *Statement) Zeros() []string {
	var all []string
	for _, scope := range s.Scopes {
		if scope.Accesses > 0 || !s.allowed(scope) {
			continue
		}
		zero := fmt.Sprintf("%s may %s %s and %s 0 times between %s and %s", s.Partner, scope.Action, scope.Capability, past[scope.Action], s.From, s.To)
		if scope.Attempts > 0 {
			zero += " (" + number(scope.Attempts, "attempt was", "attempts were") + " refused)"
		}
		all = append(all, zero+"; "+s.Coverage.Sentence())
	}
	return all
}

// Sentence says what a zero of the time rests on, from "this rests on" to the
// full stop.
func (c Coverage) Sentence() string {
	total := c.Total
	rests := fmt.Sprintf("this rests on %s of %s", number(total.Records, "record", "records"), number(uint64(len(c.Partitions)), "partition", "partitions"))
	if spans := c.offsets(); spans != "" {
		rests += ", " + spans
	}
	from, to, ok := c.Proved()
	if !ok {
		return "not provable, since " + strings.Join(c.WhyNot(), " and ") + "; " + rests + "."
	}
	rests += ", of which none is missing, none was unreadable and none was rejected"
	var partly []string
	if from.After(c.asked.from) {
		partly = append(partly, "from "+moment(from)+", where what was read begins")
	}
	if to.Before(c.asked.to) {
		partly = append(partly, "until "+moment(to)+", where what was read ends")
	}
	if len(partly) > 0 {
		rests += "; proved " + strings.Join(partly, ", ")
	}
	return rests + "."
}

// offsets lists the offsets of a few partitions; more are in the table alone.
func (c Coverage) offsets() string {
	const few = 4
	if len(c.Partitions) == 0 {
		return ""
	}
	if len(c.Partitions) > few {
		return "offsets as listed below"
	}
	var spans []string
	for _, p := range c.Partitions {
		if p.To > p.From {
			spans = append(spans, fmt.Sprintf("%s to %s", thousands(uint64(p.From)), thousands(uint64(p.To-1)))) //nolint:gosec // offsets are not negative
		}
	}
	if len(spans) == 0 {
		return ""
	}
	return "offsets " + strings.Join(spans, " and ")
}

// cannot lists what the page cannot say.
func (s *Statement) cannot() []string {
	all := []string{
		"Only calls that the API logged are seen: not what happened to the data afterwards, nor a call that was never logged or that was logged under another name.",
		"≈ marks an estimate; the true number lies in the interval beside it in 95 of 100 cases. Numbers up to 511 are counted exactly.",
		"Bystanders are known only where a call names on whose behalf it was made.",
		"Each day is judged by the dates that the registry named below gives for it, not by what was believed on that day.",
		"A lost or rejected record is taken to be of the months in which the records around it happened.",
		"Events that arrive later than this page was made are not in it.",
	}
	if n := s.Coverage.Total.Filtered; n > 0 {
		all = append(all, number(n, "item was", "items were")+" left out on purpose, by the filter of a mapping.")
	}
	return all
}

// number writes a count with its noun.
func number(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands writes n with a comma before each group of three digits.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// estimate is a number of people in words, with its interval where it is
// estimated.
type estimate struct{ Value, Interval string }

func estimated(e schema.Estimate) estimate {
	if e.Low == e.High {
		return estimate{Value: thousands(e.Value)}
	}
	return estimate{"≈" + thousands(e.Value), thousands(e.Low) + "–" + thousands(e.High)}
}

// String writes both in one line.
func (e estimate) String() string {
	if e.Interval == "" {
		return e.Value
	}
	return e.Value + " (" + e.Interval + ")"
}

// moment writes a time, to the second, and midnight as the day alone.
func moment(t time.Time) string {
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.DateTime)
}

// when writes the time of an access in milliseconds since 1970, to the minute.
func when(ms int64) string {
	if ms == 0 {
		return "–"
	}
	return at(ms).Format("2006-01-02 15:04")
}
