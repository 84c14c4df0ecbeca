package main

import (
	"fmt"
	"syscall"
)

// handlers are the actions, by number, of all signals that can be handled.
type handlers [signals + 1]sigaction

// each calls f for each signal that can be handled.
func (h *handlers) each(f func(sig int, action *sigaction) error) error {
	for sig := 1; sig <= signals; sig++ {
		if sig == int(syscall.SIGKILL) || sig == int(syscall.SIGSTOP) {
			continue
		}
		if err := f(sig, &h[sig]); err != nil {
			return fmt.Errorf("signal %d: %w", sig, err)
		}
	}
	return nil
}

// saveHandlers reads the actions of the signals. The library replaces those
// of ILL, TRAP, ABRT, BUS, FPE, SEGV and SYS while it opens its first session,
// after which a nil dereference in Go would hang instead of panic; so they are
// saved before it is loaded and put back after that.
func saveHandlers() (*handlers, error) {
	h := &handlers{}
	if err := h.each(func(sig int, action *sigaction) error { return exchange(sig, nil, action) }); err != nil {
		return nil, fmt.Errorf("reading the handlers of signals: %w", err)
	}
	return h, nil
}

// restore puts the saved actions back.
func (h *handlers) restore() error {
	if err := h.each(func(sig int, action *sigaction) error { return exchange(sig, action, nil) }); err != nil {
		return fmt.Errorf("restoring the handlers of signals: %w", err)
	}
	return nil
}
