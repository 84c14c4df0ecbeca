// Package story makes up the access log that the demo replays: 91 days in which
// a cast of partners does what partners of a social network once did, among some
// 40 that keep to their agreements. It is the same for the same seed, so what
// must be found in it can be written down.
package story

import (
	"fmt"

	"github.com/overreach/overreach/schema"
)

// The story runs from First to Last, both included: Last is the day before the
// newspaper told it.
const (
	First schema.Day = 17792 // 2018-09-18
	Last  schema.Day = 17882 // 2018-12-17
)

// Length is how many days the whole story has.
const Length = int(Last-First) + 1

// Config says which story to tell.
type Config struct {
	// Seed chooses the people, the minutes and the ordinary partners. What must
	// be found is the same for every seed.
	Seed uint64
	// Scale is the share of the real traffic and of the real limits: at 1 one
	// partner reads the messages of 70 million people a month. From MinScale to 1.
	Scale float64
	// Days is how many days to tell, from First on; 1 to Length. A shorter story
	// is the beginning of the longer one, event for event.
	Days int
}

// MinScale is the smallest scale at which every limit of the story still stands
// well apart from what is ordinary.
const MinScale = 0.0005

// Default returns the story that the demo tells: about 1.6 million events.
func Default() Config { return Config{Seed: 1, Scale: 0.005, Days: Length} }

// Validate returns an error for a scale or a number of days out of range.
func (c Config) Validate() error {
	if !(c.Scale >= MinScale && c.Scale <= 1) { // written so that NaN fails
		return fmt.Errorf("scale %v is not within %v to 1: 1 is the real traffic, 0.005 makes about 1.6 million events", c.Scale, MinScale)
	}
	if c.Days < 1 || c.Days > Length {
		return fmt.Errorf("days %d is not within 1 to %d: the story runs from %s to %s", c.Days, Length, First, Last)
	}
	return nil
}

// scaled returns a number of people or calls at the story's scale, at least 1.
func (c Config) scaled(atFullScale float64) uint64 {
	return uint64(max(1, atFullScale*c.Scale+0.5))
}

// partner is one third party: what the registry says of it, and what it does.
type partner struct {
	name         string
	unregistered bool // the registry has never heard of it
	owner        string
	purpose      string
	start, end   string // of the agreement; end may be empty
	grants       []grant
	limits       []limit
	jobs         []job
}

// grant is a registry grant; until may be empty.
type grant struct {
	capability  string
	actions     []schema.Action
	from, until string
}

// limit is a registry limit with its people at full scale.
type limit struct {
	people     float64
	window     schema.Window
	capability string // empty: the partner as a whole
}

// job is one batch job of a partner: each day it makes its calls in runs of a
// few minutes, one a named hour. It goes round its people in a fixed order, so
// no person comes twice before all of them came once, but for repeats.
type job struct {
	app, version string
	capability   string
	action       schema.Action
	hours        []int       // UTC hours in which a run starts; never the same twice
	minutes      int         // how long a run lasts; at most 50, so a run ends within its hour
	perDay       float64     // distinct calls a day at full scale, on average over a week
	week         *[7]float64 // share of perDay for Sunday to Saturday; mean 1
	jitter       float64     // how far a day's calls stray from that, as a share
	people       float64     // how many people it goes round at full scale
	repeats      float64     // share of calls on top that touch somebody of the same run again
	refused      float64     // share of calls that are refused
	refusal      int32       // with this status
	friends      float64     // share of calls that touch a friend of the actor
	unattended   bool        // nobody signed in: no actor
	terse        bool        // the partner's events leave out what they may
	from, until  schema.Day  // days on which it runs; 0: from the first, to the last
}

// Weeks, Sunday first. Each has a mean of 1, so perDay holds over a week.
var (
	leisure  = [7]float64{1.15, 0.95, 0.95, 0.95, 0.95, 0.95, 1.10}
	business = [7]float64{0.40, 1.20, 1.20, 1.20, 1.20, 1.20, 0.60}
	even     = [7]float64{1, 1, 1, 1, 1, 1, 1}
)

// partners returns everybody in the story: the cast, then the ordinary ones.
func (c Config) partners() []partner {
	return append(cast(), ordinary(c.Seed)...)
}

// mustDay reads a day that this package has written itself.
func mustDay(s string) schema.Day {
	d, err := schema.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}
