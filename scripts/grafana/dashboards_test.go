// Package grafana holds what Grafana is provisioned with: the data source and two
// dashboards, for on-call and for one partner. Its test runs every query of theirs.
package grafana

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.yaml.in/yaml/v3"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

// dashboard is what the tests look at of a dashboard's JSON.
type dashboard struct {
	UID        string
	Title      string
	Templating struct{ List []variable }
	Panels     []panel
}

type variable struct {
	Name       string
	Datasource datasource
	Query      string
}

type panel struct {
	ID         int
	Type       string
	Title      string
	GridPos    struct{ X, Y, W, H int }
	Datasource datasource
	Targets    []target
	Interval   string
	Field      struct {
		Overrides []struct{ Matcher struct{ ID, Options string } }
	} `json:"fieldConfig"`
}

type target struct {
	Datasource    datasource
	Format        int // 0 time series, 1 table: what the plugin makes of the rows
	QueryType     string
	PluginVersion string
	RawSQL        string `json:"rawSql"`
}

type datasource struct{ Type, UID string }

// The formats of a target.
const (
	timeSeries = 0
	table      = 1
)

// read returns the dashboards by the names of their files.
func read(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("dashboards: %v, %v; expected two", files, err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

func TestPanelsHaveIdsOfTheirOwnAndDoNotOverlap(t *testing.T) {
	for name, d := range read(t) {
		taken := map[[2]int]string{}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have id %d", name, p.ID)
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %q lies outside of the 24 columns: %+v", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, is := taken[[2]int{x, y}]; is {
						t.Fatalf("%s: %q overlaps %q", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

func TestDashboardsAskTheProvisionedDataSourceThroughThePinnedPlugin(t *testing.T) {
	var sources struct {
		Datasources []struct{ UID, Type string }
	}
	readYAML(t, "datasources.yml", &sources)
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
	}
	readYAML(t, "../../docker-compose.yml", &compose)
	if len(sources.Datasources) != 1 {
		t.Fatalf("%d data sources are provisioned, expected 1", len(sources.Datasources))
	}
	want := datasource{Type: sources.Datasources[0].Type, UID: sources.Datasources[0].UID}
	plugin, version, _ := strings.Cut(compose.Services["grafana"].Environment["GF_PLUGINS_PREINSTALL_SYNC"], "@")
	if plugin != want.Type {
		t.Errorf("docker-compose.yml installs the plugin %q, the data source needs %q", plugin, want.Type)
	}
	for name, d := range read(t) {
		for _, v := range d.Templating.List {
			if v.Datasource != want {
				t.Errorf("%s: the variable %s asks %v, provisioned is %v", name, v.Name, v.Datasource, want)
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if p.Datasource != want || q.Datasource != want {
					t.Errorf("%s: %q asks %v and %v, provisioned is %v", name, p.Title, p.Datasource, q.Datasource, want)
				}
				if q.PluginVersion != version {
					t.Errorf("%s: %q is written for plugin %s, docker-compose.yml installs %q", name, p.Title, q.PluginVersion, version)
				}
			}
		}
	}
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// safe is the one way in which a variable enters a query: names of partners come
// from whoever writes events, and neither Grafana's sqlstring nor its singlequote
// escapes the backslash, which ClickHouse takes for an escape. Percent-encoded
// text has neither quotes nor backslashes.
const safe = "decodeURLComponent('${partner:percentencode}')"

func TestVariablesEnterQueriesPercentEncoded(t *testing.T) {
	for name, d := range read(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if rest := strings.ReplaceAll(q.RawSQL, safe, ""); regexp.MustCompile(`\$\{|\$partner|\[\[`).MatchString(rest) {
					t.Errorf("%s: %q has a variable other than as %s:\n%s", name, p.Title, safe, q.RawSQL)
				}
			}
		}
	}
}

// macro is one of the plugin's that the dashboards use, with its argument.
var macro = regexp.MustCompile(`\$__(\w+)(?:\((\w+)\))?`)

// expand does to a query what Grafana's browser part (variables) and the plugin
// (macros) do to it.
func expand(t *testing.T, sql, partner string, from, to time.Time, interval time.Duration) string {
	t.Helper()
	// encodeURIComponent, and what else percentencode escapes: !'()*
	encoded := strings.ReplaceAll(url.QueryEscape(partner), "+", "%20")
	sql = strings.ReplaceAll(sql, "${partner:percentencode}", encoded)
	seconds := func(at time.Time) string { return fmt.Sprintf("toDateTime(%d)", at.Unix()) }
	day := func(at time.Time) string { return fmt.Sprintf("toDate('%s')", at.UTC().Format(time.DateOnly)) }
	return macro.ReplaceAllStringFunc(sql, func(text string) string {
		m := macro.FindStringSubmatch(text)
		switch column := m[2]; m[1] {
		case "fromTime":
			return seconds(from)
		case "toTime":
			return seconds(to)
		case "timeFilter":
			return fmt.Sprintf("%s >= %s AND %s <= %s", column, seconds(from), column, seconds(to))
		case "dateFilter":
			return fmt.Sprintf("%s >= %s AND %s <= %s", column, day(from), column, day(to))
		case "timeInterval":
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", column, int(interval.Seconds()))
		default:
			t.Fatalf("the test does not know the macro %s", text)
			return ""
		}
	})
}

// hostile is a partner whose name would break out of a string that is only
// half escaped, whichever half.
const hostile = `it's \' OR 1=1 -- $__timeFilter(day) ${partner} "`

// engine starts an engine on what a run of the demo left, and of the records of
// one more run: a reject, and an event of the hostile partner.
func engine(t *testing.T) driver.Conn {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	overreach := filepath.Join(t.TempDir(), "overreach")
	command := func(name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	command("go", "build", "-o", overreach, "github.com/overreach/overreach/cmd/overreach")
	command(overreach, "demo", "--dir", dir, "--scale", "0.0005", "--log-level", "error")
	event, err := json.Marshal(map[string]string{"time": "2018-12-17T12:00:00Z", "partner": hostile, "capability": "hostile", "action": "read", "subject": "u1"})
	if err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(t.TempDir(), "more.ndjson")
	if err := os.WriteFile(more, append(event, "\nnot an event\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	command(overreach, "run", "--local", dir, "--from", more, "--log-level", "error")
	e := embeddedtest.StartEngine(t, embedded.EngineConfig{Dir: filepath.Join(dir, "clickhouse")})
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{e.NativeAddr()}, Auth: clickhouse.Auth{Database: "overreach", Password: embeddedtest.Password}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing was written
	return conn
}

// result is what a query yields.
type result struct {
	names, types []string
	rows         [][]any
}

func ask(ctx context.Context, conn driver.Conn, sql string, args ...any) (result, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var r result
	for _, c := range rows.ColumnTypes() {
		r.names, r.types = append(r.names, c.Name()), append(r.types, c.DatabaseTypeName())
	}
	for rows.Next() {
		pointers, row := make([]any, len(r.names)), make([]any, len(r.names))
		for i, c := range rows.ColumnTypes() {
			pointers[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(pointers...); err != nil {
			return result{}, err
		}
		for i, p := range pointers {
			if v := reflect.ValueOf(p).Elem(); v.Kind() != reflect.Pointer {
				row[i] = v.Interface()
			} else if !v.IsNil() { // NULL stays nil
				row[i] = v.Elem().Interface()
			}
		}
		r.rows = append(r.rows, row)
	}
	return r, rows.Err()
}

func TestEveryQueryYieldsWhatItsPanelShows(t *testing.T) {
	conn := engine(t)
	var from, to time.Time
	if err := conn.QueryRow(t.Context(), "SELECT min(first_event), max(last_event) FROM coverage").Scan(&from, &to); err != nil {
		t.Fatal(err)
	}
	run := func(name string, p panel, q target, partner string) result {
		t.Helper()
		sql := expand(t, q.RawSQL, partner, from, to, 24*time.Hour)
		r, err := ask(t.Context(), conn, sql)
		if err != nil {
			t.Fatalf("%s: %q, asked for %q: %v\n%s", name, p.Title, partner, err, sql)
		}
		return r
	}
	for name, d := range read(t) {
		for _, v := range d.Templating.List {
			r, err := ask(t.Context(), conn, v.Query)
			if err != nil || len(r.names) != 1 || !slices.ContainsFunc(r.rows, func(row []any) bool { return row[0] == hostile }) {
				t.Errorf("%s: the variable %s has %d values in %v (%v), and not the hostile partner among them", name, v.Name, len(r.rows), r.names, err)
			}
		}
		for _, p := range d.Panels {
			if len(p.Targets) != 1 {
				t.Fatalf("%s: %q has %d queries, the test looks at one", name, p.Title, len(p.Targets))
			}
			q := p.Targets[0]
			r := run(name, p, q, "tunecast")
			if err := shows(p, q, r); err != nil {
				t.Errorf("%s: %q: %v", name, p.Title, err)
			}
			if p.Title == "People in 30 days, by capability" && !series(r)["limit, month, messaging"] {
				t.Errorf("%s: %q has no limit for messaging by month, and the story's registry sets one", name, p.Title)
			}
			r = run(name, p, q, hostile)
			if p.Title == "What it may do, and what it did" && (len(r.rows) != 1 || r.rows[0][0] != "hostile") {
				t.Errorf("%s: %q shows for the hostile partner %v, expected its one scope", name, p.Title, r.rows)
			}
		}
	}
}

// shows says why a panel could not show a result, if so.
func shows(p panel, q target, r result) error {
	if len(r.rows) == 0 {
		return fmt.Errorf("there are no rows")
	}
	format, queryType := table, "table"
	if p.Type == "timeseries" || p.Type == "heatmap" {
		format, queryType = timeSeries, "timeseries"
	}
	if q.Format != format || q.QueryType != queryType {
		return fmt.Errorf("a %s is asked for in format %d, %s", p.Type, q.Format, q.QueryType)
	}
	kinds := make([]string, len(r.types))
	for i, typ := range r.types {
		if kinds[i] = kind(typ); kinds[i] == "" {
			return fmt.Errorf("the column %s is %s, which Grafana does not show well", r.names[i], typ)
		}
	}
	switch p.Type {
	case "stat":
		if len(r.rows) != 1 || len(r.names) != 1 || kinds[0] == "text" || r.rows[0][0] == nil {
			return fmt.Errorf("a stat shows one number or time, not %d rows of %v", len(r.rows), r.types)
		}
	case "timeseries", "heatmap":
		// What the plugin makes series of: ascending times, a label, a number.
		if r.names[0] != "time" || !slices.Equal(kinds, []string{"time", "text", "number"}) {
			return fmt.Errorf("a series is of time, label and number, not of %v", r.types)
		}
		if !slices.IsSortedFunc(r.rows, func(a, b []any) int { return a[0].(time.Time).Compare(b[0].(time.Time)) }) {
			return fmt.Errorf("the times do not ascend")
		}
		if n := len(series(r)); n < 2 {
			return fmt.Errorf("there are %d series, expected several", n)
		}
	case "table":
		for _, o := range p.Field.Overrides {
			if o.Matcher.ID == "byName" && !slices.Contains(r.names, o.Matcher.Options) {
				return fmt.Errorf("there are settings for a column %q, the columns are %q", o.Matcher.Options, r.names)
			}
		}
	default:
		return fmt.Errorf("the test does not know panels of type %s", p.Type)
	}
	return nil
}

// series are the labels of a result.
func series(r result) map[any]bool {
	labels := map[any]bool{}
	for _, row := range r.rows {
		labels[row[1]] = true
	}
	return labels
}

// kind is what Grafana makes of a ClickHouse type: number, time, text, or
// nothing that a panel shows.
func kind(typ string) string {
	for _, around := range []string{"Nullable(", "LowCardinality("} {
		typ = strings.TrimSuffix(strings.TrimPrefix(typ, around), ")")
	}
	switch {
	case strings.HasPrefix(typ, "UInt"), strings.HasPrefix(typ, "Int"), strings.HasPrefix(typ, "Float"):
		return "number"
	case strings.HasPrefix(typ, "Date"):
		return "time"
	case typ == "String", strings.HasPrefix(typ, "Enum8("):
		return "text"
	}
	return ""
}
