package detectors_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// The days of the laws' registries and usage: some months around a new year.
const (
	lawsFirst = schema.Day(17800)
	lawsDays  = 200
)

// randomRegistry makes a registry of a few partners, with whatever dates it may
// have.
func randomRegistry(t *testing.T, rnd *rand.Rand) *registry.Registry {
	t.Helper()
	someDay := func() schema.Day { return lawsFirst + schema.Day(rnd.IntN(lawsDays)) }
	var b strings.Builder
	b.WriteString("capabilities:\n")
	for c := range 3 {
		deprecated := someDay()
		fmt.Fprintf(&b, "  c%d: {", c)
		if rnd.IntN(2) == 0 {
			fmt.Fprintf(&b, "deprecated: %s, ", deprecated)
		}
		if rnd.IntN(2) == 0 {
			fmt.Fprintf(&b, "sunset: %s", deprecated+schema.Day(rnd.IntN(60)))
		}
		b.WriteString("}\n")
	}
	b.WriteString("partners:\n")
	for p := range 3 {
		start := someDay()
		fmt.Fprintf(&b, "  p%d:\n    agreement: {start: %s", p, start)
		if rnd.IntN(2) == 0 {
			fmt.Fprintf(&b, ", end: %s", start+schema.Day(rnd.IntN(100)))
		}
		b.WriteString("}\n    grants:\n")
		for range 1 + rnd.IntN(4) {
			from := someDay()
			fmt.Fprintf(&b, "      - {capability: c%d, actions: [%s], from: %s", rnd.IntN(3), schema.Actions[rnd.IntN(3)], from)
			if rnd.IntN(2) == 0 {
				fmt.Fprintf(&b, ", until: %s", from+schema.Day(rnd.IntN(60)))
			}
			b.WriteString("}\n")
		}
		b.WriteString("    limits:\n")
		for _, w := range schema.Windows {
			fmt.Fprintf(&b, "      - {people: %d, per: %s}\n", 1+rnd.IntN(300), w)
		}
	}
	return parse(t, b.String())
}

// randomActivity is where the usage of some partner may have changed.
func randomActivity(rnd *rand.Rand) usage.Activity {
	a := usage.Activity{Partner: fmt.Sprintf("p%d", rnd.IntN(4))} // p3 is a stranger
	if rnd.IntN(5) == 0 {
		a.Partner = detectors.NoPartner
		for range 1 + rnd.IntN(3) {
			a.Gaps = append(a.Gaps, randomGap(rnd))
		}
		a.Days = append(a.Days, lawsFirst)
		return a
	}
	for d := range schema.Day(lawsDays) {
		if rnd.IntN(20) == 0 {
			a.Days = append(a.Days, lawsFirst+d)
		}
	}
	for c := range 4 { // c3 is in no registry
		for _, action := range schema.Actions {
			if rnd.IntN(2) == 0 {
				a.Scopes = append(a.Scopes, usage.Scope{Capability: fmt.Sprintf("c%d", c), Action: action})
			}
		}
	}
	return a
}

func randomGap(rnd *rand.Rand) schema.Gap {
	g := schema.Gap{Missing: 1 + rnd.Uint64N(99), Merged: rnd.IntN(9) == 0}
	g.Incarnation, g.Partition.Partition = "k/t@0", rnd.Int32N(2)
	g.From = rnd.Int64N(1000)
	g.To, g.Pinned = g.From+int64(g.Missing), lawsFirst+schema.Day(rnd.IntN(3))
	if rnd.IntN(4) > 0 {
		g.First = (lawsFirst+schema.Day(rnd.IntN(lawsDays))).Second()*1000 + rnd.Int64N(1e8)
	}
	if rnd.IntN(4) > 0 {
		g.Last = max(g.First, lawsFirst.Second()*1000) + rnd.Int64N(1e10)
	}
	return g
}

