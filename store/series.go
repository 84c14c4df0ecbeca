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

func seriesSQL(q schema.SeriesQuery) string {
	key := "partner, '' AS of_capability, '' AS of_app, CAST('' AS Enum8('' = 0, 'read' = 1, 'write' = 2, 'delete' = 3)) AS of_action"
	by := "partner"
	if q.ByCapability || q.ByLeaf {
		key, by = strings.Replace(key, "'' AS of_capability", "capability AS of_capability", 1), "partner, capability"
	}
	where := fmt.Sprintf("kind = 'usage' AND resolution = %s AND bucket >= %d AND bucket < %d AND %s",
		quote(q.Resolution.String()), q.From, q.To, in("partner", quoteAll(q.Partners)))
	if q.ByLeaf {
		app := "app"
		if q.MaxApps > 0 {
			app = fmt.Sprintf("if((partner, app) IN (SELECT DISTINCT partner, app FROM usage WHERE %s ORDER BY sipHash64(app), app LIMIT %d BY partner), app, %s)",
				where, q.MaxApps, quote(schema.OtherApps))
		}
		key, by = "partner, capability AS of_capability, "+app+" AS of_app, action AS of_action", "partner, capability, of_app, action"
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
		ORDER BY partner, of_capability, of_app, of_action`,
		key, where, by)
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
// last days that were scored, the greatest threshold first. Where nothing was
// scored, until is the zero time.
func (s *Store) Tune(ctx context.Context, detector string, days int, thresholds []float64) (all []Tuned, until time.Time, err error) {
	var scored uint64
	name := quote(detector)
	err = s.conn.QueryRow(ctx, "SELECT count(), max(bucket) FROM scores WHERE detector = "+name).Scan(&scored, &until)
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
		WITH least AS
		(
			SELECT partner, capability, toDate(bucket, 'UTC') AS day, min(score) AS score,
				minIf(score, metric = 'accesses') AS accesses, minIf(score, metric = 'people') AS people, minIf(score, metric = 'bytes') AS bytes
			FROM (SELECT partner, capability, bucket, metric, score FROM scores FINAL WHERE detector = %s AND bucket > fromUnixTimestamp(%d) AND chance < 1)
			GROUP BY partner, capability, day
		)
		SELECT threshold, countIf(l.score <= threshold), uniqExactIf(l.partner, l.score <= threshold),
			countIf(l.score <= threshold AND f.verdict = 'true'), countIf(l.score <= threshold AND f.verdict = 'benign'),
			countIf(l.score <= threshold AND f.verdict = 'false'),
			countIf(l.accesses <= threshold), countIf(l.people <= threshold), countIf(l.bytes <= threshold)
		FROM least AS l
		LEFT JOIN
		(
			SELECT f.partner AS partner, f.capability AS capability, f.period AS period, t.verdict AS verdict
			FROM (SELECT id, partner, capability, assumeNotNull(period) AS period FROM findings_log FINAL WHERE detector = %s AND state != 'withdrawn' AND period IS NOT NULL) AS f
			INNER JOIN triage AS t ON t.finding = f.id
		) AS f ON f.partner = l.partner AND f.capability = l.capability AND f.period = l.day
		ARRAY JOIN [%s] AS threshold
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
