package judge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// lost is a gap of partition 0 at a time of the day of foundOf, in minutes, of so many offsets.
func lost(from, to int, missing uint64) schema.Gap {
	at := func(m int) int64 { return foundOf("", "").EvidenceFrom.Add(time.Duration(m) * time.Minute).UnixMilli() }
	return schema.Gap{Range: schema.Range{Partition: part(0), From: 10, To: 20, Pinned: 17883}, Missing: missing, First: at(from), Last: at(to)}
}

// ofGaps is a judge that finds nothing but gaps.
func ofGaps(l *ledger) *book {
	k := onLedger(Config{Lateness: time.Minute}, l)
	k.j.detectors = []detectors.Detector{detectors.DataGap{}}
	return k
}

func (k *book) judgesGaps(t *testing.T, what string, reads int) {
	t.Helper()
	before := k.times("Gaps")
	if err := k.r.judgeGaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.times("Gaps") - before; got != reads {
		t.Errorf("%s: gaps are read %d times, want %d", what, got, reads)
	}
}

func TestGapsAreReadWhereTheyMayHaveChanged(t *testing.T) {
	k := ofGaps(&ledger{})
	k.judgesGaps(t, "at first", 1)
	if k.times("Findings") != 0 {
		t.Error("though there is none, findings are read that it may touch")
	}
	k.judgesGaps(t, "nothing is lost", 0)
	k.r.extents = []schema.Marker{{Missing: 3}, {Unreadable: 4}}
	k.gaps = []schema.Gap{lost(0, 30, 7)}
	k.judgesGaps(t, "something is", 1)
	if k.j.missing != 7 {
		t.Errorf("%d offsets are known to be lost, want 3 missing and 4 unreadable", k.j.missing)
	}
	k.judgesGaps(t, "no more is", 0)
	findings := k.times("Findings")
	k.r.extents[0].Missing++
	k.judgesGaps(t, "more is, of the same gap", 1)
	if k.times("Findings") != findings {
		t.Error("though the gaps are as before, findings are read that they may touch")
	}
	k.gaps[0].Last = 0
	k.r.extents[0].Missing++
	k.judgesGaps(t, "the events after it have not come", 1)
	k.judgesGaps(t, "and not yet", 1)
	k.gaps[0].Last = 60_000
	k.judgesGaps(t, "they have", 1)
	k.judgesGaps(t, "that is known", 0)
	k.j.outChanged, findings = true, k.times("Findings")
	k.judgesGaps(t, "a partition is left out", 1)
	if k.j.outChanged || k.times("Findings") == findings {
		t.Error("findings do not say which partition is left out")
	}
	k.j.gapsRead = false // other slots
	findings = k.times("Findings")
	k.judgesGaps(t, "other slots", 1)
	if k.times("Findings") == findings {
		t.Error("findings of the new slots do not say what they may miss")
	}
}

func TestReadingGapsThatFailsIsDoneOnceMore(t *testing.T) {
	for method, want := range map[string]string{
		"Gaps": "reading gaps: no answer", "WriteFindings": "writing which findings are not complete: no answer",
		"Findings": "reading findings that a gap may touch: no answer",
	} {
		k := ofGaps(&ledger{gaps: []schema.Gap{lost(0, 30, 7)}, findings: []schema.Finding{foundOf("bank", schema.Open)}, fails: method})
		k.j.slots = []uint8{schema.Slot("bank")} // the gap itself is another's to judge
		if err := k.r.judgeGaps(t.Context()); err == nil || err.Error() != want || !errors.Is(err, errLedger) {
			t.Errorf("%s fails: %v, want %q", method, err, want)
		}
		k.fails = ""
		k.judgesGaps(t, "after "+method+" failed", 1)
		if got := missingOf(k.wrote); !slices.Equal(got, []string{"bank 7 false"}) {
			t.Errorf("after %s failed, written is %q", method, got)
		}
	}
	k := ofGaps(&ledger{gaps: []schema.Gap{lost(0, 30, 7)}, fails: "LastReported"})
	if err := k.r.judgeGaps(t.Context()); err == nil || err.Error() != "reading what was told: no answer" || k.j.gapsRead {
		t.Errorf("telling of the gap fails: %v", err)
	}
}

func TestAGapIsFoundByWhoeverJudgesTheSlotOfNobody(t *testing.T) {
	for _, c := range []struct {
		slots []uint8
		want  int
	}{{nil, 1}, {[]uint8{schema.Slot("bank")}, 0}} {
		k := ofGaps(&ledger{gaps: []schema.Gap{lost(0, 30, 7)}, slots: c.slots})
		if err := k.r.judgeGaps(t.Context()); err != nil || len(k.heard) != c.want || len(k.changes) != c.want {
			t.Errorf("with slots %v: told are %v (%v)", c.slots, k.heard, err)
		}
	}
}

