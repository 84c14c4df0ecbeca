// Command overreach-engine is ClickHouse for one machine: it opens a folder
// with the engine's library and answers on loopback in ClickHouse's own two
// protocols, native and HTTP, so that clients need not know the difference. It
// is a process of its own so that a crash of the library stays its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// usageError is an error of the command line.
type usageError struct{ error }

func main() {
	if err := inUTC(); err != nil {
		fmt.Fprintln(os.Stderr, "overreach-engine:", err)
		os.Exit(1)
	}
	log := zerolog.New(os.Stderr).With().Timestamp().Str("process", "overreach-engine").Logger()
	err := run(os.Args[1:], os.Stdout, log)
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "overreach-engine:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "overreach-engine:", err)
		os.Exit(1)
	}
}

// inUTC starts the program again in UTC where it is not: the library takes its
// time zone from the environment that the process began with.
func inUTC() error {
	if os.Getenv("TZ") == "UTC" {
		return nil
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Setenv("TZ", "UTC")
	}
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	return fmt.Errorf("starting again in UTC: %w", err)
}

func run(args []string, stdout io.Writer, log zerolog.Logger) error {
	flags := flag.NewFlagSet("overreach-engine", flag.ContinueOnError)
	path := flags.String("path", "", "the `folder` of the data; one process at a time may serve it")
	native := flags.String("native", "127.0.0.1:0", "loopback `address` for the native protocol; port 0 takes a free one")
	web := flags.String("http", "127.0.0.1:0", "loopback `address` for HTTP; port 0 takes a free one")
	file := flags.String("library", "", "`file` of the engine's library (default: $"+libraryVariable+", or libchdb.so beside this program or in ../.engine)")
	parent := flags.Int("parent-pid", 0, "end when this process, which must be the parent, has ended")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if *path == "" || flags.NArg() > 0 {
		return usageError{errors.New("a folder is needed, and no other arguments: overreach-engine --path DIR")}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *parent != 0 {
		ctx = untilOrphaned(ctx, *parent)
	}

	nativeListener, err := listenLoopback(*native)
	if err != nil {
		return err
	}
	webListener, err := listenLoopback(*web)
	if err != nil {
		return err
	}
	library, err := findLibrary(*file)
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(*path)
	if err != nil {
		return fmt.Errorf("the folder %s: %w", *path, err)
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	engine, err := openEngine(library, folder)
	if err != nil {
		return fmt.Errorf("opening %s: %w", folder, err)
	}
	server := newServer(engine, log)
	server.start(nativeListener, webListener)
	if err := json.NewEncoder(stdout).Encode(map[string]string{
		"native": nativeListener.Addr().String(), "http": webListener.Addr().String(),
		"password_file": filepath.Join(folder, tokenFile),
	}); err != nil {
		return fmt.Errorf("telling the addresses: %w", err)
	}
	log.Info().Str("path", folder).Str("version", engine.version).Stringer("native", nativeListener.Addr()).
		Stringer("http", webListener.Addr()).Msg("engine is ready")
	<-ctx.Done()
	stop() // a second signal ends at once
	server.stop()
	engine.close()
	return nil
}

const libraryVariable = "OVERREACH_ENGINE_LIBRARY"

// findLibrary says where libchdb.so is.
func findLibrary(given string) (string, error) {
	if given == "" {
		given = os.Getenv(libraryVariable)
	}
	candidates := []string{given}
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("finding this program's folder: %w", err)
		}
		beside := filepath.Dir(self)
		candidates = []string{filepath.Join(beside, "libchdb.so"), filepath.Join(beside, "..", ".engine", "libchdb.so")}
	}
	for _, file := range candidates {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("the engine's library is not at %v; run scripts/fetch-engine.sh, or name it with --library or $%s",
		candidates, libraryVariable)
}

// listenLoopback listens on an address of this machine alone: nothing is
// encrypted on the way.
func listenLoopback(address string) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, usageError{fmt.Errorf("the address %q: %w", address, err)}
	}
	if !tcp.IP.IsLoopback() {
		return nil, usageError{fmt.Errorf("the address %q is not a loopback address; the engine encrypts nothing, so it serves 127.0.0.1 or [::1] only", address)}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w; name another port, or 0 for a free one", err)
	}
	return listener, nil
}

// untilOrphaned is ctx, done too when the parent process is no longer pid.
func untilOrphaned(ctx context.Context, pid int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for os.Getppid() == pid && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return ctx
}
