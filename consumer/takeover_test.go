package consumer

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/schema"
)

func TestAPartitionWithoutARecordHasAMarkerThatSaysWhereItBegins(t *testing.T) {
	f := func(what string, prepare func(addr string)) {
		t.Helper()
		addr := broker(t, kfake.SeedTopics(1, "access"))
		prepare(addr)
		m := newMemory()
		r := start(t, testConfig(addr, "access"), m)
		waitFor(t, "a marker "+what, func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.markers) > 0
		})
		r.stop()
		if k := slices.Clone(m.markers); len(k) != 1 || k[0].From != 0 || k[0].To != 0 || k[0].Records != 0 {
			t.Errorf("%s the markers are %+v, want an empty one at 0", what, k)
		}
	}
	f("where nothing is known", func(string) {})
	f("where the group has an offset", func(addr string) { resetOffsets(t, addr, "overreach", "access", 1) })
}

func TestOfATopicThatIsNotTheOneInForceNothingIsReadAndNoLagIsSaid(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(300))...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		now[0].TopicID = "00000000-0000-0000-0000-00000000000f"
		return now, nil
	}
	r := start(t, cfg, m)
	waitFor(t, "it to stand still", func() bool { return strings.Contains(r.log.String(), "deleted and made again") })
	if lags := gauges(t, r.metrics.lag); len(lags) != 0 {
		t.Errorf("it says how far it is behind the log of another topic: %v", lags)
	}
	if to, ok, err := m.Counted(t.Context(), schema.Partition{Incarnation: r.incarnations[0].Name}); err != nil || ok {
		t.Errorf("counted to %d, %v", to, err)
	}
	r.stop()
}
