package judge

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// peopleOf is the state of a sketch of people from one number to another.
func peopleOf(from, to int) []byte {
	var s window.Sketch
	for i := from; i < to; i++ {
		s.Add(uint64(i)*7919 + 1)
	}
	return s.MarshalAppend(nil)
}

// onDay is what somebody did on a day: so many accesses of the people from one number to
// another.
func onDay(partner, capability string, day schema.Day, accesses uint64, from, to int) schema.UsageCell {
	return schema.UsageCell{
		UsageKey: schema.UsageKey{Partner: partner, Capability: capability}, Bucket: day.Second(),
		Counters: schema.Counters{Accesses: accesses}, Subjects: peopleOf(from, to),
	}
}

// reachDay is the day that the questions of these tests are about.
const reachDay = schema.Day(17917) // the last of its block of 31

// aboutReach asks whom a partner touched on a day that it had not touched before.
func aboutReach(partner, capability string, day, history schema.Day) asked {
	return asked{Question: usage.Question{
		FindingKey: schema.FindingKey{Partner: partner, Capability: capability, Window: schema.WindowClockDay, Period: day},
		Spans:      []usage.Span{{From: day, To: day + 1}}, History: history,
	}}
}

// reaching is a judge whose watermark has passed so many days after reachDay's beginning.
func reaching(closed schema.Day, cells func(schema.UsageQuery) []schema.UsageCell) *book {
	k := onLedger(Config{Interval: time.Hour}, &ledger{usage: cells}, "bank", "shop")
	k.j.lastRun = map[schema.Cadence]time.Time{schema.CadenceMinute: time.Now()}
	k.r.version.Watermark = (reachDay + closed).Second()
	return k
}

func TestWhomAPartnerTouchedIsKnownDayByDay(t *testing.T) {
	k := reaching(1, func(q schema.UsageQuery) []schema.UsageCell {
		if q.ByCapability {
			return []schema.UsageCell{
				onDay("bank", "messaging", reachDay-2, 50, 0, 10), onDay("bank", "messaging", reachDay, 4, 5, 15),
			}
		}
		return []schema.UsageCell{onDay("bank", "", reachDay-2, 50, 0, 10), onDay("bank", "", reachDay-1, 20, 0, 5), onDay("bank", "", reachDay, 60, 5, 20)}
	})
	questions := []asked{aboutReach("bank", "", reachDay, 2), aboutReach("bank", "messaging", reachDay, 1), aboutReach("shop", "", reachDay, 2)}
	answers := make([]usage.Answer, 3)
	if err := k.r.answerReach(t.Context(), questions, []int{0, 1, 2}, answers); err != nil {
		t.Fatal(err)
	}
	says := func(i int) []string {
		var all []string
		for _, r := range answers[i].Reach {
			all = append(all, fmt.Sprint(r.Capability, " ", int(r.Begin-reachDay), " ", r.Accesses, r.People, r.Before, r.New))
		}
		return all
	}
	for i, want := range [][]string{
		{" -2 [50 20 60] [10 5 15] [0 10 10] [10 0 10]", "messaging -2 [50 0 4] [10 0 4] [0 0 10] [10 0 4]"},
		{"messaging -1 [0 4] [0 4] [0 10] [0 4]"},
		nil,
	} {
		if got := says(i); !slices.Equal(got, want) {
			t.Errorf("question %d: got %q, want %q", i, got, want)
		}
	}
	for i, q := range k.usages {
		if q.From != (reachDay-2).Second() || q.To != (reachDay+1).Second() || q.Resolution != schema.Daily || !q.ByBucket || !q.Subjects ||
			!slices.Equal(q.Slots, []uint8{schema.Slot(q.Partners[0]), schema.Slot(q.Partners[1])}) || q.ByCapability != (i == 1) || (i == 1) != slices.Equal(q.Capabilities, []string{"messaging"}) {
			t.Errorf("asked was %+v", q)
		}
	}
	if len(k.usages) != 2 {
		t.Errorf("asked was %d times, want once for the whole and once for the parts", len(k.usages))
	}
}

