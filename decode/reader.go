package decode

import "github.com/overreach/overreach/schema"

// JSON is the Encoding of records that hold one event as one flat JSON object; docs/events.md
// lists its members.
type JSON struct{}

// Fingerprint implements Encoding: there is one way to read it.
func (JSON) Fingerprint() string { return "" }

// Normalisations implements Encoding: ids are taken as they are.
func (JSON) Normalisations(IDHash) (subject, actor []Normalisation) {
	return []Normalisation{{}}, []Normalisation{{}}
}

// NewReader implements Encoding. The Reader reads without allocation what the Decoder does.
func (JSON) NewReader(limits schema.TimeLimits) Reader {
	return &jsonReader{limits: limits, events: make([]schema.Event, 1), rejects: make([]schema.ItemReject, 1)}
}

type jsonReader struct {
	limits  schema.TimeLimits
	decoder Decoder
	events  []schema.Event
	rejects []schema.ItemReject
}

// Read implements Reader.
func (r *jsonReader) Read(record []byte, recordMs int64) (events []schema.Event, rejects []schema.ItemReject, filtered int) {
	e := &r.events[0]
	why := r.decoder.Decode(record, e)
	if why == nil {
		why = r.limits.Check(e.Time, recordMs)
	}
	if why != nil {
		r.rejects[0] = schema.ItemReject{Item: 0, Reject: *why, Part: record}
		return nil, r.rejects[:1], 0
	}
	return r.events[:1], nil, 0
}

// LeftOut implements Reader: there is no filter.
func (r *jsonReader) LeftOut() []LeftOut { return nil }

// Outline implements Reader.
func (r *jsonReader) Outline(record []byte, limit int) string {
	return outlineOf(record, limit, isEventMember)
}
