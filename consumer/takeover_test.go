package consumer

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
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
