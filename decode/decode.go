// Package decode turns the records of a topic into access events, or says why one is
// no event.
package decode

import (
	"bytes"

	"github.com/overreach/overreach/schema"
)

// Decoder reads records that hold one event as one flat JSON object. It is
// reused from record to record and is not safe for use by several goroutines at
// once. Its zero value is ready.
type Decoder struct {
	json library
}

// Decode reads the record into e, or returns why it is no event.
//
// time, partner, capability, action and subject are required; id, app, actor,
// api_version, grant, status, records and bytes may be absent, or null, which is
// the same. Names are case-sensitive. Members of any other name are ignored, but
// must be valid JSON too; they may even come twice, which one that is read may
// not. The whole record must be valid UTF-8.
//
// Event's slices point into the record, or into memory of the Decoder where a
// string had to be unquoted, and are valid until the next call. Where Decode
// returns a Reject, e is undefined. What producers usually send is read without
// allocation.
func (d *Decoder) Decode(record []byte, e *schema.Event) *schema.Reject {
	if len(record) > schema.MaxRecord {
		return RecordTooLarge(int64(len(record)))
	}
	if decodeFast(record, e) {
		return nil
	}
	return d.decodeLibrary(record, e)
}

// decodeLibrary is what decides: decodeFast only says the same sooner.
func (d *Decoder) decodeLibrary(record []byte, e *schema.Event) *schema.Reject {
	*e = schema.Event{}
	if r := d.json.open(record); r != nil {
		return r
	}
	var seen uint32 // members seen
	var first *schema.Reject
	var hasTime bool
	for d.json.more() {
		name, r := d.json.name()
		if r != nil {
			return r
		}
		m := memberOf(name)
		if m == unknown {
			if r := d.json.skip(); r != nil {
				return r
			}
			continue
		}
		kind, raw, r := d.json.value()
		if r != nil {
			return r
		}
		if seen&(1<<m) != 0 {
			r = schema.Rejectf(schema.DuplicateMember, "%s is there twice: leave one of them out", memberNames[m])
		} else {
			r = d.set(e, m, kind, raw)
		}
		seen |= 1 << m
		hasTime = hasTime || m == memberTime && kind != 'n'
		if first == nil {
			first = r // told only if what follows is JSON at all
		}
	}
	if r := d.json.close(); r != nil {
		return r
	}
	if first != nil {
		return first
	}
	return missing(func(m member) bool {
		switch m {
		case memberTime:
			return hasTime
		case memberAction:
			return e.Action != 0
		}
		return len(*memberText(e, m)) > 0
	})
}

func (d *Decoder) set(e *schema.Event, m member, kind kind, raw []byte) *schema.Reject {
	switch kind {
	case 'n':
		return nil
	case '0':
		return setNumber(e, m, raw)
	case '"':
		if m.isWhole() {
			return schema.Rejectf(schema.WrongType, "%s is a string, expected %s", memberNames[m], m.expected())
		}
		// One byte takes six at most, as \u0041.
		if limit := m.maxLength(); len(raw) > 6*limit+2 {
			return schema.Rejectf(schema.TooLong, "%s has more than %d bytes (%d as it is written): send a shorter name, or a hash of it", memberNames[m], limit, len(raw)-2)
		}
		return setText(e, m, d.json.unquote(raw))
	}
	return schema.Rejectf(schema.WrongType, "%s is %s, expected %s", memberNames[m], kind, m.expected())
}

// RecordTooLarge is what a record of more than MaxRecord bytes is, whatever it
// holds.
func RecordTooLarge(bytes int64) *schema.Reject {
	return schema.Rejectf(schema.TooLarge, "the record has %d bytes, more than %d: send smaller records, or more of them", bytes, schema.MaxRecord)
}

// isPlain reports whether a quoted string means itself.
func isPlain(raw []byte) bool { return bytes.IndexByte(raw, '\\') < 0 }
