package judge

import (
	"time"

	"github.com/overreach/overreach/schema"
)

// standing is what was seen of a partition whose own time does not move.
type standing struct {
	time int64 // its own time, milliseconds: of its latest event, of its latest record where it has none
	to   int64 // up to there it is counted

	backlog int64         // where its log ended when its time moved last; 0 once all up to there is counted
	took    time.Duration // for how long it has worked that off
	still   time.Duration // for how long nothing of it was counted
	stood   time.Duration // for how long neither its time nor what it works off has moved
	out     bool          // the watermark does not wait for it
}

// look returns what is seen of the partition now, a step after it was looked at last.
// It is left out once it has stood for as long as it may while it holds the watermark
// back: its counting has stopped, or it goes on and its time does not. A partition that
// works off a backlog is never left out, whatever its time does: it was offsets behind
// when its time moved last, has not counted those yet, and counts. One that was left out
// is back when its time moves, its backlog does, or it has been caught up for as long.
func (s standing) look(e schema.Marker, end int64, holds bool, step, atMost time.Duration) standing {
	now := recordTime(e)
	if now != s.time {
		return standing{time: now, to: e.To, backlog: end}
	}
	moved := e.To > s.to
	s.to, s.still = e.To, s.still+step
	if moved {
		s.still = 0
	}
	if s.backlog > 0 {
		s.took += step
	}
	switch {
	case e.To >= end:
		s.backlog, s.took, s.still, s.stood = 0, 0, 0, max(0, s.stood-step)
	case s.backlog > 0 && e.To >= s.backlog && s.took < atMost:
		s.backlog, s.took, s.stood = 0, 0, s.stood+step // it keeps up with its end
	case s.backlog > 0 && e.To >= s.backlog:
		s.backlog, s.took, s.stood = end, 0, 0 // what came in so long is a backlog too
	case s.backlog > 0 && moved:
		s.stood = 0
	default:
		s.stood += step
	}
	if s.still >= atMost { // it no longer keeps up: what waits is a backlog
		s.backlog, s.took = end, 0
	}
	s.stood = min(s.stood, atMost)
	s.out = s.out && s.stood > 0 || s.stood >= atMost && holds
	return s
}

// recordTime is a partition's own time as it is, not held against any clock.
func recordTime(e schema.Marker) int64 {
	if e.LastEvent == 0 {
		return e.LastRecord
	}
	return e.LastEvent
}
