package story

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// touch is an access as the oracle remembers it.
type touch struct {
	second     int64
	capability string
	subject    string
}

// accesses returns every access of the story by partner, in the order of time.
func accesses(cfg Config) map[string][]touch {
	by := map[string][]touch{}
	for e := range cfg.Events() {
		if !e.Attempt() {
			by[string(e.Partner)] = append(by[string(e.Partner)], touch{e.Time / 1000, string(e.Capability), string(e.Subject)})
		}
	}
	return by
}

// crossing is what the oracle counts of one limit in one period.
type crossing struct {
	peak       int
	warned     schema.Day // first day of a window over 80% of the limit
	overpassed schema.Day // first day of a window over the limit
}

// count counts exactly, in every window of a limit, the people of touches, and
// returns the greatest number for each period. The window [end-width, end) slides
// by the window's step; people are counted with a multiset.
func count(touches []touch, l limit, people uint64) map[schema.Day]crossing {
	if l.capability != "" {
		touches = slices.DeleteFunc(slices.Clone(touches), func(t touch) bool { return t.capability != l.capability })
	}
	step := l.window.Step().Seconds()
	found := map[schema.Day]crossing{}
	inside := map[string]int{}
	enter, leave := 0, 0
	for end := First.Second() + step; end <= (Last + 1).Second(); end += step {
		day := schema.DayOfSecond(end - 1)
		period, begin := day, end-int64(l.window.Buckets())*step
		switch l.window {
		case schema.WindowMonth:
			period, begin = day.Month(), day.Month().Second()
		case schema.Window30d:
			period = day.Month()
		}
		for ; enter < len(touches) && touches[enter].second < end; enter++ {
			inside[touches[enter].subject]++
		}
		for ; leave < enter && touches[leave].second < begin; leave++ {
			if s := touches[leave].subject; inside[s] == 1 {
				delete(inside, s)
			} else {
				inside[s]--
			}
		}
		c := found[period]
		c.peak = max(c.peak, len(inside))
		if c.warned == 0 && float64(len(inside)) > 0.8*float64(people) {
			c.warned = day
		}
		if c.overpassed == 0 && uint64(len(inside)) > people {
			c.overpassed = day
		}
		found[period] = c
	}
	return found
}

// TestOnlyTheSurgesOfTheStoryAreWithoutPrecedent holds each hour against the same
// hour of all days before, and those beside it.
func TestOnlyTheSurgesOfTheStoryAreWithoutPrecedent(t *testing.T) {
	cfg := Config{Seed: 5, Scale: 0.002, Days: Length}
	type surging struct {
		partner, capability string
		day                 schema.Day
	}
	expected := map[surging]Expected{}
	for _, e := range cfg.Expected() {
		if e.Detector == "surge" {
			expected[surging{e.Partner, e.Capability, e.Period}] = e
		}
	}
	seen := map[surging]bool{}
	for partner, touches := range accesses(cfg) {
		if partner == "mydigitalquiz" {
			continue // nobody registered it
		}
		hours := map[string]*[Length * 24]int{}
		for _, touch := range touches {
			if hours[touch.capability] == nil {
				hours[touch.capability] = new([Length * 24]int)
			}
			hours[touch.capability][(touch.second-First.Second())/3600]++
		}
		for capability, counts := range hours {
			for hour := 14 * 24; hour < len(counts); hour++ {
				before := 0
				for i := hour % 24; i < hour-1; i += 24 {
					before = max(before, counts[max(i-1, 0)], counts[i], counts[i+1])
				}
				if counts[hour] < surgeSure || counts[hour] < 3*before {
					continue
				}
				k := surging{partner, capability, First + schema.Day(hour/24)}
				seen[k] = true
				if _, ok := expected[k]; !ok {
					t.Errorf("%v has %d accesses in hour %d, at most %d before, and is not expected", k, counts[hour], hour%24, before)
				}
			}
		}
	}
	for k, e := range expected {
		if !e.May && !seen[k] {
			t.Errorf("nothing in the log makes %s", name(e.FindingKey))
		}
	}
}

// TestOnlyTheNewcomersOfTheStoryAreWithoutPrecedent counts each day's people who were
// not touched in the four weeks before, one by one, and holds them against the two weeks
// before.
func TestOnlyTheNewcomersOfTheStoryAreWithoutPrecedent(t *testing.T) {
	const weeks, usual = 28, 14
	cfg := Config{Seed: 6, Scale: 0.002, Days: Length}
	expected := map[schema.FindingKey]Expected{}
	for _, e := range cfg.Expected() {
		if e.Detector == "new_people" {
			expected[e.FindingKey] = e
		}
	}
	for partner, touches := range accesses(cfg) {
		if partner == "mydigitalquiz" {
			continue // nobody registered it
		}
		last := map[[2]string]schema.Day{} // a capability and a person
		added := map[string]*[Length]int{}
		for _, touch := range touches { // in the order of time
			day, key := schema.DayOfSecond(touch.second)-First, [2]string{touch.capability, touch.subject}
			if added[touch.capability] == nil {
				added[touch.capability] = new([Length]int)
			}
			if before, known := last[key]; !known || before < day-weeks {
				added[touch.capability][day]++
			}
			last[key] = day
		}
		for capability, counts := range added {
			for day := weeks + usual; day < Length; day++ {
				before := slices.Max(counts[day-usual : day])
				if counts[day] < 25 || counts[day] < before+before/3 {
					continue
				}
				key := schema.FindingKey{Detector: "new_people", Partner: partner, Capability: capability,
					Window: schema.WindowClockDay, Cause: "new_people", Period: First + schema.Day(day)}
				if _, ok := expected[key]; !ok {
					t.Errorf("%s has %d new people, at most %d before, and is not expected", name(key), counts[day], before)
				}
				delete(expected, key)
			}
		}
	}
	for key, e := range expected {
		if !e.May {
			t.Errorf("nothing in the log makes %s", name(key))
		}
	}
}