func TestFindingsSayWhatMayBeMissingOfThem(t *testing.T) {
	quiet := foundOf("quiet", schema.Open)
	quiet.EvidenceFrom, quiet.EvidenceTo = quiet.EvidenceTo.Add(6*time.Hour), quiet.EvidenceTo.Add(7*time.Hour)
	whole := foundOf("whole", schema.Ended)
	whole.Missing, whole.Complete = 7, false // it says so already
	coverage := foundOf(detectors.NoPartner, schema.Open)
	l := &ledger{gaps: []schema.Gap{lost(0, 30, 4), lost(50, 70, 3)}, findings: []schema.Finding{
		foundOf("bank", schema.Open), foundOf("shop", schema.Ended), foundOf("gone", schema.Withdrawn), quiet, whole, coverage,
	}}
	k := ofGaps(l)
	k.j.detectors = nil
	if err := k.r.judgeGaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := missingOf(k.wrote); !slices.Equal(got, []string{"bank 7 false", "shop 7 false"}) {
		t.Errorf("written is %q", got)
	}

	l.gaps, l.findings[0].Missing, l.findings[0].Complete, k.wrote = nil, 7, false, nil
	k.r.extents = []schema.Marker{{Missing: 1}}
	if err := k.r.judgeGaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := missingOf(k.wrote); !slices.Equal(got, []string{"bank 0 true", "whole 0 true"}) {
		t.Errorf("when nothing is missing any more, written is %q", got)
	}
}

func TestAFindingKeepsWhatWasMissingWhereOnlyItsMonthIsKnown(t *testing.T) {
	merged := lost(0, 30, 100)
	merged.Merged = true
	f := func(what string, said uint64, gaps []schema.Gap, want ...string) {
		t.Helper()
		finding := foundOf("bank", schema.Open)
		finding.Missing, finding.Complete = said, said == 0
		k := ofGaps(&ledger{gaps: gaps, findings: []schema.Finding{finding}})
		k.j.detectors = nil
		if err := k.r.judgeGaps(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := missingOf(k.wrote); !slices.Equal(got, want) {
			t.Errorf("%s: written is %q, want %q", what, got, want)
		}
	}
	f("it said 5 while that was known exactly", 5, []schema.Gap{merged})
	f("it said nothing", 0, []schema.Gap{merged})
	f("more is known exactly", 5, []schema.Gap{merged, lost(0, 30, 6)}, "bank 6 false")
	f("less is known exactly", 5, []schema.Gap{merged, lost(0, 30, 4)})
	f("nothing is merged", 5, []schema.Gap{lost(0, 30, 4)}, "bank 4 false")
}

func TestAGapTouchesAFindingUpToTheLateness(t *testing.T) {
	f := foundOf("bank", schema.Open) // of minutes 0 to 60; lateness is a minute
	k := ofGaps(&ledger{})
	for _, c := range []struct {
		what     string
		from, to int
		want     uint64
	}{
		{"around its end", 59, 90, 1}, {"a minute after its end", 61, 90, 0}, {"less than that", 60, 90, 1},
		{"a minute before its beginning", -30, -1, 1}, {"earlier", -30, -2, 0},
	} {
		k.j.gaps = []schema.Gap{lost(c.from, c.to, 1)}
		if got, merged := k.r.missing(&f); got != c.want || merged != 0 {
			t.Errorf("%s: %d are missing, want %d", c.what, got, c.want)
		}
	}
}

func TestAQuestionAboutAGapIsAnsweredByThoseOfItsPartitionAndDay(t *testing.T) {
	other, merged, unreadable := lost(0, 30, 2), lost(0, 30, 3), lost(0, 30, 4)
	other.Pinned++
	merged.Merged, unreadable.Why = true, "bad_crc"
	k := ofGaps(&ledger{})
	k.j.gaps = []schema.Gap{lost(0, 30, 1), other, merged, unreadable, lost(30, 40, 5)}
	key := detectors.DataGap{}.Key(&k.j.gaps[0])
	got := k.r.gapsOf(key)
	if len(got) != 2 || got[0].Missing != 1 || got[1].Missing != 5 {
		t.Errorf("got %+v", got)
	}
	answers, err := k.r.answer(t.Context(), []asked{{Question: usage.Question{FindingKey: key}}})
	if err != nil || len(answers) != 1 || len(answers[0].Gaps) != 2 {
		t.Errorf("the answer is %+v (%v)", answers, err)
	}
	if got := gapQuery(got); got != "SELECT * FROM coverage WHERE incarnation = 'k/t@1' AND partition = 0" {
		t.Errorf("the query is %q", got)
	}
	if got := gapQuery(nil); got != "" {
		t.Errorf("the query of no gap is %q", got)
	}
}

func TestAGapsFindingSaysWhoAnswersForIt(t *testing.T) {
	k := ofGaps(&ledger{gaps: []schema.Gap{lost(0, 30, 7)}})
	if err := k.r.judgeGaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := k.wrote[0]
	if f.Owner != "whoever runs Overreach" || !strings.HasPrefix(f.Query, "SELECT * FROM coverage") || f.Runbook != "docs/detectors/data_gap.md" || f.BlindSpots != (detectors.DataGap{}).BlindSpots() {
		t.Errorf("it says %+v", f)
	}
}
