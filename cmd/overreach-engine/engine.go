package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// engine is the library with a folder open.
type engine struct {
	lib     *library
	path    string
	anchor  *session // keeps the folder open while no client is connected
	opened  atomic.Uint64
	version string // of ClickHouse: 26.5.1.1
	config  string // the file of the library's configuration
	token   string // what clients connect with
	gate    *gate
}

// openEngine opens the folder at path with the library in file. It may be
// called once in a process.
func openEngine(file, path string) (*engine, error) {
	saved, err := saveHandlers()
	if err != nil {
		return nil, err
	}
	lib, err := loadLibrary(file)
	if err != nil {
		return nil, err
	}
	e := &engine{lib: lib, path: path}
	if e.token, err = readToken(path); err != nil {
		return nil, err
	}
	if e.config, err = writeConfig(path); err != nil {
		return nil, err
	}
	e.anchor, err = e.open()
	if err := errors.Join(err, saved.restore()); err != nil {
		return nil, err
	}
	if e.version, err = e.anchor.text("SELECT version()"); err != nil {
		return nil, fmt.Errorf("asking the engine for its version: %w", err)
	}
	if err := e.checkGrants(); err != nil {
		return nil, err
	}
	s, err := e.open()
	if err != nil {
		return nil, err
	}
	e.gate, err = newGate(s)
	return e, err
}

// close shuts the folder. Every client's session must have been closed before.
func (e *engine) close() {
	e.gate.session.close()
	e.anchor.close()
}

// open opens a session. It takes less than a millisecond.
func (e *engine) open() (*session, error) {
	s, err := e.lib.open([]string{
		"--path=" + e.path,
		"--config-file=" + e.config,
		// For the whole process; the first session sets them.
		"--max_server_memory_usage=" + strconv.FormatUint(memoryLimit(), 10),
		"--mark_cache_size=67108864",
		"--primary_index_cache_size=67108864",
		"--index_mark_cache_size=16777216",
		"--query_condition_cache_size=16777216",
	})
	if err != nil {
		return nil, err
	}
	s.tag = "overreach-engine/" + strconv.FormatUint(e.opened.Add(1), 10)
	s.base = []setting{
		{name: logComment, value: s.tag}, // names the session's queries in system.processes
		// A server does not take `1 + 1` for a query; and an insert is answered when it is in the table.
		{name: "implicit_select", value: "0"},
		{name: "async_insert", value: "0"},
	}
	if err := s.set(s.base); err != nil {
		s.close()
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	return s, nil
}

const logComment = "log_comment"

// memoryLimit is what the engine may use in all, in bytes: a third of what the
// machine, or this process' control group, has, and at least 1 GiB.
func memoryLimit() uint64 {
	const least = 1 << 30
	memory, err := machineMemory()
	if err != nil {
		return least
	}
	return max(least, memory/3)
}

// stop kills what a session is running. It is called from another goroutine
// than the session's, and returns when the query has been told.
func (e *engine) stop(tag string) error {
	s, err := e.open()
	if err != nil {
		return err
	}
	defer s.close()
	return s.exec("KILL QUERY WHERE Settings['log_comment'] = " + quote(tag) + " ASYNC")
}

// setting is a setting, or a parameter where its name begins with param_, of
// one query. Optional ones are left out where the engine does not know them.
type setting struct {
	name, value string
	optional    bool
}

// with applies settings to the session, calls f, and takes them back.
func (s *session) with(settings []setting, f func() error) error {
	// The engine keeps no log of queries that a comment could go to.
	settings = slices.DeleteFunc(slices.Clone(settings), func(one setting) bool { return one.name == logComment })
	if len(settings) == 0 {
		return f()
	}
	before, err := s.before(settings)
	if err != nil {
		return err
	}
	defer s.reset(before)
	if err := s.set(settings); err != nil {
		return err
	}
	return f()
}

// set applies settings, all in one statement where the engine knows them all.
func (s *session) set(settings []setting) error {
	var all []string
	for _, one := range settings {
		all = append(all, quoteName(one.name)+" = "+quote(one.value))
	}
	err := s.exec("SET " + strings.Join(all, ", "))
	var e *exception
	if !errors.As(err, &e) || e.code != codeUnknownSetting {
		return err
	}
	if len(settings) == 1 {
		if settings[0].optional {
			return nil
		}
		return err
	}
	for _, one := range settings {
		if err := s.set([]setting{one}); err != nil {
			return err
		}
	}
	return nil
}

// before is what gives settings the values back that they have now: a list of
// assignments. A parameter needs none, whoever uses it sets it anew.
func (s *session) before(settings []setting) ([]string, error) {
	now := map[string]string{}
	for _, one := range s.base {
		now[one.name] = one.value
	}
	if s.altered {
		list, err := s.text("SELECT name, base64Encode(value) FROM system.settings WHERE changed")
		if err != nil {
			return nil, fmt.Errorf("reading the session's settings: %w", err)
		}
		for line := range strings.Lines(list) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			plain, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("reading the session's settings: %w", err)
			}
			now[name] = string(plain)
		}
	}
	var before []string
	for _, one := range settings {
		if strings.HasPrefix(one.name, "param_") {
			continue
		}
		value := "DEFAULT"
		if changed, ok := now[one.name]; ok {
			value = quote(changed)
		}
		before = append(before, quoteName(one.name)+" = "+value)
	}
	return before, nil
}

