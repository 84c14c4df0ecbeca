package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

func TestWhatStandsStillIsALineAReasonTheLongestFirstAndNothingWithinTheGrace(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(what, why string, d time.Duration) schema.Stall {
		return schema.Stall{What: what, Why: why, Since: now.Add(-d)}
	}
	got := stallLines(now, []schema.Stall{
		ago("access/2", "waits for ClickHouse: timeout", 40*time.Second),
		ago("access/4", "waits for Kafka: timeout", readyGrace-time.Second),
		ago("judge", "its rounds fail", time.Hour),
		ago("access/0", "waits for ClickHouse: timeout", 90*time.Second),
	})
	want := []string{
		"judge stands still for 1h0m0s, since 2026-03-01T11:00:00Z: its rounds fail",
		"access/0, access/2 stand still for 1m30s, since 2026-03-01T11:58:30Z: waits for ClickHouse: timeout",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhoIsReadyNamesPartitionsThatTheWatermarkLeavesOut(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if got := readyText(now, false, nil); got != "ready" {
		t.Errorf("with none it says %q", got)
	}
	got := readyText(now, true, []schema.Stall{{What: "access/3", Since: now.Add(-time.Hour), Why: "the watermark leaves it out"}})
	if want := "ready: a standby, other instances have all partitions\naccess/3 stands still for 1h0m0s, since 2026-03-01T11:00:00Z: the watermark leaves it out"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
