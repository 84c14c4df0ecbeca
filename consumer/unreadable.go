package consumer

import "fmt"

// kind says in one word why records cannot be decoded. The words are few and
// fixed, fit for a metric's label.
type kind string

// The kinds.
const (
	badCRC         kind = "bad_crc"         // the batch's bytes are not those that were written
	badCompression kind = "bad_compression" // its codec fails, or is unknown
	badBatch       kind = "bad_batch"       // lengths or offsets contradict one another
	oldFormat      kind = "old_format"      // of before Kafka 0.11
)

// unreadable says that what Kafka holds at an offset cannot be decoded. Asking
// again helps only where another replica, or another disk, answers.
type unreadable struct {
	kind   kind
	offset int64 // all before was handed over
	log    chunk // what the broker said of the log, without records
	err    error
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("the record batch there cannot be decoded (%s): %v", u.kind, u.err)
}

func (u *unreadable) Unwrap() error { return u.err }

// broken is what a batch is whose structure contradicts itself.
func broken(format string, args ...any) error {
	return &unreadable{kind: badBatch, err: fmt.Errorf(format, args...)}
}
