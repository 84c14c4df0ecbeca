package story

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func digest(cfg Config) (sum [32]byte, events int) {
	h := sha256.New()
	var line []byte
	for e := range cfg.Events() {
		line = append(AppendJSON(line[:0], e), '\n')
		h.Write(line)
		events++
	}
	return [32]byte(h.Sum(nil)), events
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	cfg := Config{Seed: 7, Scale: MinScale, Days: 20}
	first, n := digest(cfg)
	if again, _ := digest(cfg); again != first {
		t.Error("the same seed gave other events")
	}
	if n < 10_000 {
		t.Errorf("only %d events: too few to mean anything", n)
	}
	if !bytes.Equal(cfg.Registry(), cfg.Registry()) {
		t.Error("the same seed gave another registry")
	}
	cfg.Seed = 8
	if other, _ := digest(cfg); other == first {
		t.Error("another seed gave the same events")
	}
}

func TestTheDemoHasAsManyEventsAsItCanReplay(t *testing.T) {
	_, n := digest(Default())
	if n < 1_200_000 || n > 1_800_000 {
		t.Errorf("%d events, want 1.2 to 1.8 million", n)
	}
}

func TestAShorterStoryIsTheBeginningOfTheWhole(t *testing.T) {
	cfg := Config{Seed: 3, Scale: MinScale, Days: 4}
	short := lines(cfg)
	cfg.Days = 6
	long := lines(cfg)
	if len(short) == 0 || len(long) <= len(short) {
		t.Fatalf("%d events in four days and %d in six", len(short), len(long))
	}
	for i, l := range short {
		if l != long[i] {
			t.Fatalf("event %d is %s in the short story and %s in the long one", i, l, long[i])
		}
	}
}

func lines(cfg Config) []string {
	var out []string
	for e := range cfg.Events() {
		out = append(out, string(AppendJSON(nil, e)))
	}
	return out
}

func TestEventsAreInOrderOfTimeWithIdsOfTheirOwn(t *testing.T) {
	cfg := Config{Seed: 1, Scale: MinScale, Days: Length}
	last, ids := First.Second()*1000, map[string]bool{}
	for e := range cfg.Events() {
		if e.Time < last {
			t.Fatalf("event %d is at %d, after one at %d", len(ids), e.Time, last)
		}
		last = e.Time
		if ids[string(e.ID)] {
			t.Fatalf("id %s is there twice", e.ID)
		}
		ids[string(e.ID)] = true
	}
	if day := schema.DayOfSecond(last / 1000); day != Last {
		t.Errorf("the last event is on %s, want %s", day, Last)
	}
}

func TestEventsCanBeLeftOffAnywhere(t *testing.T) {
	n := 0
	for range Default().Events() {
		if n++; n == 100 {
			break
		}
	}
	if n != 100 {
		t.Errorf("%d events", n)
	}
}

func TestFirstAndLastAreTheDaysThatTheyAreSaidToBe(t *testing.T) {
	if First.String() != "2018-09-18" || Last.String() != "2018-12-17" || Length != 91 {
		t.Errorf("%s to %s, %d days", First, Last, Length)
	}
}

func TestCallsOfEachPartnerAreAsPlanned(t *testing.T) {
	cfg := Config{Seed: 5, Scale: 0.002, Days: Length}
	got := map[string]float64{}
	for e := range cfg.Events() {
		got[string(e.Partner)]++
	}
	partners := cfg.partners()
	for _, p := range partners {
		want := 0.0
		for _, j := range p.jobs {
			days := 0.0
			for day := First; day <= Last; day++ {
				if day >= j.from && (j.until == 0 || day <= j.until) {
					days += j.week[day.Time().Weekday()]
				}
			}
			want += days * j.perDay * (1 + j.repeats) * cfg.Scale
		}
		if math.Abs(got[p.name]-want) > 0.05*want+20 {
			t.Errorf("%s made %.0f calls, planned %.0f", p.name, got[p.name], want)
		}
	}
	if len(got) != len(partners) {
		t.Errorf("%d partners call, %d are planned", len(got), len(partners))
	}
}

func TestEachRunStaysWithinItsHour(t *testing.T) {
	for _, p := range Default().partners() {
		for i, j := range p.jobs {
			if j.minutes < 1 || j.minutes > 50 {
				t.Errorf("job %d of %s runs for %d minutes: starting at minute 8 it would not end within its hour", i, p.name, j.minutes)
			}
			hours, mean := map[int]bool{}, 0.0
			for _, h := range j.hours {
				hours[h] = true
				if h < 0 || h > 23 {
					t.Errorf("job %d of %s starts at hour %d", i, p.name, h)
				}
			}
			for _, w := range j.week {
				mean += w / 7
			}
			if len(hours) != len(j.hours) || len(hours) == 0 || math.Abs(mean-1) > 1e-9 {
				t.Errorf("job %d of %s has hours %v and a week of mean %v", i, p.name, j.hours, mean)
			}
		}
	}
}

