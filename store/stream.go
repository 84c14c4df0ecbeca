package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stream is one life of a topic, who reads it, and under which key its people
// are hashed.
type Stream struct {
	Name           string // cluster/topic@epoch
	Cluster, Topic string
	TopicID        string // that Kafka gave it; empty: none
	Epoch          uint32 // which life, from 1
	Partitions     uint32 // how many it had when it was first read; 0: each is read from its beginning
	Group          string
	KeyFingerprint string
	Backfill       bool      // left out of the watermark
	FirstSeen      time.Time // UTC
}

// lifeless returns the name of a stream without its epoch.
func lifeless(name string) string {
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		return name[:at]
	}
	return name
}

// Next returns the life after this one, of the same topic or of one that was
// made again. Its partitions are read from their beginning.
func (st Stream) Next(topicID string) Stream {
	st.Epoch++
	st.Name = lifeless(st.Name) + "@" + strconv.FormatUint(uint64(st.Epoch), 10)
	st.TopicID, st.Partitions, st.FirstSeen = topicID, 0, time.Now().UTC().Truncate(time.Millisecond)
	return st
}

var streamColumns = []string{"stream", "cluster", "topic", "topic_id", "epoch", "partitions", "group", "hash_key_fingerprint", "backfill", "first_seen"}

// Streams returns all streams that were ever read, by topic and then epoch.
func (s *Store) Streams(ctx context.Context) ([]Stream, error) {
	if err := s.sync(ctx, "streams"); err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, "SELECT "+columnList(streamColumns)+" FROM streams FINAL ORDER BY cluster, topic, stream, epoch")
	if err != nil {
		return nil, fmt.Errorf("reading streams: %w", s.explain(err))
	}
	var all []Stream
	err = scan(rows, func() error {
		var st Stream
		err := rows.Scan(&st.Name, &st.Cluster, &st.Topic, &st.TopicID, &st.Epoch, &st.Partitions, &st.Group, &st.KeyFingerprint, &st.Backfill, &st.FirstSeen)
		all = append(all, st)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading streams: %w", s.explain(err))
	}
	return all, nil
}

// InForce returns the life of a topic that is in force, that of the greatest
// epoch; name is that of any of them.
func InForce(streams []Stream, name string) (Stream, bool) {
	var life Stream
	found := false
	for _, st := range streams {
		if lifeless(st.Name) == lifeless(name) && (!found || st.Epoch > life.Epoch) {
			life, found = st, true
		}
	}
	return life, found
}

// OpenStream returns the life of a topic that is in force, and records what is
// given as its first where there is none. It refuses another key than the one
// that the database's people are hashed under, for the same person would count
// twice, and another group than the one that reads the stream, for both would
// count everything. Processes that start at once agree: what one of them has
// recorded is read back before anything is counted.
func (s *Store) OpenStream(ctx context.Context, st Stream) (Stream, error) {
	const tries = 20 // each lost one means that another process has recorded a stream
	for range tries {
		known, err := s.Streams(ctx)
		if err != nil {
			return Stream{}, err
		}
		for _, k := range known {
			if k.KeyFingerprint != st.KeyFingerprint {
				return Stream{}, refused("stream %s: its people would be hashed under key %s, those of %s in this database are hashed under key %s: use that key, or another database",
					st.Name, st.KeyFingerprint, k.Name, k.KeyFingerprint)
			}
		}
		life, found := InForce(known, st.Name)
		token := "streams " + st.Name // the token lets one insert through
		switch {
		case !found && len(known) == 0:
			token = "streams" // of the first: it says under which key
			fallthrough
		case !found:
			life = st
		case life.Group != st.Group:
			return Stream{}, refused("stream %s is read by group %s, and group %s would count all of it again: set kafka.group to %s, or stop its instances and run `overreach stream take %s`",
				life.Name, life.Group, st.Group, life.Group, life.Topic)
		default:
			changed := life
			changed.Backfill = st.Backfill
			if life.TopicID == "" { // Kafka or overreach was too old to know it
				changed.TopicID = st.TopicID
			}
			if changed == life {
				return life, nil
			}
			life, token = changed, ""
		}
		if err := s.saveStream(ctx, life, token); err != nil {
			return Stream{}, err
		}
	}
	return Stream{}, fmt.Errorf("recording stream %s: %d times another process recorded something else first: give all processes the same configuration", st.Name, tries)
}

// SaveStream records that a stream has changed, or a life that is new: of several
// processes that make the same one at once, one does.
func (s *Store) SaveStream(ctx context.Context, st Stream) error {
	known, err := s.Streams(ctx)
	if err != nil {
		return err
	}
	token := ""
	if !slices.ContainsFunc(known, func(k Stream) bool { return k.Name == st.Name }) {
		token = "streams " + st.Name
	}
	return s.saveStream(ctx, st, token)
}

func (s *Store) saveStream(ctx context.Context, st Stream, token string) error {
	return s.insert(ctx, "streams", append(streamColumns[:len(streamColumns):len(streamColumns)], "saved"), token, func(b *block) {
		b.row([]any{st.Name, st.Cluster, st.Topic, st.TopicID, st.Epoch, st.Partitions, st.Group, st.KeyFingerprint, st.Backfill, st.FirstSeen, time.Now()})
	})
}
