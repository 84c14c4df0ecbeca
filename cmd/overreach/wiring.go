package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// runServers runs one instance on the Kafka and ClickHouse of the configuration.
func runServers(cmd *cobra.Command, a *app, f runFlags) (err error) {
	ctx := cmd.Context()
	cfg, _, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := cfg.ValidateRun(); err != nil {
		return err
	}
	service, err := cfg.service(a.version)
	if err != nil {
		return err
	}
	if !f.noAlerts {
		if service.alerts, err = cfg.alerts(); err != nil {
			return err
		}
		if len(service.alerts.Alertmanagers)+len(service.alerts.Webhooks) == 0 {
			a.log.Warn().Msg("nobody is told of findings: set alerts.alertmanager.urls or alerts.webhook.url")
		}
	}
	service.consumer.Shared = keepMemory(service.consumer.Limits)
	storeConfig, err := cfg.storeConfig()
	if err != nil {
		return err
	}
	st, err := openWaiting(ctx, storeConfig, f.wait, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := migrated(ctx, st, cfg, f.migrate); err != nil {
		return err
	}
	s, err := newService(ctx, service, st, a.log)
	if err != nil {
		return err
	}
	return s.run(ctx, nil)
}

// openWaiting opens the store, and where it is not there yet tries again for as
// long as was asked for.
func openWaiting(ctx context.Context, cfg store.Config, patience time.Duration, a *app) (*store.Store, error) {
	deadline := time.Now().Add(patience)
	for said := false; ; said = true {
		st, err := store.Open(ctx, cfg)
		if err == nil || ctx.Err() != nil || !store.Temporary(err) || time.Now().After(deadline) {
			return st, err
		}
		if !said {
			a.log.Warn().Err(err).Stringer("at_most", patience).Msg("waiting for ClickHouse")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// migrated brings the tables up to date where the database is unused or it was
// asked for, and else says what is missing.
func migrated(ctx context.Context, st *store.Store, cfg *Config, asked bool) error {
	unused, err := st.Unused(ctx)
	if err != nil {
		return err
	}
	if unused || asked {
		if err := st.Migrate(ctx); err != nil {
			return err
		}
		return st.SetRetention(ctx, cfg.Retention.days())
	}
	pending, err := st.Pending(ctx)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("the tables lack %d migrations: run `overreach migrate`, or `overreach run --migrate`", len(pending))
	}
	return nil
}

// days returns the retention as ClickHouse keeps it.
func (r RetentionConfig) days() store.Retention {
	days := func(d Duration) uint32 { return uint32(time.Duration(d) / dayLong) } //nolint:gosec // Validate bounds it
	return store.Retention{Raw: days(r.Raw), Minutes: days(r.Minutes), Hours: days(r.Hours), Rejects: days(r.Rejects)}
}

// service returns the configuration of ingest and the judge.
func (c *Config) service(version string) (serviceConfig, error) {
	secret, err := c.HashKey()
	if err != nil {
		return serviceConfig{}, err
	}
	key, fingerprint, err := parseHashKey(string(secret))
	if err != nil {
		return serviceConfig{}, err
	}
	encryption, mechanism, err := c.kafkaAuth()
	if err != nil {
		return serviceConfig{}, err
	}
	topics, err := c.topics()
	if err != nil {
		return serviceConfig{}, err
	}
	cfg := serviceConfig{
		consumer: consumer.Config{
			Brokers: c.Kafka.Brokers, TLS: encryption, SASL: mechanism, Cluster: c.Kafka.Cluster, Group: c.Kafka.Group, Topics: topics,
			Start:      consumer.Start{At: consumer.StartAt(c.Kafka.Start.At), Time: c.Kafka.Start.Since},
			Limits:     c.limits(),
			TimeLimits: c.timeLimits(), UnreadableAfter: time.Duration(c.Kafka.UnreadableAfter),
			HashKey: key, Fingerprint: version,
		},
		judge: c.pace(), keyFingerprint: fingerprint, registryFile: string(c.Registry), listen: c.Listen,
	}
	if cfg.listen == "off" {
		cfg.listen = ""
	}
	return cfg, nil
}

// pace returns the pace of judging.
func (c *Config) pace() judge.Config {
	pace := defaultJudge()
	pace.Interval, pace.Lateness, pace.StalledAfter = time.Duration(c.Judge.Interval), time.Duration(c.Time.Lateness), time.Duration(c.Time.StalledAfter)
	pace.MaxUnregistered, pace.MaxApps = c.Judge.MaxUnregistered, c.Judge.MaxApps
	return pace
}

// timeLimits returns which event times are believed.
func (c *Config) timeLimits() schema.TimeLimits {
	return schema.TimeLimits{Min: schema.Day(c.Time.MinTime).Second() * 1000, MaxFuture: time.Duration(c.Time.MaxFuture)}
}

// limits returns what closes a batch.
func (c *Config) limits() consumer.Limits {
	limits := consumer.DefaultLimits()
	limits.Events, limits.Keys, limits.Age = c.Batch.MaxEvents, c.Batch.MaxKeys, time.Duration(c.Batch.MaxAge)
	return limits
}

// topics returns the topics with their encodings.
func (c *Config) topics() ([]consumer.Topic, error) {
	topics := make([]consumer.Topic, 0, len(c.Kafka.Topics))
	for _, t := range c.Kafka.Topics {
		encoding, err := decode.Open(string(t.Mapping))
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Topic, err)
		}
		topics = append(topics, consumer.Topic{Name: t.Topic, Encoding: encoding, KeepRaw: t.KeepRaw, Backfill: t.Backfill})
	}
	return topics, nil
}

// addSettingFlags adds a flag for each setting that wires one process to others
// and is often given on the command line.
func addSettingFlags(flags *pflag.FlagSet) {
	for path, help := range map[string]string{
		"kafka.brokers":        "`HOST:PORT` of some of the Kafka cluster's brokers, separated by commas",
		"kafka.group":          "consumer `GROUP`",
		"kafka.start":          "where to begin in a partition that was never read: earliest, latest or since:`TIME`",
		"clickhouse.addresses": "`HOST:PORT` of ClickHouse's native protocol",
		"clickhouse.database":  "`DATABASE`",
	} {
		flags.String(strings.TrimPrefix(flagName(path), "--"), "", help+" (default: the configuration's "+path+")")
	}
}
