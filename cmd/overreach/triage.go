package main

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

const (
	// leastDigits of an id must be given: with fewer, a slip of the hand would
	// often name another finding.
	leastDigits = 6

	// shownDigits of an id are shown in tables.
	shownDigits = 10

	// longestSilence bounds how long nobody is told: who wants more says so again.
	longestSilence = 90 * dayLong

	// longestReason keeps a reason one that is read.
	longestReason = 1000
)

// triageFlags are the flags that the four commands of triage share.
type triageFlags struct {
	dir, who, reason string
}

func (f *triageFlags) add(cmd *cobra.Command) {
	localFlag(cmd, &f.dir)
	f.addReason(cmd)
}

// addReason adds those that say who acts, and why.
func (f *triageFlags) addReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, in `WORDS` that a colleague understands in a year")
	cmd.Flags().StringVar(&f.who, "by", "", "`WHO` does it (default: the user of this machine)")
}

// action returns what the flags say of an action.
func (f *triageFlags) action(act schema.Act) (schema.FindingAction, error) {
	reason := strings.TrimSpace(f.reason)
	switch {
	case reason == "":
		return schema.FindingAction{}, usagef("--reason is missing: say why, as in --reason \"load test, agreed with ann\"")
	case len(reason) > longestReason || !utf8.ValidString(reason):
		return schema.FindingAction{}, usagef("--reason has %d bytes: expected UTF-8 text of at most %d", len(reason), longestReason)
	}
	who := f.who
	if who == "" {
		u, err := user.Current()
		if err != nil || u.Username == "" {
			return schema.FindingAction{}, usagef("this machine does not say who you are: add --by WHO")
		}
		who = u.Username
	}
	return schema.FindingAction{At: time.Now().UTC().Truncate(time.Millisecond), Act: act, Who: who, Reason: reason}, nil
}

func newAckCommand(a *app) *cobra.Command {
	var f triageFlags
	cmd := &cobra.Command{
		Use:   "ack FINDING... --reason WORDS",
		Short: "Say that somebody is on it",
		Long: `Notes that you look into a finding. Its alert goes on firing, and says so. It pages
anew when ten times as many people are affected, or in another capability.

FINDING is the id, or its first digits, as alerts and overreach findings show it.`,
		Example: `  overreach ack 3f9c01ab77 --reason "asking the partner"`,
		Args:    someFindings,
		RunE: func(cmd *cobra.Command, args []string) error {
			action, err := f.action(schema.Acknowledge)
			if err != nil {
				return err
			}
			return act(cmd.Context(), a, f.dir, args, action, "acknowledged by "+schema.Printable(action.Who))
		},
	}
	f.add(cmd)
	return cmd
}

