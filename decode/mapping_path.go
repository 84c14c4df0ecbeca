package decode

import (
	"encoding/json"
	"errors"
	"strings"
)

// memberPath leads from the top of an item to a member of an object in it, or,
// through lists, to several.
type memberPath []string

// each stands in a path for every element of the list before it. It is no valid
// UTF-8, so no member has it for a name.
const each = "\xff"

var errPath = errors.New(`expected names joined by dots, as in actor.login; [] after a name is every element of that list, as in resources[].owner; a name with any of . " [ ] * or a space in it is written in quotes, as in labels."app.kubernetes.io/name"`)

// UnmarshalText reads a path.
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
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			name, rest = rest[:end], rest[end:]
			if name == "" || strings.ContainsAny(name, "\"]* \t\r\n") {
				return errPath
			}
		}
		names = append(names, name)
		for strings.HasPrefix(rest, "[]") {
			names, rest = append(names, each), rest[2:]
		}
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
		if name == each {
			b.WriteString("[]")
			continue
		}
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

// MarshalJSON writes the names for the mapping's fingerprint, and a path through
// lists as text: each itself is no JSON.
func (p memberPath) MarshalJSON() ([]byte, error) {
	if at, rest := p.cut(); len(rest) == 0 {
		return json.Marshal([]string(at))
	}
	return json.Marshal(p.String())
}

// cut splits a path at its lists: what leads to the first one, and what leads on
// from an element of each. There is no rest where there is no list.
func (p memberPath) cut() (at memberPath, rest [][]string) {
	at = p
	for i, name := range p {
		if name != each {
			continue
		}
		if rest == nil {
			at = p[:i]
		}
		names := p[i+1:]
		for j, next := range names {
			if next == each {
				names = names[:j]
				break
			}
		}
		rest = append(rest, names)
	}
	return at, rest
}

// pathsInWords joins paths as a sentence does.
func pathsInWords(paths []memberPath) string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = p.String()
	}
	return inWords(names)
}

// node is a name on some path. The paths of a mapping form one tree, so that an
// item is read once however many paths there are.
type node struct {
	index    int   // of the node's value in a mapper
	parent   *node // nil: the root
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

// node returns the node at the end of a path without lists.
func (m *Mapping) node(p memberPath) *node {
	n := m.root
	for i, name := range p {
		m.names[strings.ToLower(name)] = true
		next := n.child([]byte(name))
		if next == nil {
			next = &node{index: m.nodes, parent: n, name: name, path: p[:i+1]}
			m.nodes++
			n.children = append(n.children, next)
		}
		n = next
	}
	return n
}
