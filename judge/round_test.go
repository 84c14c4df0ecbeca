package judge

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// aMonday is a day of these tests.
const aMonday = schema.Day(17889)

// closing is a round whose cadences were judged up to a time, in seconds from aMonday on, and
// whose watermark is another.
func closing(rolled, watermark int64) *book {
	k := onLedger(Config{}, &ledger{})
	k.j.rolled = map[schema.Cadence]int64{}
	if rolled != 0 {
		for _, cadence := range schema.Cadences {
			k.j.rolled[cadence] = aMonday.Second() + rolled
		}
	}
	k.r.version.Watermark = aMonday.Second() + watermark
	k.r.extents = []schema.Marker{{FirstEvent: (aMonday - 9).Second() * 1000, LastEvent: aMonday.Second()*1000 + 50_000_000}}
	return k
}

func TestWhatHasClosedSinceItWasJudgedIsDue(t *testing.T) {
	const hour = 3600
	f := func(what string, k *book, cadence schema.Cadence, minutes []int64, changed, rolls bool, want ...string) {
		t.Helper()
		for i := range minutes {
			minutes[i] += aMonday.Second() / 60
		}
		var got []string
		for day, first := range k.r.closes(cadence, minutes, changed, rolls) {
			got = append(got, fmt.Sprintf("%+d from %+d", int(day-aMonday), (first-day.Second())/hour))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: due is %q, want %q", what, got, want)
		}
	}
	const hours, days = schema.CadenceClosedHour, schema.CadenceClosedDay
	f("nothing has closed", closing(2*hour, 3*hour-1), hours, nil, false, true)
	f("an hour has", closing(2*hour, 3*hour), hours, nil, false, true, "+0 from +2")
	f("from amid one on", closing(2*hour+1, 3*hour), hours, nil, false, true, "+0 from +2")
	f("three have, over midnight", closing(-2*hour, hour), hours, nil, false, true, "-1 from +22", "+0 from +0")
	f("the watermark does not roll", closing(2*hour, 5*hour), hours, nil, false, false)
	f("an hour that was closed is touched again", closing(5*hour, 5*hour), hours, []int64{61, 130}, false, false, "+0 from +1")
	f("the hour that is open is touched", closing(5*hour, 5*hour), hours, []int64{301}, false, false)
	f("the last one that is closed is", closing(5*hour, 5*hour), hours, []int64{299}, false, false, "+0 from +4")
	f("a day is touched that was closed", closing(5*hour, 5*hour), days, []int64{-1}, false, false, "-1 from +0")
	f("the day is open", closing(5*hour, 24*hour-1), days, []int64{5}, false, true)
	f("and closes", closing(5*hour, 24*hour), days, []int64{5}, false, true, "+0 from +0")
	f("nothing is known yet", closing(0, 5*hour), hours, []int64{1}, false, false)
	f("the watermark is known at last", closing(0, 5*hour), days, nil, false, true,
		"-9 from +0", "-8 from +0", "-7 from +0", "-6 from +0", "-5 from +0", "-4 from +0", "-3 from +0", "-2 from +0", "-1 from +0")
	f("the registry changed: the last week", closing(5*hour, 5*hour), days, nil, true, false,
		"-7 from +0", "-6 from +0", "-5 from +0", "-4 from +0", "-3 from +0", "-2 from +0", "-1 from +0")
	f("by hours the day itself too", closing(5*hour, 5*hour), hours, nil, true, false,
		"-7 from +0", "-6 from +0", "-5 from +0", "-4 from +0", "-3 from +0", "-2 from +0", "-1 from +0", "+0 from +0")
}

func TestEveryDayIsFromTheFirstEventToTheLast(t *testing.T) {
	f := func(what string, want string, extents ...schema.Marker) {
		t.Helper()
		var got []int
		for _, d := range (&round{extents: extents}).everyDay() {
			got = append(got, int(d))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, want %s", what, got, want)
		}
	}
	const day = 86_400_000
	f("no event", "[]", schema.Marker{})
	f("one", "[5]", schema.Marker{FirstEvent: 5 * day, LastEvent: 5 * day})
	f("to the last moment of a day", "[5 6]", schema.Marker{FirstEvent: 6*day - 1, LastEvent: 7*day - 1})
	f("to the first moment of the next", "[6 7]", schema.Marker{FirstEvent: 6 * day, LastEvent: 7 * day})
	f("of several partitions", "[3 4 5 6]", schema.Marker{FirstEvent: 5 * day, LastEvent: 6 * day}, schema.Marker{}, schema.Marker{FirstEvent: 3 * day, LastEvent: 4 * day}, schema.Marker{FirstEvent: 4 * day, LastEvent: 5 * day})
}

