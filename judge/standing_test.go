package judge

import (
	"fmt"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// seen is one look at a partition.
type seen struct {
	to, end int64
	event   int64 // seconds; 0: it has no event
	record  int64 // seconds, of its latest record
}

func TestAPartitionIsLeftOutOnlyOnceItStands(t *testing.T) {
	const atMost, step = 10 * time.Minute, time.Minute
	// f looks once a minute, from minute 0 on, and says in which minutes the partition is
	// left out, and in which it is not any more.
	f := func(what string, minutes int64, look func(minute int64) seen, want string) {
		t.Helper()
		var s standing
		var turns []int64
		for minute := range minutes {
			l := look(minute)
			e := schema.Marker{Range: schema.Range{To: l.to}, LastEvent: l.event * 1000, LastRecord: l.record * 1000}
			newest := minute * 60 // of the others: they are up to date
			holds := l.to < l.end && newest-ownTime(e, newest, minute*60) >= int64(atMost.Seconds())
			was := s.out
			if s = s.look(e, l.end, holds, step, atMost); s.out != was {
				turns = append(turns, minute)
			}
		}
		if got := fmt.Sprint(turns); got != want {
			t.Errorf("%s: it turns in minutes %s, want %s", what, got, want)
		}
	}
	const ancient = 12 * 3600 // events of 1970, as it were
	f("it works", 100, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, event: m*60 + 1} }, "[]")
	f("it is silent and caught up", 100, func(int64) seen { return seen{to: 10, end: 10, event: 1} }, "[]")
	f("it is stopped", 100, func(int64) seen { return seen{to: 9, end: 10, event: 1} }, "[11]") // not before its event is so old
	f("it is stopped, and was behind before", 100, func(m int64) seen { return seen{to: min(m, 5), end: 10000, event: -90000 + min(m, 5)} }, "[15]")
	f("it was stopped, and works off what came meanwhile", 100, func(m int64) seen {
		return seen{to: 10 + max(0, m-30), end: 10 + m*2, event: 1 + max(0, m-30)}
	}, "[11 31]")
	f("it was stopped, and what it works off holds no event for long", 200, func(m int64) seen {
		return seen{to: 10 + max(0, m-30), end: 11 + min(m, 100), event: 1} // up to minute 130
	}, "[11 31]")
	f("it was never counted", 100, func(int64) seen { return seen{end: 10} }, "[10]")
	f("its events all bear one time", 100, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, event: -ancient, record: m * 60} }, "[10]")
	f("they do, and so do its records", 100, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, event: -ancient, record: -ancient} }, "[10]")
	f("its clock stands, and then goes", 100, func(m int64) seen {
		return seen{to: m * 10, end: m*10 + 5, event: max(-ancient, (m-50)*60)}
	}, "[]")
	f("its clock stood, was left out, and goes again", 100, func(m int64) seen {
		event := int64(-ancient)
		if m >= 40 {
			event = m * 60
		}
		return seen{to: m * 10, end: m*10 + 5, event: event}
	}, "[10 40]")
	f("its clock stood, and it has been caught up for as long", 100, func(m int64) seen {
		end := min(m, 30)*10 + 5
		if m > 30 {
			return seen{to: end, end: end, event: -ancient}
		}
		return seen{to: m * 10, end: end, event: -ancient}
	}, "[10 40]")
	f("its clock stands, and now and then it is caught up", 100, func(m int64) seen {
		return seen{to: m*10 + m%4/3*5, end: m*10 + 5, event: -ancient}
	}, "[18]")
	f("it has nothing but rejects", 100, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, record: m*60 + 1} }, "[]")
	f("it has nothing but rejects, and is stopped", 100, func(m int64) seen { return seen{to: min(m, 20) * 10, end: m*10 + 5, record: min(m, 20)*60 + 1} }, "[31]")
	f("one event long ago, and then nothing but rejects", 100, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, event: 1, record: m * 60} }, "[11]")
	f("it works off a backlog of an hour", 100, func(m int64) seen { return seen{to: m, end: 1000, event: -3600 + m} }, "[]")
	f("it works off a backlog whose event time does not move for long", 100, func(m int64) seen { return seen{to: m, end: max(80, m+5), event: -3600} }, "[94]")
	f("the same, while more comes than it counts in ten minutes", 300, func(m int64) seen { return seen{to: m, end: 80 + m/2, event: -3600} }, "[]")
	f("a backlog that a batch takes nine minutes of", 100, func(m int64) seen { return seen{to: m / 9, end: 1000, event: -3600} }, "[]")
	f("a backlog that a batch takes eleven minutes of", 34, func(m int64) seen { return seen{to: m / 11, end: 1000, event: -3600} }, "[10 11 21 22 32 33]")
	f("it is ahead of all", 300, func(m int64) seen { return seen{to: m * 10, end: m*10 + 5, event: 100 * 60} }, "[110]")
}

func TestHowLongAPartitionStoodIsCountedToItsEnd(t *testing.T) {
	const atMost = 10 * time.Minute
	e := schema.Marker{Range: schema.Range{To: 5}, LastEvent: 1000}
	first := standing{}.look(e, 9, true, 0, atMost)
	f := func(what string, holds bool, stood time.Duration, want bool) {
		t.Helper()
		if got := first.look(e, 9, holds, stood, atMost).out; got != want {
			t.Errorf("%s: left out is %t, want %t", what, got, want)
		}
	}
	f("a nanosecond is missing", true, atMost-1, false)
	f("it has stood as long as it may", true, atMost, true)
	f("it has stood as long as it may and holds nothing back", false, atMost, false)
}

func TestOnlyTimeThatSomebodySawAndInWhichSomethingWasCountedMakesAPartitionStand(t *testing.T) {
	var j Judge
	at := func(seconds int64) time.Time { return time.Unix(1_700_000_000+seconds, 0) }
	f := func(what string, second int64, offsets uint64, want time.Duration) {
		t.Helper()
		if got := j.seen(at(second), offsets); got != want {
			t.Errorf("%s: %s count as seen, want %s", what, got, want)
		}
	}
	f("the first look", 0, 10, 0)
	f("a second later", 1, 11, time.Second)
	f("nothing was counted, for a minute at most", 60, 11, 59*time.Second)
	f("the last second of it", 61, 11, time.Second)
	f("nothing was counted for longer", 62, 11, 0)
	f("and longer", 90, 11, 0)
	f("something was", 91, 12, time.Second)
	f("nobody looked for an hour", 3691, 500, lookGap)
	f("the clock was set back", 3600, 501, 0)
}
