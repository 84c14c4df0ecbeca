package decode

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/overreach/overreach/schema/strict"
)

// Mapping is the Encoding of somebody else's JSON. It is read-only once parsed and may
// be used by several Readers.
type Mapping struct {
	root  *node
	nodes int             // nodes of the tree under root
	names map[string]bool // that stand in a path, in lower case
	where []condition
	// fields are in the order of members; the subject's is apart, for it alone
	// may give several values.
	fields   []field
	subject  field
	list     *node // of the list whose elements are the items; nil: none
	envelope *envelope
	sha      string
}

// mappingFile is the shape of a mapping's file:
//
//	envelope: cloudevents        # what the paths name may lie under data
//	items: Records[]             # a record that has this list holds an item for each element
//	where:                       # items for which one of these does not hold are left out
//	  - {path: actor.login, has_suffix: "[bot]"}
//	event:
//	  time: created_at           # a path alone
//	  partner:                   # or a path and what to do with what is there
//	    path: actor.login
//	    strip_suffix: "[bot]"
//	  action:
//	    first_of:                # or the first of several that gives something
//	      - {path: verb, table: {GET: read}}
//	      - operation
//	    default: write
type mappingFile struct {
	Envelope string          `yaml:"envelope" json:",omitempty"`
	Items    memberPath      `yaml:"items" json:",omitempty"`
	Where    []conditionRule `yaml:"where" json:",omitempty"`
	Event    eventRules      `yaml:"event" required:"true"`
}

// conditionRule is one condition: a path, or several of which the first that is
// not empty counts, and one thing to hold of what is there. Where that is
// nothing, or no single value, only present and none_of can hold.
type conditionRule struct {
	Path      memberPath   `yaml:"path" json:",omitempty"`
	FirstOf   []memberPath `yaml:"first_of" json:",omitempty"`
	Equals    *string      `yaml:"equals" json:",omitempty"`
	OneOf     []string     `yaml:"one_of" json:",omitempty"`
	NoneOf    []string     `yaml:"none_of" json:",omitempty"`
	HasPrefix *string      `yaml:"has_prefix" json:",omitempty"`
	HasSuffix *string      `yaml:"has_suffix" json:",omitempty"`
	Present   *bool        `yaml:"present" json:",omitempty"` // null and empty count as absent
}

// String writes the condition in one line, as in type one_of [call, batch].
func (r *conditionRule) String() string {
	paths := r.Path.String()
	if r.FirstOf != nil {
		paths = "first of " + pathsInWords(r.FirstOf)
	}
	switch {
	case r.Equals != nil:
		return fmt.Sprintf("%s equals %q", paths, *r.Equals)
	case r.OneOf != nil:
		return fmt.Sprintf("%s one_of [%s]", paths, strings.Join(r.OneOf, ", "))
	case r.NoneOf != nil:
		return fmt.Sprintf("%s none_of [%s]", paths, strings.Join(r.NoneOf, ", "))
	case r.HasPrefix != nil:
		return fmt.Sprintf("%s has_prefix %q", paths, *r.HasPrefix)
	case r.HasSuffix != nil:
		return fmt.Sprintf("%s has_suffix %q", paths, *r.HasSuffix)
	}
	return fmt.Sprintf("%s present: %t", paths, r.Present == nil || *r.Present)
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

// fieldRule makes one member of an event: a constant, what a path leads to after
// the steps, or the first of several such that gives something. Steps are taken
// in the order in which they stand here whatever their order in the file.
type fieldRule struct {
	Const       *string           `yaml:"const" json:",omitempty"`
	FirstOf     []fieldRule       `yaml:"first_of" json:",omitempty"`
	When        *conditionRule    `yaml:"when" json:",omitempty"` // in first_of: passed over where it does not hold
	Path        memberPath        `yaml:"path" json:",omitempty"`
	After       string            `yaml:"after" json:",omitempty"`        // keep what follows the first of these; it must be there
	Before      string            `yaml:"before" json:",omitempty"`       // keep what precedes the first of these; it must be there
	StripPrefix string            `yaml:"strip_prefix" json:",omitempty"` // cut off where it is there
	StripSuffix string            `yaml:"strip_suffix" json:",omitempty"` // cut off where it is there
	Pattern     string            `yaml:"pattern" json:",omitempty"`      // a regular expression (RE2) that must match
	Value       string            `yaml:"value" json:",omitempty"`        // what to make of a match, as in ${account}/${name}
	Lower       bool              `yaml:"lower" json:",omitempty"`
	Table       map[string]string `yaml:"table" json:",omitempty"`   // a value that it does not name is a reject
	Format      string            `yaml:"format" json:",omitempty"`  // of a time
	Zone        string            `yaml:"zone" json:",omitempty"`    // of a time without one
	Default     *string           `yaml:"default" json:",omitempty"` // where nothing matches, is named, or is there
}

// UnmarshalText reads the short form: a path alone.
func (r *fieldRule) UnmarshalText(text []byte) error { return r.Path.UnmarshalText(text) }

// hasSteps reports whether anything is done to what the path leads to.
func (r *fieldRule) hasSteps() bool {
	return r.After != "" || r.Before != "" || r.StripPrefix != "" || r.StripSuffix != "" || r.Pattern != "" || r.Value != "" ||
		r.Lower || r.Table != nil || r.Format != "" || r.Zone != ""
}

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
	m := &Mapping{root: &node{}, nodes: 1, names: map[string]bool{}}
	m.addEnvelope(doc, raw.Envelope)
	m.addItems(doc, raw.Items)
	for i := range raw.Where {
		m.where = append(m.where, m.condition(doc, strict.At("where", i), &raw.Where[i]))
	}
	for k := memberTime; k < members; k++ {
		r := raw.Event.rule(k)
		if r == nil {
			continue
		}
		if f := m.field(doc, strict.At("event", memberNames[k]), k, r); k == memberSubject {
			m.subject = f
		} else {
			m.fields = append(m.fields, f)
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

// Fingerprint implements Encoding: the SHA-256 of what the mapping does, in hexadecimal.
// Comments, and the order of fields and of a table, do not change it.
func (m *Mapping) Fingerprint() string { return m.sha }

// envelope is where a CloudEvent in structured mode keeps what it wraps.
type envelope struct{ version, data, base64 *node }

func (m *Mapping) addEnvelope(doc *strict.Document, name string) {
	switch name {
	case "":
	case "cloudevents":
		m.envelope = &envelope{
			version: m.node(memberPath{"specversion"}),
			data:    m.node(memberPath{"data"}),
			base64:  m.node(memberPath{"data_base64"}),
		}
	default:
		doc.Errorf(strict.At("envelope"), "envelope %q is not known: expected cloudevents, or none", name)
	}
}

func (m *Mapping) addItems(doc *strict.Document, p memberPath) {
	if p == nil {
		return
	}
	at, rest := p.cut()
	if len(rest) != 1 || len(rest[0]) > 0 || len(at) == 0 {
		doc.Errorf(strict.At("items"), "items is %s: expected the path of a list with [] at its end, as in Records[]; a record that is itself a list needs no items", p)
		return
	}
	m.list = m.node(at)
}
