package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/store"
)

// TestTheDemoAnswersADataScientist runs the demo once, as `make demo` does, for
// everything that reads it.
func TestTheDemoAnswersADataScientist(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	program, _ := demo(t, dir)
	p := start(t, "clickhouse", dir, "--native", "127.0.0.1:0", "--http", "127.0.0.1:0")
	p.until("it says how to connect", func() bool { return strings.Contains(p.stdout.String(), "Grafana ") })
	at, ok := runningEngine(dir)
	if !ok {
		t.Fatal("the folder does not say where its engine is")
	}
	st, err := store.Open(t.Context(), at.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("with what docs/queries.md says", func(t *testing.T) { answersAsThePageSays(t, st) })
	t.Run("with files that hold what ClickHouse holds", func(t *testing.T) { exportsWhatItHolds(t, st, at, program, dir) })
	t.Run("with what a threshold would have found", func(t *testing.T) { tunesAsItFound(t, st, dir) })
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	p.stop()
}

// demo runs the demo into a folder, and returns the program that did, one that no
// race detector slows down, and what it printed.
func demo(t *testing.T, dir string, args ...string) (program, printed string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "overreach")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout, stderr strings.Builder
	run := exec.CommandContext(t.Context(), program, append([]string{"demo", "--dir", dir}, args...)...)
	run.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
	run.Stdout, run.Stderr = &stdout, &stderr
	if err := run.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	return program, stdout.String()
}

const queriesPage = "../../docs/queries.md"

// block is a query of the page, and the output under it if it shows one.
var block = regexp.MustCompile("(?s)```sql\n(.*?)```\n(?:(\n```text\n)(.*?)```\n)?")

func answersAsThePageSays(t *testing.T, st *store.Store) {
	page, err := os.ReadFile(queriesPage)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	written := block.ReplaceAllStringFunc(string(page), func(text string) string {
		parts := block.FindStringSubmatch(text)
		sql, says := parts[1], parts[3]
		got, err := table(t.Context(), st, sql)
		if err != nil {
			t.Errorf("%s%v", sql, err)
			return text
		}
		if parts[2] == "" {
			return text
		}
		shown++
		if got != says && !*update {
			t.Errorf("%syields\n%sthe page says\n%s", sql, got, says)
		}
		return "```sql\n" + sql + "```\n" + parts[2] + got + "```\n"
	})
	if shown < 10 {
		t.Errorf("the page shows the output of %d queries, expected at least 10", shown)
	}
	if *update {
		if err := os.WriteFile(queriesPage, []byte(written), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// table returns what a query yields as `overreach query --format table` prints
// it, less blanks at the ends of lines.
func table(ctx context.Context, st *store.Store, sql string) (string, error) {
	var out strings.Builder
	if err := st.Query(ctx, sql, &out, store.Table); err != nil {
		return "", err
	}
	var trimmed strings.Builder
	for line := range strings.Lines(out.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return trimmed.String(), nil
}

// tunesAsItFound holds what tune says of the threshold in force against what was found.
func tunesAsItFound(t *testing.T, st *store.Store, dir string) {
	found, err := table(t.Context(), st, "SELECT count(), uniqExact(partner), (SELECT max(threshold) FROM scores) FROM findings WHERE detector = 'surge' AND state != 'withdrawn'")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(strings.Split(found, "\n")[1])
	for line := range strings.Lines(run(t, "tune", "surge", "--local", dir)) {
		if f := strings.Fields(line); len(f) == 9 && f[0] == want[2] {
			if f[1] != want[0] || f[2] != want[1] || f[1] == "0" {
				t.Errorf("at %s tune has %s findings of %s partners, surge found %s of %s", f[0], f[1], f[2], want[0], want[1])
			}
			return
		}
	}
	t.Errorf("tune says nothing of the threshold %s", want[2])
}

// exportsWhatItHolds exports every view and table and has ClickHouse's own
// reader of Parquet compare: it knows nothing of how they were written.
func exportsWhatItHolds(t *testing.T, st *store.Store, at engineAddresses, program, dir string) {
	if _, err := table(t.Context(), st, "CREATE DATABASE exported"); err != nil {
		t.Fatal(err)
	}
	relations, err := st.Relations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, r := range relations {
		// One partner has exactly 512 people in a capability, of whom what ClickHouse
		// says depends on the order in which it happens to merge.
		n, differ := exportsRelation(t, st, at, program, dir, r)
		for again := 0; differ != "" && again < 3; again++ {
			n, differ = exportsRelation(t, st, at, program, dir, r)
		}
		if differ != "" {
			t.Errorf("%s: %s", r.Name, differ)
		}
		rows += n
	}
	if rows < 100_000 {
		t.Errorf("only %d rows were compared", rows)
	}
}

// exportsRelation exports one of them, and returns how many rows it has and how the
// file differs.
func exportsRelation(t *testing.T, st *store.Store, at engineAddresses, program, dir string, r store.Relation) (rows int, differ string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), r.Name+".parquet")
	args := []string{"export", r.Name, "--local", dir, "--out", file}
	where := ""
	if r.Name == "access_events" { // the whole takes long to compare
		where = "partner IN ('tunecast', 'flashdeal') AND time >= '2018-12-16'"
		args = append(args, "--where", where)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	columns, err := st.Columns(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	held := heldRows(r, columns, where)
	ask := func(sql string) string {
		got, err := table(t.Context(), st, sql)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	exported := "exported." + r.Name
	ask("CREATE OR REPLACE TABLE " + exported + " ENGINE = Memory AS SELECT * FROM " + held + " LIMIT 0")
	insertParquet(t, at, exported, file)
	got := ask("SELECT count() FROM " + exported)
	if want := ask("SELECT count() FROM " + held); got != want {
		return 0, fmt.Sprintf("the file has rows\n%s, ClickHouse\n%s", got, want)
	}
	for _, sides := range [][2]string{{held, exported}, {exported, held}} {
		only := ask(fmt.Sprintf("SELECT * FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s) LIMIT 2", sides[0], sides[1]))
		if strings.Count(only, "\n") > 1 {
			return 0, "only on one side: " + only
		}
	}
	if _, err := fmt.Sscanf(got, "count()\n%d", &rows); err != nil {
		t.Fatal(err)
	}
	return rows, ""
}

// insertParquet sends a file into a table: the engine itself opens none.
func insertParquet(t *testing.T, at engineAddresses, into, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	statement := url.Values{"query": {"INSERT INTO " + into + " FORMAT Parquet"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at.HTTP+"/?"+statement.Encode(), f)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(at.User, at.Password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if said, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("inserting %s: %s %s %v", file, res.Status, said, err)
	}
}

// heldRows selects what an export should hold, with sketches as their bytes.
func heldRows(r store.Relation, columns []store.Column, where string) string {
	var list []string
	for _, c := range columns {
		one := "`" + c.Name + "`"
		if strings.HasPrefix(c.Type, "AggregateFunction") {
			one = "CAST(" + one + " AS String) AS " + one
		}
		list = append(list, one)
	}
	final := ""
	if r.Name == "usage" || r.Name == "judged" || r.Name == "findings_log" || r.Name == "incarnations" || r.Name == "schema_migrations" {
		final = " FINAL"
	}
	condition := ""
	if where != "" {
		condition = " WHERE " + where
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM " + r.Name + final + condition + ")"
}
