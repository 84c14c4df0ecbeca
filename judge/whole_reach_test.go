package judge_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

const reachRegistry = `
capabilities: {friends: {}, messaging: {}}
partners:
  p: {agreement: {start: 2013-01-01}, grants: [{capability: friends, actions: [read], from: 2013-01-01}, {capability: messaging, actions: [read], from: 2013-01-01}]}
`

// touches is a day of a capability, or where that is empty of any.
type touches struct {
	capability string
	day        schema.Day
}

func TestNewPeopleAreThoseWhoWereNotTouchedInTheFourWeeksBefore(t *testing.T) {
	t.Parallel()
	const days, people = 120, 400
	rnd := rand.New(rand.NewPCG(3, 3))
	first := schema.DayOf(logEnd) - days
	touched := map[touches]map[string]bool{}
	var log []event
	for d := range schema.Day(days) {
		if d%11 == 5 {
			continue // nobody is touched
		}
		for range 20 + rnd.IntN(20) {
			e := event{
				Time: (first+d).Second()*1000 + rnd.Int64N(86_400_000), Partner: "p", Capability: []string{"friends", "messaging", "unlisted"}[rnd.IntN(3)],
				Action: "read", Subject: fmt.Sprintf("person-%d", rnd.IntN(people)),
			}
			if rnd.IntN(10) == 0 {
				e.Status = 403 // touches nobody
			}
			log = append(log, e)
			for _, capability := range []string{"", e.Capability} {
				key := touches{capability, first + d}
				if touched[key] == nil {
					touched[key] = map[string]bool{}
				}
				if e.Status == 0 {
					touched[key][e.Subject] = true
				}
			}
		}
	}
	log = append(log, event{Time: (first+days).Second()*1000 + 3_600_000, Partner: "p", Capability: "friends", Action: "read", Subject: "x", Status: 403})

	r := startEngine(t).start(t, 2, 500)
	r.rule(reachRegistry)
	r.produce(log, spread(2))
	r.awaitCounted(idle)
	r.drain(r.judge(r.store, 0, 1))

	var b strings.Builder
	err := r.store.Query(t.Context(), "SELECT capability, toInt32(toDate(bucket, 'UTC')) AS day, toUInt32(observed) AS people FROM scores FINAL WHERE metric = 'new_people' ORDER BY ALL", &b, store.TSV)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(b.String()), "\n")[1:]
	for _, row := range rows {
		row = strings.ReplaceAll(row, "\t", " ")
		if !strings.HasPrefix(row, "friends") && !strings.HasPrefix(row, "messaging") {
			row = "all" + row
		}
		var capability string
		var day schema.Day
		var got int
		if _, err := fmt.Sscan(row, &capability, &day, &got); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		if capability == "all" {
			capability = ""
		}
		want := 0
		for person := range touched[touches{capability, day}] {
			known := false
			for before := day - usage.ReachDays; before < day; before++ {
				known = known || touched[touches{capability, before}][person]
			}
			if !known {
				want++
			}
		}
		if got != want {
			t.Errorf("%q on %s: %d new people, counted one by one %d", capability, day, got, want)
		}
	}
	if least := 3 * (days - days/11 - 5); len(rows) < least {
		t.Errorf("%d days were scored, want %d and more", len(rows), least)
	}
}
