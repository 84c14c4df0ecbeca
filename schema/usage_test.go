package schema

import "testing"

func TestAGapTouchesWhateverALateEventOfItCouldBeOf(t *testing.T) {
	const lateness = 5
	gap := Gap{Missing: 1, First: 100, Last: 200}
	open := Gap{Missing: 1, First: 100}
	f := func(what string, g Gap, from, to int64, want bool) {
		t.Helper()
		if got := g.Touches(from, to, lateness); got != want {
			t.Errorf("%s: [%d, %d) is touched: %t, want %t", what, from, to, got, want)
		}
	}
	f("it ends where the earliest late event may be", gap, 50, 95, false)
	f("it holds the earliest late event", gap, 50, 96, true)
	f("it lies between", gap, 120, 130, true)
	f("it begins where the latest late event may be", gap, 205, 300, true)
	f("it begins after that", gap, 206, 300, false)
	f("nothing came after the gap yet", open, 1e6, 1e6+1, true)
	f("nothing came after the gap, and it ends before it", open, 50, 95, false)
	f("nothing came after the gap, and it holds the earliest late event", open, 50, 96, true)
}
