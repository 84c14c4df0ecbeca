package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// localRun is a folder of runs on one machine, and the files that they are given.
type localRun struct {
	t       *testing.T
	program string
	dir     string
	from    []string // files
	config  string
}

// newLocalRun writes two files, one of them packed, with so many events and rejects
// among them, and a configuration of small batches.
func newLocalRun(t *testing.T, program string, events int) *localRun {
	t.Helper()
	r := &localRun{t: t, program: program, dir: t.TempDir()}
	var plain, packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	for i, event := range madeEvents(t, 0, events) {
		line := slices.Concat(event, []byte("\n"))
		if i%100 == 0 {
			line = append(line, "no event\n\n"...) // a reject, and an empty line
		}
		if i < events*2/3 {
			plain.Write(line)
		} else if _, err := pack.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	r.from = []string{r.write("events.ndjson", plain.Bytes()), r.write("events.gz", packed.Bytes())}
	r.write("registry.yaml", []byte(nobody))
	r.config = r.write("config.yaml", []byte("registry: registry.yaml\nbatch: {max_events: 1000}\njudge: {interval: 200ms}\n"))
	return r
}

func (r *localRun) write(name string, text []byte) string {
	r.t.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// start starts a run on a folder that counts the files, and dies at a point of the
// kill test's program where one is named.
func (r *localRun) start(folder, dieAt string, more ...string) *program {
	r.t.Helper()
	args := []string{"run", "--local", filepath.Join(r.dir, folder), "--config", r.config, "--log-format", "json"}
	for _, file := range r.from {
		args = append(args, "--from", file)
	}
	return startProgram(r.t, "env", append([]string{"OVERREACH_DIE_AT=" + dieAt, r.program}, append(args, more...)...)...)
}

// startAfterAKill starts a run once the engine of the one before has ended with it.
func (r *localRun) startAfterAKill(folder, dieAt string) *program {
	r.t.Helper()
	for {
		p := r.start(folder, dieAt, "--log-level", "debug")
		for p.logged("engine is ready") == 0 && !p.ended() {
			time.Sleep(5 * time.Millisecond)
		}
		if p.logged("is in use by process") == 0 {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ended reports whether the process has.
func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// query returns what a statement yields.
func (r *localRun) query(folder, sql string) string {
	r.t.Helper()
	return run(r.t, "query", "--local", filepath.Join(r.dir, folder), sql)
}

// sums are what a folder holds, but for where it was read from.
func (r *localRun) sums(folder string) string {
	r.t.Helper()
	var all []string
	for _, sql := range []string{
		"SELECT partner, count(), uniqExact(incarnation, partition, offset, item), uniqExact(subject) FROM access_events GROUP BY ALL ORDER BY ALL",
		"SELECT resolution, partner, app, sum(accesses), uniqCombined64Merge(14)(subjects) FROM usage WHERE kind = 'usage' GROUP BY ALL ORDER BY ALL",
		"SELECT reason, count(), uniqExact(incarnation, partition, offset, item) FROM rejects GROUP BY ALL ORDER BY ALL",
		"SELECT sum(records), sum(events), sum(rejected), sum(missing) FROM coverage",
		"SELECT id, state, people, accesses, first_seen, last_seen, sentence FROM findings ORDER BY id",
	} {
		all = append(all, r.query(folder, sql))
	}
	return strings.Join(all, "\n")
}

// Wherever a run dies, the next ones count the rest, and the sums are those of a run
// that nothing disturbed.
func TestARunOfFilesThatIsKilledAgainAndAgainCountsEachRecordOnce(t *testing.T) {
	t.Parallel()
	const events = 60_000
	r := newLocalRun(t, tortureBinary(t), events)
	if code := r.start("undisturbed", "").exit(patience); code != exitOK {
		t.Fatalf("undisturbed, it ended with exit code %d", code)
	}
	want := r.sums("undisturbed")
	if !strings.Contains(want, fmt.Sprintf("%d\t%d\t%d\t0\n", events+events/100, events, events/100)) {
		t.Fatalf("undisturbed, it holds\n%s", want)
	}

	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)) //nolint:gosec // not a secret
	deaths := []string{
		"judge.changes:1", "flush.taken:1", "flush.pinned:1", "flush.raw:1", "flush.usage:1", "flush.pinned:3", "flush.rejects:3", "flush.raw:4",
		"flush.usage:4", "", "", "", "judge.judged:2", // "": at any time
	}
	killed := 0
	for _, at := range deaths {
		p := r.startAfterAKill("killed", at)
		if at == "" {
			for p.logged("batch counted") == 0 && !p.ended() {
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
			_ = p.process.Process.Kill() // it may have ended
		}
		switch code := p.exit(patience); {
		case code == -1:
			killed++
		case code == exitFailed && p.logged("was counted on") == len(r.from): // all was done before
		case code != exitOK:
			t.Fatalf("it was to die at %q and ended with exit code %d", at, code)
		}
	}
	if killed < len(deaths)-2 {
		t.Fatalf("it was killed %d times, expected about %d", killed, len(deaths))
	}
	p := r.startAfterAKill("killed", "")
	if code := p.exit(patience); code != exitOK && (code != exitFailed || p.logged("was counted on") != len(r.from)) {
		t.Fatalf("at last it ended with exit code %d", code)
	}
	if got := r.sums("killed"); got != want {
		t.Errorf("after %d kills it holds\n%s\nundisturbed\n%s", killed, got, want)
	}
}

// Ctrl-C keeps what is counted, and says how to go on.
func TestARunOfFilesThatIsInterruptedSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	const events = 60_000
	r := newLocalRun(t, "overreach", events)
	p := r.start("data", "", "--log-level", "debug")
	p.awaits(5, "batch counted")
	p.signal(os.Interrupt)
	if code := p.exit(soon); code != exitFailed {
		t.Fatalf("after Ctrl-C it ended with exit code %d", code)
	}
	_, said, _ := strings.Cut(p.stderr.String(), "overreach: interrupted")
	var counted [2]int
	n, err := fmt.Sscanf(strings.NewReplacer(",", "", r.from[0], "FILE", r.from[1], "FILE").Replace(said),
		": what is counted stays\noverreach: FILE: %d of 40400 records are counted\noverreach: FILE: %d of 20200 records are counted\n", &counted[0], &counted[1])
	if err != nil || n != 2 || !strings.HasSuffix(said, "overreach: the same command goes on at the first record that is not counted, and judges all of them\n") {
		t.Fatalf("it says\n%s%v", said, err)
	}
	if got, want := r.query("data", "SELECT sum(records) AS n FROM coverage"), fmt.Sprintf("n\n%d\n", counted[0]+counted[1]); got != want || counted[0] < 5000 {
		t.Errorf("it says that %d records are counted, the markers say %s", counted, got)
	}
	next := r.start("data", "")
	if code := next.exit(patience); code != exitOK || next.logged("what is left is counted now") != 1 {
		t.Fatalf("the same command ended with exit code %d", code)
	}
	left := fmt.Sprintf("%s: ", plural(uint64(events+events/100-counted[0]-counted[1]), "record"))
	if next.logged(left) != 1 {
		t.Errorf("it does not say %q", left)
	}
	if got := r.query("data", "SELECT count() AS n, uniqExact(incarnation, partition, offset, item) AS u FROM access_events"); got != fmt.Sprintf("n\tu\n%d\t%d\n", events, events) {
		t.Errorf("rows are %s", got)
	}
}

func TestRejectsOfALiveRunAreInItsLogWithoutTheirValues(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "run", "--local", dir, "--log-format", "json")
	p.awaits(1, "running on one machine")
	address := p.stderr.String()
	_, address, _ = strings.Cut(address, `"kafka":"`)
	address, _, _ = strings.Cut(address, `"`)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(address), Transport: transport}
	res, err := client.Produce(t.Context(), &kafka.ProduceRequest{
		Topic: localTopic, Partition: 1, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(madeEvents(t, 0, 1)[0])}, kafka.Record{Value: kafka.NewBytes([]byte(`{"subject":"ann@example.com","id":7}`))}),
	})
	if err := errors.Join(err, res.Error); err != nil {
		t.Fatal(err)
	}
	p.awaits(1, `"detector":"unregistered_partner"`)
	p.stop()
	want := `"records":2,"events":1,"filtered":0,"rejects":1,"reasons":["1 wrong_type, first access-events/1 offset 1"]`
	if p.logged(want) != 1 || p.logged("ann@") != 0 {
		t.Errorf("the log lacks %s, or has a person's id", want)
	}
}

