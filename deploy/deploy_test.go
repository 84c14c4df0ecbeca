// Package deploy holds what Overreach runs under elsewhere: a systemd unit, Kubernetes
// manifests, Prometheus rules. Its test holds them against the program.
package deploy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/notify"
)

// names collects what is registered.
type names struct{ all []string }

var described = regexp.MustCompile(`fqName: "(\w+)"`)

func (n *names) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 16)
	c.Describe(descriptions)
	close(descriptions)
	for d := range descriptions {
		n.all = append(n.all, described.FindStringSubmatch(d.String())[1])
	}
	return nil
}

func (n *names) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = n.Register(c) // it never fails
	}
}

func (n *names) Unregister(prometheus.Collector) bool { return false }

func TestRulesAskForMetricsThatThereAre(t *testing.T) {
	var known names
	consumer.NewMetrics(&known)
	judge.NewMetrics(&known)
	notify.NewMetrics(&known)
	for _, file := range []string{"prometheus/overreach.rules.yml", "prometheus/overreach.test.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`\boverreach_\w+`).FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s asks for %d metrics: expected more", file, len(found))
		}
		for _, name := range found {
			if !slices.Contains(known.all, name) {
				t.Errorf("%s: no metric is called %s", file, name)
			}
		}
	}
}

func TestRunbooksOfRulesAreThere(t *testing.T) {
	text, err := os.ReadFile("prometheus/overreach.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	runbooks := regexp.MustCompile(`runbook: (\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(runbooks) < 10 {
		t.Errorf("%d rules name a runbook: expected more", len(runbooks))
	}
	for _, r := range runbooks {
		file, part, _ := strings.Cut(r[1], "#")
		page, err := os.ReadFile("../" + file)
		if err != nil {
			t.Errorf("runbook %s: %v", r[1], err)
			continue
		}
		var anchors []string
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
			anchors = append(anchors, regexp.MustCompile(`[^a-z0-9-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-"), ""))
		}
		if part != "" && !slices.Contains(anchors, part) {
			t.Errorf("runbook %s: the page has no such heading: %v", r[1], anchors)
		}
	}
}
