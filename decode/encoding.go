package decode

import "github.com/overreach/overreach/schema"

// Encoding is how the records of a topic hold events. A new one implements it and gets
// an entry in Open; the consumer and the commands know nothing else of it.
type Encoding interface {
	// Fingerprint says how records are read: Encodings with the same fingerprint turn
	// every record into the same events and rejects. Each pin holds it, so that a new
	// owner knows whether it reads an unfinished batch as the former owner did.
	Fingerprint() string
	// Normalisations returns what is done to the ids of subjects and of actors before
	// they are hashed, each alternative once. It keeps ids as hashes alone.
	Normalisations(hash IDHash) (subject, actor []Normalisation)
	// NewReader returns a Reader that rejects events whose time is outside of the limits.
	NewReader(limits schema.TimeLimits) Reader
}

// Reader turns records into events. It is reused from record to record and is not safe
// for use by several goroutines at once.
type Reader interface {
	// Read reads a record whose Kafka time is recordMs, in milliseconds since 1970. Each
	// of its items is an event, a reject, or was left out by a filter; filtered is how
	// many were. Items are numbered from 0 in the order in which they stand in the
	// record. The results are valid until the next call, and the events also no longer
	// than the record.
	Read(record []byte, recordMs int64) (events []schema.Event, rejects []schema.ItemReject, filtered int)
	// LeftOut returns how many items each condition of a filter has left out since the
	// Reader was made, in the order of the conditions. An item counts for the first
	// condition that does not hold for it.
	LeftOut() []LeftOut
	// Outline returns the names and types of a record's members without any value, as in
	// {time: string, actor: {login: string}, tags: [string, 2 more]}. It is kept of a
	// reject, so it must not tell of people: an object may have a member for each of
	// them, named after them. Only names that the encoding reads are written, in
	// whatever case they stand there; any other is "?". It has about limit bytes at most,
	// and ends with "…" where it was cut. Of a record that is not JSON it holds what
	// could be read, and says where that ends.
	Outline(record []byte, limit int) string
}

// LeftOut is how many items a condition of a mapping's filter left out.
type LeftOut struct {
	Condition string // as in actor.login has_suffix "[bot]"
	Items     int
}

// Open returns the encoding that a mapping's name or path stands for: JSON where it is
// empty, else that mapping.
func Open(mapping string) (Encoding, error) {
	if mapping == "" {
		return JSON{}, nil
	}
	return LoadMapping(mapping)
}
