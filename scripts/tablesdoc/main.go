// Command tablesdoc writes docs/tables.md from the comments of the tables, as a
// ClickHouse engine has them after all migrations. It is run in the checkout,
// with bin/overreach-engine built.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/store"
)

const page = "docs/tables.md"

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "tablesdoc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "tablesdoc")
	if err != nil {
		return fmt.Errorf("making a folder for the engine: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	engine, err := embedded.StartEngine(ctx, embedded.EngineConfig{Binary: "bin/overreach-engine", Dir: dir, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Stop()) }()
	text, err := describe(ctx, engine.NativeAddr(), engine.Password())
	if err != nil {
		return err
	}
	if err := os.WriteFile(page, text, 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// table is a row of system.tables.
type table struct {
	Name         string `json:"name"`
	Engine       string `json:"engine"`
	Comment      string `json:"comment"`
	SortingKey   string `json:"sorting_key"`
	PartitionKey string `json:"partition_key"`
}

// column is a row of system.columns.
type column struct {
	Table   string `json:"table"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Comment string `json:"comment"`
}

// describe makes the tables on the engine at address and returns the page.
func describe(ctx context.Context, address, password string) (page []byte, err error) {
	cfg := store.Config{Addresses: []string{address}, Database: "overreach", Username: embedded.User, Password: password}
	if err := store.CreateDatabase(ctx, cfg); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	tables, err := query[table](ctx, s, "SELECT name, engine, comment, sorting_key, partition_key FROM system.tables WHERE database = currentDatabase() ORDER BY engine != 'View', name")
	if err != nil {
		return nil, err
	}
	columns, err := query[column](ctx, s, "SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() ORDER BY table, position")
	if err != nil {
		return nil, err
	}
	return render(tables, columns), nil
}

func query[T any](ctx context.Context, s *store.Store, sql string) ([]T, error) {
	var lines bytes.Buffer
	if err := s.Query(ctx, sql, &lines, store.JSON); err != nil {
		return nil, err
	}
	var all []T
	for d := json.NewDecoder(&lines); d.More(); {
		var one T
		if err := d.Decode(&one); err != nil {
			return nil, fmt.Errorf("reading the answer to %q: %w", sql, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func render(tables []table, columns []column) []byte {
	var b bytes.Buffer
	b.WriteString(`<!-- Written by scripts/tablesdoc from the comments in schema/clickhouse; change those, then run make docs. -->
# Tables

All times are UTC. People are keyed hashes. Read the views: they are right before and after any merge; the tables beneath may hold a row in several versions or parts.
`)
	part := ""
	for _, t := range tables {
		heading := "Tables"
		if t.Engine == "View" {
			heading = "Views"
		}
		if heading != part {
			part = heading
			fmt.Fprintf(&b, "\n## %s\n", heading)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n", t.Name, strings.TrimSuffix(t.Comment, "."))
		if t.Engine != "View" {
			fmt.Fprintf(&b, "\n%s, sorted by `%s`", t.Engine, strings.ReplaceAll(t.SortingKey, "`", ""))
			if t.PartitionKey != "" {
				fmt.Fprintf(&b, ", partitioned by `%s`", t.PartitionKey)
			}
			b.WriteString(".\n")
		}
		b.WriteString("\n| Column | Type | Meaning |\n|---|---|---|\n")
		for _, c := range columns {
			if c.Table == t.Name {
				fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", c.Name, c.Type, strings.ReplaceAll(c.Comment, "|", `\|`))
			}
		}
	}
	return b.Bytes()
}
