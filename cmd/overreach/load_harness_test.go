package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/overreach/overreach/embedded/kafkatest"
)

// loaded is the world of a test of load: an Apache Kafka, an engine, and the program
// as it is released, with the settings that it has by default.
type loaded struct {
	*servers
	kafka   *kafkatest.Cluster
	program string
}

func startLoaded(t *testing.T, partitions int32) *loaded {
	t.Helper()
	w := &loaded{kafka: kafkatest.Start(t, kafkatest.Options{Own: true}), program: released(t)}
	w.kafka.CreateTopic(wholeTopic, partitions, map[string]string{"retention.ms": "-1"})
	w.servers = startServersBeside(t, w.kafka.Addrs()[0])
	return w
}

// start starts an instance with the default settings.
func (w *loaded) start(changes ...string) *program {
	w.t.Helper()
	usual := []string{"batch: {max_age: 200ms}\n", "", "judge: {interval: 200ms}\n", ""}
	return startProgram(w.t, w.program, "run", "--log-format", "json", "--config", w.write("config.yaml", w.settings(append(changes, usual...)...)))
}

// slow lets the program run for one part of the time only, until the function that
// it returns is called: a small machine, wherever the test runs.
func (p *program) slow(run, stand time.Duration) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			_ = p.process.Process.Signal(syscall.SIGSTOP) // it may have ended
			select {
			case <-time.After(stand):
			case <-done:
			}
			_ = p.process.Process.Signal(syscall.SIGCONT)
			select {
			case <-time.After(run):
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-stopped })
}

// within waits until something holds while the program runs, as long as is said.
func (p *program) within(long time.Duration, what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(long); !holds(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-p.done:
			p.t.Fatalf("overreach ended (exit code %d) before %s", p.process.ProcessState.ExitCode(), what)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not within %s: %s", long, what)
		}
	}
}

// resident is how much memory the program has resident now, and had at most, in
// bytes.
func (p *program) resident() (now, peak int64) {
	p.t.Helper()
	now, peak, err := residentOf(p.process.Process.Pid)
	if err != nil {
		p.t.Fatal(err)
	}
	return now, peak
}

// residentOf is how much memory a process has resident now, and had at most, in
// bytes.
func residentOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		for prefix, into := range map[string]*int64{"VmRSS:": &now, "VmHWM:": &peak} {
			rest, ok := strings.CutPrefix(line, prefix)
			if !ok {
				continue
			}
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, 0, err
			}
			*into = kb << 10
		}
	}
	if now == 0 || peak == 0 {
		return 0, 0, errors.New("the kernel does not say how much memory the program has")
	}
	return now, peak, nil
}

// peak is the most memory that the program has had resident so far, in bytes.
func (p *program) peak() int64 {
	p.t.Helper()
	_, peak := p.resident()
	return peak
}

// cpuOf is the processor time that a process has used so far.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // user and system
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // of USER_HZ, which is 100
}

// enginePID finds the process that serves the engine's folder.
func (s *servers) enginePID() int {
	s.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(line), "--path\x00"+s.engineAt.Dir+"\x00") {
			continue // it may have ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			s.t.Fatal(err)
		}
		return pid
	}
	s.t.Fatal("the engine's process was not found")
	return 0
}

// ordinary makes events as partners make them: few do most, each has some apps and
// scopes, and the people are many. It counts what it made.
type ordinary struct {
	random   *rand.Rand
	zipf     *rand.Zipf
	partners []int // how many events each has
	n        int
}

func newOrdinary(partners int) *ordinary {
	random := rand.New(rand.NewPCG(1, 2))
	return &ordinary{random: random, zipf: rand.NewZipf(random, 1.1, 4, uint64(partners-1)), partners: make([]int, partners)}
}

// event is about 260 bytes.
func (o *ordinary) event(at time.Time) []byte {
	r := o.random
	partner := int(o.zipf.Uint64())
	o.partners[partner]++
	o.n++
	return fmt.Appendf(nil, `{"time":%q,"id":"%016x%016x","partner":"partner-%d","app":"app-%d","capability":%q,"action":%q,"subject":"user:%d","api_version":"v%d","status":200,"records":%d}`,
		at.UTC().Format("2006-01-02T15:04:05.000Z"), r.Uint64(), r.Uint64(), partner, r.IntN(3), []string{"messaging", "friends", "contacts", "profile"}[r.IntN(4)],
		[]string{"read", "write"}[r.IntN(2)], r.IntN(1_000_000), 1+r.IntN(3), 1+r.IntN(50))
}

// pace sends events at a rate until the time is over, and returns when Kafka has
// all of them. It may not fall behind its own rate by more than a tenth.
func (w *loaded) pace(o *ordinary, partitions int32, perSecond int, long time.Duration, each func(passed time.Duration)) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(50*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	failed := make(chan error, 1)
	began := time.Now()
	for passed := time.Duration(0); passed < long; passed = time.Since(began) {
		for due := int(passed.Seconds() * float64(perSecond)); o.n < due; {
			record := &kgo.Record{Topic: wholeTopic, Partition: int32(o.n) % partitions, Value: o.event(time.Now())}
			client.Produce(w.t.Context(), record, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		each(passed)
		time.Sleep(20 * time.Millisecond)
	}
	if err := client.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	select {
	case err := <-failed:
		w.t.Fatalf("producing: %v", err)
	default:
	}
}
