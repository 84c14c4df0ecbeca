package judge_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/schema/registry"
)

// wholeRegistry is what the partners of the log may do. The people of each are
// few, so that every sketch counts exactly.
const wholeRegistry = `
capabilities:
  messaging: {deprecated: 2019-02-10, sunset: 2019-02-24}
  friends: {}
  contacts: {sunset: 2018-06-01}
partners:
  crosses-all:   # every window, for the partner and for a capability
    owner: Ada
    purpose: playlists
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read, write], from: 2018-01-01}]
    limits: [{people: 20, per: hour}, {people: 60, per: 24 hours}, {people: 150, per: 30 days}, {people: 140, per: month},
      {people: 18, per: hour, capability: friends}]
  nearly:        # 80% of its limits and never more
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read], from: 2018-01-01}]
    limits: [{people: 40, per: hour}, {people: 42, per: 24 hours}]
  within:        # looks big and is within every limit
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read, write, delete], from: 2018-01-01}]
    limits: [{people: 500, per: hour}, {people: 500, per: month}]
  past-sunset:   # a warning from 10 February on, stale from the 24th on
    agreement: {start: 2018-01-01}
    grants: [{capability: messaging, actions: [read, write], from: 2018-01-01},
      {capability: friends, actions: [read], from: 2018-01-01}]
  past-agreement:
    agreement: {start: 2018-01-01, end: 2019-02-03}
    grants: [{capability: messaging, actions: [read], from: 2018-01-01},
      {capability: friends, actions: [read], from: 2018-01-01, until: 2019-02-12}]
  between-grants:
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read], from: 2018-01-01, until: 2019-01-27},
      {capability: friends, actions: [read], from: 2019-02-20}]
  granted-late:  # a grant that began after the sunset of its capability
    agreement: {start: 2018-01-01}
    grants: [{capability: contacts, actions: [read], from: 2018-09-01}]
  only-tries:
    agreement: {start: 2018-01-01, end: 2018-12-31}
    grants: [{capability: friends, actions: [read], from: 2018-01-01}]
  small:         # few events, all kinds of findings
    agreement: {start: 2018-01-01}
    grants: [{capability: friends, actions: [read], from: 2018-01-01, until: 2019-02-04},
      {capability: messaging, actions: [read], from: 2018-01-01}]
    limits: [{people: 3, per: hour}, {people: 5, per: 24 hours}, {people: 9, per: 30 days}, {people: 8, per: month}]
`

// event is an access event as a producer writes it.
type event struct {
	Time       int64  `json:"time"` // milliseconds since 1970
	Partner    string `json:"partner"`
	App        string `json:"app,omitempty"`
	Capability string `json:"capability"`
	Action     string `json:"action"`
	Subject    string `json:"subject"`
	Actor      string `json:"actor,omitempty"`
	Status     int32  `json:"status,omitempty"`
}

func (e *event) refused() bool { return e.Status != 0 && e.Status != 200 }

// lateness is how far events of the log come out of order.
const lateness = time.Hour

var (
	logStart = time.Date(2019, 1, 18, 0, 0, 0, 0, time.UTC)
	logEnd   = time.Date(2019, 3, 12, 7, 31, 0, 0, time.UTC)
)

