package schema

import (
	"bytes"
	"cmp"
)

// condition is one condition of a mapping's filter.
type condition struct {
	node    *node
	present bool
	holds   func(text []byte) bool // nil: present alone counts
}

// field makes one member of an event.
type field struct {
	member   member
	constant []byte // where there is no path
	node     *node
	rule     *fieldRule
	table    map[string][]byte
	fallback []byte // nil: none
}

// mapper reads records through a mapping.
type mapper struct {
	*Mapping
	json   library
	values []mapped // by index of a node
}

// mapped is what a record has at a node.
type mapped struct {
	kind kind // 0: nothing
	raw  []byte
}

func newMapper(m *Mapping) *mapper {
	return &mapper{Mapping: m, values: make([]mapped, m.nodes)}
}

// read reads the record into e. It reports whether the filter keeps the record;
// where not, and where there is a reject, e is undefined.
func (m *mapper) read(record []byte, e *Event) (keep bool, why *Reject) {
	if len(record) > MaxRecord {
		return false, tooLarge(record)
	}
	*e = Event{}
	clear(m.values)
	if why := m.json.open(record); why != nil {
		return false, why
	}
	var twice *node
	if why := m.object(m.root, &twice); why != nil {
		return false, why
	}
	if why := m.json.close(); why != nil {
		return false, why
	}
	if twice != nil {
		return false, reject(DuplicateMember, "%s, which the mapping reads, is there twice: leave one of them out", twice.path)
	}
	for i := range m.where {
		if !m.holds(&m.where[i]) {
			return false, nil
		}
	}
	for i := range m.fields {
		if why := m.set(e, &m.fields[i]); why != nil {
			return false, why
		}
	}
	return true, nil
}

// object notes the values of n's children in the object that was entered, and
// one of them that was there twice.
func (m *mapper) object(n *node, twice **node) *Reject {
	for m.json.more() {
		name, why := m.json.name()
		if why != nil {
			return why
		}
		c := n.child(name)
		if c == nil {
			if why := m.json.skip(); why != nil {
				return why
			}
			continue
		}
		v := &m.values[c.index]
		if v.kind != 0 {
			*twice = cmp.Or(*twice, c)
		}
		if len(c.children) > 0 && m.json.dec.PeekKind() == '{' {
			v.kind = '{'
			if why := m.json.enter(); why != nil {
				return why
			}
			if why := m.object(c, twice); why != nil {
				return why
			}
			if why := m.json.leave(); why != nil {
				return why
			}
			continue
		}
		if v.kind, v.raw, why = m.json.value(); why != nil {
			return why
		}
	}
	return nil
}

// text returns a single value as text: a string unquoted, anything else as it is
// written.
func (m *mapper) text(v mapped) []byte {
	if v.kind == '"' {
		return m.json.unquote(v.raw)
	}
	return v.raw
}

func (m *mapper) holds(c *condition) bool {
	v := m.values[c.node.index]
	present := v.kind != 0 && v.kind != 'n'
	if c.holds == nil {
		return present == c.present
	}
	return present && v.kind != '{' && v.kind != '[' && c.holds(m.text(v))
}

// set makes one member of the event.
func (m *mapper) set(e *Event, f *field) *Reject {
	if f.node == nil {
		return e.setMapped(f.member, '"', f.constant)
	}
	v := m.values[f.node.index]
	var text []byte
	switch v.kind {
	case 0, 'n':
		text = f.fallback
		v.kind = '"'
	case '{', '[':
		return reject(BadMapping, "%s, which %s is mapped from, is %s: expected a single value", f.node.path, memberNames[f.member], v.kind)
	default:
		var why *Reject
		if text, why = f.steps(m.text(v)); why != nil {
			return why
		}
		if f.table != nil {
			v.kind = '"' // a table gives text, whatever it was given
		}
	}
	if len(text) == 0 {
		if f.isRequired() {
			return reject(BadMapping, "%s, which %s is mapped from, is not there or leaves nothing: every event needs %s",
				f.node.path, memberNames[f.member], memberNames[f.member])
		}
		return nil
	}
	why := e.setMapped(f.member, v.kind, text)
	if why != nil {
		why.Detail += " (mapped from " + f.node.path.String() + ")"
	}
	return why
}

func (f *field) isRequired() bool {
	for _, m := range requiredMembers {
		if m == f.member {
			return true
		}
	}
	return false
}

// steps does with a text what the rule says.
func (f *field) steps(text []byte) ([]byte, *Reject) {
	r := f.rule
	if r.After != "" {
		_, after, ok := bytes.Cut(text, []byte(r.After))
		if !ok {
			return nil, reject(BadMapping, "%s, which %s is mapped from, has no %q to keep what comes after", f.node.path, memberNames[f.member], r.After)
		}
		text = after
	}
	if r.Before != "" {
		before, _, ok := bytes.Cut(text, []byte(r.Before))
		if !ok {
			return nil, reject(BadMapping, "%s, which %s is mapped from, has no %q to keep what comes before", f.node.path, memberNames[f.member], r.Before)
		}
		text = before
	}
	text = bytes.TrimPrefix(text, []byte(r.StripPrefix))
	text = bytes.TrimSuffix(text, []byte(r.StripSuffix))
	if r.Lower {
		text = bytes.ToLower(text)
	}
	if f.table == nil {
		return text, nil
	}
	if to, ok := f.table[string(text)]; ok {
		return to, nil
	}
	if f.fallback == nil {
		return nil, reject(BadMapping, "%s, which %s is mapped from, has a value that the table does not name: add it to the table, or a default", f.node.path, memberNames[f.member])
	}
	return f.fallback, nil
}

// setMapped sets a member to a text that was a value of the kind. Text may stand
// for a whole number, and a whole number for text.
func (e *Event) setMapped(m member, k kind, text []byte) *Reject {
	number := m.isWhole() || m == memberTime && k == '0'
	switch {
	case number && isNumber(text):
		return e.setNumber(m, text)
	case number:
		return reject(WrongType, "%s is %s, expected %s", memberNames[m], k, m.expected())
	case k == '0' && skipDigits(text, 0) < len(text):
		return reject(WrongType, "%s is a number with a sign, a fraction or an exponent, expected %s", memberNames[m], m.expected())
	}
	return e.setText(m, text)
}

// isNumber reports whether the text is a JSON number.
func isNumber(text []byte) bool { return skipNumber(text, 0) == len(text) }
