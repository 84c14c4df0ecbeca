package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

// access is an event as the naive count keeps it.
type access struct {
	second, subject int64
	scope           usedScope
	attempt         bool
}

// mostPeople counts, for each window that ends with a bucket of an access, the
// distinct people in it, and returns the most.
func mostPeople(all []access, of usedScope, w schema.Window) uint64 {
	step := w.Step().Seconds()
	most := 0
	for _, last := range all {
		end := (last.second/step + 1) * step
		begin := end - int64(w.Buckets())*step
		if w == schema.WindowMonth {
			begin = schema.DayOfSecond(last.second).Month().Second()
		}
		people := map[int64]bool{}
		for _, a := range all {
			in := of.capability == "" || of.capability == a.scope.capability && (of.action == 0 || of.action == a.scope.action)
			if in && !a.attempt && a.second >= begin && a.second < end {
				people[a.subject] = true
			}
		}
		most = max(most, len(people))
	}
	return uint64(most)
}

func TestTheMostPeopleSeenAreThoseOfANaiveCount(t *testing.T) {
	start := time.Date(2018, 1, 25, 22, 0, 0, 0, time.UTC).Unix()
	compared := 0
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0))
		u := fileUsage{reader: decode.JSON{}.NewReader(schema.DefaultTimeLimits()), now: time.Now().UnixMilli(), minutes: map[minuteKey]*minuteCell{}}
		var all []access
		spread := []int64{3 * 3600, 3 * schema.DaySeconds, 500 * schema.DaySeconds}[seed%3]
		for n := range 120 {
			a := access{
				second: start + random.Int64N(spread), subject: random.Int64N(40), attempt: random.IntN(10) == 0,
				scope: usedScope{[]string{"messaging", "friends"}[random.IntN(2)], schema.Actions[random.IntN(2)]},
			}
			all = append(all, a)
			status := 200
			if a.attempt {
				status = 403
			}
			u.add(fmt.Appendf(nil, `{"time":%d,"partner":"p","capability":%q,"action":%q,"subject":"s%d","status":%d}`,
				a.second*1000, a.scope.capability, a.scope.action, a.subject, status), "file", n+1)
		}
		seen, err := seenBy(t.Context(), &u)
		if err != nil || u.events != len(all) {
			t.Fatal(u.events, u.firstReject, err)
		}
		for _, s := range seen {
			for _, w := range schema.Windows {
				want := mostPeople(all, usedScope{s.Capability, s.Action}, w)
				if got := s.People[w]; got != want {
					t.Errorf("seed %d, %s:%s, %s: got %d, want %d", seed, s.Capability, s.Action, w, got, want)
				}
				compared++
			}
		}
	}
	if compared < 8*7*4 {
		t.Errorf("only %d windows were compared", compared)
	}
}
