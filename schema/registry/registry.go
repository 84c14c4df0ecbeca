// Package registry says what each partner may do: it reads the registry that people
// write, and answers which right covered a call.
package registry

import (
	"cmp"
	"maps"
	"slices"

	"github.com/overreach/overreach/schema"
)

// Registry holds what partners may do: capabilities with their ends, agreements,
// grants, limits. Days are UTC; an end and an until are the last day allowed, a
// sunset is the first day not allowed. It is read-only once parsed.
type Registry struct {
	Capabilities map[string]Capability
	Partners     map[string]Partner
	SHA256       string // of the canonical form, hexadecimal
}

// GrantRow is one granted scope of one partner, as the tables keep it.
type GrantRow struct {
	Partner, Capability          string
	Action                       schema.Action
	From, Until                  schema.Day // Until is the last day allowed; 0: open-ended
	Purpose                      string     // the grant's own, else the partner's
	Owner                        string
	AgreementStart, AgreementEnd schema.Day // AgreementEnd 0: open-ended
}

// GrantRows returns a row for each partner, grant and action, in the order of
// partner, capability, from, until and action.
func (r *Registry) GrantRows() []GrantRow {
	var rows []GrantRow
	for _, name := range slices.Sorted(maps.Keys(r.Partners)) {
		p := r.Partners[name]
		for _, g := range p.Grants {
			for _, a := range g.Actions {
				rows = append(rows, GrantRow{
					Partner: p.Name, Capability: g.Capability, Action: a,
					From: g.From, Until: g.Until,
					Purpose: cmp.Or(g.Purpose, p.Purpose), Owner: p.Owner,
					AgreementStart: p.AgreementStart, AgreementEnd: p.AgreementEnd,
				})
			}
		}
	}
	return rows
}

// Capability is a part of the API.
type Capability struct {
	Name       string
	Data       string     // the kind of data it touches, in words
	Deprecated schema.Day // announced to end from this day on; 0: not
	Sunset     schema.Day // first day on which it should be gone; 0: none
}

// Partner is a third party under agreement.
type Partner struct {
	Name           string
	Owner          string // who answers for the partner inside the company
	Purpose        string // declared purpose
	AgreementStart schema.Day
	AgreementEnd   schema.Day // last day allowed; 0: open-ended
	Grants         []Grant    // in the order of capability, from, until, actions, purpose
	Limits         []Limit    // in the order of capability and window, shortest first
	Expected       []Expected // in the order of from, until, capability and factor
}

// Grant lets a partner use scopes from a day until a day.
type Grant struct {
	Capability string
	Actions    []schema.Action // in the order of Actions, each once
	From       schema.Day
	Until      schema.Day // last day allowed; 0: open-ended
	Purpose    string     // where it differs from the partner's, else empty
}

// Limit is how many distinct people a partner may touch in a window.
type Limit struct {
	Capability string // empty: the partner as a whole
	Window     schema.Window
	People     uint64
}

// Expected is a stretch of days in which more than usual is to be expected of a
// partner, as after a launch.
type Expected struct {
	Capability  string     // empty: all of the partner's
	From, Until schema.Day // Until is the last day
	Factor      float64    // how many times as much as usual; more than 1
	Why         string
}
