package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/schema"
)

// Role is what a person was in an access.
type Role string

// The roles.
const (
	AsSubject   Role = "subject"   // whose data was touched, by own consent or where nobody's is known
	AsBystander Role = "bystander" // whose data was touched on behalf of another
	AsActor     Role = "actor"     // on whose behalf another's data was touched
)

// Touch is what one partner did with one scope to one person, or on behalf of
// that person, on one UTC day.
type Touch struct {
	Person     uint64 // the keyed hash
	Role       Role
	Partner    string
	Capability string
	Action     schema.Action
	Day        schema.Day
	Topic      string // cluster/topic
	schema.Counters
}

// Sought is a hash under which a person may have been counted, and where: the
// same hash stands for somebody else in a topic whose ids are not normalised so.
type Sought struct {
	Hash   uint64
	Topic  string // cluster/topic; empty: in all
	Member Member // empty: as subject and as actor
}

// Finds reports whether a touch is of the person.
func (q Sought) Finds(t *Touch) bool {
	member := MemberSubject
	if t.Role == AsActor {
		member = MemberActor
	}
	return q.Hash == t.Person && (q.Topic == "" || q.Topic == t.Topic) && (q.Member == "" || q.Member == member)
}

// ofPeople is the condition that a row is of one of the people by a member, in
// SQL. column writes the condition that the row's own column is one of the hashes;
// what it says of all hashes stands in front, for the indexes.
func ofPeople(sought []Sought, m Member, column func(hashes []uint64) string) string {
	byTopic := map[string][]uint64{}
	var all []uint64
	for _, q := range sought {
		if q.Member == "" || q.Member == m {
			byTopic[q.Topic], all = append(byTopic[q.Topic], q.Hash), append(all, q.Hash)
		}
	}
	parts := []string{column(byTopic[""])}
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		if topic != "" {
			parts = append(parts, "startsWith(incarnation, "+quote(topic+"@")+") AND "+column(byTopic[topic]))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + column(all) + " AND (" + strings.Join(parts, " OR ") + "))"
}

// among is for ofPeople.
func among(name string) func(hashes []uint64) string {
	return func(hashes []uint64) string { return name + " IN (" + unsigned(hashes) + ")" }
}

// rawOf returns the conditions that a raw event is of one of the people as its
// subject, and as its actor.
func rawOf(sought []Sought) (subject, actor string) {
	return ofPeople(sought, MemberSubject, among("subject")), ofPeople(sought, MemberActor, among("actor"))
}

// Touches returns what was done to people, or on their behalf, as the raw events
// say it that are still kept; ordered by person, partner, capability, action,
// role, day and topic. Hashes are few enough to be part of a query.
func (s *Store) Touches(ctx context.Context, sought []Sought) ([]Touch, error) {
	subject, actor := rawOf(sought)
	const columns = `partner, capability, CAST(action AS Int8) AS act, toInt32(toDate(time, 'UTC')) AS day, replaceRegexpOne(incarnation, '@[^@]*$', '') AS topic,
		countIf(NOT refused), countIf(refused), sumIf(records, NOT refused), sumIf(bytes, NOT refused),
		minIf(ms, NOT refused), maxIf(ms, NOT refused), minIf(ms, refused), maxIf(ms, refused)`
	// Each half asks for one column, so that the index of that column finds its rows.
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`
		WITH status IN (401, 403, 429) OR status BETWEEN 500 AND 599 AS refused, toUnixTimestamp64Milli(time) AS ms
		SELECT * FROM
		(
			SELECT subject AS person, if(actor = 0 OR actor = subject, 'subject', 'bystander') AS role, %[1]s
			FROM access_events WHERE %[2]s GROUP BY person, role, partner, capability, act, day, topic
			UNION ALL
			SELECT actor AS person, 'actor' AS role, %[1]s
			FROM access_events WHERE %[3]s AND actor != 0 AND actor != subject GROUP BY person, role, partner, capability, act, day, topic
		)
		ORDER BY person, partner, capability, act, role, day, topic`, columns, subject, actor))
	if err != nil {
		return nil, fmt.Errorf("reading a person's accesses: %w", s.explain(err))
	}
	var all []Touch
	err = scan(rows, func() error {
		var t Touch
		var role string
		var action int8
		var day int32
		var records, bytes int64
		err := rows.Scan(&t.Person, &role, &t.Partner, &t.Capability, &action, &day, &t.Topic, &t.Accesses, &t.Attempts, &records, &bytes,
			&t.FirstAccess, &t.LastAccess, &t.FirstAttempt, &t.LastAttempt)
		t.Role, t.Action, t.Day = Role(role), schema.Action(action), schema.Day(day)
		t.Records, t.Bytes = uint64(max(records, 0)), uint64(max(bytes, 0)) //nolint:gosec // not negative
		all = append(all, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a person's accesses: %w", s.explain(err))
	}
	return all, nil
}

// Kept is how far back one table answers.
type Kept struct {
	Days   uint32     // for how long a row is kept, from the day of its pin; 0: for ever
	Oldest schema.Day // pin of the oldest row; 0 where there is none
	Newest schema.Day
}

// RawKept returns how far back raw events are kept.
func (s *Store) RawKept(ctx context.Context) (Kept, error) {
	days, err := s.intervals(ctx, "access_events")
	if err != nil {
		return Kept{}, err
	}
	k := Kept{Days: days[0]}
	k.Oldest, k.Newest, _, err = s.pins(ctx, "access_events")
	return k, err
}

// intervals returns the days that a table's TTL names, at least n of them.
func (s *Store) intervals(ctx context.Context, table string) ([]uint32, error) {
	var made string
	err := s.conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = "+quote(table)).Scan(&made)
	if err != nil {
		return nil, fmt.Errorf("reading the retention of %s: %w", table, s.explain(err))
	}
	var days []uint32
	for _, m := range intervalDays.FindAllStringSubmatch(made, -1) {
		n, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("reading the retention of %s: %w", table, err)
		}
		days = append(days, uint32(n))
	}
	if len(days) == 0 {
		return nil, refused("table %s has no retention: it was made by another program; run overreach migrate on a database of its own", table)
	}
	return days, nil
}

