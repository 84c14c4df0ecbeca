package detectors_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// surgeDay is the day that is judged: a Tuesday.
const surgeDay = schema.Day(17883)

const surgeRegistry = `
capabilities: {messaging: {}, friends: {}}
partners:
  p:
    agreement: {start: 2013-01-01}
    expected: [{capability: messaging, from: 2018-12-20, until: 2018-12-21, factor: 10, why: a launch}]
`

// ordinary is a partner that does so much in an hour, more by day than by night,
// over days before surgeDay and on it, up to an hour of it.
func ordinary(perHour float64, days, hours int) usage.Series {
	rnd := rand.New(rand.NewPCG(1, uint64(days)))
	s := usage.Series{UsageKey: schema.UsageKey{Partner: "p", Capability: "messaging"}, Step: schema.Hourly, Begin: (surgeDay - detectors.History).Second()}
	n := int(detectors.History)*24 + hours
	for m := range s.Values {
		s.Values[m] = make([]float64, n)
	}
	for i := (int(detectors.History) - days) * 24; i < n; i++ {
		mean := perHour * (1 + 0.8*math.Sin(2*math.Pi*float64(i%24)/24))
		accesses := math.Max(0, math.Round(mean+math.Sqrt(mean)*rnd.NormFloat64()))
		s.Values[usage.Accesses][i], s.Values[usage.People][i], s.Values[usage.Bytes][i] = accesses, math.Round(accesses*0.8), accesses*1000
	}
	return s
}

func surgeQuestion(capability string) usage.Question {
	return usage.Question{
		FindingKey: schema.FindingKey{Detector: "surge", Partner: "p", Capability: capability, Window: schema.WindowClockHour, Cause: "surge", Period: surgeDay},
		Spans:      []usage.Span{{From: surgeDay, To: surgeDay + 1}}, History: detectors.History,
	}
}

// times multiplies some of the metrics of one hour of the day.
func times(s usage.Series, hour int, factor float64, metrics ...usage.Metric) usage.Series {
	for _, m := range metrics {
		s.Values[m][int(detectors.History)*24+hour] *= factor
	}
	return s
}

func TestAnHourFarAboveEveryOtherIsASurge(t *testing.T) {
	registry := parse(t, surgeRegistry)
	judge := func(s usage.Series, hoursLater int64) (schema.Finding, bool) {
		end := s.Begin + int64(s.Buckets())*3600
		return detectors.Surge{}.Judge(registry, surgeQuestion("messaging"), usage.Answer{Series: []usage.Series{s}, Watermark: end + hoursLater*3600})
	}
	all := usage.Metrics[:]
	for _, c := range []struct {
		what     string
		series   usage.Series
		later    int64
		severity schema.Severity // empty: none
		state    schema.State
		says     string
	}{
		{"as ever", ordinary(500, 56, 24), 0, "", "", ""},
		{"ten times as much, just now", times(ordinary(500, 56, 10), 9, 10, all...), 0, schema.Critical, schema.Open, "in the hour to 2018-12-18 10:00, where"},
		{"ten times as much, and then as ever", times(ordinary(500, 56, 11), 9, 10, all...), 0, schema.Critical, schema.Ended, "people"},
		{"to the end of the day", times(ordinary(500, 56, 24), 23, 10, all...), 0, schema.Critical, schema.Ended, "to the end of 2018-12-18"},
		{"the same people again and again", times(ordinary(500, 56, 10), 9, 10, usage.Accesses), 0, schema.Warning, schema.Open, "as when calls are repeated"},
		{"on its eighth day", times(ordinary(500, 8, 10), 9, 10, all...), 0, schema.Warning, schema.Open, "the baseline is thin, so nobody is woken"},
		{"on its first day", times(ordinary(500, 0, 10), 9, 10, all...), 0, "", "", ""},
		{"nineteen, where there was hardly anything", times(ordinary(0.2, 56, 10), 9, 19, all...), 0, "", "", ""},
		{"a fifth more", times(ordinary(500, 56, 10), 9, 1.2, all...), 0, "", "", ""},
	} {
		f, ok := judge(c.series, c.later)
		if !ok || c.severity == "" {
			if ok || c.severity != "" {
				t.Errorf("%s: found %v: %s", c.what, ok, f.Sentence)
			}
			continue
		}
		if f.Severity != c.severity || f.State != c.state || !strings.Contains(f.Sentence, c.says) {
			t.Errorf("%s: %s and %s, %q; want %s, %s and %q", c.what, f.Severity, f.State, f.Sentence, c.severity, c.state, c.says)
		}
	}
}