// randomAnswer is an answer that a log may give to a question: ascending windows
// that end in its span, or sums over the whole of it.
func randomAnswer(rnd *rand.Rand, q usage.Question) usage.Answer {
	a := usage.Answer{Watermark: (lawsFirst + schema.Day(rnd.IntN(2*lawsDays))).Second() + rnd.Int64N(schema.DaySeconds)}
	estimate := func() schema.Estimate {
		n := rnd.Uint64N(500)
		return schema.Estimate{Value: n, Low: n - min(n, rnd.Uint64N(9)), High: n + rnd.Uint64N(9)}
	}
	if q.Partner == detectors.NoPartner {
		for range rnd.IntN(4) {
			a.Gaps = append(a.Gaps, randomGap(rnd))
		}
		return a
	}
	if q.Window == schema.WindowPeriod {
		if rnd.IntN(3) > 0 {
			first := (lawsFirst + schema.Day(rnd.IntN(lawsDays))).Second() * 1000
			a.Total.Accesses, a.Total.FirstAccess, a.Total.LastAccess = 1+rnd.Uint64N(99), first, first+rnd.Int64N(1e10)
		}
		if rnd.IntN(3) > 0 {
			first := (lawsFirst + schema.Day(rnd.IntN(lawsDays))).Second() * 1000
			a.Total.Attempts, a.Total.FirstAttempt, a.Total.LastAttempt = 1+rnd.Uint64N(99), first, first+rnd.Int64N(1e10)
		}
		a.People, a.Bystanders = estimate(), estimate()
		return a
	}
	if q.Window == schema.WindowClockDay {
		a.Reach = randomReach(rnd, q, &a)
		return a
	}
	if q.Window == schema.WindowClockWeek {
		a.Series = randomWeeks(rnd, q, &a)
		return a
	}
	if q.Window.Closed() {
		a.Series = randomSeries(rnd, q, &a)
		return a
	}
	step := q.Window.Step().Seconds()
	for end := q.Spans[0].From.Second() + step; end <= q.Spans[0].End(); end += step {
		if people := estimate(); rnd.IntN(10) == 0 && people.Value >= q.Threshold {
			a.Points = append(a.Points, usage.Point{Begin: end - 100*step, End: end, Accesses: people.High, People: people})
		}
	}
	return a
}

// randomWeeks are days of a whole and its parts, each of which may grow, or begin or
// end near the last week.
func randomWeeks(rnd *rand.Rand, q usage.Question, a *usage.Answer) []usage.Series {
	begin := (q.Spans[0].From - q.History).Second()
	a.Watermark = q.Spans[0].From.Second() + rnd.Int64N(30*schema.DaySeconds)
	n := int((min(a.Watermark/schema.DaySeconds*schema.DaySeconds, q.Spans[0].End()) - begin) / schema.DaySeconds)
	all := make([]usage.Series, 1+rnd.IntN(4))
	for k := range all {
		s := &all[k]
		s.UsageKey, s.Begin, s.Step = schema.UsageKey{Partner: q.Partner, Capability: q.Capability}, begin, schema.Daily
		switch {
		case k > 0 && q.Capability == "":
			s.Capability = fmt.Sprintf("c%d", k)
		case k > 0:
			s.App, s.Action = fmt.Sprintf("app %d", k), schema.Actions[rnd.IntN(3)]
		}
		usual, growth := float64(1+rnd.IntN(2000)), max(0, 0.04*(rnd.Float64()-0.5))
		from, to := 0, n
		switch rnd.IntN(4) {
		case 0:
			from = n - 1 - rnd.IntN(20)
		case 1:
			to = n - 1 - rnd.IntN(20)
		}
		for m := range s.Values {
			s.Values[m] = make([]float64, n)
			for i := from; i < to; i++ {
				s.Values[m][i] = math.Round(usual * math.Exp(growth*float64(i)) * (1 + 0.1*rnd.Float64()))
				if k > 0 {
					all[0].Values[m][i] += s.Values[m][i]
				}
			}
		}
	}
	return all
}

