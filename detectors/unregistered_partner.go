package detectors

import (
	"fmt"
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// UnregisteredPartner finds calls of a partner that the registry does not know:
// nobody answers for it and no agreement says what it may do. It ends when the
// partner is registered.
type UnregisteredPartner struct{}

// Folded is the name under which unregistered partners past max_unregistered
// are added up.
const Folded = "(unregistered)"

// Name implements Detector.
func (UnregisteredPartner) Name() string { return "unregistered_partner" }

// BlindSpots implements Detector.
func (UnregisteredPartner) BlindSpots() string {
	return "a stranger that calls under a registered partner's name; names past max_unregistered, which are added up as " + Folded
}

// Watches implements Detector.
func (UnregisteredPartner) Watches(*registry.Registry, string) []string { return nil }

// Ask implements Detector.
func (d UnregisteredPartner) Ask(r *registry.Registry, a usage.Activity) []usage.Question {
	key := schema.FindingKey{Detector: d.Name(), Partner: a.Partner, Cause: "unregistered"}
	if _, ok := r.Partners[a.Partner]; a.Partner == NoPartner || ok && !slices.Contains(a.Open, key) {
		return nil
	}
	return []usage.Question{{FindingKey: key, Spans: []usage.Span{{}}}}
}

// Judge implements Detector.
func (d UnregisteredPartner) Judge(r *registry.Registry, q usage.Question, a usage.Answer) (schema.Finding, bool) {
	f, ok := used(q, a)
	if !ok {
		return schema.Finding{}, false
	}
	is := "is not in the registry"
	if _, ok := r.Partners[q.Partner]; ok {
		f.State, f.EndedAt = schema.Ended, f.LastSeen
		is = "was not in the registry until now"
	}
	f.Sentence = fmt.Sprintf("%s %s and touched %s in %s since %s.",
		q.Partner, is, people(f.People), count(f.Accesses, "access", "accesses"), f.FirstSeen.Format("2006-01-02 15:04"))
	if f.Accesses == 0 {
		f.Sentence = fmt.Sprintf("%s %s and tried %s; all were refused.", q.Partner, is, count(f.Attempts, "call", "calls"))
	}
	return f, true
}