// reset runs the assignments of before. Those of settings that the engine
// does not know fail, as setting them did, and there is nothing to take back.
func (s *session) reset(before []string) {
	if len(before) == 0 || s.exec("SET "+strings.Join(before, ", ")) == nil {
		return
	}
	for _, one := range before {
		_ = s.exec("SET " + one)
	}
}

// rows are an insert's rows, in a file from which the engine reads them.
type rows struct {
	*bufio.Writer
	file *privateFile
}

func newRows() (*rows, error) {
	file, err := newPrivateFile()
	if err != nil {
		return nil, fmt.Errorf("room for an insert's rows: %w", err)
	}
	return &rows{bufio.NewWriterSize(file, 1<<16), file}, nil
}

// empty tells that nothing was written.
func (r *rows) empty() (bool, error) {
	if err := r.Flush(); err != nil {
		return false, fmt.Errorf("room for an insert's rows: %w", err)
	}
	info, err := r.file.Stat()
	if err != nil {
		return false, fmt.Errorf("room for an insert's rows: %w", err)
	}
	return info.Size() == 0, nil
}

func (r *rows) close() {
	// Only room is given back; there is nothing to lose or to report.
	_ = r.file.close()
}

// insertRows runs an INSERT over the rows in a file. The engine parses the
// file and pushes its blocks as a client of a server does (INSERT … SELECT FROM
// file() would deduplicate by other rules).
func (e *engine) insertRows(s *session, ins *insert, format string, r *rows) (written uint64, err error) {
	if err := e.gate.allowInsert(ins, format); err != nil {
		return 0, err
	}
	if empty, err := r.empty(); empty || err != nil {
		return 0, err
	}
	var settings []setting
	if strings.EqualFold(format, "Values") {
		if settings, err = e.gate.forValues(ins, r); err != nil {
			return 0, err
		}
	}
	err = s.with(settings, func() error {
		result, err := s.run(ins.from(r.file.path, format), "Null")
		defer result.free()
		if err == nil {
			written = s.lib.rowsWritten(result.ptr)
		}
		return err
	})
	return written, err
}

// lockFolder makes sure that one process alone uses a folder. The lock goes
// with the process, however it ends.
func lockFolder(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	name := path + "/overreach-engine.lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(name)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the folder %s is in use by process %s; end that one or name another folder",
				path, strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return f, nil
}
