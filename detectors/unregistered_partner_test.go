package detectors_test

import (
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func TestAStrangerIsFoundAndEndsWhenItIsRegistered(t *testing.T) {
	nobody, known := &registry.Registry{}, limited(t, schema.WindowHour)
	key := schema.FindingKey{Detector: "unregistered_partner", Partner: "p", Cause: "unregistered"}
	asks := func(r *registry.Registry, open ...schema.FindingKey) bool {
		got := (detectors.UnregisteredPartner{}).Ask(r, usage.Activity{Partner: "p", Days: []schema.Day{17000}, Open: open})
		return len(got) == 1 && got[0].FindingKey == key
	}
	if !asks(nobody) || !asks(nobody, key) {
		t.Error("a stranger is not asked for")
	}
	if asks(known) {
		t.Error("a registered partner is asked for")
	}
	if !asks(known, key) {
		t.Error("a stranger that was found and is registered now is not asked for, so it never ends")
	}
	q := usage.Question{FindingKey: key, Spans: []usage.Span{{}}}
	f := func(r *registry.Registry, accesses, attempts uint64, severity schema.Severity, state schema.State, ended, sentence string) {
		t.Helper()
		a := used(t, accesses, attempts, "2018-12-18 12:00", "2018-12-19 13:00", "2019-12-01 00:00")
		got, ok := (detectors.UnregisteredPartner{}).Judge(r, q, a)
		if !ok || got.Severity != severity || got.State != state || clock(got.EndedAt) != ended || got.Sentence != sentence {
			t.Errorf("got %v %s %s %q: %s", ok, got.Severity, got.State, clock(got.EndedAt), got.Sentence)
		}
	}
	const touched = "p is not in the registry and touched 7 people in 7 accesses since 2018-12-18 12:00."
	f(nobody, 7, 0, schema.Critical, schema.Open, "", touched)
	f(nobody, 7, 3, schema.Critical, schema.Open, "", touched)
	f(nobody, 0, 3, schema.Warning, schema.Open, "", "p is not in the registry and tried 3 calls; all were refused.")
	f(known, 7, 0, schema.Critical, schema.Ended, "2018-12-19 13:00",
		"p was not in the registry until now and touched 7 people in 7 accesses since 2018-12-18 12:00.")
	q.Partner = "who is not in the registry" // a producer chose that name
	f(&registry.Registry{Partners: map[string]registry.Partner{q.Partner: {}}}, 0, 3, schema.Warning, schema.Ended, "2018-12-19 13:00",
		"who is not in the registry was not in the registry until now and tried 3 calls; all were refused.")
	if _, ok := (detectors.UnregisteredPartner{}).Judge(nobody, q, usage.Answer{}); ok {
		t.Error("a name without a call is found")
	}
}
