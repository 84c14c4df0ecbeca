package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Incarnation is one incarnation of a topic, who reads it, and under which key its people
// are hashed.
type Incarnation struct {
	Name           string // cluster/topic@number
	Cluster, Topic string
	TopicID        string // that Kafka gave it; empty: none
	Number         uint32 // which incarnation, from 1
	Partitions     uint32 // how many it had when it was first read; 0: each is read from its beginning
	Group          string
	KeyFingerprint string
	Backfill       bool      // left out of the watermark
	FirstSeen      time.Time // UTC
}

// withoutNumber returns the name of an incarnation without its number.
func withoutNumber(name string) string {
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		return name[:at]
	}
	return name
}

// Next returns the incarnation after this one, of the same topic or of one that was
// made again. Its partitions are read from their beginning.
func (st Incarnation) Next(topicID string) Incarnation {
	st.Number++
	st.Name = withoutNumber(st.Name) + "@" + strconv.FormatUint(uint64(st.Number), 10)
	st.TopicID, st.Partitions, st.FirstSeen = topicID, 0, time.Now().UTC().Truncate(time.Millisecond)
	return st
}

var incarnationColumns = []string{"incarnation", "cluster", "topic", "topic_id", "number", "partitions", "group", "hash_key_fingerprint", "backfill", "first_seen"}

// Incarnations returns all incarnations that were ever read, by topic and then number.
func (s *Store) Incarnations(ctx context.Context) ([]Incarnation, error) {
	if err := s.sync(ctx, "incarnations"); err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, "SELECT "+columnList(incarnationColumns)+" FROM incarnations FINAL ORDER BY cluster, topic, incarnation, number")
	if err != nil {
		return nil, fmt.Errorf("reading incarnations: %w", s.explain(err))
	}
	var all []Incarnation
	err = scan(rows, func() error {
		var st Incarnation
		err := rows.Scan(&st.Name, &st.Cluster, &st.Topic, &st.TopicID, &st.Number, &st.Partitions, &st.Group, &st.KeyFingerprint, &st.Backfill, &st.FirstSeen)
		all = append(all, st)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading incarnations: %w", s.explain(err))
	}
	return all, nil
}

// InForce returns the incarnation of a topic that is in force, that of the greatest
// number; name is that of any of them.
func InForce(incarnations []Incarnation, name string) (Incarnation, bool) {
	var inForce Incarnation
	found := false
	for _, st := range incarnations {
		if withoutNumber(st.Name) == withoutNumber(name) && (!found || st.Number > inForce.Number) {
			inForce, found = st, true
		}
	}
	return inForce, found
}

// OpenIncarnation returns the incarnation of a topic that is in force, and records what is
// given as its first where there is none. It refuses another key than the one
// that the database's people are hashed under, for the same person would count
// twice, and another group than the one that reads the incarnation, for both would
// count everything. Processes that start at once agree: what one of them has
// recorded is read back before anything is counted.
func (s *Store) OpenIncarnation(ctx context.Context, st Incarnation) (Incarnation, error) {
	const tries = 20 // each lost one means that another process has recorded an incarnation
	for range tries {
		known, err := s.Incarnations(ctx)
		if err != nil {
			return Incarnation{}, err
		}
		for _, k := range known {
			if k.KeyFingerprint != st.KeyFingerprint {
				return Incarnation{}, refused("incarnation %s: its people would be hashed under key %s, those of %s in this database are hashed under key %s: use that key, or another database",
					st.Name, st.KeyFingerprint, k.Name, k.KeyFingerprint)
			}
		}
		inForce, found := InForce(known, st.Name)
		token := "incarnations " + st.Name // the token lets one insert through
		switch {
		case !found && len(known) == 0:
			token = "incarnations" // of the first: it says under which key
			fallthrough
		case !found:
			inForce = st
		case inForce.Group != st.Group:
			return Incarnation{}, refused("incarnation %s is read by group %s, and group %s would count all of it again: set kafka.group to %s, or stop its instances and run `overreach topic take %s`",
				inForce.Name, inForce.Group, st.Group, inForce.Group, inForce.Topic)
		default:
			changed := inForce
			changed.Backfill = st.Backfill
			if inForce.TopicID == "" { // Kafka or overreach was too old to know it
				changed.TopicID = st.TopicID
			}
			if changed == inForce {
				return inForce, nil
			}
			inForce, token = changed, ""
		}
		if err := s.saveIncarnation(ctx, inForce, token); err != nil {
			return Incarnation{}, err
		}
	}
	return Incarnation{}, fmt.Errorf("recording incarnation %s: %d times another process recorded something else first: give all processes the same configuration", st.Name, tries)
}

// SaveIncarnation records that an incarnation has changed, or that a new one has begun: of several
// processes that make the same one at once, one does.
func (s *Store) SaveIncarnation(ctx context.Context, st Incarnation) error {
	known, err := s.Incarnations(ctx)
	if err != nil {
		return err
	}
	token := ""
	if !slices.ContainsFunc(known, func(k Incarnation) bool { return k.Name == st.Name }) {
		token = "incarnations " + st.Name
	}
	return s.saveIncarnation(ctx, st, token)
}

func (s *Store) saveIncarnation(ctx context.Context, st Incarnation, token string) error {
	return s.insert(ctx, "incarnations", append(incarnationColumns[:len(incarnationColumns):len(incarnationColumns)], "saved"), token, func(b *block) {
		b.row([]any{st.Name, st.Cluster, st.Topic, st.TopicID, st.Number, st.Partitions, st.Group, st.KeyFingerprint, st.Backfill, st.FirstSeen, time.Now()})
	})
}
