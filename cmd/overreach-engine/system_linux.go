package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machineMemory is what the machine, or this process' control group, has, in bytes.
func machineMemory() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("asking for the machine's memory: %w", err)
	}
	memory := info.Totalram * uint64(info.Unit)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			memory = min(memory, limit)
		}
	}
	return memory, nil
}

// privateFile is a file in memory. It goes with the process, however that ends.
type privateFile struct {
	*os.File
	path string // by which the library opens it
}

func newPrivateFile() (*privateFile, error) {
	fd, err := unix.MemfdCreate("overreach-engine-insert", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	return &privateFile{os.NewFile(uintptr(fd), "insert"), fmt.Sprintf("/proc/self/fd/%d", fd)}, nil
}

func (f *privateFile) close() error { return f.Close() }

// signals is the number of the kernel's signals.
const signals = 64

// sigaction is the kernel's struct of rt_sigaction, on x86-64 as on arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// exchange reads a signal's action into old and sets it to action, each unless nil.
func exchange(sig int, action, old *sigaction) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION,
		uintptr(sig), uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(sigaction{}.mask), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
