package detectors_test

import (
	"testing"
	"unsafe"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// BenchmarkJudge10000KeysForANewHour judges as many keys (a capability as a whole,
// its apps and actions), each with its three metrics and 56 days of history, as they
// are when the first, the twelfth and the last hour of a day has closed: the day's
// hours before are judged again with it. What a key holds is reported as B/key.
func BenchmarkJudge10000KeysForANewHour(b *testing.B) {
	const keys, parts = 10_000, 4 // a capability with three parts
	registry := parse(b, surgeRegistry)
	for name, hours := range map[string]int{"hour 1 of the day": 1, "hour 12": 12, "hour 24": 24} {
		b.Run(name, func(b *testing.B) {
			var answer usage.Answer
			held := 0
			for i := range parts {
				s := ordinary(500/float64(i+1), 56, hours)
				if i > 0 {
					s.App, s.Action = string(rune('a'+i)), schema.Read
				}
				answer.Series = append(answer.Series, s)
				held += int(unsafe.Sizeof(s))
				for _, values := range s.Values {
					held += 8 * cap(values)
				}
			}
			answer.Watermark = surgeDay.Second() + int64(hours)*3600
			q := surgeQuestion("messaging")
			b.ReportAllocs()
			for b.Loop() {
				for range keys / parts {
					if scores, _, _ := (detectors.Surge{}).Score(registry, q, answer); len(scores) != parts*len(usage.Metrics)*hours {
						b.Fatalf("%d scores", len(scores))
					}
				}
			}
			b.ReportMetric(float64(held)/parts, "B/key")
		})
	}
}
