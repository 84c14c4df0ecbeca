// Package embeddedtest gives tests of any package a ClickHouse engine and a
// Kafka broker of their own.
package embeddedtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/overreach/overreach/embedded"
)

// Password is the password of every engine that a test starts.
const Password = "of every test"

// Engine starts an engine on an empty folder and returns its addresses. It
// ends with the test.
func Engine(t testing.TB) (nativeAddr, httpAddr string) {
	t.Helper()
	e := StartEngine(t, embedded.EngineConfig{})
	return e.NativeAddr(), e.HTTPAddr()
}

// StartEngine starts an engine with a config whose empty fields are filled in:
// the binary is built from this checkout, the library is that of
// scripts/fetch-engine.sh, the folder is the test's own. What the engine logs
// is shown where the test fails. It ends with the test; a test may Kill or Stop
// it before, and start another one with the same Dir, NativeAddr and HTTPAddr.
func StartEngine(t testing.TB, config embedded.EngineConfig) *embedded.Engine {
	t.Helper()
	if config.Binary == "" {
		config.Binary = Binary(t)
	}
	if config.Library == "" {
		config.Library = Library(t)
	}
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	if config.Stderr == nil {
		config.Stderr = t.Output()
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config.Dir, embedded.PasswordFile), []byte(Password), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := embedded.StartEngine(t.Context(), config)
	if err != nil {
		t.Fatalf("starting the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Errorf("stopping the engine: %v", err)
		}
	})
	return e
}

// EnvQuick leaves out, where it is not empty, every test that needs an engine or
// an Apache Kafka: for the inner loop of whoever changes something, never in CI.
const EnvQuick = "OVERREACH_TEST_QUICK"

// Library is the file of libchdb.so; the test fails where it was not fetched.
func Library(t testing.TB) string {
	t.Helper()
	leaveOut(t)
	if file := os.Getenv("OVERREACH_ENGINE_LIBRARY"); file != "" {
		return file
	}
	file := filepath.Join(checkout(), ".engine", "libchdb.so")
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("the engine's library is not at %s: run scripts/fetch-engine.sh", file)
	}
	return file
}

func leaveOut(t testing.TB) {
	t.Helper()
	if os.Getenv(EnvQuick) != "" {
		LeaveOut(t, "it needs the engine, and "+EnvQuick+" is set")
	}
}

// EnvLeftOut names the file to which NoteLeftOut adds the names of tests: the scripts
// that run the tests say how many there are.
const EnvLeftOut = "OVERREACH_TEST_LEFT_OUT"

// LeaveOut skips the test, says why, and notes that it was left out.
func LeaveOut(t testing.TB, why string) {
	t.Helper()
	NoteLeftOut(t)
	t.Skip("LEFT OUT: " + why)
}

// NoteLeftOut notes the name of a test that was left out, or a part of it.
func NoteLeftOut(t testing.TB) {
	t.Helper()
	file := os.Getenv(EnvLeftOut)
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the script that runs the tests names it
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(f, t.Name())
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Binary is the file of overreach-engine, built from this checkout once a
// process, into bin/.
func Binary(t testing.TB) string {
	t.Helper()
	leaveOut(t)
	binary, err := build()
	if err != nil {
		t.Fatalf("building overreach-engine: %v", err)
	}
	return binary
}

// build takes a second where Go's cache has what it needs. The file is renamed
// into its place, for tests of other packages may be running the one before.
var build = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(checkout(), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(bin, ".build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(made) }()
	fresh := filepath.Join(made, "overreach-engine")
	command := exec.Command("go", "build", "-o", fresh, "./cmd/overreach-engine")
	command.Dir = checkout()
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	binary := filepath.Join(bin, "overreach-engine")
	return binary, os.Rename(fresh, binary)
})

// checkout is the folder that this source file was built from.
func checkout() string {
	_, self, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(self)))
}

// Broker starts a broker with topics, by name, with how many partitions each
// has. It ends with the test.
func Broker(t testing.TB, topics map[string]int32) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker(embedded.BrokerConfig{Topics: topics})
	if err != nil {
		t.Fatalf("starting the broker: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}
