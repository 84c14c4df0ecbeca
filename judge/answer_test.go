package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// inBucket is what a partner did in a bucket, as so many accesses of people from one number to
// another.
func inBucket(partner, capability string, bucket int64, accesses uint64, from, to int) schema.UsageCell {
	c := onDay(partner, capability, 0, accesses, from, to)
	c.Bucket, c.Bystanders = bucket, schema.EmptyState
	return c
}

// sliding asks for windows of a day of these tests.
func sliding(w schema.Window, partner, capability string, day schema.Day, threshold uint64) asked {
	q := usage.Question{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: partner, Capability: capability, Window: w, Period: day},
		Spans:      []usage.Span{{From: day, To: day + 1}}, Threshold: threshold,
	}
	return asked{Question: q, id: q.ID(), detector: detectors.VolumeLimit{}}
}

// among answers a query out of cells.
func among(cells ...schema.UsageCell) func(schema.UsageQuery) []schema.UsageCell {
	return func(q schema.UsageQuery) (all []schema.UsageCell) {
		for _, c := range cells {
			if c.Bucket >= q.From && c.Bucket < q.To && (q.Partners == nil || slices.Contains(q.Partners, c.Partner)) {
				all = append(all, c)
			}
		}
		return all
	}
}

// points writes the points of an answer, in minutes from aMonday on.
func points(a usage.Answer) string {
	var all []string
	for _, p := range a.Points {
		all = append(all, fmt.Sprintf("%d to %d: %d of %d", (p.Begin-aMonday.Second())/60, (p.End-aMonday.Second())/60, p.Accesses, p.People.Value))
	}
	return strings.Join(all, ", ")
}

func TestWindowsThatSlideAreAnsweredWhereTheyHoldEnough(t *testing.T) {
	at := func(minute int64) int64 { return aMonday.Second() + minute*60 }
	f := func(what string, w schema.Window, threshold uint64, watermark int64, want string, cells ...schema.UsageCell) {
		t.Helper()
		k := onLedger(Config{}, &ledger{usage: among(cells...)})
		k.r.version.Watermark = at(watermark)
		answers, err := k.r.answer(t.Context(), []asked{sliding(w, "bank", "", aMonday, threshold)})
		if err != nil || points(answers[0]) != want || answers[0].Watermark != at(watermark) {
			t.Errorf("%s: got %s (%v), want %s", what, points(answers[0]), err, want)
		}
	}
	two := []schema.UsageCell{inBucket("bank", "", at(10), 5, 0, 5), inBucket("bank", "friends", at(12), 7, 3, 9)}
	f("two that are enough together, up to the last access", schema.WindowHour, 12, 0, "-47 to 13: 12 of 9", two...)
	f("as long as the watermark goes", schema.WindowHour, 12, 14, "-47 to 13: 12 of 9, -46 to 14: 12 of 9, -45 to 15: 12 of 9", two...)
	f("one too few", schema.WindowHour, 13, 100, "", two...)
	f("until the first leaves the window", schema.WindowHour, 12, 1000, lastOf(60, func(i int64) string {
		if i > 57 {
			return ""
		}
		return fmt.Sprintf("%d to %d: 12 of 9", i-47, i+13)
	}), two...)
	f("one before midnight counts", schema.WindowHour, 12, 0, "-59 to 1: 12 of 9",
		inBucket("bank", "", at(-59), 5, 0, 5), inBucket("bank", "", at(0), 7, 3, 9))
	f("an hour earlier it does not", schema.WindowHour, 12, 0, "", inBucket("bank", "", at(-60), 5, 0, 5), inBucket("bank", "", at(0), 7, 3, 9))
	f("more people than accesses are no more than those", schema.WindowHour, 3, 0, "-49 to 11: 3 of 3", inBucket("bank", "", at(10), 3, 0, 9))
	f("24 hours", schema.Window24h, 12, 0, "-1320 to 120: 12 of 9", inBucket("bank", "", at(-22*60), 5, 0, 5), inBucket("bank", "", at(60), 7, 3, 9))
	f("25 hours", schema.Window24h, 12, 0, "", inBucket("bank", "", at(-23*60), 5, 0, 5), inBucket("bank", "", at(60), 7, 3, 9))
	f("30 days", schema.Window30d, 12, 0, "-41760 to 1440: 12 of 9", inBucket("bank", "", at(-29*1440), 5, 0, 5), inBucket("bank", "", at(0), 7, 3, 9))
	f("31 days", schema.Window30d, 12, 0, "", inBucket("bank", "", at(-30*1440), 5, 0, 5), inBucket("bank", "", at(0), 7, 3, 9))
}

