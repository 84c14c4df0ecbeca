// Package usage says what a detector sees: the questions that it asks about one
// partner, and the answers, which are sums and people over windows of event time.
package usage

import (
	"github.com/overreach/overreach/schema"
)

// Activity is where one partner's usage changed since it was last judged.
type Activity struct {
	Partner string
	Days    []schema.Day        // UTC days touched, ascending
	Scopes  []Scope             // scopes used or tried on those days
	Open    []schema.FindingKey // findings of this partner that have not ended
	Gaps    []schema.Gap        // gaps of what was read; empty for every partner
}

// Scope is a capability and an action.
type Scope struct {
	Capability string
	Action     schema.Action
}

// Question asks for what one finding rests on. Its key is the finding's, so that
// each question has at most one finding, and a finding whose question is
// answered otherwise is withdrawn.
type Question struct {
	schema.FindingKey
	Spans []Span // the event time it is about; one, where the window slides

	// History, where not 0, asks for series, which go back so many days before the
	// span.
	History schema.Day

	// Threshold is the number of accesses under which a window cannot make a
	// finding: people never exceed accesses, so its sketches are not read.
	Threshold uint64
}

// Span is a run of UTC days [From, To), To 0 for no end, and the actions that
// count in it, nil for all.
type Span struct {
	From, To schema.Day
	Actions  []schema.Action
}

// End returns the first second after the span, and the greatest possible where
// it has no end.
func (s Span) End() int64 {
	if s.To == 0 {
		return 1 << 40
	}
	return s.To.Second()
}

// Answer is what the log says to a question. Seconds are since 1970.
type Answer struct {
	// Points are the windows with at least Threshold accesses that end in the
	// span, ascending; windows that end after both the last access and the
	// watermark are not yet told. Empty where the question is about the whole
	// period.
	Points []Point

	// Total and People are of the whole period, where the question is about it.
	Total      schema.Counters
	People     schema.Estimate
	Bystanders schema.Estimate

	// Series are what was asked for with History: of what the question is about as a
	// whole, then of its parts, which are capabilities where it names none, and
	// else apps with an action. All begin at the same time, and end with the span
	// or what is closed.
	Series []Series

	// Reach is, of questions about a day of the clock, whom the key touched day by day:
	// first the whole, then its parts. All begin with the history, and end with the day
	// where it is closed.
	Reach []Reach

	// Peers hold, by metric, the greatest bucket of each other registered partner in
	// the question's capability, in the PeerDays before the span. People are not
	// counted for it: theirs are the accesses, which are no fewer.
	Peers [metrics][]float64

	Gaps []schema.Gap // those of the question's partition and day, where it is about what was read

	Watermark int64 // event time up to which everything has been seen
}

// Point is one window.
type Point struct {
	Begin, End int64 // [Begin, End)
	Accesses   uint64
	People     schema.Estimate
}

// PeerDays is of how many days before a question's span peers are known.
const PeerDays = 14

// ReachDays is within how many days before people must have been touched, not to be new.
const ReachDays = 28

// Reach is whom one key touched on each closed day of a stretch of event time.
type Reach struct {
	schema.UsageKey            // what it leaves empty is added up
	Begin           schema.Day // the first
	Accesses        []float64  // of the day
	People          []float64  // touched on the day
	Before          []float64  // touched in the ReachDays before; where fewer lie in the stretch, in these
	New             []float64  // of People, those who are not of Before
}

// Metric is what a series counts.
type Metric int

// The metrics of a series.
const (
	Accesses Metric = iota
	People          // as ClickHouse estimates them
	Bytes
	metrics
)

// Metrics lists every metric.
var Metrics = [...]Metric{Accesses, People, Bytes}

// String returns the metric as the tables spell it.
func (m Metric) String() string { return [...]string{"accesses", "people", "bytes"}[m] }

// Series is what one key did in each closed bucket of a stretch of event time.
type Series struct {
	schema.UsageKey                    // what it leaves empty is added up; an action of 0 is all
	Begin           int64              // start of the first bucket, seconds since 1970
	Step            schema.Resolution  // width of the buckets
	Values          [metrics][]float64 // by metric
}

// Buckets returns how many buckets the series has.
func (s *Series) Buckets() int { return len(s.Values[Accesses]) }
