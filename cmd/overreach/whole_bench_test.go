package main

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/story"
)

// The demo's own size is -whole.scale 0.005 -whole.days 91 -benchtime 1x.
var (
	wholeScale = flag.Float64("whole.scale", story.MinScale, "BenchmarkWholeWay: scale of the story")
	wholeDays  = flag.Int("whole.days", 30, "BenchmarkWholeWay: days of the story")
)

// BenchmarkWholeWay takes the story from its events through broker, consumer and
// engine to findings: the way of the demo, in this process but for the engine.
//
// events/s and allocs/event count from the first event sent until all is judged;
// CPU is all that this process and the engine used, the making of the events and
// the engine's start and end included.
func BenchmarkWholeWay(b *testing.B) {
	b.Setenv("OVERREACH_ENGINE", embeddedtest.Binary(b))
	b.Setenv("OVERREACH_ENGINE_LIBRARY", embeddedtest.Library(b))
	cfg := story.Default()
	cfg.Scale, cfg.Days = *wholeScale, *wholeDays
	var events int64
	var took time.Duration
	var allocs uint64
	ours, engines := cpu(b, syscall.RUSAGE_SELF), cpu(b, syscall.RUSAGE_CHILDREN)
	for b.Loop() {
		n, t, a := wholeWay(b, cfg)
		events, took, allocs = events+n, took+t, allocs+a
	}
	ours, engines = cpu(b, syscall.RUSAGE_SELF)-ours, cpu(b, syscall.RUSAGE_CHILDREN)-engines
	per := func(total float64) float64 { return total / float64(events) }
	b.ReportMetric(float64(events)/took.Seconds(), "events/s")
	b.ReportMetric(per(float64(ours)), "ns-cpu/event")
	b.ReportMetric(per(float64(engines)), "ns-engine-cpu/event")
	b.ReportMetric(per(float64(allocs)), "allocs/event")
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}

// wholeWay runs the story once in a new folder.
func wholeWay(b *testing.B, cfg story.Config) (events int64, took time.Duration, allocs uint64) {
	ctx := b.Context()
	a := &app{stdout: io.Discard, stderr: io.Discard, version: "benchmark", log: zerolog.Nop()}
	dir, err := os.MkdirTemp(b.TempDir(), "")
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	check(err)
	registry := filepath.Join(dir, "registry.yaml")
	check(os.WriteFile(registry, cfg.Registry(), 0o600))
	l, err := startLocal(ctx, dir, localPartitions, a.log)
	check(err)
	defer func() { check(l.close()) }()
	settings := localDefaults()
	settings.registry = registry
	wired, err := localService(l, consumer.Topic{Name: localTopic}, settings, a)
	check(err)
	s, err := newService(ctx, wired, l.store, a.log)
	check(err)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var sent replay.Result
	check(s.run(ctx, func(ctx context.Context) error {
		defer func() { took = time.Since(began) }()
		return s.replayed(ctx, l, func(ctx context.Context, _ string, to replay.Config) (replay.Result, error) {
			var err error
			sent, err = replay.Lines(ctx, to, story.Lines(cfg))
			return sent, err
		})
	}))
	runtime.ReadMemStats(&after)
	found, err := allFindings(ctx, l.store)
	check(err)
	if len(found) == 0 {
		b.Fatal("nothing was found, so this was not the whole way")
	}
	return sent.Lines, took, after.Mallocs - before.Mallocs
}

// cpu is the processor time used so far, by user and system.
func cpu(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
