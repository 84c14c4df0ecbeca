package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostileEvent is an event of somebody who wants the program to run out of
// memory: valid, with everything as long as it may be where long is set.
func hostileEvent(partner, app string, n int, long bool) []byte {
	more := ""
	if long {
		more = fmt.Sprintf(`,"id":"%0900d","api_version":"%0200d","grant":"%0200d","actor":"%0100d"`, n, n%50, n%50, n+1)
	}
	return fmt.Appendf(nil, `{"time":"2026-01-01T00:%02d:00Z","partner":%q,"app":%q,"capability":"messaging","action":"read","subject":"s%d"%s}`,
		n%60, partner, app, n, more)
}

// released builds the program as it is released: no race detector, which takes
// several times the memory, and no tests.
func released(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "overreach")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// promised is how much memory `overreach check` allows, in bytes.
func (s *servers) promised(program string) int64 {
	s.t.Helper()
	out, err := exec.Command(program, "check", "--config", s.write("config.yaml", s.settings())).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	found := regexp.MustCompile(`memory    at most ([0-9,]+) MB where the topics have up to`).FindStringSubmatch(string(out))
	if found == nil {
		s.t.Fatalf("overreach check does not say how much memory it takes:\n%s", out)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(found[1], ",", ""), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n << 20
}

// loadEnv multiplies the events of the tests of memory and load.
const loadEnv = "OVERREACH_LOAD"

func TestMemoryStaysUnderWhatCheckPrintsWhateverIsSent(t *testing.T) {
	const chunk = 2000
	// The slower cadences are waited for where it may take its time: they come each minute.
	events, long, cadences := 30_000, patience, "'minute'"
	if times, err := strconv.Atoi(os.Getenv(loadEnv)); err == nil {
		events, long, cadences = events*times, long*time.Duration(times), "'minute', 'hour', 'day'"
	}
	program := released(t)
	name := func(prefix string, n int) string { return fmt.Sprintf("%s%0200d", prefix, n) }
	for what, event := range map[string]func(n int) []byte{
		"made-up partners":           func(n int) []byte { return hostileEvent(name("p", n), name("a", n), n, false) },
		"made-up partners with much": func(n int) []byte { return hostileEvent(name("p", n), name("a", n), n, true) },
		"apps of one partner":        func(n int) []byte { return hostileEvent("one", name("a", n), n, false) },
		"names of a megabyte":        func(n int) []byte { return hostileEvent(fmt.Sprintf("%01000000d", n), "a", n, false) },
		"people of one partner":      func(n int) []byte { return hostileEvent("one", "a", n, true) },
	} {
		t.Run(what, func(t *testing.T) {
			s := startServers(t, 1)
			n, size := events, len(event(0))
			if size > 1<<19 {
				n /= 100
			}
			for from := 0; from < n; {
				var some [][]byte
				for sent := 0; from < n && len(some) < chunk && sent < 700_000; from++ {
					some = append(some, event(from))
					sent += size
				}
				s.produce(0, some...)
			}
			p := startProgram(t, program, "run", "--log-format", "json", "--config", s.write("config.yaml", s.settings("max_age: 200ms", "max_age: 5s", "interval: 200ms", "interval: 200ms, max_unregistered: 50")))
			began := time.Now()
			p.within(long, "all is counted and judged", func() bool { return s.hasJudged(n, cadences) })
			peak, promised := p.peak(), s.promised(program)
			t.Logf("%d events of %d bytes counted and judged in %s: at most %d MB of %d", n, size, time.Since(began).Round(time.Millisecond), peak>>20, promised>>20)
			if peak > promised {
				t.Errorf("%d MB are more than the %d that check prints", peak>>20, promised>>20)
			}
			p.stop()
		})
	}
}

// hasJudged reports whether so many records are counted, and all of them judged in
// the cadences.
func (s *servers) hasJudged(records int, cadences string) bool {
	rows, err := s.ask("SELECT sum(records), (SELECT min(to_offset) FROM judged FINAL WHERE cadence IN (" + cadences + ")) >= max(to_offset) FROM coverage")
	return err == nil && slices.Equal(rows, []string{fmt.Sprintf("%d\t1", records)})
}
