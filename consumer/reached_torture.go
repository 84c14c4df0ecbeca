//go:build torture

package consumer

import "time"

const sessionTimeout = time.Second

// Points are the names that Reached is told, in the order of a partition's work.
var Points = []string{pointTaken, pointPinned, pointRejects, pointRaw, pointUsage, pointSettled}

// Reached is told between two steps of a partition's work.
var Reached = func(string) {}

func reached(point string) { Reached(point) }
