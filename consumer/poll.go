package consumer

import (
	"context"
	"time"

	"github.com/overreach/overreach/schema"
)

// pollEvery is how often the bounds of the logs are asked for: well within the 15 s
// or more between two scrapes, and cheap, at three requests a broker.
const pollEvery = 2 * time.Second

// poll measures the partitions of a generation until it ends, whatever ClickHouse
// does and wherever their loops hang. What it exported of them goes with it: they
// may be another instance's from then on.
func (c *Consumer) poll(ctx context.Context, partitions []*progress) {
	defer func() {
		for _, p := range partitions {
			c.metrics.forget(p.labels())
		}
	}()
	topics := map[string][]int{}
	for _, p := range partitions {
		topics[p.topic] = append(topics[p.topic], int(p.partition))
	}
	var w waiter
	defer c.kafka.left(&w)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		logs, err := c.cluster.logs(ctx, topics)
		c.kafka.note(ctx, &w, err)
		for _, p := range partitions {
			if l, ok := logs[p.place]; ok {
				p.measure(l)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Report is what this instance counts, and what of it stands still.
type Report struct {
	Standby bool // it is a member of the group that has no partitions
	Stalls  []schema.Stall
}

// Report says what stands still here, since when and why. Nothing does where
// counting moves or is caught up.
func (c *Consumer) Report() Report {
	c.mu.Lock()
	parts, outside := c.parts, c.outside
	c.mu.Unlock()
	if !outside.IsZero() {
		why, _ := c.joining.why()
		if why == "" {
			why = "the group is sharing out its partitions"
		}
		return Report{Stalls: []schema.Stall{{What: "consumer group " + c.cfg.Group, Since: outside, Why: why}}}
	}
	r := Report{Standby: len(parts) == 0}
	now := time.Now()
	for _, p := range parts {
		if s, ok := p.stall(now); ok {
			r.Stalls = append(r.Stalls, s)
		}
	}
	return r
}
