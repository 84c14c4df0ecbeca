//go:build !torture

package consumer

import "time"

// sessionTimeout is after how long without a heartbeat the group gives this
// instance's partitions to others: three missed heartbeats.
const sessionTimeout = 10 * time.Second

// reached is told between two steps of a partition's work. It does nothing, save in
// the program that the kill test builds.
func reached(string) {}
