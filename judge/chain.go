package judge

import (
	"maps"
	"slices"
	"time"

	"github.com/overreach/overreach/schema"
)

// A gap in the chain of markers that stays this long is one: its markers expired
// before the cadence judged them.
const gapPatience = time.Minute

// place is a partition as one cadence judges it: each cadence comes through it at its own
// pace, so what one of them waits for says nothing of the others.
type place struct {
	cadence schema.Cadence
	schema.Partition
}

// waiting is since when a cadence waits at an offset.
type waiting struct {
	at    int64
	since time.Time
	said  bool
}

// more reports whether a partition has more markers than were read at once.
func more(markers []schema.Marker) bool {
	read := map[schema.Partition]int{}
	for _, m := range markers {
		read[m.Partition]++
	}
	for _, n := range read {
		if n >= markersARead {
			return true
		}
	}
	return false
}

// chain follows the markers of each partition from where the cadence stands, each
// beginning where the one before ended, and returns the new positions and the
// minutes of event time that were touched, ascending.
func (r *round) chain(cadence schema.Cadence, markers []schema.Marker) (map[schema.Partition]int64, []int64) {
	j := r.judge
	to := map[schema.Partition]int64{}
	touched := map[int64]struct{}{}
	read := map[schema.Partition]bool{}
	for _, m := range markers {
		read[m.Partition] = true
		at, ok := to[m.Partition]
		if !ok {
			at, ok = j.at[cadence][m.Partition]
		}
		if ok && m.From > at && !r.jump(cadence, m.Partition, at, m.From) {
			continue
		}
		if ok && m.To <= at {
			continue
		}
		to[m.Partition] = m.To
		for _, minute := range m.Minutes {
			touched[int64(minute)] = struct{}{}
		}
	}
	for _, e := range r.extents { // all markers from there on may have expired
		if at := j.stands(cadence, e); !read[e.Partition] && at < e.To && r.jump(cadence, e.Partition, at, e.To) {
			to[e.Partition] = e.To
		}
	}
	return to, slices.Sorted(maps.Keys(touched))
}

// stands returns up to which offset a cadence has judged a partition.
func (j *Judge) stands(cadence schema.Cadence, e schema.Marker) int64 {
	if at, ok := j.at[cadence][e.Partition]; ok {
		return at
	}
	return e.From
}

// jump reports whether a cadence goes on after a gap in the chain: markers that are not
// visible yet appear soon, and those that expired never do.
func (r *round) jump(cadence schema.Cadence, p schema.Partition, at, to int64) bool {
	j := r.judge
	gap := place{cadence, p}
	w, ok := j.gapSince[gap]
	if !ok || w.at != at {
		j.gapSince[gap] = waiting{at: at, since: j.now()}
		return false
	}
	if j.now().Sub(w.since) < gapPatience {
		return false
	}
	if !w.said {
		w.said = true
		j.gapSince[gap] = w
		j.logger.Warn().Stringer("cadence", cadence).Str("incarnation", p.Incarnation).Int32("partition", p.Partition).Int64("from", at).Int64("to", to).
			Msg("the markers of these offsets have expired before this cadence judged them; what they touched is judged when it is touched again")
	}
	return true
}

func (r *round) positions(cadence schema.Cadence, to map[schema.Partition]int64) []schema.Position {
	j := r.judge
	all := maps.Clone(j.at[cadence])
	maps.Copy(all, to)
	positions := make([]schema.Position, 0, len(j.slots)*len(all))
	for p, offset := range all {
		for _, s := range j.slots {
			positions = append(positions, schema.Position{
				Slot: s, Cadence: cadence, Partition: p, To: offset, Watermark: j.rolled[cadence], Registry: r.version.Registry,
			})
		}
	}
	return positions
}
