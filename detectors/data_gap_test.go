package detectors

import (
	"strings"
	"testing"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// What could not be decoded is a finding beside that of what was missing on the
// same day: only one of them says that Kafka no longer had it.
func TestWhatCouldNotBeDecodedIsAFindingOfItsOwn(t *testing.T) {
	at := func(from, to int64, n uint64, why string) schema.Gap {
		return schema.Gap{Range: schema.Range{Partition: schema.Partition{Incarnation: "k/t@1", Partition: 3}, From: from, To: to, Pinned: 20000}, Missing: n, Why: why, First: 60_000, Last: 120_000}
	}
	gaps := []schema.Gap{at(10, 20, 4, ""), at(100, 200, 90, "bad_crc"), at(300, 310, 10, "bad_batch")}
	questions := DataGap{}.Ask(nil, usage.Activity{Partner: NoPartner, Gaps: gaps})
	if len(questions) != 2 {
		t.Fatalf("asked %v", questions)
	}
	for i, want := range []struct {
		cause   string
		gaps    []schema.Gap
		missing uint64
		says    string
	}{
		{"missing in k/t@1/3", gaps[:1], 4, "Kafka no longer had 4 records of k/t@1 partition 3 (offsets 10 to 20)"},
		{"unreadable in k/t@1/3", gaps[1:], 100, "100 offsets of k/t@1 partition 3 (within offsets 100 to 310) could not be decoded (bad_crc, bad_batch) and were passed"},
	} {
		f, is := DataGap{}.Judge(nil, questions[i], usage.Answer{Gaps: want.gaps})
		if !is || f.Cause != want.cause || f.Missing != want.missing || f.Severity != schema.Critical || !strings.Contains(f.Sentence, want.says) {
			t.Errorf("found %t, %+v; want %+v", is, f, want)
		}
	}
}
