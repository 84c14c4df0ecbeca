package judge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// touching is the marker of a range of partition 0 and of the minutes it touched.
func touching(from, to int64, minutes ...uint32) schema.Marker {
	return schema.Marker{Range: schema.Range{Partition: part(0), From: from, To: to}, Minutes: minutes}
}

// standing is a round of a judge that has come to an offset of partition 0, or
// not begun it.
func standing(at int64) *round {
	j := &Judge{
		logger: zerolog.Nop(), gapSince: map[schema.Partition]time.Time{},
		at: map[schema.Tier]map[schema.Partition]int64{schema.TierMinute: {}},
	}
	if at >= 0 {
		j.at[schema.TierMinute][part(0)] = at
	}
	return &round{judge: j}
}

func TestMarkersAreFollowedAsAChain(t *testing.T) {
	f := func(what string, at int64, markers []schema.Marker, want string) {
		t.Helper()
		to, minutes := standing(at).chain(schema.TierMinute, markers)
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

func TestAGapThatStaysIsJumpedOver(t *testing.T) {
	r := standing(10)
	behind := []schema.Marker{touching(12, 20, 7), touching(20, 30, 8)}
	if to, _ := r.chain(schema.TierMinute, behind); len(to) != 0 {
		t.Fatalf("it went on to %v at once", to)
	}
	r.judge.gapSince[part(0)] = time.Now().Add(-gapPatience)
	if to, minutes := r.chain(schema.TierMinute, behind); to[part(0)] != 30 || !slices.Equal(minutes, []int64{7, 8}) {
		t.Errorf("after a minute it came to %v and touched %v", to, minutes)
	}
}

func TestAGapThatClosesStartsTheNextOnesPatienceAnew(t *testing.T) {
	r := standing(10)
	r.chain(schema.TierMinute, []schema.Marker{touching(12, 20, 7)})
	r.judge.gapSince[part(0)] = time.Now().Add(-2 * gapPatience)
	to, _ := r.chain(schema.TierMinute, []schema.Marker{touching(10, 12, 6), touching(12, 20, 7)})
	if to[part(0)] != 20 {
		t.Fatalf("it closed, and the judge came to %v", to)
	}
	r.judge.at[schema.TierMinute][part(0)] = 20
	if to, _ := r.chain(schema.TierMinute, []schema.Marker{touching(22, 30, 8)}); len(to) != 0 {
		t.Errorf("another gap was jumped over at once, to %v", to)
	}
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
