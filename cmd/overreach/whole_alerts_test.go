package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hookSecret signs what the tests' webhook is sent.
const hookSecret = "a secret of the tests, long enough"

// hooked is what a webhook was told.
type hooked struct {
	Kind  string
	Alert struct {
		Partner      string
		Labels       map[string]string
		SeenAgain    string `json:"seen_again"`
		EndedBecause string `json:"ended_because"`
		People       int
		Findings     []struct{ ID, Sentence, Query string }
	}
}

// hook is a receiver of webhooks that refuses what is not signed as it should be.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	told []hooked
}

func startHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Overreach-Signature"), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(hookSecret))
		_, _ = mac.Write([]byte(at + "." + string(body))) // a hash never fails
		var event hooked
		if err != nil || sum != hex.EncodeToString(mac.Sum(nil)) || json.Unmarshal(body, &event) != nil {
			t.Errorf("it was sent %q, signed %q", body, r.Header.Get("Overreach-Signature"))
			http.Error(w, "not signed", http.StatusForbidden)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told = append(h.told, event)
	}))
	t.Cleanup(h.Close)
	return h
}

// of returns what was told of a partner.
func (h *hook) of(partner string) []hooked {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []hooked
	for _, event := range h.told {
		if event.Alert.Partner == partner {
			all = append(all, event)
		}
	}
	return all
}

// kinds are the kinds of what was told of a partner, in order.
func (h *hook) kinds(partner string) string {
	var all []string
	for _, event := range h.of(partner) {
		all = append(all, event.Kind)
	}
	return strings.Join(all, " ")
}

func TestOnCallIsToldOnceWhateverDiesAndAgainWhereItGoesOn(t *testing.T) {
	t.Parallel()
	s, h := startServers(t, 1), startHook(t)
	s.write("secret", hookSecret+"\n")
	told := "judge: {interval: 200ms}\nalerts: {group: 0s, resend: 5s, webhook: {url: '" + h.URL + "', secret_file: secret}}"
	now := func(partner, subject string) []byte {
		return madeEvent{Time: time.Now().UTC().Format(time.RFC3339Nano), Partner: partner, Capability: "messaging", Action: "read", Subject: subject}.json(t)
	}

	p := s.run("judge: {interval: 200ms}", told)
	s.produce(0, now("quizzer", "ann"), now("quizzer", "ben"), madeEvents(t, 0, 1)[0])
	p.until("on-call is told of what is new, and in a digest of what is old", func() bool {
		return h.kinds("quizzer") == "firing" && h.kinds("partner-0") == "digest"
	})
	first := h.of("quizzer")[0].Alert
	if first.Labels["severity"] != "critical" || first.Labels["detector"] != "unregistered_partner" || first.People != 2 ||
		len(first.Findings) != 1 || !strings.Contains(first.Findings[0].Sentence, "quizzer") || strings.Contains(first.Findings[0].Sentence, "ann") {
		t.Errorf("on-call was told %+v", first)
	}
	if rows := s.query(first.Findings[0].Query); len(rows) != 2 {
		t.Errorf("the query that on-call was told yields %d events, expected 2", len(rows))
	}
	p.until("it is kept who was told", func() bool {
		return s.query("SELECT countIf(kind = 'firing'), countIf(kind = 'digest') FROM deliveries WHERE outcome = 'delivered'")[0] == "1\t1"
	})

	p.kill()
	p = s.run("judge: {interval: 200ms}", told)
	p.until("the next start knows what fires", func() bool {
		_, metrics := s.get("/metrics")
		return strings.Contains(metrics, `overreach_alerts_firing{severity="critical"} 1`)
	})
	id := first.Findings[0].ID
	run(t, "resolve", id[:12], "--config", s.dir+"/config.yaml", "--by", "ann", "--reason", "the key was revoked")
	p.until("its end is told", func() bool { return h.kinds("quizzer") == "firing resolved" })
	if why := h.of("quizzer")[1].Alert.EndedBecause; why != "resolved by ann: the key was revoked" {
		t.Errorf("it is said to have ended because it was %s", why)
	}
	s.produce(0, now("quizzer", "cem"))
	p.until("what goes on is told again", func() bool { return h.kinds("quizzer") == "firing resolved firing" })
	if again := h.of("quizzer")[2].Alert; !strings.Contains(again.SeenAgain, "resolved by ann") {
		t.Errorf("it does not say that it was resolved and seen again: %+v", again)
	}
	p.stop()
	if got := h.kinds("partner-0"); got != "digest" {
		t.Errorf("what is old is told as %q", got)
	}

	quiet := start(t, "run", "--no-alerts", "--log-format", "json", "--config", s.dir+"/config.yaml")
	quiet.until("it serves metrics", func() bool {
		status, metrics := s.get("/metrics")
		if strings.Contains(metrics, "overreach_alerts_firing") {
			t.Error("with --no-alerts it tells of alerts")
		}
		return status == http.StatusOK
	})
	quiet.stop()
}

