package consumer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// outage says once that a server is away and once that it is back, for all
// partitions together.
type outage struct {
	name string
	log  zerolog.Logger

	mu    sync.Mutex
	since time.Time // zero while it answers
}

func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.Warn().Err(err).Msg(o.name + " does not answer as it should; trying again until it does, nothing is lost")
	}
}

func (o *outage) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.log.Info().Dur("after", time.Since(o.since).Round(time.Millisecond)).Msg(o.name + " is back")
		o.since = time.Time{}
	}
}

// Waits between attempts double from the first to the last, each with up to half
// of it taken off by chance so that instances do not come back in step.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

// retry calls f until it succeeds, fails for good, or ctx ends.
func (o *outage) retry(ctx context.Context, forGood func(error) bool, f func(context.Context) error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := f(ctx)
		if err == nil {
			o.answered()
			return nil
		}
		if ctx.Err() != nil || forGood(err) {
			return err
		}
		o.failed(err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait - rand.N(wait/2)):
		}
	}
}
