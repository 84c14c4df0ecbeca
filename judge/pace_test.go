package judge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overreach/overreach/schema"
)

// paced is a judge without detectors, whose clock is that of the test.
func paced(l *ledger) *book {
	k := onLedger(Config{Interval: time.Second, HourEvery: time.Minute, DayEvery: time.Hour, Lateness: 30 * time.Second}, l)
	k.j.now, k.j.detectors, k.j.slots = time.Now, nil, nil
	return k
}

// cadencesRead are the cadences that a round judges.
func (k *book) cadencesRead(t *testing.T, all bool) string {
	t.Helper()
	before := map[schema.Cadence]time.Time{}
	maps.Copy(before, k.j.lastRun)
	if err := k.j.Round(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, cadence := range schema.Cadences {
		if !k.j.lastRun[cadence].Equal(before[cadence]) {
			names = append(names, cadence.String())
		}
	}
	return strings.Join(names, ", ")
}

func TestEachCadenceIsJudgedWhenItsTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{})
		f := func(what string, all bool, want string) {
			t.Helper()
			if got := k.cadencesRead(t, all); got != want {
				t.Errorf("%s: judged are %s; want %s", what, got, want)
			}
		}
		f("at first", false, cadenceNames(time.Hour))
		time.Sleep(time.Millisecond)
		f("at once", false, cadenceNames(0))
		time.Sleep(time.Minute - 2*time.Millisecond)
		f("just before a minute has passed", false, cadenceNames(0))
		time.Sleep(time.Millisecond)
		f("a minute later", false, cadenceNames(time.Minute))
		time.Sleep(59*time.Minute - time.Millisecond)
		f("just before an hour has passed", false, cadenceNames(time.Minute))
		time.Sleep(time.Minute)
		f("an hour later", false, cadenceNames(time.Hour))
		time.Sleep(time.Millisecond)
		f("all", true, cadenceNames(time.Hour))
	})
}

// cadenceNames are the cadences that are judged at least so often.
func cadenceNames(every time.Duration) string {
	var names []string
	for _, cadence := range schema.Cadences {
		least := map[schema.Resolution]time.Duration{schema.Minute: 0, schema.Hourly: time.Minute, schema.Daily: time.Hour}[cadence.Step()]
		if least <= every {
			names = append(names, cadence.String())
		}
	}
	return strings.Join(names, ", ")
}

func TestACadenceIsJudgedBeforeItsTimeWhereTheRegistryChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{})
		k.cadencesRead(t, true)
		time.Sleep(time.Millisecond)
		for _, cadence := range schema.Cadences {
			k.j.judgedBy[cadence] = 2 // it is 3 now
		}
		if got, want := k.cadencesRead(t, false), cadenceNames(time.Hour); got != want {
			t.Errorf("judged are %s; want %s", got, want)
		}
		time.Sleep(time.Millisecond)
		for _, cadence := range schema.Cadences {
			k.j.judgedBy[cadence] = 3
		}
		if got, want := k.cadencesRead(t, false), cadenceNames(0); got != want {
			t.Errorf("by the registry in force judged are %s; want %s", got, want)
		}
	})
}

func TestARoundThatFailsSaysAtWhat(t *testing.T) {
	for method, want := range map[string]string{
		"Judged": "reading how far was judged: no answer", "Extents": "reading how far was counted: no answer", "Ends": "reading the end offsets: no answer",
		"Standing": "reading which partitions stand: no answer", "Gaps": "judging gaps: reading gaps: no answer",
		"Markers": "judging the cadence minute: reading markers: no answer", "WriteJudged": "judging the cadence minute: writing how far was judged: no answer",
		"Unregistered": "judging the cadence day: reading unregistered partners: no answer", "Usage": "judging the cadence minute: reading who was active: no answer",
	} {
		k := paced(&ledger{fails: method})
		k.j.cfg.StalledAfter = time.Hour
		k.extents = []schema.Marker{{Range: schema.Range{Partition: part(0), To: 10}, FirstEvent: 86_400_000, LastEvent: 86_400_000}}
		k.markers = []schema.Marker{touching(0, 10, 1440)}
		if err := k.j.Round(t.Context(), true); err == nil || err.Error() != want || !errors.Is(err, errLedger) {
			t.Errorf("%s fails: %v, want %q", method, err, want)
		}
		if got := gauge(t, k.metrics, "overreach_judge_last_round_timestamp_seconds"); got != 0 {
			t.Errorf("%s fails, and a round ended at %v", method, got)
		}
	}
}

