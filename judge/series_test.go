package judge

import (
	"context"
	"fmt"
	"testing"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// crowd is a store in which each partner has many keys. It counts what is read and
// written at once.
type crowd struct {
	Store
	keys, most, written int
	read, scored        map[string]bool
}

func (c *crowd) Findings(context.Context, schema.FindingsQuery) ([]schema.VersionedFinding, error) {
	return nil, nil
}

func (c *crowd) WriteFindings(context.Context, []schema.Finding, schema.Version) error { return nil }

func (c *crowd) Peaks(context.Context, schema.SeriesQuery) ([]schema.Peak, error) { return nil, nil }

func (c *crowd) Series(_ context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	var all []schema.Series
	for _, partner := range q.Partners {
		n := 1
		if q.ByLeaf {
			n = c.keys
		}
		for k := range n {
			s := schema.Series{Leaf: schema.Leaf{Partner: partner}, Bucket: []int64{q.To - 3600}, Accesses: []uint64{5}, People: []uint64{5}, Bytes: []uint64{5}}
			if q.ByCapability || q.ByLeaf {
				s.Capability = "messaging"
			}
			if q.ByLeaf {
				s.App, s.Action = fmt.Sprint(k), schema.Read
			}
			if all = append(all, s); len(all) == q.Limit {
				return all, nil
			}
		}
	}
	if q.ByLeaf {
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

func TestPartnersWithMoreSeriesThanAreHeldAtOnceAreJudgedFewAtATime(t *testing.T) {
	const day, partners = schema.Day(17897), 60
	for _, keys := range []int{1, 200, 5000} {
		registry := &schema.Registry{Capabilities: map[string]schema.Capability{"messaging": {}}, Partners: map[string]schema.Partner{}}
		var activities []usage.Activity
		for i := range partners {
			name := fmt.Sprintf("p%d", i)
			registry.Partners[name] = schema.Partner{Name: name}
			activities = append(activities, usage.Activity{Partner: name, Days: []schema.Day{day},
				Scopes: []usage.Scope{{Capability: "made up by a producer"}, {Capability: "messaging"}}})
		}
		store := &crowd{keys: keys, read: map[string]bool{}, scored: map[string]bool{}}
		r := &round{judge: &Judge{store: store, detectors: []detectors.Detector{detectors.Surge{}}, cfg: Config{MaxApps: 100}},
			registry: registry, version: schema.Version{Watermark: (day + 1).Second()}}
		p := pass{tier: schema.Hourly, closed: true, fresh: map[schema.Day]int64{day: day.Second()}}
		if err := r.judgeActivities(t.Context(), p, activities); err != nil {
			t.Fatal(err)
		}
		if len(store.read) != partners || len(store.scored) != partners {
			t.Errorf("%d keys: %d partners were read and %d scored, want all %d", keys, len(store.read), len(store.scored), partners)
		}
		if store.most > max(seriesAtOnce, keys) {
			t.Errorf("%d keys: %d series were read at once", keys, store.most)
		}
		if most := scoresAtOnce + keys*len(usage.Metrics)*24; store.written > most {
			t.Errorf("%d keys: %d scores were written at once, more than %d", keys, store.written, most)
		}
	}
}
