package compose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// amtool is Alertmanager's own tool, of the version that docker-compose.yml runs.
func amtool(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(root + "/.tools/amtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("amtool is not at %s: run scripts/build-alertmanager.sh", file)
	}
	image := project(t).Services["alertmanager"].Image
	if !strings.Contains(read(t, root+"/scripts/alertmanager/go.mod"), "github.com/prometheus/alertmanager "+strings.TrimPrefix(image, "prom/alertmanager:")) {
		t.Errorf("docker-compose.yml runs %s, scripts/alertmanager/go.mod pins another version", image)
	}
	return file
}

// routes writes alertmanager.yml into a folder of the test's, with the templates
// where they are here, and changed.
func routes(t *testing.T, change func(string) string) string {
	t.Helper()
	templates, err := filepath.Abs("templates")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(read(t, "alertmanager.yml"), "/etc/alertmanager-templates", templates)
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(change(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAlertmanagerTakesItsRoutesAlsoWithTheReceiversThatAreCommentedOut(t *testing.T) {
	tool := amtool(t)
	asItStands := routes(t, func(text string) string { return text })
	if out := output(t, tool, "check-config", asItStands); !strings.Contains(out, "1 templates") && !strings.Contains(out, "SUCCESS") {
		t.Errorf("amtool says:\n%s", out)
	}
	for severity, want := range map[string]string{"critical": "on-call", "warning": "owners", "info": "owners"} {
		got := output(t, tool, "config", "routes", "test", "--config.file", asItStands, "severity="+severity, "partner=yonder")
		if strings.TrimSpace(got) != want {
			t.Errorf("what is %s goes to %q, expected %s", severity, strings.TrimSpace(got), want)
		}
	}
	commented := regexp.MustCompile(`(?m)^    # `)
	all := routes(t, func(text string) string { return commented.ReplaceAllString(text, "    ") })
	out := output(t, tool, "check-config", all)
	for _, kind := range []string{"slack_configs", "pagerduty_configs", "email_configs"} {
		if !strings.Contains(read(t, all), "\n    "+kind) {
			t.Errorf("%s is not among the receivers", kind)
		}
	}
	if !strings.Contains(out, "2 receivers") {
		t.Errorf("amtool says:\n%s", out)
	}
}

func TestTemplatesWriteWhatAnAlertSaysAndTakeNothingInItForATemplate(t *testing.T) {
	tool := amtool(t)
	hostile := `{{ .ExternalURL }} <b>"bank"</b>` + "\u202e"
	data, err := json.Marshal(map[string]any{
		"status":       "firing",
		"groupLabels":  map[string]string{"partner": hostile},
		"commonLabels": map[string]string{"severity": "critical"},
		"externalURL":  "http://never-shown",
		"alerts": []map[string]any{{
			"status":      "firing",
			"startsAt":    "2018-12-18T09:30:00Z",
			"labels":      map[string]string{"severity": "critical", "detector": "volume_limit", "partner": hostile, "capability": "messaging"},
			"annotations": map[string]string{"summary": hostile + " read too much", "owner": "partnerships@example.com", "query": "SELECT 1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"overreach.title": {"[FIRING, critical] " + hostile + " read too much"},
		"overreach.text": {
			hostile + " read too much\ncritical since 2018-12-18 09:30 UTC\n",
			"\nowner: partnerships@example.com\n",
			"\nexact events: SELECT 1\n",
		},
	} {
		got := output(t, tool, "template", "render", "--template.glob", "templates/*.tmpl", "--template.data", file, "--template.text", `{{ template "`+name+`" . }}`)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s writes\n%s\nwithout\n%s", name, got, part)
			}
		}
	}
}