func TestARoundThatEndsWellSaysWhatItCameTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{slots: []uint8{1, 2, 3}})
		latest := time.Now().Add(-time.Hour).Truncate(time.Second)
		k.ends = map[schema.Partition]int64{part(0): 12}
		k.extents = []schema.Marker{{Range: schema.Range{Partition: part(0), To: 10}, LastEvent: latest.UnixMilli() + 999}}
		k.cadencesRead(t, true)
		time.Sleep(7 * time.Second)
		k.cadencesRead(t, false)
		for name, want := range map[string]float64{
			"overreach_judge_slots": 3, "overreach_judge_watermark_seconds": float64(latest.Unix() - 30), "overreach_judge_watermark_delay_seconds": 30,
			"overreach_judge_delay_seconds": 7, "overreach_judge_last_round_timestamp_seconds": float64(time.Now().Unix()),
		} {
			if got := gauge(t, k.metrics, name); got != want {
				t.Errorf("%s is %f, want %f", name, got, want)
			}
		}
	})
}

func TestHowLongRoundsTakeIsCountedFromFiveMillisecondsToFortySeconds(t *testing.T) {
	k := paced(&ledger{})
	for range 3 {
		k.cadencesRead(t, false)
	}
	families, err := k.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "overreach_judge_round_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		all := h.GetBucket()
		if h.GetSampleCount() != 3 || len(all) != 14 || all[0].GetUpperBound() != 0.005 || all[1].GetUpperBound() != 0.01 || all[13].GetUpperBound() != 40.96 {
			t.Errorf("%d rounds are counted in %v", h.GetSampleCount(), all)
		}
		return
	}
	t.Error("rounds are not counted")
}

func TestACadenceIsBehindSinceTheFirstOfItsPartitionsIs(t *testing.T) {
	k := paced(&ledger{})
	k.j.at = map[schema.Cadence]map[schema.Partition]int64{schema.CadenceHour: {part(0): 5, part(1): 7, part(2): 9}}
	now := time.Unix(1_700_000_000, 0)
	k.j.now = func() time.Time { return now }
	look := func(want string, to ...int64) {
		t.Helper()
		var extents []schema.Marker
		for i, n := range to {
			extents = append(extents, schema.Marker{Range: schema.Range{Partition: part(int32(i)), To: n}}) //nolint:gosec // few
		}
		k.j.noteBehind(schema.CadenceHour, extents)
		b := k.j.health.cadences[schema.CadenceHour]
		since := "never"
		if !b.since.IsZero() {
			since = fmt.Sprint(b.since.Unix() - 1_700_000_000)
		}
		if got := fmt.Sprint(b.offsets, " since ", since); got != want {
			t.Errorf("%v: behind are %s, want %s", to, got, want)
		}
		now = now.Add(time.Second)
	}
	look("0 since never", 5, 7, 9)
	look("1 since 1", 5, 8, 9)
	look("4 since 1", 7, 8, 10)
	k.j.at[schema.CadenceHour][part(1)] = 8
	look("3 since 2", 7, 8, 10)
	k.j.at[schema.CadenceHour][part(0)] = 6
	look("2 since 2", 7, 8, 10)
	k.j.at[schema.CadenceHour][part(2)] = 10
	look("1 since 4", 7, 8, 10)
	look("1 since 4", 7, 8, 10)
}

