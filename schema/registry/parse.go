package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/strict"
)

// The registry's file, field by field. The types that have UnmarshalText turn
// what does not parse into an error at its line.
type (
	registryFile struct {
		Capabilities map[string]capabilityFile `yaml:"capabilities" required:"true"`
		Partners     map[string]partnerFile    `yaml:"partners" required:"true"`
	}
	capabilityFile struct {
		Data       string  `yaml:"data"`
		Deprecated dayText `yaml:"deprecated"`
		Sunset     dayText `yaml:"sunset"`
	}
	partnerFile struct {
		Owner     string         `yaml:"owner"`
		Purpose   string         `yaml:"purpose"`
		Agreement agreementFile  `yaml:"agreement" required:"true"`
		Grants    []grantFile    `yaml:"grants"`
		Limits    []limitFile    `yaml:"limits"`
		Expected  []expectedFile `yaml:"expected"`
	}
	agreementFile struct {
		Start dayText `yaml:"start" required:"true"`
		End   dayText `yaml:"end"`
	}
	grantFile struct {
		Capability string       `yaml:"capability" required:"true"`
		Actions    []actionText `yaml:"actions" required:"true"`
		From       dayText      `yaml:"from" required:"true"`
		Until      dayText      `yaml:"until"`
		Purpose    string       `yaml:"purpose"`
	}
	limitFile struct {
		People     uint64     `yaml:"people" required:"true"`
		Per        windowText `yaml:"per" required:"true"`
		Capability string     `yaml:"capability"`
	}
	expectedFile struct {
		Capability string     `yaml:"capability"`
		From       dayText    `yaml:"from" required:"true"`
		Until      dayText    `yaml:"until" required:"true"`
		Factor     factorText `yaml:"factor" required:"true"`
		Why        string     `yaml:"why"`
	}
	factorText float64
	dayText    schema.Day
	actionText schema.Action
	windowText schema.Window
)

// The days that a registry may name. Day 0 means none, and the last one and the
// day after it must fit into a Date of ClickHouse, which ends in June 2149.
const (
	firstRegistryDay schema.Day = 1     // 1970-01-02
	lastRegistryDay  schema.Day = 65378 // 2148-12-31
)

// UnmarshalText reads a day that a registry may name.
func (d *dayText) UnmarshalText(text []byte) error {
	day, err := schema.ParseDay(string(text))
	if err != nil {
		return err
	}
	if day < firstRegistryDay || day > lastRegistryDay {
		return fmt.Errorf("the day %s is out of range: expected one from %s to %s; leave the field out where there is no end",
			text, firstRegistryDay, lastRegistryDay)
	}
	*d = dayText(day)
	return nil
}

// UnmarshalText reads how many times as much as usual is expected.
func (f *factorText) UnmarshalText(text []byte) error {
	factor, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(factor > 1 && factor <= maxFactor) { // nor what is no number
		return fmt.Errorf("the factor is %s: expected more than 1, how many times as much as usual, and at most %d", text, maxFactor)
	}
	*f = factorText(factor)
	return nil
}

// UnmarshalText reads an action.
func (a *actionText) UnmarshalText(text []byte) error {
	action, err := schema.ParseAction(string(text))
	if err != nil {
		var known []string
		for _, k := range schema.Actions {
			known = append(known, k.String())
		}
		return fmt.Errorf("%s", strict.Unknown("action", string(text), known))
	}
	*a = actionText(action)
	return nil
}

// UnmarshalText reads the window of a limit.
func (w *windowText) UnmarshalText(text []byte) error {
	var known []string
	for _, k := range schema.Windows {
		if string(k) == string(text) {
			*w = windowText(k)
			return nil
		}
		known = append(known, string(k))
	}
	return fmt.Errorf("%s", strict.Unknown("window", string(text), known))
}

