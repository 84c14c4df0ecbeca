package decode

import "github.com/overreach/overreach/schema"

// Reader turns the records of a topic into events: plain ones, or another
// producer's through a mapping. It is reused from record to record and is not
// safe for use by several goroutines at once.
type Reader struct {
	limits  schema.TimeLimits
	mapper  *mapper // nil where records are events as they are
	plain   Decoder
	events  []schema.Event
	rejects []schema.ItemReject
}

// NewReader returns a Reader of records that the mapping turns into events, or
// of events as they are where it is nil.
func NewReader(mapping *Mapping, limits schema.TimeLimits) *Reader {
	if mapping != nil {
		return &Reader{mapper: newMapper(mapping, limits)}
	}
	return &Reader{limits: limits, events: make([]schema.Event, 1), rejects: make([]schema.ItemReject, 1)}
}

// Read reads a record whose Kafka time is recordMs, in milliseconds since 1970.
// Each of its items is an event, a reject, or was left out by the mapping's
// filter; filtered is how many were. Items are numbered from 0 in the order in
// which they stand in the record. What it returns is valid until the next call,
// and the events also no longer than the record. Plain events that the Decoder
// reads without allocation are read so here.
func (r *Reader) Read(record []byte, recordMs int64) (events []schema.Event, rejects []schema.ItemReject, filtered int) {
	if r.mapper != nil {
		return r.mapper.read(record, recordMs)
	}
	e := &r.events[0]
	why := r.plain.Decode(record, e)
	if why == nil {
		why = r.limits.Check(e.Time, recordMs)
	}
	if why != nil {
		r.rejects[0] = schema.ItemReject{Item: 0, Reject: *why, Part: record}
		return nil, r.rejects[:1], 0
	}
	return r.events[:1], nil, 0
}

// LeftOut is how many items a condition of a mapping's filter left out.
type LeftOut struct {
	Condition string // as in actor.login has_suffix "[bot]"
	Items     int
}

// LeftOut tells how many items each condition has left out since the Reader was
// made, in the order of the mapping. An item counts for the first condition that
// does not hold for it.
func (r *Reader) LeftOut() []LeftOut {
	if r.mapper == nil {
		return nil
	}
	var all []LeftOut
	for i, n := range r.mapper.leftOut {
		all = append(all, LeftOut{r.mapper.where[i].words, n})
	}
	return all
}
