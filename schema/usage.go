package schema

// Partition names one partition of one topic incarnation, cluster/topic@number: a topic
// from its creation to its deletion.
type Partition struct {
	Incarnation string
	Partition   int32
}

// UsageKey is the finest key that usage is kept for.
type UsageKey struct {
	Partner, App, Capability string
	Action                   Action
}

// Counters are sums over a bucket or over several. Times are milliseconds since
// 1970, 0 where there was none.
type Counters struct {
	Accesses, Attempts        uint64
	Records, Bytes            uint64 // of accesses alone
	FirstAccess, LastAccess   int64
	FirstAttempt, LastAttempt int64
}

// Add adds what o counted.
func (c *Counters) Add(o *Counters) {
	c.Accesses += o.Accesses
	c.Attempts += o.Attempts
	c.Records += o.Records
	c.Bytes += o.Bytes
	c.FirstAccess, c.LastAccess = earlier(c.FirstAccess, o.FirstAccess), max(c.LastAccess, o.LastAccess)
	c.FirstAttempt, c.LastAttempt = earlier(c.FirstAttempt, o.FirstAttempt), max(c.LastAttempt, o.LastAttempt)
}

func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Range is the part of a partition that one batch holds: offsets [From, To).
// Pinned is the UTC day of its pin, the same in every attempt; it decides in
// which part of a table its rows lie and how long they are kept.
type Range struct {
	Partition
	From, To int64
	Pinned   Day
}

// Marker vouches for a range: what it says is counted is counted, nothing else
// is. It is written in the same block as the usage rows of the range. The merged
// marker of a month has the least From, the greatest To and the sums.
type Marker struct {
	Range
	Records    uint64   // records read
	Missing    uint64   // offsets in the range that the broker no longer had
	Events     uint64   // events counted: accesses and attempts
	Rejected   uint64   // items that became rejects
	Filtered   uint64   // items that the mapping's filter left out
	FirstEvent int64    // least event time, milliseconds since 1970; 0 for none
	LastEvent  int64    // greatest event time, milliseconds since 1970; 0 for none
	Minutes    []uint32 // event-time minutes touched, since 1970, ascending; empty in a merged marker
	Unreadable uint64   // offsets in the range whose records could not be decoded and were passed
	Why        []string // why they could not be decoded, ascending; empty where Unreadable is 0
	LastRecord int64    // greatest time that Kafka gave a record, event or not, milliseconds since 1970; 0 for none
	Mixed      bool     // written by an attempt under another mapping, key or binary than its pin's
}

// Gap is what was not counted of a range: Kafka no longer had it when it was to be
// read, or it could not be decoded. When the lost records happened is not known:
// anywhere from the events before them in their partition to those after. A range
// that has both has two gaps.
type Gap struct {
	Range          // the batch that met it; without offsets where Merged
	Missing uint64 // offsets that were not counted
	Why     string // why they could not be decoded, as in "bad_batch, bad_crc"; empty: the broker no longer had them
	First   int64  // least event time that they may have, milliseconds since 1970; 0: no event before them
	Last    int64  // greatest; 0: no event after them yet
	Merged  bool   // the batch's marker has expired, and the month of its pin stands for it
}

// Touches reports whether a lost record may be of [from, to), milliseconds since
// 1970, where events come out of order by up to lateness.
func (g *Gap) Touches(from, to, lateness int64) bool {
	return g.First-lateness < to && (g.Last == 0 || g.Last+lateness >= from)
}

// UsageRows are the usage of one range: a row a usage key and bucket, held by column.
// All columns have the same length.
type UsageRows struct {
	Resolution                []Resolution
	Bucket                    []int64 // start of the bucket, seconds since 1970
	Partner, App, Capability  []string
	Action                    []Action
	Accesses, Attempts        []uint64
	Records, Bytes            []uint64
	FirstAccess, LastAccess   []int64 // milliseconds since 1970; 0 for none
	FirstAttempt, LastAttempt []int64
	Subjects                  [][]byte // uniqCombined64(14) states; EmptyState where there is none
	Actors, Bystanders        [][]byte // the same, on rows of a day; EmptyState on others
}

