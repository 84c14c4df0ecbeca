// Package embedded starts what Overreach needs beside itself on one machine: a
// Kafka broker in this process and the ClickHouse engine in a child process.
// The rest of the program speaks to both as to real servers.
package embedded

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// EngineConfig says which folder the engine serves, and where.
type EngineConfig struct {
	// Binary is the file of overreach-engine. Empty: $OVERREACH_ENGINE, or
	// overreach-engine beside the running executable.
	Binary string
	// Library is the file of libchdb.so. Empty: overreach-engine finds it
	// ($OVERREACH_ENGINE_LIBRARY, beside itself, or in ../.engine).
	Library string
	// Dir is the folder of the data; it is made where it is not there.
	Dir string
	// NativeAddr and HTTPAddr are loopback addresses, host:port. Empty: a
	// free port of 127.0.0.1.
	NativeAddr, HTTPAddr string
	// Stderr gets what the engine logs, JSON lines; nil drops it.
	Stderr io.Writer
}

// Engine is a ClickHouse engine that runs as a child of this process and ends
// with it, however it ends.
type Engine struct {
	process      *exec.Cmd
	native, http string
	password     string
	stderr       *tail
	done         chan struct{}
	err          error // how it ended; read after done

	mu     sync.Mutex
	ending bool // Stop or Kill was called, so an end is no failure
}

// startTimeout bounds how long opening a folder may take; a large one is
// opened in seconds.
const startTimeout = 2 * time.Minute

// stopTimeout is how long a clean end may take before the process is killed.
// The engine itself gives running queries five seconds.
const stopTimeout = 30 * time.Second

// StartEngine starts the engine and returns when it answers. ctx bounds the
// start, not the engine's life.
func StartEngine(ctx context.Context, config EngineConfig) (*Engine, error) {
	binary, err := findBinary(config.Binary)
	if err != nil {
		return nil, err
	}
	args := []string{"--path", config.Dir, "--parent-pid", strconv.Itoa(os.Getpid())}
	for flag, value := range map[string]string{
		"--native": config.NativeAddr, "--http": config.HTTPAddr, "--library": config.Library,
	} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	e := &Engine{
		process: exec.Command(binary, args...),
		stderr:  &tail{to: config.Stderr},
		done:    make(chan struct{}),
	}
	e.process.Stderr = e.stderr
	// A Ctrl-C in the terminal is the parent's to act on: it still writes to the engine then.
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := e.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the engine: %w", err)
	}
	if err := e.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the engine: %w", err)
	}
	addresses := make(chan string, 1)
	go func() {
		out := bufio.NewReader(stdout)
		line, _ := out.ReadString('\n') // an end without a line is told by Wait
		addresses <- line
		_, _ = io.Copy(io.Discard, out)
		e.err = e.process.Wait()
		close(e.done)
	}()

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case line := <-addresses:
		err = e.ready(line)
	case <-ctx.Done():
		err = fmt.Errorf("the engine did not open %s in time: %w", config.Dir, ctx.Err())
	}
	if err != nil {
		e.Kill()
		return nil, err
	}
	return e, nil
}

// ready reads the line that the engine writes when it answers.
func (e *Engine) ready(line string) error {
	var told struct {
		Native, HTTP string
		PasswordFile string `json:"password_file"`
	}
	if line == "" {
		<-e.done
		return fmt.Errorf("the engine did not start (%w): %s", e.err, e.stderr.lastLine())
	}
	if err := json.Unmarshal([]byte(line), &told); err != nil {
		return fmt.Errorf("the engine said %q instead of its addresses: %w", line, err)
	}
	password, err := os.ReadFile(told.PasswordFile)
	if err != nil {
		return fmt.Errorf("reading the engine's password: %w", err)
	}
	e.native, e.http, e.password = told.Native, told.HTTP, strings.TrimSpace(string(password))
	return nil
}

// NativeAddr is the host:port of ClickHouse's native protocol.
func (e *Engine) NativeAddr() string { return e.native }

// HTTPAddr is the host:port of ClickHouse's HTTP interface.
func (e *Engine) HTTPAddr() string { return e.http }

// User is the engine's only user. Clients of ClickHouse take this name where
// they are told none.
const User = "default"

// Password is what User connects with, in both protocols. The engine makes it
// with the folder, keeps it in PasswordFile and takes what stands there.
func (e *Engine) Password() string { return e.password }

// PasswordFile is the file of the engine's password in the folder it serves.
const PasswordFile = "overreach-engine.token"

// Done is closed when the process has ended, whoever ended it.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Kill ends the process at once, as a power cut would (SIGKILL), and returns
// when it is gone: its folder and ports are free again.
func (e *Engine) Kill() {
	e.end(syscall.SIGKILL)
	<-e.done
}

// Stop closes the folder and ends the process. It may be called more than
// once. An error means that the engine had ended by itself, or did not end
// and was killed.
func (e *Engine) Stop() error {
	first := e.end(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(stopTimeout):
		e.Kill()
		return fmt.Errorf("the engine did not end within %s and was killed", stopTimeout)
	}
	if first && e.err != nil {
		return fmt.Errorf("the engine ended badly (%w): %s", e.err, e.stderr.lastLine())
	}
	return nil
}

// end sends a signal and says whether it was the first.
func (e *Engine) end(signal syscall.Signal) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first = !e.ending
	e.ending = true
	// It fails where the process has ended already, which done tells.
	_ = e.process.Process.Signal(signal)
	return first
}

// findBinary says where overreach-engine is.
func findBinary(given string) (string, error) {
	if given == "" {
		given = os.Getenv("OVERREACH_ENGINE")
	}
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("finding this program's folder: %w", err)
		}
		given = filepath.Join(filepath.Dir(self), "overreach-engine")
	}
	if _, err := os.Stat(given); err != nil {
		return "", fmt.Errorf("the ClickHouse engine for one machine is not at %s; run make build, or name it with $OVERREACH_ENGINE: %w",
			given, errors.Unwrap(err))
	}
	return given, nil
}

// tail passes on what it is given and keeps the end of it.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	kept []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - tailSize; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

// lastLine is the last line written, which says why a start failed.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.TrimSpace(t.kept)
	return strings.TrimPrefix(string(lines[bytes.LastIndexByte(lines, '\n')+1:]), "overreach-engine: ")
}