// lastOf joins what is said of each number below n.
func lastOf(n int64, say func(int64) string) string {
	var all []string
	for i := range n {
		if s := say(i); s != "" {
			all = append(all, s)
		}
	}
	return strings.Join(all, ", ")
}

func TestAMonthGrowsToItsEnd(t *testing.T) {
	q := sliding(schema.WindowMonth, "bank", "", aMonday, 5)
	q.Spans[0].To = aMonday + 3
	k := onLedger(Config{}, &ledger{usage: among(inBucket("bank", "", aMonday.Second(), 5, 0, 5), inBucket("bank", "", (aMonday+2).Second(), 6, 0, 6))})
	answers, err := k.r.answer(t.Context(), []asked{q})
	if want := "0 to 1440: 5 of 5, 0 to 2880: 5 of 5, 0 to 4320: 11 of 6"; err != nil || points(answers[0]) != want {
		t.Errorf("got %s (%v), want %s", points(answers[0]), err, want)
	}
}

func TestEachKeyIsAnsweredOfItsOwn(t *testing.T) {
	at := func(minute int64) int64 { return aMonday.Second() + minute*60 }
	k := onLedger(Config{}, &ledger{usage: among(
		inBucket("bank", "friends", at(5), 4, 0, 4), inBucket("bank", "messaging", at(6), 9, 0, 9), inBucket("shop", "friends", at(7), 20, 0, 20),
		inBucket("bank", "friends", at(1440+3), 30, 0, 30),
	)})
	questions := []asked{
		sliding(schema.WindowHour, "bank", "friends", aMonday, 4), sliding(schema.WindowHour, "bank", "", aMonday, 13), sliding(schema.WindowHour, "shop", "friends", aMonday, 5),
		sliding(schema.WindowHour, "bank", "friends", aMonday+1, 5), sliding(schema.WindowHour, "quiz", "", aMonday, 1), sliding(schema.WindowHour, "bank", "photos", aMonday, 1),
	}
	answers, err := k.r.answer(t.Context(), questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"-54 to 6: 4 of 4", "-53 to 7: 13 of 9", "-52 to 8: 20 of 20", "1384 to 1444: 30 of 30", "", ""} {
		if got := points(answers[i]); got != want {
			t.Errorf("question %d: got %s, want %s", i, got, want)
		}
	}
	for _, q := range k.usages {
		if q.Subjects && (q.From < at(-60) || q.To > at(1500)) {
			t.Errorf("more sketches are read than are wanted: %+v", q)
		}
	}
}

func TestSketchesAreReadOnlyOfWindowsThatHoldEnough(t *testing.T) {
	at := func(minute int64) int64 { return aMonday.Second() + minute*60 }
	k := onLedger(Config{}, &ledger{usage: among(inBucket("bank", "", at(100), 9, 0, 9), inBucket("shop", "", at(300), 4, 0, 4))})
	questions := []asked{sliding(schema.WindowHour, "bank", "", aMonday, 9), sliding(schema.WindowHour, "shop", "", aMonday, 5)}
	if _, err := k.r.answer(t.Context(), questions); err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, q := range k.usages {
		read = append(read, fmt.Sprintf("%s of %v from %d to %d: %t", q.Resolution, q.Partners, (q.From-at(0))/60, (q.To-at(0))/60, q.Subjects))
	}
	if want := []string{"hour of [bank shop] from -1440 to 1440: false", "minute of [bank] from -59 to 1440: false", "minute of [bank] from 41 to 101: true"}; !slices.Equal(read, want) {
		t.Errorf("read is %q, want %q", read, want)
	}
}

