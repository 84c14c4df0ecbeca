package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/store"
)

// engineFile lies in the folder of --local while its engine runs and holds what
// clients connect with: one process at a time may open the folder, others connect
// to that one.
const engineFile = "engine.json"

// engineAddresses is what engineFile holds: host:port of both protocols, and
// the only user.
type engineAddresses struct {
	Native   string `json:"native"`
	HTTP     string `json:"http"`
	User     string `json:"user"`
	Password string `json:"password"`
}

func addressesOf(e *embedded.Engine) engineAddresses {
	return engineAddresses{Native: e.NativeAddr(), HTTP: e.HTTPAddr(), User: embedded.User, Password: e.Password()}
}

// config is what the store connects with.
func (at engineAddresses) config() store.Config {
	return store.Config{Addresses: []string{at.Native}, Database: localDatabase, Username: at.User, Password: at.Password}
}

// url is the address of HTTP with user and password in it.
func (at engineAddresses) url() string {
	return (&url.URL{Scheme: "http", User: url.UserPassword(at.User, at.Password), Host: at.HTTP, Path: "/"}).String()
}

// engineFolder is where the engine keeps the data of a folder of --local.
func engineFolder(dir string) string { return filepath.Join(dir, "clickhouse") }

// startLocalEngine starts the engine on a folder of --local, on free ports, and
// leaves its addresses there. Whoever stops the engine removes engineFile.
func startLocalEngine(ctx context.Context, dir string, log zerolog.Logger) (*embedded.Engine, error) {
	return startLocalEngineAt(ctx, dir, engineAddresses{}, log)
}

// startLocalEngineAt is startLocalEngine on the given addresses; an empty one is
// a free port.
func startLocalEngineAt(ctx context.Context, dir string, at engineAddresses, log zerolog.Logger) (*embedded.Engine, error) {
	e, err := embedded.StartEngine(ctx, embedded.EngineConfig{
		Dir: engineFolder(dir), NativeAddr: at.Native, HTTPAddr: at.HTTP, Stderr: engineLog{log},
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(addressesOf(e))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, engineFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("leaving the engine's addresses: %w", err), e.Stop())
	}
	return e, nil
}

// openLocal opens what a run on one machine left in a folder, or is writing
// there now: it connects to the engine that has the folder open, or else starts
// one. close ends what it started.
func openLocal(ctx context.Context, dir string) (st *store.Store, closeAll func() error, err error) {
	if err := checkLocal(dir); err != nil {
		return nil, nil, err
	}
	if at, ok := runningEngine(dir); ok {
		st, err := store.Open(ctx, at.config())
		if err == nil {
			return st, st.Close, nil
		}
		// Its process was killed and left the file; if it was not, the start says who has the folder.
	}
	e, err := embedded.StartEngine(ctx, embedded.EngineConfig{Dir: engineFolder(dir)})
	if err != nil {
		return nil, nil, err
	}
	st, err = store.Open(ctx, addressesOf(e).config())
	if err != nil {
		return nil, nil, errors.Join(err, e.Stop())
	}
	return st, func() error { return errors.Join(st.Close(), e.Stop()) }, nil
}

// checkLocal refuses a folder without data: reading one must not make it.
func checkLocal(dir string) error {
	_, err := os.Stat(engineFolder(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no data: expected the DIR of an earlier overreach run --local DIR", dir)
	}
	if err != nil {
		return fmt.Errorf("looking for data: %w", err)
	}
	return nil
}

// runningEngine reads which engine has the folder open, if one says so.
func runningEngine(dir string) (at engineAddresses, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, engineFile)) //nolint:gosec // the user names the folder
	if err != nil || json.Unmarshal(text, &at) != nil {
		return engineAddresses{}, false
	}
	return at, at.Native != ""
}

// engineLog passes the engine's own log on: what it does as usual is of interest
// to those who debug, what goes wrong to everybody.
type engineLog struct{ log zerolog.Logger }

func (l engineLog) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		line = bytes.TrimSpace(line)
		var entry struct{ Level, Message string }
		switch err := json.Unmarshal(line, &entry); {
		case len(line) == 0:
		case err != nil: // not the logger's: the library, or Go itself in a crash
			l.log.Warn().Str("process", "overreach-engine").Msg(string(line))
		case entry.Level == zerolog.LevelWarnValue || entry.Level == zerolog.LevelErrorValue:
			l.log.Warn().RawJSON("entry", line).Msg("engine: " + entry.Message)
		default:
			l.log.Debug().RawJSON("entry", line).Msg("engine: " + entry.Message)
		}
	}
	return len(p), nil
}
