package judge

import (
	"math"

	"github.com/overreach/overreach/schema"
)

// watermark returns the event time, in seconds since 1970, up to which
// everything has been seen: over the partitions that are read now, the least
// latest event time among those not caught up, less the lateness. A partition is
// caught up where its markers reach the end offset, so an empty or silent one
// holds nothing back. Where all are caught up it is the latest event of any. An
// event that claims to be of the future counts as one of now: nobody's clock that
// is ahead ends what is another's. It never goes back.
func watermark(extents []schema.Marker, ends map[schema.Partition]int64, lateness, now, before int64) int64 {
	last := make(map[schema.Partition]schema.Marker, len(extents))
	for _, e := range extents {
		last[e.Partition] = e
	}
	least, latest := int64(math.MaxInt64), int64(0)
	for p, end := range ends {
		e := last[p]
		event := min(e.LastEvent/1000, now)
		latest = max(latest, event)
		if e.To < end {
			least = min(least, event-lateness)
		}
	}
	if least == math.MaxInt64 {
		least = latest
	}
	return max(before, least)
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
