package notify

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

func TestReadingThatFailsAnywhereSaysSoAndTheNextReadsTheSame(t *testing.T) {
	m := newMemory()
	grown, late, over := begun("bank", "messaging", schema.Critical), begun("shop", "messaging", schema.Critical), begun("quiz", "messaging", schema.Critical)
	late.FirstCrossing, late.LastSeen = late.FirstCrossing.AddDate(0, 0, -3), late.LastSeen.AddDate(0, 0, -2)
	for _, f := range []schema.Finding{grown, late, over} {
		m.tell(f, schema.ChangeNew)
	}
	m.do(grown, schema.Acknowledge, time.Time{})
	m.do(over, schema.Resolve, time.Time{})
	grown.People = schema.Estimate{Value: 20_000, Low: 20_000, High: 20_000}
	late.LastSeen = time.Now()
	m.findings[grown.ID()], m.findings[late.ID()] = grown, late // one has grown, the other goes on: both are noted
	m.failed = map[[24]uintptr]bool{}
	cfg := Config{MaxAge: maxAge, Group: group, MaxStrangers: strangers}
	n := New(cfg, m, everySlot, NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
	for {
		before := len(m.failed)
		p, err := n.read(t.Context(), everySlot())
		if failed := len(m.failed) - before; (failed > 0) != (err != nil) || err != nil && !errors.Is(err, errAway) {
			t.Fatalf("after %d failures the store fails %d times, and reading says %v", before, failed, err)
		}
		if err != nil {
			if len(p.alerts) > 0 {
				t.Errorf("reading that failed yields %d alerts", len(p.alerts))
			}
			continue
		}
		fires := map[string]bool{}
		for _, a := range p.alerts {
			fires[a.Partner] = a.fires()
		}
		if !fires["bank"] || !fires["shop"] {
			t.Errorf("after %d failures these fire: %v", len(m.failed), fires)
		}
		break
	}
	if len(m.failed) < 7 {
		t.Errorf("the store failed at %d places: reading no longer comes by where it is asked", len(m.failed))
	}
	acts := map[string]int{}
	for _, a := range m.actions {
		if a.Who == "overreach" {
			acts[a.Finding]++
		}
	}
	if acts[grown.ID()] != 1 || acts[late.ID()] != 1 {
		t.Errorf("noted, by finding: %v", acts)
	}
}
