package statement

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// month is what was read of a partition in one month: offsets from to to, with
// events on the days first and last; day 0 is none.
func month(p int32, from, to int64, first, last schema.Day) schema.Marker {
	m := schema.Marker{Range: schema.Range{Partition: schema.Partition{Incarnation: "k/t@0", Partition: p}, From: from, To: to, Pinned: max(last, 17_000)},
		Records: uint64(to - from), Events: uint64(to - from)}
	if first != 0 {
		m.FirstEvent, m.LastEvent = first.Second()*1000, last.Second()*1000
	}
	return m
}

func missing(m schema.Marker, n uint64) schema.Marker {
	m.Missing = n
	return m
}

func TestALostRecordSpoilsTheZerosOfItsMonthAndOfNoOther(t *testing.T) {
	months := []schema.Marker{month(0, 0, 10, 100, 130), missing(month(0, 10, 20, 131, 160), 3), month(0, 20, 30, 161, 190), month(1, 0, 10, 100, 190)}
	f := func(from, to schema.Day, lost uint64, records uint64) {
		t.Helper()
		c := Covers(months, schema.Day(190).Time(), from, to)
		if c.Total.Missing != lost || c.Total.Records != records {
			t.Errorf("%d to %d: %d missing of %d records, want %d of %d", from, to, c.Total.Missing, c.Total.Records, lost, records)
		}
		if _, _, ok := c.Proved(); ok != (lost == 0) {
			t.Errorf("%d to %d: proved is %v", from, to, ok)
		}
	}
	f(101, 120, 0, 20)
	f(101, 130, 3, 30) // it may have been as early as the last event of the month before
	f(140, 150, 3, 20)
	f(161, 161, 3, 30) // and as late as the first of the month after
	f(162, 180, 0, 20)
}

func TestALostRecordWithoutEventsAroundItMayHaveHappenedAtAnyTime(t *testing.T) {
	c := Covers([]schema.Marker{missing(month(0, 0, 10, 0, 0), 1), month(1, 0, 10, 100, 190)}, schema.Day(190).Time(), 120, 121)
	if len(c.WhyNot()) != 1 || c.Total.Missing != 1 {
		t.Errorf("why not: %q, %d missing", c.WhyNot(), c.Total.Missing)
	}
}

func TestAZeroIsProvedOnlyOverWhatWasRead(t *testing.T) {
	whole := month(0, 0, 10, 100, 190)
	f := func(what string, markers []schema.Marker, watermark, from, to schema.Day, provedFrom, provedTo schema.Day) {
		t.Helper()
		var at time.Time
		if watermark != 0 {
			at = watermark.Time()
		}
		gotFrom, gotTo, ok := Covers(markers, at, from, to).Proved()
		if !ok {
			gotFrom, gotTo = time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()
		}
		if !gotFrom.Equal(provedFrom.Time()) || !gotTo.Equal(provedTo.Time()) {
			t.Errorf("%s: proved from %s to %s, want %s to %s", what, gotFrom, gotTo, provedFrom.Time(), provedTo.Time())
		}
	}
	f("all of it was read", []schema.Marker{whole}, 190, 110, 119, 110, 120)
	f("it begins before what was read", []schema.Marker{whole}, 190, 90, 119, 100, 120)
	f("it ends after what was read", []schema.Marker{whole}, 190, 110, 200, 110, 190)
	f("it ends after what was judged", []schema.Marker{whole}, 150, 110, 200, 110, 150)
	f("it lies before what was read", []schema.Marker{whole}, 190, 80, 90, 0, 0)
	f("it lies after what was read", []schema.Marker{whole}, 190, 191, 195, 0, 0)
	f("nothing was judged", []schema.Marker{whole}, 0, 110, 119, 0, 0)
	f("nothing was read", nil, 190, 110, 119, 0, 0)
	f("a partition was not read from its first record", []schema.Marker{whole, month(1, 5, 10, 115, 120)}, 190, 110, 119, 115, 120)
	f("a partition was not read from its first record and is silent", []schema.Marker{whole, month(1, 5, 5, 0, 0)}, 190, 110, 119, 0, 0)
	f("a partition is empty from its first record on", []schema.Marker{whole, month(1, 0, 0, 0, 0)}, 190, 110, 119, 110, 120)
}

func TestWhatAZeroRestsOnIsSaidInWords(t *testing.T) {
	f := func(want string, from, to schema.Day, markers ...schema.Marker) {
		t.Helper()
		if got := Covers(markers, schema.Day(190).Time(), from, to).Sentence(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	f("this rests on 1,010 records of 2 partitions, offsets 0 to 999 and 5 to 14, of which none is missing, none was unreadable and none was rejected.",
		120, 130, month(0, 0, 1000, 100, 190), month(1, 5, 15, 101, 190))
	f("this rests on 10 records of 1 partition, offsets 0 to 9, of which none is missing, none was unreadable and none was rejected; proved from 1970-04-11, where what was read begins, until 1970-07-10, where what was read ends.",
		90, 200, month(0, 0, 10, 100, 190))
	broken := month(0, 0, 10, 100, 190)
	broken.Unreadable, broken.Why = 4, []string{"bad_crc"}
	f("not provable, since 4 records could not be decoded (bad_crc); this rests on 10 records of 1 partition, offsets 0 to 9.", 120, 130, broken)
	spoilt := missing(month(0, 0, 10, 100, 190), 1)
	spoilt.Rejected, spoilt.Mixed = 2, true
	f("not provable, since 1 record is missing and 2 items were rejected and a batch was begun under another mapping, key or version than it was finished under; this rests on 10 records of 1 partition, offsets 0 to 9.",
		120, 130, spoilt)
	f("not provable, since nothing of that time was read; this rests on 0 records of 0 partitions.", 120, 130)
	var many []schema.Marker
	for p := range int32(5) {
		many = append(many, month(p, 0, 10, 100, 190))
	}
	if got := Covers(many, schema.Day(190).Time(), 120, 130).Sentence(); !strings.Contains(got, "50 records of 5 partitions, offsets as listed below, of which") {
		t.Errorf("of many partitions: %s", got)
	}
}
