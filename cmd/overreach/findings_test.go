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
	err := writeFindings(&b, []schema.Finding{
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
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `SEVERITY  DETECTOR      PARTNER   WHAT                  PEOPLE  AGAINST                 NOTICED (UTC)     STATE
critical  volume_limit  tunecast  messaging/month  ≈71,900,000  limit 25,000,000, 2.9×  2018-12-10 14:05  open
    tunecast touched many.
warning   stale_access  ann�[2J   all                      512  1,234 days past         2018-12-10 14:05  ended
    ann still�uses it.

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
