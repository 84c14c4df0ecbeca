package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

func newGrantsCommand(a *app) *cobra.Command {
	var dir string
	var asJSON bool
	var q store.LedgerQuery
	cmd := &cobra.Command{
		Use:   "grants [PARTNER]",
		Short: "Show what each partner may do, beside what it did",
		Long: `Shows for each partner and scope what was granted and what was used: accesses,
refused attempts, people, bystanders, days with use, first and last. What was
used and never granted comes first. Marks: ! was used without a grant, at some
time or always; 0 was granted and never used.

A zero says what it rests on: from when to when the log was read, how many
records of it, and that none was missing, unreadable or rejected; or that it is not provable,
and why. Usage is judged by the latest registry that run has loaded. All days and
times are UTC; ≈ marks estimates, with their 95% interval.

With --json, one object a line: the columns of the view granted_vs_used.`,
		Example: `  overreach grants --local demo-data royalbank
  overreach grants --unused
  overreach grants --ungranted --json | jq -r .partner`,
		Args: atMostOne("partner"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Unused && q.Ungranted {
				return usagef("--unused and --ungranted: no scope is both, expected one of them")
			}
			if len(args) > 0 {
				q.Partner = args[0]
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				if asJSON {
					return st.LedgerJSON(ctx, q, a.stdout)
				}
				return showGrants(ctx, a.stdout, st, q)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a line")
	cmd.Flags().BoolVar(&q.Unused, "unused", false, "only scopes that were granted and never used")
	cmd.Flags().BoolVar(&q.Ungranted, "ungranted", false, "only scopes that were used, or tried, and never granted")
	return cmd
}

// atMostOne accepts no or one argument.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes one %s or none, not %d arguments; see %s --help", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

func showGrants(ctx context.Context, w io.Writer, st *store.Store, q store.LedgerQuery) error {
	rows, err := st.Ledger(ctx, q)
	if err != nil {
		return err
	}
	if len(rows) == 0 && q.Partner != "" && !q.Unused && !q.Ungranted {
		return fmt.Errorf("partner %q has no grant in the registry and was never seen: overreach grants lists those that were", q.Partner)
	}
	return writeLedger(w, rows)
}

// writeLedger writes a table for people: two lines a scope, the figures and what
// to know of them, and a last line that counts.
func writeLedger(w io.Writer, rows []store.LedgerRow) error {
	table := [][]string{{"", "PARTNER", "SCOPE", "GRANTED", "USED", "ACCESSES", "REFUSED", "PEOPLE", "BYSTANDERS", "DAYS"}}
	const firstNumber = 5
	var unused, ungranted, outside int
	for _, r := range rows {
		mark := " "
		switch {
		case r.NeverGranted:
			mark = "!"
			ungranted++
		case r.NeverUsed:
			mark = "0"
			unused++
		case r.AccessesOutside > 0:
			mark = "!"
			outside++
		}
		table = append(table, []string{
			mark, schema.Printable(r.Partner), schema.Printable(r.Capability) + ":" + r.Action, grantedSpan(r), usedSpan(r),
			thousands(r.Accesses), thousands(r.Attempts),
			interval(schema.Estimate{Value: r.People, Low: r.PeopleLow, High: r.PeopleHigh}),
			interval(schema.Estimate{Value: r.Bystanders, Low: r.BystandersLow, High: r.BystandersHigh}), thousands(r.DaysUsed),
		})
	}
	var b strings.Builder
	if len(rows) > 0 {
		for i, line := range alignNumbers(table, firstNumber) {
			b.WriteString(line + "\n")
			if i == 0 {
				continue
			}
			if note := noteOn(rows[i-1]); note != "" {
				b.WriteString("    " + schema.Printable(note) + "\n")
			}
		}
		b.WriteString("\n" + readSoFar(rows[0]) + "\n")
	}
	fmt.Fprintf(&b, "scopes: %d; %d used and never granted, %d also used outside of the grant's days, %d never used\n", len(rows), ungranted, outside, unused)
	_, err := io.WriteString(w, b.String())
	return err
}

func grantedSpan(r store.LedgerRow) string {
	if r.Granted == 0 {
		return "NEVER"
	}
	return dayText(r.GrantedSince) + " – " + dayText(r.GrantedUntil)
}

func usedSpan(r store.LedgerRow) string {
	if r.Accesses == 0 {
		return "never"
	}
	return dayText(r.FirstAccess) + " – " + dayText(r.LastAccess)
}

func dayText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// interval writes an estimate with its interval.
func interval(e schema.Estimate) string {
	if e.Low == e.High {
		return thousands(e.Value)
	}
	return fmt.Sprintf("≈%s (%s–%s)", thousands(e.Value), thousands(e.Low), thousands(e.High))
}

// noteOn says what a scope's figures do not.
func noteOn(r store.LedgerRow) string {
	var notes []string
	if r.Purpose != "" {
		notes = append(notes, "For: "+r.Purpose+".")
	}
	switch {
	case r.NeverUsed && r.Provable:
		note := fmt.Sprintf("0 times from %s to %s: proved by %s records, none missing, none unreadable, none rejected.",
			minuteText(r.ZeroFrom), minuteText(r.ZeroTo), thousands(r.RecordsRead))
		if r.WhyNot != "" {
			note += " Not beyond that: " + r.WhyNot + "."
		}
		notes = append(notes, note)
	case r.NeverUsed:
		notes = append(notes, "That it was never used is not provable: "+r.WhyNot+".")
	case r.NeverGranted:
		notes = append(notes, "Never granted: every access was without a right.")
	case r.AccessesOutside > 0:
		notes = append(notes, fmt.Sprintf("Outside of the days of grant and agreement: %s of the accesses, on %s of the days.", thousands(r.AccessesOutside), thousands(r.DaysOutside)))
	case r.Granted == 0:
		notes = append(notes, "Never granted, and every attempt was refused.")
	}
	return strings.Join(notes, " ")
}

func minuteText(t *time.Time) string {
	if t == nil {
		return "?"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// readSoFar says what was read of the log: it is the same for every scope.
func readSoFar(r store.LedgerRow) string {
	return fmt.Sprintf("read: %s records of %d partitions (%s offsets), %s missing, %s unreadable; %s items rejected",
		thousands(r.RecordsRead), r.Partitions, thousands(r.Offsets), thousands(r.Missing), thousands(r.Unreadable), thousands(r.Rejected))
}

// alignNumbers joins the cells of each row, padded to the width of their column;
// the columns from firstNumber on are aligned to the right.
func alignNumbers(rows [][]string, firstNumber int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i >= firstNumber {
				cells[i] = pad + cell
			} else {
				cells[i] = cell + pad
			}
		}
		lines[n] = strings.TrimRight(strings.Join(cells, "  "), " ")
	}
	return lines
}
