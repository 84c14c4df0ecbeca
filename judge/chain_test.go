package judge

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// touching is the marker of a range of partition 0 and of the minutes it touched.
func touching(from, to int64, minutes ...uint32) schema.Marker {
	return schema.Marker{Range: schema.Range{Partition: part(0), From: from, To: to}, Minutes: minutes}
}

// standingAt is a round of a judge whose cadences have all come to an offset of partition 0,
// or not begun it.
func standingAt(at int64) *round {
	j := &Judge{
		logger: zerolog.Nop(), gapSince: map[place]waiting{}, unjudged: map[place]waiting{},
		at: map[schema.Cadence]map[schema.Partition]int64{}, now: time.Now, metrics: NewMetrics(prometheus.NewRegistry()),
	}
	for _, cadence := range schema.Cadences {
		j.at[cadence] = map[schema.Partition]int64{}
		if at >= 0 {
			j.at[cadence][part(0)] = at
		}
	}
	return &round{judge: j}
}

func TestMarkersAreFollowedAsAChain(t *testing.T) {
	f := func(what string, at int64, markers []schema.Marker, want string) {
		t.Helper()
		to, minutes := standingAt(at).chain(schema.CadenceMinute, markers)
		if got := fmt.Sprint(to[part(0)], minutes); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	type m = []schema.Marker
	f("nothing is new", 10, nil, "0 []")
	f("the next one", 10, m{touching(10, 20, 7)}, "20 [7]")
	f("two that follow each other", 10, m{touching(10, 20, 7, 9), touching(20, 30, 5, 7)}, "30 [5 7 9]")
	f("one that was judged", 10, m{touching(0, 10, 7)}, "0 []")
	f("one behind a gap waits", 10, m{touching(12, 20, 7)}, "0 []")
	f("those behind a gap wait, that before it does not", 10, m{touching(10, 20, 7), touching(25, 30, 8), touching(30, 40, 9)}, "20 [7]")
	f("the first of a partition begins where it does", -1, m{touching(500, 510, 7)}, "510 [7]")
	f("one without events", 10, m{touching(10, 20)}, "20 []")
}

// patient is a round of cadences at offset 10 of partition 0, whose clock the test sets, from
// zero on, and whose log it reads.
func patient() (r *round, clock func(time.Duration), log *bytes.Buffer) {
	r = standingAt(10)
	passed := time.Duration(0)
	r.judge.now = func() time.Time { return time.Unix(1_700_000_000, 0).Add(passed) }
	log = &bytes.Buffer{}
	r.judge.logger = zerolog.New(log)
	return r, func(d time.Duration) { passed = d }, log
}

func TestAGapThatStaysIsJumpedOver(t *testing.T) {
	r, clock, _ := patient()
	behind := []schema.Marker{touching(12, 20, 7), touching(20, 30, 8)}
	for _, passed := range []time.Duration{0, gapPatience - time.Millisecond} {
		clock(passed)
		if to, _ := r.chain(schema.CadenceMinute, behind); len(to) != 0 {
			t.Fatalf("after %s it went on to %v", passed, to)
		}
	}
	clock(gapPatience)
	if to, minutes := r.chain(schema.CadenceMinute, behind); to[part(0)] != 30 || !slices.Equal(minutes, []int64{7, 8}) {
		t.Errorf("after a minute it came to %v and touched %v", to, minutes)
	}
}

func TestAGapThatClosesStartsTheNextOnesPatienceAnew(t *testing.T) {
	r, clock, _ := patient()
	r.chain(schema.CadenceMinute, []schema.Marker{touching(12, 20, 7)})
	clock(gapPatience - time.Millisecond)
	to, _ := r.chain(schema.CadenceMinute, []schema.Marker{touching(10, 12, 6), touching(12, 20, 7)})
	if to[part(0)] != 20 {
		t.Fatalf("it closed, and the judge came to %v", to)
	}
	r.judge.at[schema.CadenceMinute][part(0)] = 20
	clock(2 * gapPatience)
	if to, _ := r.chain(schema.CadenceMinute, []schema.Marker{touching(22, 30, 8)}); len(to) != 0 {
		t.Errorf("another gap was jumped over at once, to %v", to)
	}
}

// onPartition has markers be of another partition.
func onPartition(i int32, markers ...schema.Marker) []schema.Marker {
	for k := range markers {
		markers[k].Partition = part(i)
	}
	return markers
}

func TestEveryCadenceJumpsAGapThoughMarkersGoOnComing(t *testing.T) {
	r, clock, log := patient()
	j := r.judge
	for _, cadence := range schema.Cadences {
		j.at[cadence][part(1)], j.at[cadence][part(2)], j.at[cadence][part(3)] = 5, 100, 40
	}
	every := func(cadence schema.Cadence) int {
		return map[schema.Resolution]int{schema.Minute: 1, schema.Hourly: 10, schema.Daily: 60}[cadence.Step()]
	}
	const lasts = 4 * 60
	for second := range lasts {
		clock(time.Duration(second) * time.Second)
		counted := int64(1000 + second)
		var log0, log2 []schema.Marker // markers of one offset each; those before 1000 expired
		for offset := int64(1000); offset < counted; offset++ {
			log0 = append(log0, touching(offset, offset+1, 7))
			log2 = append(log2, onPartition(2, touching(offset-900, offset-899, 9))...)
		}
		r.extents = []schema.Marker{
			{Range: schema.Range{Partition: part(0), To: counted}}, {Range: schema.Range{Partition: part(1), To: 50}},
			{Range: schema.Range{Partition: part(2), To: counted - 900}}, {Range: schema.Range{Partition: part(3), To: 60}},
		}
		hidden := onPartition(3, touching(40, 50, 3), touching(50, 60, 3))
		if second < 45 {
			hidden = hidden[1:] // the first is not visible yet
		}
		for _, cadence := range schema.Cadences {
			if second%every(cadence) > 0 {
				continue
			}
			all := slices.Concat(log0, log2, hidden) // and all markers of partition 1 have expired
			all = slices.DeleteFunc(all, func(m schema.Marker) bool { return m.From < j.at[cadence][m.Partition] })
			to, _ := r.chain(cadence, all)
			maps.Copy(j.at[cadence], to)
			j.noteBehind(cadence, r.extents)
			if second < 45 && j.at[cadence][part(3)] != 40 {
				t.Fatalf("the cadence %s did not wait for a marker that is not visible yet: it is at %d", cadence, j.at[cadence][part(3)])
			}
		}
	}
	for _, cadence := range schema.Cadences {
		at := j.at[cadence]
		if late := 1000 + lasts - 1 - at[part(0)]; late > int64(every(cadence)) {
			t.Errorf("the cadence %s is at %d of partition 0, %d behind", cadence, at[part(0)], late)
		}
		if at[part(1)] != 50 || at[part(2)] < lasts+100-1-int64(every(cadence)) || at[part(3)] != 60 {
			t.Errorf("the cadence %s is at %v", cadence, at)
		}
		said := func(partition, from, to int) int {
			return strings.Count(log.String(), fmt.Sprintf(`"cadence":"%s","incarnation":"k/t@1","partition":%d,"from":%d,"to":%d`, cadence, partition, from, to))
		}
		if said(0, 10, 1000) != 1 || said(1, 5, 50) != 1 || said(2, 100, 100) != 0 {
			t.Errorf("of the cadence %s the log says:\n%s", cadence, log)
		}
	}
	if strings.Contains(log.String(), `"partition":3`) {
		t.Errorf("a marker that was late is said to have expired:\n%s", log)
	}
	if stalls := j.Stalls(); len(stalls) > 0 {
		t.Errorf("something stands still: %v", stalls)
	}
}

func TestACadenceThatStandsSaysSinceWhenAndHowFarItIsBehind(t *testing.T) {
	r, clock, _ := patient()
	j := r.judge
	registry := prometheus.NewRegistry()
	j.metrics = NewMetrics(registry)
	look := func(passed time.Duration, counted int64) {
		clock(passed)
		for _, cadence := range schema.Cadences {
			j.noteBehind(cadence, []schema.Marker{{Range: schema.Range{Partition: part(0), To: counted}}, {Range: schema.Range{Partition: part(1), From: 3, To: 5}}})
		}
	}
	for _, cadence := range schema.Cadences {
		j.at[cadence][part(1)] = 5
	}
	expect := func(what string, behind, since float64, stalls ...string) {
		t.Helper()
		if got := ofCadence(t, registry, "overreach_judge_unjudged_records", "hour"); got != behind {
			t.Errorf("%s: %v offsets behind, want %v", what, got, behind)
		}
		if got := ofCadence(t, registry, "overreach_judge_unjudged_since_timestamp_seconds", "hour"); got != since {
			t.Errorf("%s: since %v, want %v", what, got, since)
		}
		var got []string
		for _, s := range j.Stalls() {
			got = append(got, fmt.Sprintf("%s since %d: %s", s.What, s.Since.Unix(), s.Why))
		}
		if !slices.Equal(got, stalls) {
			t.Errorf("%s: stalls %q, want %q", what, got, stalls)
		}
	}
	look(0, 10)
	expect("all is judged", 0, 0)
	look(5*time.Second, 30)
	expect("something is new", 20, 1_700_000_005)
	for _, cadence := range []schema.Cadence{schema.CadenceMinute, schema.CadenceDay, schema.CadenceClosedDay, schema.CadenceClosedHour} {
		j.at[cadence][part(0)] = 40
	}
	look(5*time.Second+slidingStands-time.Millisecond, 40)
	expect("it stands", 30, 1_700_000_005)
	clock(5*time.Second + slidingStands) // rounds may have ended meanwhile
	expect("it stands for long", 30, 1_700_000_005, "judge, cadence hour since 1700000005: 30 offsets are counted and not judged")
	j.at[schema.CadenceHour][part(0)] = 35
	look(700*time.Second, 40)
	expect("it moves", 5, 1_700_000_700)
	j.standsBy()
	expect("others judge", 0, 0)
}

func TestAnotherFailureIsSaidToo(t *testing.T) {
	r, clock, log := patient()
	j := r.judge
	f := func(what string, passed time.Duration, err error, want string) {
		t.Helper()
		clock(passed)
		log.Reset()
		j.note(err)
		if got := log.String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: the log says %q, want %q", what, got, want)
		}
	}
	a, b := errors.New("no answer"), errors.New("no such table")
	f("it works", 0, nil, "")
	f("it fails", time.Second, a, "no answer")
	f("it fails as before", time.Hour, a, "")
	f("it fails for another reason", time.Hour+time.Second, b, "no such table")
	f("for the first one again", time.Hour+time.Second+sayAnother-1, a, "")
	f("and goes on to", time.Hour+time.Second+sayAnother, a, "no answer")
	if got := j.Stalls(); len(got) != 1 || got[0].What != "judge" {
		t.Errorf("what stands still is %v", got)
	}
	f("it works again", 2*time.Hour, nil, "works again")
	f("it goes on working", 3*time.Hour, nil, "")
	if got := j.Stalls(); len(got) > 0 {
		t.Errorf("what stands still is %v", got)
	}
}

// ofCadence returns a metric's value for the cadence.
func ofCadence(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && m.Label[0].GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, label)
	return 0
}

func TestDaysAreThoseOfTheMinutes(t *testing.T) {
	if got := daysOf([]int64{0, 1439, 1440, 1441, 4320}); !slices.Equal(got, []schema.Day{0, 1, 3}) {
		t.Errorf("got %v", got)
	}
	r := round{extents: []schema.Marker{
		{FirstEvent: 5 * schema.DaySeconds * 1000, LastEvent: 6 * schema.DaySeconds * 1000}, {}, {FirstEvent: 4*schema.DaySeconds*1000 + 5, LastEvent: 4*schema.DaySeconds*1000 + 9},
	}}
	if got := r.everyDay(); !slices.Equal(got, []schema.Day{4, 5, 6}) {
		t.Errorf("got %v", got)
	}
	if got := (&round{}).everyDay(); got != nil {
		t.Errorf("without events there are days: %v", got)
	}
}
