//go:build torture

package notify

// Points are the names that Reached is told, in the order of telling.
var Points = []string{pointPosted, pointDelivered}

// Reached is told between two steps of telling.
var Reached = func(string) {}

func reached(point string) { Reached(point) }
