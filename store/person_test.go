package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

// randomAccess makes raw rows of few people, some with an actor, some refused.
func randomAccess(rnd *rand.Rand, n int) *schema.AccessRows {
	r := &schema.AccessRows{}
	for i := range n {
		r.Offset = append(r.Offset, int64(i))
		r.Item = append(r.Item, 0)
		r.Time = append(r.Time, schema.Day(17_000).Second()*1000+rnd.Int64N(3*schema.DaySeconds*1000))
		r.Partner = append(r.Partner, strangers[rnd.IntN(3)])
		r.App = append(r.App, "")
		r.Capability = append(r.Capability, strangers[rnd.IntN(2)])
		r.Action = append(r.Action, schema.Actions[rnd.IntN(3)])
		r.Subject = append(r.Subject, 1+rnd.Uint64N(9)<<60)
		r.Actor = append(r.Actor, []uint64{0, r.Subject[i], 1 + rnd.Uint64N(9)<<60}[rnd.IntN(3)])
		r.ID, r.APIVersion, r.Grant = append(r.ID, ""), append(r.APIVersion, ""), append(r.Grant, "")
		r.Status = append(r.Status, []int32{0, 200, 401, 403, 404, 429, 499, 500, 599, 600}[rnd.IntN(10)])
		r.Records, r.Bytes = append(r.Records, 2), append(r.Bytes, 3)
	}
	return r
}

// everywhere looks for hashes in all topics.
func everywhere(hashes ...uint64) []Sought {
	var all []Sought
	for _, h := range hashes {
		all = append(all, Sought{Hash: h})
	}
	return all
}

// touchesOf works out naively what the rows say of people.
func touchesOf(r *schema.AccessRows, people []uint64) []Touch {
	sums := map[Touch]*schema.Counters{}
	addTo := func(i int, person uint64, role Role) {
		if !slices.Contains(people, person) {
			return
		}
		k := Touch{Person: person, Role: role, Partner: r.Partner[i], Capability: r.Capability[i], Action: r.Action[i], Day: schema.DayOfSecond(r.Time[i] / 1000), Topic: "k/t"}
		c := schema.Counters{Accesses: 1, Records: 2, Bytes: 3, FirstAccess: r.Time[i], LastAccess: r.Time[i]}
		if e := (schema.Event{Status: r.Status[i]}); e.Attempt() {
			c = schema.Counters{Attempts: 1, FirstAttempt: r.Time[i], LastAttempt: r.Time[i]}
		}
		if sums[k] == nil {
			sums[k] = &schema.Counters{}
		}
		sums[k].Add(&c)
	}
	for i := range r.Offset {
		switch actor := r.Actor[i]; actor {
		case 0, r.Subject[i]:
			addTo(i, r.Subject[i], AsSubject)
		default:
			addTo(i, r.Subject[i], AsBystander)
			addTo(i, actor, AsActor)
		}
	}
	var all []Touch
	for k, c := range sums {
		k.Counters = *c
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Touch) int {
		return cmp.Or(cmp.Compare(a.Person, b.Person), cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Capability, b.Capability),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Day, b.Day))
	})
	return all
}

