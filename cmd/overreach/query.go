package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/store"
)

func newQueryCommand(a *app) *cobra.Command {
	var dir, format string
	cmd := &cobra.Command{
		Use:   "query SQL",
		Short: "Run a statement in ClickHouse and print what it yields",
		Long: `Runs one statement in ClickHouse and prints what it yields, tab-separated with
a header unless --format or a FORMAT clause of the statement says otherwise; the
clause wins. SQL "-" is read from standard input.

Formats in lower case are overreach's own: tsv has a header, json is an object a
line, table is for a terminal. The others are ClickHouse's by ClickHouse's names,
in any case but tsv and json: CSV, JSONEachRow, PrettyCompact and so on. In all of
them times are written as text, arrays and tuples as JSON, and what could steer a
terminal is escaped.

The views to begin with: findings, granted_vs_used, coverage, people_daily,
people_30d, people_monthly; the rows beneath: access_events, usage, rejects.
All times are UTC. With --local DIR it reads what overreach run --local DIR left
in that folder or is writing there now; otherwise the ClickHouse of the
configuration.`,
		Example: `  overreach query --local demo-data "SELECT partner, people, sentence FROM findings ORDER BY people DESC"
  overreach query --format table "DESCRIBE granted_vs_used"
  overreach query --format json "SELECT * FROM coverage" | jq .missing
  overreach query "SELECT partner, people FROM people_daily FORMAT CSVWithNames" > people.csv`,
		Args: exactly("one statement, in quotes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			as, known := store.ParseFormat(format)
			if !known {
				return usagef("--format %q: expected one of %s", format, store.FormatNames())
			}
			sql := args[0]
			if sql == "-" {
				text, err := io.ReadAll(a.stdin)
				if err != nil {
					return fmt.Errorf("reading the statement: %w", err)
				}
				sql = string(text)
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				return st.Query(ctx, sql, a.stdout, as)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().StringVar(&format, "format", string(store.TSV), "`FORMAT` of the rows: "+store.FormatNames())
	return cmd
}

// localFlag adds the flag of the commands that read ClickHouse.
func localFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "local", "", "read `DIR` of overreach run --local DIR instead of a ClickHouse server")
}

// withStore calls read with the store of the folder, or of the configuration
// where the folder is empty, and closes it.
func (a *app) withStore(ctx context.Context, dir string, read func(context.Context, *store.Store) error) error {
	st, closeAll, err := a.openStore(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(read(ctx, st), closeAll())
}

func (a *app) openStore(ctx context.Context, dir string) (*store.Store, func() error, error) {
	if dir != "" {
		return openLocal(ctx, dir)
	}
	c, _, err := a.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := c.clickHouse()
	if err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return st, st.Close, nil
}

// clickHouse returns where the configuration's ClickHouse is, for the commands
// that may need nothing else of it.
func (c *Config) clickHouse() (store.Config, error) {
	if len(c.ClickHouse.Addresses) == 0 {
		return store.Config{}, errors.New("no ClickHouse is named: set clickhouse.addresses in the file of --config or " +
			envName("clickhouse.addresses") + ", or give --local DIR where the command takes it")
	}
	return c.storeConfig()
}

// exactly accepts one argument; what says which, for the error.
func exactly(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s takes %s, not %d arguments; see %s --help", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// nothing accepts no arguments.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, but %q is one; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
