package consumer

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// progress is how far a partition has come, in one generation. The partition's
// loop tells it; the poll compares it with the log, and whoever asks learns why
// it stands still, though the loop itself hangs.
type progress struct {
	place
	age     time.Duration // how long a batch may wait until it is counted
	metrics *Metrics
	log     zerolog.Logger
	forgets bool   // as Config.Forgets
	wait    waiter // which server it waits for

	mu      sync.Mutex
	counted int64     // all below is counted; or unknown
	read    int64     // all below was read: what of it is not counted is held here
	assumed bool      // counted is the group's offset: ClickHouse has not answered yet
	moved   time.Time // when counted moved last, or all was counted
	lag     int64     // records not counted, by the last poll
	lost    int64     // records that Kafka deleted before they were read, by the last poll
	near    bool      // retention comes near; said already
	halted  string    // why the loop stands still by itself; empty where it does not
	since   time.Time // when it began to
}

func newProgress(at place, age time.Duration, m *Metrics, log zerolog.Logger) *progress {
	return &progress{place: at, age: age, metrics: m, log: log, counted: unknown, moved: time.Now()}
}

// at says how far the loop has come.
func (p *progress) at(counted, read int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if counted != p.counted {
		p.moved = time.Now()
	}
	p.counted, p.read, p.assumed = counted, read, false
}

// assume says how far the partition had come by the group's offset, for as long as
// ClickHouse has not said how far it was counted.
func (p *progress) assume(committed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted, p.read, p.assumed = committed, committed, true
}

// halt says that the loop stands still by itself, and why; an empty why that it
// goes on.
func (p *progress) halt(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted, p.since = why, time.Now()
}

// unknown is a position that nobody knows yet, or that means another log.
const unknown = -1

// Retention comes near where, of all that the log holds, less than one record in
// nearRetention lies between its start and what is counted next, and is far again
// where one in farRetention does. Lag grows for hours before that: it is the last
// warning, not the first.
const (
	nearRetention = 10
	farRetention  = 5
)

// near reports whether retention, which has begun to delete, is about to reach
// an offset.
func near(l logBounds, next int64) bool {
	return l.first > 0 && next < l.end && next-l.first < (l.end-l.first)/nearRetention
}

// measure compares how far the partition has come with its log: it sets the
// gauges, and says once where retention is about to overtake it and once where it
// has.
func (p *progress) measure(l logBounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	labels := p.labels()
	p.metrics.open.With(labels).Set(float64(max(0, l.high-l.end)))
	if p.counted == unknown || p.assumed && p.counted > l.end {
		p.lag, p.lost, p.near = 0, 0, false
		for _, g := range []*prometheus.GaugeVec{p.metrics.lag, p.metrics.headroom, p.metrics.near} {
			g.Delete(labels)
		}
		return
	}
	ahead, lostBefore := p.counted-l.first, p.lost
	p.lag, p.lost = max(0, l.end-p.counted), max(0, l.first-p.read)
	if p.lag == 0 {
		p.moved = time.Now()
	}
	why, _ := p.wait.why()
	line := func(e *zerolog.Event) *zerolog.Event {
		if why != "" {
			e = e.Str("partition_state", why)
		}
		if p.assumed {
			e = e.Str("next_is", "the group's offset: ClickHouse has not said how far was counted")
		}
		return e.Int64("next", p.counted).Int64("log_start", l.first).Int64("log_end", l.end)
	}
	switch {
	case !p.near && !p.forgets && near(l, p.counted):
		p.near = true
		line(p.log.Warn()).Msg("Kafka deletes records of this partition not far behind where it is read: what it deletes before it is counted is lost; give the topic a longer retention until the lag is worked off")
	case p.near && (p.lag == 0 || ahead > (l.end-l.first)/farRetention):
		p.near = false
		line(p.log.Info()).Msg("reading is well ahead of what Kafka deletes again")
	}
	if p.lost > 0 && lostBefore == 0 {
		line(p.log.Error()).Int64("lost", p.lost).Msg("Kafka has deleted records of this partition that were never read: they are lost, and it goes on deleting; give the topic a longer retention now")
	}
	p.metrics.lag.With(labels).Set(float64(p.lag))
	p.metrics.headroom.With(labels).Set(float64(ahead))
	nears := 0.
	if p.near {
		nears = 1
	}
	p.metrics.near.With(labels).Set(nears)
}

func (p *progress) labels() prometheus.Labels {
	return prometheus.Labels{"topic": p.topic, "partition": partitionLabel(p.partition)}
}

// stall returns why the partition stands still, if it does: a case for each
// reason, the one that says most first.
func (p *progress) stall(now time.Time) (schema.Stall, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := schema.Stall{What: p.String()}
	waits, since := p.wait.why()
	switch {
	case p.halted != "":
		s.Why, s.Since = p.halted, p.since
	case waits != "":
		s.Why, s.Since = waits, since
	case p.lag > 0 && now.Sub(p.moved) > p.age:
		s.Why, s.Since = fmt.Sprintf("nothing is counted while records wait (lag %d)", p.lag), p.moved.Add(p.age)
	default:
		return s, false
	}
	if p.lost > 0 {
		s.Why += fmt.Sprintf("; Kafka has deleted %d records that were never read", p.lost)
	}
	return s, true
}
