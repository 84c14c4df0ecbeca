//go:build !torture

package main

import "time"

// How often windows of 24 hours, and those of days, are judged.
const (
	hourEvery = 10 * time.Second
	dayEvery  = time.Minute
)

// readyGrace is how long something may stand still before the instance is not ready.
// After a restart of ClickHouse or Kafka that takes seconds, a call is made again
// within 15 s (the longest wait between two attempts), so that one that fails for
// 30 s has met an outage and no restart. It is also more than a rebalance of the
// group takes where a member has died (10 s).
const readyGrace = 30 * time.Second

// leastStalledAfter is the least that time.stalled_after may be: a restart, or the
// election of a broker, is over by then.
const leastStalledAfter = time.Minute
