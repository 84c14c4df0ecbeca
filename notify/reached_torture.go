//go:build torture

package notify

// Points are the names that Reached is called with, in the order of a delivery.
var Points = []string{pointPosted, pointDelivered}

// Reached is called between two steps of a delivery.
var Reached = func(string) {}

func reached(point string) { Reached(point) }
