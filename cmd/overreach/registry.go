package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
)

// initFlags are the flags of `registry init`.
type initFlags struct {
	from               []string
	mapping, dir, file string
}

func newRegistryCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Work on the registry: what partners may do",
		Long: `The registry is a YAML file that says what partners may do, from when until when,
and how many people they may touch; overreach check reads it strictly. It is read
again whenever it changes.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRegistryInitCommand(a))
	return cmd
}

func newRegistryInitCommand(a *app) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Draft a registry from what partners were seen to do",
		Long: `Drafts a registry that allows what partners were seen to do: every capability and
action from the day it was first seen, and limits, commented out, at twice the
most people that were seen in an hour, 24 hours, 30 days and a month. What only
people know is marked FILL IN.

It reads the files of --from (a record a line, or a JSON list of them; plain, gzip
or zstd; - is standard input) through --mapping, or what overreach run --local DIR counted, or
else the ClickHouse of the configuration. There, limits of an hour and of 24 hours
rest on what is kept by minute and hour (retention.minutes, retention.hours).`,
		Example: `  overreach registry init --from events.ndjson.gz --mapping github --out registry.yaml
  overreach registry init --local demo
  overreach registry init --config config.yaml --out registry.yaml && overreach check --registry registry.yaml`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case len(f.from) > 0 && f.dir != "":
				return usagef("--from and --local are two sources: give one of them")
			case len(f.from) == 0 && f.mapping != "":
				return usagef("--mapping %s is for the files of --from: name them, or leave it out", f.mapping)
			}
			return draftRegistry(cmd.Context(), a, f)
		},
	}
	localFlag(cmd, &f.dir)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.from, "from", nil, "read events from `FILE` (repeatable, - is standard input)")
	flags.StringVar(&f.mapping, "mapping", "", "with --from: `MAPPING` that turns its lines into events: a file, or one that comes with overreach ("+strings.Join(decode.Mappings(), ", ")+")")
	flags.StringVar(&f.file, "out", "", "write to `FILE`, which must not exist (default: standard output)")
	return cmd
}

func draftRegistry(ctx context.Context, a *app, f initFlags) error {
	var seen []registry.Seen
	var err error
	if len(f.from) > 0 {
		seen, err = seenInFiles(ctx, a, f.from, f.mapping)
	} else {
		err = a.withStore(ctx, f.dir, func(ctx context.Context, st *store.Store) (err error) {
			seen, err = seenBy(ctx, st)
			return err
		})
	}
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return errors.New("no event was seen, so there is nothing to draft a registry from")
	}
	draft := registry.Draft(seen)
	if f.file == "" {
		_, err := a.stdout.Write(draft)
		return err
	}
	return writeNew(f.file, draft)
}

// writeNew writes a file that does not exist yet: a registry is written by hand
// once it was drafted, and not to be lost.
func writeNew(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // it holds no secret, the user names it
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--out: %s exists already: name another file, or take it away", name)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
