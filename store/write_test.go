package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

func TestPositionsNeverGoBack(t *testing.T) {
	s := open(t)
	p := schema.Position{Slot: 255, Cadence: schema.CadenceHour, Partition: schema.Partition{Incarnation: "it's", Partition: 3}, To: 10, Watermark: 100, Registry: 2}
	other := p
	other.Slot, other.Cadence = 0, schema.CadenceMinute
	none := other
	none.To, none.Partition.Partition = 0, 4
	newer := p
	newer.To, newer.Registry = 11, 1
	older := p
	older.To, older.Registry, older.Watermark = 9, 9, 999
	for _, positions := range [][]schema.Position{{p, other, none}, {newer}, {older}, nil} {
		if err := s.WriteJudged(t.Context(), positions); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		f := func(slots []uint8, want ...schema.Position) {
			t.Helper()
			got, err := s.Judged(t.Context(), slots)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("slots %v (-want +got):\n%s", slots, diff)
			}
		}
		f([]uint8{0, 1, 255}, other, none, newer)
		f([]uint8{255}, newer)
		f(nil)
		execute(t, s, "OPTIMIZE TABLE judged FINAL")
	}
}

func withGrants(sha string, grants ...registry.Grant) *registry.Registry {
	return &registry.Registry{SHA256: fmt.Sprintf("%064s", sha), Partners: map[string]registry.Partner{
		"it's": {Name: "it's", Owner: "o", Purpose: "p", AgreementStart: 17_000, Grants: grants},
		"none": {Name: "none"},
	}}
}

func TestProcessesAgreeOnTheOrdinalOfARegistry(t *testing.T) {
	s := open(t)
	grant := registry.Grant{Capability: "messaging", Actions: []schema.Action{schema.Read, schema.Delete}, From: 17_000, Until: 17_100}
	save := func(r *registry.Registry) uint32 {
		ordinal, err := s.SaveRegistry(t.Context(), r, []byte("canonical "+r.SHA256))
		if err != nil {
			t.Error(err)
		}
		return ordinal
	}
	for i, want := range []uint32{1, 1, 2, 3} { // a, a again, b, and back to a
		r := withGrants([]string{"a", "a", "b", "a"}[i], grant, registry.Grant{Capability: "c", Actions: []schema.Action{schema.Write}, From: 17_000, Purpose: "its own"})
		if got := save(r); got != want {
			t.Errorf("version %d has ordinal %d, want %d", i, got, want)
		}
	}
	if got := value[string](t, s, "SELECT toString(groupArray((partner, capability, action, from, until, purpose, owner, agreement_start, agreement_end))) FROM (SELECT * FROM registry_grants WHERE ordinal = 2 ORDER BY capability, action)"); got !=
		`[('it\'s','c','write','2016-07-18',NULL,'its own','o','2016-07-18',NULL),('it\'s','messaging','read','2016-07-18','2016-10-26','p','o','2016-07-18',NULL),('it\'s','messaging','delete','2016-07-18','2016-10-26','p','o','2016-07-18',NULL)]` {
		t.Errorf("grants of version 2: %s", got)
	}
	ordinals := make(chan [2]uint32)
	for i := range uint32(6) {
		go func() { ordinals <- [2]uint32{i % 3, save(withGrants(fmt.Sprint("at once ", i%3), grant))} }()
	}
	var seen [][2]uint32
	for range 6 {
		seen = append(seen, <-ordinals)
	}
	slices.SortFunc(seen, func(a, b [2]uint32) int { return cmp.Compare(a[1], b[1]) })
	for i := range seen[1:] {
		if seen[i][1] == seen[i+1][1] && seen[i][0] != seen[i+1][0] {
			t.Errorf("two registries share an ordinal: %v", seen)
		}
	}
	for _, of := range seen {
		if got := value[string](t, s, fmt.Sprintf("SELECT min(sha256) FROM registry_versions WHERE ordinal = %d HAVING count() = 1", of[1])); got != withGrants(fmt.Sprint("at once ", of[0])).SHA256 {
			t.Errorf("ordinal %d of registry %d is that of %q", of[1], of[0], got)
		}
	}
	grants := func() int64 { return value[int64](t, s, "SELECT toInt64(count()) FROM registry_grants") }
	versions := map[uint32]bool{} // three to six: a registry that comes back after another is a new version
	for _, of := range seen {
		versions[of[1]] = true
	}
	if want := int64(3*3 + 2*len(versions)); grants() != want {
		t.Errorf("%d grants of %d versions, want %d", grants(), 3+len(versions), want)
	}
	execute(t, s, "TRUNCATE TABLE registry_grants") // as after a crash behind the version's row
	latest := seen[len(seen)-1]
	if got := save(withGrants(fmt.Sprint("at once ", latest[0]), grant)); got != latest[1] || grants() != 2 {
		t.Errorf("saved again after a crash: ordinal %d, want %d; %d grants, want 2", got, latest[1], grants())
	}
}
