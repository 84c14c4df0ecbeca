package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// process is a broker that runs as a child of the test's process.
type process struct {
	t          testing.TB
	name       string
	java, libs string
	plan       *plan

	formatted bool
	child     *exec.Cmd
	gone      chan struct{}
	log       lockedBuffer
}

// jvm starts fast, and does with little: tests run several brokers side by side.
var jvm = []string{
	"-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
	"-Dorg.apache.logging.log4j.level=WARN", "-Dlog4j2.disableJmx=true",
}

// command runs a class of Kafka's. What it says goes to the log.
func (p *process) command(class string, args ...string) *exec.Cmd {
	all := append(append([]string{}, jvm...), "-cp", filepath.Join(p.libs, "*"), class)
	c := exec.Command(p.java, append(all, args...)...)
	c.Stdout, c.Stderr = &p.log, &p.log
	c.SysProcAttr = ofTheTest()
	return c
}

func (p *process) start() error {
	if !p.formatted {
		if err := run(p.command("kafka.tools.StorageTool", append(p.plan.format(), "--config", p.plan.file())...)); err != nil {
			return fmt.Errorf("formatting the storage: %w\n%s", err, p.log.String())
		}
		p.formatted = true
	}
	p.child, p.gone = p.command("kafka.Kafka", p.plan.file()), make(chan struct{})
	started := make(chan error)
	go func(child *exec.Cmd, gone chan struct{}) {
		// The system sends Pdeathsig when the thread ends that started the child.
		runtime.LockOSThread()
		err := child.Start()
		started <- err
		if err == nil {
			_ = child.Wait() // how it ended is in ProcessState
		}
		close(gone)
	}(p.child, p.gone)
	return <-started
}

// run runs a command to its end.
func run(c *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return c.Run()
}

// stopWithin is how long a broker may take to end after SIGTERM.
const stopWithin = 30 * time.Second

func (p *process) end(atOnce bool) error {
	if p.child == nil || p.child.Process == nil {
		return nil
	}
	signal := syscall.SIGTERM
	if atOnce {
		signal = syscall.SIGKILL
	}
	if err := p.child.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.gone:
		return nil
	case <-time.After(stopWithin):
		return fmt.Errorf("it did not end within %s", stopWithin)
	}
}

func (p *process) tool(class string, args []string) (string, error) {
	var said lockedBuffer
	c := p.command(class, args...)
	c.Stdout, c.Stderr = &said, &said
	err := run(c)
	return said.String(), err
}

func (p *process) read(file string) ([]byte, error) { return os.ReadFile(p.plan.data(file)) }

func (p *process) write(file string, b []byte) error {
	return os.WriteFile(p.plan.data(file), b, 0o600)
}

func (p *process) cleanUp() {
	if err := p.end(true); err != nil {
		p.t.Errorf("ending %s: %v", p.name, err)
	}
	if p.t.Failed() {
		p.t.Logf("%s logged:\n%s", p.name, p.log.String())
	}
}

// lockedBuffer keeps what a process wrote.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// needs says where the jars and java are. Where they are not, the test fails in
// CI and is left out elsewhere.
func needs(t testing.TB) (libs, java string) {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	kafka := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(self))), ".kafka")
	if _, err := os.Stat(filepath.Join(kafka, "fetched.sha256")); err != nil {
		leaveOut(t, "the broker's jars are not in .kafka/: run scripts/fetch-kafka.sh")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		leaveOut(t, "java is missing, which runs the broker")
	}
	if version := javaVersion(java); version < oldestJava {
		leaveOut(t, fmt.Sprintf("java is of version %d, the broker needs %d or later", version, oldestJava))
	}
	return filepath.Join(kafka, "libs"), java
}

const oldestJava = 17

var versionSaid = regexp.MustCompile(`version "(\d+)`)

func javaVersion(java string) int {
	said, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		return 0
	}
	found := versionSaid.FindSubmatch(said)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(found[1])) // it is digits
	return n
}

func leaveOut(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("no Apache Kafka can be had: %s", why)
	}
	embeddedtest.LeaveOut(t, "no Apache Kafka can be had: "+why)
}
