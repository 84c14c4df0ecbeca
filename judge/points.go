package judge

// The points between two steps of a round, as the kill test names them. A crash
// at any of them leaves work that the next round finishes.
const (
	pointFindings = "findings" // the log half is written
	pointChanges  = "changes"  // the changes are written, and not yet sent
	pointReported = "told"
	pointJudged   = "judged"  // how far was judged is written
	pointCadence  = "cadence" // one cadence is done, the next is not
)
