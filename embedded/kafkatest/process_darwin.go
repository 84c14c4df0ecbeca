package kafkatest

import "syscall"

// ofTheTest leaves a Ctrl-C in the terminal to the test. macOS has no signal for the death
// of a parent: a broker outlives a test that is killed.
func ofTheTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
