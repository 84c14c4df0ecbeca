package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// shared is the one engine that a process can have.
var shared = sync.OnceValues(func() (*engine, error) {
	file := os.Getenv(libraryVariable)
	if file == "" {
		file = filepath.Join("..", "..", ".engine", "libchdb.so")
	}
	if _, err := os.Stat(file); err != nil {
		return nil, errors.New("run scripts/fetch-engine.sh: " + err.Error())
	}
	folder, err := os.MkdirTemp("", "overreach-engine-test-")
	if err != nil {
		return nil, err
	}
	return openEngine(file, folder)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if e, err := shared(); err == nil {
		e.close()
		_ = os.RemoveAll(e.path)
	}
	os.Exit(code)
}

func openSession(t *testing.T) *session {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func TestANilDereferenceStillPanicsAfterTheLibraryHasRun(t *testing.T) {
	s := openSession(t)
	for range 20 {
		// On the very thread that the library has run on.
		runtime.LockOSThread()
		if err := s.exec("SELECT sum(number) FROM numbers(100000)"); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Fatal("it did not panic")
				}
			}()
			var nothing *session
			nothing.altered = true
		}()
		runtime.UnlockOSThread()
	}
}

func TestAStreamThatIsBrokenOffLeavesTheSessionUsable(t *testing.T) {
	s := openSession(t)
	enough, pieces := errors.New("enough"), 0
	err := s.stream("SELECT number FROM numbers(1e10)", "Native", func([]byte) error {
		if pieces++; pieces == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || pieces != 3 {
		t.Errorf("the stream ended with %v after %d pieces", err, pieces)
	}
	if got, err := s.text("SELECT 1"); err != nil || got != "1" {
		t.Errorf("the next query gave %q, %v", got, err)
	}
}

func TestStopEndsWhatAnotherSessionRuns(t *testing.T) {
	s := openSession(t)
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.exec("SELECT count() FROM numbers(1e12) WHERE sipHash64(number) = 1") }()
	time.Sleep(200 * time.Millisecond)
	if err := e.stop(s.tag); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		var told *exception
		if !errors.As(err, &told) || told.code != codeCancelled {
			t.Errorf("it ended with %v, want code %d", err, codeCancelled)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it did not end")
	}
}

func TestSettingsAreTakenBack(t *testing.T) {
	s := openSession(t)
	value := func() string {
		t.Helper()
		got, err := s.text("SELECT getSetting('max_block_size'), getSetting('async_insert'), getSetting('log_comment')")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := value()
	one := []setting{{name: "max_block_size", value: "7"}, {name: "async_insert", value: "1"}, {name: "log_comment", value: "x"}}
	check := func(want string) {
		t.Helper()
		err := s.with(one, func() error {
			if got := value(); got != "7\ttrue\t"+s.tag {
				t.Errorf("inside: %q", got)
			}
			return nil
		})
		if got := value(); err != nil || got != want {
			t.Errorf("afterwards: %q (%v), want %q", got, err, want)
		}
	}
	check(before)
	// What the client itself has SET comes back, too.
	if err := s.exec("SET max_block_size = 99"); err != nil {
		t.Fatal(err)
	}
	s.altered = true
	check("99\tfalse\t" + s.tag)
	// Unknown settings fail, unless they are optional.
	err := s.with([]setting{{name: "nosuch", value: "1"}, {name: "max_block_size", value: "7"}}, func() error { return nil })
	var told *exception
	if !errors.As(err, &told) || told.code != codeUnknownSetting {
		t.Errorf("an unknown setting gave %v", err)
	}
	if err := s.with([]setting{{name: "nosuch", value: "1", optional: true}}, func() error { return nil }); err != nil {
		t.Errorf("an optional setting that is unknown gave %v", err)
	}
	check("99\tfalse\t" + s.tag)
}

func TestAFolderThatIsLockedNamesItsOwner(t *testing.T) {
	folder := t.TempDir()
	lock, err := lockFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(folder); err == nil {
		t.Error("it was locked twice")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFolder(folder)
	if err != nil {
		t.Errorf("a lock that was given back: %v", err)
	}
	_ = again.Close()
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0"} {
		if l, err := listenLoopback(address); err == nil {
			_ = l.Close()
			t.Errorf("%s was accepted", address)
		}
	}
	l, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}
