package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/overreach/overreach/schema"
)

// Canonical writes the registry as YAML in the one form that it has, whatever
// the order, comments and formatting of the file it came from: sorted, text
// quoted, what is empty left out. Parse makes an equal registry of it.
func (r *Registry) Canonical() []byte {
	var b bytes.Buffer
	b.WriteString("capabilities:\n")
	for _, name := range slices.Sorted(maps.Keys(r.Capabilities)) {
		c := r.Capabilities[name]
		fields := flow{}
		fields.text("data", c.Data)
		fields.day("deprecated", c.Deprecated)
		fields.day("sunset", c.Sunset)
		fmt.Fprintf(&b, "%s %s\n", yamlKey(name), fields)
	}
	b.WriteString("partners:\n")
	for _, name := range slices.Sorted(maps.Keys(r.Partners)) {
		p := r.Partners[name]
		agreement := flow{}
		agreement.day("start", p.AgreementStart)
		agreement.day("end", p.AgreementEnd)
		fmt.Fprintf(&b, "%s\n    owner: %s\n    purpose: %s\n    agreement: %s\n", yamlKey(name), yamlText(p.Owner), yamlText(p.Purpose), agreement)
		b.WriteString("    grants:\n")
		for _, g := range p.Grants {
			fmt.Fprintf(&b, "      - %s\n", g.flow())
		}
		b.WriteString("    limits:\n")
		for _, l := range p.Limits {
			fmt.Fprintf(&b, "      - %s\n", l.flow())
		}
		if len(p.Expected) > 0 { // named only where there are some: older registries keep their hash
			b.WriteString("    expected:\n")
		}
		for _, e := range p.Expected {
			fmt.Fprintf(&b, "      - %s\n", e.flow())
		}
	}
	return b.Bytes()
}

// hash returns the SHA-256 of the canonical form, hexadecimal.
func (r *Registry) hash() string {
	sum := sha256.Sum256(r.Canonical())
	return hex.EncodeToString(sum[:])
}

func (g Grant) flow() flow {
	var actions []string
	for _, a := range g.Actions {
		actions = append(actions, a.String())
	}
	f := flow{"capability: " + yamlText(g.Capability), "actions: [" + strings.Join(actions, ", ") + "]"}
	f.day("from", g.From)
	f.day("until", g.Until)
	f.text("purpose", g.Purpose)
	return f
}

func (l Limit) flow() flow {
	f := flow{"people: " + strconv.FormatUint(l.People, 10), "per: " + string(l.Window)}
	f.text("capability", l.Capability)
	return f
}

func (e Expected) flow() flow {
	f := flow{"factor: " + strconv.FormatFloat(e.Factor, 'g', -1, 64)}
	f.day("from", e.From)
	f.day("until", e.Until)
	f.text("capability", e.Capability)
	f.text("why", e.Why)
	return f
}

// flow is a YAML mapping on one line.
type flow []string

func (f *flow) text(name, s string) {
	if s != "" {
		*f = append(*f, name+": "+yamlText(s))
	}
}

func (f *flow) day(name string, d schema.Day) {
	if d != 0 {
		*f = append(*f, name+": "+d.String())
	}
}

func (f flow) String() string { return "{" + strings.Join(f, ", ") + "}" }

// yamlText quotes a string for YAML. The escapes that Go writes for valid UTF-8
// are all among those of YAML, and mean the same.
func yamlText(s string) string { return strconv.QuoteToASCII(s) }

// yamlKey writes the name of a field of the first level, with its colon. YAML takes one of more
// than 1024 characters only after a question mark.
func yamlKey(name string) string {
	if q := yamlText(name); len(q) > 1000 {
		return "  ? " + q + "\n  :"
	}
	return "  " + yamlText(name) + ":"
}
