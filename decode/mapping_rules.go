package decode

import (
	"slices"
	"strings"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/strict"
)

// condition is one condition of a mapping's filter, or of an alternative.
type condition struct {
	nodes   []*node // the first that is there and not empty counts
	present bool
	absent  bool                   // what holds says where nothing is there
	holds   func(text []byte) bool // nil: present alone counts
	words   string
}

// field makes one member of an event.
type field struct {
	member   member
	constant []byte // where there is no source
	sources  []source
	fallback []byte // nil: none
}

// source is where a member may come from, and what is done with what is there.
type source struct {
	path   memberPath
	node   *node
	each   [][]string // from an element of each list on the path to the next; none: one value
	when   *condition
	rule   *fieldRule
	match  *pattern
	table  map[string][]byte
	format *timeFormat
}

func (m *Mapping) condition(doc *strict.Document, at strict.Path, r *conditionRule) condition {
	c := condition{present: r.Present == nil || *r.Present, words: r.String()}
	paths := r.FirstOf
	switch {
	case r.Path != nil && r.FirstOf != nil:
		doc.Errorf(at, "the condition has a path and first_of: expected one of them")
	case r.Path != nil:
		paths = []memberPath{r.Path}
	case len(r.FirstOf) == 0:
		doc.Errorf(at, `field "path" is missing here`)
	}
	for _, p := range paths {
		if slices.Contains(p, each) {
			doc.Errorf(at, "the condition on %s leads through a list: expected a single value", p)
			continue
		}
		c.nodes = append(c.nodes, m.node(p))
	}
	kinds := 0
	one := func(given bool, holds func(text []byte) bool) {
		if given {
			kinds++
			c.holds = holds
		}
	}
	among := func(list []string) func(text []byte) bool {
		return func(text []byte) bool {
			for _, s := range list {
				if string(text) == s {
					return true
				}
			}
			return false
		}
	}
	one(r.Equals != nil, func(text []byte) bool { return string(text) == *r.Equals })
	one(r.OneOf != nil, among(r.OneOf))
	one(r.NoneOf != nil, func(text []byte) bool { return !among(r.NoneOf)(text) })
	one(r.HasPrefix != nil, func(text []byte) bool { return strings.HasPrefix(string(text), *r.HasPrefix) })
	one(r.HasSuffix != nil, func(text []byte) bool { return strings.HasSuffix(string(text), *r.HasSuffix) })
	one(r.Present != nil, nil)
	c.absent = r.NoneOf != nil
	if kinds != 1 {
		doc.Errorf(at, "the condition on %s has %d of equals, one_of, none_of, has_prefix, has_suffix, present: expected exactly one; conditions that must hold together are items of their own",
			pathsInWords(paths), kinds)
	}
	return c
}

func (m *Mapping) field(doc *strict.Document, at strict.Path, k member, r *fieldRule) field {
	f := field{member: k}
	name := memberNames[k]
	given := 0
	for _, is := range []bool{r.Const != nil, r.Path != nil, r.FirstOf != nil} {
		if is {
			given++
		}
	}
	switch {
	case r.Const != nil && r.Path != nil:
		doc.Errorf(at, "%s has a path and a const: expected one of them; a value for where the path leads to nothing is default", name)
		return f
	case given == 0:
		doc.Errorf(at, "%s has neither path nor const nor first_of: expected one of them", name)
		return f
	case given > 1:
		doc.Errorf(at, "%s has more than one of path, const and first_of: expected one of them", name)
		return f
	case r.When != nil:
		doc.Errorf(below(at, "when"), "%s has a when: expected it in an alternative of first_of, for what is meant where it does not hold must be said too", name)
	}
	switch {
	case r.Const != nil:
		if r.hasSteps() || r.Default != nil {
			doc.Errorf(at, "%s has a const and steps: expected the const alone, written as it should be", name)
		}
		checkNamed(doc, below(at, "const"), k, "const", *r.Const)
		f.constant = []byte(*r.Const)
		return f
	case r.Path != nil || r.hasSteps() || len(r.FirstOf) == 0:
		f.sources = m.sources(doc, at, k, r)
	default:
		for i := range r.FirstOf {
			f.sources = append(f.sources, m.alternative(doc, below(at, "first_of", i), k, &r.FirstOf[i])...)
		}
	}
	if r.Default != nil {
		f.fallback = []byte(*r.Default)
		if len(f.fallback) > 0 || k.isRequired() { // an empty one leaves the member out
			checkNamed(doc, below(at, "default"), k, "default", *r.Default)
		}
	}
	return f
}

