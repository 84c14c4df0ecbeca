package judge_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
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
	onBoth(t, newPeopleAreThoseWhoWereNotTouchedInTheFourWeeksBefore)
}

func newPeopleAreThoseWhoWereNotTouchedInTheFourWeeksBefore(t *testing.T, e *engine) {
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

	r := e.start(t, 2, 500)
	r.rule(reachRegistry)
	r.produce(log, spread(2))
	r.awaitCounted(idle)
	r.drain(r.judge(r.store, 0, 1))

	rows := 0
	for line := range strings.Lines(r.newPeople()) {
		const capability, bucket, observed = 0, 1, 2
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		rows++
		second, err1 := strconv.ParseInt(fields[bucket], 10, 64)
		got, err2 := strconv.ParseFloat(fields[observed], 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		day := schema.DayOfSecond(second)
		want := 0
		for person := range touched[touches{fields[capability], day}] {
			known := false
			for before := day - usage.ReachDays; before < day; before++ {
				known = known || touched[touches{fields[capability], before}][person]
			}
			if !known {
				want++
			}
		}
		if int(got) != want {
			t.Errorf("%q on %s: %v new people, counted one by one %d", fields[capability], day, got, want)
		}
	}
	if least := 3 * (days - days/11 - 5); rows < least {
		t.Errorf("%d days were scored, want %d and more", rows, least)
	}
}
