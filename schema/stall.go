package schema

import "time"

// Stall is something that stands still, as /readyz names it. Whoever may stand
// still returns a list of these, empty where all moves.
type Stall struct {
	What  string    // as an operator knows it: a partition as topic/number, the judge
	Since time.Time // of the wall clock
	Why   string    // in a few words, without text of an error that a sender could choose
}
