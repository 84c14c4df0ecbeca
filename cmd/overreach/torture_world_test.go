package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/embedded/kafkatest"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// tortured is the world of one kill test: an Apache Kafka and an engine, each
// behind a proxy, a receiver of alerts, and the program as it is built for dying.
type tortured struct {
	*servers
	kafka        *kafkatest.Cluster
	topic        string
	log          *tortureLog
	toKafka      *toxiproxy.Proxy
	toClickHouse *toxiproxy.Proxy
	disk         *smallDisk // of the engine; nil where none can be made
	binary       string
}

func startTortured(t *testing.T, seed uint64) *tortured {
	t.Helper()
	w := &tortured{servers: &servers{t: t, dir: t.TempDir()}, binary: tortureBinary(t)}
	w.kafka = kafkatest.Start(t, kafkatest.Options{Own: true, Detour: true})
	w.topic = w.kafka.CreateTopic(wholeTopic, torturePartitions, nil)
	w.log = newTortureLog(t, seed, w.kafka.Addrs(), w.topic)
	w.engineAt = embedded.EngineConfig{Dir: t.TempDir(), NativeAddr: freeAddress(t), HTTPAddr: freeAddress(t), Stderr: io.Discard}
	if w.disk = startSmallDisk(t, w.engineAt.Dir); w.disk != nil {
		w.engineAt.Binary = w.disk.wrapped(embeddedtest.Binary(t))
		// The engine sees the disk, not what lies in the folder below it.
		if err := os.WriteFile(filepath.Join(w.disk.path(), embedded.PasswordFile), []byte(embeddedtest.Password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.startEngine()
	w.write("hash.key", "000102030405060708090a0b0c0d0e0f\n")
	w.write("registry.yaml", tortureRegistry)
	w.write("secret", hookSecret+"\n")
	for i, text := range tortureReadings {
		w.write(fmt.Sprintf("reading-%d.yaml", i), text)
	}
	detour := w.kafka.Detours()[0]
	w.toKafka = startProxy(t, "Kafka", detour.From, detour.To)
	w.toClickHouse = startProxy(t, "ClickHouse", freeAddress(t), w.engineAt.NativeAddr)
	return w
}

func startProxy(t *testing.T, name, from, to string) *toxiproxy.Proxy {
	t.Helper()
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), name, from, to)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// tortureBinary builds the program with its points between two steps.
func tortureBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "overreach")
	out, err := exec.Command("go", "build", "-tags", "torture", "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("building the program for the kill test: %v\n%s", err, out)
	}
	return binary
}

