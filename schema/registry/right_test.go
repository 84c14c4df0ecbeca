package registry

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

func show(r Right) string {
	switch r.Status {
	case Unregistered:
		return "unregistered"
	case Never:
		return "never"
	case Allowed:
		if r.Deprecated {
			return "allowed, deprecated " + r.DeprecatedSince.String()
		}
		return "allowed"
	}
	var others []string
	for _, o := range r.Others {
		others = append(others, fmt.Sprintf(", %s %s", o.Cause, o.Since))
	}
	return fmt.Sprintf("stale: %s %s%s", r.Cause, r.Since, strings.Join(others, ""))
}

func TestARightOnADay(t *testing.T) {
	r := parse(t, `
capabilities:
  messaging: {deprecated: 2014-11-01, sunset: 2015-06-01}
  friends: {}
partners:
  p:
    agreement: {start: 2014-01-01, end: 2018-12-31}
    grants:
      - {capability: messaging, actions: [read], from: 2014-01-01, until: 2015-12-31}
      - {capability: messaging, actions: [write], from: 2016-01-01}
      - {capability: friends, actions: [read], from: 2013-01-01, until: 2014-03-31}
      - {capability: friends, actions: [read], from: 2014-06-01, until: 2014-06-30}
      - {capability: friends, actions: [delete], from: 2013-01-01, until: 2013-12-31}
      - {capability: friends, actions: [write], from: 2019-02-01}
`)
	f := func(partner, capability string, a schema.Action, on, want string) {
		t.Helper()
		if got := show(r.Right(partner, capability, a, day(t, on))); got != want {
			t.Errorf("%s %s:%s on %s: got %s, want %s", partner, capability, a, on, got, want)
		}
	}
	f("q", "messaging", schema.Read, "2014-01-01", "unregistered")
	f("p", "messaging", schema.Read, "2013-12-31", "never")
	f("p", "messaging", schema.Read, "2014-01-01", "allowed")
	f("p", "messaging", schema.Read, "2014-10-31", "allowed")
	f("p", "messaging", schema.Read, "2014-11-01", "allowed, deprecated 2014-11-01")
	f("p", "messaging", schema.Read, "2015-05-31", "allowed, deprecated 2014-11-01")
	f("p", "messaging", schema.Read, "2015-06-01", "stale: sunset 2015-06-01")
	f("p", "messaging", schema.Read, "2016-01-01", "stale: sunset 2015-06-01, grant 2016-01-01")
	f("p", "messaging", schema.Read, "2019-01-01", "stale: sunset 2015-06-01, grant 2016-01-01, agreement 2019-01-01")
	// Granted only after the sunset.
	f("p", "messaging", schema.Write, "2015-12-31", "never")
	f("p", "messaging", schema.Write, "2016-01-01", "stale: sunset 2015-06-01")
	// The agreement begins within the grant, and there is a gap between two grants.
	f("p", "friends", schema.Read, "2013-12-31", "never")
	f("p", "friends", schema.Read, "2014-03-31", "allowed")
	f("p", "friends", schema.Read, "2014-05-31", "stale: grant 2014-04-01")
	f("p", "friends", schema.Read, "2014-06-30", "allowed")
	f("p", "friends", schema.Read, "2014-07-01", "stale: grant 2014-07-01")
	// A grant that was never in force on a day of the agreement is no right.
	f("p", "friends", schema.Delete, "2014-06-01", "never")
	f("p", "friends", schema.Write, "2019-03-01", "never")
	f("p", "photos", schema.Read, "2014-06-01", "never")
}

