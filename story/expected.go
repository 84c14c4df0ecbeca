package story

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/overreach/overreach/schema"
)

// Expected is one finding that the whole story must lead to, written down from
// what the cast does rather than found.
type Expected struct {
	schema.FindingKey
	Severity schema.Severity // empty: whichever
	May      bool            // it may be missed: too small at this scale, or followed by the baseline by then
	State    schema.State    // when the last event is judged
	// Earliest and Latest are the days between which FirstCrossing lies, both
	// included. They are one day where the log leaves no doubt.
	Earliest, Latest schema.Day
	People           uint64 // who were touched at the peak; 0 where it is not said
	Because          string // why, in half a sentence
}

// peopleTolerance is how far an estimate may stray from People: the sketch errs
// by 0.8% (one standard deviation), the story itself by its share of refusals.
const peopleTolerance = 0.05

// surgeFollowed is within how many days a baseline follows what lasts.
const surgeFollowed = 14

// surgeSure is how many accesses in an hour where there were none are a surge of
// whoever did thousands elsewhere.
const surgeSure = 40

// newcomersSure is how many new people a day there are at least of those who have them.
const newcomersSure = 20e3

// Expected returns what must be found in the whole story, and nothing else may
// be: what the ordinary partners, the bank that never read and the store that is
// only big do makes no finding. Days is not looked at.
func (c Config) Expected() []Expected {
	const (
		volume = "volume_limit"
		stale  = "stale_access"
	)
	messages := func(month string, earliest, latest string, people float64, state schema.State) Expected {
		return Expected{
			FindingKey: schema.FindingKey{Detector: volume, Partner: "tunecast", Capability: "messaging",
				Window: schema.WindowMonth, Cause: "limit", Period: mustDay(month)},
			Severity: schema.Critical, State: state, Earliest: mustDay(earliest), Latest: mustDay(latest),
			People: c.scaled(people), Because: "reads the messages of 70 million people a month and agreed to 25",
		}
	}
	limit := func(partner, capability string, window schema.Window, period, earliest, latest string, severity schema.Severity, people float64, because string) Expected {
		return Expected{
			FindingKey: schema.FindingKey{Detector: volume, Partner: partner, Capability: capability,
				Window: window, Cause: "limit", Period: mustDay(period)},
			Severity: severity, State: schema.Ended, Earliest: mustDay(earliest), Latest: mustDay(latest),
			People: c.scaled(people), Because: because,
		}
	}
	ended := func(partner, capability, cause, since, first string, severity schema.Severity, state schema.State, because string) Expected {
		return Expected{
			FindingKey: schema.FindingKey{Detector: stale, Partner: partner, Capability: capability,
				Cause: cause, Period: mustDay(since)},
			Severity: severity, State: state, Earliest: mustDay(first), Latest: mustDay(first), Because: because,
		}
	}
	surges := func(partner, capability, from string, days int, anHour float64, because string) []Expected {
		var all []Expected
		for d := range schema.Day(min(days, surgeFollowed)) {
			day := mustDay(from) + d
			e := Expected{
				FindingKey: schema.FindingKey{Detector: "surge", Partner: partner, Capability: capability,
					Window: schema.WindowClockHour, Cause: "surge", Period: day},
				May: d > 0 || c.scaled(anHour) < surgeSure, State: schema.Ended, Earliest: day, Latest: day, Because: because,
			}
			if !e.May {
				e.Severity = schema.Critical
			}
			all = append(all, e)
		}
		return all
	}
	newcomers := func(partner, capability, from string, days int, because string) []Expected {
		var all []Expected
		for d := range schema.Day(days) {
			day := mustDay(from) + d
			all = append(all, Expected{
				FindingKey: schema.FindingKey{Detector: "new_people", Partner: partner, Capability: capability,
					Window: schema.WindowClockDay, Cause: "new_people", Period: day},
				Severity: schema.Warning, May: d > 0 || c.scaled(newcomersSure) < 25, State: schema.Ended, Earliest: day, Latest: day, Because: because,
			})
		}
		return all
	}
	return slices.Concat([]Expected{
		// A day of 70e6/30 people, 15% more on Sundays, passes 25 million on the
		// eleventh or twelfth; September has 13 days of the story and December 17.
		messages("2018-09-01", "2018-09-27", "2018-09-30", 30.4e6, schema.Ended),
		messages("2018-10-01", "2018-10-10", "2018-10-13", 71.9e6, schema.Ended),
		messages("2018-11-01", "2018-11-10", "2018-11-12", 69.7e6, schema.Ended),
		messages("2018-12-01", "2018-12-10", "2018-12-12", 40.1e6, schema.Open),

		limit("canvasser", "", schema.Window30d, "2018-11-01", "2018-11-06", "2018-11-09", schema.Critical, 5.15e6,
			"has a campaign that no calendar month shows"),
		limit("geotagger", "location", schema.Window24h, "2018-10-25", "2018-10-25", "2018-10-25", schema.Critical, 928e3,
			"catches up for a day at more than twice its limit"),
		limit("geotagger", "location", schema.Window24h, "2018-10-26", "2018-10-26", "2018-10-26", schema.Critical, 928e3,
			"is still over its limit for 24 hours the day after"),
		limit("flashdeal", "", schema.WindowHour, "2018-11-23", "2018-11-23", "2018-11-23", schema.Critical, 100e3,
			"has a sale of one hour"),
		limit("moodring", "", schema.WindowMonth, "2018-11-01", "2018-11-26", "2018-11-28", schema.Warning, 2.7e6,
			"uses nine tenths of its limit"),

		ended("streamflix", "message_recommendations", "sunset", "2015-06-01", "2018-09-18", schema.Critical, schema.Open,
			"reads private messages for a feature that ended in 2015"),
		ended("yonder", "friends", "agreement", "2018-01-01", "2018-09-18", schema.Critical, schema.Open,
			"reads lists of friends, and its agreement ended with 2017"),
		ended("berryphone", "friends", "grant", "2018-10-01", "2018-10-01", schema.Critical, schema.Ended,
			"reads lists of friends for three weeks after its grant ended"),
		ended("pinwall", "friends", "grant", "2018-07-01", "2018-09-18", schema.Warning, schema.Open,
			"calls on after its grant ended, and is refused each time"),
		ended("photoprint", "photos_v1", "deprecated", "2018-11-01", "2018-11-01", schema.Warning, schema.Open,
			"uses what is announced to end"),
		{
			FindingKey: schema.FindingKey{Detector: "unregistered_partner", Partner: "mydigitalquiz", Cause: "unregistered"},
			Severity:   schema.Critical, State: schema.Open, Earliest: mustDay("2018-10-08"), Latest: mustDay("2018-10-08"),
			Because: "is a quiz that nobody registered",
		},
		{
			FindingKey: schema.FindingKey{Detector: "mix_shift", Partner: "flashdeal", Capability: "contacts",
				Window: schema.WindowClockWeek, Cause: "mix", Period: mustDay("2018-11-19")},
			Severity: schema.Warning, State: schema.Ended, Earliest: mustDay("2018-11-25"), Latest: mustDay("2018-11-25"),
			May:     c.scaled(30e3) < 25, // a day, before
			Because: "has an app for one day that does a third of the week's accesses",
		},
	},
		surges("tunecast", "messaging", "2018-09-18", 2, 0, "does far more than its peers, and has no past yet"),
		surges("tunecast", "", "2018-09-18", 2, 0, "does far more than its peers, and has no past yet"),
		surges("flashdeal", "contacts", "2018-11-23", 1, 100e3, "has a sale at an hour at which it never did anything"),
		surges("geotagger", "location", "2018-10-25", 1, 90e3, "catches up for a day at other hours than its own"),
		surges("canvasser", "friends", "2018-10-17", 28, 30e3, "has a campaign at hours at which it never did anything"),
		surges("moodring", "feed", "2018-11-01", 30, 8750, "has a second app that reads at other hours"),
		newcomers("flashdeal", "contacts", "2018-11-23", 1, "has a sale to people who never bought before"),
		newcomers("moodring", "feed", "2018-11-01", surgeFollowed, "has a second app with people of its own"),
	)
}

