package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Normalisation is what a mapping does to the id of a subject or an actor before
// the id is hashed: the steps of one alternative of its rule. Whoever looks for a
// person must do the same to the id that is asked about. The zero value does
// nothing.
type Normalisation struct {
	rule  fieldRule // After to Lower alone
	match *pattern
	table map[uint64]uint64 // hash of an id to the hash of what the mapping makes of it
}

// IDHash turns an id into the number that stands for it in the tables.
type IDHash func(id []byte) uint64

// Normalisations returns what the mapping does to subjects and to actors, each
// alternative once, in the order of the mapping. The ids that a table names are kept as
// hashes alone.
func (m *Mapping) Normalisations(hash IDHash) (subject, actor []Normalisation) {
	subject = m.subject.normalisations(hash)
	for i := range m.fields {
		if f := &m.fields[i]; f.member == memberActor {
			actor = f.normalisations(hash)
		}
	}
	return subject, actor
}

func (f *field) normalisations(hash IDHash) []Normalisation {
	if len(f.sources) == 0 {
		return []Normalisation{{}} // a constant
	}
	var all []Normalisation
	seen := map[string]bool{}
	for _, s := range f.sources {
		r := s.rule
		n := Normalisation{match: s.match, rule: fieldRule{
			After: r.After, Before: r.Before, StripPrefix: r.StripPrefix, StripSuffix: r.StripSuffix, Pattern: r.Pattern, Value: r.Value, Lower: r.Lower,
		}}
		if len(s.table) > 0 {
			n.table = make(map[uint64]uint64, len(s.table))
		}
		for from, to := range s.table {
			n.table[hash([]byte(from))] = hash(to)
		}
		if key := n.Steps(); !seen[key] {
			seen[key] = true
			all = append(all, n)
		}
	}
	return all
}

// keptSteps is how a Normalisation is kept: as a mapping writes it, but for the
// table.
type keptSteps struct {
	After       string            `json:"after,omitempty"`
	Before      string            `json:"before,omitempty"`
	StripPrefix string            `json:"strip_prefix,omitempty"`
	StripSuffix string            `json:"strip_suffix,omitempty"`
	Pattern     string            `json:"pattern,omitempty"`
	Value       string            `json:"value,omitempty"`
	Lower       bool              `json:"lower,omitempty"`
	Table       map[string]string `json:"table,omitempty"` // of hashes in decimal, which JSON's numbers cannot hold
}

// Steps writes the normalisation as JSON, in one way alone: {} does nothing.
func (n Normalisation) Steps() string {
	r := n.rule
	k := keptSteps{r.After, r.Before, r.StripPrefix, r.StripSuffix, r.Pattern, r.Value, r.Lower, nil}
	if n.table != nil {
		k.Table = make(map[string]string, len(n.table))
	}
	for from, to := range n.table {
		k.Table[strconv.FormatUint(from, 10)] = strconv.FormatUint(to, 10)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(k); err != nil {
		panic(err) // texts and a bool can always be written
	}
	return strings.TrimSpace(b.String())
}

// ParseNormalisation reads what Steps wrote.
func ParseNormalisation(steps string) (Normalisation, error) {
	var k keptSteps
	d := json.NewDecoder(strings.NewReader(steps))
	d.DisallowUnknownFields() // a step that this version does not know must not be left out
	if err := d.Decode(&k); err != nil {
		return Normalisation{}, fmt.Errorf("reading the steps of a normalisation, which a later version may have written: %w", err)
	}
	n := Normalisation{rule: fieldRule{
		After: k.After, Before: k.Before, StripPrefix: k.StripPrefix, StripSuffix: k.StripSuffix, Pattern: k.Pattern, Value: k.Value, Lower: k.Lower,
	}}
	if k.Pattern != "" {
		var err error
		if n.match, err = parsePattern(k.Pattern, k.Value); err != nil {
			return Normalisation{}, fmt.Errorf("reading the steps of a normalisation: %w", err)
		}
	}
	if k.Table != nil {
		n.table = make(map[uint64]uint64, len(k.Table))
	}
	for from, to := range k.Table {
		f, err := strconv.ParseUint(from, 10, 64)
		t, err2 := strconv.ParseUint(to, 10, 64)
		if err != nil || err2 != nil {
			return Normalisation{}, fmt.Errorf("reading the steps of a normalisation: its table holds %q, expected hashes", from)
		}
		n.table[f] = t
	}
	return n, nil
}

// LowerCase is the normalisation that folds to lower case and does nothing else.
func LowerCase() Normalisation { return Normalisation{rule: fieldRule{Lower: true}} }

// Hash returns the hash under which the mapping counted what it found in the
// place of id. It is false where the steps do not fit the id, or leave nothing of
// it: nobody was counted under this normalisation who had this id in the log.
func (n Normalisation) Hash(hash IDHash, id []byte) (uint64, bool) {
	var scratch []byte
	text, miss := n.rule.normalise(n.match, &scratch, id)
	if miss != fits || len(text) == 0 {
		return 0, false
	}
	h := hash(text)
	if n.table != nil {
		to, ok := n.table[h]
		return to, ok
	}
	return h, true
}

// Remainders returns the normalisation, and what is left of it after its first
// step, its second, and so on to the last step alone. An id may stand at any of
// these places: as the log has it, or as some steps have left it, which is how
// people know it.
func (n Normalisation) Remainders() []Normalisation {
	var all []Normalisation
	for _, drop := range []func(){
		func() {},
		func() { n.rule.After = "" }, func() { n.rule.Before = "" },
		func() { n.rule.StripPrefix = "" }, func() { n.rule.StripSuffix = "" },
		func() { n.rule.Pattern, n.rule.Value, n.match = "", "", nil },
		func() { n.rule.Lower = false },
	} {
		drop()
		if n.IsNothing() {
			break
		}
		if key := n.Steps(); !slices.ContainsFunc(all, func(o Normalisation) bool { return o.Steps() == key }) {
			all = append(all, n)
		}
	}
	return all
}

// IsNothing reports whether ids are taken as they are.
func (n Normalisation) IsNothing() bool { return n.Steps() == "{}" }

// longestShown is how much of a pattern is shown, in bytes: enough to know it by.
const longestShown = 60

// String names the steps for people, as in: what precedes "/", lower case.
func (n Normalisation) String() string {
	if n.IsNothing() {
		return "as given"
	}
	var all []string
	add := func(format, text string) {
		if text == "" {
			return
		}
		if len(text) > longestShown {
			text = strings.ToValidUTF8(text[:longestShown], "") + "…"
		}
		all = append(all, fmt.Sprintf(format, text))
	}
	add("what follows %q", n.rule.After)
	add("what precedes %q", n.rule.Before)
	add("without the prefix %q", n.rule.StripPrefix)
	add("without the suffix %q", n.rule.StripSuffix)
	add("what the pattern %q keeps", n.rule.Pattern)
	add("made into %q", n.rule.Value)
	if n.rule.Lower {
		all = append(all, "lower case")
	}
	if n.table != nil {
		all = append(all, fmt.Sprintf("by a table of %d", len(n.table)))
	}
	return strings.Join(all, ", ")
}