func TestAnsweringThatFailsSaysAtWhat(t *testing.T) {
	at := aMonday.Second()
	bad := inBucket("bank", "", at, 9, 0, 9)
	bad.Subjects = []byte{9, 9}
	for n, want := range []string{"reading counters: no answer", "reading counters: no answer", "reading sketches: no answer", "people of bank: "} {
		k := onLedger(Config{}, &ledger{})
		k.usage = func(q schema.UsageQuery) []schema.UsageCell {
			if len(k.usages) == n {
				k.fails = "Usage"
			}
			return among(bad)(q)
		}
		if n == 0 {
			k.fails = "Usage"
		}
		_, err := k.r.answer(t.Context(), []asked{sliding(schema.WindowHour, "bank", "", aMonday, 1)})
		if err == nil || !strings.HasPrefix(err.Error(), want) || n < 3 && !errors.Is(err, errLedger) {
			t.Errorf("read %d fails: %v, want %s", n, err, want)
		}
	}
	whole := sliding(schema.WindowPeriod, "bank", "", 0, 0)
	k := onLedger(Config{}, &ledger{fails: "Usage"})
	if _, err := k.r.answer(t.Context(), []asked{whole}); !errors.Is(err, errLedger) || err.Error() != "reading whole periods: no answer" {
		t.Errorf("a whole period: %v", err)
	}
	whole.Spans = []usage.Span{{}}
	k = onLedger(Config{}, &ledger{usage: among(bad)})
	if _, err := k.r.answer(t.Context(), []asked{whole}); err == nil || !strings.HasPrefix(err.Error(), "people of bank: ") {
		t.Errorf("a whole period: %v", err)
	}
	bad.Subjects, bad.Bystanders = schema.EmptyState, []byte{9, 9}
	k = onLedger(Config{}, &ledger{usage: among(bad)})
	if _, err := k.r.answer(t.Context(), []asked{whole}); err == nil || !strings.HasPrefix(err.Error(), "bystanders of bank: ") {
		t.Errorf("a whole period: %v", err)
	}
}

func TestAWholePeriodIsTheSumOfItsSpans(t *testing.T) {
	reads, writes := []schema.Action{schema.Read}, []schema.Action{schema.Write, schema.Delete}
	ask := func(partner, capability string, spans ...usage.Span) asked {
		q := sliding(schema.WindowPeriod, partner, capability, 0, 0)
		q.Spans = spans
		return q
	}
	k := onLedger(Config{}, &ledger{others: 1}, "bank")
	k.usage = func(q schema.UsageQuery) (all []schema.UsageCell) {
		partners := q.Partners
		if q.NotPartners != nil {
			partners = []string{""}
		}
		for _, p := range partners {
			c := inBucket(p, "", 0, 5, 0, 5)
			if len(q.Actions) == 2 {
				c = inBucket(p, "", 0, 3, 3, 12)
			}
			c.Bystanders = peopleOf(0, 2)
			all = append(all, c)
		}
		return all
	}
	questions := []asked{
		ask("bank", "", usage.Span{From: 5, To: 9, Actions: reads}, usage.Span{From: 5, Actions: writes}),
		ask("shop", "", usage.Span{From: 5, To: 9, Actions: reads}), ask("bank", "friends", usage.Span{From: 5, To: 9, Actions: reads}),
		ask(detectors.Folded, "", usage.Span{}),
	}
	answers, err := k.r.answer(t.Context(), questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"8: 8, 2", "5: 5, 2", "5: 5, 2", "5: 5, 2"} {
		a := answers[i]
		if got := fmt.Sprintf("%d: %d, %d", a.Total.Accesses, a.People.Value, a.Bystanders.Value); got != want {
			t.Errorf("question %d: got %s, want %s", i, got, want)
		}
	}
	var read []string
	for _, q := range k.usages {
		if !q.Subjects || !q.Bystanders {
			t.Errorf("people are not read: %+v", q)
		}
		read = append(read, fmt.Sprintf("%s %q %d to %d %v, the others %t", q.Partners, q.Capability, q.From/86400, q.To/86400, q.Actions, q.NotPartners != nil))
	}
	slices.Sort(read)
	want := []string{
		`[bank shop] "" 5 to 9 [read], the others false`, `[bank] "" 5 to 12725829 [write delete], the others false`,
		`[bank] "friends" 5 to 9 [read], the others false`, `[] "" 0 to 12725829 [], the others true`,
	}
	slices.Sort(want)
	if !slices.Equal(read, want) {
		t.Errorf("read is\n%q, want\n%q", read, want)
	}
}

