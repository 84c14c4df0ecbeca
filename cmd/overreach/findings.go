package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// findingsFilter says which findings are shown. What is empty restricts nothing.
type findingsFilter struct {
	partner, detector string
	open              bool
	since             time.Time
}

func newFindingsCommand(a *app) *cobra.Command {
	var dir, since string
	var asJSON bool
	var filter findingsFilter
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "List what was found",
		Long: `Lists what was found: critical before warning, then the one that touched the
most people first. ≈ marks numbers of people that are estimates; --json has their
95% intervals. NOTICED is the end of the first minute, hour or day at which a
finding held, by event time. All times are UTC.

Findings that no longer follow from the log and the registry (state withdrawn)
are left out; overreach query "SELECT * FROM findings" has them too.

With --json, one object a line: the columns of the view findings, with
contributors, the registry's version and a query for the exact events.

The digits before each sentence are the finding's id, as overreach ack, silence,
resolve and verdict take it; what they said stands behind it.`,
		Example: `  overreach findings --local demo
  overreach findings --open --partner streamflix
  overreach findings --since 2018-12-01 --json | jq -r .query`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				t, err := parseTime(since)
				if err != nil {
					return usagef("--since: %s", err)
				}
				filter.since = t
			}
			if filter.detector != "" && !slices.Contains(detectorNames(), filter.detector) {
				return usagef("--detector %q: expected %s", filter.detector, strings.Join(detectorNames(), ", "))
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				return showFindings(ctx, a, st, filter, asJSON)
			})
		},
	}
	localFlag(cmd, &dir)
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "write one JSON object a line")
	flags.StringVar(&filter.partner, "partner", "", "only those of the partner `NAME`")
	flags.StringVar(&filter.detector, "detector", "", "only those of the detector `NAME`: "+strings.Join(detectorNames(), ", "))
	flags.BoolVar(&filter.open, "open", false, "only those that still hold")
	flags.StringVar(&since, "since", "", "only those with an access or attempt at or after `TIME`: a day, 2018-12-18, or RFC 3339")
	return cmd
}

func detectorNames() []string {
	var names []string
	for _, d := range detectors.All() {
		names = append(names, d.Name())
	}
	return names
}

// parseTime reads a UTC day or a time as RFC 3339 has it.
func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time: expected a day as in 2018-12-18 or RFC 3339 as in 2018-12-18T09:30:00Z", text)
	}
	return t, nil
}

// printFindings writes all findings.
func printFindings(ctx context.Context, a *app, st *store.Store, asJSON bool) error {
	return showFindings(ctx, a, st, findingsFilter{}, asJSON)
}

// showFindings writes the findings that the filter lets through.
func showFindings(ctx context.Context, a *app, st *store.Store, filter findingsFilter, asJSON bool) error {
	findings, err := readFindings(ctx, st, filter)
	if err != nil {
		return err
	}
	if len(findings) == 0 && filter.partner != "" {
		if err := wasSeen(ctx, st, filter.partner); err != nil {
			return err
		}
	}
	if asJSON {
		return writeFindingsJSON(ctx, a.stdout, st, findings)
	}
	if len(findings) == 0 && filter == (findingsFilter{}) {
		return writeNoFindings(ctx, a.stdout, st)
	}
	ids := make([]string, len(findings))
	for i, f := range findings {
		ids[i] = f.ID()
	}
	actions, err := st.Actions(ctx, ids)
	if err != nil {
		return err
	}
	return writeFindings(a.stdout, findings, actions, time.Now())
}

// wasSeen refuses a partner of which nothing is known: its name may be misspelt.
func wasSeen(ctx context.Context, st *store.Store, partner string) error {
	rows, err := st.Ledger(ctx, store.LedgerQuery{Partner: partner})
	if err != nil || len(rows) > 0 {
		return err
	}
	version, err := st.LatestRegistry(ctx)
	if err != nil {
		return err
	}
	if _, registered := version.Partners[partner]; registered {
		return nil
	}
	return fmt.Errorf("partner %q is not in the registry and was never seen: overreach grants lists those that were", partner)
}

// readFindings returns the findings that the filter lets through, in the order
// in which people should read them.
func readFindings(ctx context.Context, st *store.Store, filter findingsFilter) ([]schema.Finding, error) {
	query := schema.FindingsQuery{OpenOnly: filter.open}
	if filter.partner != "" {
		query.Partners = []string{filter.partner}
	}
	all, err := st.Findings(ctx, query)
	if err != nil {
		return nil, err
	}
	var findings []schema.Finding
	for _, f := range all {
		if f.State != schema.Withdrawn && !f.LastSeen.Before(filter.since) &&
			(filter.detector == "" || f.Detector == filter.detector) {
			findings = append(findings, f.Finding)
		}
	}
	slices.SortStableFunc(findings, func(a, b schema.Finding) int {
		return cmp.Or(
			cmp.Compare(rank(a.Severity), rank(b.Severity)),
			cmp.Compare(b.People.Value, a.People.Value),
			a.FirstCrossing.Compare(b.FirstCrossing))
	})
	return findings, nil
}

