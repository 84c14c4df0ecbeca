package detectors

import (
	"fmt"
	"testing"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// twelveWeeks is a series of days from a Monday on, of which each bucket is what of says.
func twelveWeeks(of func(day int) float64) usage.Series {
	s := usage.Series{Begin: monday(20000).Second(), Step: schema.Daily}
	for m := range s.Values {
		s.Values[m] = make([]float64, weekDays)
		for i := range s.Values[m] {
			s.Values[m][i] = of(i) * float64(m+1)
		}
	}
	return s
}

func TestWeeksCountFromTheFirstInWhichAKeyWasUsedAllWeek(t *testing.T) {
	r, q := &registry.Registry{}, &usage.Question{}
	for first, want := range map[int]string{
		0: "12 weeks, first 7", 6: "12 weeks, first 1", 7: "10 weeks, first 7", 13: "10 weeks, first 7", 14: "9 weeks, first 7",
		76: "1 weeks, first 7", 77: "0 weeks", 83: "0 weeks", 84: "0 weeks",
	} {
		s := twelveWeeks(func(day int) float64 {
			if day < first {
				return 0
			}
			return 7
		})
		weeks := weekly(r, q, &s, usage.Accesses)
		got := fmt.Sprintf("%d weeks", len(weeks))
		if len(weeks) > 0 {
			got += fmt.Sprintf(", first %.3g", weeks[0])
		}
		if got != want {
			t.Errorf("used from day %d on: got %s, want %s", first, got, want)
		}
	}
	s := twelveWeeks(func(day int) float64 { return float64(day/7 + 1) })
	for week, got := range weekly(r, q, &s, usage.Bytes) {
		if want := float64((week + 1) * 3); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("in week %d it is %g bytes a day, want %g", week, got, want)
		}
	}
}

func TestAFindingOfAWeekIsOfItsLastSevenDays(t *testing.T) {
	s := twelveWeeks(func(day int) float64 { return float64(max(0, day-76)) }) // 1 to 7 in the last week
	a := &usage.Answer{Series: []usage.Series{s}}
	q := &usage.Question{FindingKey: schema.FindingKey{Detector: "creep", Partner: "bank", Window: schema.WindowClockWeek, Period: 20004}}
	f := ofWeek(q, a)
	if f.Accesses != 28 || f.People.Value != 14 || f.PeriodEnd != 20011 || f.Severity != schema.Warning || f.FindingKey != q.FindingKey ||
		f.EvidenceFrom != schema.Day(20004).Time() || f.EvidenceTo != schema.Day(20011).Time() || f.Peak != f.EvidenceTo || f.FirstCrossing != f.EvidenceTo {
		t.Errorf("it is %+v", f)
	}
	for watermark, want := range map[int64]string{schema.Day(20018).Second() - 1: "open 0001-01-01", schema.Day(20018).Second(): "ended 2024-10-22"} {
		a.Watermark = watermark
		f := ofWeek(q, a)
		if got := string(f.State) + " " + f.EndedAt.Format("2006-01-02"); got != want {
			t.Errorf("at %d: got %s, want %s", watermark, got, want)
		}
	}
	if !whole(a) {
		t.Error("twelve weeks are not whole")
	}
	a.Series[0].Values[usage.Accesses] = a.Series[0].Values[usage.Accesses][1:]
	if whole(a) || whole(&usage.Answer{}) {
		t.Error("a day less is whole")
	}
}
