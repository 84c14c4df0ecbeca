package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// sigaction is the kernel's struct of rt_sigaction on x86-64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const signals = 64

// handlers are the actions of all signals, by number.
type handlers [signals + 1]sigaction

// saveHandlers reads the actions of all signals. The library replaces those
// of ILL, TRAP, ABRT, BUS, FPE, SEGV and SYS while it opens its first session,
// after which a nil dereference in Go would hang instead of panic; so they are
// saved before it is loaded and put back after that.
func saveHandlers() (h handlers, err error) {
	for sig := 1; sig <= signals; sig++ {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION,
			uintptr(sig), 0, uintptr(unsafe.Pointer(&h[sig])), unsafe.Sizeof(h[sig].mask), 0, 0); errno != 0 {
			return h, fmt.Errorf("reading the handler of signal %d: %w", sig, errno)
		}
	}
	return h, nil
}

// restore puts the saved actions back.
func (h *handlers) restore() error {
	for sig := 1; sig <= signals; sig++ {
		if sig == int(syscall.SIGKILL) || sig == int(syscall.SIGSTOP) {
			continue
		}
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION,
			uintptr(sig), uintptr(unsafe.Pointer(&h[sig])), 0, unsafe.Sizeof(h[sig].mask), 0, 0); errno != 0 {
			return fmt.Errorf("restoring the handler of signal %d: %w", sig, errno)
		}
	}
	return nil
}
