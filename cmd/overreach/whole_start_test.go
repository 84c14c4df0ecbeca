package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refuses fails unless the program ends soon and badly with one line that holds
// all the texts, and no stack trace.
func (p *program) refuses(texts ...string) {
	p.t.Helper()
	if code := p.exit(soon); code != exitFailed && code != exitUsage {
		p.t.Errorf("it ended with exit code %d", code)
	}
	var said []string
	for line := range strings.Lines(p.stderr.String()) {
		if after, is := strings.CutPrefix(line, "overreach: "); is {
			said = append(said, after)
		}
	}
	if len(said) != 1 {
		p.t.Errorf("it says %d lines, expected one: %q", len(said), said)
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(said, ""), text) {
			p.t.Errorf("it says %q, which lacks %q", said, text)
		}
	}
	if trace := regexp.MustCompile(`goroutine \d+|\.go:\d+|panic:`).FindString(p.stderr.String() + p.stdout.String()); trace != "" {
		p.t.Errorf("it shows a stack trace: %q", trace)
	}
}

func TestWhatIsMissingAtTheStartIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	nowhere := freeAddress(t)
	s.query("CREATE DATABASE of_others")
	s.query("CREATE TABLE of_others.t (x Int8) ENGINE = MergeTree ORDER BY x")

	// The database is overreach's from here on, and people in it hashed under its key.
	first := s.run()
	first.awaits(1, "starting as configured")
	first.stop()
	s.write("other.key", "ffffffffffffffffffffffffffffffff\n")
	s.write("broken.key", "no key\n")

	s.run("brokers: ["+s.broker.Addr(), "brokers: ["+nowhere).refuses("no Kafka broker at "+nowhere, "check the address")
	s.run("topic: access", "topic: acess").refuses(`topic "acess"`, "create the topic or correct its name")
	s.run("addresses: ["+s.engineAt.NativeAddr, "addresses: ["+nowhere).refuses("ClickHouse at "+nowhere, "no answer")
	s.run("database: overreach", "database: nowhere").refuses("database nowhere", "does not exist", "overreach migrate")
	s.run("database: overreach", "database: of_others").refuses("the tables lack", "overreach migrate", "--migrate")
	s.run("hash_key_file: hash.key", "").refuses("no key to hash user ids with", "openssl rand -hex 16", "OVERREACH_HASH_KEY")
	s.run("hash.key", "broken.key").refuses("expected 32 digits")
	s.run("hash.key", "other.key").refuses("hashed under key", "use that key, or another database")
	s.run("registry.yaml", "nowhere.yaml").refuses("registry", "nowhere.yaml")
	s.run("start: earliest", "").refuses("kafka.start", "earliest, latest, or since")
	s.run("topic: access", "topic: access, mapping: nowhere").refuses("mapping", "nowhere", "github")

	taken, err := net.Listen("tcp", s.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // it never took a connection
	s.run().refuses(s.listen, "--listen")
}

func TestCheckConnectSaysWhatIsThereAndWhatIsStillToCome(t *testing.T) {
	t.Parallel()
	s := startServers(t, 3)
	f := func(want string, changes ...string) {
		t.Helper()
		out := run(t, "check", "--connect", "--config", s.write("config.yaml", s.settings(changes...)))
		for _, text := range []string{want, "topic       access: 3 partitions", "GRANT SELECT, INSERT ON"} {
			if !strings.Contains(out, text) {
				t.Errorf("it says %q, which lacks %q", out, text)
			}
		}
	}
	f("answers; database nowhere is not there yet: run overreach migrate", "database: overreach", "database: nowhere")
	f("migrations: run overreach migrate")
	run(t, "migrate", "--config", s.dir+"/config.yaml")
	f("database overreach, tables are up to date")
}

func TestWaitWaitsForAClickHouseThatComesLater(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	if err := s.engine.Stop(); err != nil {
		t.Fatal(err)
	}
	p := start(t, "run", "--log-format", "json", "--config", s.write("config.yaml", s.settings()), "--wait", "1m")
	p.awaits(1, "waiting for ClickHouse")
	time.Sleep(1500 * time.Millisecond) // it tries again more than once, and says so once
	s.startEngine()
	p.awaits(1, "starting as configured")
	if n := p.logged("waiting for ClickHouse"); n != 1 {
		t.Errorf("that it waits is said %d times, expected once", n)
	}
	p.stop()
}

