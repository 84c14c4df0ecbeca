package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// hostile are names by which a producer tries to do more than to be counted.
var hostile = []string{
	"escape\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x1b\\",
	"c1\u009b31m\u009d0;title\u009c",
	"rtl\u202eeman\u2066x\u2069\u200b\ufeff",
	"lines\r\nforged: true\n{\"level\":\"error\"}\u2028\u0085\v\f\b",
	"nul\x00del\x7f",
	"sql' OR 1=1; DROP TABLE findings; -- \\' /* ${x} {name:String} `t`",
	"template{{ .Labels }}{{ define \"x\" }}%s%n%[1]d$(id)`id`",
	"markup<script>alert(1)</script><!channel>&amp;[x](javascript:1)|*_",
	"labels\",severity=\"info\"} 1\nup{a=\"",
	"yaml: [x, !!binary ]\n  - &a *a # '\"",
	"=cmd|' /C calc'!A0,\t;",
	strings.Repeat("long☃", 32), // 224 bytes
}

// hostilePerson is in every id of a person, and must be nowhere.
const hostilePerson = "person-of-nobody's-business"

// hostileRecords has each name in each member, and what is no event.
func hostileRecords(t *testing.T, suffix string) [][]byte {
	t.Helper()
	var all [][]byte
	for i, name := range hostile {
		for _, partner := range []string{name + suffix, "bank" + suffix} {
			record, err := json.Marshal(map[string]any{
				"time": time.Now().Add(time.Duration(i-60) * time.Second).UTC().Format(time.RFC3339Nano), "partner": partner, "app": name, "capability": name, "action": "read",
				"subject": hostilePerson + name, "actor": name + hostilePerson, "api_version": name, "grant": name, "id": name,
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, record)
		}
		rejected, err := json.Marshal(map[string]any{name: name, "action": name, "time": name, "status": name})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rejected, []byte(name), []byte(`{"partner":"`+"\xff\xfe\x9b31m"+name+`"}`))
	}
	return all
}

// unsteered fails where a text holds what a terminal or a reader of lines would obey,
// or the id of a person.
func unsteered(t *testing.T, what, text string) {
	t.Helper()
	for n, line := range strings.Split(text, "\n") {
		if i := strings.IndexFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: line %d holds a character that does not print, at %d: %+q", what, n+1, i, line)
		}
		if strings.HasPrefix(line, "forged") || strings.HasPrefix(line, `{"level":"error"}`) {
			t.Errorf("%s: line %d is a producer's own: %+q", what, n+1, line)
		}
	}
	if strings.Contains(text, hostilePerson) {
		t.Errorf("%s holds the id of a person", what)
	}
}

// withoutLineBreaksInCells is a CSV file with one line for each row. Within quotes CSV keeps
// line breaks, so that whoever reads it by the line does not read rows. A row of another
// number of cells than the first fails the test.
func withoutLineBreaksInCells(t *testing.T, what, text string) string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(strings.ReplaceAll(strings.Join(row, ","), "\n", " ") + "\n")
	}
	return b.String()
}

// bodies keeps what a webhook is sent, as it came.
type bodies struct {
	*httptest.Server
	mu  sync.Mutex
	all []string
}

func startBodies(t *testing.T) *bodies {
	t.Helper()
	b := &bodies{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.all = append(b.all, string(body))
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bodies) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.all...)
}

