package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/schema"
)

// ErrNewer is what Migrate and Pending return where the tables were made by a
// later version of the program than this one.
var ErrNewer = errors.New("the tables are of a newer version of overreach than this program")

// Unused reports whether nothing was ever read into the database: it holds no
// tables at all, or those that another process is making just now.
func (s *Store) Unused(ctx context.Context) (bool, error) {
	var tables, ours, read uint64
	err := s.conn.QueryRow(ctx, "SELECT count(), countIf(name = 'schema_migrations'), sumIf(ifNull(total_rows, 0), name = 'incarnations') "+
		"FROM system.tables WHERE database = currentDatabase()").Scan(&tables, &ours, &read)
	if err != nil {
		return false, fmt.Errorf("counting tables: %w", s.explain(err))
	}
	return tables == 0 || ours > 0 && read == 0, nil
}

// Pending returns the migrations that the database lacks, in order. The error
// is ErrNewer where it has one that this program does not know.
func (s *Store) Pending(ctx context.Context) ([]schema.Migration, error) {
	all, err := schema.Migrations()
	if err != nil {
		return nil, err
	}
	applied, err := s.applied(ctx)
	if err != nil {
		return nil, err
	}
	var pending []schema.Migration
	for _, m := range all {
		switch sum, ok := applied[m.Number]; {
		case !ok:
			pending = append(pending, m)
		case sum != m.SHA256:
			return nil, refused("migration %d (%s) was applied with SHA-256 %s, here it is %s: another build made these tables. Use that build, or set clickhouse.database to a new name and count the topics again",
				m.Number, m.Name, sum, m.SHA256)
		}
		delete(applied, m.Number)
	}
	for number := range applied {
		return nil, refused("migration %d was applied, this program knows %d: %w; use that version", number, len(all), ErrNewer)
	}
	return pending, nil
}

// applied returns the SHA-256 of each migration that was recorded.
func (s *Store) applied(ctx context.Context) (map[uint32]string, error) {
	rows, err := s.conn.Query(ctx, "SELECT number, sha256 FROM schema_migrations FINAL")
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && exception.Code == codeUnknownTable {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", s.explain(err))
	}
	applied := map[uint32]string{}
	err = scan(rows, func() error {
		var number uint32
		var sum string
		if err := rows.Scan(&number, &sum); err != nil {
			return err
		}
		applied[number] = sum
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", s.explain(err))
	}
	return applied, nil
}

// Migrate applies what is pending and records it. It can be called again, and
// by several processes at once: each statement does nothing where its work is done.
func (s *Store) Migrate(ctx context.Context) error {
	pending, err := s.Pending(ctx)
	if err != nil {
		return err
	}
	for _, m := range pending {
		for _, statement := range m.Statements {
			if err := s.conn.Exec(ctx, onServers(statement, s.cluster)); err != nil {
				return fmt.Errorf("migration %d (%s): %w", m.Number, m.Name, s.explain(err))
			}
		}
		err := s.insert(ctx, "schema_migrations", []string{"number", "name", "sha256", "applied"}, "", func(b *block) {
			b.add([]uint32{m.Number})
			b.add([]string{m.Name})
			b.add([]string{m.SHA256})
			b.add([]time.Time{time.Now()})
		})
		if err != nil {
			return fmt.Errorf("migration %d (%s): %w", m.Number, m.Name, err)
		}
	}
	return nil
}

var (
	createStatement = regexp.MustCompile(`^(CREATE TABLE IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE) (\S+)`)
	engineClause    = regexp.MustCompile(`(?m)^ENGINE = (\w*MergeTree)(?:\((.*)\))?$`)
)

func onCluster(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " ON CLUSTER " + quoteName(cluster)
}

// onServers turns a statement into one for Replicated tables on a cluster,
// where there is one.
func onServers(statement, cluster string) string {
	if cluster == "" {
		return statement
	}
	statement = createStatement.ReplaceAllString(statement, "$0"+strings.ReplaceAll(onCluster(cluster), "$", "$$"))
	statement = engineClause.ReplaceAllStringFunc(statement, func(clause string) string {
		parts := engineClause.FindStringSubmatch(clause)
		arguments := `'/clickhouse/tables/{uuid}/{shard}', '{replica}'`
		if parts[2] != "" {
			arguments += ", " + parts[2]
		}
		return "ENGINE = Replicated" + parts[1] + "(" + arguments + ")"
	})
	return strings.ReplaceAll(statement, "non_replicated_deduplication_window", "replicated_deduplication_window")
}

// Retention says for how many days, from the day of the pin, rows are kept.
// Days of usage, findings and the registry are kept for ever.
type Retention struct {
	Raw     uint32 // access_events
	Minutes uint32 // usage by minute, and the marker of each batch
	Hours   uint32 // usage by hour
	Rejects uint32
}

var intervalDays = regexp.MustCompile(`toIntervalDay\((\d+)\)`)

// SetRetention changes how long rows are kept, where that differs from how long
// they are kept now. Each number must be at least 1.
func (s *Store) SetRetention(ctx context.Context, r Retention) error {
	if r.Raw == 0 || r.Minutes == 0 || r.Hours == 0 || r.Rejects == 0 {
		return refused("retention %+v: each must be at least 1 day", r)
	}
	for _, table := range []struct {
		name, ttl string
		days      []uint32
	}{
		{"access_events", "pinned + toIntervalDay(%d)", []uint32{r.Raw}},
		{"rejects", "pinned + toIntervalDay(%d)", []uint32{r.Rejects}},
		{"usage", "pinned + toIntervalDay(%d) DELETE WHERE resolution = 'minute' OR kind = 'range', " +
			"pinned + toIntervalDay(%d) DELETE WHERE resolution = 'hour'", []uint32{r.Minutes, r.Hours}},
	} {
		var made string
		err := s.conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = "+
			quote(table.name)).Scan(&made)
		if err != nil {
			return fmt.Errorf("reading the retention of %s: %w", table.name, s.explain(err))
		}
		var now []string
		for _, m := range intervalDays.FindAllStringSubmatch(made, -1) {
			now = append(now, m[1])
		}
		var want []string
		var days []any
		for _, d := range table.days {
			want = append(want, strconv.FormatUint(uint64(d), 10))
			days = append(days, d)
		}
		if slices.Equal(now, want) {
			continue
		}
		alter := "ALTER TABLE " + table.name + onCluster(s.cluster) + " MODIFY TTL " + fmt.Sprintf(table.ttl, days...)
		if err := s.conn.Exec(ctx, alter); err != nil {
			return fmt.Errorf("setting the retention of %s: %w", table.name, s.explain(err))
		}
	}
	return nil
}
