package judge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// lookGap is the longest time between two looks at the partitions that counts as
// seen, and the longest for which nothing at all may be counted meanwhile. Where
// nobody looked, or nobody counted, one partition did not stand more than the others.
const lookGap = time.Minute

// parts of the time after which a partition is left out: whenever it has stood for one
// more of them, that is written, so a restart begins at most one of them anew.
const parts = 4

// kept is what the store knows of a partition that stands.
type kept struct {
	parts   time.Duration // for how many parts of the longest time it had stood
	out     bool
	stopped bool // its counting had stopped, rather than its time alone
}

func (s standing) kept(atMost time.Duration) kept {
	return kept{parts: s.stood * parts / atMost, out: s.out, stopped: s.out && s.backlog > 0}
}

// lookAround looks at all partitions that are read now, and returns those that the
// watermark leaves out. How long each has stood is kept in the store, so that judges
// agree on it, and one that starts goes on where another was.
func (j *Judge) lookAround(ctx context.Context, extents []schema.Marker, ends map[schema.Partition]int64) (map[schema.Partition]bool, error) {
	atMost := j.cfg.StalledAfter
	if atMost == 0 {
		return nil, nil
	}
	now := j.now()
	step := j.seen(now, counted(extents))
	last := byPartition(extents)
	event := newest(last, ends, now.Unix())
	grew, changed := !j.standingRead, !j.standingRead
	for p, end := range ends {
		e := last[p]
		holds := e.To < end && event-ownTime(e, event, now.Unix()) >= int64(atMost.Seconds())
		s := j.standing[p].look(e, end, holds, step, atMost)
		j.standing[p] = s
		is, was := s.kept(atMost), j.keptOf[p]
		grew, changed = grew || is.parts > was.parts, changed || is != was
	}
	for p, was := range j.keptOf {
		if _, read := ends[p]; !read && was.out {
			changed = true
		}
	}
	if changed {
		if err := j.agree(ctx, last, ends, grew); err != nil {
			return nil, err
		}
	}
	out := map[schema.Partition]bool{}
	for p, end := range ends {
		s := j.standing[p]
		if s.out {
			out[p] = true
		}
		if s.out != j.out[p] {
			j.sayLeftOut(p, last[p], end, s)
		}
		j.metrics.partition(p, s)
	}
	for p := range j.standing {
		if _, read := ends[p]; !read {
			if j.out[p] {
				j.logger.Info().Str("incarnation", p.Incarnation).Int32("partition", p.Partition).Msg("a partition that the watermark left out is no longer read")
			}
			j.metrics.forget(p)
			delete(j.standing, p)
		}
	}
	j.outChanged = j.outChanged || !maps.Equal(j.out, out)
	j.out = out
	j.noteLeftOut(now)
	return out, nil
}

// seen returns how much of the time since the last look counts as seen.
func (j *Judge) seen(now time.Time, offsets uint64) time.Duration {
	if offsets != j.offsets {
		j.offsets, j.offsetsMoved = offsets, now
	}
	step := min(now.Sub(j.looked), lookGap)
	if j.looked.IsZero() || now.Sub(j.offsetsMoved) > lookGap {
		step = 0
	}
	j.looked = now
	return max(0, step)
}

// agree reads what judges keep of partitions that stand, goes on from there where
// another has seen one stand for longer, and writes what is new.
func (j *Judge) agree(ctx context.Context, last map[schema.Partition]schema.Marker, ends map[schema.Partition]int64, grew bool) error {
	rows, err := j.store.Standing(ctx)
	if err != nil {
		return fmt.Errorf("reading which partitions stand: %w", err)
	}
	atMost := j.cfg.StalledAfter
	j.outChanged = j.outChanged || !j.standingRead && len(rows) > 0 // findings may say what is no longer so
	for _, row := range rows {
		e := last[row.Partition]
		_, read := ends[row.Partition]
		s := j.standing[row.Partition]
		was := standing{time: row.Time, to: e.To, backlog: row.Backlog, stood: min(row.Stood, atMost), out: row.LeftOut}
		j.keptOf[row.Partition] = was.kept(atMost)
		switch same := read && row.Time == recordTime(e) && (row.To == e.To || row.Backlog == 0); {
		case same && grew && was.stood > s.stood:
			if was.backlog > 0 {
				was.still = was.stood
			}
			j.standing[row.Partition] = was
		case !same && row.LeftOut && !j.standingRead:
			j.out[row.Partition] = true // it moved while nobody judged: that is said
		}
	}
	var write []schema.Standing
	for p := range ends {
		if s := j.standing[p]; s.kept(atMost) != j.keptOf[p] {
			write = append(write, j.row(p, last[p], s))
		}
	}
	for p, was := range j.keptOf {
		if _, read := ends[p]; !read && was.out {
			write = append(write, j.row(p, last[p], standing{time: recordTime(last[p]), to: last[p].To}))
		}
	}
	if err := j.store.WriteStanding(ctx, write); err != nil {
		return fmt.Errorf("writing which partitions stand: %w", err)
	}
	for _, row := range write {
		if _, read := ends[row.Partition]; !read {
			delete(j.keptOf, row.Partition)
			continue
		}
		j.keptOf[row.Partition] = j.standing[row.Partition].kept(atMost)
	}
	j.standingRead = true
	return nil
}

// row is what the store keeps of a partition.
func (j *Judge) row(p schema.Partition, e schema.Marker, s standing) schema.Standing {
	row := schema.Standing{Partition: p, Time: s.time, To: e.To, Backlog: s.backlog, Stood: s.stood, LeftOut: s.out}
	if s.backlog > 0 {
		row.Unread = max(0, s.time/1000-int64(j.cfg.Lateness.Seconds()))
	}
	return row
}

// sayLeftOut says that a partition is left out now, or no longer.
func (j *Judge) sayLeftOut(p schema.Partition, e schema.Marker, end int64, s standing) {
	if !s.out {
		j.logger.Info().Str("incarnation", p.Incarnation).Int32("partition", p.Partition).Msg("the watermark waits for this partition again")
		return
	}
	why := "its time stands still though its records are counted: its events bear one and the same time, or none of its records is an event"
	if s.backlog > 0 {
		why = "nothing of it is counted though records wait"
	}
	j.logger.Warn().Str("incarnation", p.Incarnation).Int32("partition", p.Partition).Str("latest", stamp(s.time)).
		Int64("counted_to", e.To).Int64("end", end).Str("because", why).
		Msg("the watermark leaves this partition out, so that it does not hold up the judging of all others; what comes of it later is late")
}

// stamp writes a time of an event or record, milliseconds since 1970.
func stamp(ms int64) string {
	if ms == 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format(time.DateTime) + " UTC"
}

// leftOutMark begins what a finding says of partitions that the watermark leaves out,
// behind the blind spots of its detector.
const leftOutMark = "; left out of the watermark: "

// blindSpots returns what a finding cannot have seen: its detector's blind spots, and
// what may come of partitions that are left out now and is of the time of its evidence.
func (r *round) blindSpots(f *schema.Finding) string {
	j := r.judge
	own, _, _ := strings.Cut(f.BlindSpots, leftOutMark)
	var names []string
	for p := range j.out {
		s := j.standing[p]
		if f.EvidenceTo.Unix() > s.time/1000-int64(j.cfg.Lateness.Seconds()) {
			names = append(names, schema.Standing{Partition: p, Time: s.time}.String())
		}
	}
	if len(names) == 0 {
		return own
	}
	slices.Sort(names)
	return own + leftOutMark + strings.Join(names, ", ")
}
