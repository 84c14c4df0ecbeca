package judge

import "time"

// SetClock gives the judge another wall clock.
func (j *Judge) SetClock(now func() time.Time) { j.now = now }