func TestASurgeNamesThePartThatStandsOutAndNothingOfTheWhole(t *testing.T) {
	registry := parse(t, surgeRegistry)
	loud := func(app string, action schema.Action) usage.Series {
		s := times(ordinary(500, 56, 10), 9, 10, usage.Metrics[:]...)
		s.App, s.Action = app, action
		return s
	}
	for _, c := range []struct {
		loud usage.Series
		says string
	}{
		{loud("tool", schema.Read), "), by app tool read"},
		{loud("", schema.Read), "), by read"},
		{loud("tool", 0), "), by app tool"},
		{loud("", 0), ")"},
	} {
		end := c.loud.Begin + int64(c.loud.Buckets())*3600
		f, ok := detectors.Surge{}.Judge(registry, surgeQuestion("messaging"), usage.Answer{Series: []usage.Series{c.loud}, Watermark: end})
		if !ok || !strings.HasSuffix(f.Sentence, c.says+".") {
			t.Errorf("%q: found %v: %q, want its end to be %q", c.loud.App, ok, f.Sentence, c.says)
		}
	}
}

func TestASurgeTellsOfItsWorstHourAndWhenItBegan(t *testing.T) {
	registry := parse(t, surgeRegistry)
	for _, worst := range []int{7, 9} {
		s := times(times(ordinary(500, 56, 11), 7, 5, usage.Metrics[:]...), 9, 5, usage.Metrics[:]...)
		s = times(s, worst, 4, usage.Metrics[:]...)
		end := s.Begin + int64(s.Buckets())*3600
		f, ok := detectors.Surge{}.Judge(registry, surgeQuestion("messaging"), usage.Answer{Series: []usage.Series{s}, Watermark: end})
		if !ok || f.Peak.Hour() != worst+1 || f.EvidenceFrom.Hour() != worst || f.FirstCrossing.Hour() != 8 {
			t.Errorf("hours 7 and 9 stand out, %d most: found %v, peak %s, evidence from %s, first crossing %s", worst, ok, f.Peak, f.EvidenceFrom, f.FirstCrossing)
		}
	}
}

func TestThePeopleOfASurgeAreAnEstimateWhereTheyAreMany(t *testing.T) {
	registry := parse(t, surgeRegistry)
	for size, exact := range map[float64]bool{20: true, 5000: false} {
		s := times(ordinary(size, 56, 10), 9, 20, usage.Metrics[:]...)
		f, ok := detectors.Surge{}.Judge(registry, surgeQuestion("messaging"), usage.Answer{Series: []usage.Series{s}, Watermark: s.Begin + int64(s.Buckets())*3600})
		if p := f.People; !ok || exact != (p.Low == p.High) || p.Low > p.Value || p.High < p.Value {
			t.Errorf("%g an hour, twenty times: %v, people %+v", size, ok, p)
		}
	}
}

func TestAYoungKeyIsComparedWithItsPeersAndNobodyIsWoken(t *testing.T) {
	registry := parse(t, surgeRegistry)
	var some []float64 // thirty
	for i := range 30 {
		some = append(some, 300+float64(i*i))
	}
	for _, c := range []struct {
		what  string
		days  int
		times float64
		peers []float64
		says  string // empty: no finding
	}{
		{"on its first day, a thousand times the greatest of its peers", 0, 10000, some, "the baseline is learning, so it is compared with 30 peers and nobody is woken"},
		{"on its eighth, far beyond its past, and its peers are too few to say", 8, 10, some[:4], "the baseline is thin, so nobody is woken"},
		{"on its first day, like its peers", 0, 1, some, ""},
		{"on its first day, without enough peers", 0, 10000, some[:4], ""},
		{"on its eighth, far beyond its past and its peers", 8, 10000, some, "the baseline is thin, so it is compared with 30 peers and nobody is woken"},
		{"on its eighth, far beyond its past and like its peers", 8, 10, some, ""},
	} {
		s := times(ordinary(100, c.days, 10), 9, c.times, usage.Metrics[:]...)
		a := usage.Answer{Series: []usage.Series{s}, Watermark: s.Begin + int64(s.Buckets())*3600}
		for _, peer := range c.peers {
			a.Peers[usage.Accesses], a.Peers[usage.People], a.Peers[usage.Bytes] =
				append(a.Peers[usage.Accesses], peer), append(a.Peers[usage.People], peer), append(a.Peers[usage.Bytes], 1000*peer)
		}
		f, ok := detectors.Surge{}.Judge(registry, surgeQuestion("messaging"), a)
		if ok != (c.says != "") || !strings.Contains(f.Sentence, c.says) || ok && f.Severity != schema.Warning {
			t.Errorf("%s: %v, %s %q; want %q", c.what, ok, f.Severity, f.Sentence, c.says)
		}
	}
}