// TestEveryLimitIsPassedWhereExpectedAndWellKeptElsewhere counts every window of
// every limit exactly. Between what is expected and what is not there is room for
// what a sketch errs.
func TestEveryLimitIsPassedWhereExpectedAndWellKeptElsewhere(t *testing.T) {
	for _, cfg := range []Config{
		{Seed: 1, Scale: MinScale, Days: Length},
		{Seed: 2, Scale: MinScale, Days: Length},
		{Seed: 3, Scale: 0.002, Days: Length},
	} {
		t.Run(fmt.Sprintf("seed %d at %v", cfg.Seed, cfg.Scale), func(t *testing.T) {
			expected := map[schema.FindingKey]Expected{}
			for _, e := range cfg.Expected() {
				if e.Detector == "volume_limit" {
					expected[e.FindingKey] = e
				}
			}
			by := accesses(cfg)
			for _, p := range cfg.partners() {
				for _, l := range p.limits {
					people := cfg.scaled(l.people)
					for period, got := range count(by[p.name], l, people) {
						key := schema.FindingKey{Detector: "volume_limit", Partner: p.name, Capability: l.capability,
							Window: l.window, Cause: "limit", Period: period}
						e, ok := expected[key]
						delete(expected, key)
						checkCrossing(t, key, got, people, e, ok)
					}
				}
			}
			for key := range expected {
				t.Errorf("no window of %s was counted", name(key))
			}
		})
	}
}

func checkCrossing(t *testing.T, key schema.FindingKey, got crossing, people uint64, e Expected, expected bool) {
	t.Helper()
	ratio := float64(got.peak) / float64(people)
	switch {
	case !expected && ratio > 0.75:
		t.Errorf("%s comes to %.2f of its limit and is not expected", name(key), ratio)
	case !expected:
	case e.Severity == schema.Critical && (ratio < 1.15 || got.overpassed < e.Earliest || got.overpassed > e.Latest):
		t.Errorf("%s comes to %.2f of its limit, over it on %s, expected %s to %s", name(key), ratio, got.overpassed, e.Earliest, e.Latest)
	case e.Severity == schema.Warning && (ratio < 0.85 || ratio > 0.95 || got.warned < e.Earliest || got.warned > e.Latest):
		t.Errorf("%s comes to %.2f of its limit, over 80%% on %s, expected %s to %s", name(key), ratio, got.warned, e.Earliest, e.Latest)
	}
	if expected && math.Abs(float64(got.peak)-float64(e.People)) > 0.03*float64(e.People) {
		t.Errorf("%s touched %d people, expected %d", name(key), got.peak, e.People)
	}
}

// use is what the oracle saw of one partner in one capability.
type use struct{ first, last int64 }

func TestOnlyTheCastUsesWhatItMayNotOrNotForLong(t *testing.T) {
	cfg := Config{Seed: 4, Scale: MinScale, Days: Length}
	seen := map[schema.FindingKey]use{}
	refusedOnly := map[schema.FindingKey]bool{}
	partners := map[string]partner{}
	for _, p := range cfg.partners() {
		partners[p.name] = p
	}
	for e := range cfg.Events() {
		key, ok := standing(t, partners[string(e.Partner)], e)
		if !ok {
			continue
		}
		u, again := seen[key]
		if !again {
			u.first, refusedOnly[key] = e.Time, true
		}
		if !e.Attempt() {
			refusedOnly[key] = false
		}
		u.last = e.Time
		seen[key] = u
	}
	for _, e := range cfg.Expected() {
		if slices.Contains([]string{"volume_limit", "surge", "new_people", "mix_shift"}, e.Detector) {
			continue
		}
		u, ok := seen[e.FindingKey]
		delete(seen, e.FindingKey)
		if !ok {
			t.Errorf("nothing in the log makes %s", name(e.FindingKey))
			continue
		}
		if day := schema.DayOfSecond(u.first / 1000); day < e.Earliest || day > e.Latest {
			t.Errorf("%s begins on %s, expected %s to %s", name(e.FindingKey), day, e.Earliest, e.Latest)
		}
		if ended := schema.DayOfSecond(u.last/1000)+8 <= Last; ended != (e.State == schema.Ended) {
			t.Errorf("%s was last seen on %s, expected %s", name(e.FindingKey), schema.DayOfSecond(u.last/1000), e.State)
		}
		warning := refusedOnly[e.FindingKey] || e.Cause == "deprecated"
		if warning != (e.Severity == schema.Warning) {
			t.Errorf("%s is expected to be %s; all refused: %v", name(e.FindingKey), e.Severity, refusedOnly[e.FindingKey])
		}
	}
	for key := range seen {
		t.Errorf("%s is in the log and not expected", name(key))
	}
}

