package judge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// stalledAfter is when a partition is left out in these tests.
const stalledAfter = 20 * time.Minute

// twoPartitions is a judge of two partitions: the events of 0 are up to date, of 1 nothing
// is counted past offset 5 of 9.
func twoPartitions() *book {
	k := onLedger(Config{StalledAfter: stalledAfter, Lateness: time.Minute}, &ledger{})
	k.ends = map[schema.Partition]int64{part(0): 1, part(1): 9}
	k.extents = []schema.Marker{{}, {Range: schema.Range{Partition: part(1), To: 5}, LastEvent: (k.clock.Unix() - 3600) * 1000}}
	return k
}

// minutes lets so many pass, with a look at the end of each; something of partition 0 is
// counted in each.
func (k *book) minutes(t *testing.T, n int) map[schema.Partition]bool {
	t.Helper()
	var out map[schema.Partition]bool
	for range n {
		k.clock = k.clock.Add(time.Minute)
		k.ends[part(0)]++
		k.extents[0] = schema.Marker{Range: schema.Range{Partition: part(0), To: k.ends[part(0)]}, LastEvent: k.clock.UnixMilli()}
		var err error
		if out, err = k.j.lookAround(t.Context(), k.extents, k.ends); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestAPartitionThatStandsIsSaidWrittenAndLeftOut(t *testing.T) {
	k := twoPartitions()
	if out := k.minutes(t, 20); len(out) != 0 || k.log.Len() > 0 || len(k.j.LeftOut()) > 0 {
		t.Fatalf("a step before it has stood for long it is %v, and the log says %s", out, k.log)
	}
	var written []string
	for _, row := range k.wroteStanding {
		written = append(written, fmt.Sprint(row.Stood, " ", row.LeftOut))
	}
	if want := []string{"5m0s false", "10m0s false", "15m0s false"}; !slices.Equal(written, want) {
		t.Errorf("written is %q, want %q", written, want)
	}
	k.j.outChanged = false
	if out := k.minutes(t, 1); !out[part(1)] || len(out) != 1 || !k.j.outChanged {
		t.Fatalf("it is not left out: %v", out)
	}
	const said = `{"level":"warn","incarnation":"k/t@1","partition":1,"latest":"2023-11-14 21:13:20 UTC","counted_to":5,"end":9,` +
		`"because":"nothing of it is counted though records wait","message":"the watermark leaves this partition out, so that it does not hold up the judging of all others; what comes of it later is late"}` + "\n"
	if got := k.log.String(); got != said {
		t.Errorf("the log says %s, want %s", got, said)
	}
	row := k.wroteStanding[len(k.wroteStanding)-1]
	if want := (schema.Standing{Partition: part(1), Time: k.extents[1].LastEvent, To: 5, Backlog: 9, Stood: stalledAfter, LeftOut: true, Unread: 1_700_000_000 - 3600 - 60}); row != want {
		t.Errorf("written is %+v, want %+v", row, want)
	}
	out := k.j.LeftOut()
	since := k.clock.Add(-stalledAfter)
	if len(out) != 1 || out[0].What != "t/1" || !out[0].Since.Equal(since) || out[0].Why != "the watermark leaves it out: its own clock stands at 2023-11-14 21:13:20 UTC" {
		t.Errorf("it stands: %+v, want since %v", out, since)
	}
	for name, want := range map[string]float64{"overreach_judge_partition_stood_seconds": 1200, "overreach_judge_partition_left_out": 1} {
		if got := ofPartition(t, k, name, "1"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := ofPartition(t, k, "overreach_judge_partition_left_out", "0"); got != 0 {
		t.Errorf("the other is left out: %v", got)
	}

	writes, reads := len(k.wroteStanding), k.times("Standing")
	k.j.outChanged = false
	k.minutes(t, 5)
	if len(k.wroteStanding) != writes || k.times("Standing") != reads || k.j.outChanged || k.log.String() != said {
		t.Errorf("it goes on standing, and that is news: %v", k.wroteStanding[writes:])
	}
	if got := k.j.LeftOut(); !got[0].Since.Equal(since) {
		t.Errorf("it stands since %v now, it was %v", got[0].Since, since)
	}

	k.log.Reset()
	k.extents[1].LastEvent += 1000
	if out := k.minutes(t, 1); len(out) != 0 || !k.j.outChanged || len(k.j.LeftOut()) > 0 {
		t.Errorf("its clock goes, and it is %v", out)
	}
	if got, want := k.log.String(), `{"level":"info","incarnation":"k/t@1","partition":1,"message":"the watermark waits for this partition again"}`+"\n"; got != want {
		t.Errorf("the log says %s, want %s", got, want)
	}
	if row := k.wroteStanding[len(k.wroteStanding)-1]; row.LeftOut || row.Stood != 0 {
		t.Errorf("written is %+v", row)
	}
}

func TestAPartitionWhoseTimeAloneStandsIsSaidToCount(t *testing.T) {
	k := twoPartitions()
	for range 40 {
		k.extents[1].To += 3
		k.ends[part(1)] += 3
		k.minutes(t, 1)
	}
	if !strings.Contains(k.log.String(), `"because":"its time stands still though its records are counted: its events bear one and the same time, or none of its records is an event"`) {
		t.Errorf("the log says %s", k.log)
	}
	row := k.wroteStanding[len(k.wroteStanding)-1]
	if !row.LeftOut || row.Backlog != 0 || row.Unread != 0 {
		t.Errorf("written is %+v", row)
	}
	k.minutes(t, 25) // its counting stops too
	if row := k.wroteStanding[len(k.wroteStanding)-1]; !row.LeftOut || row.Backlog != k.ends[part(1)] || row.Unread == 0 {
		t.Errorf("when its counting has stopped, written is %+v", row)
	}
}

func TestAPartitionThatIsNoLongerReadIsForgotten(t *testing.T) {
	k := twoPartitions()
	k.minutes(t, 22)
	k.log.Reset()
	delete(k.ends, part(1))
	if out := k.minutes(t, 1); len(out) != 0 {
		t.Errorf("it is %v", out)
	}
	if got, want := k.log.String(), `{"level":"info","incarnation":"k/t@1","partition":1,"message":"a partition that the watermark left out is no longer read"}`+"\n"; got != want {
		t.Errorf("the log says %s, want %s", got, want)
	}
	row := k.wroteStanding[len(k.wroteStanding)-1]
	if want := (schema.Standing{Partition: part(1), Time: k.extents[1].LastEvent, To: 5}); row != want {
		t.Errorf("written is %+v, want %+v", row, want)
	}
	if _, known := k.j.standing[part(1)]; known {
		t.Error("it is still looked at")
	}
	if _, known := k.j.keptOf[part(1)]; known {
		t.Error("what the store has of it is still known")
	}
	if families := gathered(t, k, "overreach_judge_partition_stood_seconds"); families != 1 {
		t.Errorf("%d partitions have a metric", families)
	}
	writes := len(k.wroteStanding)
	k.log.Reset()
	k.minutes(t, 3)
	if len(k.wroteStanding) != writes || k.log.Len() > 0 {
		t.Errorf("that is written again: %v; and said: %s", k.wroteStanding[writes:], k.log)
	}
}

func TestAPartitionThatHeldNothingUpIsForgottenSilently(t *testing.T) {
	k := twoPartitions()
	k.minutes(t, 3)
	delete(k.ends, part(1))
	k.minutes(t, 1)
	if k.log.Len() > 0 || len(k.wroteStanding) > 0 {
		t.Errorf("the log says %s, written is %v", k.log, k.wroteStanding)
	}
}

func TestAJudgeGoesOnFromWhereAnotherSawAPartitionStand(t *testing.T) {
	f := func(what string, row schema.Standing, want time.Duration, out bool) {
		t.Helper()
		k := twoPartitions()
		k.standing = []schema.Standing{row}
		k.minutes(t, 1)
		s := k.j.standing[part(1)]
		if s.stood != want || s.out != out {
			t.Errorf("%s: it has stood for %v, left out: %t; want %v and %t", what, s.stood, s.out, want, out)
		}
	}
	e := twoPartitions().extents[1]
	row := func(stood time.Duration, change func(*schema.Standing)) schema.Standing {
		s := schema.Standing{Partition: part(1), Time: e.LastEvent, To: 5, Backlog: 9, Stood: stood}
		change(&s)
		return s
	}
	none := func(*schema.Standing) {}
	f("it stands as it did", row(10*time.Minute, none), 10*time.Minute, false)
	f("it was left out", row(20*time.Minute, func(s *schema.Standing) { s.LeftOut = true }), 20*time.Minute, true)
	f("another waits for longer", row(time.Hour, func(s *schema.Standing) { s.LeftOut = true }), 20*time.Minute, true)
	f("more of it is counted", row(10*time.Minute, func(s *schema.Standing) { s.To = 4 }), 0, false)
	f("more is, and only its time stood", row(10*time.Minute, func(s *schema.Standing) { s.To, s.Backlog = 4, 0 }), 10*time.Minute, false)
	f("its time moved", row(10*time.Minute, func(s *schema.Standing) { s.Time -= 1000 }), 0, false)
	f("another partition", row(10*time.Minute, func(s *schema.Standing) { s.Partition = part(7) }), 0, false)
}

func TestWhatWasLeftOutAndMovedWhileNobodyJudgedIsSaid(t *testing.T) {
	k := twoPartitions()
	k.standing = []schema.Standing{{Partition: part(1), Time: 1000, To: 5, Backlog: 9, Stood: stalledAfter, LeftOut: true}}
	k.minutes(t, 1)
	if got := k.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "the watermark waits for this partition again") || !k.j.outChanged {
		t.Errorf("the log says %s", got)
	}
	if len(k.wroteStanding) != 1 || k.wroteStanding[0].LeftOut {
		t.Errorf("written is %+v", k.wroteStanding)
	}
	k = twoPartitions()
	k.standing = []schema.Standing{{Partition: part(1), Time: 1000, To: 5, Stood: time.Minute}}
	k.minutes(t, 1)
	if k.log.Len() > 0 || !k.j.outChanged { // findings may still say that one was left out
		t.Errorf("nothing was left out, and the log says %s", k.log)
	}
}

func TestLookingAroundThatFailsSaysAtWhat(t *testing.T) {
	for method, want := range map[string]string{"Standing": "reading which partitions stand: no answer", "WriteStanding": "writing which partitions stand: no answer"} {
		k := twoPartitions()
		k.fails = method
		_, err := k.j.lookAround(t.Context(), k.extents, k.ends)
		if err == nil || err.Error() != want || !errors.Is(err, errLedger) || k.j.standingRead {
			t.Errorf("%s fails: %v, want %q", method, err, want)
		}
	}
	k := twoPartitions()
	k.j.cfg.StalledAfter = 0
	if out, err := k.j.lookAround(t.Context(), k.extents, k.ends); out != nil || err != nil || len(k.asked) > 0 {
		t.Errorf("where none is ever left out: %v (%v), asked was %q", out, err, k.asked)
	}
}

func TestAFindingNamesThePartitionsThatMayHoldSomethingOfItsTime(t *testing.T) {
	k := twoPartitions()
	f := foundOf("bank", schema.Open)
	f.BlindSpots = "several ids; left out of the watermark: one that was"
	if got := k.r.blindSpots(&f); got != "several ids" {
		t.Errorf("where none is left out it says %q", got)
	}
	at := func(after time.Duration) standing { return standing{time: f.EvidenceTo.Add(after).UnixMilli()} }
	k.j.out = map[schema.Partition]bool{part(0): true, part(1): true, part(2): true}
	k.j.standing[part(0)] = at(time.Minute - time.Second)
	k.j.standing[part(1)] = at(time.Minute) // less the lateness it has come to the end of the evidence
	k.j.standing[part(2)] = standing{}
	names := []string{schema.Standing{Partition: part(2)}.String(), schema.Standing{Partition: part(0), Time: at(time.Minute - time.Second).time}.String()}
	slices.Sort(names)
	want := "several ids; left out of the watermark: " + strings.Join(names, ", ")
	if got := k.r.blindSpots(&f); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}

func TestATimeOfAPartitionIsWrittenInUTC(t *testing.T) {
	if got := stamp(0); got != "none" {
		t.Errorf("no time is %q", got)
	}
	if got := stamp(1_700_000_000_999); got != "2023-11-14 22:13:20 UTC" {
		t.Errorf("it is %q", got)
	}
}

func TestTheTopicOfAnIncarnationIsBetweenItsClusterAndItsEpoch(t *testing.T) {
	for incarnation, want := range map[string]string{"k/access@12": "access", "a/b/access@1": "access", "access": "access", "k/access": "access", "access@2": "access", "@1": "", "": ""} {
		if got := topicOf(incarnation); got != want {
			t.Errorf("%q: got %q, want %q", incarnation, got, want)
		}
	}
}

func TestPartitionsThatAreLeftOutAreListedInOrder(t *testing.T) {
	k := twoPartitions()
	k.j.out = map[schema.Partition]bool{part(2): true, part(1): true, part(0): true}
	k.j.standing[part(1)] = standing{stood: time.Hour}
	k.j.noteLeftOut(k.clock)
	var got []string
	for _, s := range k.j.LeftOut() {
		got = append(got, fmt.Sprint(s.What, " for ", k.clock.Sub(s.Since), ": ", s.Why))
	}
	const why = "the watermark leaves it out: its own clock stands at none"
	if want := []string{"t/0 for 0s: " + why, "t/1 for 1h0m0s: " + why, "t/2 for 0s: " + why}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	k.j.LeftOut()[0].What = "another" // what is handed out is a copy
	for p, s := range k.j.standing {
		k.j.metrics.partition(p, s)
	}
	k.j.standsBy()
	for _, name := range []string{"overreach_judge_partition_stood_seconds", "overreach_judge_partition_left_out"} {
		if n := gathered(t, k, name); n != 0 {
			t.Errorf("others judge, and %d partitions have %s", n, name)
		}
	}
	if got := k.j.LeftOut(); len(got) > 0 {
		t.Errorf("others judge, and left out is %v", got)
	}
}

// ofPartition returns a metric's value for a partition.
func ofPartition(t *testing.T, k *book, name, partition string) float64 {
	t.Helper()
	families, err := k.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == partition && m.GetLabel()[1].GetValue() == "t" {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no %s of partition %s", name, partition)
	return 0
}

// gathered is how many partitions have a metric.
func gathered(t *testing.T, k *book, name string) int {
	t.Helper()
	families, err := k.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}