// alternative returns the sources of one alternative of first_of.
func (m *Mapping) alternative(doc *strict.Document, at strict.Path, k member, r *fieldRule) []source {
	if (r.Path == nil) == (r.FirstOf == nil) || r.Const != nil || r.Default != nil {
		doc.Errorf(at, "an alternative of %s is no path with or without steps: expected that; what holds where none gives anything is the default beside first_of", memberNames[k])
		return nil
	}
	all := m.sources(doc, at, k, r)
	if r.When == nil {
		return all
	}
	when := m.condition(doc, below(at, "when"), r.When)
	for i := range all {
		all[i].when = &when
	}
	return all
}

// sources returns a source for the rule's path, or for each path of its first_of:
// steps that stand beside it are those of each.
func (m *Mapping) sources(doc *strict.Document, at strict.Path, k member, r *fieldRule) []source {
	paths := []memberPath{r.Path}
	if r.FirstOf != nil {
		paths = nil
		for i := range r.FirstOf {
			a := &r.FirstOf[i]
			if a.Path == nil || a.hasSteps() || a.When != nil || a.Const != nil || a.Default != nil || a.FirstOf != nil {
				doc.Errorf(below(at, "first_of", i), "%s: an alternative has steps, and so has the first_of around it: expected paths alone there, or the steps beside each", memberNames[k])
				return nil
			}
			paths = append(paths, a.Path)
		}
	}
	if len(paths) == 0 {
		doc.Errorf(at, "%s: first_of is empty: expected paths, or paths with steps", memberNames[k])
	}
	steps := newSource(doc, at, k, r)
	var all []source
	for _, p := range paths {
		s := steps
		lead, rest := p.cut()
		s.path, s.node, s.each = p, m.node(lead), rest
		for _, name := range slices.Concat(rest...) {
			m.names[strings.ToLower(name)] = true
		}
		if len(rest) > 0 && k != memberSubject {
			doc.Errorf(at, "%s is mapped from %s, which leads through a list: expected a single value; only subject may have several", memberNames[k], p)
		}
		all = append(all, s)
	}
	return all
}

// newSource returns a source without a path.
func newSource(doc *strict.Document, at strict.Path, k member, r *fieldRule) source {
	s := source{rule: r}
	if r.Pattern != "" || r.Value != "" {
		var err error
		if s.match, err = parsePattern(r.Pattern, r.Value); err != nil {
			doc.Errorf(below(at, "pattern"), "%v", err)
		} else if s.match.literal != nil && r.Table == nil && r.Format == "" {
			checkNamed(doc, below(at, "value"), k, "value", r.Value)
		}
	}
	if r.Table != nil {
		s.table = make(map[string][]byte, len(r.Table))
		for from, to := range r.Table {
			s.table[from] = []byte(to)
			if r.Format == "" {
				checkNamed(doc, below(at, "table", from), k, "table", to)
			}
			if r.Lower && from != strings.ToLower(from) {
				doc.Errorf(below(at, "table", from), "table: %q has upper case and lower is set, so nothing can be looked up under it: expected %q", from, strings.ToLower(from))
			}
		}
		if len(r.Table) == 0 {
			doc.Errorf(below(at, "table"), "table is empty: expected values such as PushEvent: write")
		}
	}
	if r.Format != "" || r.Zone != "" {
		var err error
		if k != memberTime {
			doc.Errorf(at, "%s has a format or a zone: expected them for time alone", memberNames[k])
		} else if s.format, err = parseTimeFormat(r.Format, r.Zone); err != nil {
			doc.Errorf(at, "%v", err)
		}
	}
	return s
}

// below returns the path of what lies under at.
func below(at strict.Path, steps ...any) strict.Path { return append(at[:len(at):len(at)], steps...) }

// checkNamed notes a value that the mapping names itself and that cannot stand
// in the member.
func checkNamed(doc *strict.Document, at strict.Path, k member, what, value string) {
	var e schema.Event
	why := schema.Rejectf(schema.MissingMember, "the value is empty, expected %s", k.expected())
	if value != "" {
		why = setMapped(&e, k, '"', []byte(value))
	}
	if why != nil {
		doc.Errorf(at, "%s: %s", what, why.Detail)
	}
}
