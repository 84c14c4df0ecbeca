package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// githubSample is what a GitHub sample holds, counted exactly: accesses and
// owners of each app.
type githubSample struct {
	lines    int
	accesses map[string]int
	owners   map[string]map[string]bool
}

// countGitHub reads a sample the plain way.
func countGitHub(t *testing.T, file string) githubSample {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	s := githubSample{accesses: map[string]int{}, owners: map[string]map[string]bool{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Actor struct{ Login string }
			Repo  struct{ Name string }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		s.lines++
		app, isApp := strings.CutSuffix(e.Actor.Login, "[bot]")
		if !isApp {
			continue
		}
		owner, _, _ := strings.Cut(e.Repo.Name, "/")
		if s.owners[app] == nil {
			s.owners[app] = map[string]bool{}
		}
		s.accesses[app]++
		s.owners[app][owner] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(s.accesses) < 2 {
		t.Fatalf("%s holds %d apps: too few to show anything", file, len(s.accesses))
	}
	return s
}

// rows is what a query for app, accesses, owners must print.
func (s githubSample) rows(header string) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	for _, app := range slices.Sorted(maps.Keys(s.accesses)) {
		_, _ = fmt.Fprintf(&b, "%s\t%d\t%d\n", app, s.accesses[app], len(s.owners[app])) // a Builder never fails
	}
	return b.String()
}

// checkGitHub runs a sample the whole way and compares with the exact count.
func checkGitHub(t *testing.T, file string) {
	t.Helper()
	sample := countGitHub(t, file)
	dir := t.TempDir()
	data, registry := filepath.Join(dir, "data"), filepath.Join(dir, "registry.yaml")
	found := run(t, "run", "--local", data, "--mapping", "github", "--from", file, "--json")
	for app := range sample.accesses {
		if !strings.Contains(found, `"detector":"unregistered_partner","partner":`+string(must(json.Marshal(app)))) {
			t.Errorf("without a registry %s is not found to be unregistered", app)
		}
	}

	queries := map[string]string{"access_events": "SELECT partner, count() AS n, uniqExact(subject) AS owners FROM access_events GROUP BY partner ORDER BY partner"}
	for _, resolution := range []string{"minute", "hour", "day"} {
		queries["usage by "+resolution] = "SELECT partner, sum(accesses) AS n, uniqCombined64Merge(14)(subjects) AS owners FROM usage " +
			"WHERE kind = 'usage' AND resolution = '" + resolution + "' GROUP BY partner ORDER BY partner"
	}
	for what, sql := range queries {
		if got, want := run(t, "query", "--local", data, sql), sample.rows("partner\tn\towners"); got != want {
			t.Errorf("%s holds\n%s\nthe file holds\n%s", what, got, want)
		}
	}

	run(t, "registry", "init", "--local", data, "--out", registry)
	fromFile := run(t, "registry", "init", "--from", file, "--mapping", "github")
	if drafted := string(must(os.ReadFile(registry))); drafted != fromFile {
		t.Errorf("the draft from what was counted is\n%s\nand the one from the file is\n%s", drafted, fromFile)
	}
	again := run(t, "run", "--local", filepath.Join(dir, "again"), "--registry", registry, "--mapping", "github", "--from", file)
	events := 0
	for _, n := range sample.accesses {
		events += n
	}
	if want := fmt.Sprintf("No findings. Read so far: %s events, ", thousands(uint64(events))); !strings.HasPrefix(again, want) { //nolint:gosec // a count
		t.Errorf("under the drafted registry it says\n%s\nexpected %q", again, want)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestASmallGitHubSampleIsCountedExactlyAndItsDraftedRegistryFindsNothing(t *testing.T) {
	t.Parallel()
	checkGitHub(t, filepath.Join("..", "..", "decode", "testdata", "github.ndjson"))
}

func TestRealGitHubEventsAreCountedExactlyAndTheirDraftedRegistryFindsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "shared", "data", "github-events.ndjson")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT RUN: the sample of real events is not beside the checkout, at %s", file)
	}
	checkGitHub(t, file)
}