// points are the names of all points between two steps.
func (w *tortured) points() []string {
	w.t.Helper()
	c := exec.Command(w.binary)
	c.Env = append(os.Environ(), "OVERREACH_DIE_AT=list")
	out, err := c.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// database is where one group of instances writes what it reads of the log.
type database struct {
	*tortured
	name string
	hook *tortureHook
}

func (w *tortured) newDatabase(name string) *database {
	w.t.Helper()
	d := &database{tortured: w, name: name, hook: startTortureHook(w.t)}
	if err := store.CreateDatabase(w.t.Context(), store.Config{Addresses: []string{w.engineAt.NativeAddr}, Password: embeddedtest.Password, Database: name}); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// ask asks the engine past the proxy.
func (d *database) ask(sql string) ([]string, error) {
	s := servers{t: d.t, clickhouse: store.Config{Addresses: []string{d.engineAt.NativeAddr}, Password: embeddedtest.Password, Database: d.name}}
	return s.ask(sql)
}

// config writes the configuration of one instance, which reads the log in one of
// the ways of tortureReadings, and passes what it cannot decode after some time, 0
// for never.
func (d *database) config(clickhouse, kafka string, reading int, passes time.Duration) string {
	return d.write(fmt.Sprintf("%s-%d-%s.yaml", d.name, reading, passes), fmt.Sprintf(`
kafka:
  brokers: [%s]
  unreadable_after: %s
  topics: [{topic: %s, mapping: reading-%d.yaml}]
  group: %s
  start: earliest
clickhouse:
  addresses: [%s]
  database: %s
  password_file: %s
registry: registry.yaml
hash_key_file: hash.key
batch: {max_age: 300ms, max_events: 3000}
judge: {interval: 300ms}
time: {stalled_after: %s}
alerts: {group: 0s, max_age: 30d, max_strangers: 100000, resend: 5s, webhook: {url: '%s', secret_file: secret}}
`, kafka, passes, d.topic, reading, d.name, clickhouse, d.name,
		filepath.Join(d.engineAt.Dir, embedded.PasswordFile), tortureStalled, d.hook.URL))
}

// instance is one process of the program.
type instance struct {
	process *exec.Cmd
	dieAt   string
	listen  string // host:port of health checks and metrics
	stderr  output
	done    chan struct{}
	peak    atomic.Int64 // of its resident memory, bytes
}

func (d *database) launch(config, dieAt string) *instance {
	d.t.Helper()
	p := &instance{dieAt: dieAt, listen: freeAddress(d.t), done: make(chan struct{})}
	p.process = exec.Command(d.binary, "run", "--wait", "1m", "--log-format", "json", "--listen", p.listen, "--config", config)
	p.process.Env = os.Environ()
	if dieAt != "" {
		p.process.Env = append(p.process.Env, "OVERREACH_DIE_AT="+dieAt)
	}
	p.process.Stderr = &p.stderr
	if err := p.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = p.process.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	go p.watch()
	d.t.Cleanup(p.kill)
	return p
}

// watch keeps the most memory that it has had resident, which nobody can ask when
// it is dead.
func (p *instance) watch() {
	for !p.dead() {
		if _, peak, err := residentOf(p.process.Process.Pid); err == nil { // else it has just died
			p.peak.Store(peak)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// kill ends it as a power cut would; it may have ended.
func (p *instance) kill() {
	_ = p.process.Process.Kill()
	<-p.done
}

func (p *instance) dead() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killed reports whether it died of SIGKILL, and not by itself.
func (p *instance) killed() bool {
	s, ok := p.process.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL //nolint:misspell // the library spells it so
}

// drained waits until all of the log is counted, every cadence of every slot has
// judged it to its end, and everybody was told. tend is called meanwhile.
func (d *database) drained(within time.Duration, tend func()) error {
	ends, latest := d.log.ends()
	var to []string
	for p, end := range ends {
		if end > 0 {
			to = append(to, fmt.Sprintf("(%d, %d)", p, end))
		}
	}
	judged := fmt.Sprintf("SELECT count() FROM judged FINAL WHERE (partition, to_offset) IN (%s) AND toUnixTimestamp(watermark) >= %d",
		strings.Join(to, ", "), latest/60_000*60)
	want := fmt.Sprint(len(to) * 256 * len(schema.Cadences))
	last, deadline := "", time.Now().Add(within)
	for time.Now().Before(deadline) {
		tend()
		rows, err := d.ask(judged)
		switch {
		case err != nil:
			last = err.Error()
		case rows[0] != want:
			last = rows[0] + " of " + want + " positions are judged to the end"
		case d.leftOut() != "0":
			last = d.leftOut() + " findings say that the watermark leaves a partition out"
		default:
			if last = d.untold(); last == "" {
				return nil
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("not drained within %s: %s", within, last)
}

// leftOut counts the findings that name a partition which the watermark leaves out.
// In the end it leaves out none: all are counted to their ends.
func (d *database) leftOut() string {
	rows, err := d.ask("SELECT count() FROM findings_log FINAL WHERE state != 'withdrawn' AND position(blind_spots, 'left out of the watermark') > 0")
	if err != nil {
		return err.Error()
	}
	return rows[0]
}

// untold names an episode that the receiver was not told of. An alert names an
// episode by its last day, so that where several days came at once the receiver
// hears of one. What was over a month ago is left out: it waits for its partner's next
// digest, up to an hour.
func (d *database) untold() string {
	rows, err := d.ask(`SELECT id, any(change) FROM finding_changes WHERE change IN ('new', 'continued')
		AND id NOT IN (SELECT id FROM findings_log FINAL WHERE last_seen < now() - INTERVAL 30 DAY)
		GROUP BY id, detector, partner, capability, window, cause, period ORDER BY detector, partner, capability, window, cause, period`)
	if err != nil {
		return err.Error()
	}
	heard := d.hook.findings()
	episode, told := "", true
	for _, row := range rows {
		id, change, _ := strings.Cut(row, "\t")
		if change == "new" {
			if !told {
				break
			}
			episode, told = id, false
		}
		told = told || heard[id]
	}
	if !told {
		return "the receiver was not told of finding " + episode + " nor of what continued it"
	}
	rows, err = d.ask("SELECT event FROM deliveries WHERE outcome = 'delivered'")
	if err != nil {
		return err.Error()
	}
	for id := range d.hook.times() {
		if !slices.Contains(rows, id) {
			return "it is not kept that event " + id + " was delivered"
		}
	}
	return ""
}

// tortureHook receives alerts and counts how often each event came.
type tortureHook struct {
	*httptest.Server
	mu     sync.Mutex
	events map[string]int
	heard  map[string]bool // findings
}

func startTortureHook(t *testing.T) *tortureHook {
	t.Helper()
	h := &tortureHook{events: map[string]int{}, heard: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Event string
			Alert struct{ Findings []struct{ ID string } }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Event == "" {
			http.Error(w, "no event", http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events[body.Event]++
		for _, f := range body.Alert.Findings {
			h.heard[f.ID] = true
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *tortureHook) times() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]int, len(h.events))
	for id, n := range h.events {
		all[id] = n
	}
	return all
}

func (h *tortureHook) findings() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]bool, len(h.heard))
	for id := range h.heard {
		all[id] = true
	}
	return all
}

// forgetTokens has ClickHouse forget which inserts it has seen, as ten thousand
// others would. Nobody may be writing meanwhile.
func (d *database) forgetTokens() error {
	for _, table := range []string{"access_events", "rejects", "usage"} {
		for _, window := range []string{"0", "10000"} {
			if _, err := d.ask("ALTER TABLE " + table + " MODIFY SETTING non_replicated_deduplication_window = " + window); err != nil {
				return err
			}
		}
	}
	return nil
}
