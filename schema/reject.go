package schema

import (
	"fmt"
	"time"
)

// Reason says in one word why an item did not become an event. The words are
// few and fixed, fit for a metric's label.
type Reason string

// The reasons.
const (
	TooLarge        Reason = "too_large"        // more than MaxRecord bytes or MaxItems items
	NotJSON         Reason = "not_json"         // also cut off, and more than one value
	InvalidUTF8     Reason = "invalid_utf8"     // also half a surrogate pair
	NotObject       Reason = "not_object"       // JSON, but no object
	DuplicateMember Reason = "duplicate_member" // a member that is read is there twice
	MissingMember   Reason = "missing_member"   // a required member is absent, null or empty
	WrongType       Reason = "wrong_type"       // a number for a string, a fraction, an object for a single value, …
	TooLong         Reason = "too_long"         // a string above its member's limit
	OutOfRange      Reason = "out_of_range"     // a negative count, an integer above 64 bits
	BadAction       Reason = "bad_action"       // none of read, write, delete
	BadTime         Reason = "bad_time"         // no RFC 3339; epoch seconds
	TimeTooEarly    Reason = "time_too_early"   // before TimeLimits.Min
	TimeTooLate     Reason = "time_too_late"    // beyond TimeLimits.MaxFuture
	BadMapping      Reason = "mapping"          // what is there is not what the mapping expects
)

// Reasons lists every reason.
var Reasons = [...]Reason{
	TooLarge, NotJSON, InvalidUTF8, NotObject, DuplicateMember, MissingMember, WrongType, TooLong,
	OutOfRange, BadAction, BadTime, TimeTooEarly, TimeTooLate, BadMapping,
}

// MaxRecord is the size of the largest record that is read, in bytes. A larger
// one is a reject whatever it holds.
const MaxRecord = 4 << 20

// Reject says why an item of a record did not become an event.
type Reject struct {
	Reason Reason
	// Detail is a sentence for the producer: what was found, what was expected,
	// what to do. It names members, types, lengths and days, and never holds
	// anything else that the record says: that could be a user id.
	Detail string
}

// ItemReject is the reject of one item of a record.
type ItemReject struct {
	Item uint32 // from 0
	Reject
	// Part is what of the record it is about: an element of its list, or the
	// whole. The parts of one record do not overlap, so that keeping something
	// of each takes no more than something of the record. It is valid as long
	// as an event's slices.
	Part []byte
}

// Rejectf returns a reject whose detail is formatted as fmt.Sprintf does it.
func Rejectf(reason Reason, format string, args ...any) *Reject {
	return &Reject{reason, fmt.Sprintf(format, args...)}
}

// TimeLimits bound the times that are believed. An event outside of them is a
// reject and never moves the clock.
type TimeLimits struct {
	Min       int64         // the least time, milliseconds since 1970
	MaxFuture time.Duration // how far ahead of its record's own Kafka time
}

// DefaultTimeLimits are the limits where the configuration names none: from the
// year 2000 until an hour ahead.
func DefaultTimeLimits() TimeLimits {
	return TimeLimits{
		Min:       time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		MaxFuture: time.Hour,
	}
}

// Check returns why an event's time is not believed, or nil. Both times are in
// milliseconds since 1970. Ahead is measured against the record's Kafka time and
// not against the clock, so that a record read again is judged alike.
func (l TimeLimits) Check(eventMs, recordMs int64) *Reject {
	if eventMs < l.Min {
		return Rejectf(TimeTooEarly, "time is on %s, before min_time %s: expected the time of the call as RFC 3339 or as milliseconds since 1970",
			dayInWords(eventMs), time.UnixMilli(l.Min).UTC().Format(time.RFC3339))
	}
	// The difference may need all 64 bits, without a sign.
	if eventMs > recordMs && uint64(eventMs)-uint64(recordMs) > uint64(max(l.MaxFuture.Milliseconds(), 0)) {
		return Rejectf(TimeTooLate, "time is on %s, more than max_future (%s) after the record's own Kafka time on %s: set the producer's clock right, or raise max_future",
			dayInWords(eventMs), l.MaxFuture, dayInWords(recordMs))
	}
	return nil
}

// dayInWords tells no more of a time than its day: what stands where the time
// should be may be anything, a user id too.
func dayInWords(ms int64) string {
	t := time.UnixMilli(ms).UTC()
	switch {
	case t.Year() < 0:
		return "a day before the year 0"
	case t.Year() > 9999:
		return "a day after the year 9999"
	}
	return t.Format(time.DateOnly)
}