func TestWhereTheRegistryChangedThatIsKeptThoughNothingIsNew(t *testing.T) {
	k := paced(&ledger{slots: []uint8{1}})
	k.judged = []schema.Position{{Slot: 1, Cadence: schema.CadenceHour, Partition: part(0), To: 5, Registry: 2}}
	if err := k.j.takeSlots(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.r.run(t.Context(), schema.CadenceHour); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.wroteJudged) != 1 || k.wroteJudged[0].Registry != 3 || k.wroteJudged[0].To != 5 || k.j.judgedBy[schema.CadenceHour] != 3 {
		t.Errorf("written is %+v", k.wroteJudged)
	}
}

func TestSlotsThatWereJudgedApartAreJudgedOnFromTheLeast(t *testing.T) {
	position := func(slot uint8, cadence schema.Cadence, partition int32, to int64, registry uint32, watermark int64) schema.Position {
		return schema.Position{Slot: slot, Cadence: cadence, Partition: part(partition), To: to, Registry: registry, Watermark: watermark}
	}
	k := paced(&ledger{slots: []uint8{1, 2}, judged: []schema.Position{
		position(1, schema.CadenceMinute, 0, 50, 4, 900), position(2, schema.CadenceMinute, 0, 40, 5, 800),
		position(1, schema.CadenceMinute, 1, 7, 6, 950), position(2, schema.CadenceMinute, 1, 8, 6, 850),
		position(1, schema.CadenceHour, 0, 60, 3, 700), position(2, schema.CadenceHour, 0, 70, 2, 750),
		position(1, schema.CadenceDay, 0, 90, 9, 600), // slot 2 was never judged so
	}})
	if err := k.j.takeSlots(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := func(cadence schema.Cadence, at string, by uint32, rolled int64) {
		t.Helper()
		if got := fmt.Sprint(k.j.at[cadence][part(0)], " ", k.j.at[cadence][part(1)]); got != at || k.j.judgedBy[cadence] != by || k.j.rolled[cadence] != rolled {
			t.Errorf("%s stands at %s, by registry %d, rolled to %d; want %s, %d, %d", cadence, got, k.j.judgedBy[cadence], k.j.rolled[cadence], at, by, rolled)
		}
	}
	f(schema.CadenceMinute, "40 7", 4, 800)
	f(schema.CadenceHour, "60 0", 2, 700)
	f(schema.CadenceDay, "0 0", 9, 0)
	f(schema.CadenceClosedHour, "0 0", 0, 0)
	if _, known := k.j.at[schema.CadenceDay][part(0)]; known {
		t.Error("a slot that was never judged is passed over")
	}
	if k.j.watermark != 950 || k.j.gapsRead || k.j.standingRead || !slices.Equal(k.j.slots, []uint8{1, 2}) {
		t.Errorf("it begins at the watermark %d, with slots %v", k.j.watermark, k.j.slots)
	}
	asked := len(k.asked)
	k.j.gapsRead = true
	if err := k.j.takeSlots(t.Context()); err != nil || len(k.asked) != asked || !k.j.gapsRead {
		t.Errorf("the same slots are read again: %v", k.asked[asked:])
	}
	k.slots = []uint8{2}
	if err := k.j.takeSlots(t.Context()); err != nil || len(k.asked) != asked+1 || k.j.gapsRead {
		t.Errorf("other slots are not: %v (%v)", k.asked[asked:], err)
	}
	k.slots, k.judged = []uint8{3}, []schema.Position{{Slot: 3, Cadence: 77}}
	if err := k.j.takeSlots(t.Context()); err == nil || err.Error() != "the table judged holds a cadence 77 that this version does not know" {
		t.Errorf("a cadence of a later version: %v", err)
	}
}

func TestADrainThatDoesNotAdvanceSaysWhatIsNotJudged(t *testing.T) {
	k := paced(&ledger{})
	if k.j.Judged(nil) {
		t.Error("before the first round all is judged")
	}
	to := map[schema.Partition]int64{part(0): 10, part(1): 0}
	err := k.j.Drain(t.Context(), to)
	if !errors.Is(err, errNoProgress) || !strings.HasPrefix(err.Error(), "rounds of judging no longer advance though not all that was counted is judged: the cadence ") {
		t.Fatalf("it says %v", err)
	}
	if n := strings.Count(err.Error(), "the cadence "); n != len(schema.Cadences) || !strings.Contains(err.Error(), "the cadence hour is at offset 0 of 10 in k/t@1 partition 0") {
		t.Errorf("it says %v", err)
	}
	if n := k.times("Extents"); n != 100 {
		t.Errorf("it tried %d rounds", n)
	}
	for _, cadence := range schema.Cadences {
		k.j.at[cadence][part(0)] = 10
	}
	if !k.j.Judged(to) || k.j.Drain(t.Context(), to) != nil || k.times("Extents") != 101 {
		t.Errorf("when all is judged it asks %d times", k.times("Extents"))
	}
	k.j.at[schema.CadenceHour][part(0)] = 9
	if k.j.Judged(to) {
		t.Error("one offset is missing, and all is judged")
	}
	k.fails = "Extents"
	if err := k.j.Drain(t.Context(), to); !errors.Is(err, errLedger) || errors.Is(err, errNoProgress) {
		t.Errorf("a round fails: %v", err)
	}
}

func TestTheJudgeGoesOnUntilItIsToldToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.j.Run(ctx) }()
		time.Sleep(9500 * time.Millisecond)
		cancel()
		if err := <-done; err != nil || k.times("Extents") != 10 {
			t.Errorf("it ended with %v, after %d rounds in nine seconds", err, k.times("Extents"))
		}
		began := time.Now().Add(-9500 * time.Millisecond)
		if stalls := k.j.Stalls(); len(stalls) > 0 || k.j.health.ended.Before(began) {
			t.Errorf("what stands still is %v", stalls)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{fails: "Extents"})
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.j.Run(ctx) }()
		time.Sleep(9500 * time.Millisecond)
		stalls := k.j.Stalls()
		if len(stalls) != 1 || stalls[0].What != "judge" || !stalls[0].Since.Equal(began) || stalls[0].Why != "its rounds fail; the log says why" {
			t.Errorf("what stands still is %v", stalls)
		}
		if got := strings.Count(k.log.String(), "\n"); got != 1 || !strings.Contains(k.log.String(), `{"level":"warn","error":"reading how far was counted: no answer","message":"judging failed; trying again until it works, nothing is missed"}`) {
			t.Errorf("the log says %s", k.log)
		}
		if k.times("Judged") != 2 {
			t.Errorf("where it stands was read %d times, want at first and after the first round that failed", k.times("Judged"))
		}
		cancel()
		if err := <-done; err != nil || strings.Count(k.log.String(), "\n") != 1 {
			t.Errorf("it ended with %v, and says %s", err, k.log)
		}
		if got := gauge(t, k.metrics, "overreach_judge_last_round_timestamp_seconds"); got != float64(began.Unix()) {
			t.Errorf("a round ended at %v; it stands since %v", got, began)
		}
	})
}

