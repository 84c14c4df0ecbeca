package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/store"
)

func newMigrateCommand(a *app) *cobra.Command {
	var printReader bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring ClickHouse's tables up to date",
		Long: `Makes the database where it does not exist, applies the migrations that it lacks,
sets how long rows are kept, and prints what it did. It can be run again, and by
several processes at once. A database of a newer version of overreach is refused.

ClickHouse and the retention are those of the configuration; the flags stand
above it. Retention counts in whole days from the day on which a row was read.
What grew too old is removed by ClickHouse's next merges.

With --print-reader it changes nothing and prints the statements that make the
role overreach_reader, for people and programs that only read, within bounds of
memory and time. Making a role is an administrator's right: pipe them into a
client of one.`,
		Example: `  overreach migrate --config config.yaml
  OVERREACH_CLICKHOUSE_ADDRESSES=localhost:9000 overreach migrate --retention-raw 30d
  overreach migrate --print-reader | clickhouse-client --host clickhouse --user admin --password`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.loadConfig()
			if err != nil {
				return err
			}
			if printReader {
				_, err := io.WriteString(a.stdout, store.ReaderRole(c.ClickHouse.Database, c.ClickHouse.Cluster))
				return err
			}
			return migrate(cmd.Context(), a.stdout, c)
		},
	}
	cmd.Flags().BoolVar(&printReader, "print-reader", false, "print the statements of the role overreach_reader instead")
	for _, f := range []struct{ name, what string }{
		{"raw", "events and the people in them"},
		{"minutes", "usage by minute"},
		{"hours", "usage by hour"},
		{"rejects", "records that could not be read"},
	} {
		cmd.Flags().String("retention-"+f.name, "", "keep "+f.what+" for `DAYS`, as in 90d (default: retention."+f.name+" of the configuration)")
	}
	return cmd
}

func migrate(ctx context.Context, w io.Writer, c *Config) (err error) {
	cfg, err := c.clickHouse()
	if err != nil {
		return err
	}
	if err := store.CreateDatabase(ctx, cfg); err != nil {
		return err
	}
	st, err := store.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	pending, err := st.Pending(ctx)
	if err != nil {
		return err
	}
	if err := st.Migrate(ctx); err != nil {
		return err
	}
	for _, m := range pending {
		if _, err := fmt.Fprintf(w, "applied migration %d (%s)\n", m.Number, m.Name); err != nil {
			return err
		}
	}
	if err := st.SetRetention(ctx, c.Retention.days()); err != nil {
		return err
	}
	r := c.Retention
	_, err = fmt.Fprintf(w, "database %s is up to date; kept: events %s, minutes %s, hours %s, rejects %s\n",
		cfg.Database, r.Raw, r.Minutes, r.Hours, r.Rejects)
	return err
}
