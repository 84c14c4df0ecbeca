package consumer

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestRetentionIsNearWhereItHasBegunAndLessThanATenthLiesBetween(t *testing.T) {
	f := func(first, next, end int64, want bool) {
		t.Helper()
		if got := near(&chunk{first: first, end: end}, next); got != want {
			t.Errorf("log [%d, %d), next %d: near %t, want %t", first, end, next, got, want)
		}
	}
	f(0, 0, 1000, false) // nothing was deleted yet
	f(0, 50, 1000, false)
	f(1000, 1000, 2000, true)
	f(1000, 1099, 2000, true)
	f(1000, 1100, 2000, false)
	f(1000, 900, 2000, true)   // it has come
	f(1000, 1000, 1000, false) // nothing is left to lose
	f(1000, 2000, 2000, false)
	f(1999, 2000, 2000, false)
}

func TestRetentionThatComesNearIsSaidOnceAndThatItIsFarAgain(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	produce(t, addr, 0, 0, jsonOf(someEvents(1000))...)
	deleteRecords(t, addr, "access", 600)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 200
	r := start(t, cfg, m)
	r.countedTo(t, m)
	waitFor(t, "the all-clear", func() bool { return strings.Contains(r.log.String(), "well ahead of what Kafka deletes") })
	r.stop()
	if n := strings.Count(r.log.String(), "not far behind where it is read"); n != 1 {
		t.Errorf("said %d times that retention comes near", n)
	}
	if n := m.chained(t); n.missing != 0 || n.records != 400 {
		t.Errorf("%+v", n)
	}
}
