package judge_test

import (
	"context"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// asking is a store that counts how often it is asked for usage.
type asking struct {
	tables
	asked *int
}

func (a asking) Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	*a.asked++
	return a.tables.Usage(ctx, q)
}

func TestDecadesWithoutAnEventAreNotReadMonthByMonth(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, e *engine) {
		long := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)
		asked := func(first time.Time) int {
			log := of(makeLog(3), "small")
			log[0].Time = first.UnixMilli()
			r := e.start(t, 1, 1000)
			r.produce(log, spread(1))
			r.awaitCounted(idle)
			n := 0
			r.round(r.judge(asking{r.store, &n}, 0, 1))
			return n
		}
		if short, long := asked(logStart), asked(long); long > short+20 {
			t.Errorf("where one event is of 2000, usage is asked for %d times, otherwise %d times", long, short)
		}
	})
}
