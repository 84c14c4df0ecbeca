package schema

import (
	"fmt"
	"time"
)

// Day is a UTC day, in days since 1970-01-01. The zero Day means none: no event
// is accepted from so long ago.
type Day int32

// DaySeconds is the length of a UTC day.
const DaySeconds = 86400

// ParseDay reads a day written as 2006-01-02.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no day: expected year-month-day as in 2018-12-18", s)
	}
	return DayOf(t), nil
}

// DayOf returns the UTC day that t falls in.
func DayOf(t time.Time) Day { return DayOfSecond(t.Unix()) }

// DayOfSecond returns the UTC day of a time in seconds since 1970.
func DayOfSecond(s int64) Day {
	d := s / DaySeconds
	if s%DaySeconds < 0 {
		d--
	}
	return Day(d)
}

// Second returns the day's first second, since 1970.
func (d Day) Second() int64 { return int64(d) * DaySeconds }

// Time returns the day's first instant.
func (d Day) Time() time.Time { return time.Unix(d.Second(), 0).UTC() }

// String writes the day as 2006-01-02, and none as an empty string.
func (d Day) String() string {
	if d == 0 {
		return ""
	}
	return d.Time().Format(time.DateOnly)
}

// Month returns the first day of the calendar month that d falls in.
func (d Day) Month() Day {
	y, m, _ := d.Time().Date()
	return DayOf(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC))
}

// NextMonth returns the first day of the calendar month after the one of d.
func (d Day) NextMonth() Day {
	y, m, _ := d.Time().Date()
	return DayOf(time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC))
}

// Resolution is the width of an event-time bucket.
type Resolution uint8

// The resolutions at which usage is kept.
const (
	Minute      Resolution = 1
	Hourly      Resolution = 2
	Daily       Resolution = 3
	resolutions            = Daily + 1
)

// Seconds returns the width of a bucket.
func (r Resolution) Seconds() int64 {
	return [resolutions]int64{0, 60, 3600, DaySeconds}[r]
}

// String returns the resolution as the tables spell it.
func (r Resolution) String() string {
	return [resolutions]string{"", "minute", "hour", "day"}[r]
}

// Window is a span of event time over which people are counted.
type Window string

// The windows. A sliding window ends with each bucket of its step; the month is
// the calendar month so far.
const (
	WindowHour   Window = "hour"     // 60 minutes, in steps of a minute
	Window24h    Window = "24 hours" // 24 hours, in steps of an hour
	Window30d    Window = "30 days"  // 30 days, in steps of a day
	WindowMonth  Window = "month"    // a calendar month, in steps of a day
	WindowPeriod Window = ""         // the whole period of a finding, in one step

	// WindowClockHour is an hour of the clock, judged once the watermark has passed
	// it. No limit is set for it.
	WindowClockHour Window = "clock hour"

	// WindowClockDay is a UTC day, judged once the watermark has passed it. No limit is
	// set for it.
	WindowClockDay Window = "clock day"

	// WindowClockWeek is a week from Monday on, UTC, judged once the watermark has
	// passed it. No limit is set for it.
	WindowClockWeek Window = "clock week"
)

// Windows lists the windows a limit may be set for, shortest first.
var Windows = [...]Window{WindowHour, Window24h, Window30d, WindowMonth}

// Step returns the resolution of the buckets that the window is made of.
func (w Window) Step() Resolution {
	switch w {
	case WindowHour:
		return Minute
	case Window24h, WindowClockHour:
		return Hourly
	}
	return Daily
}

// Cadence returns the cadence that the window is judged with.
func (w Window) Cadence() Cadence {
	switch {
	case w == WindowClockHour:
		return CadenceClosedHour
	case w.Closed():
		return CadenceClosedDay
	}
	return [...]Cadence{Minute: CadenceMinute, Hourly: CadenceHour, Daily: CadenceDay}[w.Step()]
}

// Closed reports whether the window is judged only when the watermark has passed
// it, since what it holds is compared with what is usual.
func (w Window) Closed() bool {
	return w == WindowClockHour || w == WindowClockDay || w == WindowClockWeek
}

// Buckets returns how many steps long a sliding window is, and 0 for the
// calendar month and the whole period, whose length is not fixed.
func (w Window) Buckets() int {
	switch w {
	case WindowClockHour, WindowClockDay:
		return 1
	case WindowClockWeek:
		return 7
	case WindowHour:
		return 60
	case Window24h:
		return 24
	case Window30d:
		return 30
	}
	return 0
}
