package notify

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// memory is a store that forgets with the test.
type memory struct {
	mu         sync.Mutex
	away       bool
	failed     map[[24]uintptr]bool // unless nil, it fails once at each place from which it is asked
	tellings   []schema.Change
	actions    []schema.FindingAction
	findings   map[string]schema.Finding
	deliveries []schema.Delivery
}

func newMemory() *memory { return &memory{findings: map[string]schema.Finding{}} }

var errAway = errors.New("the store is away")

// use has f use the store alone; it fails where the store is away.
func (m *memory) use(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if m.failed != nil {
		var place [24]uintptr // the innermost calls, which the test and the runtime do not reach
		runtime.Callers(2, place[:])
		if !m.failed[place] {
			m.failed[place] = true
			return errAway
		}
	}
	f()
	return nil
}

func (m *memory) Changes(context.Context, []string, time.Time) (all []schema.Change, err error) {
	return all, m.use(func() { all = slices.Clone(m.tellings) })
}

func (m *memory) Actions(_ context.Context, ids []string) (all []schema.FindingAction, err error) {
	return all, m.use(func() {
		for _, a := range m.actions {
			if slices.Contains(ids, a.Finding) {
				all = append(all, a)
			}
		}
	})
}

func (m *memory) WriteAction(_ context.Context, a schema.FindingAction) error {
	return m.use(func() { m.actions = append(m.actions, a) })
}

func (m *memory) Findings(_ context.Context, q schema.FindingsQuery) (all []schema.VersionedFinding, err error) {
	return all, m.use(func() {
		for _, id := range q.IDs {
			if f, ok := m.findings[id]; ok && !f.LastSeen.Before(q.Since) {
				all = append(all, schema.VersionedFinding{Finding: f})
			}
		}
	})
}

func (m *memory) Deliveries(_ context.Context, events []string) (map[string]map[string]schema.Outcome, error) {
	all := map[string]map[string]schema.Outcome{}
	return all, m.use(func() {
		for _, d := range m.deliveries {
			if slices.Contains(events, d.Event) {
				if all[d.Receiver] == nil {
					all[d.Receiver] = map[string]schema.Outcome{}
				}
				all[d.Receiver][d.Event] = d.Outcome
			}
		}
	})
}

func (m *memory) WriteDeliveries(_ context.Context, d []schema.Delivery) error {
	return m.use(func() { m.deliveries = append(m.deliveries, d...) })
}

// outcomes are the deliveries so far, as "kind outcome".
func (m *memory) outcomes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, d := range m.deliveries {
		all = append(all, fmt.Sprintf("%s %s", d.Kind, d.Outcome))
	}
	return all
}

// tell has the judge tell something of a finding now.
func (m *memory) tell(f schema.Finding, change schema.ChangeKind) {
	switch change {
	case schema.ChangeEnded:
		f.State, f.EndedAt = schema.Ended, time.Now().UTC()
	case schema.ChangeWithdrawn:
		f.State = schema.Withdrawn
	}
	_ = m.use(func() {
		m.findings[f.ID()] = f
		m.tellings = append(m.tellings, schema.Change{
			FindingKey: f.FindingKey, ID: f.ID(), Reported: time.Now().UTC().Truncate(time.Millisecond), Kind: change, Severity: f.Severity,
			State: f.State, FirstCrossing: f.FirstCrossing, Peak: f.Peak, LastSeen: f.LastSeen, People: f.People.Value,
		})
	})
}

// do has ann do something about a finding now.
func (m *memory) do(f schema.Finding, act schema.Act, until time.Time) {
	_ = m.use(func() {
		m.actions = append(m.actions, schema.FindingAction{
			Finding: f.ID(), At: time.Now().UTC().Truncate(time.Millisecond), Act: act, Who: "ann", Reason: "asked the partner", Until: until,
			People: f.People.Value,
		})
	})
}

// begun is a finding that began just now.
func begun(partner, capability string, severity schema.Severity) schema.Finding {
	now := time.Now().UTC().Truncate(time.Second)
	limit := uint64(1000)
	return schema.Finding{
		FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: partner, Capability: capability, Window: schema.WindowHour, Cause: "limit", Period: schema.DayOf(now)},
		Severity:   severity, State: schema.Open,
		Sentence:      partner + " touched 2,000 people in " + capability + " within an hour: 2.0 times the limit of 1,000.",
		FirstCrossing: now, Peak: now, FirstSeen: now.Add(-time.Hour), LastSeen: now,
		Accesses: 5000, People: schema.Estimate{Value: 2000, Low: 1950, High: 2050}, Limit: &limit,
		Missing: 7, Owner: "platform", BlindSpots: "people behind several ids", Runbook: "docs/detectors/volume_limit.md",
		Query: "SELECT time FROM access_events WHERE partner = '" + partner + "' AND time >= toDateTime64('2026-03-01 00:00:00', 3, 'UTC') AND time < toDateTime64('2026-03-01 01:00:00', 3, 'UTC')",
	}
}

func everySlot() []uint8 {
	all := make([]uint8, schema.Slots)
	for i := range all {
		all[i] = uint8(i) //nolint:gosec // at most 255
	}
	return all
}

// running starts a notifier; stop ends it and waits until it has ended.
func running(t *testing.T, cfg Config, store Store, prepare func(*Notifier)) (n *Notifier, stop func()) {
	t.Helper()
	if cfg.MaxAge == 0 {
		cfg.MaxAge = maxAge
	}
	if cfg.Group == 0 {
		cfg.Group = group
	}
	if cfg.Resend == 0 {
		cfg.Resend = time.Minute
	}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	n = New(cfg, store, everySlot, NewMetrics(prometheus.NewRegistry()), zerolog.New(zerolog.NewTestWriter(t)))
	if prepare != nil {
		prepare(n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return n, stop
}