func TestHealthReadinessAndMetricsSayHowItIs(t *testing.T) {
	t.Parallel()
	s := startServers(t, 2)
	s.write("secret", hookSecret)
	p := s.run("batch:", "alerts: {webhook: {url: '"+startHook(t).URL+"', secret_file: secret}}\nbatch:")
	p.until("it is ready", func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusOK && body == "ready\n"
	})
	if status, body := s.get("/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz says %d %q", status, body)
	}
	s.produce(0, madeEvents(t, 0, 40)...)
	s.produce(1, []byte("{"))
	s.counted(p, 41)
	samples := []string{
		`overreach_lag_records\{partition="0",topic="access"\} 0`,
		`overreach_lag_records\{partition="1",topic="access"\} 0`,
		`overreach_records_total\{topic="access"\} 41`,
		`overreach_events_total\{topic="access"\} 40`,
		`overreach_rejects_total\{reason="not_json",topic="access"\} 1`,
		`overreach_flush_seconds_count\{topic="access"\} [1-9]\d*`,
		`overreach_retention_headroom_records\{partition="0",topic="access"\} 40`,
		`overreach_retention_near\{partition="0",topic="access"\} 0`,
		`overreach_server_away_seconds\{server="clickhouse"\} 0`,
		`overreach_server_away_seconds\{server="kafka"\} 0`,
		`overreach_server_errors_total\{kind="timeout",server="kafka"\} 0`,
		`overreach_batch_keys\{partition="0",topic="access"\} [1-9]\d*`,
		`overreach_rebalances_total 1`,
		`overreach_partitions_stopped 0`,
		`overreach_judge_round_seconds_count [1-9]\d*`,
		`overreach_judge_watermark_seconds 1\.545\d+e\+09`,
		`overreach_judge_watermark_delay_seconds \d+`,
		`overreach_judge_last_round_timestamp_seconds [1-9][\d.e+]*`,
		`overreach_judge_changes_total\{change="new",detector="unregistered_partner",severity="critical"\} 3`,
		`go_goroutines \d+`,
		`process_resident_memory_bytes [\d.e+]+`,
	}
	lacks := func() string {
		_, metrics := s.get("/metrics")
		for _, sample := range samples {
			if !regexp.MustCompile(`(?m)^` + sample + `$`).MatchString(metrics) {
				return sample
			}
		}
		return ""
	}
	deadline := time.Now().Add(20 * time.Second)
	for lacks() != "" && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	if lack := lacks(); lack != "" {
		_, metrics := s.get("/metrics")
		t.Errorf("the metrics lack %s:\n%s", lack, metrics)
	}
	_, metrics := s.get("/metrics")
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`overreach_[a-z_]+[a-z]`).FindAllString(string(docs), -1)
	for _, name := range named {
		if !strings.Contains(metrics, "# TYPE "+name+" ") {
			t.Errorf("docs/operations.md names %s, which is not served", name)
		}
	}
	if len(named) < len(samples)/2 {
		t.Errorf("docs/operations.md names %d metrics only", len(named))
	}
	for _, private := range []string{"person-", "partner-", "app-"} {
		if strings.Contains(metrics, private) {
			t.Errorf("the metrics hold %q, which producers choose", private)
		}
	}

	p.stop()
}

// registryOf is a registry of the made events' partners, in which partner-0 may
// touch so many people an hour.
func registryOf(people int) string {
	var b strings.Builder
	b.WriteString("capabilities: {messaging: {data: private messages}}\npartners:\n")
	for i := range 3 {
		_, _ = fmt.Fprintf(&b, `  partner-%d:
    owner: partnerships@example.com
    purpose: carry messages
    agreement: {start: 2014-01-01}
    grants: [{capability: messaging, actions: [read], from: 2014-01-01}]
`, i) // a Builder never fails
	}
	return strings.Replace(b.String(), "  partner-1:", fmt.Sprintf("    limits: [{people: %d, per: hour}]\n  partner-1:", people), 1)
}

func TestTheRegistryIsTakenOverWhenItsFileChangesAndOnSIGHUPAndABrokenOneIsRefused(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.write("registry.yaml", registryOf(1000))
	p := s.run()
	p.awaits(1, "starting as configured")
	s.produce(0, madeEvents(t, 0, 30)...)
	s.counted(p, 30)
	found := func() string { // people and limit of what is open
		return strings.Join(s.query("SELECT people, limit FROM findings WHERE detector = 'volume_limit' AND partner = 'partner-0' AND state = 'open'"), " ")
	}
	versions := func() string { return s.query("SELECT count(), uniqExact(sha256) FROM registry_versions")[0] }

	s.write("registry.yaml", registryOf(5))
	p.awaits(1, "a new registry is in force")
	p.until("10 people are more than 5", func() bool { return found() == "10\t5" })

	s.write("registry.yaml", strings.Replace(registryOf(1000), "limits:", "limts:", 1))
	p.awaits(1, "the new registry is refused; the old one stays in force")
	if p.logged(`registry.yaml:8: unknown field \"limts\"`) == 0 {
		t.Error("it does not say what is wrong and where")
	}
	p.signal(syscall.SIGHUP)
	p.awaits(2, "the new registry is refused; the old one stays in force") // whoever asks is answered
	if err := os.Remove(filepath.Join(s.dir, "registry.yaml")); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.awaits(1, "the registry cannot be read; the old one stays in force")
	s.produce(0, madeEvents(t, 30, 60)...)
	p.until("what is new is judged by the old registry", func() bool { return found() == "20\t5" })
	if got := versions(); got != "2\t2" {
		t.Errorf("registry_versions holds rows and hashes %q, expected 2 versions", got)
	}

	s.write("registry.yaml", registryOf(1000))
	p.signal(syscall.SIGHUP)
	p.awaits(2, "a new registry is in force")
	p.until("nothing is too many", func() bool { return found() == "" })
	p.signal(syscall.SIGHUP)
	p.awaits(1, "the registry has not changed")
	if got := versions(); got != "3\t2" {
		t.Errorf("registry_versions holds rows and hashes %q, expected 3 versions of 2 kinds", got)
	}
	p.stop()
}
