package judge_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

// counting is a store that counts what is written to it.
type counting struct {
	tables
	findings, changes *int
}

func (c counting) WriteFindings(ctx context.Context, f []schema.Finding, v schema.Version) error {
	*c.findings += len(f)
	return c.tables.WriteFindings(ctx, f, v)
}

func (c counting) WriteChanges(ctx context.Context, changes []schema.FindingChange) error {
	*c.changes += len(changes)
	return c.tables.WriteChanges(ctx, changes)
}

func TestAChangeOfTheRegistryIsJudgedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, aChangeOfTheRegistryIsJudgedOnce)
}

func aChangeOfTheRegistryIsJudgedOnce(t *testing.T, e *engine) {
	log := of(makeLog(3), "small", "ghost")
	r := once(t, e, log, 1)
	var findings, changes int
	st := counting{r.store, &findings, &changes}
	j := r.judge(st, 0, 1)
	r.round(j)
	if changes != 0 {
		t.Fatalf("another judge told %d changes of what was judged already", changes)
	}

	// under is the state of all findings after a registry was put in force, which
	// a first round judges; a second one and another judge have nothing to say.
	under := func(registry string) map[string]schema.Finding {
		t.Helper()
		r.rule(registry)
		findings, changes = 0, 0
		r.round(j)
		if findings == 0 {
			t.Error("the change was not judged")
		}
		findings, changes = 0, 0
		r.round(j)
		r.round(r.judge(st, 0, 1))
		if findings != 0 || changes != 0 {
			t.Errorf("judged again, %d findings were written and %d changes told", findings, changes)
		}
		byID := map[string]schema.Finding{}
		for _, f := range r.findings() {
			byID[f.ID()] = f
		}
		return byID
	}
	before := map[string]schema.Finding{}
	for _, f := range r.findings() {
		before[f.ID()] = f
	}
	raised := strings.Replace(wholeRegistry, "limits: [{people: 3, per: hour}, {people: 5, per: 24 hours}, {people: 9, per: 30 days}",
		"limits: [{people: 300, per: hour}, {people: 5, per: 24 hours}, {people: 9, per: 30 days}", 1) +
		"  ghost: {agreement: {start: 2018-01-01}, grants: [{capability: messaging, actions: [read, write, delete], from: 2018-01-01}]}\n"
	seen := map[string]int{}
	for id, f := range under(raised) {
		was := before[id]
		switch {
		case f.Window == schema.WindowHour:
			seen["raised"]++
			if f.State != schema.Withdrawn || f.People != was.People || f.Sentence != was.Sentence {
				t.Errorf("its limit was raised, and it is %s: %s", f.State, f.Sentence)
			}
		case f.Detector == "unregistered_partner":
			seen["registered"]++
			if f.State != schema.Ended || was.State != schema.Open {
				t.Errorf("it was registered: from %s to %s", was.State, f.State)
			}
		case f.Partner == "ghost": // what is deprecated or over is so for those who are registered
		case f.State != was.State || f.People != was.People:
			t.Errorf("nothing changed for %s, and it went from %s to %s", key(f.FindingKey), was.State, f.State)
		}
		if f.State != schema.Withdrawn && f.Registry != parse(t, raised).SHA256 {
			t.Errorf("%s was not judged by the new registry", key(f.FindingKey))
		}
	}

	// The limits are taken out, and the grant that had ended never ends.
	others, rest, _ := strings.Cut(raised, "  small:")
	_, ghost, _ := strings.Cut(rest, "  ghost:")
	allowed := others + `  small:
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read, write, delete], from: 2018-01-01},
      {capability: messaging, actions: [read], from: 2018-01-01}]
  ghost:` + ghost
	before = map[string]schema.Finding{}
	for _, f := range r.findings() {
		before[f.ID()] = f
	}
	for id, f := range under(allowed) {
		if f.Partner == "small" && f.Capability != "messaging" && before[id].State == schema.Open {
			seen["without its rule"]++
			if f.State != schema.Withdrawn {
				t.Errorf("%s has no rule any more, and is %s", key(f.FindingKey), f.State)
			}
		}
	}
	for _, kind := range []string{"raised", "registered", "without its rule"} {
		if seen[kind] == 0 {
			t.Errorf("no finding was %s: %v", kind, seen)
		}
	}
	reportedOnce(t, r, 10)
	ends := 0
	for _, told := range r.told() {
		if last := told[len(told)-1][0]; slices.Contains([]string{"withdrawn", "ended"}, last) {
			ends++
		}
	}
	if ends < 3 {
		t.Errorf("%d findings were told to be over", ends)
	}
}