// naiveRight walks day by day from the first day of all to d and remembers.
func naiveRight(r *Registry, partner, capability string, a schema.Action, d schema.Day) Right {
	p, ok := r.Partners[partner]
	if !ok {
		return Right{Status: Unregistered}
	}
	c := r.Capabilities[capability]
	var existed, granted, agreed, gone bool
	var lastGranted, firstGone, lastAgreed schema.Day
	for x := schema.Day(15990); x <= d; x++ {
		granted = slices.ContainsFunc(p.Grants, func(g Grant) bool {
			return g.Capability == capability && slices.Contains(g.Actions, a) && g.From <= x && (g.Until == 0 || x <= g.Until)
		})
		agreed = p.AgreementStart <= x && (p.AgreementEnd == 0 || x <= p.AgreementEnd)
		if granted {
			lastGranted = x
		}
		if agreed {
			lastAgreed = x
		}
		if c.Sunset != 0 && x >= c.Sunset && !gone {
			gone, firstGone = true, x
		}
		existed = existed || granted && agreed
	}
	if !existed {
		return Right{Status: Never}
	}
	var causes []CauseDate
	if !agreed {
		causes = append(causes, CauseDate{Cause: "agreement", Since: lastAgreed + 1})
	}
	if !granted {
		causes = append(causes, CauseDate{Cause: "grant", Since: lastGranted + 1})
	}
	if gone {
		causes = append(causes, CauseDate{Cause: "sunset", Since: firstGone})
	}
	if len(causes) == 0 {
		right := Right{Status: Allowed}
		if c.Deprecated != 0 && d >= c.Deprecated {
			right.Deprecated, right.DeprecatedSince = true, c.Deprecated
		}
		return right
	}
	best := 0
	for i := range causes {
		if causes[i].Since < causes[best].Since {
			best = i
		}
	}
	right := Right{Status: Stale, Cause: causes[best].Cause, Since: causes[best].Since}
	right.Others = slices.Delete(causes, best, best+1)
	if len(right.Others) == 2 && right.Others[1].Since < right.Others[0].Since {
		right.Others[0], right.Others[1] = right.Others[1], right.Others[0]
	}
	return right
}

func TestRightsAndSegmentsAgreeWithWalkingDayByDay(t *testing.T) {
	statuses, causes := map[RightStatus]int{}, map[string]int{}
	for seed := range uint64(400) {
		r := parse(t, string(randomRegistry(rand.New(rand.NewPCG(seed, 2))).Canonical()))
		for _, partner := range []string{"p", "q", "nobody"} {
			for _, capability := range []string{"c", "d"} {
				for _, a := range schema.Actions {
					segments := r.Segments(partner, capability, a)
					checkSteps(t, segments)
					for d := schema.Day(15990); d < 16030; d++ {
						want := naiveRight(r, partner, capability, a, d)
						if got := r.Right(partner, capability, a, d); show(got) != show(want) {
							t.Fatalf("seed %d, %s %s:%s on %s: got %s, want %s\n%s", seed, partner, capability, a, d, show(got), show(want), r.Canonical())
						}
						i := slices.IndexFunc(segments, func(s Segment) bool { return s.From <= d && (s.To == 0 || d < s.To) })
						if i < 0 || show(segments[i].Right) != show(want) {
							t.Fatalf("seed %d, %s %s:%s on %s: segment %d of %v, want %s", seed, partner, capability, a, d, i, segments, show(want))
						}
						statuses[want.Status]++
						causes[want.Cause] += len(want.Others) + 1
					}
				}
			}
		}
	}
	for _, s := range []RightStatus{Unregistered, Never, Stale, Allowed} {
		if statuses[s] < 1000 {
			t.Errorf("status %d was tried %d times only", s, statuses[s])
		}
	}
	for _, c := range []string{CauseAgreement, CauseGrant, CauseSunset} {
		if causes[c] < 1000 {
			t.Errorf("cause %s was tried %d times only", c, causes[c])
		}
	}
}

// checkSteps holds that the segments cover every day once and that neighbours
// differ.
func checkSteps(t *testing.T, segments []Segment) {
	t.Helper()
	if len(segments) == 0 || segments[0].From != 0 || segments[len(segments)-1].To != 0 {
		t.Fatalf("the segments %v do not cover every day", segments)
	}
	for i := 1; i < len(segments); i++ {
		if segments[i-1].To != segments[i].From || segments[i-1].To <= segments[i-1].From {
			t.Fatalf("segment %d of %v does not begin where the one before ends", i, segments)
		}
		if reflect.DeepEqual(segments[i-1].Right, segments[i].Right) {
			t.Fatalf("segments %d and %d of %v are the same", i-1, i, segments)
		}
	}
}
