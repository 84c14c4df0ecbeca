// Package schema says what an access event, a usage row and a finding are, and which
// tables hold them. Every other package may import it; it imports none of ours.
package schema

import (
	"fmt"
	"hash/fnv"
)

// Action is what a call did to a person's data.
type Action uint8

// The actions; zero is none.
const (
	Read   Action = 1
	Write  Action = 2
	Delete Action = 3
)

// Actions lists every action in the order in which people name them.
var Actions = [...]Action{Read, Write, Delete}

// String returns the action as events, tables and the registry spell it.
func (a Action) String() string {
	switch a {
	case Read:
		return "read"
	case Write:
		return "write"
	case Delete:
		return "delete"
	}
	return ""
}

// ParseAction reads an action as events and the registry spell it; case counts.
func ParseAction(s string) (Action, error) {
	switch s {
	case "read":
		return Read, nil
	case "write":
		return Write, nil
	case "delete":
		return Delete, nil
	}
	return 0, fmt.Errorf("action %q is none of read, write, delete", s)
}

// Event is one call of a partner to the API, as one item of a record says it.
// The byte slices point into the record and are valid until its buffer is
// reused; an empty one means that the member was absent or empty.
type Event struct {
	Item       uint32 // which item of its record, from 0
	Time       int64  // milliseconds since 1970, UTC
	ID         []byte // the producer's own id
	Partner    []byte // the third party; never empty
	App        []byte // one of the partner's clients
	Capability []byte // the part of the API; never empty
	Subject    []byte // the person whose data was touched; never empty
	Actor      []byte // the person on whose behalf the call was made
	APIVersion []byte
	Grant      []byte // the grant the partner says it uses
	Action     Action
	Status     int32 // HTTP status, 0 where the event has none
	Records    int64 // records returned or changed, 0 where the event has none
	Bytes      int64 // bytes returned or received, 0 where the event has none
}

// Attempt reports whether the call was refused (401, 403, 429 or 5xx): an
// attempt is counted apart and enters no sketch. No status means access.
func (e *Event) Attempt() bool {
	return e.Status == 401 || e.Status == 403 || e.Status == 429 || e.Status >= 500 && e.Status <= 599
}

// Slots is the number of slots into which partners fall by hash. The judge's
// work is shared out by slot.
const Slots = 256

// Slot returns the slot of a partner: the low byte of FNV-1a (32 bit) of its
// name. It is stored with each usage row, so it must never change.
func Slot(partner string) uint8 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(partner)) // a hash.Hash never fails
	return uint8(h.Sum32())
}
