package judge

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/overreach/overreach/schema"
)

// part is partition i of the incarnation of these tests.
func part(i int32) schema.Partition { return schema.Partition{Incarnation: "k/t@1", Partition: i} }

// extent is what is counted of a partition: up to an offset, and the second of
// its latest event.
func extent(i int32, to, last int64) schema.Marker {
	return schema.Marker{Range: schema.Range{Partition: part(i), To: to}, LastEvent: last*1000 + 999}
}

// rejects is what is counted of a partition without an event: up to an offset, and the
// second of its latest record.
func rejects(i int32, to, last int64) schema.Marker { return with(extent(i, to, -1), last) }

func with(m schema.Marker, record int64) schema.Marker {
	m.LastRecord = record*1000 + 999
	if m.LastEvent < 1000 {
		m.LastEvent = 0
	}
	return m
}

func TestTheWatermarkIsWhatEverybodyHasPassed(t *testing.T) {
	const lateness, now = 60, 1000
	f := func(what string, extents []schema.Marker, ends map[schema.Partition]int64, before, want int64) {
		t.Helper()
		if got := watermark(extents, ends, nil, lateness, now, before); got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	type ends = map[schema.Partition]int64
	f("nothing is read", nil, nil, 0, 0)
	f("nothing is counted yet", nil, ends{part(0): 10}, 0, 0)
	f("all are caught up: the latest event", []schema.Marker{extent(0, 10, 500), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 900)
	f("one is behind: its latest, less the lateness", []schema.Marker{extent(0, 9, 500), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 440)
	f("two are behind: the lesser", []schema.Marker{extent(0, 9, 500), extent(1, 6, 400)}, ends{part(0): 10, part(1): 7}, 0, 340)
	f("one is silent and caught up", []schema.Marker{extent(0, 9, 500), extent(1, 7, 100)}, ends{part(0): 10, part(1): 7}, 0, 440)
	f("one is empty", []schema.Marker{extent(0, 10, 500)}, ends{part(0): 10, part(1): 0}, 0, 500)
	f("one is not begun", []schema.Marker{extent(0, 10, 500)}, ends{part(0): 10, part(1): 3}, 0, 0)
	f("one is not begun, and others were ahead before", []schema.Marker{extent(0, 10, 500)}, ends{part(0): 10, part(1): 3}, 450, 450)
	f("it never goes back", []schema.Marker{extent(0, 9, 500)}, ends{part(0): 10}, 800, 800)
	f("an incarnation that is not read any more counts for nothing", []schema.Marker{extent(0, 10, 500), extent(5, 10, 9000)}, ends{part(0): 10}, 0, 500)
	f("an incarnation that is not read any more holds nothing back", []schema.Marker{extent(0, 10, 500), extent(5, 1, 3)}, ends{part(0): 10}, 0, 500)
	f("one claims to be of the future", []schema.Marker{extent(0, 10, 500), extent(1, 7, 9000)}, ends{part(0): 10, part(1): 7}, 0, now)
	f("one claims to be of the future and is behind", []schema.Marker{extent(0, 10, 500), extent(1, 6, 9000)}, ends{part(0): 10, part(1): 7}, 0, now-lateness)
	f("one claims to be of the future, another is behind", []schema.Marker{extent(0, 9, 500), extent(1, 7, 9000)}, ends{part(0): 10, part(1): 7}, 0, 440)
	f("one has no event, and its latest record is of some time", []schema.Marker{rejects(0, 9, 500), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 440)
	f("one has no event, and its latest record is as new as an event", []schema.Marker{rejects(0, 9, 900), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 840)
	f("one has no event, and its latest record is newer than every event", []schema.Marker{rejects(0, 9, 901), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 840)
	f("none has an event", []schema.Marker{rejects(0, 9, 900)}, ends{part(0): 10}, 0, 0)
	f("the event counts where there is one, whatever the record's time", []schema.Marker{with(extent(0, 9, 500), 800), extent(1, 7, 900)}, ends{part(0): 10, part(1): 7}, 0, 440)
	f("a marker past the end that was read before it", []schema.Marker{extent(0, 12, 500)}, ends{part(0): 10}, 0, 500)
}

func TestTheWatermarkDoesNotWaitForWhatItLeavesOut(t *testing.T) {
	const lateness, now = 60, 1000
	type out = map[schema.Partition]bool
	extents := []schema.Marker{extent(0, 9, 500), extent(1, 6, 700), extent(2, 7, 900)}
	ends := map[schema.Partition]int64{part(0): 10, part(1): 7, part(2): 7, part(3): 4}
	f := func(what string, left out, want int64) {
		t.Helper()
		if got := watermark(extents, ends, left, lateness, now, 0); got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	f("none is left out, and one was never counted", nil, 0)
	f("that one", out{part(3): true}, 440)
	f("the next", out{part(3): true, part(0): true}, 640)
	f("all that are behind: the latest event", out{part(3): true, part(0): true, part(1): true}, 900)
	f("one that is caught up makes no difference", out{part(3): true, part(2): true}, 440)
}

// naiveWatermark asks of each second whether every partition has passed it.
func naiveWatermark(extents []schema.Marker, ends map[schema.Partition]int64, out map[schema.Partition]bool, lateness, now, before int64) int64 {
	newest := int64(0)
	for _, e := range extents {
		if _, read := ends[e.Partition]; read {
			newest = max(newest, min(e.LastEvent/1000, now))
		}
	}
	passed := func(second int64) bool {
		someoneHas, allAreThere := false, true
		for p, end := range ends {
			i := slices.IndexFunc(extents, func(m schema.Marker) bool { return m.Partition == p })
			var to, last int64
			if i >= 0 {
				to, last = extents[i].To, min(extents[i].LastEvent/1000, now)
			}
			someoneHas = someoneHas || last >= second
			if i >= 0 && extents[i].LastEvent == 0 {
				last = min(extents[i].LastRecord/1000, newest)
			}
			if to < end && !out[p] {
				allAreThere = false
				if last-lateness < second {
					return false
				}
			}
		}
		return !allAreThere || someoneHas
	}
	second := before
	for s := before + 1; s < before+500; s++ {
		if passed(s) {
			second = s
		}
	}
	return second
}

func TestTheWatermarkIsThatOfANaiveOracle(t *testing.T) {
	moved := 0
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		var extents []schema.Marker
		ends, out := map[schema.Partition]int64{}, map[schema.Partition]bool{}
		for i := range int32(5) {
			to := rnd.Int64N(4)
			switch rnd.IntN(4) {
			case 0:
				extents = append(extents, rejects(i, to, rnd.Int64N(600)))
			case 1, 2:
				extents = append(extents, extent(i, to, rnd.Int64N(300)))
			default:
				to = 0
			}
			if rnd.IntN(5) == 0 {
				out[part(i)] = true
			}
			if rnd.IntN(4) > 0 {
				ends[part(i)] = to + rnd.Int64N(3)/2
			}
		}
		lateness, now, before := rnd.Int64N(50), rnd.Int64N(600), rnd.Int64N(200)
		got, want := watermark(extents, ends, out, lateness, now, before), naiveWatermark(extents, ends, out, lateness, now, before)
		if got != want {
			t.Fatalf("seed %d: got %d, want %d", seed, got, want)
		}
		if got > before {
			moved++
		}
	}
	if moved < 300 {
		t.Errorf("the watermark moved %d times, which is too seldom to mean anything", moved)
	}
}

func TestTheLogsClockIsTheSumOfWhatIsCounted(t *testing.T) {
	extents := []schema.Marker{extent(0, 12, 500), extent(1, 30, 900)}
	if got := counted(extents); got != 42 {
		t.Errorf("counted %d, want 42", got)
	}
	if got := latest(extents); got != 900 {
		t.Errorf("latest %d, want 900", got)
	}
}
