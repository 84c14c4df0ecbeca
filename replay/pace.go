package replay

import (
	"encoding/json"
	"fmt"
	"time"
)

// pacer says when lines are due. It has no clock: what it returns depends on the
// lines alone.
//
// At a rate of r lines a second, line n (from 0) is due n/r after the start:
//
//	lines │        ╱
//	      │    ╱        expected(elapsed) = r · elapsed
//	      │╱
//	      └──────────── elapsed
//
// A line that is late is sent at once and the next ones catch up, so the mean is
// right however long a request takes.
//
// At a speed of s, a line is due at (event time passed since the first line)/s.
// Time passes from the latest event to a later one; an event out of order is due
// at once. A step of more than a day, ahead or back, is not waited for: the clock
// goes on from there, so that one wrong time stalls nothing. A line without a
// time is due with the line before it.
type pacer struct {
	rate, speed float64
	lines       int64
	passed      int64 // event time passed, milliseconds
	latest      int64 // milliseconds since 1970; 0 before the first
}

// longestStep is the longest step of event time that is waited for, milliseconds.
const longestStep = 24 * 3600_000

// pace returns the pacer that the config asks for.
func (c Config) pace() (*pacer, error) {
	switch {
	case !(c.Rate >= 0): // written so that NaN fails
		return nil, fmt.Errorf("rate %v is not a number of lines a second: give one above 0, or none to send as fast as it goes", c.Rate)
	case !(c.Speed >= 0):
		return nil, fmt.Errorf("speed %v is not a multiple of event time: give one above 0, such as 60 for a minute a second", c.Speed)
	case c.Rate > 0 && c.Speed > 0:
		return nil, fmt.Errorf("rate %v and speed %v exclude each other: give one of them", c.Rate, c.Speed)
	}
	return &pacer{rate: c.Rate, speed: c.Speed}, nil
}

// next returns how long after the start the next line is due.
func (p *pacer) next(line []byte) time.Duration {
	n := p.lines
	p.lines++
	switch {
	case p.rate > 0:
		return time.Duration(float64(n) / p.rate * float64(time.Second))
	case p.speed > 0:
		if ms, ok := eventTime(line); ok {
			p.pass(ms)
		}
		return time.Duration(float64(p.passed) / p.speed * float64(time.Millisecond))
	}
	return 0
}

// pass moves the clock of event time on to ms.
func (p *pacer) pass(ms int64) {
	step := ms - p.latest
	switch {
	case p.latest == 0 || step > longestStep || step < -longestStep:
		p.latest = ms
	case step > 0:
		p.latest = ms
		p.passed += step
	}
}

// eventTime returns the member time of a JSON object, in milliseconds since 1970:
// RFC 3339 or a number of milliseconds, as events have it.
func eventTime(line []byte) (int64, bool) {
	var event struct {
		Time json.RawMessage `json:"time"`
	}
	if json.Unmarshal(line, &event) != nil || len(event.Time) == 0 {
		return 0, false
	}
	if event.Time[0] == '"' {
		var t time.Time
		if json.Unmarshal(event.Time, &t) != nil {
			return 0, false
		}
		return t.UnixMilli(), true
	}
	var ms int64
	if json.Unmarshal(event.Time, &ms) != nil {
		return 0, false
	}
	return ms, true
}
