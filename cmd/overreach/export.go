package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/store"
)

// exportFlags are the flags of `export`.
type exportFlags struct {
	out, where, local string
	force             bool
}

func newExportCommand(a *app) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export VIEW",
		Short: "Write a view or a table to a Parquet file",
		Long: `Writes the rows of a view or a table to a Parquet file, for those who have no
access to ClickHouse: pandas, polars, DuckDB, Spark and R read it as it is. The
order of the rows is not defined. The file appears when it is whole, readable by
you alone: events hold keyed hashes of people.

Times are UTC timestamps, enums are text, NULL is null, lists and the tuples in
them are nested, and counts stay unsigned. Sketches are the bytes of ClickHouse's
states. What is not UTF-8 in a text becomes U+FFFD.

--where is a condition in ClickHouse's SQL over the columns. An unknown name
lists what there is. With --local DIR it reads what overreach run --local DIR left
in that folder or is writing there now; otherwise the ClickHouse of the
configuration.`,
		Example: `  overreach export findings --out findings.parquet
  overreach export people_daily --local demo-data --where "capability = ''" --out people.parquet
  overreach export access_events --where "partner = 'tunecast' AND time >= '2018-12-01'" --out events.parquet`,
		Args: exactly("one view or table"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out == "" {
				return usagef("--out FILE.parquet is missing: where to write to")
			}
			if _, err := os.Lstat(f.out); !errors.Is(err, fs.ErrNotExist) && !f.force {
				return fmt.Errorf("--out %s exists already: name another file, or give --force to replace it", f.out)
			}
			return a.withStore(cmd.Context(), f.local, func(ctx context.Context, st *store.Store) error {
				return export(ctx, a, st, args[0], f)
			})
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "write to `FILE`")
	cmd.Flags().StringVar(&f.where, "where", "", "only rows for which `SQL` holds")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace the file where it exists")
	localFlag(cmd, &f.local)
	return cmd
}

func export(ctx context.Context, a *app, st *store.Store, name string, f exportFlags) error {
	relations, err := st.Relations(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(relations, func(r store.Relation) bool { return r.Name == name })
	if at < 0 {
		return usagef("there is no view or table %q; %s", name, whatThereIs(relations))
	}
	relation := relations[at]
	columns, err := st.Columns(ctx, relation)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.out), "."+filepath.Base(f.out)+".*") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it is gone where it was renamed
	w := newParquetFile(temporary, relation.Name, columns, usualRowGroup)
	if err := st.ReadRelation(ctx, relation, w.columns, f.where, w.into, w.write); err != nil {
		return errors.Join(fmt.Errorf("exporting %s: %w", name, err), temporary.Close())
	}
	err = errors.Join(w.close(), temporary.Sync())
	info, statErr := temporary.Stat()
	if err = errors.Join(err, statErr, temporary.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", f.out, err)
	}
	if err := os.Rename(temporary.Name(), f.out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %s rows, %d columns of %s, %s bytes\n",
		f.out, thousands(w.rows), len(columns), name, thousands(uint64(info.Size()))) //nolint:gosec // a size is not negative
	return err
}

// whatThereIs lists the views and the tables.
func whatThereIs(relations []store.Relation) string {
	var views, tables []string
	for _, r := range relations {
		if r.View {
			views = append(views, r.Name)
		} else {
			tables = append(tables, r.Name)
		}
	}
	return "the views are " + strings.Join(views, ", ") + "; the tables are " + strings.Join(tables, ", ")
}
