package store

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// scienceDay is a row of partner_days.
type scienceDay struct {
	people, low, high, accesses, attempts uint64
	closed                                bool
	samples                               uint8
	usual, spread, distance               *float64
}

func TestPartnerDaysFillZerosAndMeasureDistancesAsANaiveCountDoes(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := rand.New(rand.NewPCG(8, 15))
	const first, latest = schema.Day(17800), schema.Day(17860)
	touched := map[string]map[schema.Day]map[uint64]bool{}
	accesses, attempts := map[string]map[schema.Day]uint64{}, map[string]map[schema.Day]uint64{}
	var half [2]schema.UsageRows
	for _, partner := range []string{"steady", "gaps", "late", "it's"} {
		touched[partner] = map[schema.Day]map[uint64]bool{}
		accesses[partner], attempts[partner] = map[schema.Day]uint64{}, map[schema.Day]uint64{}
		for day := first; day <= latest; day++ {
			if partner == "late" && day < latest-10 || partner == "gaps" && random.IntN(3) > 0 {
				continue
			}
			people := map[uint64]bool{}
			for i, capability := range []string{"messaging", "friends"} { // whose people overlap
				var some []uint64
				for range random.IntN(40) {
					some = append(some, 1+random.Uint64N(60))
				}
				for _, p := range some {
					people[p] = true
				}
				c := schema.Counters{Accesses: uint64(len(some)), Attempts: random.Uint64N(3)}
				accesses[partner][day] += c.Accesses
				attempts[partner][day] += c.Attempts
				add(&half[i], schema.Daily, day.Second(), schema.UsageKey{Partner: partner, Capability: capability, Action: schema.Read}, c, state(some...))
			}
			touched[partner][day] = people
		}
	}
	for i := range half { // a day lies in two parts
		if err := s.InsertUsage(t.Context(), schema.Marker{Range: batch(int64(i), int64(i)+1)}, &half[i]); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.conn.Query(t.Context(), "SELECT partner, day, people, people_low, people_high, accesses, attempts, closed, samples, usual, spread, distance FROM partner_days ORDER BY partner, day")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[schema.Day]scienceDay{}
	err = scan(rows, func() error {
		var partner string
		var at time.Time
		var d scienceDay
		err := rows.Scan(&partner, &at, &d.people, &d.low, &d.high, &d.accesses, &d.attempts, &d.closed, &d.samples, &d.usual, &d.spread, &d.distance)
		if got[partner] == nil {
			got[partner] = map[schema.Day]scienceDay{}
		}
		got[partner][schema.DayOf(at)] = d
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	zeros, unusual := 0, 0
	for partner, days := range touched {
		began := latest
		for day := range days {
			began = min(began, day)
		}
		if n := int(latest-began) + 1; len(got[partner]) != n {
			t.Errorf("%s has %d days, expected %d", partner, len(got[partner]), n)
		}
		var before []float64
		for day := began; day <= latest; day++ {
			d := got[partner][day]
			if people := uint64(len(days[day])); d.people != people || d.low != people || d.high != people ||
				d.accesses != accesses[partner][day] || d.attempts != attempts[partner][day] || d.closed != (day < latest) {
				t.Errorf("%s %s: %+v, expected %d people, %d accesses, %d attempts", partner, day, d, people, accesses[partner][day], attempts[partner][day])
			}
			last := before[max(0, len(before)-28):]
			if int(d.samples) != len(last) {
				t.Errorf("%s %s: %d samples, expected %d", partner, day, d.samples, len(last))
			}
			before = append(before, float64(len(days[day])))
			if len(days[day]) == 0 {
				zeros++
			}
			if len(last) < 7 {
				if d.usual != nil || d.spread != nil || d.distance != nil {
					t.Errorf("%s %s: %d days before are too few to say what is usual", partner, day, len(last))
				}
				continue
			}
			usual, spread := window.Median(last), window.MAD(last)
			distance := (float64(len(days[day])) - usual) / max(1.4826*spread, math.Sqrt(usual), 1)
			if d.usual == nil || d.spread == nil || d.distance == nil || *d.usual != usual || *d.spread != spread || math.Abs(*d.distance-distance) > 1e-9 {
				t.Errorf("%s %s: %+v, expected usual %g, spread %g, distance %g", partner, day, d, usual, spread, distance)
			}
			if math.Abs(distance) > 1 {
				unusual++
			}
		}
	}
	if zeros < 10 || unusual < 10 {
		t.Errorf("only %d days without use and %d far from the usual were compared", zeros, unusual)
	}
}

func TestFindingDelaysCountFromTheFirstTelling(t *testing.T) {
	t.Parallel()
	s := open(t)
	execute(t, s, `INSERT INTO findings_log (id, partner, state, first_seen, first_crossing, offsets) VALUES
		('reported', 'p', 'open', '2018-12-17 09:58:30.500', '2018-12-17 10:00:00', 1),
		('reported', 'p', 'open', '2018-12-17 09:58:30.500', '2018-12-17 10:01:00', 2),
		('unreported', 'q', 'open', '2018-12-17 10:00:00', '2018-12-17 10:00:00', 1)`)
	execute(t, s, `INSERT INTO finding_changes (id, reported) VALUES ('reported', '2018-12-17 11:00:00'), ('reported', '2018-12-17 10:01:02.250'), ('other', '2018-12-17 01:00:00')`)
	for query, want := range map[string]float64{
		"SELECT count() FROM finding_delays":                                                           2,
		"SELECT lead_s FROM finding_delays WHERE id = 'reported'":                                      150, // counted in whole seconds
		"SELECT delay_s FROM finding_delays WHERE id = 'reported'":                                     2.25,
		"SELECT count() FROM finding_delays WHERE reported IS NULL AND delay_s IS NULL":                1,
		"SELECT count() FROM finding_delays WHERE id = 'reported' AND severity = '' AND partner = 'p'": 1,
	} {
		if got := value[float64](t, s, "SELECT toFloat64(assumeNotNull(("+query+")))"); got != want {
			t.Errorf("%s is %g, expected %g", query, got, want)
		}
	}
}
