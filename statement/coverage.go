package statement

import (
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// Coverage is what was read of the log in the time of a statement: what each of
// its numbers, and above all each zero, rests on.
//
// When a lost or rejected record happened is not known. It is taken to lie
// anywhere between the first and the last event of the calendar month in which
// its partition was read past it, or of the months around it.
type Coverage struct {
	Partitions []schema.Marker // what was read while it could hold events of the time; by incarnation and partition
	Total      schema.Marker   // their sums; Mixed where any is

	// Begins and Ends are the event times between which the log was read; zero
	// where nothing was read, or nothing was judged yet. Of a partition that was
	// not read from its first record on, nothing is known of before its first
	// event. What is later than the judge's watermark may be incomplete.
	Begins, Ends time.Time

	// LeftOut names the partitions that the judge's watermark leaves out, and where the
	// clock of each stands. Where counting one has stopped, Ends is no later than that.
	LeftOut []string

	asked span
}

// span is a time [from, to).
type span struct{ from, to time.Time }

// Covers works out what was read of the days from and to, both included. The
// markers are those of months, ordered by incarnation, partition and month; watermark
// is the event time up to which all was read, zero where nothing was judged.
func Covers(markers []schema.Marker, watermark time.Time, from, to schema.Day) Coverage {
	c := Coverage{asked: span{from.Time(), (to + 1).Time()}}
	var first, last, begins time.Time
	for len(markers) > 0 {
		n := 1
		for n < len(markers) && markers[n].Partition == markers[0].Partition {
			n++
		}
		whole := markers[0]
		for _, m := range markers[1:n] {
			whole = merge(whole, m)
		}
		if whole.FirstEvent != 0 {
			first, last = earliest(first, at(whole.FirstEvent)), latest(last, at(whole.LastEvent))
		}
		if whole.From > 0 {
			begins = latest(begins, firstKnown(whole))
		}
		c.add(markers[:n])
		markers = markers[n:]
	}
	if first.IsZero() || watermark.IsZero() {
		return c
	}
	c.Begins, c.Ends = latest(first, begins), earliest(last, watermark)
	return c
}

// firstKnown is from when on a partition is known that was not read from its
// first record on.
func firstKnown(m schema.Marker) time.Time {
	if m.FirstEvent == 0 {
		return m.Pinned.Time()
	}
	return at(m.FirstEvent)
}

// add adds what months of one partition say of the time asked for.
func (c *Coverage) add(months []schema.Marker) {
	var of *schema.Marker
	for i, m := range months {
		if !reach(months, i).touches(c.asked) {
			continue
		}
		if of == nil {
			c.Partitions = append(c.Partitions, m)
			of = &c.Partitions[len(c.Partitions)-1]
		} else {
			*of = merge(*of, m)
		}
	}
	if of != nil {
		c.Total = merge(c.Total, *of)
	}
}

// reach is the time in which a record of a month can have happened that is not
// known: its events', or those of the months around it.
func reach(months []schema.Marker, i int) span {
	var s span // a zero end is no end
	if i > 0 && months[i-1].LastEvent != 0 {
		s.from = at(months[i-1].LastEvent)
	}
	if i+1 < len(months) && months[i+1].FirstEvent != 0 {
		s.to = at(months[i+1].FirstEvent)
	}
	if m := months[i]; m.FirstEvent != 0 {
		if s.from.IsZero() || at(m.FirstEvent).Before(s.from) {
			s.from = at(m.FirstEvent)
		}
		s.to = latest(s.to, at(m.LastEvent))
	}
	return s
}

func (s span) touches(o span) bool {
	return s.from.Before(o.to) && (s.to.IsZero() || !s.to.Before(o.from))
}

func merge(a, b schema.Marker) schema.Marker {
	a.To, a.Pinned = max(a.To, b.To), max(a.Pinned, b.Pinned)
	a.Records += b.Records
	a.Missing += b.Missing
	a.Events += b.Events
	a.Unreadable += b.Unreadable
	for _, why := range b.Why {
		if !slices.Contains(a.Why, why) {
			a.Why = slices.Sorted(slices.Values(append(a.Why[:len(a.Why):len(a.Why)], why)))
		}
	}
	a.Rejected += b.Rejected
	a.Filtered += b.Filtered
	if a.FirstEvent == 0 || b.FirstEvent != 0 && b.FirstEvent < a.FirstEvent {
		a.FirstEvent = b.FirstEvent
	}
	a.LastEvent = max(a.LastEvent, b.LastEvent)
	a.Mixed = a.Mixed || b.Mixed
	return a
}

// Proved returns the part of the time asked for over which a zero is proof,
// as far as the log was read: [from, to). ok is false where there is none.
func (c Coverage) Proved() (from, to time.Time, ok bool) {
	if c.Begins.IsZero() || len(c.WhyNot()) > 0 {
		return from, to, false
	}
	from, to = latest(c.asked.from, c.Begins), earliest(c.asked.to, c.Ends)
	return from, to, from.Before(to)
}

// WhyNot returns, in words, why no zero in the time asked for is proof; none
// where the log was read whole as far as it was read.
func (c Coverage) WhyNot() []string {
	var why []string
	if c.Begins.IsZero() || !c.Begins.Before(c.asked.to) || !c.asked.from.Before(c.Ends) {
		return []string{"nothing of that time was read"}
	}
	if n := c.Total.Missing; n > 0 {
		why = append(why, number(n, "record is", "records are")+" missing")
	}
	if n := c.Total.Unreadable; n > 0 {
		why = append(why, number(n, "record", "records")+" could not be decoded ("+strings.Join(c.Total.Why, ", ")+")")
	}
	if n := c.Total.Rejected; n > 0 {
		why = append(why, number(n, "item was", "items were")+" rejected")
	}
	if c.Total.Mixed {
		why = append(why, "a batch was begun under another mapping, key or version than it was finished under")
	}
	return why
}

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// earliest returns the earlier of two times, of which a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
