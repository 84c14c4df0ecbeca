package main

// findingsOf returns what a database's log half of findings says, a line each.
// What is withdrawn never followed from the whole log.
//
// Two things that it says of records which nobody could read depend on how batches
// were cut, and on the day on which the gap was met, and are left out: the times of
// data_gap, and which other findings they leave incomplete. Between which events a
// lost record happened is known by the batches around it alone. What is left of data_gap is
// how many offsets of each partition were lost, and why.
func findingsOf(ask func(string) ([]string, error)) ([]string, error) {
	found, err := ask(`SELECT * EXCEPT (offsets, registry_ordinal, watermark, complete, missing) FROM findings_log FINAL
		WHERE state != 'withdrawn' AND detector != 'data_gap' ORDER BY id`)
	if err != nil {
		return nil, err
	}
	lost, err := ask(`SELECT detector, cause, severity, sum(missing) FROM findings_log FINAL
		WHERE state != 'withdrawn' AND detector = 'data_gap' GROUP BY detector, cause, severity ORDER BY cause`)
	return append(found, lost...), err
}