func TestHowLongEachCadenceMayStand(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, cadence := range schema.Cadences {
		most := 10 * time.Minute
		if cadence.Closed() {
			most = time.Hour
		}
		for passed, want := range map[time.Duration]int{most - 1: 0, most: 1} {
			all := stalls(map[schema.Cadence]behind{cadence: {offsets: 5, since: now}}, func() time.Time { return now.Add(passed) })
			if len(all) != want || want == 1 && (all[0].What != "judge, cadence "+cadence.String() || all[0].Why != "5 offsets are counted and not judged" || !all[0].Since.Equal(now)) {
				t.Errorf("%s, after %v: %v", cadence, passed, all)
			}
		}
	}
	if all := stalls(map[schema.Cadence]behind{schema.CadenceMinute: {}}, time.Now); len(all) > 0 {
		t.Errorf("nothing is behind, and %v", all)
	}
}

func TestARoundThatHangsStandsAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{})
		k.j.health.works()
		began := time.Now()
		time.Sleep(5 * time.Minute)
		if all := k.j.Stalls(); len(all) > 0 {
			t.Errorf("after five minutes: %v", all)
		}
		time.Sleep(time.Nanosecond)
		if all := k.j.Stalls(); len(all) != 1 || !all[0].Since.Equal(began) {
			t.Errorf("after more: %v", all)
		}
		k.j.health.fails()
		k.j.health.idles()
		time.Sleep(time.Minute - 1)
		if k.j.health.idles() {
			t.Error("within a minute the group may be shared out anew")
		}
		time.Sleep(time.Nanosecond)
		if !k.j.health.idles() || len(k.j.Stalls()) > 0 {
			t.Error("after that it stands by")
		}
	})
}