// randomReach are days much alike of a whole and its parts, now and then with one on
// which all are new.
func randomReach(rnd *rand.Rand, q usage.Question, a *usage.Answer) []usage.Reach {
	begin := q.Spans[0].From - q.History
	a.Watermark = q.Spans[0].From.Second() + rnd.Int64N(4*schema.DaySeconds)
	n := int(min(schema.DayOfSecond(a.Watermark), q.Spans[0].To) - begin)
	all := make([]usage.Reach, 1+rnd.IntN(3))
	for k := range all {
		one := &all[k]
		one.UsageKey, one.Begin = schema.UsageKey{Partner: q.Partner, Capability: q.Capability}, begin
		if k > 0 {
			one.Capability = fmt.Sprintf("c%d", k)
		}
		used := 0
		if rnd.IntN(3) == 0 {
			used = rnd.IntN(n)
		}
		usual := float64(1 + rnd.IntN(2000))
		for d := range n {
			people, added := 0.0, 0.0
			if d >= used {
				people = math.Round(usual * (1 + 0.1*rnd.Float64()))
				added = math.Round(people * 0.1 * rnd.Float64())
				if rnd.IntN(40) == 0 || d == int(q.History) && rnd.IntN(2) == 0 {
					added = people
				}
			}
			one.Accesses, one.People = append(one.Accesses, people+usual), append(one.People, people)
			one.Before, one.New = append(one.Before, 10*people), append(one.New, added)
		}
	}
	return all
}

// randomSeries are hours much alike, now and then with one that is not.
func randomSeries(rnd *rand.Rand, q usage.Question, a *usage.Answer) []usage.Series {
	begin := (q.Spans[0].From - q.History).Second()
	a.Watermark = q.Spans[0].From.Second() + rnd.Int64N(2*schema.DaySeconds)
	n := int((min(a.Watermark/3600*3600, q.Spans[0].End()) - begin) / 3600)
	used := rnd.IntN(n) // from when on
	var all []usage.Series
	for k := range 1 + rnd.IntN(3) {
		s := usage.Series{UsageKey: schema.UsageKey{Partner: q.Partner, Capability: q.Capability}, Begin: begin, Step: schema.Hourly}
		switch {
		case k > 0 && q.Capability == "":
			s.Capability = fmt.Sprintf("c%d", k)
		case k > 0:
			s.App, s.Action = fmt.Sprintf("app %d", k), schema.Actions[rnd.IntN(3)]
		}
		usual := float64(1 + rnd.IntN(200))
		for m := range s.Values {
			s.Values[m] = make([]float64, n)
			for i := used; i < n; i++ {
				s.Values[m][i] = usual + rnd.Float64()*10
				if rnd.IntN(200) == 0 {
					s.Values[m][i] *= 20
				}
			}
		}
		all = append(all, s)
	}
	return all
}

func TestEveryDetectorKeepsTheLaws(t *testing.T) {
	found := map[string]int{}
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		reg, before := randomRegistry(t, rnd), randomRegistry(t, rnd)
		activity := randomActivity(rnd)
		for _, d := range detectors.All() {
			questions := d.Ask(reg, activity)
			if again := d.Ask(reg, activity); !reflect.DeepEqual(questions, again) {
				t.Fatalf("seed %d: %s asks %v, and then %v", seed, d.Name(), questions, again)
			}
			seen := map[schema.FindingKey]bool{}
			for _, q := range questions {
				if seen[q.FindingKey] || q.Detector != d.Name() || q.Partner != activity.Partner || len(q.Spans) == 0 {
					t.Fatalf("seed %d: %s asks %+v, which is another's, asked twice, or of no time", seed, d.Name(), q)
				}
				seen[q.FindingKey] = true
				sameWhateverIsTouched(t, d, reg, activity, q)

				if q.Window == schema.WindowClockHour && rnd.IntN(20) > 0 || q.Window == schema.WindowClockWeek && rnd.IntN(10) > 0 {
					continue // a baseline takes its time, and is much the same for each day
				}
				answer := randomAnswer(rnd, q)
				finding, ok := d.Judge(reg, q, answer)
				again, okAgain := d.Judge(reg, q, answer)
				if ok != okAgain || !reflect.DeepEqual(finding, again) {
					t.Fatalf("seed %d: %s finds %+v, and then %+v", seed, d.Name(), finding, again)
				}
				// Whatever was asked under another registry, it must not panic.
				_, _ = d.Judge(before, q, answer)
				_, _ = d.Judge(&registry.Registry{}, q, answer)
				_, _ = d.Judge(reg, q, usage.Answer{})
				if ok {
					found[d.Name()]++
					lawful(t, q, answer, finding)
				}
			}
		}
	}
	for _, d := range detectors.All() {
		if found[d.Name()] < 50 {
			t.Errorf("%s found %d times, which is too seldom to mean anything", d.Name(), found[d.Name()])
		}
	}
}

