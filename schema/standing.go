package schema

import (
	"fmt"
	"time"
)

// Standing is a partition whose own time stands still though not all of it is
// counted, as the judge keeps it in ClickHouse for whoever judges next.
type Standing struct {
	Partition
	Time    int64         // its own time: of its latest event, of its latest record where it has no event; milliseconds since 1970
	To      int64         // up to there it is counted
	Backlog int64         // end of what waits to be counted and is not; 0: counting keeps up with its end, only its time stands
	Stood   time.Duration // for how long that was seen
	LeftOut bool          // the watermark does not wait for it
	Unread  int64         // event time from which on its records may not be counted, seconds since 1970; 0 where Backlog is 0
}

// String names the partition, and says where its own clock stands.
func (s Standing) String() string {
	name := fmt.Sprintf("%s partition %d", s.Incarnation, s.Partition.Partition)
	if s.Time == 0 {
		return name + ", of which no event is counted"
	}
	return name + ", whose own clock stands at " + time.UnixMilli(s.Time).UTC().Format(time.DateTime) + " UTC"
}
