package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/decode"
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
	again    bool
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
prints the findings, says what became of the records, and ends. Where no record
became an event it ends with 1, unless the mapping filtered all of them out.

What it counted stays in the folder: a second run adds to it. A file that was
counted is left out, whatever its name is now and whether it is packed, unless
--again is given; of one that has grown, or whose counting was interrupted, the
rest is counted. What comes from standard input or a pipe cannot be recognised.

Of the configuration --local takes everything but kafka and clickhouse, which it
refuses.`,
		Example: `  overreach run --config config.yaml
  overreach run --local data --from events.ndjson --registry registry.yaml
  overreach run --local data --from github.ndjson --mapping github`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.local == "" {
				return runServers(cmd, a, f)
			}
			return runLocal(cmd.Context(), a, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.local, "local", "", "run on one machine, without servers, keeping everything in `DIR`")
	flags.StringSliceVar(&f.from, "from", nil, "with --local: replay `FILE` (repeatable, - for standard input), then end")
	flags.StringVar(&f.mapping, "mapping", "", "with --local: `MAPPING` that turns the records into events: a file, or one that comes with overreach ("+strings.Join(decode.Mappings(), ", ")+")")
	flags.StringVar(&f.registry, "registry", "", "registry `FILE`; with --local the default is DIR/registry.yaml where it exists")
	flags.StringVar(&f.listen, "listen", "", "`ADDRESS` of health checks and metrics, host:port; empty: what the configuration says, or nowhere with --local")
	flags.BoolVar(&f.migrate, "migrate", false, "bring ClickHouse's tables up to date first; an empty database always is")
	flags.BoolVar(&f.noAlerts, "no-alerts", false, "tell nobody: findings are logged and kept alone, as when old topics are read")
	flags.BoolVar(&f.json, "json", false, "with --from: print the findings as JSON, one a line")
	flags.BoolVar(&f.again, "again", false, "with --from: count files once more that were counted")
	flags.DurationVar(&f.wait, "wait", 0, "wait `DURATION` for a ClickHouse that does not answer yet; 0: fail at once")
	addSettingFlags(flags)
	return cmd
}

// check refuses flags that do not go together.
func (f *runFlags) check() error {
	switch {
	case f.local == "" && (len(f.from) > 0 || f.mapping != ""):
		return usagef("--from and --mapping need --local DIR; with servers, replay files with `overreach replay` and name the mapping in the configuration")
	case f.again && len(f.from) == 0:
		return usagef("--again needs --from FILE: it counts files once more")
	case f.json && len(f.from) == 0:
		return usagef("--json needs --from FILE: a run without an end prints no findings")
	case f.local != "" && f.migrate:
		return usagef("--migrate is for servers: with --local the tables are brought up to date always")
	case f.local != "" && f.wait != 0:
		return usagef("--wait is for servers: --local starts a ClickHouse of its own")
	}
	return nil
}
