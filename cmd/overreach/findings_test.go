package main

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestATableSaysWhereNumbersAreEstimatesAndKeepsNamesFromTheTerminal(t *testing.T) {
	limit, ratio, past := uint64(25_000_000), 2.875, uint32(1234)
	at := time.Date(2018, 12, 10, 14, 5, 0, 0, time.UTC)
	var b strings.Builder
	findings := []schema.Finding{
		{
			FindingKey: schema.FindingKey{Detector: "volume_limit", Partner: "tunecast", Capability: "messaging", Window: schema.WindowMonth},
			Severity:   schema.Critical, State: schema.Open, Sentence: "tunecast touched many.", FirstCrossing: at,
			People: schema.Estimate{Value: 71_900_000, Low: 70_800_000, High: 73_100_000}, Limit: &limit, Ratio: &ratio,
		},
		{
			FindingKey: schema.FindingKey{Detector: "stale_access", Partner: "ann\x1b[2J"},
			Severity:   schema.Warning, State: schema.Ended, Sentence: "ann still\tuses it.", FirstCrossing: at,
			People: schema.Estimate{Value: 512, Low: 512, High: 512}, DaysPast: &past,
		},
	}
	err := writeFindings(&b, findings, []schema.FindingAction{
		{Finding: findings[1].ID(), At: at, Act: schema.Acknowledge, Who: "ann\n"},
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	want := `SEVERITY  DETECTOR      PARTNER   WHAT                  PEOPLE  AGAINST                 NOTICED (UTC)     STATE
critical  volume_limit  tunecast  messaging/month  ≈71,900,000  limit 25,000,000, 2.9×  2018-12-10 14:05  open
    ` + findings[0].ID()[:10] + `  tunecast touched many.
warning   stale_access  ann�[2J   all                      512  1,234 days past         2018-12-10 14:05  ended
    ` + findings[1].ID()[:10] + `  ann still�uses it. [ann� is on it]

findings: 1 critical, 1 warning; 1 of them open
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestThousandsAreSetApart(t *testing.T) {
	f := func(n uint64, want string) {
		t.Helper()
		if got := thousands(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	f(0, "0")
	f(999, "999")
	f(1000, "1,000")
	f(70_000_000, "70,000,000")
	f(18446744073709551615, "18,446,744,073,709,551,615")
}

func TestTheLatestActsOfAFindingAreSaidInAFewWords(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	done := func(act schema.Act, who string) schema.FindingAction { return schema.FindingAction{Act: act, Who: who} }
	silence := func(until time.Time) schema.FindingAction {
		return schema.FindingAction{Act: schema.Silence, Who: "ann", Until: until}
	}
	judged := schema.FindingAction{Act: schema.Judgement, Who: "ben", Verdict: schema.VerdictBenign}
	f := func(want string, actions ...schema.FindingAction) {
		t.Helper()
		if got := triageState(actions, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("")
	f("ben is on it", done(schema.Acknowledge, "ann"), done(schema.Acknowledge, "ben"))
	f("resolved by ben", done(schema.Acknowledge, "ann"), done(schema.Resolve, "ben"))
	f("ann is on it", done(schema.Acknowledge, "ann"), done(schema.Resolve, "ben"), done(schema.SeenAgain, "overreach"))
	f("silenced until 2026-03-02 13:00", silence(now.Add(time.Hour)))
	f("", silence(now.Add(time.Hour)), silence(now))
	f("silenced until 2026-03-02 13:00, ann is on it, verdict benign", done(schema.Acknowledge, "ann"), silence(now.Add(time.Hour)), judged)
}

func TestASilenceHasAnEndThatIsAheadAndNotTooFar(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	f := func(text string, want time.Time) {
		t.Helper()
		if got, err := silenceEnd(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	f("now", now)
	f("90m", now.Add(90*time.Minute))
	f("7d", now.AddDate(0, 0, 7))
	f("2026-03-14", time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC))
	f("2026-03-02T15:00:00+02:00", now.Add(time.Hour))

	fails := func(text, want string) {
		t.Helper()
		if _, err := silenceEnd(text, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
	fails("", "a silence has an end")
	fails("soon", `--until "soon": expected`)
	fails("-4h", "--until now lifts")
	fails("0d", "--until now lifts")
	fails("2026-03-01", "--until now lifts")
	fails("91d", "91 days ahead, the limit is 90")
	fails("99999999d", "expected")
	fails("2400h", "100 days ahead, the limit is 90")
}