// pins returns the oldest and the newest pin among the rows that from and its
// WHERE choose, and how many there are.
func (s *Store) pins(ctx context.Context, from string) (oldest, newest schema.Day, rows uint64, err error) {
	var first, last time.Time
	if err := s.conn.QueryRow(ctx, "SELECT min(pinned), max(pinned), count() FROM "+from).Scan(&first, &last, &rows); err != nil {
		return 0, 0, 0, fmt.Errorf("reading what is kept: %w", s.explain(err))
	}
	return schema.DayOf(first), schema.DayOf(last), rows, nil
}

// Remainder is where a person's hash, or what may be of the person, is kept
// beside the raw events.
type Remainder struct {
	What string // usage by minute, by hour, by day; rejects with their record
	Rows uint64 // that hold the hash, or may
	Kept        // of those rows
}

// What a Remainder is about.
const (
	RemainsMinute  = "usage by minute"
	RemainsHour    = "usage by hour"
	RemainsDay     = "usage by day"
	RemainsRejects = "rejects with their record"
)

// Remains returns what is kept of people beside raw events: the rows of usage
// whose sets are small enough to be exact (up to 511 people) and hold one of the
// hashes, in one of their columns; and the rejects that keep a record, of
// which it cannot be said whose it is.
func (s *Store) Remains(ctx context.Context, sought []Sought) ([]Remainder, error) {
	kept, err := s.intervals(ctx, "usage")
	if err != nil {
		return nil, err
	}
	if len(kept) != 2 {
		return nil, refused("usage has %d retentions, expected those of minutes and hours", len(kept))
	}
	// A small state lists its hashes as they are, behind a type below 3 and
	// their number; ClickHouse itself says what a person's looks like.
	lists := func(columns string) func([]uint64) string {
		return func(hashes []uint64) string {
			if len(hashes) == 0 {
				return "false"
			}
			return fmt.Sprintf(`arrayExists(state -> reinterpretAsUInt8(state) < 3 AND arrayExists(person -> position(state, person) > 0,
				(SELECT groupArray(substring(state, 3)) FROM (SELECT CAST(uniqCombined64State(14)(person) AS String) AS state FROM (SELECT arrayJoin([%s]) AS person) GROUP BY person))),
				[%s])`, unsigned64(hashes), columns)
		}
	}
	holds := ofPeople(sought, MemberSubject, lists("CAST(subjects AS String), CAST(bystanders AS String)")) +
		" OR " + ofPeople(sought, MemberActor, lists("CAST(actors AS String)"))
	var all []Remainder
	for _, r := range []struct {
		what, resolution string
		days             uint32
	}{{RemainsMinute, "minute", kept[0]}, {RemainsHour, "hour", kept[1]}, {RemainsDay, "day", 0}} {
		remainder := Remainder{What: r.what, Kept: Kept{Days: r.days}}
		remainder.Oldest, remainder.Newest, remainder.Rows, err = s.pins(ctx,
			fmt.Sprintf("usage WHERE kind = 'usage' AND resolution = %s AND (%s)", quote(r.resolution), holds))
		if err != nil {
			return nil, err
		}
		all = append(all, remainder)
	}
	rejects, err := s.intervals(ctx, "rejects")
	if err != nil {
		return nil, err
	}
	remainder := Remainder{What: RemainsRejects, Kept: Kept{Days: rejects[0]}}
	if remainder.Oldest, remainder.Newest, remainder.Rows, err = s.pins(ctx, "rejects WHERE raw != ''"); err != nil {
		return nil, err
	}
	return append(all, remainder), nil
}

// CountRaw returns how many raw events are of the people or on their behalf.
func (s *Store) CountRaw(ctx context.Context, sought []Sought) (rows uint64, err error) {
	subject, actor := rawOf(sought)
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`
		SELECT (SELECT count() FROM access_events WHERE %[1]s) +
			(SELECT count() FROM access_events WHERE %[2]s AND NOT (%[1]s))`, subject, actor)).Scan(&rows)
	if err != nil {
		return 0, fmt.Errorf("counting raw events: %w", s.explain(err))
	}
	return rows, nil
}

// ForgetRaw deletes the raw events that are of the people or on their behalf,
// from the parts on disk too, and returns once every replica has done so. Where
// that takes too long and the call fails, ClickHouse goes on by itself.
func (s *Store) ForgetRaw(ctx context.Context, sought []Sought) error {
	subject, actor := rawOf(sought)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 2}))
	err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE access_events DELETE WHERE %s OR %s", subject, actor))
	if err != nil {
		return fmt.Errorf("deleting raw events: %w", s.explain(err))
	}
	return nil
}

// unsigned writes a list of hashes for IN, leaving out 0, which is no person.
func unsigned(hashes []uint64) string {
	hashes = slices.DeleteFunc(slices.Clone(hashes), func(h uint64) bool { return h == 0 })
	if len(hashes) == 0 {
		return "NULL"
	}
	b := []byte(nil)
	for i, h := range hashes {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, h, 10)
	}
	return string(b)
}

// unsigned64 writes a list of hashes as UInt64, whatever their size.
func unsigned64(hashes []uint64) string {
	b := []byte(nil)
	for i, h := range hashes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendUint(append(b, "toUInt64("...), h, 10), ')')
	}
	return string(b)
}
