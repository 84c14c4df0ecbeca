package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

func newForgetCommand(a *app) *cobra.Command {
	var dir string
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget -",
		Short: "Delete a person's raw events, and say what remains",
		Long: `Reads user ids from standard input, one a line, deletes the raw events of which
these people are subject or actor, and says what was deleted, what remains and
until when. Without --yes it deletes nothing and says what it would.

Mappings change ids before they are hashed, to lower case for example. So it
deletes what was counted under each id as given, and under every form that a
mapping of its topic ever made of ids, and says which these are. What it finds
under a guess alone it counts and leaves.

Sums, sets and findings stay: what was counted stays counted. Sets of up to 511
people list keyed hashes; they expire with their rows, and mean nothing once the
hash key is destroyed. Kafka's own records, backups of ClickHouse and events that
arrive later are not touched. At most 200 people at a time. docs/privacy.md says
who can learn what from what remains.`,
		Example: `  overreach forget --local demo-data - < ids.txt
  overreach forget --yes - < ids.txt`,
		Args: idsFromStdin,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withPeople(cmd.Context(), dir, func(ctx context.Context, st *store.Store, q asked) error {
				return forgetPeople(ctx, a.stdout, st, q, yes)
			})
		},
	}
	localFlag(cmd, &dir)
	cmd.Flags().BoolVar(&yes, "yes", false, "delete; without it only say what would be deleted")
	return cmd
}

func forgetPeople(ctx context.Context, w io.Writer, st *store.Store, q asked, yes bool) error {
	sought, guessed := q.sought(false), q.sought(true)
	before, err := st.CountRaw(ctx, sought)
	if err != nil {
		return err
	}
	withGuesses, err := st.CountRaw(ctx, guessed)
	if err != nil {
		return err
	}
	guesses := withGuesses - min(before, withGuesses)
	left := before
	if yes && before > 0 {
		if err := st.ForgetRaw(ctx, sought); err != nil {
			return fmt.Errorf("%w; run the same again, until it deletes 0 rows", err)
		}
		if left, err = st.CountRaw(ctx, sought); err != nil {
			return err
		}
	}
	remains, err := st.Remains(ctx, guessed)
	if err != nil {
		return err
	}
	var b strings.Builder
	what := "deleted"
	deleted := before - min(left, before)
	if !yes {
		what, deleted = "would be deleted", before
	}
	fmt.Fprintf(&b, "%s\n  access_events: %s rows of %d people\n\nremains\n", what, thousands(deleted), len(q.ids))
	if yes && left > 0 {
		fmt.Fprintf(&b, "  access_events: %s rows that arrived meanwhile\n", thousands(left))
	}
	if guesses > 0 {
		fmt.Fprintf(&b, "  access_events: %s rows that a guess alone finds; they may be somebody else's. If they are not, give the ids in lower case\n", thousands(guesses))
	}
	writeRemains(&b, remains)
	b.WriteString("\n" + q.said())
	b.WriteString(`
Sets of up to 511 people list keyed hashes, larger ones list none. They are not
taken out, since what was counted stays counted; without the hash key nobody can
tell whose they are. Findings and sums hold neither ids nor hashes.
`)
	if err := writeText(w, &b); err != nil {
		return err
	}
	if !yes {
		return errors.New("nothing was deleted: add --yes to delete")
	}
	return nil
}

// writeRemains lists what is kept beside raw events, and until when.
func writeRemains(b *strings.Builder, remains []store.Remainder) {
	for _, r := range remains {
		switch {
		case r.Rows == 0 && r.What == store.RemainsRejects:
			fmt.Fprintf(b, "  %s: none are kept\n", r.What)
		case r.Rows == 0:
			fmt.Fprintf(b, "  %s: 0 sets of up to 511 people hold the hash\n", r.What)
		case r.What == store.RemainsRejects:
			fmt.Fprintf(b, "  %s: %s; whose they are cannot be said. The last %s; to empty them now: overreach query \"ALTER TABLE rejects UPDATE raw = '' WHERE raw != ''\"\n",
				r.What, thousands(r.Rows), expires(r.Kept))
		default:
			fmt.Fprintf(b, "  %s: %s sets of up to 511 people hold the hash; the last %s\n", r.What, thousands(r.Rows), expires(r.Kept))
		}
	}
}

// expires says when the newest row goes.
func expires(k store.Kept) string {
	if k.Days == 0 {
		return "is kept for ever"
	}
	return fmt.Sprintf("expires after %s", k.Newest+schema.Day(k.Days)) //nolint:gosec // days are few
}