func newSilenceCommand(a *app) *cobra.Command {
	var f triageFlags
	var until string
	cmd := &cobra.Command{
		Use:   "silence FINDING... --until TIME --reason WORDS",
		Short: "Tell nobody of a finding until a time",
		Long: `Holds back the alert of a finding, and of the days that continue it, until a time
or until it ends, whichever is first. What comes after that, even of the same kind
and partner, is told: a silence hides one episode, never the next. It is found,
counted and kept all the same.

The view silences lists every silence with its owner, its end and how much it
held back. --until now lifts it.`,
		Example: `  overreach silence 3f9c01ab77 --until 4h --reason "backfill that we asked for"
  overreach silence 3f9c01ab77 --until 2026-03-14 --reason "sunset moved, registry follows"
  overreach silence 3f9c01ab77 --until now --reason "backfill is done"`,
		Args: someFindings,
		RunE: func(cmd *cobra.Command, args []string) error {
			action, err := f.action(schema.Silence)
			if err != nil {
				return err
			}
			if action.Until, err = silenceEnd(until, action.At); err != nil {
				return err
			}
			did := "silenced until " + action.Until.Format("2006-01-02 15:04 UTC")
			if !action.Until.After(action.At) {
				did = "no longer silenced"
			}
			return act(cmd.Context(), a, f.dir, args, action, did)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&until, "until", "", "`TIME` of its end: a duration (90m, 4h, 7d), a day, RFC 3339, or now")
	return cmd
}

// silenceEnd reads when a silence ends.
func silenceEnd(text string, now time.Time) (time.Time, error) {
	const expected = "expected a duration as in 4h or 7d, a UTC day as in 2026-03-14, RFC 3339, or now"
	var end time.Time
	days, isDays := strings.CutSuffix(text, "d")
	n, notANumber := strconv.Atoi(days)
	span, notASpan := time.ParseDuration(text)
	at, notATime := parseTime(text)
	switch {
	case text == "":
		return end, usagef("--until is missing: a silence has an end; %s", expected)
	case text == "now":
		return now, nil
	case isDays && notANumber == nil && n >= 0 && n <= 36_500:
		end = now.AddDate(0, 0, n)
	case notASpan == nil:
		end = now.Add(span)
	case notATime == nil:
		end = at
	default:
		return end, usagef("--until %q: %s", text, expected)
	}
	switch {
	case !end.After(now):
		return end, usagef("--until %s is not in the future: --until now lifts a silence", text)
	case end.Sub(now) > longestSilence:
		return end, usagef("--until %s is %d days ahead, the limit is %d: silence it again then, if it still should be; what is allowed for good belongs into the registry",
			text, int(end.Sub(now)/dayLong), int(longestSilence/dayLong))
	}
	return end.UTC(), nil
}

func newResolveCommand(a *app) *cobra.Command {
	var f triageFlags
	cmd := &cobra.Command{
		Use:   "resolve FINDING... --reason WORDS",
		Short: "Say that it is dealt with",
		Long: `Ends the alert of a finding: the key was revoked, the registry set right. Where an
access that belongs to it is made after this moment, it fires again and says so.`,
		Example: `  overreach resolve 3f9c01ab77 --reason "partner's key revoked, ticket 4711"`,
		Args:    someFindings,
		RunE: func(cmd *cobra.Command, args []string) error {
			action, err := f.action(schema.Resolve)
			if err != nil {
				return err
			}
			return act(cmd.Context(), a, f.dir, args, action, "resolved by "+schema.Printable(action.Who)+"; it fires again where it is seen again")
		},
	}
	f.add(cmd)
	return cmd
}

func newVerdictCommand(a *app) *cobra.Command {
	var f triageFlags
	var is string
	cmd := &cobra.Command{
		Use:   "verdict FINDING... --is true|benign|false --reason WORDS",
		Short: "Say what a finding turned out to be",
		Long: `Notes what a finding turned out to be, for the precision of its detector (view
alert_precision): true, it overreaches as it says; benign, it is so and all right;
false, it is not so. Its alert is not touched: resolve or silence it. A later
verdict replaces an earlier one.`,
		Example: `  overreach verdict 3f9c01ab77 --is benign --reason "launch, was not in the registry"`,
		Args:    someFindings,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch schema.Verdict(is) {
			case schema.VerdictTrue, schema.VerdictBenign, schema.VerdictFalse:
			case "":
				return usagef("--is is missing: expected true, benign or false")
			default:
				return usagef("--is %q: expected true, benign or false", is)
			}
			action, err := f.action(schema.Judgement)
			if err != nil {
				return err
			}
			action.Verdict = schema.Verdict(is)
			return act(cmd.Context(), a, f.dir, args, action, "judged "+is+" by "+schema.Printable(action.Who))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&is, "is", "", "`VERDICT`: true, benign or false")
	return cmd
}

func someFindings(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("which finding? Give its id, or its first %d digits or more; overreach findings lists them", leastDigits)
	}
	return nil
}

// act does the same about each of the findings, and says what was done.
func act(ctx context.Context, a *app, dir string, names []string, action schema.FindingAction, did string) error {
	return a.withStore(ctx, dir, func(ctx context.Context, st *store.Store) error {
		var ids []string
		for _, name := range names {
			id, err := findingID(ctx, st, name)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		findings, err := st.Findings(ctx, schema.FindingsQuery{IDs: ids})
		if err != nil {
			return err
		}
		for _, f := range findings {
			action.Finding, action.People = f.ID(), f.People.Value
			if err := st.WriteAction(ctx, action); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(a.stdout, "%s %s\n    %s\n", f.ID()[:shownDigits], did, schema.Printable(f.Sentence)); err != nil {
				return err
			}
		}
		return nil
	})
}

// findingID returns the id that begins with the digits given.
func findingID(ctx context.Context, st *store.Store, digits string) (string, error) {
	name := strings.ToLower(digits)
	if len(name) < leastDigits || len(name) > 32 || strings.Trim(name, "0123456789abcdef") != "" {
		return "", usagef("%q is no id of a finding: expected its first %d to 32 hexadecimal digits, as overreach findings shows them", digits, leastDigits)
	}
	ids, err := st.FindingIDs(ctx, name, 2)
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("no finding's id begins with %s; overreach findings lists them", name)
	case len(ids) > 1:
		return "", fmt.Errorf("several findings' ids begin with %s: give more digits", name)
	}
	return ids[0], nil
}

// triageState says in a few words what people did about a finding, as far as it
// still holds.
func triageState(actions []schema.FindingAction, now time.Time) string {
	var ack, resolved, verdict, silence schema.FindingAction
	for _, a := range actions { // in the order of time
		switch a.Act {
		case schema.Acknowledge:
			ack = a
		case schema.Silence:
			silence = a
		case schema.Resolve:
			resolved = a
		case schema.SeenAgain:
			resolved = schema.FindingAction{}
		case schema.Judgement:
			verdict = a
		}
	}
	var words []string
	if silence.Until.After(now) {
		words = append(words, "silenced until "+silence.Until.Format("2006-01-02 15:04"))
	}
	switch {
	case resolved.Who != "":
		words = append(words, "resolved by "+schema.Printable(resolved.Who))
	case ack.Who != "":
		words = append(words, schema.Printable(ack.Who)+" is on it")
	}
	if verdict.Verdict != "" {
		words = append(words, "verdict "+string(verdict.Verdict))
	}
	return strings.Join(words, ", ")
}
