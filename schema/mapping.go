package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/overreach/overreach/schema/strict"
)

// Mapping turns somebody else's JSON into events. It is read-only once parsed
// and may be used by several Readers.
type Mapping struct {
	root   *node
	nodes  int // nodes of the tree under root
	where  []condition
	fields []field
	sha    string
}

// mappingFile is the shape of a mapping's file:
//
//	where:                       # records for which one of these does not hold are left out
//	  - {path: actor.login, has_suffix: "[bot]"}
//	event:
//	  time: created_at           # a path alone
//	  partner:                   # or a path and what to do with what is there
//	    path: actor.login
//	    strip_suffix: "[bot]"
type mappingFile struct {
	Where []conditionRule `yaml:"where" json:",omitempty"`
	Event eventRules      `yaml:"event" required:"true"`
}

// conditionRule is one condition of the filter: a path and one thing to hold of
// it. Where the path leads to nothing, or to no single value, only present can.
type conditionRule struct {
	Path      memberPath `yaml:"path" required:"true"`
	Equals    *string    `yaml:"equals" json:",omitempty"`
	OneOf     []string   `yaml:"one_of" json:",omitempty"`
	HasPrefix *string    `yaml:"has_prefix" json:",omitempty"`
	HasSuffix *string    `yaml:"has_suffix" json:",omitempty"`
	Present   *bool      `yaml:"present" json:",omitempty"` // null counts as absent
}

// eventRules says where each member of the event comes from.
type eventRules struct {
	Time       *fieldRule `yaml:"time" required:"true" json:",omitempty"`
	Partner    *fieldRule `yaml:"partner" required:"true" json:",omitempty"`
	Capability *fieldRule `yaml:"capability" required:"true" json:",omitempty"`
	Action     *fieldRule `yaml:"action" required:"true" json:",omitempty"`
	Subject    *fieldRule `yaml:"subject" required:"true" json:",omitempty"`
	ID         *fieldRule `yaml:"id" json:",omitempty"`
	App        *fieldRule `yaml:"app" json:",omitempty"`
	Actor      *fieldRule `yaml:"actor" json:",omitempty"`
	APIVersion *fieldRule `yaml:"api_version" json:",omitempty"`
	Grant      *fieldRule `yaml:"grant" json:",omitempty"`
	Status     *fieldRule `yaml:"status" json:",omitempty"`
	Records    *fieldRule `yaml:"records" json:",omitempty"`
	Bytes      *fieldRule `yaml:"bytes" json:",omitempty"`
}

// fieldRule makes one member of an event: a constant, or what a path leads to
// after the steps, which are taken in the order in which they stand here
// whatever their order in the file.
type fieldRule struct {
	Const       *string           `yaml:"const" json:",omitempty"`
	Path        memberPath        `yaml:"path" json:",omitempty"`
	After       string            `yaml:"after" json:",omitempty"`        // keep what follows the first of these; it must be there
	Before      string            `yaml:"before" json:",omitempty"`       // keep what precedes the first of these; it must be there
	StripPrefix string            `yaml:"strip_prefix" json:",omitempty"` // cut off where it is there
	StripSuffix string            `yaml:"strip_suffix" json:",omitempty"` // cut off where it is there
	Lower       bool              `yaml:"lower" json:",omitempty"`
	Table       map[string]string `yaml:"table" json:",omitempty"`   // a value that it does not name is a reject
	Default     *string           `yaml:"default" json:",omitempty"` // for that value, and where the path leads to nothing
}

// UnmarshalText reads the short form: a path alone.
func (r *fieldRule) UnmarshalText(text []byte) error { return r.Path.UnmarshalText(text) }

// rule returns the rule of a member, nil where there is none.
func (r *eventRules) rule(m member) *fieldRule {
	return [members]*fieldRule{
		memberTime: r.Time, memberAction: r.Action, memberPartner: r.Partner, memberApp: r.App,
		memberCapability: r.Capability, memberSubject: r.Subject, memberActor: r.Actor, memberID: r.ID,
		memberAPIVersion: r.APIVersion, memberGrant: r.Grant, memberStatus: r.Status,
		memberRecords: r.Records, memberBytes: r.Bytes,
	}[m]
}

