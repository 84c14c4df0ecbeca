// Package naive keeps in maps what ClickHouse keeps in tables: a store for tests
// of whoever reads and writes them. It is as plain as can be, and a test holds
// ClickHouse's answers against its own.
package naive

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/dchest/siphash"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// cellKey is a row of usage.
type cellKey struct {
	schema.UsageKey
	resolution schema.Resolution
	bucket     int64
}

// cell is what was counted for one, merged.
type cell struct {
	schema.Counters
	subjects, actors, bystanders window.Sketch
}

func (c *cell) add(o *cell) {
	c.Add(&o.Counters)
	c.subjects.Merge(&o.subjects)
	c.actors.Merge(&o.actors)
	c.bystanders.Merge(&o.bystanders)
}

// Store implements what the judge asks of ClickHouse, and counting of it. It may
// be used by several at once.
type Store struct {
	mu         sync.Mutex
	cells      map[cellKey]*cell
	markers    []schema.Marker
	findings   map[string]schema.VersionedFinding
	changes    []schema.FindingChange
	told       map[string]bool // by finding and when it was last told before
	scores     map[scoreKey]schema.Score
	scored     map[scoreKey]uint64
	judged     map[judgedKey]schema.Position
	standing   map[schema.Partition]schema.Standing
	registries []string // SHA-256 by ordinal, from 1
}

type judgedKey struct {
	slot    uint8
	cadence schema.Cadence
	schema.Partition
}

type scoreKey struct {
	detector string
	schema.UsageKey
	metric string
	bucket int64
	step   schema.Resolution
}

// New returns an empty store.
func New() *Store {
	return &Store{
		cells: map[cellKey]*cell{}, findings: map[string]schema.VersionedFinding{}, told: map[string]bool{},
		scores: map[scoreKey]schema.Score{}, scored: map[scoreKey]uint64{}, judged: map[judgedKey]schema.Position{},
		standing: map[schema.Partition]schema.Standing{},
	}
}

// Counted returns the greatest To of a partition's markers.
func (s *Store) Counted(_ context.Context, p schema.Partition) (to int64, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.markers {
		if m.Partition == p {
			to, ok = max(to, m.To), true
		}
	}
	return to, ok, nil
}

// InsertAccess keeps nothing: raw rows are not read here.
func (*Store) InsertAccess(context.Context, schema.Range, *schema.AccessRows) error { return nil }

// InsertRejects keeps nothing.
func (*Store) InsertRejects(context.Context, schema.Range, *schema.RejectRows) error { return nil }

// HasRaw says that there are none.
func (*Store) HasRaw(context.Context, schema.Range) (bool, error) { return false, nil }

// HasRejects says that there are none.
func (*Store) HasRejects(context.Context, schema.Range) (bool, error) { return false, nil }

// Skips says that nobody wants anything to be passed.
func (*Store) Skips(context.Context, schema.Partition, int64) (bool, error) { return false, nil }

// InsertUsage adds the usage and the marker of a range, once.
func (s *Store) InsertUsage(_ context.Context, m schema.Marker, rows *schema.UsageRows) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.markers, func(o schema.Marker) bool { return o.Range == m.Range }) {
		return nil
	}
	m.Minutes, m.Why = slices.Clone(m.Minutes), slices.Clone(m.Why)
	s.markers = append(s.markers, m)
	for i := range rows.Bucket {
		k := cellKey{schema.UsageKey{Partner: rows.Partner[i], App: rows.App[i], Capability: rows.Capability[i], Action: rows.Action[i]}, rows.Resolution[i], rows.Bucket[i]}
		if s.cells[k] == nil {
			s.cells[k] = &cell{}
		}
		c := s.cells[k]
		c.Add(&schema.Counters{
			Accesses: rows.Accesses[i], Attempts: rows.Attempts[i], Records: rows.Records[i], Bytes: rows.Bytes[i],
			FirstAccess: rows.FirstAccess[i], LastAccess: rows.LastAccess[i], FirstAttempt: rows.FirstAttempt[i], LastAttempt: rows.LastAttempt[i],
		})
		for _, state := range []struct {
			into *window.Sketch
			from []byte
		}{{&c.subjects, rows.Subjects[i]}, {&c.actors, rows.Actors[i]}, {&c.bystanders, rows.Bystanders[i]}} {
			if err := state.into.MergeBytes(bytes.Clone(state.from)); err != nil {
				return fmt.Errorf("inserting into usage: %w", err)
			}
		}
	}
	return nil
}

