package judge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// failsAt has a ledger fail at the n-th time that it is asked for usage.
func failsAt(k *book, n int, cells func(schema.UsageQuery) []schema.UsageCell) {
	k.fails = ""
	if n == 1 {
		k.fails = "Usage"
	}
	k.usage = func(q schema.UsageQuery) []schema.UsageCell {
		if k.times("Usage") == n-1 {
			k.fails = "Usage"
		}
		return cells(q)
	}
}

func TestEveryReadOfDaysMayFail(t *testing.T) {
	days := func(n int) (all []schema.Day) {
		for i := range n {
			all = append(all, aMonday+schema.Day(i))
		}
		return all
	}
	used := func(q schema.UsageQuery) (all []schema.UsageCell) {
		for d := schema.DayOfSecond(q.From); d < min(schema.DayOfSecond(q.To), aMonday+100); d++ {
			all = append(all, usedOn("bank", "messaging", schema.Read, d))
		}
		return all
	}
	f := func(what string, cadence schema.Cadence, days []schema.Day, prepare func(k *book), want string) {
		t.Helper()
		k := judging(&ledger{}, inDays("bank", schema.Open))
		k.usage = used
		prepare(k)
		if err := k.r.judgeDays(t.Context(), pass{cadence: cadence}, days, nil); !errors.Is(err, errLedger) || err.Error() != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	f("which days were used", schema.CadenceHour, days(40), func(k *book) { failsAt(k, 1, used) }, "reading on which days anything was counted: no answer")
	f("who was active", schema.CadenceHour, days(40), func(k *book) { failsAt(k, 2, used) }, "reading who was active: no answer")
	f("who is a stranger", schema.CadenceDay, days(1), func(k *book) { k.fails = "Unregistered" }, "reading unregistered partners: no answer")
	f("a stranger was active", schema.CadenceHour, days(1), func(k *book) {
		k.fails, k.r.registry = "Unregistered", &registry.Registry{}
	}, "reading unregistered partners: no answer")
	f("what follows", schema.CadenceHour, days(1), func(k *book) { k.fails = "Findings" }, "reading the findings that follow: no answer")
	f("what is decided", schema.CadenceDay, days(1), func(k *book) { k.fails = "LastReported" }, "reading what was told: no answer")
}

func TestStrangersThatAreNotNamedAreJudgedWithTheDays(t *testing.T) {
	for cadence, want := range map[schema.Cadence]int{schema.CadenceDay: 1, schema.CadenceHour: 0} {
		k := judging(&ledger{others: 3})
		rest := inDays(detectors.Folded, schema.Open)
		k.j.detectors = []detectors.Detector{&finder{questions: []usage.Question{{FindingKey: rest.FindingKey, Spans: []usage.Span{{From: 5, To: 6}}}}, found: map[string]schema.Finding{rest.ID(): rest}}}
		if err := k.r.judgeDays(t.Context(), pass{cadence: cadence}, []schema.Day{aMonday}, nil); err != nil || len(k.wrote) != want {
			t.Errorf("%s: written is %v (%v)", cadence, k.wroteStates(), err)
		}
	}
}

func TestARoundBeginsAgainWithOtherSlots(t *testing.T) {
	k := paced(&ledger{slots: []uint8{1}})
	found := inDays("bank", schema.Open)
	k.j.detectors = []detectors.Detector{&finder{questions: []usage.Question{{FindingKey: found.FindingKey, Spans: []usage.Span{{From: 5, To: 6}}}}, found: map[string]schema.Finding{found.ID(): found}}}
	k.extents = []schema.Marker{{Range: schema.Range{Partition: part(0), To: 10}, FirstEvent: 86_400_000, LastEvent: 86_400_000}}
	k.markers = []schema.Marker{touching(0, 10, 1440)}
	k.usage = func(q schema.UsageQuery) []schema.UsageCell {
		if len(k.wrote) == 0 {
			k.slots = []uint8{2} // another instance came, before it is told
		}
		return among(inBucket("bank", "", 86400, 5, 0, 5))(q)
	}
	if err := k.j.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if k.times("Judged") != 2 || k.times("Extents") != 2 || len(k.j.slots) != 1 || k.j.slots[0] != 2 || len(k.changes) != 1 {
		t.Errorf("slots are read %d times, it judges %v, and told %d changes", k.times("Judged"), k.j.slots, len(k.changes))
	}
}

func TestScoresAreWrittenSomeThousandsAtATime(t *testing.T) {
	r, store, activities := crowded(1)
	k := &ledger{}
	series := &levels{ledger: k, of: func(q schema.SeriesQuery) []schema.Series {
		all, err := store.Series(t.Context(), q)
		if err != nil {
			t.Error(err)
		}
		return all
	}}
	r.judge.store = series
	many := &scorer{n: 20_001}
	r.judge.detectors = []detectors.Detector{many}
	if err := r.judgeActivities(t.Context(), crowdedPass, activities[:3]); err != nil {
		t.Fatal(err)
	}
	if len(k.scores) != 3*20_000 || k.times("WriteScores") != 2 {
		t.Errorf("%d scores are written at %d times; want those of the day alone, and none twice", len(k.scores), k.times("WriteScores"))
	}
	k.scores, k.asked, many.n = nil, nil, 25_001
	if err := r.judgeActivities(t.Context(), crowdedPass, activities[:2]); err != nil || len(k.scores) != 50_000 || k.times("WriteScores") != 2 {
		t.Errorf("%d scores are written at %d times, and what is left, which is none (%v)", len(k.scores), k.times("WriteScores"), err)
	}
	k.asked, many.n = nil, 20_001
	k.fails = "WriteScores"
	if err := r.judgeActivities(t.Context(), crowdedPass, activities[:3]); !errors.Is(err, errLedger) || err.Error() != "writing scores: no answer" || k.times("WriteScores") != 1 {
		t.Errorf("the store fails: %v, after %d times", err, k.times("WriteScores"))
	}
}

// scorer scores n buckets of each question: one second each, the first before the day.
type scorer struct {
	finder
	n int
}

// Ask implements Detector.
func (s *scorer) Ask(_ *registry.Registry, a usage.Activity) []usage.Question {
	return []usage.Question{{
		FindingKey: schema.FindingKey{Partner: a.Partner, Window: schema.WindowClockHour, Period: crowdedDay}, Spans: []usage.Span{{From: crowdedDay, To: crowdedDay + 1}},
	}}
}

// Score implements Scorer.
func (s *scorer) Score(*registry.Registry, usage.Question, usage.Answer) ([]schema.Score, schema.Finding, bool) {
	all := make([]schema.Score, s.n)
	for i := range all {
		all[i].Bucket = crowdedDay.Second() - 1 + int64(i)
	}
	return all, schema.Finding{}, false
}

func TestEvidenceThatCannotBeReadSaysWhoseItIs(t *testing.T) {
	bad := onDay("bank", "", aMonday-3, 9, 0, 9)
	bad.Subjects = []byte{9}
	c := concluded{Finding: schema.Finding{EvidenceFrom: aMonday.Time()}}
	if err := addUsual(&c, []schema.UsageCell{bad}); err == nil || !strings.HasPrefix(err.Error(), "people of a day: ") {
		t.Errorf("what is usual: %v", err)
	}
	k := judging(&ledger{usage: func(q schema.UsageQuery) []schema.UsageCell {
		if !q.ByApp {
			return nil
		}
		bad.Bucket = q.From
		return []schema.UsageCell{bad}
	}}, inDays("bank", schema.Open))
	err := k.r.judgeActivities(t.Context(), pass{cadence: schema.CadenceDay}, []usage.Activity{{Partner: "bank"}})
	if err == nil || !strings.HasPrefix(err.Error(), "reading contributors: ") || !strings.Contains(err.Error(), "people of a") {
		t.Errorf("contributors: %v", err)
	}
}

func TestEvidenceOfManyIsReadTwentyFiveAtATimeAndHalvedWhereItIsTooMuch(t *testing.T) {
	var read []string
	k := onLedger(Config{MaxApps: 20}, &ledger{others: 1})
	k.usage = func(q schema.UsageQuery) []schema.UsageCell {
		if q.ByBucket {
			return nil
		}
		read = append(read, fmt.Sprintf("%d of at most %d", len(q.Partners), q.Limit))
		if len(q.Partners) == 10 {
			return make([]schema.UsageCell, q.Limit)
		}
		return nil
	}
	var all []concluded
	for i := range 35 {
		f := inDays(fmt.Sprintf("p%02d", i), schema.Open)
		all = append(all, concluded{asked{Question: usage.Question{FindingKey: f.FindingKey}, detector: &finder{}}, f})
	}
	rest := inDays(detectors.Folded, schema.Open)
	all = append(all, concluded{asked{Question: usage.Question{FindingKey: rest.FindingKey}, detector: &finder{}}, rest})
	if err := k.r.addEvidence(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	sameList(t, "read", read, "25 of at most 5000", "10 of at most 5000", "5 of at most 5000", "5 of at most 5000", "0 of at most 0")
	k.fails = "Usage"
	if err := k.r.addEvidence(t.Context(), all); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}
	k.fails, read = "", nil
	k.usage = func(q schema.UsageQuery) []schema.UsageCell {
		k.fails = "Usage" // when it is halved
		return make([]schema.UsageCell, q.Limit)
	}
	if err := k.r.addEvidence(t.Context(), all); !errors.Is(err, errLedger) {
		t.Errorf("the store fails: %v", err)
	}
}

func TestAPassThatIsInterruptedOrFailsSaysSo(t *testing.T) {
	r, store, activities := crowded(200)
	r.judge.detectors = []detectors.Detector{&late{then: func() { store.slots, r.judge.tookAmid = []uint8{7}, 0 }}}
	r.judge.cfg.Interval = 0
	if err := r.judgeActivities(t.Context(), crowdedPass, activities[:1]); !errors.Is(err, errOtherSlots) {
		t.Errorf("other slots amid judging: %v", err)
	}
	r, _, activities = crowded(2000)
	failing := &levels{ledger: &ledger{}}
	failing.of = func(q schema.SeriesQuery) []schema.Series {
		if len(q.Partners) < 50 && len(q.Partners) > 1 {
			failing.fails = "Findings"
		}
		return make([]schema.Series, q.Limit)
	}
	r.judge.store = failing
	if err := r.judgeActivities(t.Context(), crowdedPass, activities); !errors.Is(err, errLedger) {
		t.Errorf("a half fails: %v", err)
	}
}

// late is a scorer during whose judging something happens.
type late struct {
	scorer
	then func()
}

// Ask implements Detector.
func (l *late) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	q := l.scorer.Ask(r, a)
	second := q[0]
	second.Capability = "messaging"
	return append(q, second)
}

// Score implements Scorer.
func (l *late) Score(*registry.Registry, usage.Question, usage.Answer) ([]schema.Score, schema.Finding, bool) {
	l.then()
	return nil, schema.Finding{}, false
}
