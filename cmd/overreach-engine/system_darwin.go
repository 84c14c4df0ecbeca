package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// machineMemory is what the machine has, in bytes.
func machineMemory() (uint64, error) {
	memory, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, fmt.Errorf("asking for the machine's memory: %w", err)
	}
	return memory, nil
}

// privateFile is a temporary file that this user alone can open. A process that is killed
// leaves it behind.
type privateFile struct {
	*os.File
	path string // by which the library opens it
}

func newPrivateFile() (*privateFile, error) {
	file, err := os.CreateTemp("", "overreach-engine-insert-*")
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	return &privateFile{file, file.Name()}, nil
}

func (f *privateFile) close() error { return errors.Join(f.Close(), os.Remove(f.path)) }

// signals is the number of the system's signals.
const signals = 31

// sigaction is the C library's struct of the same name.
type sigaction struct {
	handler uintptr
	mask    uint32
	flags   int32
}

// libraryCall is the C library's sigaction: the kernel's own takes the address of a
// trampoline besides, which that library knows and the runtime of Go uses too.
var libraryCall = sync.OnceValues(func() (call func(int32, unsafe.Pointer, unsafe.Pointer) int32, err error) {
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "sigaction")
	if err != nil {
		return nil, fmt.Errorf("looking up sigaction: %w", err)
	}
	purego.RegisterFunc(&call, address)
	return call, nil
})

// exchange reads a signal's action into old and sets it to action, each unless nil.
func exchange(sig int, action, old *sigaction) error {
	call, err := libraryCall()
	if err != nil {
		return err
	}
	// The call leaves Go's stack, which must not move what it points at.
	var pinner runtime.Pinner
	defer pinner.Unpin()
	for _, p := range []*sigaction{action, old} {
		if p != nil {
			pinner.Pin(p)
		}
	}
	if call(int32(sig), unsafe.Pointer(action), unsafe.Pointer(old)) != 0 { //nolint:gosec // at most 31
		return syscall.EINVAL // the only error for an address that is valid
	}
	return nil
}
