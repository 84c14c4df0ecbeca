package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"github.com/overreach/overreach/schema"
)

// shownBlock is the first block of a language in docs/alerts.md.
func shownBlock(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/alerts.md shows no %s", language)
	}
	return string(block[1])
}

// verified is the one of docs/alerts.md, word for word.
func verified(secret []byte, signature string, body []byte, now time.Time) bool {
	t, v1, _ := strings.Cut(signature, ",")
	signed := strings.TrimPrefix(t, "t=")
	seconds, err := strconv.ParseInt(signed, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed + "."))
	mac.Write(body)
	got, err := hex.DecodeString(strings.TrimPrefix(v1, "v1="))
	return err == nil && hmac.Equal(got, mac.Sum(nil))
}

// signatures are signed messages, and whether they are to be believed.
func signatures(secret, body []byte, now time.Time) map[string]bool {
	good := signature(secret, body, now)
	return map[string]bool{
		good: true,
		signature(secret, body, now.Add(-4*time.Minute)):             true,
		signature(secret, body, now.Add(-6*time.Minute)):             false,
		signature(secret, body, now.Add(6*time.Minute)):              false,
		signature([]byte("another"), body, now):                      false,
		signature(secret, append([]byte("x"), body...), now):         false,
		strings.Replace(good, "t=1", "t=2", 1):                       false,
		good[:len(good)-1]:                                           false,
		"":                                                           false,
		"v1=" + hex.EncodeToString(make([]byte, 32)):                 false,
		"t=soon,v1=00":                                               false,
		"t=" + strconv.FormatInt(now.Unix(), 10):                     false,
		"t=" + strconv.FormatInt(now.Unix(), 10) + ",v1=" + "\u00e9": false,
	}
}

func TestTheVerificationShownInGoBelievesWhatIsSignedAndNothingElse(t *testing.T) {
	self, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(self), "\n"+shownBlock(t, "go")) {
		t.Error("the function in docs/alerts.md is not the one that is tested here")
	}
	secret, body := []byte("secret"), []byte(`{"version":1}`)
	for s, want := range signatures(secret, body, noon) {
		if got := verified(secret, s, body, noon); got != want {
			t.Errorf("%q is believed: %v", s, got)
		}
	}
}

func TestTheVerificationShownInPythonBelievesWhatIsSignedAndNothingElse(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: there is no python3")
	}
	secret, body := []byte("secret"), []byte(`{"version":1}`)
	all := signatures(secret, body, noon)
	delete(all, "t="+strconv.FormatInt(noon.Unix(), 10)+",v1=\u00e9") // no header holds it
	ordered := slices.Sorted(maps.Keys(all))
	asked, err := json.Marshal(ordered)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-c", shownBlock(t, "python")+`
import json, sys
print(json.dumps([verified(b"secret", s, b'{"version":1}', float(sys.argv[1])) for s in json.load(sys.stdin)]))
`, strconv.FormatInt(noon.Unix(), 10))
	command.Stdin = strings.NewReader(string(asked))
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var believed []bool
	if err := json.Unmarshal(out, &believed); err != nil {
		t.Fatal(err)
	}
	for i, s := range ordered {
		if believed[i] != all[s] {
			t.Errorf("%q is believed: %v", s, believed[i])
		}
	}
}

func TestTheWebhookShownHasTheMembersOfARealOne(t *testing.T) {
	f := begun("bank", "messaging", schema.Critical)
	store := newMemory()
	store.tell(f, schema.ChangeNew)
	a := fold(history{Changes: store.tellings}, maxAge, group, strangers, time.Now()).Alerts[0]
	w := webhook{secret: []byte("s")}
	body, header, err := w.request([]message{{view{a, map[string]*schema.Finding{f.ID(): &f}}, a.events()[0]}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if !verified(w.secret, header.Get("Overreach-Signature"), body, noon) || header.Get("Overreach-Event") != a.events()[0].id {
		t.Errorf("the header is %v", header)
	}
	var shown, real any
	if err := json.Unmarshal([]byte(shownBlock(t, "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &real); err != nil {
		t.Fatal(err)
	}
	same(t, "members", members("", shown), members("", real)...)
}

// members are the paths of all members of a JSON document, and of what type they are.
func members(path string, v any) []string {
	switch v := v.(type) {
	case map[string]any:
		var all []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, members(path+"."+k, v[k])...)
		}
		return all
	case []any:
		return members(path+"[]", v[0])
	case string:
		return []string{path + " text"}
	case float64:
		return []string{path + " number"}
	case bool:
		return []string{path + " bool"}
	}
	return []string{path + " null"}
}

func TestTheAlertmanagerConfigShownIsRight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(shownBlock(t, "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := amtool(t, "check-config", file); !strings.Contains(out, "SUCCESS") || !strings.Contains(out, "2 receivers") {
		t.Error(out)
	}
	for matcher, want := range map[string]string{"severity=critical": "on-call", "severity=warning": "owners", "alertname=OverreachDigest": "owners"} {
		if got := amtool(t, "config", "routes", "test", "--config.file="+file, matcher); strings.TrimSpace(got) != want {
			t.Errorf("%s goes to %q, want %s", matcher, got, want)
		}
	}
}

func TestEveryLabelAndAnnotationIsInTheDocsAndTheOtherWayRound(t *testing.T) {
	page, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	f := begun("bank", "messaging", schema.Critical)
	act := &schema.FindingAction{Who: "ann"}
	r := &episode{days: []schema.Change{{FindingKey: f.FindingKey, ID: f.ID()}}, acknowledged: act, silence: act, again: act, escalations: 1}
	a := &alert{labels: labels{Name: "OverreachVolumeLimit", Partner: "bank", Capability: "messaging", Severity: schema.Critical, Detector: "volume_limit", Escalations: 1},
		ID: "a", Lead: f.ID(), Members: []member{{episode: r}}, HeldBack: 1, Because: "ended"}
	am := alertmanager{}
	section := func(name string) []string {
		_, after, _ := strings.Cut(string(page), "\n## "+name+"\n")
		text, _, _ := strings.Cut(after, "\n## ")
		var names []string
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(text, -1) {
			for _, name := range strings.Split(row[1], ", ") {
				names = append(names, strings.Trim(name, "`"))
			}
		}
		slices.Sort(names)
		return names
	}
	same(t, "annotations", section("Annotations"), slices.Sorted(maps.Keys(am.annotations(view{a, map[string]*schema.Finding{f.ID(): &f}})))...)
	same(t, "labels", section("Labels"), slices.Sorted(maps.Keys(labelSet(a.labels)))...)
}