// ParseMapping reads a mapping. Its errors name the file, the line and what was
// expected.
func ParseMapping(file string, data []byte) (*Mapping, error) {
	var raw mappingFile
	doc, err := strict.Decode(file, data, &raw)
	if err != nil {
		return nil, err
	}
	m := &Mapping{root: &node{}, nodes: 1}
	for i := range raw.Where {
		m.addCondition(doc, strict.At("where", i), &raw.Where[i])
	}
	for k := memberTime; k < members; k++ {
		if r := raw.Event.rule(k); r != nil {
			m.addField(doc, strict.At("event", memberNames[k]), k, r)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(canonical)
	m.sha = hex.EncodeToString(sum[:])
	return m, nil
}

// SHA256 returns the fingerprint of what the mapping does, in hexadecimal:
// comments, and the order of fields and of a table, do not change it.
func (m *Mapping) SHA256() string { return m.sha }

func (m *Mapping) addCondition(doc *strict.Document, at strict.Path, r *conditionRule) {
	c := condition{node: m.node(r.Path)}
	kinds := 0
	one := func(given bool, holds func(text []byte) bool) {
		if given {
			kinds++
			c.holds = holds
		}
	}
	one(r.Equals != nil, func(text []byte) bool { return string(text) == *r.Equals })
	one(r.OneOf != nil, func(text []byte) bool {
		for _, s := range r.OneOf {
			if string(text) == s {
				return true
			}
		}
		return false
	})
	one(r.HasPrefix != nil, func(text []byte) bool { return strings.HasPrefix(string(text), *r.HasPrefix) })
	one(r.HasSuffix != nil, func(text []byte) bool { return strings.HasSuffix(string(text), *r.HasSuffix) })
	one(r.Present != nil, nil)
	c.present = r.Present == nil || *r.Present
	if kinds != 1 {
		doc.Errorf(at, "the condition on %s has %d of equals, one_of, has_prefix, has_suffix, present: expected exactly one; conditions that must hold together are items of their own", r.Path, kinds)
	}
	m.where = append(m.where, c)
}

func (m *Mapping) addField(doc *strict.Document, at strict.Path, k member, r *fieldRule) {
	step := func(name ...any) strict.Path { return append(at[:len(at):len(at)], name...) }
	check := func(at strict.Path, what, value string) {
		if why := checkValue(k, value); why != nil {
			doc.Errorf(at, "%s: %s", what, why.Detail)
		}
	}
	switch {
	case r.Const != nil && r.Path != nil:
		doc.Errorf(at, "%s has a path and a const: expected one of them; a value for where the path leads to nothing is default", memberNames[k])
		return
	case r.Const != nil:
		if r.After != "" || r.Before != "" || r.StripPrefix != "" || r.StripSuffix != "" || r.Lower || r.Table != nil || r.Default != nil {
			doc.Errorf(at, "%s has a const and steps: expected the const alone, written as it should be", memberNames[k])
		}
		check(step("const"), "const", *r.Const)
		m.fields = append(m.fields, field{member: k, constant: []byte(*r.Const)})
		return
	case r.Path == nil:
		doc.Errorf(at, "%s has neither path nor const: expected one of them", memberNames[k])
		return
	}
	f := field{member: k, node: m.node(r.Path), rule: r}
	if r.Table != nil {
		f.table = make(map[string][]byte, len(r.Table))
		for from, to := range r.Table {
			f.table[from] = []byte(to)
			check(step("table", from), "table", to)
			if r.Lower && from != strings.ToLower(from) {
				doc.Errorf(step("table", from), "table: %q has upper case and lower is set, so nothing can be looked up under it: expected %q", from, strings.ToLower(from))
			}
		}
		if len(r.Table) == 0 {
			doc.Errorf(step("table"), "table is empty: expected values such as PushEvent: write")
		}
	}
	if r.Default != nil {
		f.fallback = []byte(*r.Default)
		check(step("default"), "default", *r.Default)
	}
	m.fields = append(m.fields, f)
}

// checkValue says whether a value that a mapping names itself can stand in a
// member.
func checkValue(k member, value string) *Reject {
	var e Event
	if value == "" {
		return reject(MissingMember, "the value is empty, expected %s", k.expected())
	}
	return e.setMapped(k, '"', []byte(value))
}

// memberPath leads from the top of a record to a member of an object in it.
type memberPath []string

var errPath = errors.New(`expected names joined by dots, as in actor.login; a name with any of . " [ ] * or a space in it is written in quotes, as in labels."app.kubernetes.io/name"`)

// UnmarshalText reads a path. Brackets and stars are kept for arrays.
func (p *memberPath) UnmarshalText(text []byte) error {
	names := memberPath{}
	for rest := string(text); ; {
		var name string
		if strings.HasPrefix(rest, `"`) {
			quoted, after, ok := cutQuoted(rest)
			if !ok || json.Unmarshal([]byte(quoted), &name) != nil {
				return errPath
			}
			rest = after
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			name, rest = rest[:end], rest[end:]
			if name == "" || strings.ContainsAny(name, "\"[]* \t\r\n") {
				return errPath
			}
		}
		names = append(names, name)
		if rest == "" {
			*p = names
			return nil
		}
		if rest[0] != '.' {
			return errPath
		}
		rest = rest[1:]
	}
}

// cutQuoted cuts a JSON string off the beginning of s.
func cutQuoted(s string) (quoted, after string, ok bool) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i+1], s[i+1:], true
		}
	}
	return "", "", false
}

// String writes the path as UnmarshalText reads it.
func (p memberPath) String() string {
	var b strings.Builder
	for i, name := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		if name == "" || strings.ContainsAny(name, "\".[]* \t\r\n") {
			quoted, _ := json.Marshal(name) // a string never fails
			b.Write(quoted)
			continue
		}
		b.WriteString(name)
	}
	return b.String()
}

// node is a name on some path. The paths of a mapping form one tree, so that a
// record is read once however many paths there are.
type node struct {
	index    int // of the node's value in a mapper
	name     string
	path     memberPath // from the top, name included
	children []*node
}

func (n *node) child(name []byte) *node {
	for _, c := range n.children {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}

// node returns the node at the end of a path.
func (m *Mapping) node(p memberPath) *node {
	n := m.root
	for i, name := range p {
		next := n.child([]byte(name))
		if next == nil {
			next = &node{index: m.nodes, name: name, path: p[:i+1]}
			m.nodes++
			n.children = append(n.children, next)
		}
		n = next
	}
	return n
}