// Extents returns what is counted of each partition.
func (s *Store) Extents(context.Context) ([]schema.Marker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extents(), nil
}

func (s *Store) extents() []schema.Marker {
	whole := map[schema.Partition]schema.Marker{}
	for _, m := range s.markers {
		w, ok := whole[m.Partition]
		if !ok {
			m.Minutes = nil
			whole[m.Partition] = m
			continue
		}
		w.From, w.To, w.Pinned = min(w.From, m.From), max(w.To, m.To), max(w.Pinned, m.Pinned)
		w.Records += m.Records
		w.Missing += m.Missing
		w.Events += m.Events
		w.Rejected += m.Rejected
		w.Filtered += m.Filtered
		w.Unreadable += m.Unreadable
		if w.FirstEvent == 0 || m.FirstEvent != 0 && m.FirstEvent < w.FirstEvent {
			w.FirstEvent = m.FirstEvent
		}
		w.LastEvent, w.LastRecord = max(w.LastEvent, m.LastEvent), max(w.LastRecord, m.LastRecord)
		w.Mixed = w.Mixed || m.Mixed
		w.Why = append(slices.Clone(w.Why), m.Why...)
		slices.Sort(w.Why)
		w.Why = slices.Compact(w.Why)
		whole[m.Partition] = w
	}
	return slices.SortedFunc(maps.Values(whole), byPlace)
}

func byPlace(a, b schema.Marker) int {
	return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition.Partition, b.Partition.Partition), cmp.Compare(a.From, b.From))
}

// Markers returns the markers of batches from a position on.
func (s *Store) Markers(_ context.Context, after map[schema.Partition]int64, limit int) ([]schema.Marker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []schema.Marker
	for _, e := range s.extents() {
		from, ok := after[e.Partition]
		if !ok {
			from = e.From
		}
		var some []schema.Marker
		for _, m := range s.markers {
			if e.To > from && m.Partition == e.Partition && m.From >= from {
				some = append(some, m)
			}
		}
		slices.SortFunc(some, byPlace)
		all = append(all, some[:min(len(some), limit)]...)
	}
	return all, nil
}

// Gaps returns every gap of what was read.
func (s *Store) Gaps(context.Context) ([]schema.Gap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches := slices.Clone(s.markers)
	slices.SortFunc(batches, byPlace)
	var all []schema.Gap
	for i, m := range batches {
		if m.Missing+m.Unreadable == 0 {
			continue
		}
		g := schema.Gap{Range: m.Range}
		for _, before := range batches[:i] {
			if before.Partition == m.Partition && before.LastEvent != 0 {
				g.First = before.LastEvent
			}
		}
		if m.FirstEvent != 0 {
			g.First = min(g.First, m.FirstEvent)
		}
		after := int64(math.MaxInt64)
		for _, b := range slices.Backward(batches[i+1:]) {
			if b.Partition == m.Partition && b.FirstEvent != 0 {
				after = b.FirstEvent
			}
		}
		g.Last = max(m.LastEvent, after)
		if g.First > g.Last {
			g.First, g.Last = g.Last, g.First
		}
		if g.Last == math.MaxInt64 {
			g.Last = 0
		}
		if g.Missing = m.Missing; g.Missing > 0 {
			all = append(all, g)
		}
		if g.Missing, g.Why = m.Unreadable, strings.Join(m.Why, ", "); g.Missing > 0 {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b schema.Gap) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition.Partition, b.Partition.Partition), cmp.Compare(a.Pinned, b.Pinned), cmp.Compare(a.From, b.From))
	})
	return all, nil
}

// Unregistered returns the names of strangers with the lowest hashes, and how
// many others there are.
func (s *Store) Unregistered(_ context.Context, registered []string, limit int) (names []string, others uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.cells {
		if k.resolution == schema.Daily && !slices.Contains(registered, k.Partner) && !slices.Contains(names, k.Partner) {
			names = append(names, k.Partner)
		}
	}
	slices.SortFunc(names, byHash)
	n := min(limit, len(names))
	return slices.Clip(names[:n]), uint64(len(names) - n), nil
}

// byHash orders names as ClickHouse's sipHash64 does.
func byHash(a, b string) int {
	return cmp.Or(cmp.Compare(siphash.Hash(0, 0, []byte(a)), siphash.Hash(0, 0, []byte(b))), cmp.Compare(a, b))
}
