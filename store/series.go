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
	if q.ByLeaf {
		key, by = "partner, capability AS of_capability, app AS of_app, action AS of_action", "partner, capability, app, action"
	}
	return fmt.Sprintf(`WITH arraySort(groupArray((at, calls, people, size))) AS sorted
		SELECT partner, of_capability, of_app, CAST(of_action AS Int8), sorted.1, sorted.2, sorted.3, sorted.4
		FROM
		(
			SELECT %s, toInt64(toUnixTimestamp(bucket)) AS at, sum(accesses) AS calls, least(uniqCombined64Merge(14)(subjects), calls) AS people, sum(bytes) AS size
			FROM usage
			WHERE kind = 'usage' AND resolution = %s AND bucket >= %d AND bucket < %d AND %s
			GROUP BY %s, bucket
			HAVING calls > 0
		)
		GROUP BY partner, of_capability, of_app, of_action
		ORDER BY partner, of_capability, of_app, of_action`,
		key, quote(q.Resolution.String()), q.From, q.To, in("partner", quoteAll(q.Partners)), by)
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
