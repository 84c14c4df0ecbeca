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

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/notify"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
)

// localPartitions is how many partitions the embedded topic has: one more than
// a laptop's worth of loops would be waste.
const localPartitions = 2

// localSettings are what can be set of a run on one machine.
type localSettings struct {
	registry  string // file; empty: a registry of nobody
	hashKey   string // empty: the folder's own
	listen    string // of health and metrics; empty: nowhere
	limits    consumer.Limits
	time      schema.TimeLimits
	judge     judge.Config
	alerts    notify.Config    // without a receiver: nobody is told
	retention *RetentionConfig // nil: as the folder has it
}

// localDefaults are the settings where nothing is configured.
func localDefaults() localSettings {
	return localSettings{limits: localLimits(), time: schema.DefaultTimeLimits(), judge: defaultJudge()}
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

// localSettings reads the settings of a run on one machine: those of the
// configuration but for the servers, which it has of its own.
func (a *app) localSettings(f runFlags) (localSettings, error) {
	c, origins, err := a.loadConfig()
	if err != nil {
		return localSettings{}, err
	}
	if err := refuseServers(c, origins); err != nil {
		return localSettings{}, err
	}
	s := localDefaults()
	keys := s.limits.Keys
	s.limits, s.time, s.judge, s.registry = c.limits(), c.timeLimits(), c.pace(), string(c.Registry)
	if origins["batch.max_keys"] == originDefault {
		s.limits.Keys = keys
	}
	if origins["listen"] != originDefault && c.Listen != "off" {
		s.listen = c.Listen
	}
	if c.HashKeyFile != "" || c.secrets.hashKey != "" {
		key, err := c.HashKey()
		if err != nil {
			return localSettings{}, err
		}
		if _, _, err := parseHashKey(string(key)); err != nil {
			return localSettings{}, err
		}
		s.hashKey = string(key)
	}
	if !f.noAlerts {
		if s.alerts, err = c.alerts(); err != nil {
			return localSettings{}, err
		}
	}
	for path, origin := range origins {
		if strings.HasPrefix(path, "retention.") && origin != originDefault {
			s.retention = &c.Retention
		}
	}
	return s, nil
}

// refuseServers refuses what is configured of servers, which a run on one machine
// does not use.
func refuseServers(c *Config, origins Origins) error {
	p := &problems{origins: origins}
	for _, s := range c.settings() {
		if origins[s.path] == originDefault {
			continue
		}
		switch section, _, _ := strings.Cut(s.path, "."); {
		case strings.HasPrefix(s.path, "kafka.topics") && strings.HasSuffix(s.path, ".mapping"):
			p.add(s.path, "--local has a topic of its own: leave it out, and name the mapping with --mapping")
		case section == "kafka":
			p.add(s.path, "--local has a broker and a topic of its own: leave it out, or run without --local")
		case section == "clickhouse":
			p.add(s.path, "--local has a ClickHouse of its own, in its folder: leave it out, or run without --local")
		}
	}
	return errors.Join(p.errs...)
}

// localService returns the configuration of a service on the embedded parts.
func localService(l *local, topic consumer.Topic, s localSettings, a *app) (serviceConfig, error) {
	text, err := localKey(l.dir, s.hashKey)
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
			Start: consumer.Start{At: consumer.Earliest}, UnreadableAfter: time.Hour, Limits: s.limits, TimeLimits: s.time,
			HashKey: key, Fingerprint: a.version, Counted: l.forget(a.log), Forgets: true,
		},
		judge: s.judge, alerts: s.alerts, keyFingerprint: fingerprint, registryFile: s.registry, listen: s.listen,
	}, nil
}

func runLocal(ctx context.Context, a *app, f runFlags) (err error) {
	settings, err := a.localSettings(f)
	if err != nil {
		return err
	}
	topic := consumer.Topic{Name: localTopic}
	if topic.Encoding, err = decode.Open(f.mapping); err != nil {
		return err
	}
	inputs, err := findInputs(f.from)
	if err != nil {
		return err
	}
	if file := filepath.Join(f.local, "registry.yaml"); settings.registry == "" && exists(file) {
		settings.registry = file
	}
	l, err := startLocal(ctx, f.local, localPartitions, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if settings.retention != nil {
		if err := l.store.SetRetention(ctx, settings.retention.days()); err != nil {
			return err
		}
	}
	taken, err := l.store.TakeBack(ctx)
	if err != nil {
		return err
	}
	if taken > 0 {
		a.log.Info().Uint64("rows", taken).Msg("an earlier run ended amid a batch: what it left of it was deleted, and is counted again")
	}
	var plan *filePlan
	if len(f.from) > 0 {
		if plan, err = planFiles(ctx, a.log, l.store, inputs, f.again); err != nil {
			return err
		}
	}
	if settings.registry == "" {
		a.log.Warn().Msg("no registry: every partner is unregistered; `overreach registry init` drafts one from what was seen")
	}
	cfg, err := localService(l, topic, settings, a)
	if err != nil {
		return err
	}
	if cfg.earlier, err = l.earlier(ctx); err != nil {
		return err
	}
	s, err := newService(ctx, cfg, l.store, a.log)
	if err != nil {
		return err
	}
	if plan == nil {
		a.log.Info().Str("kafka", l.broker.Addr()).Str("topic", localTopic).Str("clickhouse", l.engine.NativeAddr()).
			Str("clickhouse_http", l.engine.HTTPAddr()).Msg("running on one machine; produce events to the topic")
		if err := writeHowToConnect(a, addressesOf(l.engine)); err != nil {
			return err
		}
		return s.run(ctx, nil)
	}
	return runFiles(ctx, a, l, s, plan, f)
}

// earlier returns the ends of what is counted of earlier runs.
func (l *local) earlier(ctx context.Context) (map[schema.Partition]int64, error) {
	extents, err := l.store.Extents(ctx)
	ends := make(map[schema.Partition]int64, len(extents))
	for _, e := range extents {
		ends[e.Partition] = e.To
	}
	return ends, err
}

// replayed sends lines to the embedded broker while it judges, waits until all
// is counted, and judges to the end. send is told the incarnation that they become.
func (s *service) replayed(ctx context.Context, l *local, send func(ctx context.Context, incarnation string, cfg replay.Config) (replay.Result, error)) error {
	judging, stop := context.WithCancel(ctx)
	judged := make(chan error, 1)
	go func() { judged <- s.judge.Run(judging) }()
	ends, err := s.counted(ctx, l, send)
	stop()
	if judgeErr := <-judged; err == nil {
		err = judgeErr
	}
	if err != nil {
		return err
	}
	return s.judge.Drain(ctx, ends)
}

// counted sends lines and waits until all of them are counted. It returns where
// they end.
func (s *service) counted(ctx context.Context, l *local, send func(ctx context.Context, incarnation string, cfg replay.Config) (replay.Result, error)) (map[schema.Partition]int64, error) {
	incarnations, err := s.consumer.Incarnations(ctx)
	if err != nil {
		return nil, err
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	sent, err := send(ctx, incarnations[0].Name, replay.Config{
		Client: &kafka.Client{Addr: kafka.TCP(l.broker.Addr()), Transport: transport}, Topic: localTopic,
	})
	if err != nil {
		return nil, err
	}
	s.consumer.Drain()
	ends := incarnationEnds(incarnations[0].Name, sent.Ends)
	for {
		behind, err := s.behind(ctx, ends)
		if err != nil || behind == 0 {
			return ends, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