func TestASurgeOfACapabilityIsToldOnceAndOneOfTheWholeByItself(t *testing.T) {
	registry := parse(t, surgeRegistry)
	whole, part, other := ordinary(800, 56, 10), ordinary(500, 56, 10), ordinary(300, 56, 10)
	whole.Capability, other.Capability = "", "friends"
	all := usage.Metrics[:]
	judge := func(series ...usage.Series) (schema.Finding, bool) {
		return detectors.Surge{}.Judge(registry, surgeQuestion(""), usage.Answer{Series: series, Watermark: (surgeDay).Second() + 36000})
	}
	if f, ok := judge(times(whole, 9, 8, all...), times(part, 9, 12, all...), other); ok {
		t.Errorf("what messaging's own finding says is said of the whole too: %s", f.Sentence)
	}
	if f, ok := judge(whole, ordinary(500, 56, 10), other); !ok || f.Capability != "" || !strings.Contains(f.Sentence, "p in all capabilities") {
		t.Errorf("the whole stands out and no part does, and it is not told: %v %q", ok, f.Sentence)
	}
}

func TestWhatTheRegistryExpectsIsNoSurge(t *testing.T) {
	registry := parse(t, surgeRegistry)
	q := surgeQuestion("messaging")
	shift := func(days schema.Day) usage.Answer {
		s := times(ordinary(500, 56, 10), 9, 8, usage.Metrics[:]...)
		s.Begin += int64(days) * schema.DaySeconds
		q.Period, q.Spans[0].From, q.Spans[0].To = surgeDay+days, surgeDay+days, surgeDay+days+1
		return usage.Answer{Series: []usage.Series{s}, Watermark: s.Begin + int64(s.Buckets())*3600}
	}
	if _, ok := (detectors.Surge{}).Judge(registry, q, shift(0)); !ok {
		t.Error("two days before the launch it is not found")
	}
	scores, f, ok := detectors.Surge{}.Score(registry, q, shift(2))
	if ok {
		t.Errorf("on the day of the launch it is found: %s", f.Sentence)
	}
	if last := scores[9]; last.Metric != "accesses" || last.Expected < 3000 || last.High <= last.Expected || last.Low >= last.Expected {
		t.Errorf("what is expected is not ten times as much: %+v", last)
	}
}

func TestEveryHourIsScoredWhetherItStandsOutOrNot(t *testing.T) {
	s, unused := ordinary(500, 56, 10), ordinary(500, 56, 10)
	unused.App = "unused"
	for m := range unused.Values {
		clear(unused.Values[m][int(detectors.History)*24:])
	}
	s.Values[usage.Accesses][int(detectors.History)*24+3] = math.NaN()
	scores, _, _ := detectors.Surge{}.Score(parse(t, surgeRegistry), surgeQuestion("messaging"), usage.Answer{Series: []usage.Series{s, unused}, Watermark: surgeDay.Second() + 36000})
	if len(scores) != 3*10 {
		t.Fatalf("%d scores, want those of 3 metrics and 10 hours of the one key that was used", len(scores))
	}
	for i, one := range scores {
		if one.Score < 0 || one.Score > 1 || one.Chance < 0 || one.Chance > 1 || one.Maturity != "mature" || one.Bucket != surgeDay.Second()+int64(i%10)*3600 {
			t.Errorf("%+v", one)
		}
		if unknown := i == 3; unknown != (one.Chance == 1 && math.IsNaN(one.Observed)) {
			t.Errorf("hour %d: %+v, of which records were lost: %v", i%10, one, unknown)
		}
	}
}

func TestAnAppThatIsReadAlongForOtherDaysChangesNoScore(t *testing.T) {
	s, unused := times(ordinary(500, 56, 10), 9, 5, usage.Metrics[:]...), ordinary(500, 56, 10)
	unused.App, unused.Action = "unused", schema.Read
	for m := range unused.Values {
		clear(unused.Values[m])
	}
	score := func(series ...usage.Series) float64 {
		scores, _, _ := detectors.Surge{}.Score(parse(t, surgeRegistry), surgeQuestion("messaging"), usage.Answer{Series: series, Watermark: surgeDay.Second() + 36000})
		return scores[9].Score
	}
	if alone, along := score(s), score(s, unused); alone != along || alone == 1 {
		t.Errorf("the score is %g alone and %g beside an app that was never used", alone, along)
	}
}