// standing returns what is wrong with the event, if anything is, by the dates
// that the story gives for its partner.
func standing(t *testing.T, p partner, e *schema.Event) (schema.FindingKey, bool) {
	t.Helper()
	day := schema.DayOfSecond(e.Time / 1000)
	if p.unregistered {
		return schema.FindingKey{Detector: "unregistered_partner", Partner: p.name, Cause: "unregistered"}, true
	}
	key := schema.FindingKey{Detector: "stale_access", Partner: p.name, Capability: string(e.Capability)}
	at := slices.IndexFunc(p.grants, func(g grant) bool {
		return g.capability == string(e.Capability) && slices.Contains(g.actions, e.Action)
	})
	if at < 0 {
		t.Fatalf("%s was never granted %s:%s", p.name, e.Capability, e.Action)
	}
	if from := mustDay(p.grants[at].from); from > First || mustDay(p.start) > First {
		t.Fatalf("%s may use %s from %s on only, within the story", p.name, e.Capability, from)
	}
	if until := p.grants[at].until; until != "" && day > mustDay(until) {
		key.Cause, key.Period = "grant", mustDay(until)+1
		return key, true
	}
	if p.end != "" && day > mustDay(p.end) {
		key.Cause, key.Period = "agreement", mustDay(p.end)+1
		return key, true
	}
	for _, c := range capabilities {
		if c.name != string(e.Capability) {
			continue
		}
		if c.sunset != "" && day >= mustDay(c.sunset) {
			key.Cause, key.Period = "sunset", mustDay(c.sunset)
			return key, true
		}
		if c.deprecated != "" && day >= mustDay(c.deprecated) {
			key.Cause, key.Period = "deprecated", mustDay(c.deprecated)
			return key, true
		}
		return key, false
	}
	t.Fatalf("capability %s is not in the registry", e.Capability)
	return key, false
}

func TestTheBankMayReadAndNeverDoes(t *testing.T) {
	writes := 0
	for e := range (Config{Seed: 1, Scale: MinScale, Days: Length}).Events() {
		if string(e.Partner) != "royalbank" {
			continue
		}
		if e.Action == schema.Read {
			t.Fatal("royalbank read")
		}
		writes++
	}
	if writes < 500 {
		t.Errorf("only %d writes", writes)
	}
	for _, p := range cast() {
		if p.name == "royalbank" && !slices.Contains(p.grants[0].actions, schema.Read) {
			t.Error("royalbank may not read")
		}
	}
}

func TestCompareFindsWhatIsMissingWhatIsTooMuchAndWhatDiffers(t *testing.T) {
	expected := Default().Expected()
	f := func(change func(*schema.Finding), want ...string) {
		t.Helper()
		var found []schema.Finding
		for _, e := range expected {
			found = append(found, schema.Finding{
				FindingKey: e.FindingKey, Severity: e.Severity, State: e.State, Sentence: "So it was.",
				FirstCrossing: (e.Earliest + 1).Time(), People: schema.Estimate{Value: e.People},
			})
		}
		change(&found[0])
		for i, w := range want {
			want[i] = "volume_limit of " + w
		}
		if got := Compare(expected, found); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	const first = "tunecast, messaging, month, limit, 2018-09-01 "
	const missing = first + "was not found: it reads the messages of 70 million people a month and agreed to 25"
	e := expected[0]
	f(func(*schema.Finding) {})
	f(func(f *schema.Finding) { f.Severity = schema.Warning }, first+"has severity warning instead of critical")
	f(func(f *schema.Finding) { f.State = schema.Open }, first+"has state open instead of ended")
	f(func(f *schema.Finding) { f.State = schema.Withdrawn }, missing)
	f(func(f *schema.Finding) { f.Partner = "amberline" }, missing,
		"amberline, messaging, month, limit, 2018-09-01 is no part of the story: So it was.")
	f(func(f *schema.Finding) { f.People.Value /= 2 }, first+"has people 76000 instead of about 152000")
	f(func(f *schema.Finding) { f.FirstCrossing = f.FirstCrossing.Add(-time.Minute) })
	f(func(f *schema.Finding) { f.FirstCrossing = (e.Latest + 1).Time() })
	f(func(f *schema.Finding) { f.FirstCrossing = e.Earliest.Time() },
		first+"has first crossing 2018-09-27T00:00:00Z instead of 2018-09-27 to 2018-09-30")
	f(func(f *schema.Finding) { f.Severity, f.State = schema.Warning, schema.Open },
		first+"has severity warning instead of critical", first+"has state open instead of ended")
}