// startAlertmanager starts a real Alertmanager and returns its address.
func startAlertmanager(t *testing.T) string {
	t.Helper()
	binary, err := filepath.Abs("../../.tools/alertmanager")
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: run scripts/build-alertmanager.sh", err)
		}
		t.Skipf("SKIPPED, nothing was tested against Alertmanager: %v; run scripts/build-alertmanager.sh", err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	if err := os.WriteFile(dir+"/alertmanager.yml", []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(binary, "--config.file="+dir+"/alertmanager.yml", "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()
	})
	return "http://" + address
}

func TestAlertmanagerHoldsWhatFiresAndResolvesWhatIsDealtWith(t *testing.T) {
	t.Parallel()
	s, am := startServers(t, 1), startAlertmanager(t)
	p := s.run("judge: {interval: 200ms}", "judge: {interval: 200ms}\nalerts: {resend: 5s, alertmanager: {urls: ['"+am+"']}}")
	s.produce(0, madeEvent{Time: time.Now().UTC().Format(time.RFC3339Nano), Partner: "quizzer", Capability: "messaging", Action: "read", Subject: "ann"}.json(t))
	var alerts []struct {
		Labels, Annotations map[string]string
		Status              struct{ State string }
	}
	holds := func(n int) func() bool {
		return func() bool {
			status, body := httpGet(t, am+"/api/v2/alerts?active=true")
			return status == http.StatusOK && json.Unmarshal([]byte(body), &alerts) == nil && len(alerts) == n
		}
	}
	p.until("Alertmanager holds the alert", holds(1))
	a := alerts[0]
	if a.Status.State != "active" || a.Labels["alertname"] != "OverreachUnregisteredPartner" || a.Labels["partner"] != "quizzer" || a.Labels["severity"] != "critical" {
		t.Errorf("Alertmanager holds %+v", a)
	}
	if rows := s.query(a.Annotations["query"]); len(rows) != 1 {
		t.Errorf("the query of the alert yields %d events, expected 1", len(rows))
	}
	command := strings.Fields(a.Annotations["acknowledge"])
	if len(command) < 3 || command[0] != "overreach" || command[1] != "ack" {
		t.Fatalf("the alert says to acknowledge it by %q", a.Annotations["acknowledge"])
	}
	run(t, "ack", command[2], "--config", s.dir+"/config.yaml", "--by", "ann", "--reason", "asking")
	p.until("the alert says who is on it", func() bool { return holds(1)() && strings.Contains(alerts[0].Annotations["acknowledged"], "ann") })
	run(t, "resolve", command[2], "--config", s.dir+"/config.yaml", "--by", "ann", "--reason", "registered")
	p.until("Alertmanager has resolved it", holds(0))
	p.stop()
}

func TestReceiversOfAlertsCanBeTried(t *testing.T) {
	t.Parallel()
	h := startHook(t)
	dir := t.TempDir()
	config := func(text string) string {
		file := dir + "/config.yaml"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if err := os.WriteFile(dir+"/secret", []byte(hookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	hookOnly := "alerts: {webhook: {url: '" + h.URL + "', secret_file: secret}}"
	if out := run(t, "alert-test", "--config", config(hookOnly)); !strings.HasSuffix(out, ": took the test alert\n") {
		t.Errorf("it says %q", out)
	}
	if got := h.kinds("overreach-test"); got != "test" {
		t.Errorf("the webhook was told %q", got)
	}

	fails := func(text, want string) {
		t.Helper()
		p := start(t, "alert-test", "--config", config(text))
		if code := p.exit(patience); code != exitFailed || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("exit code %d, %q: expected %d and %q", code, p.stderr.String(), exitFailed, want)
		}
	}
	fails("listen: off", "nobody is told of findings: set alerts.alertmanager.urls or alerts.webhook.url")
	nobodyListens := freeAddress(t)
	fails("alerts: {alertmanager: {urls: ['http://"+nobodyListens+"']}}", "alertmanager "+nobodyListens+": ")
	if err := os.WriteFile(dir+"/secret", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(hookOnly, "the secret has 5 bytes: expected 16 or more")
}
