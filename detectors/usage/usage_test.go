package usage

import (
	"fmt"
	"testing"
)

func TestASpanWithoutAnEndLastsForEver(t *testing.T) {
	if got := (Span{From: 3, To: 5}).End(); got != 5*86_400 {
		t.Errorf("days 3 and 4 end at %d", got)
	}
	if got := (Span{From: 3}).End(); got != 1<<40 {
		t.Errorf("what has no end ends at %d", got)
	}
}

func TestMetricsAreSpelledAsInTheTables(t *testing.T) {
	if got := fmt.Sprint(Metrics); got != "[accesses people bytes]" {
		t.Errorf("they are %s", got)
	}
}

func TestASeriesHasABucketForEachOfItsValues(t *testing.T) {
	s := Series{Values: [metrics][]float64{Accesses: make([]float64, 9)}}
	if got := s.Buckets(); got != 9 {
		t.Errorf("it has %d buckets", got)
	}
}
