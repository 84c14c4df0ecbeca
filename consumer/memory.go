package consumer

import "github.com/overreach/overreach/schema"

// What a batch takes at most, by what makes it grow: measured with hostile events
// and rounded up, see docs/operations.md.
const (
	// bytesCopies is how often a byte of a record may be held: in the response, as
	// a name or id, as a leaf's key, in three rows of usage, in the columns of the
	// insert and in what is sent.
	bytesCopies = 4
	// bytesAnEvent is a row of access_events or rejects, held and as columns.
	bytesAnEvent = 1 << 10
	// bytesAKey is a cell, its place in two maps and its three rows of usage, held
	// and as columns.
	bytesAKey = 3 << 10
	// garbage is by how much more memory is taken than is in use: Go collects when
	// as much again was allocated.
	garbage = 2
)

// Memory returns how many bytes the batch of one partition takes at most.
func (l Limits) Memory() int64 {
	return garbage * (bytesCopies*(l.Bytes+schema.MaxRecord) + bytesAnEvent*int64(l.Events) + bytesAKey*int64(l.Keys))
}

// ProgramMemory is what the program takes beside its partitions: the judge, which
// reads of a bounded number of names at a time, the alerts and Go itself.
const ProgramMemory = 256 << 20
