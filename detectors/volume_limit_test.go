package detectors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func parse(t testing.TB, text string) *registry.Registry {
	t.Helper()
	r, err := registry.Parse("registry.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func day(t testing.TB, s string) schema.Day {
	t.Helper()
	d, err := schema.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// at is the second since 1970 of a time written as 2018-12-18 15:04.
func at(t testing.TB, s string) int64 {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return when.Unix()
}

// clock writes a time as at reads it, and none as an empty string.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04")
}

// limited is a registry with one limit, of 100 people.
func limited(t testing.TB, w schema.Window) *registry.Registry {
	t.Helper()
	return parse(t, fmt.Sprintf(`
capabilities: {messaging: {}}
partners:
  p: {agreement: {start: 2018-01-01}, limits: [{people: 100, per: %s, capability: messaging}]}
`, w))
}

// limitQuestion is the question about the limit of 100 people that holds a day.
func limitQuestion(t testing.TB, r *registry.Registry, d schema.Day) usage.Question {
	t.Helper()
	for _, q := range (detectors.VolumeLimit{}).Ask(r, usage.Activity{Partner: "p", Days: []schema.Day{d}}) {
		if q.Spans[0].From <= d && d < q.Spans[0].To {
			return q
		}
	}
	t.Fatalf("nothing is asked of %s", d)
	return usage.Question{}
}

// exactly is a count without doubt, and about one with an interval of 2% around.
func exactly(n uint64) schema.Estimate { return schema.Estimate{Value: n, Low: n, High: n} }
func about(n uint64) schema.Estimate {
	return schema.Estimate{Value: n, Low: n - n/50, High: n + n/50}
}

func TestALimitIsAWarningPast80PercentAndCriticalWhereTheIntervalIsPastIt(t *testing.T) {
	r := limited(t, schema.WindowHour)
	q := limitQuestion(t, r, day(t, "2018-12-18"))
	f := func(people schema.Estimate, want string) {
		t.Helper()
		end := at(t, "2018-12-18 12:00")
		got := "none"
		points := []usage.Point{{Begin: end - 3600, End: end, Accesses: 500, People: people}}
		if finding, ok := (detectors.VolumeLimit{}).Judge(r, q, usage.Answer{Points: points, Watermark: end}); ok {
			got = fmt.Sprintf("%s %.2f", finding.Severity, *finding.Ratio)
			if *finding.Limit != 100 || finding.People != people || finding.Accesses != 500 {
				t.Errorf("%v: limit %d, people %v, accesses %d", people, *finding.Limit, finding.People, finding.Accesses)
			}
		}
		if got != want {
			t.Errorf("%v people: got %s, want %s", people, got, want)
		}
	}
	f(exactly(80), "none")
	f(exactly(81), "warning 0.81")
	f(exactly(100), "warning 1.00")
	f(exactly(101), "critical 1.01")
	f(about(80), "none")
	f(schema.Estimate{Value: 81, Low: 79, High: 83}, "warning 0.81")
	f(schema.Estimate{Value: 102, Low: 100, High: 104}, "warning 1.02") // may be 100
	f(schema.Estimate{Value: 103, Low: 101, High: 105}, "critical 1.03")
}

func TestWindowsWithTooFewAccessesAreNotAskedFor(t *testing.T) {
	r := limited(t, schema.WindowHour)
	q := limitQuestion(t, r, day(t, "2018-12-18"))
	if q.Threshold != 81 {
		t.Errorf("the threshold of a limit of 100 is %d; 81 people is the least that makes a finding", q.Threshold)
	}
	for people := range uint64(300) {
		one := usage.Answer{Points: []usage.Point{{End: q.Spans[0].End(), Accesses: people, People: exactly(people)}}}
		if _, ok := (detectors.VolumeLimit{}).Judge(r, q, one); ok != (people >= q.Threshold) {
			t.Errorf("%d people and accesses make a finding: %v, and the threshold is %d", people, ok, q.Threshold)
		}
	}
}

func TestACrossingBeginsAtItsFirstWindowAndIsWorstAtTheFirstOfTheGreatest(t *testing.T) {
	r := limited(t, schema.WindowHour)
	q := limitQuestion(t, r, day(t, "2018-12-18"))
	f := func(people []uint64, severity schema.Severity, first, peak string, most uint64) {
		t.Helper()
		a := usage.Answer{Watermark: at(t, "2018-12-18 12:00")}
		for i, n := range people {
			end := at(t, "2018-12-18 12:00") + int64(i)*60
			a.Points = append(a.Points, usage.Point{Begin: end - 3600, End: end, Accesses: n, People: exactly(n)})
		}
		got, ok := (detectors.VolumeLimit{}).Judge(r, q, a)
		if !ok || got.Severity != severity || clock(got.FirstCrossing) != first || clock(got.Peak) != peak || got.People.Value != most {
			t.Errorf("%v: %v, %s from %s, worst at %s with %d", people, ok, got.Severity, clock(got.FirstCrossing), clock(got.Peak), got.People.Value)
		}
		if got.EvidenceTo.Unix() != got.Peak.Unix() || got.EvidenceTo.Sub(got.EvidenceFrom) != time.Hour {
			t.Errorf("%v: the evidence is of %s to %s", people, got.EvidenceFrom, got.EvidenceTo)
		}
	}
	f([]uint64{90, 81, 99, 99, 85}, schema.Warning, "2018-12-18 12:00", "2018-12-18 12:02", 99)
	// A warning before is not when the limit was passed.
	f([]uint64{90, 101, 150, 120, 150, 99}, schema.Critical, "2018-12-18 12:01", "2018-12-18 12:02", 150)
	f([]uint64{50, 50, 101}, schema.Critical, "2018-12-18 12:02", "2018-12-18 12:02", 101)
}

func TestACrossingEndsWhenAWholeWindowMakesNone(t *testing.T) {
	// crossings are the ends of windows, each with its people.
	f := func(w schema.Window, in, crossings, watermark, ended string) {
		t.Helper()
		r := limited(t, w)
		q := limitQuestion(t, r, day(t, in))
		a := usage.Answer{Watermark: at(t, watermark)}
		for c := range strings.SplitSeq(crossings, ", ") {
			var people uint64
			when, n, _ := strings.Cut(c, "=")
			if _, err := fmt.Sscan(n, &people); err != nil {
				t.Fatal(err)
			}
			end := at(t, when)
			a.Points = append(a.Points, usage.Point{Begin: end - 60, End: end, Accesses: people, People: exactly(people)})
		}
		got, ok := (detectors.VolumeLimit{}).Judge(r, q, a)
		if !ok || clock(got.EndedAt) != ended || (got.State == schema.Ended) != (ended != "") {
			t.Errorf("%s with %s, at %s: %v %s %q, want it ended at %q", w, crossings, watermark, ok, got.State, clock(got.EndedAt), ended)
		}
	}
	const hour, h24, d30, month = schema.WindowHour, schema.Window24h, schema.Window30d, schema.WindowMonth
	f(hour, "2018-12-18", "2018-12-18 12:00=120", "2018-12-18 12:59", "")
	f(hour, "2018-12-18", "2018-12-18 12:00=120", "2018-12-18 13:00", "2018-12-18 13:00")
	f(hour, "2018-12-18", "2018-12-18 12:00=120, 2018-12-18 15:00=120", "2018-12-18 15:30", "")
	// What was critical goes on while it is a warning.
	f(hour, "2018-12-18", "2018-12-18 12:00=120, 2018-12-18 12:30=81", "2018-12-18 13:10", "")
	f(hour, "2018-12-18", "2018-12-18 12:00=120, 2018-12-18 12:30=81, 2018-12-18 12:31=80", "2018-12-18 13:40", "2018-12-18 13:30")
	// It lasts to the end of the day, and what goes on is the next day's.
	f(hour, "2018-12-18", "2018-12-19 00:00=120", "2018-12-18 23:59", "")
	f(hour, "2018-12-18", "2018-12-19 00:00=120", "2018-12-19 00:00", "2018-12-19 00:00")
	f(hour, "2018-12-18", "2018-12-18 23:30=120", "2018-12-19 00:29", "")
	f(hour, "2018-12-18", "2018-12-18 23:30=120", "2018-12-19 00:30", "2018-12-19 00:30")

	f(h24, "2018-12-18", "2018-12-18 12:00=120", "2018-12-19 11:59", "")
	f(h24, "2018-12-18", "2018-12-18 12:00=120", "2018-12-19 12:00", "2018-12-19 12:00")
	f(h24, "2018-12-18", "2018-12-19 00:00=120", "2018-12-19 00:00", "2018-12-19 00:00")

	f(d30, "2018-12-18", "2018-12-18 00:00=120", "2018-12-18 23:59", "")
	f(d30, "2018-12-18", "2018-12-18 00:00=120", "2018-12-19 00:00", "2018-12-19 00:00")
	f(d30, "2018-12-18", "2019-01-01 00:00=120", "2018-12-31 23:59", "")
	f(d30, "2018-12-18", "2019-01-01 00:00=120", "2019-01-20 00:00", "2019-01-01 00:00")

	f(month, "2018-12-18", "2018-12-18 00:00=120", "2018-12-31 23:59", "")
	f(month, "2018-12-18", "2018-12-18 00:00=120", "2019-01-01 00:00", "2019-01-01 00:00")
}

func TestATouchedDayAsksForEachPeriodThatAWindowOverItEndsIn(t *testing.T) {
	f := func(w schema.Window, touched, want string) {
		t.Helper()
		var days []schema.Day
		for s := range strings.FieldsSeq(touched) {
			days = append(days, day(t, s))
		}
		var got []string
		for _, q := range (detectors.VolumeLimit{}).Ask(limited(t, w), usage.Activity{Partner: "p", Days: days}) {
			if len(q.Spans) != 1 || q.Spans[0].From != q.Period {
				t.Errorf("the question of %s is about %v", q.Period, q.Spans)
			}
			got = append(got, q.Period.String()+"/"+q.Spans[0].To.String())
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s over %s: got %s, want %s", w, touched, g, want)
		}
	}
	f(schema.WindowHour, "2018-12-18", "2018-12-18/2018-12-19 2018-12-19/2018-12-20")
	f(schema.Window24h, "2018-12-18", "2018-12-18/2018-12-19 2018-12-19/2018-12-20")
	f(schema.Window24h, "2018-12-18 2018-12-19 2018-12-31", "2018-12-18/2018-12-19 2018-12-19/2018-12-20 2018-12-20/2018-12-21 2018-12-31/2019-01-01 2019-01-01/2019-01-02")
	f(schema.WindowMonth, "2018-12-31", "2018-12-01/2019-01-01")
	f(schema.WindowMonth, "2018-12-01 2018-12-18 2019-02-28", "2018-12-01/2019-01-01 2019-02-01/2019-03-01")
	f(schema.Window30d, "2018-12-01", "2018-12-01/2019-01-01")
	f(schema.Window30d, "2018-12-02", "2018-12-01/2019-01-01") // the 30 days from it on end on the 31st
	f(schema.Window30d, "2018-12-03", "2018-12-01/2019-01-01 2019-01-01/2019-02-01")
	f(schema.Window30d, "2019-01-31", "2019-01-01/2019-02-01 2019-02-01/2019-03-01 2019-03-01/2019-04-01")
	f(schema.WindowHour, "", "")
}

func TestALimitThatIsNotThereMakesNoFinding(t *testing.T) {
	r := limited(t, schema.WindowHour)
	q := limitQuestion(t, r, day(t, "2018-12-18"))
	points := []usage.Point{{Begin: 0, End: 3600, Accesses: 900, People: exactly(900)}}
	for _, other := range []*registry.Registry{limited(t, schema.Window24h), {}} {
		if f, ok := (detectors.VolumeLimit{}).Judge(other, q, usage.Answer{Points: points}); ok {
			t.Errorf("found %s", f.Sentence)
		}
	}
	if got := (detectors.VolumeLimit{}).Ask(r, usage.Activity{Partner: "q", Days: []schema.Day{9}}); got != nil {
		t.Errorf("a partner without limits is asked for %v", got)
	}
}

func TestTheSentenceOfALimitSaysWhoWhatHowManyAgainstWhat(t *testing.T) {
	r := limited(t, schema.WindowMonth)
	q := limitQuestion(t, r, day(t, "2018-12-18"))
	f := func(people schema.Estimate, want string) {
		t.Helper()
		a := usage.Answer{Points: []usage.Point{{Begin: q.Period.Second(), End: at(t, "2018-12-19 00:00"), Accesses: 70_000_000, People: people}}}
		got, _ := (detectors.VolumeLimit{}).Judge(r, q, a)
		if got.Sentence != want {
			t.Errorf("got  %s\nwant %s", got.Sentence, want)
		}
	}
	f(exactly(90), "p touched 90 people in messaging within December 2018 (to the end of 2018-12-18): 90% of the limit of 100.")
	f(about(50_000), "p touched about 50,000 people in messaging within December 2018 (to the end of 2018-12-18): 500.0 times the limit of 100.")
	if w := (detectors.VolumeLimit{}).Watches(r, "p"); !slices.Equal(w, []string{"100 people per month in messaging"}) {
		t.Errorf("it watches %q", w)
	}
}
