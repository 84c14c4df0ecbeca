package detectors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func TestUseIsSeenFromItsFirstCallToItsLastAndNoticedWithTheFirstThatWasLetThrough(t *testing.T) {
	minute := func(m int64) int64 { return schema.Day(20000).Second()*1000 + m*60_000 }
	f := func(what string, c schema.Counters, want string) {
		t.Helper()
		got, ok := used(usage.Question{}, usage.Answer{Total: c, People: schema.Estimate{Value: 5}, Bystanders: schema.Estimate{Value: 2}})
		at := func(when time.Time) int64 { return (when.UnixMilli() - minute(0)) / 60_000 }
		says := ""
		if ok {
			says = fmt.Sprintf("%s, %d and %d: noticed %d, worst %d, seen %d to %d, evidence %d to %d", got.Severity, got.Accesses, got.Attempts,
				at(got.FirstCrossing), at(got.Peak), at(got.FirstSeen), at(got.LastSeen), at(got.EvidenceFrom), at(got.EvidenceTo))
			if got.State != schema.Open || got.People.Value != 5 || got.Bystanders.Value != 2 {
				t.Errorf("%s: it is %s, of %d people and %v", what, got.State, got.People.Value, got.Bystanders)
			}
		}
		if says != want {
			t.Errorf("%s: got %q, want %q", what, says, want)
		}
	}
	f("nothing", schema.Counters{}, "")
	f("accesses", schema.Counters{Accesses: 3, FirstAccess: minute(10), LastAccess: minute(1500)}, "critical, 3 and 0: noticed 11, worst 1501, seen 10 to 1500, evidence 0 to 2880")
	f("attempts", schema.Counters{Attempts: 1, FirstAttempt: minute(10) + 59_999, LastAttempt: minute(20)}, "warning, 0 and 1: noticed 11, worst 21, seen 10 to 20, evidence 0 to 1440")
	f("attempts before them", schema.Counters{Accesses: 1, Attempts: 2, FirstAccess: minute(10), LastAccess: minute(10), FirstAttempt: minute(-5), LastAttempt: minute(3)},
		"critical, 1 and 2: noticed 11, worst 11, seen -5 to 10, evidence -1440 to 1440")
	f("attempts after them", schema.Counters{Accesses: 1, Attempts: 2, FirstAccess: minute(10), LastAccess: minute(10), FirstAttempt: minute(12), LastAttempt: minute(1440)},
		"critical, 1 and 2: noticed 11, worst 1441, seen 10 to 1440, evidence 0 to 2880")
}

func TestNumbersAreWrittenSoThatTheyCanBeRead(t *testing.T) {
	var got []string
	for _, n := range []uint64{0, 1, 999, 1000, 12_345, 999_999, 1_000_000} {
		got = append(got, count(n, "person", "people"))
	}
	if want := []string{"0 people", "1 person", "999 people", "1,000 people", "12,345 people", "999,999 people", "1,000,000 people"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = []string{people(schema.Estimate{Value: 1, Low: 1, High: 1}), people(schema.Estimate{Value: 1, Low: 1, High: 2}), of(""), of("friends")}
	if want := []string{"1 person", "about 1 person", "all capabilities", "friends"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATimeIsThatOfItsMinute(t *testing.T) {
	for ms, want := range map[int64][3]string{
		0: {"", "1970-01-01 00:01:00", ""}, 59_999: {"1970-01-01 00:00:59", "1970-01-01 00:01:00", "1970-01-01 00:00:00"}, 60_000: {"1970-01-01 00:01:00", "1970-01-01 00:02:00", "1970-01-01 00:01:00"},
	} {
		for i, at := range []time.Time{instant(ms), afterMinute(ms), minuteOf(ms)} {
			got := ""
			if !at.IsZero() {
				got = at.Format(time.DateTime)
			}
			if got != want[i] {
				t.Errorf("%d ms: got %q, want %q", ms, got, want[i])
			}
		}
	}
}

func TestAboutSoManyPeopleAreNeverMoreThanAccesses(t *testing.T) {
	if got := about(7, 5); got != (schema.Estimate{Value: 5, Low: 5, High: 5}) {
		t.Errorf("seven of five accesses are %+v", got)
	}
	if got := about(6.6, 90); got != (schema.Estimate{Value: 7, Low: 7, High: 7}) {
		t.Errorf("6.6 are %+v", got)
	}
	if got := about(10_000, 1e6); got.Value != 10_000 || got.Low >= 9_900 || got.High <= 10_100 {
		t.Errorf("ten thousand are %+v", got)
	}
}

func TestClosedWindowsAreAskedOfRegisteredPartnersAndCapabilities(t *testing.T) {
	r := &registry.Registry{Capabilities: map[string]registry.Capability{"friends": {}, "photos": {}}, Partners: map[string]registry.Partner{"bank": {}}}
	scope := func(name string, a schema.Action) usage.Scope { return usage.Scope{Capability: name, Action: a} }
	a := usage.Activity{
		Partner: "bank", Days: []schema.Day{20000, 20001, 20007},
		Scopes: []usage.Scope{scope("friends", schema.Read), scope("friends", schema.Write), scope("made up", schema.Read), scope("photos", schema.Read)},
	}
	asked := func(period func(schema.Day) schema.Day) (all []string) {
		for _, q := range askClosed(schema.FindingKey{Detector: "d", Window: schema.WindowClockWeek, Cause: "c"}, 7, 77, r, a, period) {
			all = append(all, fmt.Sprintf("%d %s %d to %d", q.Period-20000, q.Capability, q.Spans[0].From-20000, q.Spans[0].To-20000))
			if q.Partner != "bank" || q.Detector != "d" || q.Cause != "c" || q.History != 77 || q.Window != schema.WindowClockWeek || len(q.Spans) != 1 {
				t.Errorf("asked is %+v", q)
			}
		}
		return all
	}
	same := func(d schema.Day) schema.Day { return d }
	if got, want := asked(same), []string{
		"0  0 to 7", "0 friends 0 to 7", "0 photos 0 to 7", "1  1 to 8", "1 friends 1 to 8", "1 photos 1 to 8", "7  7 to 14", "7 friends 7 to 14", "7 photos 7 to 14",
	}; !slices.Equal(got, want) {
		t.Errorf("asked is %q, want %q", got, want)
	}
	a.Scopes = nil
	if got, want := asked(monday), []string{"-4  -4 to 3", "3  3 to 10"}; !slices.Equal(got, want) {
		t.Errorf("by weeks asked is %q, want %q", got, want)
	}
	a.Partner = "stranger"
	if got := asked(same); got != nil {
		t.Errorf("of a stranger asked is %q", got)
	}
}

func TestWeeksBeginOnMonday(t *testing.T) {
	for d := schema.Day(20000); d < 20021; d++ {
		first := monday(d)
		if first.Time().Weekday() != time.Monday || first > d || d-first > 6 {
			t.Errorf("the week of %s begins on %s", d, first)
		}
	}
	if got := monday(4); got != 4 { // 5 January 1970
		t.Errorf("the first Monday is day %d", got)
	}
}
