package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/statement"
	"github.com/overreach/overreach/store"
)

func newStatementCommand(a *app) *cobra.Command {
	var dir, from, to, format, out string
	cmd := &cobra.Command{
		Use:   "statement PARTNER",
		Short: "Write on one page what a partner might do and did between two days",
		Long: `Writes what a partner might do and what it did between two days, on one page
that can be handed to the partner or a regulator: agreement, grants, purposes,
accesses, people, bystanders, findings; each right that was not used, with what
the zero rests on, or that it is not provable, and why; and what the page cannot
say. It names the registry, by its hash, and the version that made it.

Both days are included, and UTC; without them it is the time over which events
were read. HTML is one file that needs nothing else, for screen and for A4.`,
		Example: `  overreach statement royalbank --local demo-data --from 2018-10-01 --to 2018-12-17
  overreach statement royalbank --from 2018-10-01 --to 2018-12-31 --out royalbank.html`,
		Args: exactly("one partner"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := statement.Statement{Partner: args[0], Made: time.Now().UTC(), Version: a.version}
			for _, day := range []struct {
				flag, text string
				into       *schema.Day
			}{{"--from", from, &ask.From}, {"--to", to, &ask.To}} {
				if day.text == "" {
					continue
				}
				d, err := schema.ParseDay(day.text)
				if err != nil {
					return usagef("%s: %v", day.flag, err)
				}
				*day.into = d
			}
			if format == "" {
				format = "md"
				if ext := strings.ToLower(filepath.Ext(out)); ext == ".html" || ext == ".htm" {
					format = "html"
				}
			}
			if format != "md" && format != "html" {
				return usagef("--format %q: expected md or html", format)
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				if err := fillStatement(ctx, st, &ask); err != nil {
					return err
				}
				return writeStatement(a.stdout, &ask, format, out)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().StringVar(&from, "from", "", "first `DAY`, as in 2018-10-01 (default: the first with events)")
	cmd.Flags().StringVar(&to, "to", "", "last `DAY`, included (default: the last with events)")
	cmd.Flags().StringVar(&format, "format", "", "md or html (default: by the name of --out, else md)")
	cmd.Flags().StringVar(&out, "out", "", "write `FILE` instead of standard output")
	return cmd
}

// writeStatement renders the page, and writes the file only once that is whole.
func writeStatement(stdout io.Writer, s *statement.Statement, format, out string) error {
	var page bytes.Buffer
	render := s.Markdown
	if format == "html" {
		render = s.HTML
	}
	if err := render(&page); err != nil {
		return fmt.Errorf("writing the statement: %w", err)
	}
	if out == "" {
		_, err := page.WriteTo(stdout)
		return err
	}
	if err := os.WriteFile(out, page.Bytes(), 0o644); err != nil { //nolint:gosec // a page to be handed out
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// leftOut names the partitions that the watermark leaves out.
func leftOut(ctx context.Context, st *store.Store) ([]string, error) {
	all, err := st.Standing(ctx)
	var names []string
	for _, one := range all {
		if one.LeftOut {
			names = append(names, one.String())
		}
	}
	return names, err
}

// maxStatementDays bounds what is read and drawn: ten years.
const maxStatementDays = 3660

// fillStatement reads all that the page says. Days that were not asked for are
// those over which events were read.
func fillStatement(ctx context.Context, st *store.Store, s *statement.Statement) error {
	version, err := st.LatestRegistry(ctx)
	if err != nil {
		return err
	}
	s.Registry, s.RegistryOrdinal, s.RegistryLoaded = version.Registry, version.Ordinal, version.Loaded
	markers, err := st.MonthMarkers(ctx)
	if err != nil {
		return err
	}
	watermark, err := st.Watermark(ctx)
	if err != nil {
		return err
	}
	if err := defaultDays(s, markers); err != nil {
		return err
	}
	s.Coverage = statement.Covers(markers, watermark, s.From, s.To)
	if s.Coverage.LeftOut, err = leftOut(ctx, st); err != nil {
		return err
	}
	seen, err := addUsage(ctx, st, s)
	if err != nil {
		return err
	}
	if _, registered := s.Registry.Partners[s.Partner]; !registered && !seen {
		known, err := st.Ledger(ctx, store.LedgerQuery{Partner: s.Partner})
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return fmt.Errorf("partner %q is not in the registry and was never seen: overreach grants lists those that were", s.Partner)
		}
	}
	repeats, err := st.Repeats(ctx, s.Partner, s.From, s.To)
	if err != nil {
		return err
	}
	s.Repeats = statement.Repeats(repeats)
	findings, err := st.Findings(ctx, schema.FindingsQuery{Partners: []string{s.Partner}})
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.State != schema.Withdrawn && f.FirstSeen.Before((s.To + 1).Time()) && !f.LastSeen.Before(s.From.Time()) {
			s.Findings = append(s.Findings, f.Finding)
		}
	}
	slices.SortFunc(s.Findings, func(a, b schema.Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), a.FirstCrossing.Compare(b.FirstCrossing), cmp.Compare(a.ID(), b.ID()))
	})
	return nil
}

// defaultDays sets the days that were not asked for.
func defaultDays(s *statement.Statement, markers []schema.Marker) error {
	var first, last int64
	for _, m := range markers {
		if m.FirstEvent != 0 && (first == 0 || m.FirstEvent < first) {
			first = m.FirstEvent
		}
		last = max(last, m.LastEvent)
	}
	if (s.From == 0 || s.To == 0) && first == 0 {
		return errors.New("no event was counted yet: name the days with --from and --to")
	}
	if s.From == 0 {
		s.From = schema.DayOfSecond(first / 1000)
	}
	if s.To == 0 {
		s.To = schema.DayOfSecond(last / 1000)
	}
	switch {
	case s.From > s.To:
		return usagef("--from %s lies after --to %s: expected the first day, then the last", s.From, s.To)
	case s.To-s.From >= maxStatementDays:
		return usagef("%s to %s are %d days, a statement has at most %d: name fewer with --from and --to", s.From, s.To, s.To-s.From+1, maxStatementDays)
	}
	return nil
}

// scopeSums adds up what was done with one scope.
type scopeSums struct {
	statement.Scope
	subjects, bystanders window.Sketch
}

// addUsage adds the partner's scopes and its people a day; seen says whether
// it did anything in the time.
func addUsage(ctx context.Context, st *store.Store, s *statement.Statement) (seen bool, err error) {
	scopes := map[usedScope]*scopeSums{}
	scope := func(capability string, action schema.Action) *scopeSums {
		k := usedScope{capability, action}
		if scopes[k] == nil {
			scopes[k] = &scopeSums{Scope: statement.Scope{Capability: capability, Action: action}}
		}
		return scopes[k]
	}
	// What was granted within the time is on the page also where it was not used.
	for _, g := range s.Registry.Partners[s.Partner].Grants {
		for _, action := range g.Actions {
			if g.From <= s.To && (g.Until == 0 || g.Until >= s.From) {
				scope(g.Capability, action)
			}
		}
	}
	people := map[string][]statement.DayOfUse{}
	for from := s.From; from <= s.To; from = from.NextMonth() { // a month at once: a day of a large scope is 12 kB
		cells, err := st.Usage(ctx, schema.UsageQuery{
			Resolution: schema.Daily, From: from.Second(), To: min(from.NextMonth(), s.To+1).Second(), Partners: []string{s.Partner},
			ByCapability: true, ByAction: true, ByBucket: true, Subjects: true, Bystanders: true,
		})
		if err != nil {
			return false, err
		}
		days := map[statementDay]*window.Sketch{}
		for _, c := range cells {
			seen = true
			if err := addCell(s, scope(c.Capability, c.Action), c); err != nil {
				return false, err
			}
			if err := addDay(s, days, people, c); err != nil {
				return false, err
			}
		}
		for k, sketch := range days {
			people[k.capability][k.day-s.From].People = schema.Estimate(sketch.Estimate())
		}
	}
	for _, sums := range scopes {
		sums.People = schema.Estimate(sums.subjects.Estimate()).AtMost(sums.Accesses)
		sums.Bystanders = schema.Estimate(sums.bystanders.Estimate()).AtMost(sums.Accesses)
		s.Scopes = append(s.Scopes, sums.Scope)
	}
	slices.SortFunc(s.Scopes, func(a, b statement.Scope) int {
		return cmp.Or(cmp.Compare(a.Capability, b.Capability), cmp.Compare(a.Action, b.Action))
	})
	for name, days := range people {
		s.Capabilities = append(s.Capabilities, statement.Capability{Name: name, People: days})
	}
	slices.SortFunc(s.Capabilities, func(a, b statement.Capability) int { return cmp.Compare(a.Name, b.Name) })
	return seen, nil
}

// addCell adds what was done with a scope on one day.
func addCell(s *statement.Statement, sums *scopeSums, c schema.UsageCell) error {
	sums.Add(&c.Counters)
	if c.Accesses > 0 {
		sums.Days++
		if !hasRight(s, c) {
			sums.Outside.Add(&c.Counters)
			sums.DaysOutside++
		}
	}
	if err := errors.Join(sums.subjects.MergeBytes(c.Subjects), sums.bystanders.MergeBytes(c.Bystanders)); err != nil {
		return fmt.Errorf("people of %s: %w", s.Partner, err)
	}
	return nil
}

// statementDay is a capability's day.
type statementDay struct {
	capability string
	day        schema.Day
}

// addDay adds the people of a cell to those of its capability and day.
func addDay(s *statement.Statement, days map[statementDay]*window.Sketch, people map[string][]statement.DayOfUse, c schema.UsageCell) error {
	if c.Accesses == 0 {
		return nil
	}
	k := statementDay{c.Capability, schema.DayOfSecond(c.Bucket)}
	if people[k.capability] == nil {
		people[k.capability] = make([]statement.DayOfUse, s.To-s.From+1)
	}
	if days[k] == nil {
		days[k] = &window.Sketch{}
	}
	if !hasRight(s, c) {
		people[k.capability][k.day-s.From].Outside = true
	}
	if err := days[k].MergeBytes(c.Subjects); err != nil {
		return fmt.Errorf("people of %s: %w", s.Partner, err)
	}
	return nil
}

// hasRight reports whether the partner had the right to what a cell counted.
func hasRight(s *statement.Statement, c schema.UsageCell) bool {
	return s.Registry.Right(s.Partner, c.Capability, c.Action, schema.DayOfSecond(c.Bucket)).Status == registry.Allowed
}
