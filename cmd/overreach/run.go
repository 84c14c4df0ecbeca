package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
)

// runFlags are the flags of `run`.
type runFlags struct {
	local    string
	from     []string
	mapping  string
	registry string
	listen   string
	migrate  bool
	noAlerts bool
	wait     time.Duration
	json     bool
}

func newRunCommand(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Read access events, count them, judge them, tell what overreaches",
		Long: `run reads access events from the topics that the configuration names, counts
them in ClickHouse, judges them and logs what it finds, until it is told to stop:
SIGTERM flushes what it holds and leaves the consumer group within ten seconds,
a second signal ends it at once. SIGHUP reads the registry again; so does a
change of its file.

Several instances with the same configuration share the partitions and the
partners. Health and metrics are at /healthz, /readyz and /metrics of --listen.

With --local DIR it needs no servers: a broker in this process and a ClickHouse
engine on the folder stand in for them. With --from it replays files, a
record a line or a JSON list of them, plain or .gz or .zst, judges all of it,
prints the findings and ends. What it counted stays in the folder: a second run adds to it.`,
		Example: `  overreach run --config config.yaml
  overreach run --local data --from events.ndjson --registry registry.yaml
  overreach run --local data --from github.ndjson --mapping github`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.local == "" {
				if len(f.from) > 0 || f.mapping != "" {
					return usagef("--from and --mapping need --local DIR; with servers, replay files with `overreach replay` and name the mapping in the configuration")
				}
				return runServers(cmd, a, f)
			}
			return runLocal(cmd.Context(), a, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.local, "local", "", "run on one machine, without servers, keeping everything in `DIR`")
	flags.StringSliceVar(&f.from, "from", nil, "with --local: replay `FILE` (repeatable, - for standard input), then end")
	flags.StringVar(&f.mapping, "mapping", "", "with --local: `MAPPING` that turns the records into events: a file, or one that comes with overreach ("+strings.Join(schema.Mappings(), ", ")+")")
	flags.StringVar(&f.registry, "registry", "", "registry `FILE`; with --local the default is DIR/registry.yaml where it exists")
	flags.StringVar(&f.listen, "listen", "", "`ADDRESS` of health checks and metrics, host:port; empty: what the configuration says, or nowhere with --local")
	flags.BoolVar(&f.migrate, "migrate", false, "bring ClickHouse's tables up to date first; an empty database always is")
	flags.BoolVar(&f.noAlerts, "no-alerts", false, "tell nobody: findings are logged and kept alone, as when old topics are read")
	flags.BoolVar(&f.json, "json", false, "with --from: print the findings as JSON, one a line")
	flags.DurationVar(&f.wait, "wait", 0, "wait `DURATION` for a ClickHouse that does not answer yet; 0: fail at once")
	addSettingFlags(flags)
	return cmd
}

// localPartitions is how many partitions the embedded topic has: one more than
// a laptop's worth of loops would be waste.
const localPartitions = 2

// localService returns the configuration of a service on the embedded parts.
func localService(l *local, topic consumer.Topic, registryFile, listen string, a *app) (serviceConfig, error) {
	text, err := localKey(l.dir)
	if err != nil {
		return serviceConfig{}, err
	}
	key, fingerprint, err := parseHashKey(text)
	if err != nil {
		return serviceConfig{}, fmt.Errorf("%s: %w", filepath.Join(l.dir, keyFile), err)
	}
	return serviceConfig{
		consumer: consumer.Config{
			Brokers: []string{l.broker.Addr()}, Group: "overreach", Topics: []consumer.Topic{topic},
			Start: consumer.Start{At: consumer.Earliest}, UnreadableAfter: time.Hour, Limits: localLimits(), TimeLimits: schema.DefaultTimeLimits(),
			HashKey: key, Fingerprint: a.version, Counted: l.forget(a.log),
		},
		judge: defaultJudge(), keyFingerprint: fingerprint, registryFile: registryFile, listen: listen,
	}, nil
}

// localLimits make larger batches than a cluster's: there is one reader, and
// several events in a cell of usage make a replay cheaper.
func localLimits() consumer.Limits {
	l := consumer.DefaultLimits()
	l.Events, l.Keys = 100_000, 100_000
	return l
}

// defaultJudge is the pace of judging where nothing else is configured.
func defaultJudge() judge.Config {
	return judge.Config{
		Interval: time.Second, HourEvery: hourEvery, DayEvery: dayEvery,
		Lateness: 5 * time.Minute, StalledAfter: 10 * time.Minute, MaxUnregistered: 1000, MaxApps: 100,
	}
}

func runLocal(ctx context.Context, a *app, f runFlags) (err error) {
	topic := consumer.Topic{Name: localTopic}
	if f.mapping != "" {
		mapping, err := schema.LoadMapping(f.mapping)
		if err != nil {
			return err
		}
		topic.Mapping = mapping
	}
	for _, file := range f.from {
		if file == "-" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	registryFile := f.registry
	if registryFile == "" {
		if file := filepath.Join(f.local, "registry.yaml"); exists(file) {
			registryFile = file
		}
	}
	l, err := startLocal(ctx, f.local, localPartitions, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if registryFile == "" {
		a.log.Warn().Msg("no registry: every partner is unregistered; `overreach registry init` drafts one from what was seen")
	}
	cfg, err := localService(l, topic, registryFile, f.listen, a)
	if err != nil {
		return err
	}
	s, err := newService(ctx, cfg, l.store, a.log)
	if err != nil {
		return err
	}
	if len(f.from) == 0 {
		a.log.Info().Str("kafka", l.broker.Addr()).Str("topic", localTopic).Str("clickhouse", l.engine.NativeAddr()).
			Str("clickhouse_http", l.engine.HTTPAddr()).Msg("running on one machine; produce events to the topic")
		return s.run(ctx, nil)
	}
	err = s.run(ctx, func(ctx context.Context) error {
		return s.replayed(ctx, l, func(ctx context.Context, cfg replay.Config) (replay.Result, error) {
			return replay.Files(ctx, cfg, f.from...)
		})
	})
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return printFindings(ctx, a, l.store, f.json)
}

// replayed sends lines to the embedded broker while it judges, waits until all
// is counted, and judges to the end.
func (s *service) replayed(ctx context.Context, l *local, send func(context.Context, replay.Config) (replay.Result, error)) error {
	judging, stop := context.WithCancel(ctx)
	judged := make(chan error, 1)
	go func() { judged <- s.judge.Run(judging) }()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	result, err := send(ctx, replay.Config{
		Client: &kafka.Client{Addr: kafka.TCP(l.broker.Addr()), Transport: transport}, Topic: localTopic,
	})
	if err == nil {
		err = s.counted(ctx, result)
	}
	stop()
	if judgeErr := <-judged; err == nil {
		err = judgeErr
	}
	if err != nil {
		return err
	}
	streams, err := s.consumer.Streams(ctx)
	if err != nil {
		return err
	}
	return s.judge.Drain(ctx, streamEnds(streams[0].Name, result.Ends))
}

// counted waits until everything that was sent is counted.
func (s *service) counted(ctx context.Context, sent replay.Result) error {
	s.consumer.Drain()
	streams, err := s.consumer.Streams(ctx)
	if err != nil {
		return err
	}
	ends := streamEnds(streams[0].Name, sent.Ends)
	for {
		behind, err := s.behind(ctx, ends)
		if err != nil || behind == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