// Findings of files are told as those of a topic are, to whom the configuration names.
func TestARunOfFilesTellsWhomItsConfigurationNames(t *testing.T) {
	t.Parallel()
	h := startHook(t)
	r := &localRun{t: t, program: "overreach", dir: t.TempDir()}
	now := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	r.from = []string{r.write("events.ndjson", madeEvent{Time: now, Partner: "quizzer", Capability: "messaging", Action: "read", Subject: "ann"}.json(t))}
	r.write("registry.yaml", []byte(nobody))
	r.write("secret", []byte(hookSecret))
	r.config = r.write("config.yaml", []byte("registry: registry.yaml\nalerts: {webhook: {url: '"+h.URL+"', secret_file: secret}}\n"))
	if code := r.start("silent", "", "--no-alerts").exit(patience); code != exitOK || h.kinds("quizzer") != "" {
		t.Fatalf("with --no-alerts it ended with exit code %d and told %q", code, h.kinds("quizzer"))
	}
	if code := r.start("told", "").exit(patience); code != exitOK || h.kinds("quizzer") != "firing" {
		t.Errorf("it ended with exit code %d and told %q", code, h.kinds("quizzer"))
	}
	if got := r.query("told", "SELECT count() AS n FROM deliveries"); got != "n\n1\n" {
		t.Errorf("deliveries are %s", got)
	}
}
