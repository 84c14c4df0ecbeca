package decode

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/overreach/overreach/schema"
)

// mapper reads records through a mapping.
type mapper struct {
	*Mapping
	json    [levels]library // one for each text that is being read inside of another
	values  []mapped        // by index of a node
	scratch []byte          // holds texts that are no piece of the record
	out     items
	lists   lists
	decoded []byte // what envelopes held as base64
	leftOut []int  // items since the beginning, by condition
}

// mapped is what an item has at a node.
type mapped struct {
	kind kind // 0: nothing
	raw  []byte
}

func (v mapped) isNothing() bool { return v.kind == 0 || v.kind == 'n' }

// isEmpty reports whether the next of several paths is asked: absent, null and
// the empty string are nothing.
func (v mapped) isEmpty() bool { return v.isNothing() || v.kind == '"' && len(v.raw) == len(`""`) }

// NewReader implements Encoding.
func (m *Mapping) NewReader(limits schema.TimeLimits) Reader {
	return &mapper{Mapping: m, values: make([]mapped, m.nodes), out: items{limits: limits}, leftOut: make([]int, len(m.where))}
}

// object notes the values of n's children in the object that was entered, and
// one of them that was there twice.
func (m *mapper) object(l *library, n *node, twice **node) *schema.Reject {
	for l.more() {
		name, why := l.name()
		if why != nil {
			return why
		}
		c := n.child(name)
		if c == nil {
			if why := l.skip(); why != nil {
				return why
			}
			continue
		}
		v := &m.values[c.index]
		if v.kind != 0 {
			*twice = cmp.Or(*twice, c)
		}
		if len(c.children) > 0 && l.dec.PeekKind() == '{' {
			if why := l.enter(); why != nil {
				return why
			}
			start := l.dec.InputOffset() - 1
			v.kind = '{'
			if why := m.object(l, c, twice); why != nil {
				return why
			}
			if why := l.leave(); why != nil {
				return why
			}
			v.raw = l.record[start:l.dec.InputOffset()]
			continue
		}
		if v.kind, v.raw, why = l.value(); why != nil {
			return why
		}
	}
	return nil
}

// text returns a single value as text: a string unquoted, anything else as it is
// written.
func (m *mapper) text(v mapped) []byte {
	if v.kind == '"' {
		return unquote(&m.scratch, v.raw)
	}
	return v.raw
}

func (m *mapper) holds(c *condition) bool {
	var v mapped
	for _, n := range c.nodes {
		if v = m.values[n.index]; !v.isEmpty() {
			break
		}
	}
	switch {
	case c.holds == nil:
		return v.isEmpty() != c.present
	case v.isNothing() || v.kind == '{' || v.kind == '[':
		return c.absent
	}
	used := len(m.scratch)
	holds := c.holds(m.text(v))
	m.scratch = m.scratch[:used]
	return holds
}

// set makes one member of the event from a single value.
func (m *mapper) set(e *schema.Event, f *field) *schema.Reject {
	if f.sources == nil {
		return setMapped(e, f.member, '"', f.constant)
	}
	missed := fits
	for i := range f.sources {
		s := &f.sources[i]
		if s.when != nil && !m.holds(s.when) {
			continue
		}
		v := m.values[s.node.index]
		switch v.kind {
		case 0, 'n':
			if m.barrier(s) != nil {
				missed = max(missed, noObject)
			}
			continue
		case '{', '[':
			return s.notSingle(f.member, v.kind)
		}
		given, miss := m.steps(s, v)
		if miss == fits && len(given.raw) > 0 {
			return s.setText(e, f.member, given)
		}
		if !v.isEmpty() { // what is empty may be named by a table, and misses nothing where it is not
			missed = max(missed, miss)
		}
	}
	return m.setNothing(e, f, missed)
}

// setText sets a member to what the steps made.
func (s *source) setText(e *schema.Event, k member, given mapped) *schema.Reject {
	var why *schema.Reject
	if s.format != nil {
		e.Time, why = s.format.parse(given.kind, given.raw)
	} else {
		why = setMapped(e, k, given.kind, given.raw)
	}
	if why != nil {
		why.Detail += " (mapped from " + s.path.String() + ")"
	}
	return why
}

func (s *source) notSingle(k member, found kind) *schema.Reject {
	return schema.Rejectf(schema.WrongType, "%s, which %s is mapped from, is %s: expected a single value", s.path, memberNames[k], found)
}

// barrier returns what stands on the way to a source and is no object, so that
// nothing can be behind it, or nil.
func (m *mapper) barrier(s *source) *node {
	for n := s.node.parent; n.parent != nil; n = n.parent {
		if v := m.values[n.index]; !v.isNothing() {
			if v.kind == '{' {
				return nil
			}
			return n
		}
	}
	return nil
}

// setNothing sets a member for which no source gave anything: to the default,
// or else it is a reject where something was there that did not fit, or the
// member is required.
func (m *mapper) setNothing(e *schema.Event, f *field, missed miss) *schema.Reject {
	cut := len(f.sources) == 1 && (missed == noAfter || missed == noBefore)
	switch {
	case f.fallback != nil && !cut:
		if len(f.fallback) == 0 {
			return nil
		}
		return setMapped(e, f.member, '"', f.fallback)
	case missed == fits && !f.member.isRequired():
		return nil
	case len(f.sources) == 1:
		return m.missing(&f.sources[0], f.member, missed)
	}
	var whys []string
	for i := range f.sources {
		if why := m.why(&f.sources[i]); !slices.Contains(whys, why) {
			whys = append(whys, why)
		}
	}
	return schema.Rejectf(missed.reason(), "%s has no value: %s; add what is missing there, or a default", memberNames[f.member], strings.Join(whys, ", "))
}

