package detectors

import (
	"fmt"
	"slices"
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

// gapIn is a gap of partition 3, of so many offsets, between two times in minutes since the
// beginning of day 20,000; -1 stands for no event.
func gapIn(from, to int64, missing uint64, why string, first, last int64) schema.Gap {
	ms := func(minute int64) int64 {
		if minute < 0 {
			return 0
		}
		return schema.Day(20000).Second()*1000 + minute*60_000 + 7
	}
	return schema.Gap{
		Range:   schema.Range{Partition: schema.Partition{Incarnation: "k/t@1", Partition: 3}, From: from, To: to, Pinned: 20001},
		Missing: missing, Why: why, First: ms(first), Last: ms(last),
	}
}

func TestAGapsFindingHoldsAllGapsOfItsPartitionAndDay(t *testing.T) {
	const day = 1440
	f := func(what string, watermark int64, want string, gaps ...schema.Gap) {
		t.Helper()
		got, ok := DataGap{}.Judge(nil, usage.Question{FindingKey: DataGap{}.Key(&gaps[0])}, usage.Answer{Gaps: gaps, Watermark: schema.Day(20000).Second() + watermark*60})
		at := func(s int64) string {
			if s < 0 {
				return "never"
			}
			return fmt.Sprint((s - schema.Day(20000).Second()) / 60)
		}
		says := fmt.Sprintf("%d missing of %s to %s, seen %s to %s, noticed %s, %s at %s", got.Missing, at(got.EvidenceFrom.Unix()), at(got.EvidenceTo.Unix()),
			at(got.FirstSeen.Unix()), at(got.LastSeen.Unix()), at(got.FirstCrossing.Unix()), got.State, at(got.EndedAt.Unix()))
		if !ok || says != want || !got.Peak.Equal(got.FirstCrossing) || got.PeriodEnd != 20002 || got.Severity != schema.Critical || !strings.HasPrefix(got.Sentence, "Kafka no longer had ") {
			t.Errorf("%s: got %s, want %s", what, says, want)
		}
	}
	one := gapIn(10, 20, 4, "", 5, 9)
	f("one", 0, "4 missing of 5 to 10, seen 5 to 9, noticed 2880, open at never", one)
	f("a week less a minute after it", 10+7*day-1, "4 missing of 5 to 10, seen 5 to 9, noticed 2880, open at never", one)
	f("a week after it", 10+7*day, "4 missing of 5 to 10, seen 5 to 9, noticed 2880, ended at 10090", one)
	f("two", 0, "7 missing of 3 to 13, seen 3 to 12, noticed 2880, open at never", one, gapIn(30, 40, 3, "", 3, 12))
	f("the other way round", 0, "7 missing of 3 to 13, seen 3 to 12, noticed 2880, open at never", gapIn(30, 40, 3, "", 3, 12), one)
	f("no event after one of them", 90*day, "7 missing of 3 to 2880, seen 3 to never, noticed 2880, open at never", one, gapIn(30, 40, 3, "", 3, -1))
	f("no event after the first", 90*day, "7 missing of 3 to 2880, seen 3 to never, noticed 2880, open at never", gapIn(30, 40, 3, "", 3, -1), one)
	f("no event after it, and those before are later than its day", 90*day, "3 missing of 5000 to 5001, seen 5000 to never, noticed 2880, open at never", gapIn(30, 40, 3, "", 5000, -1))
	f("no event before it", 0, "3 missing of never to 10, seen never to 9, noticed 2880, open at never", gapIn(30, 40, 3, "", -1, 9))
	if _, ok := (DataGap{}).Judge(nil, usage.Question{}, usage.Answer{}); ok {
		t.Error("no gap is found")
	}
}

func TestTheSentenceOfAGapSaysWhatWasLostAndOfWhen(t *testing.T) {
	f := func(g schema.Gap, want string) {
		t.Helper()
		got, _ := DataGap{}.Judge(nil, usage.Question{FindingKey: DataGap{}.Key(&g)}, usage.Answer{Gaps: []schema.Gap{g}})
		if got.Sentence != want {
			t.Errorf("got  %s\nwant %s", got.Sentence, want)
		}
	}
	const zero = " UTC may be too low, for every partner, and a zero is no proof."
	f(gapIn(10, 20, 1, "", 5, 9), "Kafka no longer had 1 record of k/t@1 partition 3 (offsets 10 to 20) when they were to be read: counts of what happened from 2024-10-04 00:05 on up to 2024-10-04 00:10"+zero)
	f(gapIn(10, 20, 1000, "", -1, 9), "Kafka no longer had 1,000 records of k/t@1 partition 3 (offsets 10 to 20) when they were to be read: counts of what happened up to 2024-10-04 00:10"+zero)
	f(gapIn(10, 20, 2, "bad_crc", 5, -1), "2 offsets of k/t@1 partition 3 (within offsets 10 to 20) could not be decoded (bad_crc) and were passed: counts of what happened from 2024-10-04 00:05 on"+zero)
	f(gapIn(10, 20, 1, "bad_crc", -1, -1), "1 offset of k/t@1 partition 3 (within offsets 10 to 20) could not be decoded (bad_crc) and were passed: counts of what happened at any time"+zero)
	two := []schema.Gap{gapIn(10, 20, 1, "bad_crc, bad_codec", -1, -1), gapIn(5, 7, 1, "bad_crc", -1, -1), gapIn(30, 40, 1, "bad_batch", -1, -1)}
	got, _ := DataGap{}.Judge(nil, usage.Question{FindingKey: DataGap{}.Key(&two[0])}, usage.Answer{Gaps: two})
	if !strings.HasPrefix(got.Sentence, "3 offsets of k/t@1 partition 3 (within offsets 5 to 40) could not be decoded (bad_crc, bad_codec, bad_batch) and were passed") {
		t.Errorf("of three it says %s", got.Sentence)
	}
}

func TestEachGapAndEachOpenFindingOfGapsIsAskedAboutOnce(t *testing.T) {
	merged := gapIn(50, 60, 1, "bad_crc", -1, -1)
	merged.Merged = true
	gaps := []schema.Gap{gapIn(10, 20, 1, "", 5, 9), gapIn(30, 40, 1, "", 5, 9), merged}
	old := DataGap{}.Key(&gaps[0])
	old.Period--
	a := usage.Activity{Gaps: gaps, Open: []schema.FindingKey{old, {Detector: "unregistered_partner"}, DataGap{}.Key(&gaps[0])}}
	var got []string
	for _, q := range (DataGap{}).Ask(nil, a) {
		got = append(got, fmt.Sprint(q.Cause, " ", q.Period, len(q.Spans)))
	}
	if want := []string{"missing in k/t@1/3 2024-10-04 1", "missing in k/t@1/3 2024-10-05 1"}; !slices.Equal(got, want) {
		t.Errorf("asked is %q, want %q", got, want)
	}
	a.Partner = "bank"
	if got := (DataGap{}).Ask(nil, a); got != nil {
		t.Errorf("of a partner is asked %v", got)
	}
	if got := (DataGap{}).Watches(nil, "bank"); got != nil {
		t.Errorf("of a partner it watches %q", got)
	}
}
