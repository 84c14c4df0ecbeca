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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// accessesOf counts a person's accesses in what subject --json says.
func accessesOf(t *testing.T, said string) map[int]int {
	t.Helper()
	counts := map[int]int{}
	for line := range strings.Lines(said) {
		var row struct{ Person, Accesses int }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		counts[row.Person] += row.Accesses
	}
	return counts
}

// The ids are those of people in real events. They are counted by encoding/json,
// without the mapping, asked for in another case and as the log has them, and
// forgotten.
func TestPeopleOfRealGitHubEventsAreFoundAndForgottenInWhateverFormTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "shared", "data", "github-events.ndjson")
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT RUN: the sample of real events is not beside the checkout, at %s", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	dir := t.TempDir()
	mapping := filepath.Join(dir, "folds.yaml")
	text := string(must(os.ReadFile(filepath.Join("..", "..", "decode", "mappings", "github.yaml"))))
	folds := strings.Replace(text, "    before: \"/\"\n", "    before: \"/\"\n    lower: true\n", 1)
	if folds == text {
		t.Fatal("the mapping has no step to put lower beside")
	}
	if err := os.WriteFile(mapping, []byte(folds), 0o600); err != nil {
		t.Fatal(err)
	}
	accesses, repos := map[string]int{}, map[string]string{} // by owner in lower case
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	mixed := 0
	for lines.Scan() {
		var e struct {
			Actor struct{ Login string }
			Repo  struct{ Name string }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Actor.Login, "[bot]") {
			owner, _, _ := strings.Cut(e.Repo.Name, "/")
			if owner != strings.ToLower(owner) {
				mixed++
			}
			accesses[strings.ToLower(owner)]++
			repos[strings.ToLower(owner)] = e.Repo.Name
		}
	}
	if lines.Err() != nil || mixed < 10 {
		t.Fatalf("%d events of owners with upper case (%v) are too few to show anything", mixed, lines.Err())
	}
	owners := slices.Sorted(maps.Keys(accesses))
	owners = owners[:min(len(owners), maxPeople)]
	data := filepath.Join(dir, "data")
	run(t, "run", "--local", data, "--mapping", mapping, "--from", file)

	forms := map[string]func(owner string) string{
		"in upper case":     strings.ToUpper,
		"in lower case":     strings.ToLower,
		"as the log has it": func(owner string) string { return repos[owner] },
	}
	total := 0
	for how, form := range forms {
		var ids []string
		for _, o := range owners {
			ids = append(ids, form(o))
		}
		found, _ := fed(t, strings.Join(ids, "\n"), "subject", "--local", data, "--json", "-")
		got := accessesOf(t, found)
		total = 0
		for i, o := range owners {
			total += accesses[o]
			if got[i+1] != accesses[o] {
				t.Errorf("%s, the owner on line %d has %d accesses, the file holds %d", how, i+1, got[i+1], accesses[o])
			}
		}
	}
	said, _ := fed(t, strings.ToUpper(strings.Join(owners, "\n")), "forget", "--local", data, "--yes", "-")
	deleted := regexp.MustCompile(`access_events: ([0-9,]+) rows of`).FindStringSubmatch(said)
	if deleted == nil || strings.ReplaceAll(deleted[1], ",", "") != strconv.Itoa(total) {
		t.Errorf("%d rows were to be deleted, but\n%s", total, said)
	}
	all := 0
	for _, n := range accesses {
		all += n
	}
	if rows := run(t, "query", "--local", data, "SELECT count() FROM access_events"); !strings.HasSuffix(rows, fmt.Sprintf("\n%d\n", all-total)) {
		t.Errorf("left are\n%s of %d, %d of which were deleted", rows, all, total)
	}
	t.Logf("%d owners, %d accesses, %d of which name an owner with upper case", len(owners), total, mixed)
}
