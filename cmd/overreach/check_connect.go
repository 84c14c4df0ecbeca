package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/store"
)

// connectTimeout is how long a server may take to answer.
const connectTimeout = 10 * time.Second

// checkServers asks Kafka and ClickHouse, and says which rights they must give:
// those most of all where one of them refused.
func checkServers(ctx context.Context, a *app, c *Config) error {
	var b strings.Builder
	kafkaErr := checkKafka(ctx, &b, a, c)
	storeErr := checkClickHouse(ctx, &b, c)
	b.WriteByte('\n')
	writeACLs(&b, c)
	b.WriteByte('\n')
	writeGrants(&b, c)
	_, err := io.WriteString(a.stdout, b.String())
	return errors.Join(kafkaErr, storeErr, err)
}

func checkKafka(ctx context.Context, w io.Writer, a *app, c *Config) error {
	if len(c.Kafka.Brokers) == 0 {
		return fmt.Errorf("no Kafka broker is named: set kafka.brokers in the file of --config or %s", envName("kafka.brokers"))
	}
	client, err := a.kafkaClient(nil)
	if err != nil {
		return err
	}
	defer client.close()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	at := strings.Join(c.Kafka.Brokers, ", ")
	var names []string
	for _, t := range c.Kafka.Topics {
		names = append(names, t.Topic)
	}
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return fmt.Errorf("kafka at %s did not answer: %w; check the address, TLS and SASL settings", at, err)
	}
	_, _ = fmt.Fprintf(w, "kafka       %s: cluster %s, %d brokers\n", at, answer.ClusterID, len(answer.Brokers)) // a Builder never fails
	var errs []error
	for _, t := range answer.Topics {
		if len(names) == 0 {
			break // all topics of the cluster: none was asked for
		}
		if t.Error != nil {
			errs = append(errs, fmt.Errorf("kafka topic %s: %w; create it, correct its name, or let overreach read it", t.Name, t.Error))
			continue
		}
		_, _ = fmt.Fprintf(w, "topic       %s: %d partitions\n", t.Name, len(t.Partitions))
	}
	g, err := describeGroup(ctx, client, c.Kafka.Group)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("kafka group %s: %w", c.Kafka.Group, err))...)
	}
	_, _ = fmt.Fprintf(w, "group       %s: %s, %d members\n", c.Kafka.Group, strings.ToLower(g.GroupState), len(g.Members))
	return errors.Join(errs...)
}

// describeGroup waits for the group's coordinator: a cluster that never had a
// group makes the topic of offsets when it is first asked, which takes seconds.
func describeGroup(ctx context.Context, client kafkaClient, group string) (kafka.DescribeGroupsResponseGroup, error) {
	for {
		answer, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return kafka.DescribeGroupsResponseGroup{}, err
		}
		if len(answer.Groups) != 1 {
			return kafka.DescribeGroupsResponseGroup{}, fmt.Errorf("the broker described %d groups, asked for one", len(answer.Groups))
		}
		g := answer.Groups[0]
		waiting := errors.Is(g.Error, kafka.NotCoordinatorForGroup) || errors.Is(g.Error, kafka.GroupCoordinatorNotAvailable) ||
			errors.Is(g.Error, kafka.GroupLoadInProgress)
		if !waiting || ctx.Err() != nil {
			return g, g.Error
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func checkClickHouse(ctx context.Context, w io.Writer, c *Config) (err error) {
	cfg, err := c.clickHouse()
	if err != nil {
		return err
	}
	at := strings.Join(cfg.Addresses, ", ")
	st, err := store.Open(ctx, cfg)
	switch {
	case store.NoDatabase(err): // as before the first migrate
		_, _ = fmt.Fprintf(w, "clickhouse  %s: answers; database %s is not there yet: run overreach migrate\n", at, cfg.Database)
		return nil
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var version strings.Builder
	if err := st.Query(ctx, "SELECT version() AS v", &version, store.TSV); err != nil {
		return err
	}
	_, number, _ := strings.Cut(strings.TrimSpace(version.String()), "\n") // under the header
	pending, err := st.Pending(ctx)
	if err != nil {
		return err
	}
	tables := "tables are up to date"
	if len(pending) > 0 {
		tables = fmt.Sprintf("tables lack %d migrations: run overreach migrate", len(pending))
	}
	_, _ = fmt.Fprintf(w, "clickhouse  %s: version %s, database %s, %s\n", at, number, cfg.Database, tables)
	return nil
}

// writeACLs writes what Kafka must allow: fetching, listing offsets and
// committing need Read of the topic, joining and committing Read of the group.
func writeACLs(w io.Writer, c *Config) {
	user := c.Kafka.SASL.Username
	if user == "" {
		user = "overreach"
	}
	server := "BROKER:9092"
	if len(c.Kafka.Brokers) > 0 {
		server = c.Kafka.Brokers[0]
	}
	add := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal %s --operation Read --operation Describe",
		server, shellQuote("User:"+user))
	_, _ = fmt.Fprintln(w, "# Kafka, where it checks ACLs:")
	for _, t := range c.Kafka.Topics {
		_, _ = fmt.Fprintln(w, add, "--topic", shellQuote(t.Topic))
	}
	_, _ = fmt.Fprintln(w, add, "--group", shellQuote(c.Kafka.Group))
}

// writeGrants writes what ClickHouse must allow, apart for what run needs all
// the time and for what migrate needs now and then.
func writeGrants(w io.Writer, c *Config) {
	database, user := "`"+c.ClickHouse.Database+"`", "`"+c.ClickHouse.Username+"`"
	_, _ = fmt.Fprintf(w, "-- ClickHouse, for overreach run:\nGRANT SELECT, INSERT ON %s.* TO %s;\n", database, user)
	if c.ClickHouse.Cluster != "" {
		_, _ = fmt.Fprintf(w, "GRANT SYSTEM SYNC REPLICA ON %s.* TO %s;\n", database, user)
	}
	_, _ = fmt.Fprintf(w, "-- ClickHouse, for overreach migrate, besides:\n"+
		"GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER ADD COLUMN, ALTER ADD INDEX, ALTER COMMENT COLUMN, ALTER SETTINGS, ALTER TTL, ALTER MATERIALIZE TTL ON %s.* TO %s;\n", database, user) //nolint:misspell // as ClickHouse spells it
	if c.ClickHouse.Cluster != "" {
		_, _ = fmt.Fprintf(w, "GRANT CLUSTER ON *.* TO %s;\n", user)
	}
	_, _ = fmt.Fprintf(w, "-- ClickHouse, for overreach forget, besides:\nGRANT ALTER DELETE ON %s.access_events TO %s;\nGRANT ALTER UPDATE ON %s.rejects TO %s;\n",
		database, user, database, user)
	_, _ = fmt.Fprintln(w, "-- ClickHouse, for who only reads: overreach migrate --print-reader")
}

// shellQuote keeps a name one word for a shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