// Compare returns how what was found differs from what is expected, a sentence
// a difference: none where the story was read right. A withdrawn finding counts
// as not found.
func Compare(expected []Expected, found []schema.Finding) []string {
	var differences []string
	left := map[schema.FindingKey]schema.Finding{}
	for _, f := range found {
		if f.State != schema.Withdrawn {
			left[f.FindingKey] = f
		}
	}
	for _, e := range expected {
		f, ok := left[e.FindingKey]
		delete(left, e.FindingKey)
		if !ok && e.May {
			continue
		}
		if !ok {
			differences = append(differences, fmt.Sprintf("%s was not found: it %s", name(e.FindingKey), e.Because))
			continue
		}
		for _, d := range e.differs(f) {
			differences = append(differences, fmt.Sprintf("%s has %s", name(e.FindingKey), d))
		}
	}
	for _, f := range found {
		if _, ok := left[f.FindingKey]; ok {
			differences = append(differences, fmt.Sprintf("%s is no part of the story: %s", name(f.FindingKey), f.Sentence))
		}
	}
	return differences
}

// differs returns in what a finding of the same key differs from what is
// expected, in a few words each: in nothing where the story was read right.
func (e Expected) differs(f schema.Finding) []string {
	var d []string
	differ := func(what string, got, want any) {
		d = append(d, fmt.Sprintf("%s %v instead of %v", what, got, want))
	}
	if e.Severity != "" && f.Severity != e.Severity {
		differ("severity", f.Severity, e.Severity)
	}
	if f.State != e.State {
		differ("state", f.State, e.State)
	}
	// A crossing is dated by the end of its bucket: at midnight it is of the day before.
	if day := schema.DayOf(f.FirstCrossing.Add(-time.Second)); day < e.Earliest || day > e.Latest {
		differ("first crossing", f.FirstCrossing.Format(time.RFC3339), fmt.Sprintf("%s to %s", e.Earliest, e.Latest))
	}
	if e.People != 0 && math.Abs(float64(f.People.Value)-float64(e.People)) > peopleTolerance*float64(e.People) {
		differ("people", f.People.Value, fmt.Sprintf("about %d", e.People))
	}
	return d
}

// name names a finding in a sentence.
func name(k schema.FindingKey) string {
	s := k.Detector + " of " + k.Partner
	for _, part := range []string{k.Capability, string(k.Window), k.Cause, k.Period.String()} {
		if part != "" {
			s += ", " + part
		}
	}
	return s
}
