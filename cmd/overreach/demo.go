package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
	"github.com/overreach/overreach/story"
)

// demoFlags are the flags of `demo`.
type demoFlags struct {
	dir   string
	scale float64
	seed  uint64
	serve bool
	json  bool
}

func newDemoCommand(a *app) *cobra.Command {
	defaults := story.Default()
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it find the story's partners, in about a minute",
		Long: `demo makes up three months of access events of some 40 ordinary partners and the
story's: one that reads the messages of far more people than it agreed to, one
still reading messages years after its feature ended, one whose agreement is
over, one that may read and never did, and one that only looks big. It replays
them through a broker in this process into a ClickHouse engine on --dir, judges
them, prints what it found and compares that with what the story says must be
found: exit code 1 where they differ.`,
		Example: `  overreach demo
  overreach demo --serve
  overreach query --local demo-data 'SELECT * FROM findings LIMIT 3' --format table`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), a, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "demo-data", "keep everything in `DIR`; what an earlier demo left there is deleted")
	flags.Float64Var(&f.scale, "scale", defaults.Scale, "share of the real traffic and limits; 1 is 70 million people a month")
	flags.Uint64Var(&f.seed, "seed", defaults.Seed, "`NUMBER` that chooses the people and the minutes")
	flags.BoolVar(&f.serve, "serve", false, "leave ClickHouse up until Ctrl-C")
	flags.BoolVar(&f.json, "json", false, "print the findings as JSON, one a line")
	return cmd
}

// quietLevel is the least that the demo logs: its table says the rest better.
const quietLevel = zerolog.WarnLevel

// demoMark is the file by which a folder is known to be a demo's, so that
// nothing else is ever deleted.
const demoMark = "overreach-demo"

// freshFolder empties the folder of an earlier demo, or makes a new one.
func freshFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("--dir: %w", err)
	}
	if len(entries) > 0 && !exists(filepath.Join(dir, demoMark)) {
		return fmt.Errorf("--dir %s is not empty and not an earlier demo's: name another folder", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("deleting the earlier demo: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, demoMark), []byte("A folder of `overreach demo`: the next demo deletes it.\n"), 0o600)
}

func runDemo(ctx context.Context, a *app, f demoFlags) (err error) {
	cfg := story.Default()
	cfg.Scale, cfg.Seed = f.scale, f.seed
	if err := cfg.Validate(); err != nil {
		return usagef("--scale: %v", err)
	}
	if err := freshFolder(f.dir); err != nil {
		return err
	}
	registryFile := filepath.Join(f.dir, "registry.yaml")
	if err := os.WriteFile(registryFile, cfg.Registry(), 0o600); err != nil {
		return fmt.Errorf("writing the story's registry: %w", err)
	}
	if err := demoKey(f.dir, cfg.Seed); err != nil {
		return err
	}
	started := time.Now()
	l, err := startLocal(ctx, f.dir, localPartitions, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	quiet := *a
	quiet.log = a.log.Level(max(a.log.GetLevel(), quietLevel)) // the table says it better than a line a finding
	settings := localDefaults()
	settings.registry = registryFile
	wired, err := localService(l, consumer.Topic{Name: localTopic}, settings, &quiet)
	if err != nil {
		return err
	}
	s, err := newService(ctx, wired, l.store, quiet.log)
	if err != nil {
		return err
	}
	var sent replay.Result
	err = s.run(ctx, func(ctx context.Context) error {
		return s.replayed(ctx, l, func(ctx context.Context, _ string, to replay.Config) (replay.Result, error) {
			to.Progress = progress(a.stderr, "replaying the story", "events", -1, func(c replay.Counts) int64 { return c.Lines })
			var err error
			sent, err = replay.Lines(ctx, to, story.Lines(cfg))
			return sent, err
		})
	})
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err := printFindings(ctx, a, l.store, f.json); err != nil {
		return err
	}
	became := s.tally.take()
	became.write(a.stderr, inKafka)
	found, err := allFindings(ctx, l.store)
	if err != nil {
		return err
	}
	differences := story.Compare(cfg.Expected(), found)
	for _, d := range differences {
		_, _ = fmt.Fprintln(a.stderr, "differs:", d)
	}
	if len(differences) > 0 {
		return fmt.Errorf("the findings differ from the story's list in %d places", len(differences))
	}
	_, _ = fmt.Fprintf(a.stderr, "\n%s events over %d days, judged in %.0f s; the findings are the story's list exactly.\n",
		thousands(uint64(sent.Lines)), cfg.Days, time.Since(started).Seconds())
	if !f.serve {
		demoNext(a.stderr, f.dir)
		return nil
	}
	at := addressesOf(l.engine)
	_, _ = fmt.Fprintf(a.stderr, "\nClickHouse is up until Ctrl-C: native protocol at %s, HTTP at %s, database %s, user %s, password %s.\n  curl '%s?database=%s' --data-binary 'SELECT * FROM findings FORMAT PrettyCompact'\n",
		at.Native, at.HTTP, localDatabase, at.User, at.Password, at.url(), localDatabase)
	<-ctx.Done()
	return nil
}

// demoKey leaves a hash key that everyone knows in the folder: the people are
// made up, and with the same key the estimates are the same for everybody.
func demoKey(dir string, seed uint64) error {
	sum := sha256.Sum256(fmt.Appendf(nil, "overreach demo %d", seed))
	key := hex.EncodeToString(sum[:hashKeyBytes]) + "\n"
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte(key), 0o600); err != nil {
		return fmt.Errorf("keeping the hash key: %w", err)
	}
	return nil
}

// demoNext says what to type next.
func demoNext(w io.Writer, dir string) {
	program := os.Args[0]
	_, _ = fmt.Fprintf(w, `
What next:
  %[1]s findings --local %[2]s --open                 what has not ended
  %[1]s grants --local %[2]s royalbank                the bank that may read messages: did it ever?
  %[1]s statement royalbank --local %[2]s --from 2018-10-01 --to 2018-12-17 --out royalbank.html
  %[1]s query --local %[2]s 'SELECT sentence, query FROM findings'
  %[1]s query --local %[2]s 'SELECT * FROM people_monthly ORDER BY people DESC LIMIT 5'
  %[1]s clickhouse %[2]s                              ClickHouse for curl, Python, BI tools
  make demo SERVE=1                                         the same in one go
`, program, dir)
}

// allFindings reads the latest version of every finding.
func allFindings(ctx context.Context, st *store.Store) ([]schema.Finding, error) {
	versioned, err := st.Findings(ctx, schema.FindingsQuery{})
	findings := make([]schema.Finding, len(versioned))
	for i, f := range versioned {
		findings[i] = f.Finding
	}
	return findings, err
}
