package judge

import (
	"context"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// shelf is a Store of findings.
type shelf struct {
	Store
	findings []schema.VersionedFinding
}

func (s shelf) Findings(context.Context, schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	return s.findings, nil
}

func TestWhatIsOpenAtTheEndOfItsPeriodIsAskedForInTheNextOne(t *testing.T) {
	registry, err := registry.Parse("r", []byte("capabilities: {}\npartners: {p: {agreement: {start: 2018-01-01}, limits: [{people: 100, per: 30 days}, {people: 9, per: hour}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	const january = schema.Day(17897) // 2019-01-01
	f := func(w schema.Window, first, end schema.Day) {
		t.Helper()
		key := schema.FindingKey{Detector: "volume_limit", Partner: "p", Window: w, Cause: "limit", Period: first}
		s := shelf{findings: []schema.VersionedFinding{{Finding: schema.Finding{FindingKey: key, PeriodEnd: end, State: schema.Open}}}}
		activities, err := (&round{judge: &Judge{store: s}}).found(t.Context(), pass{})
		if err != nil {
			t.Fatal(err)
		}
		var asked []schema.Day
		for _, q := range (detectors.VolumeLimit{}).Ask(registry, activities[0]) {
			if q.Window == w {
				asked = append(asked, q.Period)
			}
		}
		if !slices.Contains(asked, first) || !slices.Contains(asked, end) {
			t.Errorf("%s from %s on: asked for %v, want it and %s", w, first, asked, end)
		}
	}
	f(schema.Window30d, january, january.NextMonth())
	f(schema.WindowHour, january, january+1)
}

func TestAnActivityNamesEachDayAndEachScopeOnceInOrder(t *testing.T) {
	read, write := usage.Scope{Capability: "friends", Action: schema.Read}, usage.Scope{Capability: "friends", Action: schema.Write}
	other := usage.Scope{Capability: "events", Action: schema.Write}
	a := usage.Activity{Days: []schema.Day{9, 3, 9, 3, 5}, Scopes: []usage.Scope{write, read, other, write, other, read}}
	tidy(&a)
	want := usage.Activity{Days: []schema.Day{3, 5, 9}, Scopes: []usage.Scope{other, read, write}}
	if diff := gocmp.Diff(want, a); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
