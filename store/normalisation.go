package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/overreach/overreach/decode"
)

// Member is the member of an event that names a person.
type Member string

// The members that name people.
const (
	MemberSubject Member = "subject"
	MemberActor   Member = "actor"
)

// Normalisation is what was done to the ids of a topic's subjects or actors
// before they were hashed.
type Normalisation struct {
	Topic     string // cluster/topic: it holds for all incarnations
	Member    Member
	Steps     decode.Normalisation
	FirstUsed time.Time // UTC
}

// Normalisations returns all that were ever used, by topic, member and steps.
func (s *Store) Normalisations(ctx context.Context) ([]Normalisation, error) {
	if err := s.sync(ctx, "normalisations"); err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, "SELECT topic, CAST(member AS String), steps, min(first_used) FROM normalisations GROUP BY topic, member, steps ORDER BY topic, member, steps")
	if err != nil {
		return nil, fmt.Errorf("reading normalisations: %w", s.explain(err))
	}
	var all []Normalisation
	err = scan(rows, func() error {
		var n Normalisation
		var member, steps string
		if err := rows.Scan(&n.Topic, &member, &steps, &n.FirstUsed); err != nil {
			return err
		}
		n.Member = Member(member)
		var err error
		if n.Steps, err = decode.ParseNormalisation(steps); err != nil {
			return permanentError{err}
		}
		all = append(all, n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading normalisations: %w", s.explain(err))
	}
	return all, nil
}

// NoteNormalisations keeps what is about to be done to the ids of an incarnation's
// topic, where it is not kept yet. It must return before the first record is
// counted so: rows under a form of the id that nobody knows are never found.
func (s *Store) NoteNormalisations(ctx context.Context, incarnation string, subject, actor []decode.Normalisation, at time.Time) error {
	known, err := s.Normalisations(ctx)
	if err != nil {
		return err
	}
	topic := withoutNumber(incarnation)
	var missing []Normalisation
	for member, all := range map[Member][]decode.Normalisation{MemberSubject: subject, MemberActor: actor} {
		for _, n := range all {
			kept := slices.ContainsFunc(known, func(k Normalisation) bool {
				return k.Topic == topic && k.Member == member && k.Steps.Steps() == n.Steps()
			})
			if !kept {
				missing = append(missing, Normalisation{topic, member, n, at})
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return s.insert(ctx, "normalisations", []string{"topic", "member", "steps", "first_used"}, "", func(b *block) {
		for _, n := range missing {
			b.row([]any{n.Topic, string(n.Member), n.Steps.Steps(), n.FirstUsed})
		}
	})
}

// Unnoted is a topic of which records may have been counted before normalisations
// were noted, by an older version.
type Unnoted struct {
	Topic string    // cluster/topic
	Until time.Time // from then on all were noted; zero: none ever was
}

// UnnotedTopics returns the topics among the incarnations of which it is not known for
// all records under which normalisation they were counted.
func UnnotedTopics(incarnations []Incarnation, known []Normalisation) []Unnoted {
	from := map[string]time.Time{}
	for _, n := range known {
		if at, ok := from[n.Topic]; !ok || n.FirstUsed.Before(at) {
			from[n.Topic] = n.FirstUsed
		}
	}
	var all []Unnoted
	for _, st := range incarnations {
		topic := withoutNumber(st.Name)
		at, ok := from[topic]
		if ok && !st.FirstSeen.Before(at) || slices.ContainsFunc(all, func(u Unnoted) bool { return u.Topic == topic }) {
			continue
		}
		all = append(all, Unnoted{topic, at})
	}
	return all
}
