package main

import (
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// even is a partner that does the same in every hour, but for what counting makes.
func even(level float64) *shape {
	return &shape{level: level, weekend: 1, depth: 1, usageKeys: []keyShape{{schema.UsageKey{Partner: "p", App: "app-1", Capability: "friends", Action: schema.Read}, 1}}}
}

func TestTwentyTimesTheUsualIsFoundWithinAnHourAndTheUsualIsNot(t *testing.T) {
	days := int(detectors.History) + 30
	quiet := simulate(source(1, "even"), even(100), 17600, days)
	quiet.unseen = quiet.begin + detectors.History
	if found := findingsOf(quiet, nil); len(found) > 0 {
		t.Errorf("of an even partner was found: %s", found[0].Sentence)
	}
	loud := simulate(source(1, "even"), even(100), 17600, days)
	loud.unseen = loud.begin + detectors.History
	on := (int(detectors.History)+9)*hoursDay + 5
	fresh := loud.crowd(everybody)
	for h := on; h < on+2; h++ {
		loud.extra(source(2, "even"), loud.shape.usageKeys[0].usageKey, fresh, h, 1900)
	}
	h := meet(&scenario{detector: "surge"}, label(loud, on, on+2))
	if after, ok := h.found["surge"]; !ok || after != 3600 || !h.paged || h.own != 1 || h.others != 0 {
		t.Errorf("twenty times the usual came to %+v", h)
	}
	if h := meet(&scenario{detector: "surge"}, label(loud, on+200, on+202)); len(h.found) > 0 || h.others != 1 {
		t.Errorf("a label where nothing is came to %+v", h)
	}
}

func TestWhatTheCertainDetectorsAreForIsFoundAtEveryStrength(t *testing.T) {
	for _, s := range scenarios() {
		for _, strength := range s.strengths {
			if slices.Contains([]string{"surge", "new_people", "creep", "mix_shift"}, s.detector) {
				continue
			}
			l := s.make(source(7, s.name, int(strength*10)), s.lengths[0], strength)
			if l.from < l.unseen.Second() || l.to > l.end() || l.from >= l.to {
				t.Errorf("%s is labelled from %d to %d, judged from %d to %d", s.name, l.from, l.to, l.unseen.Second(), l.end())
			}
			if h := meet(&s, l); h.own != 1 || h.others != 0 {
				t.Errorf("%s at %g came to %+v", s.name, strength, h)
			}
		}
	}
}

func TestPeopleNeverExceedAccessesAndTogetherNeverExceedTheSumOfParts(t *testing.T) {
	for n := range 20 {
		p := clean(source(3, "people", n), 7)
		a := newAnswering(p)
		whole := a.hourly[""][0].Values
		for h := range p.hours {
			parts := 0.0
			for _, s := range a.hourly[""][1:] {
				parts += s.Values[usage.People][h]
			}
			if people := whole[usage.People][h]; people > whole[usage.Accesses][h] || people > parts+1 || people < 0 {
				t.Fatalf("hour %d: %g people, %g accesses, %g people by capability", h, people, whole[usage.Accesses][h], parts)
			}
		}
	}
}

func TestWindowsHoldWhatANaiveCountOfTheCallsDoes(t *testing.T) {
	s := even(9)
	s.swing, s.phi = 0.8, 0.3
	p := simulate(source(4, "windows"), s, 17600, 70)
	p.crowds[0] = everybody
	copy(p.flows[0].visits, p.flows[0].accesses)
	var calls []int64 // milliseconds
	for h, n := range p.flows[0].accesses {
		for k := 1.0; k <= n; k++ {
			calls = append(calls, (p.begin.Second()+int64(h)*3600)*1000+moment(k, n))
		}
	}
	a := newAnswering(p)
	for _, w := range schema.Windows {
		q := usage.Question{FindingKey: schema.FindingKey{Partner: "p", Window: w}, Spans: []usage.Span{{From: p.begin + 65, To: p.begin + 66}}, Threshold: 1}
		if w.Step() == schema.Daily {
			q.Spans[0] = usage.Span{From: (p.begin + 40).Month(), To: (p.begin + 40).NextMonth()}
		}
		got := a.answer(&q)
		if len(got.Points) == 0 {
			t.Errorf("no windows of %s", w)
		}
		for _, point := range got.Points {
			n := uint64(0)
			for _, at := range calls {
				if at >= point.Begin*1000 && at < point.End*1000 {
					n++
				}
			}
			if point.Accesses != n || point.People.Value != n {
				t.Fatalf("%s from %d to %d: %d accesses, %d people; counted %d", w, point.Begin, point.End, point.Accesses, point.People.Value, n)
			}
		}
	}
}

func TestTheSamePlanComesToTheSameOnAnyNumberOfProcessors(t *testing.T) {
	p := plan{seeds: []uint64{1, 2}, perCell: 1, perTrap: 1, partners: 1, days: 9, scenarios: scenarios()[:2], traps: traps()[:3]}
	for i := range p.scenarios {
		p.scenarios[i].lengths, p.scenarios[i].strengths = p.scenarios[i].lengths[:1], p.scenarios[i].strengths[5:]
	}
	once := func(processors int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		r := measure(p, func(int, int) {})
		var b strings.Builder
		r.lines(&b)
		return b.String() + r.markdown("1-2") + r.recalls() + r.reliability()
	}
	if one, many := once(1), once(4); one != many || !strings.Contains(one, "a burst") || !strings.Contains(one, "</svg>") {
		t.Errorf("on one processor:\n%s\non four:\n%s", one, many)
	}
}

func TestDaysThatTouchAreOneEpisodeAndOthersAreNot(t *testing.T) {
	f := func(day schema.Day, severity schema.Severity, lasts bool) schema.Finding {
		one := schema.Finding{FindingKey: schema.FindingKey{Detector: "surge", Partner: "p", Period: day}, PeriodEnd: day + 1, Severity: severity}
		one.EndedAt = one.PeriodEnd.Time()
		if !lasts {
			one.EndedAt = day.Time()
		}
		return one
	}
	got := episodes([]schema.Finding{f(5, schema.Warning, true), f(6, schema.Critical, false), f(7, schema.Warning, false), f(9, schema.Warning, false)})
	if len(got) != 3 || got[0].severity != schema.Critical || got[0].last.Period != 6 || got[1].severity != schema.Warning {
		t.Errorf("%d episodes: %+v", len(got), got)
	}
}

func TestTheUpperBoundIsTheMeanAtWhichSoFewAreSeenOneTimeInTwenty(t *testing.T) {
	for n, want := range map[int]float64{0: 2.996, 1: 4.744, 5: 10.513, 50: 63.287, 1217: 1276} { // tables of the χ² distribution, halved
		if got := upper(n); math.Abs(got-want) > 0.01 && math.Abs(got-want) > want/1000 {
			t.Errorf("of %d: %.4f, want %.3f", n, got, want)
		}
	}
}

func TestWhatComesAsOftenAsItsChanceSaysHasNoCalibrationError(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var right, wrong calibration
	for range 200_000 {
		p := r.Float64()
		right.saw(p)
		wrong.saw(math.Sqrt(p))
	}
	if got := right.expectedError(); got > 0.005 {
		t.Errorf("expected error %.3f of what is right", got)
	}
	if got := wrong.expectedError(); got < 0.1 {
		t.Errorf("expected error %.3f of what is wrong", got)
	}
}

func TestOnlyWhatIsBetweenTheTwoLinesIsWrittenAnew(t *testing.T) {
	page := "# A\n" + opening(simulated) + "\nold\n" + closing(simulated) + "\nB\n" + opening(recorded) + "\nold\n" + closing(recorded) + "\n"
	got, err := replaced([]byte(page), simulated, "new\n")
	if want := strings.Replace(page, "\nold\n", "\n\nnew\n\n", 1); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := replaced([]byte("# A\n"), simulated, "new"); err == nil {
		t.Error("a page without the lines is written")
	}
}

func TestRecordedCallsAreReadByTheMappingsThatShip(t *testing.T) {
	if _, err := os.Stat("../../" + samples); err != nil {
		t.Skip("NOT RUN: the samples of real events are not beside the checkout, at " + samples)
	}
	all, err := readSamples("cloudtrail", "../../"+samples+"/cloudtrail/aws.execution.ssm-send-command.json")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for i := range all {
		p := all[i].after(1, "test", own, 20)
		calls := 0.0
		for _, f := range p.flows[len(own):] {
			for h := range f.accesses {
				calls += f.accesses[h] + f.attempts[h]
			}
		}
		if int(calls) != len(all[i].calls) || all[i].most() == 0 {
			t.Errorf("%s made %d calls, of which %g are in its hours", all[i].partner, len(all[i].calls), calls)
		}
	}
}

func TestSeedsAreARange(t *testing.T) {
	var p plan
	if err := p.parse("101-103"); err != nil || len(p.seeds) != 3 || p.seeds[2] != 103 {
		t.Errorf("%v, %v", p.seeds, err)
	}
	for _, bad := range []string{"", "5", "9-3", "a-b"} {
		if err := new(plan).parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
