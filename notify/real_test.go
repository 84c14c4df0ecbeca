package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tool is the path of a program that scripts/build-alertmanager.sh builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", ".tools", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		const how = "is not in .tools/: run scripts/build-alertmanager.sh"
		if os.Getenv("CI") != "" {
			t.Fatal(name, how)
		}
		t.Skip("NOT TESTED against a real Alertmanager: "+name, how)
	}
	return file
}

// real is a real Alertmanager, which tells a receiver of the test's.
type real struct {
	t       *testing.T
	dir     string
	address string
	process *exec.Cmd

	mu  sync.Mutex
	got []notification
}

// notification is what Alertmanager's own webhook sends, and its templates take.
type notification struct {
	Status string `json:"status"`
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		StartsAt    time.Time         `json:"startsAt"`
		EndsAt      time.Time         `json:"endsAt"`
	} `json:"alerts"`
	raw []byte
}

// startReal starts an Alertmanager that groups by partner and alert and repeats
// after the given time. Further lines are put into its receiver. HOOK stands in
// them for the address of the test's receiver.
func startReal(t *testing.T, repeat time.Duration, lines string) *real {
	t.Helper()
	r := &real{t: t, dir: t.TempDir()}
	tool(t, "alertmanager")
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		raw, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		n := notification{raw: raw}
		if q.URL.Path == "/webhook" {
			if err := json.Unmarshal(raw, &n); err != nil {
				t.Error(err)
			}
		}
		n.Status = strings.TrimPrefix(q.URL.Path, "/") + " " + n.Status
		r.mu.Lock()
		r.got = append(r.got, n)
		r.mu.Unlock()
		_, _ = w.Write([]byte("ok"))
	}))
	t.Cleanup(hook.Close)
	config := fmt.Sprintf(`
route:
  receiver: test
  group_by: [alertname, partner]
  group_wait: 100ms
  group_interval: 300ms
  repeat_interval: %s
receivers:
  - name: test
    webhook_configs:
      - url: HOOK/webhook
%s`, repeat, lines)
	config = strings.ReplaceAll(config, "HOOK", hook.URL)
	if err := os.WriteFile(filepath.Join(r.dir, "alertmanager.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// start starts it on its old folder and address, and waits until it is ready.
func (r *real) start() {
	r.t.Helper()
	r.process = exec.Command(tool(r.t, "alertmanager"), "--config.file="+filepath.Join(r.dir, "alertmanager.yml"),
		"--storage.path="+filepath.Join(r.dir, "data"), "--web.listen-address="+r.address, "--cluster.listen-address=", "--log.level=warn")
	r.process.Stdout, r.process.Stderr = r.t.Output(), r.t.Output()
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("alertmanager is ready", func() bool {
		response, err := http.Get("http://" + r.address + "/-/ready")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	})
}

// stop ends it well: it keeps what it has notified.
func (r *real) stop() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Signal(syscall.SIGTERM)
	_ = r.process.Wait() // by the signal
	r.process = nil
}

func (r *real) config() Config {
	return Config{Alertmanagers: []Alertmanager{{URL: "http://" + r.address}}, Resend: 200 * time.Millisecond, Runbooks: "https://git.example/overreach/"}
}

// told are the notifications so far, an alert each: how it came, its status and
// its labels' values.
func (r *real) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, n := range r.got {
		for _, a := range n.Alerts {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", a.Status, a.Labels["alertname"], a.Labels["partner"], a.Labels["capability"], a.Labels["severity"])))
		}
	}
	return all
}

// annotations are those of the last notification of a status about a partner.
func (r *real) annotations(status, partner string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var last map[string]string
	for _, n := range r.got {
		for _, a := range n.Alerts {
			if a.Status == status && a.Labels["partner"] == partner {
				last = a.Annotations
			}
		}
	}
	return last
}

func (r *real) eventually(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	r.t.Fatalf("not within 20 s: %s; told so far: %q", what, r.told())
}

// tells waits until the notifications are these, and sees that no other follows.
func (r *real) tells(what string, want ...string) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(r.told()) < len(want) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
	}
	time.Sleep(900 * time.Millisecond) // three intervals of the group, four resendings
	same(r.t, what, r.told(), want...)
}

// silence silences a partner in Alertmanager itself.
func (r *real) silence(partner string) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{
		"matchers": []map[string]any{{"name": "partner", "value": partner, "isRegex": false, "isEqual": true}},
		"startsAt": time.Now().UTC(), "endsAt": time.Now().UTC().Add(time.Hour), "createdBy": "ann", "comment": "load test",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.Post("http://"+r.address+"/api/v2/silences", "application/json", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		r.t.Fatalf("silencing: %s", response.Status)
	}
}

// states are the alerts that Alertmanager holds, by partner: active or suppressed.
func (r *real) states() map[string]string {
	r.t.Helper()
	response, err := http.Get("http://" + r.address + "/api/v2/alerts")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var alerts []struct {
		Labels map[string]string `json:"labels"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err := json.NewDecoder(response.Body).Decode(&alerts); err != nil {
		r.t.Fatal(err)
	}
	states := map[string]string{}
	for _, a := range alerts {
		states[a.Labels["partner"]] = a.Status.State
	}
	return states
}

// amtool runs amtool.
func amtool(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool(t, "amtool"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("amtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
