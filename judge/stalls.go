package judge

import (
	"sync"
	"time"

	"github.com/overreach/overreach/schema"
)

// roundWithin is how long a round may take that fails in nothing: windows of days
// of a long history take minutes.
const roundWithin = 5 * time.Minute

// health is what others may know of the rounds while one runs, or hangs.
type health struct {
	mu       sync.Mutex
	ended    time.Time // when a round last ended well; zero before Run
	failing  time.Time // since when they fail; zero where they do not
	idle     time.Time // since when rounds find no slots; zero where the last one had some
	cadences map[schema.Cadence]behind
	leftOut  []schema.Stall
}

// sharedOut is longer than the group takes to share out its partitions anew: meanwhile
// nobody has slots.
const sharedOut = time.Minute

// idles notes a round that had no slots, so nothing to do, and reports whether that is all
// there is to say: rounds that failed just before are not over because the group is shared
// out anew.
func (h *health) idles() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.idle.IsZero() {
		h.idle = time.Now()
	}
	if !h.failing.IsZero() && time.Since(h.idle) < sharedOut {
		return false
	}
	h.ended, h.failing = time.Now(), time.Time{}
	return true
}

// works notes that a round ended well, and reports whether the ones before failed.
func (h *health) works() (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	again = !h.failing.IsZero()
	h.ended, h.failing, h.idle = time.Now(), time.Time{}, time.Time{}
	return again
}

// moves notes that a round ended well, though it may be one amid another that fails.
func (h *health) moves() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = time.Now()
}

// fails notes that a round failed, and reports whether it is the first to do so.
func (h *health) fails() (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = time.Time{}
	if first = h.failing.IsZero(); first {
		h.failing = time.Now()
	}
	return first
}

// Stalls returns what of judging stands still, since when and why: a case for each
// reason. An instance without slots has rounds too, which find nothing to do.
func (j *Judge) Stalls() []schema.Stall {
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	var all []schema.Stall
	h := &j.health
	switch {
	case !h.failing.IsZero():
		all = append(all, schema.Stall{What: "judge", Since: h.failing, Why: "its rounds fail; the log says why"})
	case !h.ended.IsZero() && time.Since(h.ended) > roundWithin:
		all = append(all, schema.Stall{What: "judge", Since: h.ended, Why: "no round has ended since"})
	}
	return append(all, stalls(h.cadences, j.now)...)
}
