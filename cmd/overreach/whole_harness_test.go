package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/store"
)

// patience is how long a test waits for what must come: long, since only a
// failing test waits to its end.
const patience = 90 * time.Second

// soon is how long a stop, or the refusal to start, may take.
const soon = 10 * time.Second

// program is overreach itself, as a process.
type program struct {
	t              *testing.T
	process        *exec.Cmd
	stdout, stderr output
	done           chan struct{}
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts overreach. It is killed with the test, and what it logged is
// shown where the test fails.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startProgram(t, "overreach", args...)
}

// startProgram starts another build of it.
func startProgram(t *testing.T, path string, args ...string) *program {
	t.Helper()
	p := &program{t: t, process: exec.Command(path, args...), done: make(chan struct{})}
	p.process.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
	p.process.Stdout, p.process.Stderr = &p.stdout, &p.stderr
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.process.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.process.Process.Kill() // it may have ended
		<-p.done
		if t.Failed() {
			t.Logf("overreach %s logged:\n%s", strings.Join(args, " "), p.stderr.String())
		}
	})
	return p
}

// run runs overreach to its end, which must be a good one, and returns what it
// printed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	p := start(t, args...)
	if code := p.exit(patience); code != exitOK {
		t.Fatalf("overreach %s ended with exit code %d", strings.Join(args, " "), code)
	}
	return p.stdout.String()
}

// exit waits for the end and returns the exit code.
func (p *program) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.process.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("overreach did not end within %s", within)
		return 0
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.process.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop asks it to end, which it must do soon and well.
func (p *program) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(soon); code != exitOK {
		p.t.Fatalf("after SIGTERM it ended with exit code %d", code)
	}
}

// kill ends it as a power cut would.
func (p *program) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.exit(soon)
}