func TestOfMoreThanAMonthOnlyDaysOfUseAreJudged(t *testing.T) {
	days := func(n int) (all []schema.Day) {
		for i := range n {
			all = append(all, aMonday+schema.Day(i))
		}
		return all
	}
	k := onLedger(Config{}, &ledger{usage: func(schema.UsageQuery) []schema.UsageCell {
		return []schema.UsageCell{{Bucket: aMonday.Second()}, {Bucket: (aMonday + 31).Second()}}
	}})
	if got, err := k.r.used(t.Context(), days(31)); err != nil || len(got) != 31 || len(k.usages) > 0 {
		t.Errorf("of a month: %v, after %d reads (%v)", got, len(k.usages), err)
	}
	got, err := k.r.used(t.Context(), days(32))
	if err != nil || !slices.Equal(got, []schema.Day{aMonday, aMonday + 31}) {
		t.Errorf("of a month and a day: %v (%v)", got, err)
	}
	if q := k.usages[0]; q.From != aMonday.Second() || q.To != (aMonday+32).Second() || q.Resolution != schema.Daily || q.NotPartners == nil || !q.ByBucket {
		t.Errorf("read was %+v", q)
	}
	k.fails = "Usage"
	if _, err := k.r.used(t.Context(), days(32)); !errors.Is(err, errLedger) || err.Error() != "reading on which days anything was counted: no answer" {
		t.Errorf("the store fails: %v", err)
	}
}

func TestDaysAreJudgedAMonthAtATime(t *testing.T) {
	k := onLedger(Config{MaxUnregistered: 3}, &ledger{usage: func(q schema.UsageQuery) (all []schema.UsageCell) {
		for d := schema.DayOfSecond(q.From); d < schema.DayOfSecond(q.To); d++ {
			all = append(all, schema.UsageCell{UsageKey: schema.UsageKey{Partner: "bank"}, Bucket: d.Second()})
		}
		return all
	}}, "bank")
	k.j.detectors = nil
	var days []schema.Day
	for i := range 70 {
		days = append(days, aMonday+schema.Day(i))
	}
	if err := k.r.judgeDays(t.Context(), pass{cadence: schema.CadenceMinute}, days, nil); err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, q := range k.usages[1:] {
		read = append(read, fmt.Sprint((q.From-aMonday.Second())/86400, " to ", (q.To-aMonday.Second())/86400))
	}
	if want := []string{"0 to 31", "31 to 62", "62 to 70"}; !slices.Equal(read, want) {
		t.Errorf("read is %q, want %q", read, want)
	}
}

