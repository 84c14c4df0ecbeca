package judge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

// lose has a marker say that records were gone, between the events of a time
// before and, unless that is zero, of one after them.
func (r *run) lose(from int64, missing uint64, before, after time.Time) {
	r.t.Helper()
	incarnation := schema.Partition{Incarnation: "elsewhere/old@0", Partition: 5}
	mark := func(m schema.Marker, at time.Time) {
		m.Partition, m.Pinned = incarnation, schema.DayOf(time.Now())
		if !at.IsZero() {
			m.FirstEvent, m.LastEvent = at.UnixMilli(), at.UnixMilli()
			m.Minutes = []uint32{uint32(at.Unix() / 60)}
		}
		if err := r.store.InsertUsage(r.t.Context(), m, &schema.UsageRows{}); err != nil {
			r.t.Fatal(err)
		}
	}
	if missing == 0 { // only what comes after
		mark(schema.Marker{Range: schema.Range{From: from, To: from + 10}, Records: 10}, after)
		return
	}
	mark(schema.Marker{Range: schema.Range{From: from, To: from + 10}, Records: 10}, before)
	to := from + 10 + int64(missing)
	mark(schema.Marker{Range: schema.Range{From: from + 10, To: to}, Missing: missing}, after)
}

// gaps are the findings about coverage among all.
func gaps(all []schema.Finding) []schema.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f schema.Finding) bool { return f.Partner != detectors.NoPartner })
}

func TestAGapIsAFindingAndFindingsThatItTouchesAreNotComplete(t *testing.T) {
	t.Parallel()
	onBoth(t, aGapIsAFindingAndFindingsThatItTouchesAreNotComplete)
}

func aGapIsAFindingAndFindingsThatItTouchesAreNotComplete(t *testing.T, e *engine) {
	log := of(makeLog(2), few...)
	r := e.start(t, 1, 100_000)
	r.produce(log, spread(1))
	r.awaitCounted(idle)
	first, second := r.judge(r.store, 0, 2), r.judge(r.store, 1, 2)
	drain := func() { r.drain(first); r.drain(second) }
	drain()
	base := r.findings()
	if len(gaps(base)) > 0 || slices.ContainsFunc(base, func(f schema.Finding) bool { return !f.Complete }) {
		t.Fatal("something is missing before anything is")
	}
	at := func(day int) time.Time { return time.Date(2019, 2, day, 12, 0, 0, 0, time.UTC) }
	expect := func(what string, from, to time.Time, missing uint64) {
		t.Helper()
		drain()
		r.drain(r.judge(r.store, 0, 1)) // whoever takes over finds the same
		touched, open := 0, to.IsZero()
		var want []schema.Finding
		for _, f := range base {
			if f.EvidenceTo.After(from.Add(-lateness)) && (open || !f.EvidenceFrom.After(to.Add(lateness))) {
				f.Missing, f.Complete = missing, false
				touched++
			}
			want = append(want, f)
		}
		got := slices.DeleteFunc(r.findings(), func(f schema.Finding) bool { return f.Partner == detectors.NoPartner })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: findings (- want, + judged):\n%s", what, diff)
		}
		if touched == 0 || touched == len(base) {
			t.Errorf("%s: %d of %d findings are touched, which shows nothing", what, touched, len(base))
		}
	}

	r.lose(0, 7, at(10), time.Time{}) // nothing after it yet
	expect("with nothing after it", at(10), time.Time{}, 7)
	found := gaps(r.findings())
	if len(found) != 1 || found[0].State != schema.Open || found[0].Severity != schema.Critical || found[0].Missing != 7 ||
		found[0].Runbook == "" || found[0].Owner == "" || found[0].Complete || !strings.Contains(found[0].Sentence, "7 records of elsewhere/old@0 partition 5 (offsets 10 to 17)") {
		t.Fatalf("the gap is %+v", found)
	}

	r.lose(17, 0, time.Time{}, at(11))
	expect("with events after it", at(10), at(11), 7)
	after := gaps(r.findings())
	if len(after) != 1 || after[0].ID() != found[0].ID() || after[0].State != schema.Ended || !after[0].EndedAt.Equal(at(18).Add(time.Minute)) {
		t.Errorf("a month later the gap is %+v", after)
	}
	reportedOnce(t, r, 10)
	if told := r.told()[found[0].ID()]; len(told) != 2 {
		t.Errorf("the gap was told as %v", told)
	}
}
