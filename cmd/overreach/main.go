// Command overreach watches what third-party partners do with people's data
// through an API: it reads access events from Kafka and writes what is unusual,
// or should have ended, to ClickHouse.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/overreach/overreach/schema"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command gets from the root: where it reads and writes, and
// what the flags of all commands said.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer // results; log and errors
	version        string
	configFile     string            // --config or OVERREACH_CONFIG; empty: none was named
	settings       map[string]string // flags that were given and stand for a setting, by its path
	log            zerolog.Logger    // to stderr; ready when a command runs
	running        bool              // the command line was right, the command itself has begun
	misnamed       error             // --help was asked for a command that does not exist
}

func main() {
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	ctx := untilSignal()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, version: buildVersion()}
	os.Exit(a.execute(ctx, os.Args[1:]))
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A
// second one ends the process at once. Where nobody reads stdout any more, writing
// to it fails, so that what was started is still ended well.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx
}

// execute runs the command that args name and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	err := cmp.Or(root.ExecuteContext(ctx), a.misnamed)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitFailed // as in overreach findings | head: there is nothing to say
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(a.stderr, "overreach: %s\n", schema.Printable(strings.TrimSuffix(line, "\n")))
	}
	var usage usageError
	if !a.running || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// usageError is what is wrong with how a command was called.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

// usagef returns an error that ends the program with exit code 2.
func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

func newRootCommand(a *app) *cobra.Command {
	var logLevel, logFormat string
	root := &cobra.Command{
		Use:   "overreach",
		Short: "Watch what partners do with people's data through an API",
		Long: `Overreach watches what third-party partners do with people's data through an
API. It reads access events from Kafka, counts how many people each partner
touched, finds what passes a limit, should have ended or was never agreed, and
writes everything to ClickHouse.

To see it work:                  overreach demo
On one machine, from files:      overreach run --local DIR --from FILE
With your Kafka and ClickHouse:  overreach check --connect, then overreach run

Exit codes: 0 it worked, 1 it failed, 2 it was called wrongly.
Results go to stdout; the log and errors go to stderr.`,
		Version:       a.version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			a.settings = settingFlags(cmd.Flags())
			a.log, err = newLogger(a.stderr, logLevel, logFormat)
			return err
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("overreach {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !cmd.HasParent() && cmd.Flags().NArg() > 0 { // a flag of a command that does not exist
			return unknownCommand(cmd, cmd.Flags().Args())
		}
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		// --help is looked at before the arguments are.
		if named := cmd.Flags().Args(); cmd.HasSubCommands() && len(named) > 0 {
			a.misnamed = unknownCommand(cmd, named)
			return
		}
		help(cmd, args)
	})
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			named, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return cmp.Or(err, unknownCommand(named, rest))
			}
			return named.Help()
		},
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", os.Getenv("OVERREACH_CONFIG"), "YAML `FILE` of the configuration (env OVERREACH_CONFIG)")
	flags.StringVar(&logLevel, "log-level", cmp.Or(os.Getenv(envName("log.level")), "info"), "least `LEVEL` that is logged: debug, info, warn or error (default info)")
	flags.StringVar(&logFormat, "log-format", os.Getenv(envName("log.format")), "`FORMAT` of the log: console or json (default: console on a terminal, else json)")
	flags.VisitAll(func(f *pflag.Flag) { f.DefValue = "" }) // help says the same whatever the environment

	for i, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"See it work:", []*cobra.Command{newDemoCommand(a)}},
		{"Run it:", []*cobra.Command{
			newRunCommand(a), newCheckCommand(a), newMigrateCommand(a), newRegistryCommand(a), newConfigCommand(a),
			newTopicCommand(a), newSkipCommand(a), newAlertTestCommand(a), newHealthCommand(a),
		}},
		{"Findings, and what people do about them:", []*cobra.Command{
			newFindingsCommand(a), newAckCommand(a), newSilenceCommand(a), newResolveCommand(a), newVerdictCommand(a),
			newTuneCommand(a),
		}},
		{"Rights, and people's questions:", []*cobra.Command{
			newGrantsCommand(a), newStatementCommand(a), newSubjectCommand(a), newHashCommand(a), newForgetCommand(a),
		}},
		{"Data:", []*cobra.Command{
			newQueryCommand(a), newExportCommand(a), newClickHouseCommand(a), newReplayCommand(a), newGenerateCommand(a),
		}},
	} {
		id := strconv.Itoa(i)
		root.AddGroup(&cobra.Group{ID: id, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	a.watch(root)
	return root
}

// watch notes when a command itself begins: every error before that, whichever
// part of the flag library says so, is one of usage.
func (a *app) watch(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.watch(sub)
	}
}

// unknownCommand accepts no argument where a command's name is expected.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("unknown command %q for %s; %s", args[0], cmd.CommandPath(), hint)
}

// loadConfig reads the configuration, and logs from then on as it says.
func (a *app) loadConfig() (*Config, Origins, error) {
	c, origins, err := LoadConfig(a.configFile, os.LookupEnv, a.settings)
	if err != nil {
		if _, _, without := LoadConfig(a.configFile, os.LookupEnv, nil); without == nil {
			err = usageError{err.Error()} // only the flags are wrong
		}
		return nil, nil, err
	}
	a.log, err = newLogger(a.stderr, c.Log.Level, c.Log.Format)
	return c, origins, err
}

func newLogger(w io.Writer, level, format string) (zerolog.Logger, error) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Logger{}, usagef("--log-level %q: expected debug, info, warn or error", level)
	}
	terminal := isTerminal(w)
	switch format {
	case "":
		if terminal {
			format = "console"
		}
	case "console", "json":
	default:
		return zerolog.Logger{}, usagef("--log-format %q: expected console or json", format)
	}
	if format == "console" {
		noColour := !terminal || os.Getenv("NO_COLOR") != ""
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, TimeLocation: time.UTC, NoColor: noColour,
			FormatMessage: consoleMessage(noColour), FormatFieldValue: consoleValue}
	} else {
		w = printableJSON{w}
	}
	return zerolog.New(w).Level(parsed).With().Timestamp().Logger(), nil
}

// consoleMessage keeps names in a message from steering the terminal: zerolog quotes
// the values of fields, and writes the message as it is.
func consoleMessage(noColour bool) zerolog.Formatter {
	return func(message any) string {
		text, _ := message.(string) // nil where there is none
		if text = schema.Printable(text); noColour || text == "" {
			return text
		}
		return "\x1b[1m" + text + "\x1b[0m"
	}
}

// consoleValue does so for lists, which zerolog does not quote.
func consoleValue(value any) string {
	return schema.Printable(fmt.Sprintf("%s", value))
}

// printableJSON escapes what does not print in whole values of JSON.
type printableJSON struct{ w io.Writer }

func (p printableJSON) Write(b []byte) (int, error) {
	if _, err := p.w.Write(schema.PrintableJSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// isTerminal reports whether someone watches what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// buildVersion is the version that the linker was given, or else what Go knows
// of the checkout it built.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel"
}