func TestAmidAPassWindowsThatSlideAreJudgedAsOftenAsTheyTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := paced(&ledger{})
		k.cadencesRead(t, true)
		f := func(what string, rounds int) {
			t.Helper()
			before := k.times("Extents")
			if err := k.j.meanwhile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := k.times("Extents") - before; got != rounds {
				t.Errorf("%s: %d rounds, want %d", what, got, rounds)
			}
		}
		time.Sleep(time.Second - 1)
		f("before its interval is over", 0)
		time.Sleep(time.Nanosecond)
		f("when it is", 1)
		if got := gauge(t, k.metrics, "overreach_judge_last_round_timestamp_seconds"); got != float64(time.Now().Unix()) {
			t.Errorf("it says that a round ended at %f", got)
		}
		if got := k.j.lastRun[schema.CadenceMinute]; !got.Equal(time.Now()) {
			t.Errorf("it ran at %v", got)
		}
		closed := k.j.lastRun[schema.CadenceClosedHour]
		k.j.tookAmid = 5 * time.Second
		time.Sleep(5*time.Second - 1)
		f("before the pass had as much time as the last round amid it", 0)
		time.Sleep(time.Nanosecond)
		f("after that", 1)
		if k.j.tookAmid != 0 {
			t.Errorf("it took %v", k.j.tookAmid)
		}
		time.Sleep(2 * time.Hour)
		f("much later", 1)
		if !k.j.lastRun[schema.CadenceClosedHour].Equal(closed) {
			t.Error("a pass over closed buckets began amid another")
		}
		time.Sleep(time.Second)
		k.fails = "Extents"
		if err := k.j.meanwhile(t.Context()); !errors.Is(err, errLedger) {
			t.Errorf("it fails: %v", err)
		}
		k.fails = "Markers"
		k.extents = []schema.Marker{{Range: schema.Range{Partition: part(0), To: 10}}}
		if err := k.j.meanwhile(t.Context()); !errors.Is(err, errLedger) {
			t.Errorf("it fails: %v", err)
		}
	})
}

func TestAPositionIsWrittenOfEachSlotAndPartition(t *testing.T) {
	k := paced(&ledger{slots: []uint8{4, 5}})
	if err := k.j.takeSlots(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.j.at[schema.CadenceHour][part(0)], k.j.at[schema.CadenceHour][part(1)], k.j.rolled[schema.CadenceHour] = 5, 6, 77
	got := k.r.positions(schema.CadenceHour, map[schema.Partition]int64{part(1): 9, part(2): 3})
	var lines []string
	for _, p := range got {
		lines = append(lines, fmt.Sprint(p.Slot, " ", p.Cadence, " ", p.Partition.Partition, " ", p.To, " ", p.Watermark, " ", p.Registry))
	}
	slices.Sort(lines)
	want := []string{"4 hour 0 5 77 3", "4 hour 1 9 77 3", "4 hour 2 3 77 3", "5 hour 0 5 77 3", "5 hour 1 9 77 3", "5 hour 2 3 77 3"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	if k.j.at[schema.CadenceHour][part(1)] != 6 {
		t.Error("before it is written it counts as judged")
	}
}
