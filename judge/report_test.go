package judge

import (
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestWhatIsToldOfAFindingFollowsFromWhatWasToldBefore(t *testing.T) {
	const open, ended, withdrawn = schema.Open, schema.Ended, schema.Withdrawn
	const warning, critical = schema.Warning, schema.Critical
	type s struct {
		schema.State
		schema.Severity
	}
	f := func(before *s, now s, want schema.ChangeKind) {
		t.Helper()
		var told schema.FindingChange
		if before != nil {
			told.Finding.State, told.Finding.Severity = before.State, before.Severity
		}
		if got := change(told, before != nil, schema.Finding{State: now.State, Severity: now.Severity}); got != want {
			t.Errorf("told %v before, is %v: got %q, want %q", before, now, got, want)
		}
	}
	f(nil, s{open, warning}, schema.ChangeNew)
	f(nil, s{open, critical}, schema.ChangeNew)
	f(nil, s{ended, critical}, schema.ChangeNew) // nobody knew
	f(nil, s{withdrawn, critical}, "")

	f(&s{open, warning}, s{open, warning}, "")
	f(&s{open, warning}, s{open, critical}, schema.ChangeRaised)
	f(&s{open, critical}, s{open, warning}, "")
	f(&s{open, warning}, s{ended, warning}, schema.ChangeEnded)
	f(&s{open, warning}, s{ended, critical}, schema.ChangeEnded)
	f(&s{open, warning}, s{withdrawn, warning}, schema.ChangeWithdrawn)

	f(&s{ended, warning}, s{ended, warning}, "")
	f(&s{ended, warning}, s{open, warning}, schema.ChangeReopened)
	f(&s{ended, warning}, s{ended, critical}, schema.ChangeRaised) // late events
	f(&s{ended, warning}, s{withdrawn, warning}, schema.ChangeWithdrawn)

	f(&s{withdrawn, warning}, s{withdrawn, warning}, "")
	f(&s{withdrawn, warning}, s{open, critical}, schema.ChangeReopened)
}

func TestARunOfDaysIsToldAsOne(t *testing.T) {
	const monday = schema.Day(17889)
	at := func(d schema.Day, w schema.Window, state schema.State, ended time.Time) schema.Finding {
		return schema.Finding{
			FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "p", Window: w, Cause: "limit", Period: d},
			PeriodEnd:  d + 1, State: state, EndedAt: ended,
		}
	}
	f := func(what string, before, after schema.Finding, isContinued, isGoingOn bool) {
		t.Helper()
		stored := map[string]schema.Finding{before.ID(): before, after.ID(): after}
		if got := continues(after, stored); got != isContinued {
			t.Errorf("%s: the second day continues the first: %v", what, got)
		}
		if got := goesOn(before, stored); got != isGoingOn {
			t.Errorf("%s: the first day goes on in the second: %v", what, got)
		}
	}
	const hour, month = schema.WindowHour, schema.WindowMonth
	midnight := (monday + 1).Time()
	tuesday := at(monday+1, hour, schema.Open, time.Time{})
	f("open over midnight", at(monday, hour, schema.Open, time.Time{}), tuesday, true, true)
	f("ended at midnight", at(monday, hour, schema.Ended, midnight), tuesday, true, true)
	f("ended after midnight", at(monday, hour, schema.Ended, midnight.Add(time.Minute)), tuesday, true, true)
	f("ended before midnight", at(monday, hour, schema.Ended, midnight.Add(-time.Minute)), tuesday, false, false)
	f("the first withdrawn", at(monday, hour, schema.Withdrawn, time.Time{}), tuesday, false, false)
	f("the second withdrawn", at(monday, hour, schema.Open, time.Time{}), at(monday+1, hour, schema.Withdrawn, time.Time{}), true, false)
	f("two days apart", at(monday-1, hour, schema.Open, time.Time{}), tuesday, false, false)
	f("another window", at(monday, schema.Window24h, schema.Open, time.Time{}), tuesday, false, false)
	f("months", at(monday, month, schema.Open, time.Time{}), at(monday+1, month, schema.Open, time.Time{}), false, false)
}
