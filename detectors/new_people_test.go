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

const reachHistory = int(detectors.History + usage.ReachDays)

// touching is a key that touches so many people a day, about a tenth of them new, over
// some days before surgeDay and on it, of whom some have been touched in the weeks
// before.
func touching(perDay float64, days int) usage.Reach {
	rnd := rand.New(rand.NewPCG(2, uint64(days)))
	one := usage.Reach{UsageKey: schema.UsageKey{Partner: "p", Capability: "messaging"}, Begin: surgeDay - schema.Day(reachHistory)}
	for d := range reachHistory + 1 {
		people, added := 0.0, 0.0
		if ago := reachHistory - d; ago <= days {
			people = math.Round(perDay + math.Sqrt(perDay)*rnd.NormFloat64())
			added = math.Round(perDay/10 + math.Sqrt(perDay/10)*rnd.NormFloat64())
		}
		one.Accesses, one.People = append(one.Accesses, 2*people), append(one.People, people)
		one.Before, one.New = append(one.Before, 5*people), append(one.New, added)
	}
	return one
}

// newOnTheDay lets so many of the judged day's people be new.
func newOnTheDay(one usage.Reach, people float64) usage.Reach {
	one.New[reachHistory] = people
	return one
}

func reachQuestion(capability string) usage.Question {
	return usage.Question{
		FindingKey: schema.FindingKey{Detector: "new_people", Partner: "p", Capability: capability, Window: schema.WindowClockDay, Cause: "new_people", Period: surgeDay},
		Spans:      []usage.Span{{From: surgeDay, To: surgeDay + 1}}, History: schema.Day(reachHistory),
	}
}

func TestADayOnWhichHalfOfThePeopleAreNewIsAFindingWhereATenthWere(t *testing.T) {
	registry := parse(t, surgeRegistry)
	for _, c := range []struct {
		what  string
		reach usage.Reach
		found bool
		says  string
	}{
		{"as ever", touching(1000, 200), false, ""},
		{"half of them new", newOnTheDay(touching(1000, 200), 500), true, "of the day's, where 99 were to be expected"},
		{"half of them new, with only five weeks behind them", newOnTheDay(touching(1000, 35), 500), false, ""},
		{"half of them new, with seven weeks behind them", newOnTheDay(touching(1000, 49), 500), true, "whom it had not touched in the 28 days before"},
		{"all new on the first day", newOnTheDay(touching(1000, 0), 1000), false, ""},
		{"nineteen new, where hardly any were", newOnTheDay(touching(40, 200), 19), false, ""},
		{"many new, and yet under a tenth", func() usage.Reach {
			one := newOnTheDay(touching(1000, 200), 500)
			one.People[reachHistory] = 6000
			return one
		}(), false, ""},
		{"half of them new, among a million before, of which a sketch is not so sure", func() usage.Reach {
			one := newOnTheDay(touching(1000, 200), 500)
			one.Before[reachHistory] = 1_000_000
			return one
		}(), false, ""},
	} {
		scores, f, ok := detectors.NewPeople{}.Score(registry, reachQuestion("messaging"), usage.Answer{Reach: []usage.Reach{c.reach}, Watermark: (surgeDay + 1).Second()})
		if ok != c.found || len(scores) != 1 || ok && !strings.Contains(f.Sentence, c.says) {
			t.Errorf("%s: found %v with %+v: %s", c.what, ok, scores, f.Sentence)
		}
		if ok && (f.People.Value != 500 || f.People.Low >= 500 || f.People.High <= 500 || f.Severity != schema.Warning || f.State != schema.Open || f.PeriodEnd != surgeDay+1) {
			t.Errorf("%s: %+v", c.what, f)
		}
	}
}

func TestNewPeopleAreToldOnceTheirDayIsClosedAndEndWithTheNext(t *testing.T) {
	registry := parse(t, surgeRegistry)
	one := newOnTheDay(touching(1000, 200), 500)
	answer := func(days int, watermark schema.Day) usage.Answer {
		one := one
		for _, values := range []*[]float64{&one.Accesses, &one.People, &one.Before, &one.New} {
			*values = (*values)[:days]
		}
		return usage.Answer{Reach: []usage.Reach{one}, Watermark: watermark.Second()}
	}
	if scores, _, ok := (detectors.NewPeople{}).Score(registry, reachQuestion("messaging"), answer(reachHistory, surgeDay)); ok || len(scores) > 0 {
		t.Errorf("a day that is not closed is judged: %v", scores)
	}
	for watermark, want := range map[schema.Day]schema.State{surgeDay + 1: schema.Open, surgeDay + 2: schema.Ended} {
		if f, ok := (detectors.NewPeople{}).Judge(registry, reachQuestion("messaging"), answer(reachHistory+1, watermark)); !ok || f.State != want {
			t.Errorf("at %s: %v and %s, want %s", watermark, ok, f.State, want)
		}
	}
}

func TestNewPeopleOfACapabilityAreNotToldAgainOfThePartner(t *testing.T) {
	registry := parse(t, surgeRegistry)
	whole, part := newOnTheDay(touching(1000, 200), 500), newOnTheDay(touching(1000, 200), 500)
	whole.Capability = ""
	other := touching(1000, 200)
	other.Capability = "friends"
	for _, c := range []struct {
		parts []usage.Reach
		found bool
	}{{[]usage.Reach{other}, true}, {[]usage.Reach{other, part}, false}} {
		scores, _, ok := detectors.NewPeople{}.Score(registry, reachQuestion(""), usage.Answer{Reach: append([]usage.Reach{whole}, c.parts...), Watermark: (surgeDay + 1).Second()})
		if ok != c.found || len(scores) != 1 {
			t.Errorf("with %d parts: found %v, want %v, and %d scores", len(c.parts), ok, c.found, len(scores))
		}
	}
}

func TestAsManyMoreMayBeNewAsTheRegistryExpectsMoreAccesses(t *testing.T) {
	registry := parse(t, strings.NewReplacer("from: 2018-12-20", "from: 2018-12-18", "factor: 10", "factor: 3").Replace(surgeRegistry))
	for added, found := range map[float64]bool{500: false, 4100: false, 4500: true} { // of a thousand a day, a hundred of them new, in two thousand accesses
		one := newOnTheDay(touching(1000, 200), added)
		one.People[reachHistory], one.Accesses[reachHistory] = 5000, 6000
		f, ok := detectors.NewPeople{}.Judge(registry, reachQuestion("messaging"), usage.Answer{Reach: []usage.Reach{one}, Watermark: (surgeDay + 1).Second()})
		if ok != found {
			t.Errorf("three times as much is expected, %g are new: found %v: %s", added, ok, f.Sentence)
		}
	}
}