// missing says why nothing came of a source: of the only one of a member, or of an
// element of its list.
func (m *mapper) missing(s *source, k member, missed miss) *schema.Reject {
	name := memberNames[k]
	switch missed {
	case fits:
		return schema.Rejectf(schema.MissingMember, "%s has no value: %s; every event needs %s", name, m.why(s), name)
	case noObject:
		return schema.Rejectf(schema.WrongType, "%s has no value: %s", name, m.why(s))
	}
	wayOut := map[miss]string{noMatch: ": widen the pattern, or add a default", notNamed: ": add it to the table, or a default"}[missed]
	return schema.Rejectf(schema.BadMapping, "%s, which %s is mapped from, %s%s", s.path, name, s.misfit(missed), wayOut)
}

// why says of a source that gives nothing what is there instead.
func (m *mapper) why(s *source) string {
	v := m.values[s.node.index]
	what := "has nothing left after the steps"
	switch n := m.barrier(s); {
	case s.when != nil && !m.holds(s.when):
		what = "does not count here, for its condition does not hold"
	case n != nil:
		return fmt.Sprintf("%s is %s, expected an object", n.path, m.values[n.index].kind) // of all that would be below it
	case v.kind == 0:
		what = "is absent"
	case v.kind == 'n':
		what = "is null"
	case v.isEmpty():
		what = "is empty"
	case len(s.each) > 0:
		what = "has no element with a value that fits"
	default:
		if _, miss := m.steps(s, v); miss != fits {
			what = s.misfit(miss)
		}
	}
	return s.path.String() + " " + what
}

// misfit says what the steps did not find in a value.
func (s *source) misfit(missed miss) string {
	switch missed {
	case noAfter:
		return fmt.Sprintf("has no %q to keep what comes after", s.rule.After)
	case noBefore:
		return fmt.Sprintf("has no %q to keep what comes before", s.rule.Before)
	case noMatch:
		return "is not what the pattern expects"
	}
	return "has a value that the table does not name"
}

// reason is the word for a member that got no value.
func (missed miss) reason() schema.Reason {
	switch missed {
	case fits:
		return schema.MissingMember
	case noObject:
		return schema.WrongType
	}
	return schema.BadMapping
}

// miss is why the steps give nothing.
type miss byte

const (
	fits miss = iota
	noObject
	noAfter
	noBefore
	noMatch
	notNamed
)

// steps does with a value what the rule says.
func (m *mapper) steps(s *source, v mapped) (mapped, miss) {
	text, miss := s.rule.normalise(s.match, &m.scratch, m.text(v))
	if miss != fits {
		return mapped{}, miss
	}
	if s.match != nil {
		v.kind = '"'
	}
	if s.table != nil {
		to, ok := s.table[string(text)]
		if !ok {
			return mapped{}, notNamed
		}
		text, v.kind = to, '"' // a table gives text, whatever it was given
	}
	return mapped{v.kind, text}, fits
}

// normalise takes the steps of a rule, from after to lower, on a text. match is
// the rule's pattern; what is no piece of the text is made in scratch.
func (r *fieldRule) normalise(match *pattern, scratch *[]byte, text []byte) ([]byte, miss) {
	if r.After != "" {
		_, after, ok := bytes.Cut(text, []byte(r.After))
		if !ok {
			return nil, noAfter
		}
		text = after
	}
	if r.Before != "" {
		before, _, ok := bytes.Cut(text, []byte(r.Before))
		if !ok {
			return nil, noBefore
		}
		text = before
	}
	text = bytes.TrimPrefix(text, []byte(r.StripPrefix))
	text = bytes.TrimSuffix(text, []byte(r.StripSuffix))
	if match != nil {
		made, ok := match.expand(scratch, text)
		if !ok {
			return nil, noMatch
		}
		text = made
	}
	if r.Lower {
		text = bytes.ToLower(text)
	}
	return text, fits
}

// setMapped sets a member to a text that was a value of the kind. Text may stand
// for a whole number, and a whole number for text.
func setMapped(e *schema.Event, m member, k kind, text []byte) *schema.Reject {
	number := m.isWhole() || m == memberTime && k == '0'
	switch {
	case number && isNumber(text):
		return setNumber(e, m, text)
	case number:
		return schema.Rejectf(schema.WrongType, "%s is %s, expected %s", memberNames[m], k, m.expected())
	case k == '0' && skipDigits(text, 0) < len(text):
		return schema.Rejectf(schema.WrongType, "%s is a number with a sign, a fraction or an exponent, expected %s", memberNames[m], m.expected())
	}
	return setText(e, m, text)
}

// isNumber reports whether the text is a JSON number.
func isNumber(text []byte) bool { return skipNumber(text, 0) == len(text) }

// LeftOut implements Reader.
func (m *mapper) LeftOut() []LeftOut {
	all := make([]LeftOut, len(m.leftOut))
	for i, n := range m.leftOut {
		all[i] = LeftOut{m.where[i].words, n}
	}
	return all
}

// Outline implements Reader.
func (m *mapper) Outline(record []byte, limit int) string { return outlineOf(record, limit, m.reads) }