func TestQuestionsAreReadFiftyPartnersAtATimeAndTheRestApart(t *testing.T) {
	k := onLedger(Config{}, &ledger{})
	var questions []asked
	var which []int
	for i := range densePartners + 1 {
		questions, which = append(questions, sliding(schema.WindowPeriod, fmt.Sprint("p", i), "", 0, 0)), append(which, i)
		if i == 7 {
			questions[i].Partner = detectors.Folded
		}
	}
	questions, which = append(questions, questions[0]), append(which, len(which))
	var sizes []int
	for some := range k.r.together(questions, which) {
		sizes = append(sizes, len(some))
	}
	if !slices.Equal(sizes, []int{1, 50, 1}) {
		t.Errorf("read are %v at a time", sizes)
	}
	for range k.r.together(questions, which) {
		break
	}
	if got := spelled([]schema.Action{schema.Read, schema.Write}); got == spelled([]schema.Action{schema.Write, schema.Read}) || spelled(nil) != "" {
		t.Errorf("actions are spelled %q", got)
	}
}

func TestSeriesAreAnsweredFromTheirHistoryToWhatIsClosed(t *testing.T) {
	const day = schema.Day(17900)
	k := onLedger(Config{MaxApps: 5, Interval: time.Hour}, &ledger{}, "bank")
	k.j.lastRun = map[schema.Cadence]time.Time{schema.CadenceMinute: time.Now()}
	k.r.version.Watermark = day.Second() + 3*3600 + 1
	used := func(q schema.SeriesQuery, capability, app string) []schema.Series {
		n := 2
		if q.To <= day.Second()+2*3600 {
			n = 1 // the second bucket is not closed
		}
		return []schema.Series{{UsageKey: schema.UsageKey{Partner: "bank", Capability: capability, App: app},
			Bucket: []int64{(day - 1).Second(), day.Second() + 2*3600}[:n], Accesses: []uint64{4, 9}[:n], People: []uint64{3, 8}[:n], Bytes: []uint64{40, 90}[:n]}}
	}
	n := 0
	store := &levels{ledger: k.ledger, of: func(q schema.SeriesQuery) []schema.Series {
		n++
		switch {
		case q.ByUsageKey:
			return used(q, "messaging", "android")
		case q.ByCapability:
			return used(q, "messaging", "")
		}
		return used(q, "", "")
	}}
	k.j.store = store
	ask := func(capability string, history schema.Day) asked {
		q := sliding(schema.WindowClockHour, "bank", capability, day, 0)
		q.History = history
		return q
	}
	questions := []asked{ask("", 1), ask("messaging", 0), ask("friends", 1)}
	answers := make([]usage.Answer, 3)
	if err := k.r.answerSeries(t.Context(), questions, []int{0, 1, 2}, answers); err != nil {
		t.Fatal(err)
	}
	says := func(a usage.Answer) (all []string) {
		for _, s := range a.Series {
			v := s.Values
			all = append(all, fmt.Sprintf("%s/%s from %d: %d, first %v %v %v, last %v %v %v", s.Capability, s.App, (s.Begin-day.Second())/3600, s.Buckets(),
				v[0][0], v[1][0], v[2][0], v[0][s.Buckets()-1], v[1][s.Buckets()-1], v[2][s.Buckets()-1]))
		}
		return all
	}
	for i, want := range [][]string{
		{"/ from -24: 27, first 4 3 40, last 9 8 90", "messaging/ from -24: 27, first 4 3 40, last 9 8 90"},
		{"messaging/ from 0: 3, first 0 0 0, last 9 8 90", "messaging/android from 0: 3, first 0 0 0, last 9 8 90"}, nil,
	} {
		if got := says(answers[i]); !slices.Equal(got, want) {
			t.Errorf("question %d: got %q, want %q", i, got, want)
		}
	}
	q := store.asked[0]
	if n != 3 || q.From != (day-1).Second() || q.To != day.Second()+3*3600 || q.Resolution != schema.Hourly || q.MaxApps != 5 || q.Limit != 0 || !slices.Equal(q.Capabilities, []string{"messaging"}) {
		t.Errorf("read was %d times, as %+v", n, q)
	}
	k.r.version.Watermark = day.Second()
	answers = make([]usage.Answer, 2)
	if err := k.r.answerSeries(t.Context(), questions, []int{0, 1}, answers); err != nil || len(answers[0].Series) != 2 || len(answers[1].Series) != 0 || n != 6 {
		t.Errorf("nothing of the second is closed: %d and %d series (%v)", len(answers[0].Series), len(answers[1].Series), err)
	}
	k.r.version.Watermark, n = (day - 1).Second(), 3
	if err := k.r.answerSeries(t.Context(), questions, []int{0}, make([]usage.Answer, 1)); err != nil || n != 3 {
		t.Errorf("nothing of it is closed, and read was %d times (%v)", n-3, err)
	}
	k.j.store, k.fails, k.r.version.Watermark = k.ledger, "Series", (day + 1).Second()
	if err := k.r.answerSeries(t.Context(), questions, []int{0}, make([]usage.Answer, 1)); !errors.Is(err, errLedger) || err.Error() != "reading series: no answer" {
		t.Errorf("the store fails: %v", err)
	}
}

