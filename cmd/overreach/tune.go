package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/store"
)

// tuneThresholds are those that tune compares.
var tuneThresholds = []float64{0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4, 1e-5, 1e-6, 1e-9}

// longestTune is how many days tune looks back at most: as long as scores are kept.
const longestTune = 400

func newTuneCommand(a *app) *cobra.Command {
	var dir string
	var days int
	cmd := &cobra.Command{
		Use:   "tune DETECTOR",
		Short: "Show how many findings each threshold would have made",
		Long: `Shows for each threshold on a detector's score how many findings it would have
made in the last days that were scored, of how many partners, by which metric,
and what those that were found turned out to be, by the verdicts given.

A score is the chance of as much, in any hour, day or week of an ordinary year of
a partner's capability: 0.01 is once in a hundred years. A finding is for a
partner, a capability and a UTC day, or week (creep, mix_shift). The figures come
from the table scores, which anybody can ask more of:
overreach query "SELECT ... FROM scores FINAL".`,
		Example: `  overreach tune surge
  overreach tune surge --days 30 --local demo-data`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes the name of one detector: %s", cmd.CommandPath(), strings.Join(scorers(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if days < 1 || days > longestTune {
				return usagef("--days %d: expected 1 to %d, for so long scores are kept", days, longestTune)
			}
			if !slices.Contains(scorers(), args[0]) {
				return usagef("%q scores nothing: expected one of %s", args[0], strings.Join(scorers(), ", "))
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				tuned, until, err := st.Tune(ctx, args[0], days, tuneThresholds)
				if err != nil {
					return err
				}
				return writeTuned(a.stdout, args[0], days, tuned, until)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().IntVar(&days, "days", 90, "how many `DAYS` to look back from the last that was scored")
	return cmd
}

// scorers are the names of the detectors that score.
func scorers() []string {
	var names []string
	for _, d := range detectors.All() {
		if _, ok := d.(detectors.Scorer); ok {
			names = append(names, d.Name())
		}
	}
	return names
}

func writeTuned(w io.Writer, detector string, days int, tuned []store.Tuned, until time.Time) error {
	if until.IsZero() {
		_, err := fmt.Fprintf(w, "%s has scored nothing yet: it scores hours, days or weeks of registered partners, once they are closed\n", detector)
		return err
	}
	if len(tuned) == 0 {
		_, err := fmt.Fprintf(w, "%s would have found nothing at any threshold, %d days to %s UTC\n", detector, days, until.Format("2006-01-02 15:04"))
		return err
	}
	table := [][]string{{"THRESHOLD", "FINDINGS", "PARTNERS", "PEOPLE", "ACCESSES", "BYTES", "TRUE", "BENIGN", "FALSE"}}
	for _, t := range tuned {
		table = append(table, []string{
			strconv.FormatFloat(t.Threshold, 'g', -1, 64), thousands(t.Findings), thousands(t.Partners),
			thousands(t.People), thousands(t.Accesses), thousands(t.Bytes), thousands(t.True), thousands(t.Benign), thousands(t.False),
		})
	}
	var b strings.Builder
	for _, line := range alignNumbers(table, 1) {
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(&b, "\n%d days to %s UTC; PEOPLE, ACCESSES and BYTES are the findings in which these stand out, TRUE, BENIGN and FALSE the verdicts given\n",
		days, until.Format("2006-01-02 15:04"))
	_, err := io.WriteString(w, b.String())
	return err
}