func TestOnlyDaysThatAreClosedAreAnswered(t *testing.T) {
	all := func(q schema.UsageQuery) []schema.UsageCell {
		if q.ByCapability {
			return nil
		}
		return []schema.UsageCell{onDay("bank", "", reachDay-1, 20, 0, 5)}
	}
	k := reaching(0, all)
	answers := make([]usage.Answer, 2)
	questions := []asked{aboutReach("bank", "", reachDay, 2), aboutReach("bank", "", reachDay, 0)}
	if err := k.r.answerReach(t.Context(), questions, []int{0, 1}, answers); err != nil {
		t.Fatal(err)
	}
	if r := answers[0].Reach; len(r) != 1 || len(r[0].People) != 2 || k.usages[0].To != reachDay.Second() {
		t.Errorf("it is answered by %+v, read up to day %d", r, k.usages[0].To/86400)
	}
	if r := answers[1].Reach; len(r) != 0 {
		t.Errorf("of its own day alone it is answered by %+v", r)
	}
	k = reaching(0, all)
	if err := k.r.answerReach(t.Context(), questions, []int{1}, answers); err != nil || len(k.usages) != 0 {
		t.Errorf("nothing is closed, and read was %d times (%v)", len(k.usages), err)
	}
}

func TestQuestionsOfManyPartnersAndMonthsAreReadSomeAtATime(t *testing.T) {
	k := reaching(40, func(schema.UsageQuery) []schema.UsageCell { return nil })
	var questions []asked
	var of []int
	for i := range reachPartners + 1 {
		for _, day := range []schema.Day{reachDay, reachDay + 1} { // of two blocks
			of = append(of, len(questions))
			questions = append(questions, aboutReach(fmt.Sprint("p", i), "", day, 28))
		}
	}
	if err := k.r.answerReach(t.Context(), questions, of, make([]usage.Answer, len(of))); err != nil {
		t.Fatal(err)
	}
	var most []int
	var partners []string
	for _, q := range k.usages {
		most = append(most, len(q.Partners))
		if !q.ByCapability && q.From == (reachDay-28).Second() {
			partners = append(partners, q.Partners...)
			if q.To != (reachDay + 1).Second() {
				t.Errorf("the block ends with day %d", q.To/86400)
			}
		}
	}
	slices.Sort(most)
	if !slices.Equal(most, []int{1, 1, 1, 1, 10, 10, 10, 10}) {
		t.Errorf("read was of %v partners at once", most)
	}
	slots := make([]int, len(partners))
	for i, name := range partners {
		slots[i] = int(schema.Slot(name))
	}
	if len(partners) != reachPartners+1 || !slices.IsSorted(slots) {
		t.Errorf("the partners are not in the order of their slots: %v", slots)
	}
}

func TestReadingWhomAPartnerTouchedSaysWhatFails(t *testing.T) {
	questions := []asked{aboutReach("bank", "", reachDay, 2)}
	for n, whole := range []bool{true, false} {
		k := reaching(1, nil)
		k.usage = func(q schema.UsageQuery) []schema.UsageCell {
			if q.ByCapability == whole {
				return nil
			}
			c := onDay("bank", "messaging", reachDay, 20, 0, 5)
			c.Subjects = []byte{9, 9, 9}
			return []schema.UsageCell{c}
		}
		err := k.r.answerReach(t.Context(), questions, []int{0}, make([]usage.Answer, 1))
		if err == nil || len(err.Error()) < 20 || err.Error()[:16] != "people of bank: " || len(k.usages) != n+1 {
			t.Errorf("a sketch that cannot be read: %v, after %d reads", err, len(k.usages))
		}
	}
	k := reaching(1, nil)
	k.fails = "Usage"
	err := k.r.answerReach(t.Context(), questions, []int{0}, make([]usage.Answer, 1))
	if !errors.Is(err, errLedger) || err.Error() != "reading whom partners touched day by day: no answer" {
		t.Errorf("the store fails: %v", err)
	}
	k = reaching(1, nil)
	k.j.cfg.Interval, k.j.lastRun = 0, map[schema.Cadence]time.Time{}
	k.slots = []uint8{1}
	if err := k.r.answerReach(t.Context(), questions, []int{0}, make([]usage.Answer, 1)); !errors.Is(err, errOtherSlots) {
		t.Errorf("with other slots: %v", err)
	}
}

