package schema

// Reader turns the records of a topic into events: plain ones, or another
// producer's through a mapping. It is reused from record to record and is not
// safe for use by several goroutines at once.
type Reader struct {
	limits  TimeLimits
	mapper  *mapper // nil where records are events as they are
	plain   Decoder
	events  []Event
	rejects []ItemReject
}

// NewReader returns a Reader of records that the mapping turns into events, or
// of events as they are where it is nil.
func NewReader(mapping *Mapping, limits TimeLimits) *Reader {
	r := &Reader{limits: limits, events: make([]Event, 1), rejects: make([]ItemReject, 1)}
	if mapping != nil {
		r.mapper = newMapper(mapping)
	}
	return r
}

// Read reads a record whose Kafka time is recordMs, in milliseconds since 1970.
// Each of its items is an event, a reject, or was left out by the mapping's
// filter; filtered is how many were. What it returns is valid until the next
// call, and the events also no longer than the record. Plain events that the
// Decoder reads without allocation are read so here.
func (r *Reader) Read(record []byte, recordMs int64) (events []Event, rejects []ItemReject, filtered int) {
	e := &r.events[0]
	var why *Reject
	if r.mapper == nil {
		why = r.plain.Decode(record, e)
	} else {
		var keep bool
		if keep, why = r.mapper.read(record, e); why == nil && !keep {
			return nil, nil, 1
		}
	}
	if why == nil {
		why = r.limits.Check(e.Time, recordMs)
	}
	if why != nil {
		r.rejects[0] = ItemReject{Item: 0, Reject: *why}
		return nil, r.rejects[:1], 0
	}
	return r.events[:1], nil, 0
}