func rank(s schema.Severity) int {
	if s == schema.Critical {
		return 0
	}
	return 1
}

// writeNoFindings says what the absence of findings rests on.
func writeNoFindings(ctx context.Context, w io.Writer, st *store.Store) error {
	extents, err := st.Extents(ctx)
	if err != nil {
		return err
	}
	var sum schema.Marker
	for _, m := range extents {
		sum.Events += m.Events
		sum.Rejected += m.Rejected
		sum.Filtered += m.Filtered
		sum.Missing += m.Missing
		sum.Unreadable += m.Unreadable
	}
	verdict := "No findings."
	if sum.Events == 0 {
		verdict = "No event was counted, so nothing could be found."
	}
	_, err = fmt.Fprintf(w, "%s Read so far: %s, %s filtered out, %s; %s missing, %s unreadable.\n", verdict,
		plural(sum.Events, "event"), thousands(sum.Filtered), plural(sum.Rejected, "reject"), plural(sum.Missing, "Kafka record"), thousands(sum.Unreadable))
	return err
}

// writeFindingsJSON writes one object a line, in the order of findings: the
// columns of the view findings.
func writeFindingsJSON(ctx context.Context, w io.Writer, st *store.Store, findings []schema.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	ids := make([]string, len(findings))
	for i, f := range findings {
		ids[i] = "'" + f.ID() + "'" // hexadecimal digits
	}
	list := strings.Join(ids, ", ")
	return st.Query(ctx, fmt.Sprintf("SELECT * FROM findings WHERE id IN (%s) ORDER BY indexOf([%s], toString(id))", list, list), w, store.JSON)
}

// writeFindings writes a table for people: two lines a finding, what it is and
// the sentence that says so, behind the first digits of its id and before what
// people did about it; and a last line that counts them.
func writeFindings(w io.Writer, findings []schema.Finding, actions []schema.FindingAction, now time.Time) error {
	did := map[string][]schema.FindingAction{}
	for _, action := range actions {
		did[action.Finding] = append(did[action.Finding], action)
	}
	rows := [][]string{{"SEVERITY", "DETECTOR", "PARTNER", "WHAT", "PEOPLE", "AGAINST", "NOTICED (UTC)", "STATE"}}
	critical, open := 0, 0
	for _, f := range findings {
		if f.Severity == schema.Critical {
			critical++
		}
		if f.State == schema.Open {
			open++
		}
		rows = append(rows, []string{
			string(f.Severity), f.Detector, schema.Printable(cmp.Or(f.Partner, "(coverage)")), schema.Printable(what(f)), people(f.People), against(f),
			f.FirstCrossing.UTC().Format("2006-01-02 15:04"), string(f.State),
		})
	}
	var b strings.Builder
	if len(findings) > 0 {
		for i, line := range alignColumns(rows, 4) {
			b.WriteString(line + "\n")
			if i == 0 {
				continue
			}
			f := findings[i-1]
			b.WriteString("    " + f.ID()[:shownDigits] + "  " + schema.Printable(f.Sentence))
			if words := triageState(did[f.ID()], now); words != "" {
				b.WriteString(" [" + words + "]")
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "findings: %d critical, %d warning; %d of them open\n", critical, len(findings)-critical, open)
	_, err := io.WriteString(w, b.String())
	return err
}

// what says what of the partner a finding is about.
func what(f schema.Finding) string {
	capability := cmp.Or(f.Capability, "all")
	if f.Partner == detectors.NoPartner {
		return f.Cause
	}
	if f.Window == schema.WindowPeriod {
		return capability
	}
	return capability + "/" + string(f.Window)
}

// people writes a number of people, with a sign where it is an estimate.
func people(e schema.Estimate) string {
	if e.Low == e.High {
		return thousands(e.Value)
	}
	return "≈" + thousands(e.Value)
}

// against says what a finding is measured by.
func against(f schema.Finding) string {
	switch {
	case f.Limit != nil && f.Ratio != nil:
		return fmt.Sprintf("limit %s, %.1f×", thousands(*f.Limit), *f.Ratio)
	case f.DaysPast != nil:
		return thousands(uint64(*f.DaysPast)) + " days past"
	case (f.Window == schema.WindowClockHour || f.Window == schema.WindowClockDay) && f.Expected != nil:
		return "usual " + thousands(uint64(math.Round(*f.Expected)))
	}
	return "-"
}

// thousands writes n with a comma before each group of three digits.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// alignColumns joins the cells of each row, padded to the width of their column;
// the column right is aligned to the right.
func alignColumns(rows [][]string, right int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == right {
				b.WriteString(pad + cell + "  ")
			} else {
				b.WriteString(cell + pad + "  ")
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}
