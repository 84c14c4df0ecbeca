package consumer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/dchest/siphash"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/schema"
)

// HashKey is the key (k0, k1) under which user ids become numbers. The numbers
// are SipHash-2-4 of the id, equal to ClickHouse's sipHash64Keyed((k0, k1), id).
type HashKey [2]uint64

// hash returns the number of a user id, and 0 for no user. An id whose hash is 0
// cannot be told from no user; one in 2⁶⁴ is.
func (k HashKey) hash(id []byte) uint64 {
	if len(id) == 0 {
		return 0
	}
	return siphash.Hash(k[0], k[1], id)
}

// msPerMinute turns event times into minutes since 1970.
const msPerMinute = 60_000

// cell is what one usage key did in one minute of event time.
type cell struct {
	usageKey uint32
	minute   uint32 // since 1970
	schema.Counters
	subjects, actors, bystanders window.Sketch // of accesses alone
}

// keptPeople is how many people a sketch may hold for its memory to be kept for
// the next batch. Larger ones are dropped, so that what is kept stays small
// however many cells have been large at some time.
const keptPeople = 16

func (c *cell) reset(usageKey, minute uint32) {
	c.usageKey, c.minute, c.Counters = usageKey, minute, schema.Counters{}
	for _, s := range []*window.Sketch{&c.subjects, &c.actors, &c.bystanders} {
		if n, exact := s.Exact(); exact && n <= keptPeople {
			s.Reset()
		} else {
			*s = window.Sketch{}
		}
	}
}

// delta is the usage of one batch: a cell for each usage key and minute. Hours and
// days are rolled up from the minutes when it is flushed. Memory is kept from
// batch to batch.
type delta struct {
	usageKeyIDs map[string]uint32 // by the usage key's key, see usageKeyOf
	usageKeys   []schema.UsageKey
	cellIDs     map[uint64]uint32 // by usage key<<32 | minute
	cells       []cell
	bytes       int64  // of memory that it takes
	last        uint32 // the cell that was added to last: partners call in runs
	key         []byte // scratch
	order       []uint32
	states      []byte // the marshalled states that the rows point into
	hour        window.Sketch
	day         [3]window.Sketch // subjects, actors, bystanders
	rows        schema.UsageRows
}

func newDelta() *delta {
	return &delta{usageKeyIDs: map[string]uint32{}, cellIDs: map[uint64]uint32{}}
}

// reset empties the delta for the next batch.
func (d *delta) reset() {
	clear(d.usageKeyIDs)
	clear(d.cellIDs)
	clear(d.usageKeys) // the names are the old batch's
	d.usageKeys, d.cells, d.last, d.bytes = d.usageKeys[:0], d.cells[:0], 0, 0
}

// keys returns how many cells the delta holds.
func (d *delta) keys() int { return len(d.cells) }

// add adds an event, whose subject and actor hash to the numbers given, and
// returns its usage key. It allocates nothing where the cell is there and its
// sketches have room.
func (d *delta) add(e *schema.Event, subject, actor uint64) *schema.UsageKey {
	c := d.cell(e)
	usageKey := &d.usageKeys[c.usageKey]
	if e.Attempt() {
		c.Attempts++
		if c.FirstAttempt == 0 || e.Time < c.FirstAttempt {
			c.FirstAttempt = e.Time
		}
		c.LastAttempt = max(c.LastAttempt, e.Time)
		return usageKey
	}
	c.Accesses++
	c.Records += uint64(e.Records)
	c.Bytes += uint64(e.Bytes)
	if c.FirstAccess == 0 || e.Time < c.FirstAccess {
		c.FirstAccess = e.Time
	}
	c.LastAccess = max(c.LastAccess, e.Time)
	c.subjects.Add(subject)
	if len(e.Actor) > 0 {
		c.actors.Add(actor)
		if !bytes.Equal(e.Actor, e.Subject) {
			c.bystanders.Add(subject)
		}
	}
	return usageKey
}

// cell finds or makes the cell of an event.
func (d *delta) cell(e *schema.Event) *cell {
	minute := uint32(e.Time / msPerMinute)
	if len(d.cells) > 0 {
		c := &d.cells[d.last]
		if c.minute == minute && isUsageKey(&d.usageKeys[c.usageKey], e) {
			return c
		}
	}
	d.key = usageKeyOf(d.key[:0], e)
	usageKey, ok := d.usageKeyIDs[string(d.key)]
	if !ok {
		usageKey = uint32(len(d.usageKeys))
		d.usageKeys = append(d.usageKeys, schema.UsageKey{
			Partner: string(e.Partner), App: string(e.App), Capability: string(e.Capability), Action: e.Action,
		})
		d.usageKeyIDs[string(d.key)] = usageKey
	}
	id, ok := d.cellIDs[uint64(usageKey)<<32|uint64(minute)]
	if !ok {
		id = uint32(len(d.cells))
		if len(d.cells) < cap(d.cells) {
			d.cells = d.cells[:id+1] // with the memory its sketches had in an earlier batch
		} else {
			d.cells = append(d.cells, cell{})
		}
		d.cells[id].reset(usageKey, minute)
		d.bytes += bytesACell + bytesACellName*int64(len(e.Partner)+len(e.App)+len(e.Capability))
		d.cellIDs[uint64(usageKey)<<32|uint64(minute)] = id
	}
	d.last = id
	return &d.cells[id]
}