// makeLog makes the log, in the order in which it is produced; the same seed
// always gives the same.
func makeLog(seed uint64) []event {
	rnd := rand.New(rand.NewPCG(seed, 0))
	var log []event
	// calls are n events of one partner that begin at a time and follow each
	// other for so long.
	calls := func(at time.Time, n int, within time.Duration, partner, capability string, people int) {
		for range n {
			e := event{
				Time: at.Add(time.Duration(rnd.Int64N(int64(within)))).UnixMilli(), Partner: partner, Capability: capability,
				App: fmt.Sprintf("app-%d", rnd.IntN(3)), Action: "read", Subject: fmt.Sprintf("%s-user-%d", partner, rnd.IntN(people)),
			}
			switch rnd.IntN(8) {
			case 0:
				e.Action = "write"
			case 1:
				e.Action = "delete"
			}
			switch rnd.IntN(3) {
			case 0:
				e.Actor = e.Subject
			case 1:
				e.Actor = fmt.Sprintf("%s-user-%d", partner, rnd.IntN(people))
			}
			switch rnd.IntN(12) {
			case 0:
				e.Status = []int32{401, 403, 429, 503}[rnd.IntN(4)]
			case 1:
				e.Status = 200
			}
			if e.Time < logEnd.UnixMilli() {
				log = append(log, e)
			}
		}
	}
	dayOfLog := 0
	for day := logStart; day.Before(logEnd); day = day.AddDate(0, 0, 1) {
		dayOfLog++
		some := func() time.Time { return day.Add(time.Duration(rnd.IntN(24*60)) * time.Minute) }
		silent := day.After(time.Date(2019, 2, 25, 0, 0, 0, 0, time.UTC))
		for range 10 {
			calls(some(), 30, 2*time.Hour, "within", "friends", 480)
		}
		calls(some(), 25, 20*time.Minute, "past-sunset", "messaging", 90)
		calls(some(), 12, time.Hour, "past-sunset", "friends", 90)
		calls(some(), 8, time.Hour, "nearly", "friends", 8)
		calls(some(), 10, time.Hour, "crosses-all", "friends", 12)
		if !silent {
			calls(some(), 20, 3*time.Hour, "past-agreement", []string{"friends", "messaging"}[rnd.IntN(2)], 70)
			calls(some(), 12, 4*time.Hour, "between-grants", "friends", 50)
			calls(some(), 5, time.Hour, "granted-late", "contacts", 30)
		}
		switch dayOfLog {
		case 5, 9, 30: // bursts within an hour, one of them into the next day
			calls(day.Add(time.Duration(rnd.IntN(23*60))*time.Minute), 60, 30*time.Minute, "crosses-all", "friends", 70)
		case 12:
			calls(day.Add(23*time.Hour+20*time.Minute), 90, 70*time.Minute, "crosses-all", "friends", 100)
		case 14, 15: // the last of January and the first of February, hours apart
			for h := range 12 {
				calls(day.Add(time.Duration(2*h)*time.Hour), 20, 50*time.Minute, "crosses-all", "friends", 230)
			}
		case 20, 41: // up to 80% of a limit, over midnight
			calls(day.Add(23*time.Hour+30*time.Minute), 90, 40*time.Minute, "nearly", "friends", 40)
		case 25: // a stranger
			calls(some(), 60, 5*time.Hour, "stranger", "friends", 40)
		}
		if dayOfLog%9 == 0 {
			calls(some(), 15, time.Hour, "ghost", "messaging", 10)
		}
		if dayOfLog%4 == 0 { // all refused
			for i, n := len(log), 0; n < 3; n++ {
				calls(some(), 1, time.Minute, "only-tries", "friends", 5)
				calls(some(), 1, time.Minute, "stranger-refused", "friends", 5)
				for j := i; j < len(log); j++ {
					log[j].Status = 403
				}
			}
		}
		if dayOfLog == 14 || dayOfLog == 18 || dayOfLog == 21 || dayOfLog == 40 {
			// The 30 days that this fills reach into the next month, and nothing
			// else does.
			calls(day.Add(22*time.Hour), 24, 3*time.Hour, "small", []string{"friends", "messaging"}[rnd.IntN(2)], 11)
		}
	}
	return outOfOrder(log, rnd)
}

// outOfOrder sorts events by time and then lets each come up to lateness late.
func outOfOrder(log []event, rnd *rand.Rand) []event {
	type arriving struct {
		event
		at int64
	}
	all := make([]arriving, len(log))
	for i, e := range log {
		all[i] = arriving{e, e.Time + rnd.Int64N(lateness.Milliseconds())}
	}
	slices.SortStableFunc(all, func(a, b arriving) int { return cmp.Compare(a.at, b.at) })
	for i := range all {
		log[i] = all[i].event
	}
	return log
}

// of returns the events of some partners.
func of(log []event, partners ...string) []event {
	var some []event
	for _, e := range log {
		if slices.Contains(partners, e.Partner) {
			some = append(some, e)
		}
	}
	return some
}

// values writes events as records.
func values(t testing.TB, log []event) [][]byte {
	t.Helper()
	all := make([][]byte, len(log))
	for i := range log {
		b, err := json.Marshal(&log[i])
		if err != nil {
			t.Fatal(err)
		}
		all[i] = b
	}
	return all
}

func parse(t testing.TB, text string) *registry.Registry {
	t.Helper()
	r, err := registry.Parse("registry.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
