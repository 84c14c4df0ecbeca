package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// Series reads what each key of some partners did in each bucket, ordered by
// partner, capability, app and action.
func (s *Store) Series(ctx context.Context, q schema.SeriesQuery) ([]schema.Series, error) {
	rows, err := s.conn.Query(ctx, seriesSQL(q))
	if err != nil {
		return nil, fmt.Errorf("reading series: %w", s.explain(err))
	}
	var all []schema.Series
	err = scan(rows, func() error {
		var one schema.Series
		var action int8
		if err := rows.Scan(&one.Partner, &one.Capability, &one.App, &action, &one.Bucket, &one.Accesses, &one.People, &one.Bytes); err != nil {
			return err
		}
		one.Action = schema.Action(action)
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading series: %w", s.explain(err))
	}
	return all, nil
}

// Peaks reads what each of some partners did at most in a bucket of each day, in
// each of the Capabilities and in all there are, partner by partner. Of the query it takes
// what says which buckets of whom.
func (s *Store) Peaks(ctx context.Context, q schema.SeriesQuery) ([]schema.Peak, error) {
	of := func(capability, where string) string {
		return fmt.Sprintf(`SELECT partner, %s AS of_capability, toInt64(toUnixTimestamp(bucket)) AS at, sum(accesses) AS calls, sum(bytes) AS size
			FROM usage
			WHERE kind = 'usage' AND resolution = %s AND bucket >= %d AND bucket < %d AND %s%s
			GROUP BY partner, of_capability, bucket`, capability, quote(q.Resolution.String()), q.From, q.To, in("partner", quoteAll(q.Partners)), where)
	}
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`SELECT partner, of_capability, toInt32(intDiv(at, 86400)) AS day, max(calls), max(size)
		FROM (%s UNION ALL %s)
		GROUP BY partner, of_capability, day
		HAVING max(calls) > 0
		ORDER BY partner, of_capability, day`, of("''", ""), of("capability", " AND "+in("capability", quoteAll(q.Capabilities)))))
	if err != nil {
		return nil, fmt.Errorf("reading peaks: %w", s.explain(err))
	}
	var all []schema.Peak
	err = scan(rows, func() error {
		var p schema.Peak
		var day int32
		if err := rows.Scan(&p.Partner, &p.Capability, &day, &p.Accesses, &p.Bytes); err != nil {
			return err
		}
		p.Day = schema.Day(day)
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading peaks: %w", s.explain(err))
	}
	return all, nil
}

func seriesSQL(q schema.SeriesQuery) string {
	key := "partner, '' AS of_capability, '' AS of_app, CAST('' AS Enum8('' = 0, 'read' = 1, 'write' = 2, 'delete' = 3)) AS of_action"
	by := "partner"
	if q.ByCapability || q.ByUsageKey {
		key, by = strings.Replace(key, "'' AS of_capability", "capability AS of_capability", 1), "partner, capability"
	}
	where := fmt.Sprintf("kind = 'usage' AND resolution = %s AND bucket >= %d AND bucket < %d AND %s",
		quote(q.Resolution.String()), q.From, q.To, in("partner", quoteAll(q.Partners)))
	if q.ByCapability || q.ByUsageKey {
		where += " AND " + in("capability", quoteAll(q.Capabilities))
	}
	if q.ByUsageKey {
		app := "app"
		if q.MaxApps > 0 {
			app = fmt.Sprintf("if((partner, app) IN (SELECT DISTINCT partner, app FROM usage WHERE %s ORDER BY sipHash64(app), app LIMIT %d BY partner), app, %s)",
				where, q.MaxApps, quote(schema.OtherApps))
		}
		key, by = "partner, capability AS of_capability, "+app+" AS of_app, action AS of_action", "partner, capability, of_app, action"
	}
	limit := ""
	if q.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	return fmt.Sprintf(`WITH arraySort(groupArray((at, calls, people, size))) AS sorted
		SELECT partner, of_capability, of_app, CAST(of_action AS Int8), sorted.1, sorted.2, sorted.3, sorted.4
		FROM
		(
			SELECT %s, toInt64(toUnixTimestamp(bucket)) AS at, sum(accesses) AS calls, least(uniqCombined64Merge(14)(subjects), calls) AS people, sum(bytes) AS size
			FROM usage
			WHERE %s
			GROUP BY %s, bucket
			HAVING calls > 0
		)
		GROUP BY partner, of_capability, of_app, of_action
		ORDER BY partner, of_capability, of_app, of_action%s`,
		key, where, by, limit)
}

