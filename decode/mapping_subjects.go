package decode

import "github.com/overreach/overreach/schema"

// lists follows paths through lists. Its memory is kept from item to item.
type lists struct {
	outer, inner library
	from, to     []element
	seen         map[string]struct{}
}

// element is one value at the end of a path through lists, or why there is none.
type element struct {
	mapped
	why *schema.Reject
}

// addSubjects adds an event for each subject of an item.
func (m *mapper) addSubjects(e *schema.Event, object []byte) *schema.Reject {
	f := &m.subject
	missed := fits
	for i := range f.sources {
		s := &f.sources[i]
		if s.when != nil && !m.holds(s.when) {
			continue
		}
		v := m.values[s.node.index]
		switch {
		case v.isNothing():
			if m.barrier(s) != nil {
				missed = max(missed, noObject)
			}
		case len(s.each) == 0 && (v.kind == '{' || v.kind == '['):
			m.out.reject(object, s.notSingle(memberSubject, v.kind))
			return nil
		case len(s.each) == 0:
			given, miss := m.steps(s, v)
			if miss == fits && len(given.raw) > 0 {
				m.addSubject(e, s, given, object)
				return nil
			}
			if !v.isEmpty() {
				missed = max(missed, miss)
			}
		case v.isEmpty(): // an empty text where a list may be is nothing, too
		case v.kind != '[':
			m.out.reject(object, s.noList(v.kind))
			return nil
		default:
			found, miss, why := m.addEach(e, s, v.raw)
			if found || why != nil {
				return why
			}
			missed = max(missed, miss)
		}
	}
	var why *schema.Reject
	if f.sources == nil {
		why = setMapped(e, memberSubject, '"', f.constant)
	} else {
		why = m.setNothing(e, f, missed)
	}
	if why != nil {
		m.out.reject(object, why)
		return nil
	}
	m.out.add(e)
	return nil
}

// addSubject adds the event with one subject, or the reject of it.
func (m *mapper) addSubject(e *schema.Event, s *source, given mapped, part []byte) {
	if why := s.setText(e, memberSubject, given); why != nil {
		m.out.reject(part, why)
		return
	}
	m.out.add(e)
}

// addEach adds an event for each subject that a list names, once for one that it
// names more often, and a reject for each element that is none; elements without
// what the path leads to are neither. Where nothing comes of the whole list but
// misfits it adds nothing and says so: what else a mapping has may do better.
func (m *mapper) addEach(e *schema.Event, s *source, list []byte) (found bool, missed miss, why *schema.Reject) {
	elements, why := m.lists.follow(s, list)
	if why != nil {
		return false, fits, why
	}
	if m.lists.seen == nil || len(m.lists.seen) > keptItems {
		m.lists.seen = map[string]struct{}{}
	}
	clear(m.lists.seen)
	next, rejects := m.out.next, len(m.out.rejects)
	for _, el := range elements {
		var given mapped
		var miss miss
		switch {
		case el.why != nil:
		case el.kind == '{' || el.kind == '[':
			el.why = s.notSingle(memberSubject, el.kind)
		default:
			if given, miss = m.steps(s, el.mapped); miss != fits {
				missed = miss
				if many := m.rejectItem(el.raw, m.missing(s, memberSubject, miss)); many != nil {
					return true, fits, many
				}
				continue
			}
			if len(given.raw) == 0 {
				continue
			}
			if _, twice := m.lists.seen[string(given.raw)]; twice {
				continue
			}
			m.lists.seen[string(given.raw)] = struct{}{}
		}
		if many := m.out.tooMany(); many != nil {
			return true, fits, many
		}
		found = true
		if el.why != nil {
			m.out.reject(el.raw, el.why)
			continue
		}
		m.addSubject(e, s, given, el.raw)
	}
	if !found {
		m.out.next, m.out.rejects = next, m.out.rejects[:rejects]
	}
	return found, missed, nil
}

// follow returns what a source's path leads to from a list; empty values are
// left out. A reject is one of the whole record.
func (l *lists) follow(s *source, list []byte) ([]element, *schema.Reject) {
	if max(cap(l.from), cap(l.to)) > keptItems {
		l.from, l.to = nil, nil
	}
	l.from = append(l.from[:0], element{mapped: mapped{'[', list}})
	for _, names := range s.each {
		l.to = l.to[:0]
		for _, el := range l.from {
			switch {
			case el.why == nil && el.kind != '[':
				el.why = s.noList(el.kind)
				fallthrough
			case el.why != nil:
				l.to = append(l.to, el)
				continue
			}
			// The list was read before, so nothing is wrong with its JSON.
			_, _ = l.outer.start(el.raw), l.outer.enter()
			for l.outer.dec.PeekKind() != ']' {
				k, raw, why := l.outer.value()
				if why != nil {
					return nil, why
				}
				next := l.find(s, names, mapped{k, raw})
				if next.why == nil && next.isEmpty() {
					continue
				}
				if l.to = append(l.to, next); len(l.to) > MaxItems {
					return nil, schema.Rejectf(schema.TooLarge, "%s leads to more than %d values: send fewer in a record", s.path, MaxItems)
				}
			}
		}
		l.from, l.to = l.to, l.from
	}
	return l.from, nil
}

// find follows names from an element.
func (l *lists) find(s *source, names []string, v mapped) element {
	part := v.raw
	for _, name := range names {
		if v.isNothing() {
			break
		}
		if v.kind != '{' {
			return element{mapped{v.kind, part}, schema.Rejectf(schema.WrongType, "%s, which subject is mapped from, leads through %s: expected an object", s.path, v.kind)}
		}
		next, twice := l.member(v.raw, name)
		if twice {
			return element{mapped{v.kind, part}, schema.Rejectf(schema.DuplicateMember, "%s, which the mapping reads, is there twice in one element: leave one of them out", s.path)}
		}
		v = next
	}
	return element{mapped: v}
}

// member returns the member of an object, which is valid JSON, and whether there
// is another of that name.
func (l *lists) member(object []byte, name string) (found mapped, twice bool) {
	_, _ = l.inner.start(object), l.inner.enter()
	for l.inner.more() {
		n, why := l.inner.name()
		switch {
		case why != nil:
			return mapped{}, false
		case string(n) != name:
			why = l.inner.skip()
		default:
			twice = twice || found.kind != 0
			found.kind, found.raw, why = l.inner.value()
		}
		if why != nil {
			return mapped{}, false
		}
	}
	return found, twice
}

func (s *source) noList(found kind) *schema.Reject {
	return schema.Rejectf(schema.WrongType, "%s, which subject is mapped from, leads to %s: expected a list", s.path, found)
}
