package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// test is one test, with what it takes and what it reaches when all is well.
type test struct {
	dir    string // its package
	name   string
	took   time.Duration
	blocks []block
}

// block is a part of a source file that a test reaches.
type block struct {
	file     string
	from, to int // lines, both included
}

// suite is what mutants are held against.
type suite struct {
	root   string
	module string
	work   string
	tests  []test // the quickest first
}

// run runs a command in the checkout, without what needs an engine or Java.
func (s *suite) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = s.root
	c.Env = append(os.Environ(), "OVERREACH_TEST_QUICK=1")
	c.WaitDelay = time.Second
	return c.CombinedOutput()
}

// measure runs each test of the packages by itself and keeps what it reaches.
// A test that fails while nothing is changed is an error.
func (s *suite) measure(ctx context.Context, packages []string, say func(string, ...any)) error {
	for _, dir := range packages {
		binary := filepath.Join(s.work, strings.ReplaceAll(dir, "/", "-")+".cover")
		over := make([]string, len(packages))
		for i, p := range packages {
			over[i] = "./" + p
		}
		out, err := s.run(ctx, "go", "test", "-c", "-cover", "-covermode=set", "-coverpkg="+strings.Join(over, ","), "-o", binary, "./"+dir)
		if err != nil {
			return fmt.Errorf("building the tests of %s: %w\n%s", dir, err, out)
		}
		if _, err := os.Stat(binary); errors.Is(err, os.ErrNotExist) {
			continue // it has no tests
		}
		names, err := s.list(ctx, dir, binary)
		if err != nil {
			return err
		}
		reach := 0
		for _, name := range names {
			t, skipped, err := s.one(ctx, dir, binary, name)
			if err != nil {
				return err
			}
			if !skipped {
				s.tests = append(s.tests, t)
				reach++
			}
		}
		say("%s: %d of %d tests need neither an engine nor Java", dir, reach, len(names))
	}
	slices.SortStableFunc(s.tests, func(a, b test) int { return int(a.took - b.took) })
	return nil
}

func (s *suite) list(ctx context.Context, dir, binary string) ([]string, error) {
	c := exec.CommandContext(ctx, binary, "-test.list", "^(Test|Fuzz)")
	c.Dir = filepath.Join(s.root, dir)
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", dir, err)
	}
	return strings.Fields(string(out)), nil
}

// testTimeout is for a test when all is well; none takes as long.
const testTimeout = 3 * time.Minute

func (s *suite) one(ctx context.Context, dir, binary, name string) (t test, skipped bool, err error) {
	profile := filepath.Join(s.work, "profile")
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.run", "^"+name+"$", "-test.v", "-test.coverprofile", profile)
	c.Dir, c.Env = filepath.Join(s.root, dir), append(os.Environ(), "OVERREACH_TEST_QUICK=1")
	began := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return t, false, fmt.Errorf("%s in %s fails while nothing is changed: %w\n%s", name, dir, err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP: "+name+" ")) {
		return t, true, nil
	}
	t = test{dir: dir, name: name, took: time.Since(began)}
	text, err := os.ReadFile(profile)
	if err != nil {
		return t, false, err
	}
	t.blocks, err = parseProfile(text, s.module)
	return t, false, err
}

var profileLine = regexp.MustCompile(`^(.+):(\d+)\.\d+,(\d+)\.\d+ \d+ (\d+)$`)

// parseProfile returns the blocks that a coverage profile calls reached.
func parseProfile(text []byte, module string) ([]block, error) {
	var all []block
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		m := profileLine.FindStringSubmatch(lines.Text())
		if m == nil || m[4] == "0" {
			continue
		}
		from, err1 := strconv.Atoi(m[2])
		to, err2 := strconv.Atoi(m[3])
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		all = append(all, block{strings.TrimPrefix(m[1], module+"/"), from, to})
	}
	return all, lines.Err()
}

func (t *test) reaches(m *mutant) bool {
	return slices.ContainsFunc(t.blocks, func(b block) bool { return b.file == m.file && b.from <= m.reached && m.reached <= b.to })
}

// verdict is what became of a mutant.
type verdict string

const (
	killed    verdict = "killed"
	survived  verdict = "survived"
	unreached verdict = "reached by no test"
	notGo     verdict = "does not compile"
)

// try runs the tests that reach a mutant, package by package, the quickest
// first, until one fails. The checkout is not touched: the compiler is told to
// read the changed file in the place of the source.
func (s *suite) try(ctx context.Context, m *mutant, worker int) (verdict, error) {
	reaching := map[string][]test{}
	var dirs []string
	for _, t := range s.tests {
		if t.reaches(m) {
			if reaching[t.dir] == nil {
				dirs = append(dirs, t.dir)
			}
			reaching[t.dir] = append(reaching[t.dir], t)
		}
	}
	if len(dirs) == 0 {
		return unreached, nil
	}
	source, err := os.ReadFile(filepath.Join(s.root, m.file))
	if err != nil {
		return "", err
	}
	place := filepath.Join(s.work, fmt.Sprint(worker))
	if err := os.MkdirAll(place, 0o700); err != nil {
		return "", err
	}
	file, overlay := filepath.Join(place, filepath.Base(m.file)), filepath.Join(place, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(s.root, m.file): file}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(file, m.apply(source), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		return "", err
	}
	own := filepath.Dir(m.file)
	slices.SortStableFunc(dirs, func(a, b string) int { // those of its own package fail soonest
		switch own {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, dir := range dirs {
		binary := filepath.Join(place, "test")
		if out, err := s.run(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, "./"+dir); err != nil {
			// The compiler names the changed file, by whatever way leads there.
			if bytes.Contains(out, []byte(filepath.Join(filepath.Base(place), filepath.Base(file))+":")) {
				return notGo, nil
			}
			return "", fmt.Errorf("building the tests of %s with %s: %w\n%s", dir, m, err, out)
		}
		if failed, err := s.fails(ctx, dir, binary, reaching[dir]); failed || err != nil {
			return killed, err
		}
	}
	return survived, nil
}

// patience is how many times as long as ever a changed program may take, and
// leastPatience how long at least: a loop that does not end is found, too.
const (
	patience      = 4
	leastPatience = 20 * time.Second
)

func (s *suite) fails(ctx context.Context, dir, binary string, tests []test) (bool, error) {
	var names []string
	usual := time.Duration(0)
	for _, t := range tests {
		names = append(names, t.name)
		usual += t.took
	}
	ctx, cancel := context.WithTimeout(ctx, max(leastPatience, patience*usual))
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$")
	c.Dir, c.Env = filepath.Join(s.root, dir), append(os.Environ(), "OVERREACH_TEST_QUICK=1", "GOMEMLIMIT=2GiB")
	c.WaitDelay = time.Second
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false, nil
	case errors.As(err, &exit), ctx.Err() != nil:
		return true, nil
	}
	return false, fmt.Errorf("running the tests of %s: %w", dir, err)
}