// WriteScores writes scores, each of which replaces those of the same key and
// bucket under a lower version.
func (s *Store) WriteScores(ctx context.Context, scores []schema.Score, v schema.Version) error {
	if len(scores) == 0 {
		return nil
	}
	columns := []string{"detector", "partner", "capability", "app", "action", "metric", "bucket", "resolution",
		"observed", "expected", "low", "high", "chance", "score", "threshold", "maturity", "offsets"}
	n := len(scores)
	text := func(of func(*schema.Score) string) []string {
		all := make([]string, n)
		for i := range scores {
			all[i] = of(&scores[i])
		}
		return all
	}
	number := func(of func(*schema.Score) float64) []float64 {
		all := make([]float64, n)
		for i := range scores {
			all[i] = of(&scores[i])
		}
		return all
	}
	buckets := make([]time.Time, n)
	for i := range scores {
		buckets[i] = time.Unix(scores[i].Bucket, 0)
	}
	return s.insert(ctx, "scores", columns, "", func(b *block) {
		b.add(text(func(s *schema.Score) string { return s.Detector }))
		b.add(text(func(s *schema.Score) string { return s.Partner }))
		b.add(text(func(s *schema.Score) string { return s.Capability }))
		b.add(text(func(s *schema.Score) string { return s.App }))
		b.add(text(func(s *schema.Score) string { return s.Action.String() }))
		b.add(text(func(s *schema.Score) string { return s.Metric }))
		b.add(buckets)
		b.add(text(func(s *schema.Score) string { return s.Step.String() }))
		b.add(number(func(s *schema.Score) float64 { return s.Observed }))
		b.add(number(func(s *schema.Score) float64 { return s.Expected }))
		b.add(number(func(s *schema.Score) float64 { return s.Low }))
		b.add(number(func(s *schema.Score) float64 { return s.High }))
		b.add(number(func(s *schema.Score) float64 { return s.Chance }))
		b.add(number(func(s *schema.Score) float64 { return s.Score }))
		b.add(number(func(s *schema.Score) float64 { return s.Threshold }))
		b.add(text(func(s *schema.Score) string { return s.Maturity }))
		b.add(repeat(v.Offsets, n))
	})
}

// Tuned is what one threshold would have found.
type Tuned struct {
	Threshold               float64
	Findings, Partners      uint64 // a finding for each partner, capability and day
	True, Benign, False     uint64 // of the findings that were made, by the verdict given
	Accesses, People, Bytes uint64 // findings in which the metric stands out
}

// Tune says how many findings each threshold on the score would have made in the
// last days that were scored, the greatest threshold first. What a capability says
// of an hour is not said again of the partner as a whole. until is the end of the
// last bucket that was scored. Where nothing was
// scored, until is the zero time.
func (s *Store) Tune(ctx context.Context, detector string, days int, thresholds []float64) (all []Tuned, until time.Time, err error) {
	var scored uint64
	name := quote(detector)
	err = s.conn.QueryRow(ctx, "SELECT count(), max(if(resolution = 'day', bucket + INTERVAL 1 DAY, bucket + INTERVAL 1 HOUR)) FROM scores WHERE detector = "+name).Scan(&scored, &until)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading scores: %w", s.explain(err))
	}
	if scored == 0 {
		return nil, time.Time{}, nil
	}
	list := make([]string, len(thresholds))
	for i, t := range thresholds {
		list[i] = fmt.Sprint(t)
	}
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`
		WITH hours AS
		(
			SELECT partner, capability, bucket, any(if(detector IN ('creep', 'mix_shift'), toMonday(bucket), toDate(bucket, 'UTC'))) AS period, min(each) AS score, minIf(each, app = '' AND action = '') AS alone,
				minOrNullIf(each, metric = 'accesses') AS accesses, minOrNullIf(each, metric IN ('people', 'new_people')) AS people, minOrNullIf(each, metric = 'bytes') AS bytes
			FROM (SELECT detector, partner, capability, app, action, bucket, metric, score AS each FROM scores FINAL WHERE detector = %s AND bucket > fromUnixTimestamp(%d) AND chance < 1)
			GROUP BY partner, capability, bucket
		),
		all AS
		(
			SELECT *, (partner, capability, period) AS key,
				if(capability = '', minOrNullIf(alone, capability != '') OVER (PARTITION BY partner, bucket), NULL) AS parts
			FROM hours
		)
		SELECT threshold, uniqExactIf(key, h.score <= threshold), uniqExactIf(h.partner, h.score <= threshold),
			uniqExactIf(key, h.score <= threshold AND f.verdict = 'true'), uniqExactIf(key, h.score <= threshold AND f.verdict = 'benign'),
			uniqExactIf(key, h.score <= threshold AND f.verdict = 'false'),
			uniqExactIf(key, h.accesses <= threshold), uniqExactIf(key, h.people <= threshold), uniqExactIf(key, h.bytes <= threshold)
		FROM all AS h
		LEFT JOIN
		(
			SELECT f.partner AS partner, f.capability AS capability, f.period AS period, t.verdict AS verdict
			FROM (SELECT id, partner, capability, assumeNotNull(period) AS period FROM findings_log FINAL WHERE detector = %s AND state != 'withdrawn' AND period IS NOT NULL) AS f
			INNER JOIN triage AS t ON t.finding = f.id
		) AS f ON (f.partner, f.capability, f.period) = h.key
		ARRAY JOIN [%s] AS threshold
		WHERE NOT ifNull(h.parts <= threshold, false)
		GROUP BY threshold
		ORDER BY threshold DESC`, name, until.AddDate(0, 0, -days).Unix(), name, strings.Join(list, ", ")))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading scores: %w", s.explain(err))
	}
	err = scan(rows, func() error {
		var t Tuned
		if err := rows.Scan(&t.Threshold, &t.Findings, &t.Partners, &t.True, &t.Benign, &t.False, &t.Accesses, &t.People, &t.Bytes); err != nil {
			return err
		}
		all = append(all, t)
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading scores: %w", s.explain(err))
	}
	return all, until.UTC(), nil
}