func TestPeersAreWhatOthersDidAtMostInTheFourteenDaysBefore(t *testing.T) {
	const day = schema.Day(17900)
	k := onLedger(Config{}, &ledger{peaks: []schema.Peak{
		{Partner: "bank", Day: day - 1, Accesses: 999, Bytes: 999},
		{Partner: "shop", Day: day - 14, Accesses: 9, Bytes: 20},
		{Partner: "shop", Day: day - 1, Accesses: 5, Bytes: 90},
		{Partner: "shop", Day: day, Accesses: 80, Bytes: 800}, // of the day itself
		{Partner: "quiz", Day: day - 3, Accesses: 4, Bytes: 40},
		{Partner: "shop", Capability: "messaging", Day: day - 3, Accesses: 3, Bytes: 30},
	}}, "bank", "shop", "quiz")
	question := func(partner, capability string, period schema.Day) asked {
		return asked{Question: usage.Question{FindingKey: schema.FindingKey{Partner: partner, Capability: capability, Period: period}}}
	}
	questions := []asked{question("bank", "", day), question("bank", "messaging", day), question("bank", "", day+1), question("quiz", "friends", day), question("old", "", day)}
	answers := make([]usage.Answer, len(questions))
	grown := usage.Series{Step: schema.Daily}
	for m := range grown.Values {
		grown.Values[m] = make([]float64, 30)
	}
	answers[4].Series = []usage.Series{grown}
	answers[4].Series[0].Values[usage.Accesses][14] = 1 // it began long before
	for i := range 4 {
		answers[i].Series = []usage.Series{{Step: schema.Daily}}
	}
	if err := k.r.addPeers(t.Context(), schema.Hourly, questions, []int{0, 1, 2, 3, 4}, answers); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[9 4] [9 4] [90 40]", "[3] [3] [30]", "[80 4] [80 4] [800 40]", "[] [] []", "[] [] []"} {
		p := answers[i].Peers
		if got := fmt.Sprint(p[usage.Accesses], p[usage.People], p[usage.Bytes]); got != want {
			t.Errorf("question %d: got %s, want %s", i, got, want)
		}
	}
	q := k.allPeaks[0]
	if len(k.allPeaks) != 1 || q.From != (day-14).Second() || q.To != (day+1).Second() || q.Resolution != schema.Hourly ||
		!slices.Equal(q.Partners, []string{"bank", "quiz", "shop"}) || !slices.Equal(q.Capabilities, []string{"messaging"}) {
		t.Errorf("read was %+v", k.allPeaks)
	}
}

func TestPeersAreReadAnewOnlyForOtherDays(t *testing.T) {
	const day = schema.Day(17900)
	k := onLedger(Config{}, &ledger{}, "bank")
	ask := func(day schema.Day) {
		t.Helper()
		q := []asked{{Question: usage.Question{FindingKey: schema.FindingKey{Partner: "bank", Period: day}}}}
		if err := k.r.addPeers(t.Context(), schema.Daily, q, []int{0}, []usage.Answer{{Series: []usage.Series{{Step: schema.Daily}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{1, 1, 2, 3} {
		ask([]schema.Day{day, day, day + 1, day}[i])
		if got := k.times("Peaks"); got != want {
			t.Errorf("after question %d read was %d times, want %d", i, got, want)
		}
	}
	k.fails = "Peaks"
	q := []asked{{Question: usage.Question{FindingKey: schema.FindingKey{Partner: "bank", Period: day + 9}}}}
	err := k.r.addPeers(t.Context(), schema.Daily, q, []int{0}, []usage.Answer{{Series: []usage.Series{{Step: schema.Daily}}}})
	if !errors.Is(err, errLedger) || err.Error() != "reading peers: no answer" {
		t.Errorf("the store fails: %v", err)
	}
}

func TestAKeyIsYoungWhereItBeganWithinFourteenDays(t *testing.T) {
	began := func(step schema.Resolution, buckets, at int) usage.Series {
		s := usage.Series{Step: step}
		for m := range s.Values {
			s.Values[m] = make([]float64, buckets)
		}
		if at < buckets {
			s.Values[usage.Accesses][at] = 1
		}
		return s
	}
	for what, c := range map[string]struct {
		all  []usage.Series
		want bool
	}{
		"of no series":                   {nil, false},
		"fifteen days before the last":   {[]usage.Series{began(schema.Daily, 30, 14)}, false},
		"fourteen days before it":        {[]usage.Series{began(schema.Daily, 30, 15)}, true},
		"never":                          {[]usage.Series{began(schema.Daily, 30, 30)}, true},
		"too short":                      {[]usage.Series{began(schema.Daily, 10, 0)}, true},
		"by hours, fifteen days before":  {[]usage.Series{began(schema.Hourly, 30*24, 15*24-1)}, false},
		"by hours, fourteen days before": {[]usage.Series{began(schema.Hourly, 30*24, 15*24)}, true},
		"one of two":                     {[]usage.Series{began(schema.Daily, 30, 0), began(schema.Daily, 30, 20)}, true},
		"neither of two":                 {[]usage.Series{began(schema.Daily, 30, 0), began(schema.Daily, 30, 1)}, false},
	} {
		if got := young(c.all); got != c.want {
			t.Errorf("%s: young is %t, want %t", what, got, c.want)
		}
	}
}