func TestAConfigOutOfRangeIsRefused(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for _, cfg := range []Config{
		{Scale: 0, Days: 91}, {Scale: 1.1, Days: 91}, {Scale: -1, Days: 91}, {Scale: math.NaN(), Days: 91}, {Scale: math.Inf(1), Days: 91},
		{Scale: 0.005, Days: 0}, {Scale: 0.005, Days: 92},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// plain is an event as encoding/json reads it.
type plain struct {
	Time       time.Time
	ID         string
	Partner    string
	App        string
	Capability string
	Action     string
	Subject    string
	Actor      string
	Status     int32
	Records    int64
	Bytes      int64
	APIVersion string `json:"api_version"`
	Grant      string
}

func plainOf(e *schema.Event) plain {
	return plain{
		Time: time.UnixMilli(e.Time).UTC(), ID: string(e.ID), Partner: string(e.Partner), App: string(e.App),
		Capability: string(e.Capability), Action: e.Action.String(), Subject: string(e.Subject), Actor: string(e.Actor),
		Status: e.Status, Records: e.Records, Bytes: e.Bytes, APIVersion: string(e.APIVersion), Grant: string(e.Grant),
	}
}

func TestEveryEventReadsBackFromItsJSON(t *testing.T) {
	n := 0
	for e := range (Config{Seed: 2, Scale: MinScale, Days: 30}).Events() {
		line := AppendJSON(nil, e)
		var got plain
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got != plainOf(e) {
			t.Fatalf("%s reads back as %+v", line, got)
		}
		if e.Partner == nil || e.Capability == nil || e.Subject == nil || e.Action.String() == "" {
			t.Fatalf("%s lacks what is required", line)
		}
		n++
	}
	if n < 10_000 {
		t.Errorf("only %d events", n)
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("tunecast", "100", int64(1537228800000), int32(200))
	f.Add("a\"b\\c\n", "<é>\x00\u2028", int64(1), int32(-1))
	f.Fuzz(func(t *testing.T, partner, subject string, ms int64, status int32) {
		ms &= 1<<45 - 1
		e := schema.Event{Time: ms, Partner: []byte(partner), Subject: []byte(subject), Action: schema.Delete, Status: status}
		line := AppendJSON(nil, &e)
		var got plain
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		want := plainOf(&e)
		// Going by runes turns each byte that is not UTF-8 into U+FFFD.
		want.Partner, want.Subject = string([]rune(partner)), string([]rune(subject))
		if got != want {
			t.Fatalf("%s reads back as %+v, want %+v", line, got, want)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	var line []byte
	n := 0
	start := time.Now()
	for b.Loop() {
		for e := range (Config{Seed: 1, Scale: 0.005, Days: 7}).Events() {
			line = AppendJSON(line[:0], e)
			n++
		}
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func TestTheRegistryParsesAndHoldsWhatTheStorySays(t *testing.T) {
	for _, cfg := range []Config{Default(), {Seed: 9, Scale: 1, Days: 1}, {Seed: 9, Scale: MinScale, Days: 1}} {
		r, err := registry.Parse("registry.yaml", cfg.Registry())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Partners["mydigitalquiz"]; ok {
			t.Error("the quiz is registered")
		}
		partners := cfg.partners()
		if len(r.Partners) != len(partners)-1 || len(r.Capabilities) != len(capabilities) {
			t.Errorf("%d partners and %d capabilities", len(r.Partners), len(r.Capabilities))
		}
		for _, p := range partners {
			if p.unregistered {
				continue
			}
			got := r.Partners[p.name]
			if got.Owner != p.owner || got.Purpose != p.purpose || got.AgreementStart.String() != p.start || got.AgreementEnd.String() != p.end ||
				len(got.Grants) != len(p.grants) || len(got.Limits) != len(p.limits) {
				t.Fatalf("%s is %+v", p.name, got)
			}
			for _, g := range p.grants {
				if !slices.ContainsFunc(got.Grants, func(h registry.Grant) bool {
					return h.Capability == g.capability && slices.Equal(h.Actions, g.actions) && h.From.String() == g.from && h.Until.String() == g.until
				}) {
					t.Errorf("%s lacks the grant %+v", p.name, g)
				}
			}
			for _, l := range p.limits {
				if !slices.Contains(got.Limits, registry.Limit{Capability: l.capability, Window: l.window, People: cfg.scaled(l.people)}) {
					t.Errorf("%s lacks the limit %+v", p.name, l)
				}
			}
		}
	}
}