// levels is a ledger whose series depend on how they are asked for.
type levels struct {
	*ledger
	asked []schema.SeriesQuery
	of    func(schema.SeriesQuery) []schema.Series
}

// Series implements Store.
func (l *levels) Series(_ context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	l.asked = append(l.asked, q)
	return l.of(q), nil
}

func TestAsManySeriesAsAreHeldAtOnceAreTooMany(t *testing.T) {
	for _, c := range []struct {
		partners []string
		series   int
		want     error
	}{{[]string{"bank", "shop"}, 2499, nil}, {[]string{"bank", "shop"}, 2500, errTooManySeries}, {[]string{"bank"}, 2500, nil}} {
		k := onLedger(Config{MaxApps: 5, Interval: time.Hour}, &ledger{}, "bank", "shop")
		k.j.lastRun = map[schema.Cadence]time.Time{schema.CadenceMinute: time.Now()}
		k.r.version.Watermark = (aMonday + 1).Second()
		store := &levels{ledger: k.ledger}
		store.of = func(schema.SeriesQuery) []schema.Series {
			if len(store.asked) > 1 {
				return nil
			}
			return make([]schema.Series, c.series)
		}
		k.j.store = store
		var questions []asked
		var of []int
		for i, name := range c.partners {
			questions, of = append(questions, sliding(schema.WindowClockHour, name, "", aMonday, 0)), append(of, i)
		}
		err := k.r.answerSeries(t.Context(), questions, of, make([]usage.Answer, len(of)))
		if !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%d series of %q: %v, want %v", c.series, c.partners, err, c.want)
		}
		if limit := store.asked[0].Limit; limit != map[bool]int{true: 0, false: 2500}[len(c.partners) == 1] {
			t.Errorf("of %q at most %d are read", c.partners, limit)
		}
		if len(store.asked) == 3 && len(c.partners) == 2 && store.asked[2].Limit != 1 {
			t.Errorf("after %d at most %d are read", c.series, store.asked[2].Limit)
		}
	}
}