func isUsageKey(l *schema.UsageKey, e *schema.Event) bool {
	return l.Action == e.Action && l.Partner == string(e.Partner) &&
		l.App == string(e.App) && l.Capability == string(e.Capability)
}

// usageKeyOf appends a text that no other usage key has: the lengths keep ("a", "bc")
// from ("ab", "c").
func usageKeyOf(b []byte, e *schema.Event) []byte {
	b = append(b, byte(e.Action))
	b = binary.AppendUvarint(b, uint64(len(e.Partner)))
	b = append(b, e.Partner...)
	b = binary.AppendUvarint(b, uint64(len(e.App)))
	b = append(b, e.App...)
	return append(b, e.Capability...)
}

// minutes returns the minutes touched, ascending.
func (d *delta) minutes() []uint32 {
	all := make([]uint32, len(d.cells))
	for i := range d.cells {
		all[i] = d.cells[i].minute
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// usage rolls the minutes up and returns the rows of all three resolutions. The
// rows are valid until the next call. For the same events in the same order they
// are the same rows in the same order.
func (d *delta) usage() *schema.UsageRows {
	d.order = d.order[:0]
	for i := range d.cells {
		d.order = append(d.order, uint32(i))
	}
	slices.SortFunc(d.order, func(a, b uint32) int {
		x, y := &d.cells[a], &d.cells[b]
		return cmp.Or(cmp.Compare(x.usageKey, y.usageKey), cmp.Compare(x.minute, y.minute))
	})
	d.states = d.states[:0]
	resetUsage(&d.rows)

	var hourSum, daySum schema.Counters
	d.resetHour()
	d.resetDay()
	for i, id := range d.order {
		c := &d.cells[id]
		usageKey := &d.usageKeys[c.usageKey]
		start := int64(c.minute) * 60
		hour, day := window.Start(start, 3600), window.Start(start, schema.DaySeconds)

		d.row(schema.Minute, start, usageKey, &c.Counters, &c.subjects, nil, nil)
		hourSum.Add(&c.Counters)
		d.hour.Merge(&c.subjects)
		d.day[1].Merge(&c.actors)
		d.day[2].Merge(&c.bystanders)

		var next *cell
		if i+1 < len(d.order) && d.cells[d.order[i+1]].usageKey == c.usageKey {
			next = &d.cells[d.order[i+1]]
		}
		if next != nil && window.Start(int64(next.minute)*60, 3600) == hour {
			continue
		}
		d.row(schema.Hourly, hour, usageKey, &hourSum, &d.hour, nil, nil)
		daySum.Add(&hourSum)
		d.day[0].Merge(&d.hour)
		hourSum = schema.Counters{}
		d.resetHour()
		if next != nil && window.Start(int64(next.minute)*60, schema.DaySeconds) == day {
			continue
		}
		d.row(schema.Daily, day, usageKey, &daySum, &d.day[0], &d.day[1], &d.day[2])
		daySum = schema.Counters{}
		d.resetDay()
	}
	return &d.rows
}

func (d *delta) resetHour() { d.hour.Reset() }

func (d *delta) resetDay() {
	for i := range d.day {
		d.day[i].Reset()
	}
}

func (d *delta) row(r schema.Resolution, bucket int64, l *schema.UsageKey, c *schema.Counters, subjects, actors, bystanders *window.Sketch) {
	u := &d.rows
	u.Resolution = append(u.Resolution, r)
	u.Bucket = append(u.Bucket, bucket)
	u.Partner = append(u.Partner, l.Partner)
	u.App = append(u.App, l.App)
	u.Capability = append(u.Capability, l.Capability)
	u.Action = append(u.Action, l.Action)
	u.Accesses = append(u.Accesses, c.Accesses)
	u.Attempts = append(u.Attempts, c.Attempts)
	u.Records = append(u.Records, c.Records)
	u.Bytes = append(u.Bytes, c.Bytes)
	u.FirstAccess = append(u.FirstAccess, c.FirstAccess)
	u.LastAccess = append(u.LastAccess, c.LastAccess)
	u.FirstAttempt = append(u.FirstAttempt, c.FirstAttempt)
	u.LastAttempt = append(u.LastAttempt, c.LastAttempt)
	u.Subjects = append(u.Subjects, d.state(subjects))
	u.Actors = append(u.Actors, d.state(actors))
	u.Bystanders = append(u.Bystanders, d.state(bystanders))
}

// state marshals a sketch; no sketch is the empty state.
func (d *delta) state(s *window.Sketch) []byte {
	if s == nil {
		return schema.EmptyState
	}
	if n, exact := s.Exact(); exact && n == 0 {
		return schema.EmptyState
	}
	start := len(d.states)
	d.states = s.MarshalAppend(d.states)
	return d.states[start:len(d.states):len(d.states)]
}

func resetUsage(u *schema.UsageRows) {
	*u = schema.UsageRows{
		Resolution: u.Resolution[:0], Bucket: u.Bucket[:0],
		Partner: u.Partner[:0], App: u.App[:0], Capability: u.Capability[:0], Action: u.Action[:0],
		Accesses: u.Accesses[:0], Attempts: u.Attempts[:0], Records: u.Records[:0], Bytes: u.Bytes[:0],
		FirstAccess: u.FirstAccess[:0], LastAccess: u.LastAccess[:0],
		FirstAttempt: u.FirstAttempt[:0], LastAttempt: u.LastAttempt[:0],
		Subjects: u.Subjects[:0], Actors: u.Actors[:0], Bystanders: u.Bystanders[:0],
	}
}
