package main

import (
	"context"
	"fmt"
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
	program := demo(t, dir)
	p := start(t, "clickhouse", dir, "--native", "127.0.0.1:0", "--http", "127.0.0.1:0")
	p.until("it says how to connect", func() bool { return strings.Contains(p.stdout.String(), "Grafana ") })
	at, ok := runningEngine(dir)
	if !ok {
		t.Fatal("the folder does not say where its engine is")
	}
	st, err := store.Open(t.Context(), store.Config{Addresses: []string{at.Native}, Database: localDatabase})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("with what docs/queries.md says", func(t *testing.T) { answersAsThePageSays(t, st) })
	t.Run("with files that hold what ClickHouse holds", func(t *testing.T) { exportsWhatItHolds(t, st, program, dir) })
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	p.stop()
}

// demo runs the demo at the scale of `make demo` into a folder, and returns the
// program that did: one that no race detector slows down.
func demo(t *testing.T, dir string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "overreach")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), program, "demo", "--dir", dir)
	run.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
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

// exportsWhatItHolds exports every view and table and has ClickHouse's own
// reader of Parquet compare: it knows nothing of how they were written.
func exportsWhatItHolds(t *testing.T, st *store.Store, program, dir string) {
	relations, err := st.Relations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, r := range relations {
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
		held, err := table(t.Context(), st, "SELECT count() FROM "+heldRows(r, columns, where))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range columns {
			names = append(names, "`"+c.Name+"`")
		}
		list := strings.Join(names, ", ")
		exported := "(SELECT " + list + " FROM file('" + file + "', Parquet))"
		got, err := table(t.Context(), st, "SELECT count() FROM "+exported)
		if err != nil || got != held {
			t.Errorf("%s: the file has rows\n%s, ClickHouse\n%s: %v", r.Name, got, held, err)
		}
		for _, sides := range [][2]string{{heldRows(r, columns, where), exported}, {exported, heldRows(r, columns, where)}} {
			differ, err := table(t.Context(), st, fmt.Sprintf("SELECT * FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s) LIMIT 2", sides[0], sides[1]))
			if err != nil || strings.Count(differ, "\n") > 1 {
				t.Errorf("%s: only on one side: %s %v", r.Name, differ, err)
			}
		}
		var n int
		if _, err := fmt.Sscanf(got, "count()\n%d", &n); err != nil {
			t.Fatal(err)
		}
		rows += n
	}
	if rows < 100_000 {
		t.Errorf("only %d rows were compared", rows)
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
	if r.Name == "usage" || r.Name == "judged" || r.Name == "findings_log" || r.Name == "streams" || r.Name == "schema_migrations" {
		final = " FINAL"
	}
	condition := ""
	if where != "" {
		condition = " WHERE " + where
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM " + r.Name + final + condition + ")"
}
