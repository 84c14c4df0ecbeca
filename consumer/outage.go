package consumer

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// outage says once that a server is away and once that it is back, for all
// partitions together, and once for each kind of error meanwhile. It lasts until
// no call fails any more: one partition's success does not end it while another
// still waits.
type outage struct {
	name    string
	log     zerolog.Logger
	metrics *serverMetrics

	mu      sync.Mutex
	waiting int             // callers whose last attempt failed
	since   time.Time       // zero while it answers
	said    map[string]bool // kinds of error, since then
}

func newOutage(name string, m *Metrics, log zerolog.Logger) *outage {
	return &outage{name: name, log: log, metrics: m.servers[strings.ToLower(name)]}
}

// waiter is one caller of servers, and which of them it waits for.
type waiter struct {
	mu    sync.Mutex
	on    *outage // nil: it waits for none
	kind  string  // of the last error
	since time.Time
}

// waits notes that the waiter waits for a server, and reports whether it did not
// before.
func (w *waiter) waits(on *outage, kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kind = kind
	if w.on == on {
		return false
	}
	w.on, w.since = on, time.Now()
	return true
}

// done notes that the waiter no longer waits for a server, and reports whether it
// did before.
func (w *waiter) done(on *outage) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on != on {
		return false
	}
	w.on = nil
	return true
}

// why says for which server the waiter waits, since when, and after which error;
// empty where it waits for none.
func (w *waiter) why() (why string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on == nil {
		return "", time.Time{}
	}
	return "waits for " + w.on.name + ": " + strings.ReplaceAll(w.kind, "_", " "), w.since
}

func (o *outage) failed(w *waiter, err error) {
	kind := kindOf(err)
	o.metrics.failed(kind)
	if before := w.on; before != nil && before != o { // only the waiter's own caller writes it
		before.left(w)
	}
	joins := w.waits(o, kind)
	o.mu.Lock()
	defer o.mu.Unlock()
	if joins {
		o.waiting++
	}
	first := o.since.IsZero()
	if first {
		o.since, o.said = time.Now(), map[string]bool{}
		o.metrics.away(o.since)
	}
	if o.said[kind] {
		return
	}
	o.said[kind] = true
	line := o.log.Warn().Err(err).Str("kind", kind)
	if first {
		line.Msg(o.name + " does not answer as it should; trying again until it does, nothing is lost while Kafka keeps the records")
	} else {
		line.Dur("away_for", time.Since(o.since).Round(time.Millisecond)).Msg(o.name + " still does not answer, now with another error")
	}
}

func (o *outage) answered(w *waiter) {
	o.left(w)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == 0 && !o.since.IsZero() {
		o.log.Info().Dur("after", time.Since(o.since).Round(time.Millisecond)).Msg(o.name + " is back")
		o.since = time.Time{}
		o.metrics.away(o.since)
	}
}

// left notes that a waiter asks no longer. The outage lasts until somebody else
// is answered.
func (o *outage) left(w *waiter) {
	if !w.done(o) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
}

// note notes how one attempt ended that nobody repeats at once.
func (o *outage) note(ctx context.Context, w *waiter, err error) {
	switch {
	case err == nil:
		o.answered(w)
	case ctx.Err() != nil:
		o.left(w)
	default:
		o.failed(w, err)
	}
}

// Waits between attempts double from the first to the last, each with up to half
// of it taken off by chance so that instances do not come back in step.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

// retry calls f for a waiter until it succeeds, fails for good, or ctx ends.
func (o *outage) retry(ctx context.Context, w *waiter, forGood func(error) bool, f func(context.Context) error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := f(ctx)
		if err != nil && ctx.Err() == nil && forGood(err) {
			o.answered(w)
			return err
		}
		o.note(ctx, w, err)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			o.left(w)
			return err
		case <-time.After(wait - rand.N(wait/2)):
		}
	}
}