// EmptyState is the uniqCombined64(14) state of no values.
var EmptyState = []byte{1, 0}

// AccessRows are the raw rows of one range, held by column.
type AccessRows struct {
	Offset                   []int64
	Item                     []uint32 // which item of the record, from 0
	Time                     []int64  // milliseconds since 1970
	Partner, App, Capability []string
	Action                   []Action
	Subject, Actor           []uint64 // keyed hashes; 0 for no actor
	ID, APIVersion, Grant    []string
	Status                   []int32
	Records, Bytes           []int64
}

// RejectRows are the items of one range that did not become events, by column.
type RejectRows struct {
	Offset  []int64
	Item    []uint32
	Time    []int64  // the record's Kafka time, milliseconds since 1970
	Reason  []string // a word from a fixed list, fit for a metric's label
	Detail  []string // the sentence: value, limit, way out; never a user id
	Outline []string // member names and types of the record, no values
	Raw     []string // the record itself where keep_raw is set, else empty
	Size    []int64  // bytes of the record
}

// UsageCell is usage as read back: counters, and states where they were asked
// for, over whatever the query grouped by. Fields that were not grouped by are
// zero.
type UsageCell struct {
	UsageKey
	Bucket int64 // seconds since 1970
	Counters
	Subjects, Actors, Bystanders []byte
}

// OtherApps is the name under which a partner's apps past max_apps are added up.
const OtherApps = "(other apps)"

// UsageQuery says which usage to read and what to group it by. The partner is
// always grouped by.
type UsageQuery struct {
	Resolution Resolution
	From, To   int64    // buckets that start in [From, To), seconds since 1970
	Buckets    []int64  // where not nil, only these
	Partners   []string // where not nil, only these
	Slots      []uint8  // where not nil, only partners of these slots
	Capability string   // where not empty, only this
	Actions    []Action // where not nil, only these

	Capabilities []string // where not nil, only these

	// NotPartners, where not nil, leaves these out and adds all others up as one,
	// without a name.
	NotPartners []string
	// MaxApps, where not 0, keeps the apps with the most calls apart and adds the
	// others up as OtherApps.
	MaxApps int

	// Limit, where not 0, is how many cells to read at most.
	Limit int

	ByApp, ByCapability, ByAction, ByBucket bool
	Subjects, Actors, Bystanders            bool // read the states too
}

// SeriesQuery says which series to read: what each key of some partners did in
// each bucket.
type SeriesQuery struct {
	Resolution Resolution
	From, To   int64 // buckets that start in [From, To), seconds since 1970
	Partners   []string

	// MaxApps, where not 0, keeps of each partner the apps with the lowest hashes
	// apart and adds the others up as OtherApps.
	MaxApps int

	// ByCapability tells the Capabilities apart, ByUsageKey apps and actions too.
	ByCapability, ByUsageKey bool
	Capabilities             []string

	Limit int // of series, where not 0
}

// Series is what one key did in each bucket that it did anything in, by column.
// What the key leaves empty is added up; an action of 0 is all.
type Series struct {
	UsageKey
	Bucket   []int64  // start, seconds since 1970, ascending
	Accesses []uint64 // calls that were not refused
	People   []uint64 // distinct people, as ClickHouse estimates them
	Bytes    []uint64 // of accesses
}

// Peak is the most that a partner did in a bucket of a day, in one capability or,
// where that is empty, in all.
type Peak struct {
	Partner, Capability string
	Day                 Day
	Accesses, Bytes     uint64 // each of the bucket with the most of it
}

// Score is how unusual one key was in one closed bucket.
type Score struct {
	Detector string
	UsageKey        // what it leaves empty is added up; an action of 0 is all
	Metric   string // accesses, people or bytes
	Bucket   int64  // start, seconds since 1970
	Step     Resolution

	Observed  float64
	Expected  float64 // median under the baseline
	Low, High float64 // what 99 of 100 ordinary buckets are between
	Chance    float64 // of this much or more in one ordinary bucket
	Score     float64 // of it in any bucket of a year of this partner and capability
	Threshold float64 // at or under which the score makes a finding
	Maturity  string  // learning, thin or mature
}
