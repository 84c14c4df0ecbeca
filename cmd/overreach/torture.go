//go:build torture

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/notify"
)

// The program that the kill test builds dies where it is told to. It judges days
// sooner, so that a run takes no minutes to drain, says sooner that it is not ready,
// and may leave out sooner what stands still.
const (
	hourEvery         = 2 * time.Second
	dayEvery          = 4 * time.Second
	readyGrace        = 4 * time.Second
	leastStalledAfter = time.Second
)

// envDieAt names a point between two steps, and which coming to it is the last,
// as in flush.raw:3. The word list prints all points.
const envDieAt = "OVERREACH_DIE_AT"

func init() {
	var points []string
	for prefix, some := range map[string][]string{"flush.": consumer.Points, "judge.": judge.Points, "notify.": notify.Points} {
		for _, p := range some {
			points = append(points, prefix+p)
		}
	}
	slices.Sort(points)
	value := os.Getenv(envDieAt)
	if value == "" {
		return
	}
	if value == "list" {
		fmt.Println(strings.Join(points, "\n"))
		os.Exit(exitOK)
	}
	name, nth, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil || !slices.Contains(points, name) {
		fmt.Fprintf(os.Stderr, "%s=%s: expected one of %s, a colon and a number\n", envDieAt, value, strings.Join(points, ", "))
		os.Exit(exitUsage)
	}
	var left atomic.Int64
	left.Store(n)
	die := func(prefix string) func(string) {
		return func(point string) {
			if prefix+point != name || left.Add(-1) != 0 {
				return
			}
			_, _ = fmt.Fprintf(os.Stderr, "dying at %s\n", value)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // not a step further
		}
	}
	consumer.Reached, judge.Reached, notify.Reached = die("flush."), die("judge."), die("notify.")
}
