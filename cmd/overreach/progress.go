package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/overreach/overreach/replay"
)

// progress returns what shows on a terminal how much of an input was sent:
// read returns how far it is. Where nobody watches it shows nothing. total is in
// the unit of read; −1 where it is not known.
func progress(w io.Writer, what, unit string, total int64, read func(replay.Counts) int64) func(replay.Counts) {
	if !isTerminal(w) {
		return nil
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
	return func(c replay.Counts) { _ = bar.Set64(read(c)) } // a bar that fails is no reason to stop
}
