package judge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// crowd is a store and a log in which each partner has many keys. It counts what is
// read and written at once, and how often somebody asked what is new.
type crowd struct {
	Store
	keys, most, written, asked int
	told                       int
	read, scored               map[string]bool
	slots                      []uint8
}

func (c *crowd) Slots() []uint8 { return c.slots }

func (c *crowd) Ends(context.Context) (map[schema.Partition]int64, error) { return nil, nil }

func (c *crowd) Extents(context.Context) ([]schema.Marker, error) { return nil, nil }

func (c *crowd) Gaps(context.Context) ([]schema.Gap, error) { return nil, nil }

func (c *crowd) Markers(context.Context, map[schema.Partition]int64, int) ([]schema.Marker, error) {
	c.asked++
	return nil, nil
}

func (c *crowd) Findings(context.Context, schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	return nil, nil
}

func (c *crowd) WriteFindings(context.Context, []schema.Finding, schema.Version) error { return nil }

func (c *crowd) LastReported(context.Context, []string) (map[string]schema.FindingChange, error) {
	return nil, nil
}

func (c *crowd) WriteChanges(context.Context, []schema.FindingChange) error {
	c.told++
	return nil
}

func (c *crowd) Peaks(context.Context, schema.SeriesQuery) ([]schema.Peak, error) { return nil, nil }

func (c *crowd) Series(_ context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	var all []schema.Series
	for _, partner := range q.Partners {
		n := 1
		if q.ByUsageKey {
			n = c.keys
		}
		for k := range n {
			s := schema.Series{UsageKey: schema.UsageKey{Partner: partner}, Bucket: []int64{q.To - 3600}, Accesses: []uint64{5}, People: []uint64{5}, Bytes: []uint64{5}}
			if q.ByCapability || q.ByUsageKey {
				s.Capability = "messaging"
			}
			if q.ByUsageKey {
				s.App, s.Action = fmt.Sprint(k), schema.Read
			}
			if all = append(all, s); len(all) == q.Limit {
				return all, nil
			}
		}
	}
	if q.ByUsageKey {
		c.most = max(c.most, len(all))
		for _, partner := range q.Partners {
			c.read[partner] = true
		}
	}
	return all, nil
}

func (c *crowd) WriteScores(_ context.Context, scores []schema.Score, _ schema.Version) error {
	c.written = max(c.written, len(scores))
	for i := range scores {
		c.scored[scores[i].Partner] = true
	}
	return nil
}

const (
	crowdedDay      = schema.Day(17897)
	crowdedPartners = 60
)

var crowdedPass = pass{cadence: schema.CadenceClosedHour, fresh: map[schema.Day]int64{crowdedDay: crowdedDay.Second()}}

// crowded is a round of surge, of partners with so many keys each, and their activity.
func crowded(keys int) (*round, *crowd, []usage.Activity) {
	reg := &registry.Registry{Capabilities: map[string]registry.Capability{"messaging": {}}, Partners: map[string]registry.Partner{}}
	var activities []usage.Activity
	for i := range crowdedPartners {
		name := fmt.Sprintf("p%d", i)
		reg.Partners[name] = registry.Partner{Name: name}
		activities = append(activities, usage.Activity{Partner: name, Days: []schema.Day{crowdedDay},
			Scopes: []usage.Scope{{Capability: "made up by a producer"}, {Capability: "messaging"}}})
	}
	store := &crowd{keys: keys, read: map[string]bool{}, scored: map[string]bool{}, slots: []uint8{1}}
	j := New(Config{MaxApps: 100, Interval: time.Hour}, store, store, func() (*registry.Registry, uint32) { return reg, 1 }, nil,
		NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
	j.detectors, j.lastRun = []detectors.Detector{detectors.Surge{}}, map[schema.Cadence]time.Time{schema.CadenceMinute: time.Now()}
	j.slots, j.rolled = store.slots, map[schema.Cadence]int64{}
	return &round{judge: j, registry: reg, version: schema.Version{Watermark: (crowdedDay + 1).Second()}}, store, activities
}

func TestWhatIsNewIsJudgedAmidALongPassAndOtherSlotsEndIt(t *testing.T) {
	r, store, activities := crowded(200)
	r.judge.cfg.Interval = 0
	if err := r.judgeActivities(t.Context(), crowdedPass, activities); err != nil || store.asked < 3 {
		t.Errorf("%v; amid a pass over %d partners it was asked %d times what is new", err, crowdedPartners, store.asked)
	}
	r, store, activities = crowded(200)
	r.judge.cfg.Interval, store.slots = 0, []uint8{1, 2}
	if err := r.judgeActivities(t.Context(), crowdedPass, activities); !errors.Is(err, errOtherSlots) || len(store.scored) == crowdedPartners {
		t.Errorf("with other slots it ends with %v, after %d partners", err, len(store.scored))
	}
	r, store, activities = crowded(200)
	if err := r.judgeActivities(t.Context(), crowdedPass, activities); err != nil || store.asked > 0 {
		t.Errorf("%v; before its time it was asked %d times what is new", err, store.asked)
	}
}

func TestWhatWasFoundIsLeftToWhoeverHasTheSlotsNowToTell(t *testing.T) {
	found := schema.Finding{FindingKey: schema.FindingKey{Detector: "surge", Partner: "p"}, State: schema.Open}
	for _, now := range [][]uint8{{1}, {1, 2}, nil} {
		r, store, _ := crowded(1)
		told := 0
		r.judge.tell = func(changes []schema.FindingChange) { told += len(changes) }
		store.slots = now
		err := r.write(t.Context(), []schema.Finding{found}, map[string]schema.Finding{found.ID(): found})
		if ours := len(now) == 1; ours != (err == nil) || err != nil && !errors.Is(err, errOtherSlots) || ours != (store.told == 1) || ours != (told == 1) {
			t.Errorf("with slots %v: %v, %d written and %d told", now, err, store.told, told)
		}
	}
}

func TestPartnersWithMoreSeriesThanAreHeldAtOnceAreJudgedFewAtATime(t *testing.T) {
	for _, keys := range []int{1, 200, 5000} {
		r, store, activities := crowded(keys)
		if err := r.judgeActivities(t.Context(), crowdedPass, activities); err != nil {
			t.Fatal(err)
		}
		if len(store.read) != crowdedPartners || len(store.scored) != crowdedPartners {
			t.Errorf("%d keys: %d partners were read and %d scored, want all %d", keys, len(store.read), len(store.scored), crowdedPartners)
		}
		if store.most > max(seriesAtOnce, keys) {
			t.Errorf("%d keys: %d series were read at once", keys, store.most)
		}
		if most := scoresAtOnce + keys*len(usage.Metrics)*24; store.written > most {
			t.Errorf("%d keys: %d scores were written at once, more than %d", keys, store.written, most)
		}
	}
}
