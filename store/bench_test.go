package store

import (
	"fmt"
	"testing"

	"github.com/overreach/overreach/schema"
)

// usageRows are n rows of the usage keys of n/500 partners.
func usageRows(n int) *schema.UsageRows {
	rows := &schema.UsageRows{}
	for i := range n {
		usageKey := schema.UsageKey{Partner: fmt.Sprint("partner ", i/500), App: fmt.Sprint("app ", i/50%10), Capability: "messaging", Action: schema.Read}
		add(rows, schema.Minute, 1_500_000_000/60*60+int64(i%50)*60, usageKey, schema.Counters{Accesses: 1, FirstAccess: 1, LastAccess: 2}, state(uint64(i), uint64(i/2)))
	}
	return rows
}

func BenchmarkInsertUsage(b *testing.B) {
	s := open(b)
	const n = 50_000
	rows := usageRows(n)
	b.ReportAllocs()
	next := int64(0)
	for b.Loop() {
		if err := s.InsertUsage(b.Context(), schema.Marker{Range: batch(next, next+1)}, rows); err != nil {
			b.Fatal(err)
		}
		next++
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkInsertAccess(b *testing.B) {
	s := open(b)
	const n = 50_000
	rows := accessRows(n)
	b.ReportAllocs()
	next := int64(0)
	for b.Loop() {
		if err := s.InsertAccess(b.Context(), batch(next, next+1), rows); err != nil {
			b.Fatal(err)
		}
		next++
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkUsage(b *testing.B) {
	s := open(b)
	for i := range int64(4) {
		if err := s.InsertUsage(b.Context(), schema.Marker{Range: batch(i, i+1)}, usageRows(50_000)); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]schema.UsageQuery{
		"counters of usage keys":             {ByApp: true, ByCapability: true, ByAction: true},
		"counters of usage keys and buckets": {ByApp: true, ByCapability: true, ByAction: true, ByBucket: true},
		"subjects of partners by buckets":    {ByBucket: true, Subjects: true},
	} {
		q.Resolution, q.To = schema.Minute, 1<<31
		b.Run(name, func(b *testing.B) {
			cells := 0
			for b.Loop() {
				got, err := s.Usage(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				cells = len(got)
			}
			b.ReportMetric(float64(cells), "cells")
		})
	}
}
