package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// smallDisk is a file system of few megabytes on a folder. It is there in a mount
// namespace of its own, which ends with the test's process, however that ends.
type smallDisk struct {
	t      *testing.T
	dir    string
	holder *exec.Cmd // holds the namespace until its input ends
}

// smallDiskSize is that of the engine's disk, in megabytes, and what each kill adds:
// what merges have replaced stays for eight minutes, and must not fill it.
const smallDiskSize, smallDiskMore = 64, 2

// startSmallDisk returns nil where none can be made, which is said.
func startSmallDisk(t *testing.T, dir string) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, dir: dir}
	size := smallDiskSize + *tortureKills*smallDiskMore
	d.holder = exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs -o "size=$1m" tmpfs "$2" && echo made && exec cat`, "sh", fmt.Sprint(size), dir)
	var why strings.Builder
	d.holder.Stderr = &why
	in, err := d.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = d.holder.Start()
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	end := func() {
		_ = in.Close() // what it reads: so it ends
		_ = d.holder.Wait()
	}
	if err != nil {
		end()
		t.Logf("LEFT OUT: a full disk: no file system can be mounted here: %v: %s", err, why.String())
		embeddedtest.NoteLeftOut(t)
		return nil
	}
	t.Cleanup(end)
	return d
}

// wrapped is a program that runs another where the disk is.
func (d *smallDisk) wrapped(binary string) string {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), filepath.Base(binary))
	text := fmt.Sprintf("#!/bin/sh\nexec nsenter --mount=/proc/%d/ns/mnt -- '%s' \"$@\"\n", d.holder.Process.Pid, binary)
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be run
		d.t.Fatal(err)
	}
	return file
}

// path is where the disk's folder is seen from outside.
func (d *smallDisk) path() string { return fmt.Sprintf("/proc/%d/root%s", d.holder.Process.Pid, d.dir) }

func (d *smallDisk) filler() string { return filepath.Join(d.path(), "filler") }

// fill leaves no byte free.
func (d *smallDisk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, zeros{})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func (d *smallDisk) empty() error { return os.Remove(d.filler()) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// used says how much of the disk is used.
func (d *smallDisk) used() string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.path(), &s); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d of %d MB", (s.Blocks-s.Bfree)*uint64(s.Bsize)>>20, s.Blocks*uint64(s.Bsize)>>20) //nolint:gosec // it is no negative size
}

// stopMerges returns when none runs. The engine may put a merged part in the place
// of those it was made of though a full disk cut its files off: then rows are gone
// that it had said were there, which no writer can help.
func (m *torment) stopMerges() error {
	if _, err := m.ask("SYSTEM STOP MERGES"); err != nil {
		return err
	}
	if !holds(20*time.Second, func() bool {
		rows, err := m.ask("SELECT count() FROM system.merges")
		return err == nil && rows[0] == "0"
	}) {
		return errors.New("some still run")
	}
	return nil
}

// fillDisk takes the engine's disk away for a while. Nobody may end of it, and who
// could not write goes on by itself when there is room again.
func (m *torment) fillDisk(i int) {
	m.while(i, func() {
		p := m.instances[i]
		if p.dead() { // it ended before, which while counts
			return
		}
		if err := m.stopMerges(); err != nil {
			m.t.Errorf("stopping merges: %v", err)
		}
		if err := m.disk.fill(); err != nil {
			m.t.Errorf("filling the disk: %v", err)
		}
		said := func(text string) bool { return strings.Contains(p.stderr.String(), "ClickHouse "+text) }
		struck := holds(5*time.Second, func() bool { return said("does not answer") })
		time.Sleep(time.Duration(m.random.IntN(1500)) * time.Millisecond)
		if err := m.disk.empty(); err != nil {
			m.t.Errorf("emptying the disk: %v", err)
		}
		select {
		case <-m.engine.Done():
			m.blows["engine died of the full disk"]++
			m.engine.Kill()
			m.startEngine()
		default:
			if _, err := m.ask("SYSTEM START MERGES"); err != nil {
				m.t.Errorf("starting merges: %v", err)
			}
		}
		if struck {
			m.blows["inserts failed by the full disk"]++
			if !holds(30*time.Second, func() bool { return said("is back") || p.dead() }) {
				m.failed = append(m.failed, "an instance does not go on though there is room again:\n"+p.stderr.String())
			}
		}
		if p.dead() {
			m.failed = append(m.failed, "an instance ended of a full disk:\n"+p.stderr.String())
		}
	})
}
