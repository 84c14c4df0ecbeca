//go:build !torture

package main

import "time"

// How often windows of 24 hours, and those of days, are judged.
const (
	hourEvery = 10 * time.Second
	dayEvery  = time.Minute
)
