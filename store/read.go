package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/schema"
)

// scan calls row for each row, and closes.
func scan(rows driver.Rows, row func() error) error {
	for rows.Next() {
		if err := row(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Markers returns the markers of batches that begin at or after the given
// position of their partition, and all of a partition without one, ordered by
// incarnation, partition and offset; at most limit of them for each partition. Whoever
// follows a partition chains them: the next one's From is the last one's To.
// Markers are kept as long as minutes are.
func (s *Store) Markers(ctx context.Context, after map[schema.Partition]int64, limit int) ([]schema.Marker, error) {
	extents, err := s.Extents(ctx)
	if err != nil {
		return nil, err
	}
	var news []string // partitions with something new: the key of the table finds their markers
	for _, extent := range extents {
		from, ok := after[extent.Partition]
		if !ok {
			from = extent.From
		}
		if extent.To > from {
			news = append(news, fmt.Sprintf("incarnation = %s AND partition = %d AND from_offset >= %d",
				quote(extent.Incarnation), extent.Partition.Partition, from))
		}
	}
	if len(news) == 0 {
		return nil, nil
	}
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`
		SELECT incarnation, partition, from_offset, %s, arraySort(groupUniqArrayArray(minutes))
		FROM usage
		WHERE kind = 'range' AND resolution = 'none' AND bucket = 0 AND slot = 0 AND (%s)
		GROUP BY incarnation, partition, from_offset
		ORDER BY incarnation, partition, from_offset
		LIMIT %d BY incarnation, partition`, markerColumns, "("+strings.Join(news, ") OR (")+")", limit))
	if err != nil {
		return nil, fmt.Errorf("reading markers: %w", s.explain(err))
	}
	var all []schema.Marker
	err = scan(rows, func() error {
		var m schema.Marker
		if err := scanMarker(rows, &m, &m.Minutes); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading markers: %w", s.explain(err))
	}
	return all, nil
}

// markerColumns are the columns of a marker behind those that name it, as
// scanMarker reads them.
const markerColumns = `max(to_offset), max(pinned), sum(records_read), sum(missing), sum(events),
			sum(rejected), sum(filtered), toUnixTimestamp64Milli(min(first_event)), toUnixTimestamp64Milli(max(last_event)),
			max(mixed), sum(unreadable), arraySort(groupUniqArrayArray(unreadable_why)), toUnixTimestamp64Milli(max(last_record))`

// scanMarker reads one marker, and what follows its columns.
func scanMarker(rows driver.Rows, m *schema.Marker, more ...any) error {
	var pinned time.Time
	var mixed uint8
	err := rows.Scan(append([]any{&m.Incarnation, &m.Partition.Partition, &m.From, &m.To, &pinned, &m.Records, &m.Missing,
		&m.Events, &m.Rejected, &m.Filtered, &m.FirstEvent, &m.LastEvent, &mixed, &m.Unreadable, &m.Why, &m.LastRecord}, more...)...)
	m.Pinned, m.Mixed, m.FirstEvent = schema.DayOf(pinned), mixed != 0, orZero(m.FirstEvent)
	if len(m.Why) == 0 {
		m.Why = nil // as it was written
	}
	return err
}

// Extents returns what is counted of each partition of each incarnation: the markers
// of all months merged, ordered by incarnation and partition.
func (s *Store) Extents(ctx context.Context) ([]schema.Marker, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT incarnation, partition, min(least_from), `+markerColumns+`
		FROM usage
		WHERE kind = 'month'
		GROUP BY incarnation, partition
		ORDER BY incarnation, partition`)
	if err != nil {
		return nil, fmt.Errorf("reading extents: %w", s.explain(err))
	}
	var all []schema.Marker
	err = scan(rows, func() error {
		var m schema.Marker
		if err := scanMarker(rows, &m); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading extents: %w", s.explain(err))
	}
	return all, nil
}

// Usage reads usage as the query says, ordered by partner, capability, app,
// action and bucket. Cells without usage are left out.
func (s *Store) Usage(ctx context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	rows, err := s.conn.Query(ctx, usageSQL(q))
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", s.explain(err))
	}
	var all []schema.UsageCell
	var c schema.UsageCell
	var action int8
	into := []any{&c.Partner}
	for _, column := range []struct {
		read bool
		into any
	}{
		{q.ByCapability, &c.Capability}, {q.ByApp, &c.App}, {q.ByAction, &action}, {q.ByBucket, &c.Bucket},
		{true, &c.Accesses}, {true, &c.Attempts}, {true, &c.Records}, {true, &c.Bytes},
		{true, &c.FirstAccess}, {true, &c.LastAccess}, {true, &c.FirstAttempt}, {true, &c.LastAttempt},
		{q.Subjects, &c.Subjects}, {q.Actors, &c.Actors}, {q.Bystanders, &c.Bystanders},
	} {
		if column.read {
			into = append(into, column.into)
		}
	}
	err = scan(rows, func() error {
		c = schema.UsageCell{}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		c.Action = schema.Action(action)
		c.FirstAccess, c.FirstAttempt = orZero(c.FirstAccess), orZero(c.FirstAttempt)
		all = append(all, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", s.explain(err))
	}
	return all, nil
}

// usageSQL writes the query, with its columns in the order in which Usage reads them.
func usageSQL(q schema.UsageQuery) string {
	keys := []string{"partner"}
	columns := []string{"partner"}
	if q.NotPartners != nil {
		keys, columns = []string{"nobody"}, []string{"'' AS nobody"}
	}
	key := func(by bool, name, column string) {
		if by {
			keys, columns = append(keys, name), append(columns, column)
		}
	}
	key(q.ByCapability, "capability", "capability")
	key(q.ByApp, "one_app", "one_app")
	key(q.ByAction, "action", "CAST(action AS Int8)")
	key(q.ByBucket, "bucket", "toInt64(toUnixTimestamp(bucket))")
	columns = append(columns, "sum(accesses)", "sum(attempts)", "sum(records)", "sum(bytes)",
		"toUnixTimestamp64Milli(min(first_access))", "toUnixTimestamp64Milli(max(last_access))",
		"toUnixTimestamp64Milli(min(first_attempt))", "toUnixTimestamp64Milli(max(last_attempt))")
	state := func(read bool, name string) {
		if read {
			columns = append(columns, "CAST(uniqCombined64MergeState(14)("+name+") AS String)")
		}
	}
	state(q.Subjects, "subjects")
	state(q.Actors, "actors")
	state(q.Bystanders, "bystanders")

	where := []string{"kind = 'usage'", "resolution = " + quote(q.Resolution.String()),
		fmt.Sprintf("bucket >= %d AND bucket < %d", q.From, q.To)}
	only := func(given bool, name, list string) {
		if given {
			where = append(where, in(name, list))
		}
	}
	only(q.Buckets != nil, "bucket", numbers(q.Buckets))
	only(q.Slots != nil, "slot", numbers(q.Slots))
	only(q.Partners != nil, "partner", quoteAll(q.Partners))
	if len(q.NotPartners) > 0 {
		where = append(where, "NOT "+in("partner", quoteAll(q.NotPartners)))
	}
	only(q.Capability != "", "capability", quote(q.Capability))
	only(q.Capabilities != nil, "capability", quoteAll(q.Capabilities))
	only(q.Actions != nil, "action", quoteAll(spell(q.Actions)))

	from := " FROM usage WHERE " + strings.Join(where, " AND ")
	by := strings.Join(keys, ", ")
	sql := "WITH " + appSQL(q, from) + " AS one_app SELECT " + strings.Join(columns, ", ") + from +
		" GROUP BY " + by + " ORDER BY " + by
	if q.Limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	return sql
}

// appSQL writes what an app counts as, among the rows that from chooses.
func appSQL(q schema.UsageQuery, from string) string {
	if q.MaxApps == 0 {
		return "app"
	}
	if q.NotPartners != nil { // who counts as one partner has no more apps than one
		return fmt.Sprintf("if(app IN (SELECT app%s GROUP BY app ORDER BY sum(accesses) + sum(attempts) DESC, app LIMIT %d), app, %s)",
			from, q.MaxApps, quote(schema.OtherApps))
	}
	return fmt.Sprintf("if((partner, app) IN (SELECT partner, app%s GROUP BY partner, app ORDER BY sum(accesses) + sum(attempts) DESC, app LIMIT %d BY partner), app, %s)",
		from, q.MaxApps, quote(schema.OtherApps))
}

// Unregistered returns the names of partners that were seen and are not among
// the registered: the limit with the lowest sipHash64 of the name, so that every
// instance chooses alike, and how many others there are.
func (s *Store) Unregistered(ctx context.Context, registered []string, limit int) (names []string, others uint64, err error) {
	strangers := "1"
	if len(registered) > 0 {
		strangers = "partner NOT IN (" + quoteAll(registered) + ")"
	}
	var all uint64
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`
		SELECT arraySlice(arraySort(name -> (sipHash64(name), name), groupArray(partner)), 1, %d), count()
		FROM (SELECT DISTINCT partner FROM usage WHERE kind = 'usage' AND resolution = 'day' AND %s)`,
		limit, strangers)).Scan(&names, &all)
	if err != nil {
		return nil, 0, fmt.Errorf("reading unregistered partners: %w", s.explain(err))
	}
	return slices.Clip(names), all - uint64(len(names)), nil
}

// Gaps returns every gap of what was read, by incarnation, partition and offset: what
// was missing, and what could not be decoded.
// Where the markers of batches are no longer kept, the sum of the month of their
// pin stands for them.
func (s *Store) Gaps(ctx context.Context) ([]schema.Gap, error) {
	rows, err := s.conn.Query(ctx, `
		WITH
			toDateTime64(0, 3, 'UTC') AS never,
			toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS none,
			(SELECT groupUniqArray((incarnation, partition)) FROM usage WHERE kind = 'month' AND (missing > 0 OR unreadable > 0)) AS torn,
			batches AS
			(
				SELECT incarnation, partition, from_offset, max(to_offset) AS to, max(u.pinned) AS pinned, sum(u.missing) AS missing,
					sum(u.unreadable) AS unreadable, arrayStringConcat(arraySort(groupUniqArrayArray(u.unreadable_why)), ', ') AS why,
					min(u.first_event) AS first, max(u.last_event) AS last
				FROM usage AS u
				WHERE kind = 'range' AND has(torn, (incarnation, partition))
				GROUP BY incarnation, partition, from_offset
			),
			spans AS
			(
				SELECT incarnation, partition, from_offset, to, pinned, missing, unreadable, why, least(a, b) AS start, greatest(a, b) AS stop
				FROM
				(
					SELECT incarnation, partition, from_offset, to, pinned, missing, unreadable, why,
						least(first, ifNull(anyLast(nullIf(last, never)) OVER forwards, never)) AS a,
						greatest(last, ifNull(anyLast(nullIf(first, none)) OVER backwards, none)) AS b
					FROM batches
					WINDOW
						forwards AS (PARTITION BY incarnation, partition ORDER BY from_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
						backwards AS (PARTITION BY incarnation, partition ORDER BY from_offset DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
				)
			),
			months AS
			(
				SELECT incarnation, partition, toDate(bucket, 'UTC') AS month, sum(u.missing) AS missing,
					sum(u.unreadable) AS unreadable, arrayStringConcat(arraySort(groupUniqArrayArray(u.unreadable_why)), ', ') AS why,
					min(u.first_event) AS start, max(u.last_event) AS stop
				FROM usage AS u
				WHERE kind = 'month' AND has(torn, (incarnation, partition))
				GROUP BY incarnation, partition, month
			),
			expired AS
			(
				SELECT m.incarnation AS incarnation, m.partition AS partition, m.month AS month, m.missing - b.missing AS missing, m.unreadable - b.unreadable AS unreadable, m.why AS why, m.start AS start, m.stop AS stop
				FROM months AS m
				LEFT JOIN (SELECT incarnation, partition, toStartOfMonth(pinned) AS month, sum(missing) AS missing, sum(unreadable) AS unreadable FROM batches GROUP BY incarnation, partition, month) AS b
				ON m.incarnation = b.incarnation AND m.partition = b.partition AND m.month = b.month
			)
		SELECT incarnation, partition, from_offset, to, pinned, toUInt64(lost.1), lost.2, toUnixTimestamp64Milli(start), toUnixTimestamp64Milli(nullIf(stop, none)), merged
		FROM
		(
			SELECT incarnation, partition, from_offset, to, pinned, toInt64(missing) AS missing, toInt64(unreadable) AS unreadable, why, start, stop, false AS merged FROM spans
			UNION ALL
			SELECT incarnation, partition, 0, 0, month, toInt64(missing), toInt64(unreadable), why, start, stop, true FROM expired
		)
		ARRAY JOIN [(missing, ''), (unreadable, why)] AS lost
		WHERE lost.1 > 0
		ORDER BY incarnation, partition, pinned, from_offset, merged, lost.2`)
	if err != nil {
		return nil, fmt.Errorf("reading what is missing: %w", s.explain(err))
	}
	var all []schema.Gap
	err = scan(rows, func() error {
		var g schema.Gap
		var pinned time.Time
		var last *int64
		if err := rows.Scan(&g.Incarnation, &g.Partition.Partition, &g.From, &g.To, &pinned, &g.Missing, &g.Why, &g.First, &last, &g.Merged); err != nil {
			return err
		}
		g.Pinned = schema.DayOf(pinned)
		if last != nil {
			g.Last = *last
		}
		all = append(all, g)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is missing: %w", s.explain(err))
	}
	return all, nil
}