func TestAPersonsAccessesAreFoundAndDeletedAndNobodyElses(t *testing.T) {
	s := open(t)
	rows := randomAccess(rand.New(rand.NewPCG(3, 4)), 2000)
	if err := s.InsertAccess(t.Context(), batch(0, 2000), rows); err != nil {
		t.Fatal(err)
	}
	people := []uint64{1, 1 + 5<<60, 17, 0}
	others := []uint64{1 + 1<<60, 1 + 2<<60, 1 + 3<<60, 1 + 4<<60, 1 + 6<<60, 1 + 7<<60, 1 + 8<<60}
	got, err := s.Touches(t.Context(), everywhere(people...))
	if err != nil {
		t.Fatal(err)
	}
	want := touchesOf(rows, people)
	if diff := gocmp.Diff(want, got); diff != "" || len(want) < 50 {
		t.Fatalf("%d touches (-want +got):\n%s", len(want), diff)
	}

	left := &schema.AccessRows{}
	for i := range rows.Offset {
		if slices.Contains(people[:2], rows.Subject[i]) || slices.Contains(people[:2], rows.Actor[i]) {
			continue
		}
		left.Offset, left.Time, left.Partner, left.Capability = append(left.Offset, rows.Offset[i]), append(left.Time, rows.Time[i]), append(left.Partner, rows.Partner[i]), append(left.Capability, rows.Capability[i])
		left.Action, left.Subject, left.Actor, left.Status = append(left.Action, rows.Action[i]), append(left.Subject, rows.Subject[i]), append(left.Actor, rows.Actor[i]), append(left.Status, rows.Status[i])
	}
	deleted := len(rows.Offset) - len(left.Offset)
	if n, err := s.CountRaw(t.Context(), everywhere(people...)); err != nil || n != uint64(deleted) {
		t.Errorf("%d rows are to be deleted (%v), want %d", n, err, deleted)
	}
	if err := s.ForgetRaw(t.Context(), everywhere(people...)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.CountRaw(t.Context(), everywhere(people...)); err != nil || n != 0 {
		t.Errorf("%d rows are left (%v)", n, err)
	}
	if n := value[uint64](t, s, "SELECT count() FROM access_events"); n != uint64(len(left.Offset)) {
		t.Errorf("%d rows are left, want the %d of others", n, len(left.Offset))
	}
	got, err = s.Touches(t.Context(), everywhere(others...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(touchesOf(left, others), got); diff != "" {
		t.Errorf("of the others (-want +got):\n%s", diff)
	}
	// Nobody is hash 0, which stands for no actor.
	if err := s.ForgetRaw(t.Context(), everywhere(0)); err != nil {
		t.Fatal(err)
	}
	if n := value[uint64](t, s, "SELECT count() FROM access_events"); n != uint64(len(left.Offset)) {
		t.Errorf("forgetting nobody left %d rows, want %d", n, len(left.Offset))
	}
}

func TestWhatRemainsOfAPersonIsCounted(t *testing.T) {
	s := open(t)
	const person, other = 1<<63 + 7, 2
	usageKey := func(app string) schema.UsageKey {
		return schema.UsageKey{Partner: "p", App: app, Capability: "c", Action: schema.Read}
	}
	rows := &schema.UsageRows{}
	var many []uint64
	for i := range uint64(500) {
		many = append(many, i+100)
	}
	add(rows, schema.Minute, 60, usageKey("a"), schema.Counters{}, state(person))
	add(rows, schema.Minute, 60, usageKey("b"), schema.Counters{}, state(other))
	add(rows, schema.Hourly, 3600, usageKey("a"), schema.Counters{}, state(append(many, person)...))
	add(rows, schema.Hourly, 3600, usageKey("b"), schema.Counters{}, state(append(many, other)...))
	add(rows, schema.Daily, 86400, usageKey("a"), schema.Counters{}, state(other), state(person))
	add(rows, schema.Daily, 86400, usageKey("b"), schema.Counters{}, state(other), state(other), state(person))
	add(rows, schema.Daily, 86400, usageKey("c"), schema.Counters{}, state(other), state(other), state(other))
	insertMarkers(t, s, rows, read(0, 0, 10, 1, 1))
	// Registers list no hashes, whoever is among their people.
	execute(t, s, `INSERT INTO usage (kind, resolution, bucket, partner, capability, action, pinned, subjects)
		SELECT 'usage', 'day', 86400, 'q', 'c', 'read', today(), uniqCombined64State(14)(if(number = 0, toUInt64(9223372036854775815), number)) FROM numbers(20000)`)
	rejects := &schema.RejectRows{Offset: []int64{0, 1}, Item: []uint32{0, 0}, Time: []int64{1, 1}, Reason: []string{"not_json", "not_json"},
		Detail: []string{"", ""}, Outline: []string{"", ""}, Raw: []string{"{", ""}, Size: []int64{1, 1}}
	if err := s.InsertRejects(t.Context(), batch(0, 2), rejects); err != nil {
		t.Fatal(err)
	}
	today := schema.DayOf(time.Now())
	beforeAndAfterAMerge(t, s, func(when string) {
		got, err := s.Remains(t.Context(), everywhere(person, 12345))
		if err != nil {
			t.Fatal(err)
		}
		want := []Remainder{
			{RemainsMinute, 1, Kept{15, pinned, pinned}},
			{RemainsHour, 1, Kept{400, pinned, pinned}},
			{RemainsDay, 2, Kept{0, pinned, pinned}},
			{RemainsRejects, 1, Kept{30, pinned, pinned}},
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s a merge, pinned %s, today %s (-want +got):\n%s", when, pinned, today, diff)
		}
	})
}

func TestRawEventsAreKeptAsLongAsTheirTableSays(t *testing.T) {
	s := open(t)
	if kept, err := s.RawKept(t.Context()); err != nil || kept != (Kept{Days: 90}) {
		t.Errorf("without rows: %+v, %v", kept, err)
	}
	if err := s.SetRetention(t.Context(), Retention{Raw: 7, Minutes: 1, Hours: 2, Rejects: 3}); err != nil {
		t.Fatal(err)
	}
	for i := range int64(2) {
		r := batch(i, i+1)
		r.Pinned -= schema.Day(i)
		one := randomAccess(rand.New(rand.NewPCG(1, 1)), 1)
		one.Offset[0] = i
		if err := s.InsertAccess(t.Context(), r, one); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := s.RawKept(t.Context()); err != nil || kept != (Kept{7, pinned - 1, pinned}) {
		t.Errorf("with rows: %s", fmt.Sprint(kept, err))
	}
}
