package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// checkFlags are the flags of `check`.
type checkFlags struct {
	connect  bool
	registry string
	mappings []string
	sample   string
	limit    int
	json     bool
}

func newCheckCommand(a *app) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check configuration, registry and mappings, and say what will be watched",
		Long: `Reads the configuration, the registry and the mappings as strictly as overreach run
does, and prints what each detector will watch of each partner. What is wrong is
named by file and line, all of it at once.

With --connect it also asks Kafka for the topics and the consumer group, and
ClickHouse for its version and tables, and prints the ACLs and GRANTs that
overreach needs there, as commands to copy. It changes nothing.

With --sample it reads a file (lines, or a JSON list; plain, gzip or zstd; - is
standard input) through the mapping, and prints the first events, how many items
each condition left out, and what was rejected and why, with the path that
failed. People are not shown, so that the output can be shared.

Exit codes: 0 all is well, 1 something is wrong or did not answer, or no event
came of the sample.`,
		Example: `  overreach check --registry registry.yaml
  overreach check --mapping github --mapping ./ours.yaml
  overreach check --mapping ./ours.yaml --sample records.ndjson --limit 20
  overreach check --config config.yaml --connect`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.sample == "" && (f.json || cmd.Flags().Changed("limit")):
				return usagef("--json and --limit are for what comes of a sample: give --sample FILE, or leave them out")
			case f.sample != "" && (f.connect || f.registry != "" || len(f.mappings) > 1):
				return usagef("--sample shows what one mapping makes of a file: give one --mapping, or none for events as they are, and leave out --connect and --registry")
			case f.limit < 0:
				return usagef("--limit %d: expected how many events to show, from 0", f.limit)
			case f.sample != "":
				return checkSample(cmd.Context(), a.stdout, f)
			}
			c, err := checkFiles(a, f)
			if !f.connect || c == nil {
				return err
			}
			return errors.Join(err, checkServers(cmd.Context(), a, c))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.connect, "connect", false, "try Kafka and ClickHouse, and print the rights that they must give")
	flags.StringVar(&f.registry, "registry", "", "registry `FILE` (default: registry of the configuration)")
	flags.StringArrayVar(&f.mappings, "mapping", nil, "also check this `MAPPING`: a file, or one that comes with overreach (repeatable)")
	flags.StringVar(&f.sample, "sample", "", "show what --mapping makes of the records of `FILE`")
	flags.IntVar(&f.limit, "limit", 10, "with --sample: show the first `N` events")
	flags.BoolVar(&f.json, "json", false, "with --sample: print one JSON object")
	return cmd
}

// checkFiles checks all files before it returns what is wrong with them. The
// configuration is nil where it cannot be used.
func checkFiles(a *app, f checkFlags) (*Config, error) {
	c, _, err := a.loadConfig()
	if err != nil {
		return nil, err // without it, what to check is not known
	}
	var b strings.Builder
	var errs []error
	if a.configFile != "" {
		fmt.Fprintf(&b, "config    %s: ok\n", a.configFile)
		b.WriteString(sayMemory(c.limits()))
	}
	mappings := f.mappings
	for _, t := range c.Kafka.Topics {
		if t.Mapping != "" {
			mappings = append(mappings, string(t.Mapping))
		}
	}
	slices.Sort(mappings)
	for _, name := range slices.Compact(mappings) {
		if _, err := decode.LoadMapping(name); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(&b, "mapping   %s: ok\n", name)
	}
	file := f.registry
	if file == "" {
		file = string(c.Registry)
	}
	switch {
	case file != "":
		if err := checkRegistry(&b, file); err != nil {
			errs = append(errs, err)
		}
	case len(mappings) == 0 && !f.connect:
		errs = append(errs, usagef("there is nothing to check: give --registry FILE, --mapping MAPPING, or --config FILE that names them"))
	}
	_, err = io.WriteString(a.stdout, b.String())
	return c, errors.Join(append(errs, err)...)
}

// megabytes writes a number of bytes, rounded up.
func megabytes(bytes int64) string { return thousands(uint64((bytes + 1<<20 - 1) >> 20)) } //nolint:gosec // not negative

// checkRegistry reads a registry and writes what will be watched.
func checkRegistry(w io.Writer, file string) error {
	data, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	r, err := registry.Parse(file, data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "registry  %s: ok, %d partners, %d capabilities, SHA-256 %s\n\n",
		file, len(r.Partners), len(r.Capabilities), r.SHA256)
	return errors.Join(err, writeWatches(w, r))
}

// writeWatches writes what each detector will watch of each partner.
func writeWatches(w io.Writer, r *registry.Registry) error {
	var b strings.Builder
	width := 0
	for _, d := range detectors.All() {
		width = max(width, len(d.Name()))
	}
	line := func(detector, what string) { fmt.Fprintf(&b, "  %-*s  %s\n", width, detector, schema.Printable(what)) }
	others, gaps := detectors.UnregisteredPartner{}.Name(), detectors.DataGap{}.Name()
	for _, name := range slices.Sorted(maps.Keys(r.Partners)) {
		b.WriteString(schema.Printable(name))
		if owner := r.Partners[name].Owner; owner != "" {
			fmt.Fprintf(&b, " (%s)", schema.Printable(owner))
		}
		b.WriteByte('\n')
		for _, d := range detectors.All() {
			label := d.Name()
			for _, what := range d.Watches(r, name) {
				line(label, what)
				label = ""
			}
			if label != "" && label != others && label != gaps {
				line(label, "nothing: the registry gives it no date or limit here")
			}
		}
	}
	b.WriteString("every other name\n")
	line(others, "any access or attempt")
	b.WriteString("what is read\n")
	line(gaps, "records that Kafka no longer had")
	_, err := io.WriteString(w, b.String())
	return err
}
