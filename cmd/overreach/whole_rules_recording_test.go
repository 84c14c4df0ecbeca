package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// rulesFile is what is shipped for Prometheus.
const rulesFile = "../../deploy/prometheus/overreach.rules.yml"

// shippedRules are the rules of the file, and how long each must hold before it fires.
func shippedRules(t *testing.T) map[string]time.Duration {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert string
				For   time.Duration
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]time.Duration{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.For
		}
	}
	return all
}

// recording is what a Prometheus has of the instances that it scrapes each minute. The
// minutes are shorter in truth: a scrape is taken when a test wants it, and stamped as
// the minute after the one before.
type recording struct {
	t      *testing.T
	taken  []time.Time         // when each scrape was taken
	series map[string][]string // by name and labels: a value for each scrape, as promtool reads it
}

func (r *recording) began() time.Time { return r.taken[0].Truncate(time.Second) }

// stamp is the time in the recording that stands for a true one: between two scrapes it
// goes as much faster as they are taken faster than by the minute.
func (r *recording) stamp(at time.Time) time.Time {
	for i, next := range r.taken {
		minute := r.began().Add(time.Duration(i) * time.Minute)
		switch before := next.Sub(at); {
		case before >= 0 && i == 0:
			return minute.Add(-before)
		case before >= 0:
			return minute.Add(-time.Duration(float64(before) / float64(next.Sub(r.taken[i-1])) * float64(time.Minute)))
		}
	}
	return r.began().Add(time.Duration(len(r.taken)-1) * time.Minute)
}

// waiting are the metrics that say for how long something has waited. They and times
// (…_timestamp_seconds) are of the clock, so they are stamped as the scrapes are.
// Metrics that say how long work took are not.
var waiting = []string{"overreach_alert_oldest_undelivered_seconds", "overreach_server_away_seconds"}

// stamped returns a value as an instance would export it if the scrapes were taken by
// the minute.
func (r *recording) stamped(metric, value string) string {
	age := slices.Contains(waiting, metric)
	if !age && !strings.HasSuffix(metric, "_timestamp_seconds") {
		return value
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		r.t.Fatalf("%s is %q", metric, value)
	}
	now := r.taken[len(r.taken)-1]
	switch {
	case v == 0: // never, or nothing waits
	case age:
		v = r.stamp(now).Sub(r.stamp(now.Add(-seconds(v)))).Seconds()
	default:
		v = float64(r.stamp(time.UnixMicro(int64(v*1e6))).UnixMicro()) / 1e6
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }

// sample is a line of /metrics that is no comment.
var sample = regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? (\S+)$`)

// scraped keeps what instances answered in one scrape, by their names; an empty answer is
// none.
func (r *recording) scraped(answers map[string]string) {
	r.taken = append(r.taken, time.Now())
	now := map[string]string{}
	for instance, body := range answers {
		job := `job="overreach",instance="` + instance + `"`
		now["up{"+job+"}"] = "1"
		if body == "" {
			now["up{"+job+"}"] = "0"
		}
		for _, line := range sample.FindAllStringSubmatch(body, -1) {
			now[line[1]+"{"+strings.Trim(job+","+line[2], ",")+"}"] = r.stamped(line[1], line[3])
		}
	}
	for series, value := range now {
		for len(r.series[series]) < len(r.taken)-1 {
			r.series[series] = append(r.series[series], "_")
		}
		r.series[series] = append(r.series[series], value)
	}
	for series, values := range r.series {
		if len(values) < len(r.taken) {
			r.series[series] = append(values, "stale") // as Prometheus marks what is gone
		}
	}
}

// fires has promtool evaluate the shipped rules each minute. It returns what promtool
// says where others have fired than these.
func (r *recording) fires(rules []string) (wrong string) {
	r.t.Helper()
	type values map[string]any
	var series, want []values
	for _, name := range slices.Sorted(maps.Keys(r.series)) {
		series = append(series, values{"series": name, "values": strings.Join(r.series[name], " ")})
	}
	for _, rule := range rules {
		want = append(want, values{"labels": fmt.Sprintf("{alertname=%q}", rule), "value": 1})
	}
	shipped, err := filepath.Abs(rulesFile)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := yaml.Marshal(values{
		"rule_files": []string{shipped}, "evaluation_interval": "1m",
		"tests": []values{{
			"interval": "1m", "start_timestamp": strconv.FormatInt(r.began().Unix(), 10), "input_series": series,
			"promql_expr_test": []values{{
				"expr":      `group by (alertname) (last_over_time(ALERTS{alertstate="firing"}[1d]))`,
				"eval_time": fmt.Sprintf("%dm", len(r.taken)-1), "exp_samples": want,
			}},
		}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.t.TempDir(), "recorded.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	out, err := exec.Command(promtool(r.t), "test", "rules", file).CombinedOutput()
	if err == nil {
		return ""
	}
	if !strings.Contains(string(out), "got:") {
		r.t.Fatalf("promtool: %v\n%s", err, out)
	}
	return string(out)
}

// promtool is Prometheus's own evaluator of rules.
func promtool(t *testing.T) string {
	t.Helper()
	binary, err := filepath.Abs("../../.tools/promtool")
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: run scripts/build-promtool.sh", err)
		}
		t.Skipf("SKIPPED, no alert rule was tested: %v; run scripts/build-promtool.sh", err)
	}
	return binary
}
