package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// chapter returns the text of a chapter of docs/own-topic.md.
func chapter(t *testing.T, title string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, root+"/docs/own-topic.md"), "\n## "+title+"\n")
	if !found {
		t.Fatalf("docs/own-topic.md has no chapter %q", title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// blocks are the shell commands in a text's blocks.
func blocks(text string) string { return joined(text, "(?s)```sh\n(.*?)```") }

// inline are the commands within a text's lines.
func inline(text string) string { return joined(text, "`((?:docker|git) [^`]+)`") }

func joined(text, pattern string) string {
	var all strings.Builder
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all.WriteString(strings.TrimSuffix(m[1], "\n") + "\n")
	}
	return all.String()
}

// stub puts a program of that name, a shell script, into a folder.
func stub(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nset -eu\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
}

// samples are events as sample.ndjson holds them.
func samples(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for n := range 20 {
		line, err := json.Marshal(map[string]string{
			"time": fmt.Sprintf("2018-12-18T09:%02d:00Z", n), "partner": "tunecast", "capability": "messaging", "action": "read", "subject": fmt.Sprintf("u%d", n),
		})
		if err != nil {
			t.Fatal(err)
		}
		all.Write(append(line, '\n'))
	}
	return all.String()
}

func TestTheServersPathLeadsFromAnEmptyFolderToARunThatCounts(t *testing.T) {
	dir := t.TempDir()
	tools := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "config.example.yaml"), []byte(read(t, root+"/config.example.yaml")), 0o600),
		os.WriteFile(filepath.Join(tools, "sample"), []byte(samples(t)), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	address, _ := embeddedtest.Engine(t)
	broker := embeddedtest.Broker(t, map[string]int32{"access": 2})
	stub(t, tools, "make", `[ "$*" = build ]; go build -C '`+abs(t, root)+`' -o "$PWD/bin/overreach" ./cmd/overreach`)
	stub(t, tools, "kcat", `cat '`+filepath.Join(tools, "sample")+`'`)
	// The editor of the page's reader: addresses and registry in config.yaml, nothing in the draft.
	stub(t, tools, "edit", `[ "$1" != config.yaml ] || sed -i -e 's/kafka-1:9092, kafka-2:9092/`+broker.Addr()+`/' -e 's/clickhouse-1:9000/`+address+
		`/' -e 's/^registry: .*/registry: registry.yaml/' -e 's/username: overreach/username: default/' -e 's/^listen: .*/listen: `+freeAddress(t)+`/' config.yaml`)
	script := strings.Replace(blocks(chapter(t, "With your servers")), "bin/overreach run ", "bin/overreach run & ", 1) + `
running=$!
trap 'kill $running; wait $running' EXIT
bin/overreach replay --topic access sample.ndjson
for i in $(seq 100); do
	events=$(bin/overreach query 'SELECT sum(events) FROM coverage' --format tsv | tail -n 1)
	if [ "$events" = 20 ] && bin/overreach health; then break; fi
	sleep 0.2
done
echo "counted $events"
bin/overreach findings
`
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "EDITOR=edit", "OVERREACH_CONFIG=", "OVERREACH_CLICKHOUSE_PASSWORD="+embeddedtest.Password)
	out, err := c.CombinedOutput()
	for _, want := range []string{"registry.yaml: ok, 1 partners", "is up to date", "tables are up to date", "\ncounted 20\n", "\nready\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the page's commands do not print %q", want)
		}
	}
	if err != nil || t.Failed() {
		t.Fatalf("%v\n%s\nprinted\n%s", err, script, out)
	}
}

func TestTheComposePathNamesServicesFilesAndCommandsThatAreThere(t *testing.T) {
	p, compose := project(t), chapter(t, "With Compose")
	dir, tools := t.TempDir(), t.TempDir()
	for from, to := range map[string]string{"scripts": "scripts", "docker-compose.yml": "docker-compose.yml"} {
		if err := os.Symlink(filepath.Join(abs(t, root), from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sample.ndjson"), []byte(samples(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := filepath.Join(tools, "calls")
	stub(t, tools, "docker", `for a in "$@"; do printf '%s\037' "$a"; done >>'`+calls+`'; echo >>'`+calls+`'`)
	stub(t, tools, "git", `[ "$1" = pull ]`)
	stub(t, tools, "edit", `test -e "$1"`)
	c := exec.CommandContext(t.Context(), "sh", "-euc", strings.ReplaceAll(blocks(compose)+inline(compose), "scripts/compose/init.sh", `scripts/compose/init.sh "$PWD/own"`))
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "EDITOR=edit")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	overreach := filepath.Join(t.TempDir(), "overreach")
	output(t, "go", "build", "-o", overreach, "../../cmd/overreach")
	asked := 0
	for line := range strings.Lines(read(t, calls)) {
		args := strings.Split(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\037"), "\037")
		if args[0] != "compose" {
			continue
		}
		named, rest := serviceIn(args[2:])
		if named == "" {
			continue // up, down: of all
		}
		for _, name := range append([]string{named}, rest...) {
			if _, is := p.Services[name]; !is && args[1] == "up" {
				t.Errorf("docker %q names a service that is not there: %s", args, name)
			}
		}
		if _, is := p.Services[named]; !is {
			t.Errorf("docker %q is of a service that is not there: %s", args, named)
		}
		switch {
		case args[1] == "exec" && named == "overreach":
			if rest[0] != "/overreach" {
				t.Errorf("docker %q: the image has nothing but /overreach", args)
			}
			rest = rest[1:]
		case args[1] == "run" && named == "overreach":
		default:
			continue
		}
		output(t, overreach, append(rest, "--help")...)
		asked++
	}
	if asked < 6 {
		t.Errorf("only %d commands of overreach were seen", asked)
	}
}

// serviceIn returns the first argument that is no flag, and what follows it.
func serviceIn(args []string) (string, []string) {
	for i, a := range args {
		if a == "-s" || i > 0 && args[i-1] == "-s" || strings.HasPrefix(a, "-") {
			continue // kill's signal; flags
		}
		return a, args[i+1:]
	}
	return "", nil
}

func abs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// freeAddress is a loopback address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it never took a connection
	return l.Addr().String()
}