// Parse reads a registry from YAML. The file's name is for errors alone,
// each of which says file, line, what was found and what was expected; all that
// are found are returned together.
//
// An empty file is an error, so that one that is being written never passes for
// a registry of nobody.
func Parse(file string, data []byte) (*Registry, error) {
	var f registryFile
	doc, err := strict.Decode(file, data, &f)
	if err != nil {
		return nil, err
	}
	r := &Registry{Capabilities: map[string]Capability{}, Partners: map[string]Partner{}}
	for name, c := range f.Capabilities {
		r.Capabilities[name] = Capability{Name: name, Data: c.Data, Deprecated: schema.Day(c.Deprecated), Sunset: schema.Day(c.Sunset)}
		at := strict.At("capabilities", name)
		if name == "" {
			doc.Errorf(at, "a capability has an empty name: expected the name that events give")
		}
		if c.Deprecated != 0 && c.Sunset != 0 && c.Sunset < c.Deprecated {
			doc.Errorf(append(at, "sunset"), "capability %q is sunset on %s, before it is deprecated on %s: expected the same day or a later one",
				name, schema.Day(c.Sunset), schema.Day(c.Deprecated))
		}
	}
	for name, p := range f.Partners {
		if name == "" {
			doc.Errorf(strict.At("partners", name), "a partner has an empty name: expected the name that events give")
		}
		r.Partners[name] = parsePartner(doc, r, name, p)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	r.SHA256 = r.hash()
	return r, nil
}

func parsePartner(doc *strict.Document, r *Registry, name string, f partnerFile) Partner {
	p := Partner{
		Name: name, Owner: f.Owner, Purpose: f.Purpose,
		AgreementStart: schema.Day(f.Agreement.Start), AgreementEnd: schema.Day(f.Agreement.End),
	}
	if ends(p.AgreementEnd, p.AgreementStart) {
		doc.Errorf(strict.At("partners", name, "agreement", "end"),
			"the agreement of %q ends on %s, before it starts on %s: expected the same day or a later one, or no end", name, p.AgreementEnd, p.AgreementStart)
	}
	for i, g := range f.Grants {
		p.Grants = append(p.Grants, parseGrant(doc, r, &p, i, g))
	}
	slices.SortFunc(p.Grants, compareGrants)
	p.Grants = slices.CompactFunc(p.Grants, func(a, b Grant) bool { return compareGrants(a, b) == 0 })
	for i, l := range f.Limits {
		p.Limits = append(p.Limits, parseLimit(doc, r, &p, i, l))
	}
	slices.SortFunc(p.Limits, func(a, b Limit) int {
		return cmp.Or(strings.Compare(a.Capability, b.Capability), slices.Index(schema.Windows[:], a.Window)-slices.Index(schema.Windows[:], b.Window))
	})
	for i, e := range f.Expected {
		p.Expected = append(p.Expected, parseExpected(doc, r, &p, i, e))
	}
	slices.SortFunc(p.Expected, func(a, b Expected) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Until, b.Until), strings.Compare(a.Capability, b.Capability),
			cmp.Compare(a.Factor, b.Factor), strings.Compare(a.Why, b.Why))
	})
	return p
}

// maxFactor is how many times as much as usual a registry may expect: more would
// switch the comparison off.
const maxFactor = 100

func parseExpected(doc *strict.Document, r *Registry, p *Partner, i int, f expectedFile) Expected {
	e := Expected{Capability: f.Capability, From: schema.Day(f.From), Until: schema.Day(f.Until), Factor: float64(f.Factor), Why: f.Why}
	at := func(field string) strict.Path { return strict.At("partners", p.Name, "expected", i, field) }
	if doc.Has(at("capability")) {
		known(doc, r, at("capability"), f.Capability)
	}
	if ends(e.Until, e.From) {
		doc.Errorf(at("until"), "it is expected until %s, before it is from %s: expected the same day or a later one", e.Until, e.From)
	}
	return e
}

func parseGrant(doc *strict.Document, r *Registry, p *Partner, i int, f grantFile) Grant {
	g := Grant{Capability: f.Capability, From: schema.Day(f.From), Until: schema.Day(f.Until), Purpose: f.Purpose}
	if g.Purpose == p.Purpose {
		g.Purpose = ""
	}
	at := func(field string) strict.Path { return strict.At("partners", p.Name, "grants", i, field) }
	known(doc, r, at("capability"), f.Capability)
	if ends(g.Until, g.From) {
		doc.Errorf(at("until"), "the grant is until %s, before it is from %s: expected the same day or a later one, or no until", g.Until, g.From)
	}
	if len(f.Actions) == 0 {
		doc.Errorf(at("actions"), "the grant has no action: expected some of read, write, delete")
	}
	for _, a := range f.Actions {
		if slices.Contains(g.Actions, schema.Action(a)) {
			doc.Errorf(at("actions"), "the action %s is given twice: leave one of them out", schema.Action(a))
		}
		g.Actions = append(g.Actions, schema.Action(a))
	}
	slices.Sort(g.Actions)
	return g
}

func parseLimit(doc *strict.Document, r *Registry, p *Partner, i int, f limitFile) Limit {
	l := Limit{Capability: f.Capability, Window: schema.Window(f.Per), People: f.People}
	at := func(field string) strict.Path { return strict.At("partners", p.Name, "limits", i, field) }
	if doc.Has(at("capability")) {
		known(doc, r, at("capability"), f.Capability)
	}
	if l.People == 0 {
		doc.Errorf(at("people"), "the limit is 0 people: expected at least 1; where a partner may touch nobody, leave the grant out or end it")
	}
	for _, other := range p.Limits {
		if other.Capability == l.Capability && other.Window == l.Window {
			of := "the partner"
			if l.Capability != "" {
				of = fmt.Sprintf("capability %q", l.Capability)
			}
			doc.Errorf(at("per"), "a second limit per %s for %s of %q: the first is %d people, leave one of them out", l.Window, of, p.Name, other.People)
		}
	}
	return l
}

// known notes a capability that the registry does not list.
func known(doc *strict.Document, r *Registry, at strict.Path, capability string) {
	if _, ok := r.Capabilities[capability]; ok {
		return
	}
	var names []string
	for name := range r.Capabilities {
		names = append(names, name)
	}
	doc.Errorf(at, "%s, or add it to capabilities", strict.Unknown("capability", capability, names))
}

// ends reports whether a last day lies before a first one.
func ends(last, first schema.Day) bool { return last != 0 && last < first }

// compareGrants orders the grants of a partner; 0 means that they say the same.
func compareGrants(a, b Grant) int {
	return cmp.Or(
		strings.Compare(a.Capability, b.Capability),
		cmp.Compare(a.From, b.From), cmp.Compare(a.Until, b.Until),
		slices.Compare(a.Actions, b.Actions), strings.Compare(a.Purpose, b.Purpose))
}