func TestWhatMayHaveEndedIsJudgedWhereTheWatermarkRollsOrTheRegistryChanged(t *testing.T) {
	for _, c := range []struct {
		what           string
		cadence        schema.Cadence
		changed, rolls bool
		minutes        []int64
		want           int // reads of findings that are open
	}{
		{"it does not roll", schema.CadenceMinute, false, false, nil, 0},
		{"it rolls", schema.CadenceMinute, false, true, nil, 1},
		{"the registry changed", schema.CadenceHour, true, false, nil, 1},
		{"nothing has closed", schema.CadenceClosedHour, false, false, nil, 0},
		{"an hour that was closed is touched", schema.CadenceClosedHour, false, false, []int64{5}, 1},
	} {
		k := closing(7200, 7200)
		k.r.extents = nil
		for i := range c.minutes {
			c.minutes[i] += aMonday.Second() / 60
		}
		if err := k.r.judgeTouched(t.Context(), c.cadence, c.minutes, c.changed, c.rolls); err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, q := range k.queries {
			if q.Slots != nil {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%s: open findings are read %d times, want %d", c.what, got, c.want)
		}
	}
	k := closing(7200, 7200)
	k.fails = "Findings"
	if err := k.r.judgeFound(t.Context(), pass{}); !errors.Is(err, errLedger) || err.Error() != "reading findings to judge again: no answer" {
		t.Errorf("the store fails: %v", err)
	}
}

func TestACadenceReadsOnWhileThereAreMoreMarkersThanAtOnce(t *testing.T) {
	k := onLedger(Config{}, &ledger{})
	if err := k.j.takeSlots(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.j.detectors = nil
	for i := range int64(markersARead) {
		k.markers = append(k.markers, touching(i, i+1))
	}
	k.r.version.Watermark = 600
	if err := k.r.run(t.Context(), schema.CadenceMinute); err != nil {
		t.Fatal(err)
	}
	if got := k.times("Markers"); got != 2 || k.j.at[schema.CadenceMinute][part(0)] != markersARead {
		t.Errorf("markers are read %d times, up to %d", got, k.j.at[schema.CadenceMinute][part(0)])
	}
	if k.j.rolled[schema.CadenceMinute] != 0 {
		t.Error("amid what is to be read it rolled")
	}
	k.markers = k.markers[:len(k.markers)-1]
	k.j.at[schema.CadenceMinute][part(0)] = 0
	if err := k.r.run(t.Context(), schema.CadenceMinute); err != nil {
		t.Fatal(err)
	}
	if got := k.times("Markers"); got != 3 || k.j.rolled[schema.CadenceMinute] != 600 || k.j.judgedBy[schema.CadenceMinute] != 3 {
		t.Errorf("one fewer: markers are read %d times, it rolled to %d", got-2, k.j.rolled[schema.CadenceMinute])
	}
	wrote := len(k.wroteJudged)
	k.r.version.Watermark = 659
	if err := k.r.run(t.Context(), schema.CadenceMinute); err != nil || len(k.wroteJudged) != wrote {
		t.Errorf("within a minute nothing rolls, and written is %v (%v)", k.wroteJudged[wrote:], err)
	}
	k.r.version.Watermark = 660
	if err := k.r.run(t.Context(), schema.CadenceMinute); err != nil || len(k.wroteJudged) == wrote || k.j.rolled[schema.CadenceMinute] != 660 {
		t.Errorf("the next minute rolls, and written is %v (%v)", k.wroteJudged[wrote:], err)
	}
	if more(k.markers) || !more(append(k.markers, touching(0, 1))) || more(append(onPartition(1, touching(0, 1)), k.markers...)) {
		t.Error("whether there are more is not asked of each partition")
	}
}

func TestPartnersAreJudgedSomeHundredsAtATime(t *testing.T) {
	for cadence, want := range map[schema.Cadence][]int{schema.CadenceDay: {500, 1}, schema.CadenceClosedDay: {150, 150, 150, 51}} {
		k := onLedger(Config{Interval: time.Hour}, &ledger{})
		k.j.lastRun = map[schema.Cadence]time.Time{schema.CadenceMinute: time.Now()}
		detector := &tallied{window: schema.Window30d}
		if cadence.Closed() {
			detector.window = schema.WindowClockDay
		}
		k.j.detectors = []detectors.Detector{detector}
		var all []usage.Activity
		for i := range 501 {
			all = append(all, usage.Activity{Partner: fmt.Sprint("p", i)})
		}
		detector.read = func() int { return k.times("Findings") }
		if err := k.r.judgeActivities(t.Context(), pass{cadence: cadence}, all); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(detector.chunks, want) {
			t.Errorf("%s: judged are %v partners at a time, want %v", cadence, detector.chunks, want)
		}
	}
}

// tallied is a detector that counts of how many partners it is asked between two reads.
type tallied struct {
	detectors.UnregisteredPartner
	window schema.Window
	read   func() int
	before int
	chunks []int
}

// Ask implements Detector.
func (c *tallied) Ask(_ *registry.Registry, a usage.Activity) []usage.Question {
	if n := c.read(); n != c.before || c.chunks == nil {
		c.before, c.chunks = n, append(c.chunks, 0)
	}
	c.chunks[len(c.chunks)-1]++
	return []usage.Question{{FindingKey: schema.FindingKey{Partner: a.Partner, Window: c.window}, Spans: []usage.Span{{From: 5, To: 5}}}}
}
