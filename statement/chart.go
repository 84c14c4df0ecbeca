package statement

import (
	"fmt"
	"strings"

	"github.com/overreach/overreach/schema"
)

// The size of a chart, in units of its own.
const (
	chartWidth  = 720
	chartHeight = 96
)

// chart is one capability's people a day, a bar each, as paths of an SVG.
type chart struct {
	Name, Most           string
	First, Last          schema.Day
	Right, Wrong, Unread string // path data: days with a right, days without, days of which nothing was read
	Ticks                []tick
	Width, Height        int
	Outside              bool
}

// tick marks the first day of a month.
type tick struct {
	X     string
	Label string
}

// charts draws the people a day of each capability, all from the same day on;
// each has a scale of its own.
func (s *Statement) charts() []chart {
	var all []chart
	for _, capability := range s.Capabilities {
		c := chart{Name: capability.Name, First: s.From, Last: s.To, Width: chartWidth, Height: chartHeight}
		most := schema.Estimate{}
		for _, d := range capability.People {
			if d.People.Value > most.Value {
				most = d.People
			}
		}
		c.Most = estimated(most).Value
		width := float64(chartWidth) / float64(len(capability.People))
		var right, wrong, unread strings.Builder
		for i, d := range capability.People {
			x := float64(i) * width
			day := s.From + schema.Day(i) //nolint:gosec // days are few
			if !s.Coverage.hasRead(day) {
				fmt.Fprintf(&unread, "M%.2f 0h%.2fv%dh%.2fz", x, width, chartHeight, -width)
			}
			if d.People.Value == 0 {
				continue
			}
			height := max(1.5, float64(d.People.Value)/float64(most.Value)*chartHeight)
			to := &right
			if d.Outside {
				to, c.Outside = &wrong, true
			}
			bar(to, x, width, height)
		}
		c.Right, c.Wrong, c.Unread = right.String(), wrong.String(), unread.String()
		c.Ticks = s.ticks(width)
		all = append(all, c)
	}
	return all
}

// bar draws a bar that stands on the ground, with a little air where there is room.
func bar(b *strings.Builder, x, width, height float64) {
	air := min(1, width*0.15)
	fmt.Fprintf(b, "M%.2f %dv%.2fh%.2fv%.2fz", x, chartHeight, -height, width-air, height)
}

// ticks names the months that begin in the time, as many as there is room for.
func (s *Statement) ticks(width float64) []tick {
	const room = 60
	var all []tick
	last := -float64(room)
	for d := s.From; d <= s.To; d++ {
		x := float64(d-s.From) * width
		if d != d.Month() || x-last < room || x > chartWidth-room {
			continue
		}
		last = x
		all = append(all, tick{fmt.Sprintf("%.2f", x), d.Time().Format("Jan 2006")})
	}
	return all
}

// hasRead reports whether the log was read over some part of the day.
func (c Coverage) hasRead(d schema.Day) bool {
	return !c.Begins.IsZero() && c.Begins.Before((d + 1).Time()) && !c.Ends.Before(d.Time())
}