func TestHostileNamesReachNobodyUnescaped(t *testing.T) {
	t.Parallel()
	s, hooks := startServers(t, 1), startBodies(t)
	s.write("secret", hookSecret+"\n")
	s.write("registry.yaml", "capabilities: {}\npartners:\n  bank: {agreement: {start: 2010-01-01}, limits: [{people: 3, per: hour}]}\n")
	told := "judge: {interval: 200ms}\nalerts: {group: 0s, webhook: {url: '" + hooks.URL + "', secret_file: secret}}"
	records := hostileRecords(t, "")
	found := func(p *program, n int) {
		t.Helper()
		p.until("each partner has its finding and its alert", func() bool {
			return p.logged(`"change":"new"`)+p.logged("change=new") >= n && len(hooks.sent()) >= n
		})
	}

	p := s.run("judge: {interval: 200ms}", told)
	s.produce(0, records...)
	found(p, len(hostile)+1)
	_, metrics := s.get("/metrics")
	_, ready := s.get("/readyz")
	p.stop()
	unsteered(t, "the log as JSON", p.stderr.String())
	unsteered(t, "/metrics", metrics)
	unsteered(t, "/readyz", ready)
	if !strings.Contains(metrics, "overreach_rejects_total") || strings.Contains(metrics, "long☃") {
		t.Error("/metrics has no rejects, or names of producers")
	}

	config := filepath.Join(s.dir, "config.yaml")
	p = start(t, "run", "--log-format", "console", "--log-level", "debug", "--config", config)
	s.produce(0, hostileRecords(t, " again")...)
	p.until("the second half is found too", func() bool { return p.logged("change=new") >= len(hostile)+1 })
	p.stop()
	unsteered(t, "the log for people", p.stderr.String())

	for _, body := range hooks.sent() {
		unsteered(t, "the webhook's body", body)
		var event struct {
			Alert struct {
				Labels  map[string]string
				Summary string
			}
		}
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			t.Error(err)
		}
		unsteered(t, "an alert's summary", strings.ReplaceAll(event.Alert.Summary, "\n", "\x00"))
		for name, value := range event.Alert.Labels {
			unsteered(t, "the label "+name, strings.ReplaceAll(value, "\n", "\x00"))
		}
	}

	sample := filepath.Join(s.dir, "sample.ndjson")
	if err := os.WriteFile(sample, bytes.Join(records, []byte("\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"findings"}, {"findings", "--json"}, {"grants"}, {"grants", "--json"},
		{"statement", hostile[0]}, {"statement", hostile[0], "--format", "html"}, {"statement", "bank"},
		{"check", "--sample", sample}, {"check", "--sample", sample, "--json"}, {"registry", "init"}, {"config"},
		{"export", "access_events", "--out", filepath.Join(s.dir, "events.parquet")},
	}
	for _, relation := range []string{"access_events", "findings", "finding_changes", "granted_vs_used", "rejects", "people_daily", "deliveries", "coverage"} {
		for _, format := range []string{"table", "tsv", "json", "CSVWithNames", "PrettyCompact", "Vertical", "Markdown", "JSONCompact"} {
			commands = append(commands, []string{"query", "--format", format, "SELECT * FROM " + relation + " LIMIT 200"})
		}
	}
	for _, args := range commands {
		q := start(t, append(args, "--config", config)...)
		if code := q.exit(patience); code != exitOK {
			t.Errorf("overreach %+q ended with exit code %d", args, code)
		}
		what := strings.Join(args, " ")
		out := q.stdout.String()
		if slices.Contains(args, "CSVWithNames") {
			out = withoutLineBreaksInCells(t, what, out)
		}
		unsteered(t, what, out)
		unsteered(t, "errors of "+what, q.stderr.String())
	}
	// Errors, which repeat what they were given.
	for _, args := range [][]string{
		{"statement", hostile[0] + "nobody"}, {"grants", hostile[1] + "nobody"}, {"query", "SELECT '" + hostile[0] + "' FROM nowhere"},
		{"query", "SELECT toUInt8(partner) FROM access_events"}, {"findings", "--since", hostile[2]}, {hostile[0]}, {"run", "--" + hostile[0]},
	} {
		q := start(t, append(args, "--config", config)...)
		if code := q.exit(patience); code == exitOK {
			t.Errorf("overreach %+q worked", args)
		}
		unsteered(t, "errors", q.stdout.String()+q.stderr.String())
	}
	// Ids go in by standard input, and the answers name partners.
	for _, args := range [][]string{{"subject", "-"}, {"subject", "-", "--json"}, {"hash", "-"}, {"forget", "-"}} {
		q := exec.Command("overreach", append(args, "--config", config)...)
		q.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
		q.Stdin = strings.NewReader(hostilePerson + hostile[5] + "\n")
		out, err := q.CombinedOutput()
		if err != nil && args[0] != "forget" { // which does nothing without --yes
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		unsteered(t, strings.Join(args, " "), string(out))
	}

	// Each finding's query is what it says: it finds its partner's events and no others.
	ran := 0
	for _, line := range strings.Split(strings.TrimSpace(run(t, "findings", "--json", "--config", config)), "\n") {
		var f struct {
			Partner, Query string
			Accesses       int
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		unsteered(t, "a finding's query", strings.ReplaceAll(f.Query, "\n", "\x00"))
		rows := run(t, "query", "--format", "json", "--config", config, f.Query)
		if n := strings.Count(rows, "\n"); n != f.Accesses || n == 0 {
			t.Errorf("the query of %+q yields %d rows, the finding has %d accesses:\n%s", f.Partner, n, f.Accesses, f.Query)
		}
		ran++
	}
	if ran < 2*len(hostile)+2 {
		t.Errorf("%d findings, expected one for each of %d names, twice", ran, len(hostile))
	}
	// Names are kept as they came, whatever they were.
	if got := s.query("SELECT count(DISTINCT partner) FROM access_events WHERE partner IN (SELECT app FROM access_events)"); got[0] != "12" {
		t.Errorf("%s of the %d names are in the tables as they were sent", got[0], len(hostile))
	}
}

func TestHealthAndMetricsListenOnLoopbackUnlessToldOtherwise(t *testing.T) {
	c, _, err := LoadConfig("", func(string) (string, bool) { return "", false }, nil)
	if err != nil || !strings.HasPrefix(c.Listen, "127.0.0.1:") {
		t.Errorf("by default it listens on %q, %v", c.Listen, err)
	}
}
