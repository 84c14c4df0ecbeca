package judge

import (
	"math"

	"github.com/overreach/overreach/schema"
)

// watermark returns the event time, in seconds since 1970, up to which
// everything has been seen: over the partitions that are read now, the least own
// time among those not caught up, less the lateness. A partition is caught up where
// its markers reach the end offset, so an empty or silent one holds nothing back; one
// that is left out holds nothing back either. Where no other is behind, it is the
// latest event of any. It never goes back.
func watermark(extents []schema.Marker, ends map[schema.Partition]int64, out map[schema.Partition]bool, lateness, now, before int64) int64 {
	last := byPartition(extents)
	event := newest(last, ends, now)
	least := int64(math.MaxInt64)
	for p, end := range ends {
		if e := last[p]; e.To < end && !out[p] {
			least = min(least, ownTime(e, event, now)-lateness)
		}
	}
	if least == math.MaxInt64 {
		least = event
	}
	return max(before, least)
}

// ownTime returns how far a partition has come by its own events, in seconds since
// 1970. One without any has come as far as its latest record, by Kafka's clock, but no
// further than the newest event of all: a replay's records are of today. An event's
// time is capped at wall-clock time, so one fast clock cannot end other partners'
// findings.
func ownTime(e schema.Marker, newest, now int64) int64 {
	if e.LastEvent == 0 {
		return min(e.LastRecord/1000, newest)
	}
	return min(e.LastEvent/1000, now)
}

// newest returns the latest event time of the partitions that are read now.
func newest(last map[schema.Partition]schema.Marker, ends map[schema.Partition]int64, now int64) int64 {
	var event int64
	for p := range ends {
		event = max(event, min(last[p].LastEvent/1000, now))
	}
	return event
}

func byPartition(extents []schema.Marker) map[schema.Partition]schema.Marker {
	last := make(map[schema.Partition]schema.Marker, len(extents))
	for _, e := range extents {
		last[e.Partition] = e
	}
	return last
}

// counted is the log's own clock: the sum of the greatest offsets counted.
func counted(extents []schema.Marker) uint64 {
	var sum uint64
	for _, e := range extents {
		sum += uint64(e.To) //nolint:gosec // offsets are not negative
	}
	return sum
}

// latest returns the latest event time of all, in seconds since 1970.
func latest(extents []schema.Marker) int64 {
	var last int64
	for _, e := range extents {
		last = max(last, e.LastEvent/1000)
	}
	return last
}
