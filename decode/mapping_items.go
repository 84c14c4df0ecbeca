package decode

import (
	"encoding/base64"

	"github.com/overreach/overreach/schema"
)

// MaxItems is how many items a record may hold: the elements of its list, and
// each person that an element names. A record that holds more is one reject.
const MaxItems = 100_000

// Levels of a record, each a text of JSON that is an object or a list of objects:
// the record, what its envelope wraps, and the list that holds its items.
const (
	levelRecord = iota
	levelWrapped
	levelItems
	levels
)

// items collects what a record's items became. They are numbered from 0 in the
// order in which they stand in the record, rejects and those left out too.
type items struct {
	limits   schema.TimeLimits
	recordMs int64
	next     uint32
	events   []schema.Event
	rejects  []schema.ItemReject
	left     []int // of each item that was left out, the condition that did not hold
}

// keptItems is how much memory a mapper keeps from record to record, in items.
const keptItems = 4096

func (o *items) reset(recordMs int64) {
	if cap(o.events) > keptItems {
		o.events = nil
	}
	if cap(o.rejects) > keptItems {
		o.rejects = nil
	}
	o.events, o.rejects, o.left, o.next, o.recordMs = o.events[:0], o.rejects[:0], o.left[:0], 0, recordMs
}

func (o *items) add(e *schema.Event) {
	e.Item = o.next
	o.next++
	o.events = append(o.events, *e)
}

func (o *items) reject(part []byte, why *schema.Reject) {
	o.rejects = append(o.rejects, schema.ItemReject{Item: o.next, Reject: *why, Part: part})
	o.next++
}

// tooMany says that the record holds another item than it may, or nil.
func (o *items) tooMany() *schema.Reject {
	if o.next < MaxItems {
		return nil
	}
	return schema.Rejectf(schema.TooLarge, "the record holds more than %d items: send fewer in a record", MaxItems)
}

// Read implements Reader.
func (m *mapper) Read(record []byte, recordMs int64) ([]schema.Event, []schema.ItemReject, int) {
	m.out.reset(recordMs)
	m.scratch, m.decoded = m.scratch[:0], m.decoded[:0]
	var why *schema.Reject
	if len(record) > schema.MaxRecord {
		why = RecordTooLarge(int64(len(record)))
	} else {
		why = m.spread(levelRecord, record)
	}
	if why != nil { // of the whole record: what was read of it before does not count
		m.out.reset(recordMs)
		m.out.reject(record, why)
	}
	for _, condition := range m.out.left {
		m.leftOut[condition]++
	}
	return m.out.events, m.out.rejects, len(m.out.left)
}

// spread reads a text that is an object, or a list of objects. What it returns
// is wrong with the record as a whole.
func (m *mapper) spread(level int, text []byte) *schema.Reject {
	l := &m.json[level]
	if why := l.start(text); why != nil {
		return why
	}
	if l.dec.PeekKind() != '[' {
		if why := m.element(level); why != nil {
			return why
		}
		return l.end()
	}
	if why := l.enter(); why != nil {
		return why
	}
	for l.dec.PeekKind() != ']' {
		if why := m.element(level); why != nil {
			return why
		}
	}
	if why := l.leave(); why != nil {
		return why
	}
	return l.end()
}

// element reads the next value, which should be an object.
func (m *mapper) element(level int) *schema.Reject {
	l := &m.json[level]
	if l.dec.PeekKind() != '{' {
		k, raw, why := l.value()
		if why == nil {
			why = m.rejectItem(raw, schema.Rejectf(schema.NotObject, "the %s is %s, expected a JSON object",
				[levels]string{"record, or an element of its list,", "wrapped data, or an element of its list,", "item"}[level], k))
		}
		return why
	}
	clear(m.values)
	if why := l.enter(); why != nil {
		return why
	}
	start := l.dec.InputOffset() - 1
	var twice *node
	if why := m.object(l, m.root, &twice); why != nil {
		return why
	}
	if why := l.leave(); why != nil {
		return why
	}
	object := l.record[start:l.dec.InputOffset()]
	if twice != nil {
		return m.rejectItem(object, schema.Rejectf(schema.DuplicateMember, "%s, which the mapping reads, is there twice: leave one of them out", twice.path))
	}
	return m.unpack(level, object)
}

// rejectItem makes an item a reject, unless it is one too many.
func (m *mapper) rejectItem(part []byte, why *schema.Reject) *schema.Reject {
	if many := m.out.tooMany(); many != nil {
		return many
	}
	m.out.reject(part, why)
	return nil
}

// unpack takes an object, whose members are in values, out of its envelope and
// apart into its items.
func (m *mapper) unpack(level int, object []byte) *schema.Reject {
	if level == levelRecord && m.envelope != nil && m.values[m.envelope.version.index].kind == '"' {
		return m.unwrap(object)
	}
	if level < levelItems && m.list != nil {
		switch v := m.values[m.list.index]; {
		case v.kind == '[':
			return m.spread(levelItems, v.raw)
		case !v.isNothing():
			return m.rejectItem(object, schema.Rejectf(schema.WrongType, "%s, which holds the items, is %s: expected a list", m.list.path, v.kind))
		}
	}
	return m.item(object)
}

// unwrap reads what a CloudEvent in structured mode wraps.
func (m *mapper) unwrap(object []byte) *schema.Reject {
	data, packed := m.values[m.envelope.data.index], m.values[m.envelope.base64.index]
	switch {
	case data.kind == '{' || data.kind == '[':
		return m.spread(levelWrapped, data.raw)
	case !data.isNothing():
		return m.rejectItem(object, schema.Rejectf(schema.WrongType, "data, which the CloudEvent wraps, is %s: expected an object, or a list of them", data.kind))
	case packed.kind != '"':
		return m.rejectItem(object, schema.Rejectf(schema.MissingMember, "the record is a CloudEvent without data: expected data or data_base64"))
	}
	start := len(m.decoded)
	var err error
	if m.decoded, err = base64.StdEncoding.AppendDecode(m.decoded, m.text(packed)); err != nil {
		return m.rejectItem(object, schema.Rejectf(schema.BadMapping, "data_base64 is a string that is no base64"))
	}
	before := m.out
	why := m.spread(levelWrapped, m.decoded[start:len(m.decoded):len(m.decoded)])
	if why == nil || why.Reason == schema.TooLarge {
		return why
	}
	// Only this item is wrong: other than data, it was not read with the record.
	why.Detail += " (in data_base64)"
	m.out.next, m.out.events, m.out.rejects, m.out.left = before.next, before.events, before.rejects, before.left
	return m.rejectItem(object, why)
}

// item makes an event, or several, of an item whose members are in values.
func (m *mapper) item(object []byte) *schema.Reject {
	if many := m.out.tooMany(); many != nil {
		return many
	}
	for i := range m.where {
		if !m.holds(&m.where[i]) {
			m.out.left = append(m.out.left, i)
			m.out.next++
			return nil
		}
	}
	var e schema.Event
	for i := range m.fields {
		if why := m.set(&e, &m.fields[i]); why != nil {
			m.out.reject(object, why)
			return nil
		}
	}
	if why := m.out.limits.Check(e.Time, m.out.recordMs); why != nil {
		m.out.reject(object, why)
		return nil
	}
	return m.addSubjects(&e, object)
}
