package judge

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// absent is a store that does not answer while it is away, to a judge that has slots at
// times.
type absent struct {
	Store
	away  bool
	slots []uint8
}

func (a *absent) Slots() []uint8 { return a.slots }

func (a *absent) Ends(context.Context) (map[schema.Partition]int64, error) { return nil, nil }

func (a *absent) Gaps(context.Context) ([]schema.Gap, error) { return nil, nil }

func (a *absent) Unregistered(context.Context, []string, int) ([]string, uint64, error) {
	return nil, 0, nil
}

func (a *absent) Markers(context.Context, map[schema.Partition]int64, int) ([]schema.Marker, error) {
	return nil, nil
}

func (a *absent) Extents(context.Context) ([]schema.Marker, error) { return nil, a.answer() }

func (a *absent) Judged(context.Context, []uint8) ([]schema.Position, error) { return nil, a.answer() }

func (a *absent) answer() error {
	if a.away {
		return errors.New("away")
	}
	return nil
}

// gauge is the value of a metric without labels.
func gauge(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric is called %s", name)
	return 0
}

func TestAJudgeThatStandsByIsToldFromOneThatStandsStill(t *testing.T) {
	store, metrics := &absent{}, prometheus.NewRegistry()
	var log bytes.Buffer
	reg := &registry.Registry{}
	j := New(Config{Interval: time.Hour}, store, store, func() (*registry.Registry, uint32) { return reg, 1 }, nil, NewMetrics(metrics), zerolog.New(&log))
	ended := func() float64 { return gauge(t, metrics, "overreach_judge_last_round_timestamp_seconds") }
	round := func(what string, slots int, moves bool) {
		t.Helper()
		store.slots = make([]uint8, slots)
		before := ended()
		j.attempt(t.Context())
		if got := ended(); (got > before) != moves {
			t.Errorf("%s: a round ended well at %f, before it at %f", what, got, before)
		}
		if got := gauge(t, metrics, "overreach_judge_slots"); got != float64(slots) {
			t.Errorf("%s: it says that it judges %v slots, not %d", what, got, slots)
		}
	}
	round("without slots from its start", 0, true)
	round("with slots", 4, true)
	store.away = true
	round("while ClickHouse is away", 4, false)
	store.away = false
	round("between two generations, after a round that failed", 0, false)
	if strings.Contains(log.String(), "works again") {
		t.Errorf("before it has judged, it logs\n%s", log.String())
	}
	round("with slots again", 4, true)
	round("without slots again", 0, true)
	if n := strings.Count(log.String(), "works again"); n != 1 {
		t.Errorf("it says %d times that judging works again:\n%s", n, log.String())
	}
}

func TestTheFirstRoundSaysHowLongItWasWaitedFor(t *testing.T) {
	store, metrics := &absent{}, prometheus.NewRegistry()
	reg := &registry.Registry{}
	j := New(Config{Interval: time.Hour}, store, store, func() (*registry.Registry, uint32) { return reg, 1 }, nil, NewMetrics(metrics), zerolog.Nop())
	j.attempt(t.Context())
	const waited = 50 * time.Millisecond
	time.Sleep(waited)
	store.slots = []uint8{1}
	j.attempt(t.Context())
	if got := gauge(t, metrics, "overreach_judge_delay_seconds"); got < waited.Seconds() {
		t.Errorf("the first round with slots says that %f s were waited for it, not %s", got, waited)
	}
}

func TestEachRoundIsWaitedForSinceTheOneBefore(t *testing.T) {
	store, metrics := &absent{slots: []uint8{1}}, prometheus.NewRegistry()
	reg := &registry.Registry{}
	j := New(Config{Interval: time.Hour}, store, store, func() (*registry.Registry, uint32) { return reg, 1 }, nil, NewMetrics(metrics), zerolog.Nop())
	const waited = 50 * time.Millisecond
	var before time.Time
	for n := range 3 {
		began := time.Now()
		j.attempt(t.Context())
		got := gauge(t, metrics, "overreach_judge_delay_seconds")
		if n > 0 && (got < waited.Seconds() || got > time.Since(before).Seconds()) {
			t.Errorf("round %d says that %f s were waited for it; the one before began %s ago", n, got, time.Since(before))
		}
		before = began
		time.Sleep(waited)
	}
}
