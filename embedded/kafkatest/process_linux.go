package kafkatest

import "syscall"

// ofTheTest makes a child die with the test's process, however that ends. A Ctrl-C in the
// terminal is the test's to act on.
func ofTheTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
