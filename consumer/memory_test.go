package consumer

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/overreach/overreach/schema"
)

func TestPartitionsShareTheMemoryOfBatches(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		partitions  int
		each, whole int64
	}{
		{1, 256 << 20, 256 << 20},
		{8, 32 << 20, 256 << 20},
		{64, 4 << 20, 256 << 20},
		{500, 4 << 20, 2000 << 20}, // smaller batches would be too many inserts
	} {
		if got := l.each(c.partitions).Bytes; got != c.each {
			t.Errorf("with %d partitions a batch takes %d bytes, expected %d", c.partitions, got, c.each)
		}
		if got := l.Memory(c.partitions); got != c.whole {
			t.Errorf("%d partitions take %d bytes, expected %d", c.partitions, got, c.whole)
		}
	}
}

func TestABatchIsFullBeforeItHoldsMoreThanItsShare(t *testing.T) {
	long := func(n int) string { return fmt.Sprintf("%0200d", n) }
	for what, event := range map[string]func(n int) testEvent{
		"a usage key each": func(n int) testEvent {
			return testEvent{Time: day1, Partner: long(n), App: long(n), Capability: "c", Action: "read", Subject: fmt.Sprint(n)}
		},
		"a minute each": func(n int) testEvent {
			return testEvent{Time: day1 + int64(n)*60_000, Partner: "p", Capability: "c", Action: "read", Subject: fmt.Sprint(n)}
		},
		"few usage keys": func(n int) testEvent {
			return testEvent{Time: day1, Partner: fmt.Sprint(n % 3), Capability: "c", Action: "read", Subject: fmt.Sprint(n)}
		},
		"many of people": func(n int) testEvent {
			return testEvent{Time: day1, Partner: fmt.Sprint(n % 40), Capability: "c", Action: "read", Subject: fmt.Sprint(n), Actor: fmt.Sprint(n + 1)}
		},
	} {
		limits := DefaultLimits().each(16)
		b := newBatch(testKey, Topic{Name: "access"}, schema.DefaultTimeLimits())
		before := held()
		b.open(0)
		for n := 0; !b.full(&limits); n++ {
			e := event(n)
			b.add(&record{offset: int64(n), time: day1 + 200*86400_000, value: e.json()})
		}
		b.delta.usage()
		got := held() - before
		t.Logf("%s: %d events, %d cells: %d kB held, of %d kB for all that the batch takes", what, b.counts.events, b.delta.keys(), got>>10, limits.Bytes>>10)
		if b.counts.rejected > 0 || b.counts.events > uint64(limits.Events)/2 {
			t.Errorf("%s: %d events and %d rejects: it was not memory that closed the batch", what, b.counts.events, b.counts.rejected)
		}
		if got > limits.Bytes {
			t.Errorf("%s: %d bytes are held, more than the share of %d", what, got, limits.Bytes)
		}
		runtime.KeepAlive(b)
	}
}

// held is how much memory is in use.
func held() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // of this machine
}
