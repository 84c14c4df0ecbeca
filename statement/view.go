package statement

import (
	"cmp"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// view is a statement in words, the same for every format. It is plain text,
// which each format escapes.
type view struct {
	Partner, Who string
	From, To     schema.Day
	About        []fact
	Figures      []fact
	Scopes       []scopeView
	Zeros        []string
	Charts       []chart
	Findings     []findingView
	Rests        string
	Proof        bool // nothing missing, unreadable, rejected or mixed
	Partitions   []partitionView
	Cannot       []string
	Colophon     string
	Style        template.CSS
}

type fact struct{ Name, Value string }

type scopeView struct {
	Scope, Granted, Accesses, Refused, Days, First, Last, Outside string
	People, Bystanders                                            estimate
	Unused, Wrong                                                 bool // not used; used without a right
}

type findingView struct{ Severity, Detector, Sentence, First, State, ID string }

type partitionView struct{ Incarnation, Partition, Offsets, Records, Missing, Unreadable, Rejected, Filtered string }

func (s *Statement) view() view {
	v := view{
		Partner: s.Partner, Who: s.who(), From: s.From, To: s.To,
		Zeros: s.Zeros(), Charts: s.charts(), Cannot: s.cannot(),
		Proof: len(s.Coverage.WhyNot()) == 0,
	}
	if p, ok := s.registered(); ok {
		for _, f := range []fact{{"Declared purpose", p.Purpose}, {"Answered for by", p.Owner}} {
			if f.Value != "" {
				v.About = append(v.About, f)
			}
		}
		for _, l := range p.Limits {
			v.About = append(v.About, fact{"Limit", fmt.Sprintf("%s in %s, %s", number(l.People, "person", "people"), cmp.Or(l.Capability, "all capabilities together"), perWindow(l.Window))})
		}
	}
	var accesses, refused, outside uint64
	for _, scope := range s.Scopes {
		row := scopeView{
			Scope: scope.Capability + ": " + scope.Action.String(), Granted: s.granted(scope),
			Accesses: thousands(scope.Accesses), Refused: thousands(scope.Attempts),
			People: estimated(scope.People), Bystanders: estimated(scope.Bystanders), Days: strconv.Itoa(scope.Days),
			First: when(scope.FirstAccess), Last: when(scope.LastAccess), Outside: "–", Unused: scope.Accesses == 0,
		}
		if scope.DaysOutside > 0 {
			row.Wrong = true
			row.Outside = fmt.Sprintf("%s on %s", thousands(scope.Outside.Accesses), number(uint64(scope.DaysOutside), "day", "days")) //nolint:gosec // not negative
			if why := s.without(scope); why != "" {
				row.Outside += ": " + why
			}
		}
		accesses, refused, outside = accesses+scope.Accesses, refused+scope.Attempts, outside+scope.Outside.Accesses
		v.Scopes = append(v.Scopes, row)
	}
	v.Figures = []fact{{"accesses", thousands(accesses)}, {"refused", thousands(refused)}, {"without a right", thousands(outside)}, {"findings", strconv.Itoa(len(s.Findings))}}
	for _, f := range s.Findings {
		v.Findings = append(v.Findings, findingView{string(f.Severity), f.Detector, f.Sentence, f.FirstCrossing.UTC().Format("2006-01-02 15:04"), string(f.State), f.ID()})
	}
	v.Rests = strings.TrimSpace(s.rests() + " " + s.repeats(accesses))
	for _, p := range s.Coverage.Partitions {
		offsets := "none"
		if p.To > p.From {
			offsets = thousands(uint64(p.From)) + " to " + thousands(uint64(p.To-1)) //nolint:gosec // offsets are not negative
		}
		v.Partitions = append(v.Partitions, partitionView{p.Incarnation, strconv.Itoa(int(p.Partition.Partition)), offsets,
			thousands(p.Records), thousands(p.Missing), thousands(p.Unreadable), thousands(p.Rejected), thousands(p.Filtered)})
	}
	registry := "no registry was loaded"
	if s.RegistryOrdinal > 0 {
		registry = fmt.Sprintf("registry %d of %s, SHA-256 %s", s.RegistryOrdinal, s.RegistryLoaded.Format(time.DateOnly), s.Registry.SHA256)
	}
	v.Colophon = fmt.Sprintf("Made %s UTC by overreach %s; %s.", s.Made.UTC().Format("2006-01-02 15:04"), s.Version, registry)
	return v
}

// perWindow writes a limit's window after "people in messaging,".
func perWindow(w schema.Window) string {
	switch w {
	case schema.WindowHour:
		return "an hour"
	case schema.WindowMonth:
		return "a calendar month"
	}
	return "any " + string(w)
}

// without says since when a scope was not right any more on the last day that
// it was used without a right, if it ever was.
func (s *Statement) without(scope Scope) string {
	if scope.Outside.LastAccess == 0 {
		return ""
	}
	right := s.Registry.Right(s.Partner, scope.Capability, scope.Action, schema.DayOf(at(scope.Outside.LastAccess)))
	switch right.Status {
	case registry.Unregistered:
		return "not in the registry"
	case registry.Never:
		return "not granted until then"
	case registry.Stale:
		what := map[string]string{registry.CauseAgreement: "the agreement ended", registry.CauseGrant: "the grant ended", registry.CauseSunset: "the capability ended"}[right.Cause]
		return fmt.Sprintf("%s %s", what, right.Since-1)
	}
	return ""
}

// rests says what was read of the log, for all numbers of the page.
func (s *Statement) rests() string {
	c := s.Coverage
	if c.Begins.IsZero() {
		return "Nothing was read and judged yet: no number on this page is proof of anything."
	}
	t := c.Total
	text := fmt.Sprintf("%s of %s that may hold events of this time were read, with events from %s to %s (UTC): %s. %s missing, %s unreadable, %s rejected.",
		number(t.Records, "record", "records"), number(uint64(len(c.Partitions)), "partition", "partitions"), moment(c.Begins), moment(c.Ends),
		number(t.Events, "event", "events"), number(t.Missing, "record is", "records are"), number(t.Unreadable, "record is", "records are"), number(t.Rejected, "item was", "items were"))
	if len(c.LeftOut) > 0 {
		text += " The watermark leaves out " + strings.Join(c.LeftOut, ", ") + "."
	}
	if why := c.WhyNot(); len(why) > 0 {
		return text + " So no zero on this page is proof: " + strings.Join(why, ", and ") + ", and whose they were is not known."
	}
	return text + " So the zeros on this page are proof, as far as the log was read."
}