// logged counts the lines of the log that hold the text.
func (p *program) logged(text string) int {
	n := 0
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// awaits fails where the log does not come to hold n lines with the text.
func (p *program) awaits(n int, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d lines of the log hold %q", n, text), func() bool { return p.logged(text) >= n })
}

// until waits until something holds while the program runs.
func (p *program) until(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		select {
		case <-p.done:
			p.t.Fatalf("overreach ended (exit code %d) before %s", p.process.ProcessState.ExitCode(), what)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// servers are a Kafka and a ClickHouse that outlive the programs of a test, and
// the configuration that leads there.
type servers struct {
	t          *testing.T
	kafka      string           // host:port
	broker     *embedded.Broker // nil where the Kafka is an Apache one
	engine     *embedded.Engine
	engineAt   embedded.EngineConfig // to start it again on the same folder and ports
	dir        string                // of the configuration
	listen     string                // health and metrics
	clickhouse store.Config
}

// wholeTopic is the topic of the tests' events.
const wholeTopic = "access"

// nobody is a registry without partners.
const nobody = "capabilities: {}\npartners: {}\n"

// startServers starts a broker with a topic of so many partitions and an engine
// with an empty database.
func startServers(t *testing.T, partitions int32) *servers {
	t.Helper()
	broker := embeddedtest.Broker(t, map[string]int32{wholeTopic: partitions})
	s := startServersBeside(t, broker.Addr())
	s.broker = broker
	return s
}

// startServersBeside starts an engine with an empty database beside a Kafka that
// has the topic.
func startServersBeside(t *testing.T, kafka string) *servers {
	t.Helper()
	s := &servers{t: t, kafka: kafka, dir: t.TempDir(), listen: freeAddress(t)}
	s.engineAt = embedded.EngineConfig{Dir: t.TempDir(), NativeAddr: freeAddress(t), HTTPAddr: freeAddress(t), Stderr: io.Discard}
	s.clickhouse = store.Config{Addresses: []string{s.engineAt.NativeAddr}, Password: embeddedtest.Password, Database: "overreach"}
	s.startEngine()
	if err := store.CreateDatabase(t.Context(), s.clickhouse); err != nil {
		t.Fatal(err)
	}
	s.write("hash.key", "000102030405060708090a0b0c0d0e0f\n")
	s.write("registry.yaml", nobody)
	return s
}

// startEngine starts the engine, also again after a kill.
func (s *servers) startEngine() {
	s.t.Helper()
	s.engine = embeddedtest.StartEngine(s.t, s.engineAt)
}

// freeAddress is a loopback address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it never took a connection
	return l.Addr().String()
}

// write puts a file beside the configuration and returns its path.
func (s *servers) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	// Renamed into its place, so that a reader sees the old text or the new one.
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// settings are the configuration, with what a test changes: by text that is
// replaced, in pairs.
func (s *servers) settings(changes ...string) string {
	text := fmt.Sprintf(`
kafka:
  brokers: [%s]
  topics: [{topic: %s}]
  group: overreach
  start: earliest
clickhouse:
  addresses: [%s]
  database: overreach
  password_file: %s
registry: registry.yaml
hash_key_file: hash.key
batch: {max_age: 200ms}
judge: {interval: 200ms}
listen: %s
`, s.kafka, wholeTopic, s.engineAt.NativeAddr, filepath.Join(s.engineAt.Dir, embedded.PasswordFile), s.listen)
	return strings.NewReplacer(changes...).Replace(text)
}

// run starts `overreach run` with the settings.
func (s *servers) run(changes ...string) *program {
	s.t.Helper()
	return start(s.t, "run", "--log-format", "json", "--config", s.write("config.yaml", s.settings(changes...)))
}

// produce sends records to a partition, in one batch.
func (s *servers) produce(partition int, records ...[]byte) {
	s.t.Helper()
	all := make([]kafka.Record, len(records))
	for i, r := range records {
		all[i] = kafka.Record{Value: kafka.NewBytes(r)}
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(s.kafka), Transport: transport}
	res, err := client.Produce(s.t.Context(), &kafka.ProduceRequest{
		Topic: wholeTopic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(all...),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		s.t.Fatalf("producing: %v", err)
	}
}

// query returns the rows of a statement, values between tabs.
func (s *servers) query(sql string) []string {
	s.t.Helper()
	rows, err := s.ask(sql)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func (s *servers) ask(sql string) (_ []string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	st, err := store.Open(ctx, s.clickhouse)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var out bytes.Buffer
	if err := st.Query(ctx, sql, &out, store.TSV); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")[1:], nil // below the header
}

// counted waits until the markers vouch for so many records, and fails where it
// comes to be more.
func (s *servers) counted(p *program, records int) {
	s.t.Helper()
	p.until(fmt.Sprintf("%d records are counted", records), func() bool {
		rows, err := s.ask("SELECT sum(records) FROM coverage")
		if err != nil {
			return false // ClickHouse may be away
		}
		n, err := strconv.Atoi(rows[0])
		if err != nil || n > records {
			s.t.Fatalf("%q records are counted, %d were sent", rows[0], records)
		}
		return n == records
	})
}

// madeEvent is an event as a producer writes it.
type madeEvent struct {
	Time       string `json:"time"`
	Partner    string `json:"partner"`
	App        string `json:"app,omitempty"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Subject    string `json:"subject"`
}

func (e madeEvent) json(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// madeEvents makes events with the numbers from up to to: of three partners,
// over some hours, of few enough people to be counted exactly.
func madeEvents(t *testing.T, from, to int) [][]byte {
	t.Helper()
	var all [][]byte
	for n := from; n < to; n++ {
		all = append(all, madeEvent{
			Time:    time.Date(2018, 12, 18, 9, 0, n*7, 0, time.UTC).Format(time.RFC3339),
			Partner: fmt.Sprintf("partner-%d", n%3), App: fmt.Sprintf("app-%d", n%2),
			Capability: "messaging", Action: "read", Subject: fmt.Sprintf("person-%d", n%97),
		}.json(t))
	}
	return all
}

// holdsOnce fails unless the tables hold exactly the made events with the
// numbers below n: each raw row once, and usage that adds up to them.
func (s *servers) holdsOnce(n int) {
	s.t.Helper()
	type sums struct {
		accesses int
		people   map[int]bool
	}
	want := map[string]*sums{}
	for i := range n {
		partner := fmt.Sprintf("partner-%d", i%3)
		if want[partner] == nil {
			want[partner] = &sums{people: map[int]bool{}}
		}
		want[partner].accesses++
		want[partner].people[i%97] = true
	}
	var rows []string
	for i := range min(n, 3) {
		partner := fmt.Sprintf("partner-%d", i)
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d", partner, want[partner].accesses, len(want[partner].people)))
	}
	expect := strings.Join(rows, "\n")
	check := func(what, sql string) {
		s.t.Helper()
		if got := strings.Join(s.query(sql), "\n"); got != expect {
			s.t.Errorf("%s: partner, accesses, people are\n%s\nexpected\n%s", what, got, expect)
		}
	}
	check("raw rows", "SELECT partner, count(), uniqExact(subject) FROM access_events GROUP BY partner ORDER BY partner")
	check("records that have raw rows", "SELECT partner, uniqExact(incarnation, partition, offset, item), uniqExact(subject) FROM access_events GROUP BY partner ORDER BY partner")
	for _, resolution := range []string{"minute", "hour", "day"} {
		check("usage by "+resolution, "SELECT partner, sum(accesses), uniqCombined64Merge(14)(subjects) FROM usage WHERE kind = 'usage' AND resolution = '"+
			resolution+"' GROUP BY partner ORDER BY partner")
	}
	if got, want := s.query("SELECT sum(records), sum(events), sum(missing) FROM coverage"), fmt.Sprintf("%d\t%d\t0", n, n); len(got) != 1 || got[0] != want {
		s.t.Errorf("the markers say records, events, missing %q: expected %q", got, want)
	}
}

// get asks for a page of health or metrics; status 0 is no answer.
func (s *servers) get(path string) (status int, body string) {
	return httpGet(s.t, "http://"+s.listen+path)
}

func httpGet(t *testing.T, address string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: soon}
	res, err := client.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}
