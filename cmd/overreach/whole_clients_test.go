package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/story"
)

func TestAnHTTPClientReadsTheFindingsOfAFinishedRun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	sample := filepath.Join("..", "..", "decode", "testdata", "github.ndjson")
	printed := run(t, "run", "--local", dir, "--mapping", "github", "--from", sample, "--json")
	p := start(t, "clickhouse", dir, "--native", "127.0.0.1:0", "--http", "127.0.0.1:0")
	p.until("it says how to connect", func() bool { return strings.Contains(p.stdout.String(), "Grafana ") })
	at, ok := runningEngine(dir)
	if !ok {
		t.Fatal("the folder does not say where its engine is")
	}
	if status, body := httpGet(t, "http://"+at.HTTP+"/ping"); status != http.StatusOK || body != "Ok.\n" {
		t.Errorf("/ping says %d %q", status, body)
	}

	client := http.Client{Timeout: soon}
	res, err := client.Post(at.url()+"?database="+localDatabase, "text/plain",
		strings.NewReader("SELECT id, partner, people, sentence, contributors FROM findings ORDER BY id FORMAT JSON"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v: %s", res.StatusCode, err, text)
	}
	type finding struct{ ID, Partner, Sentence string }
	var answer struct{ Data []finding }
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	read := map[string]finding{}
	for _, f := range answer.Data {
		read[f.ID] = f
	}
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if len(lines) != len(read) || len(read) == 0 {
		t.Errorf("the client reads %d findings, run printed %d", len(read), len(lines))
	}
	for _, line := range lines {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		if read[f.ID] != f || f.Sentence == "" {
			t.Errorf("the client reads %+v, run printed %+v", read[f.ID], f)
		}
	}
	p.stop()
}

func TestTheDemoFindsTheStoryAndNothingElse(t *testing.T) {
	t.Parallel()
	cfg := story.Default()
	cfg.Scale = story.MinScale
	type key struct{ Detector, Partner, Capability, Window, Cause, Period string }
	want := map[key]story.Expected{}
	for _, e := range cfg.Expected() {
		period := ""
		if e.Period != 0 {
			period = e.Period.String()
		}
		want[key{e.Detector, e.Partner, e.Capability, string(e.Window), e.Cause, period}] = e
	}
	_, printed := demo(t, filepath.Join(t.TempDir(), "demo"), "--scale", "0.0005", "--json")
	for line := range strings.Lines(printed) {
		var f struct {
			key
			Severity schema.Severity
			State    schema.State
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		e, ok := want[f.key]
		delete(want, f.key)
		switch {
		case !ok:
			t.Errorf("found twice, or not of the story: %+v", f)
		case f.State != e.State || e.Severity != "" && f.Severity != e.Severity:
			t.Errorf("%+v is %s and %s, expected %s and %s", f.key, f.Severity, f.State, e.Severity, e.State)
		}
	}
	for k, e := range want {
		if !e.May {
			t.Errorf("of the story and not found: %+v", k)
		}
	}
}

func TestTheProgramIsOneStaticFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "overreach")
	build := exec.Command("go", "build", "-trimpath", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %s: it needs a loader, and so files of the system", p.Type)
		}
	}
	out, err := exec.Command(file, "--version").Output()
	if err != nil || !bytes.HasPrefix(out, []byte("overreach ")) {
		t.Errorf("--version says %q, %v", out, err)
	}
}