// sameWhateverIsTouched asks with one touched day at a time: the question may be
// missing, but is never another one under the same key.
func sameWhateverIsTouched(t *testing.T, d detectors.Detector, r *registry.Registry, a usage.Activity, q usage.Question) {
	t.Helper()
	times := 0
	for _, day := range a.Days {
		a.Days = []schema.Day{day}
		for _, other := range d.Ask(r, a) {
			if other.FindingKey != q.FindingKey {
				continue
			}
			times++
			if !reflect.DeepEqual(other, q) {
				t.Fatalf("%s: touched on %s it asks %+v, and else %+v", d.Name(), day, other, q)
			}
		}
	}
	if times == 0 {
		t.Fatalf("%s: no touched day alone asks for %+v", d.Name(), q)
	}
}

// lawful checks what holds for every finding.
func lawful(t *testing.T, q usage.Question, a usage.Answer, f schema.Finding) {
	t.Helper()
	fail := func(what string) {
		t.Helper()
		t.Fatalf("%s: %+v", what, f)
	}
	if f.FindingKey != q.FindingKey {
		fail("its key is not the question's")
	}
	if f.Severity != schema.Warning && f.Severity != schema.Critical || f.State != schema.Open && f.State != schema.Ended {
		fail("no severity or state")
	}
	if f.Sentence == "" || !strings.HasSuffix(f.Sentence, ".") || !strings.Contains(f.Sentence, f.Partner) || strings.Contains(f.Sentence, "%!") {
		fail("no sentence that names the partner")
	}
	if f.FirstCrossing.IsZero() || f.FirstCrossing.Unix()%60 != 0 || f.Peak.IsZero() || !f.EvidenceFrom.Before(f.EvidenceTo) {
		fail("no time of crossing, peak or evidence")
	}
	if (f.State == schema.Ended) != !f.EndedAt.IsZero() || f.State == schema.Ended && f.EndedAt.Unix() > a.Watermark && f.Detector != "unregistered_partner" {
		fail("it has ended, or not, against the watermark")
	}
	for _, when := range []int64{f.FirstCrossing.Unix(), f.Peak.Unix(), f.EndedAt.Unix()} {
		if f.Registry != "" || f.Owner != "" || f.Contributors != nil || when%60 != 0 && f.Detector != "unregistered_partner" {
			fail("evidence, which is the judge's, or a time that is not to the minute")
		}
	}
}

func TestAFindingsIDIsTheSameForEver(t *testing.T) {
	f := func(k schema.FindingKey, want string) {
		t.Helper()
		if got := k.ID(); got != want {
			t.Errorf("%+v: got %s, want %s", k, got, want)
		}
	}
	f(schema.FindingKey{Detector: "volume_limit", Partner: "songbird", Capability: "messaging", Window: schema.WindowMonth, Cause: "limit", Period: day(t, "2018-12-01")}, "662c7667570f13ea99f25a4a2c34408e")
	f(schema.FindingKey{Detector: "volume_limit", Partner: "songbird", Window: schema.Window24h, Cause: "limit", Period: day(t, "2018-12-18")}, "f4889cb8a83424d412b031fffaf7df02")
	f(schema.FindingKey{Detector: "stale_access", Partner: "songbird", Capability: "messaging", Cause: "sunset", Period: day(t, "2015-06-01")}, "03edc12216f7d7da0af51bb6a6a1b310")
	f(schema.FindingKey{Detector: "unregistered_partner", Partner: "songbird", Cause: "unregistered"}, "78f24f0b3cd115088de8439dc8aa6e50")
	f(detectors.DataGap{}.Key(&schema.Gap{Range: schema.Range{Partition: schema.Partition{Incarnation: "k/t@0", Partition: 3}, Pinned: day(t, "2018-12-18")}}), "b11194d400b16b19d336c307780f0ac7")
}

func TestEveryDetectorHasANameOfItsOwnAndSaysWhatItCannotSee(t *testing.T) {
	var names []string
	for _, d := range detectors.All() {
		names = append(names, d.Name())
		if d.BlindSpots() == "" {
			t.Errorf("%s says that it sees all", d.Name())
		}
	}
	if want := []string{"volume_limit", "stale_access", "unregistered_partner", "data_gap", "surge", "new_people", "creep", "mix_shift"}; !slices.Equal(names, want) {
		t.Errorf("the detectors are %q, want %q: their names are part of every id", names, want)
	}
}
