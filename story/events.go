package story

import (
	"cmp"
	"hash/fnv"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/overreach/overreach/schema"
)

// Events yields the story's events in the order of their times. An event and what
// it points to are valid until the next one. Memory holds what runs at one time,
// never a day. The config must be valid.
func (c Config) Events() iter.Seq[*schema.Event] {
	return func(yield func(*schema.Event) bool) {
		t := newTeller(c)
		for day := First; day < First+schema.Day(c.Days); day++ {
			if !t.tell(day, yield) {
				return
			}
		}
	}
}

// teller tells one story.
type teller struct {
	people uint64 // everybody whose data may be touched
	tasks  []*task
	told   uint64 // events so far
	event  schema.Event
	id     [16]byte
	who    [2][20]byte
}

// task is a job of a partner at the story's scale, and how far it has come.
type task struct {
	*job
	partner, app, version, capability, grant []byte
	seed                                     uint64
	minute                                   int64     // of the hour, at which its runs start
	calls                                    []float64 // a day at scale, in the run of each of its hours
	base, people                             uint64    // it goes round the people base to base+people-1
	done                                     uint64    // distinct people touched so far, more than once round
}

// run is one run of a task: calls spread evenly from start on.
type run struct {
	*task
	order   int // among the day's runs
	random  random
	start   int64 // milliseconds since 1970
	length  int64 // milliseconds
	calls   int64
	called  int64
	next    int64  // time of the next call
	touched uint64 // distinct people touched in this run
}

func newTeller(cfg Config) *teller {
	t := &teller{people: cfg.scaled(2.2e9)}
	for _, p := range cfg.partners() {
		for n := range p.jobs {
			j := &p.jobs[n]
			name := fnv.New64a()
			_, _ = name.Write([]byte(p.name)) // a hash.Hash never fails
			seed := newRandom(cfg.Seed, name.Sum64(), uint64(n))
			task := &task{
				job: j, partner: []byte(p.name), app: []byte(j.app), version: []byte(j.version),
				capability: []byte(j.capability),
				seed:       seed.next(),
				minute:     int64(seed.below(8)),
				calls:      callsByHour(j.hours, j.perDay*(1+j.repeats)*cfg.Scale),
				base:       seed.below(t.people),
				people:     cfg.scaled(j.people),
			}
			if !p.unregistered && !j.terse {
				task.grant = []byte(p.name + "-" + p.start[:4])
			}
			t.tasks = append(t.tasks, task)
		}
	}
	return t
}

// callsByHour shares out a day's calls among hours: most at seven in the evening,
// 1 + 0.4·cos(2π(hour-19)/24) of the average.
func callsByHour(hours []int, perDay float64) []float64 {
	calls, sum := make([]float64, len(hours)), 0.0
	for i, hour := range hours {
		calls[i] = 1 + 0.4*math.Cos(2*math.Pi*float64(hour-19)/24)
		sum += calls[i]
	}
	for i := range calls {
		calls[i] *= perDay / sum
	}
	return calls
}

// tell yields a day's events and reports whether more are wanted. Every run ends
// before its hour does, so none reaches into the next day.
func (t *teller) tell(day schema.Day, yield func(*schema.Event) bool) bool {
	waiting := t.runs(day)
	var active []*run
	for len(waiting) > 0 || len(active) > 0 {
		first := 0
		for i, r := range active {
			if r.before(active[first]) {
				first = i
			}
		}
		if len(waiting) > 0 && (len(active) == 0 || waiting[0].before(active[first])) {
			active, waiting = append(active, waiting[0]), waiting[1:]
			continue
		}
		r := active[first]
		if !yield(t.call(r)) {
			return false
		}
		if !r.advance() {
			active = slices.Delete(active, first, first+1)
		}
	}
	return true
}

// runs returns the day's runs in the order of their first calls.
func (t *teller) runs(day schema.Day) []*run {
	var runs []*run
	weekday := day.Time().Weekday()
	for _, task := range t.tasks {
		if day < task.from || task.until != 0 && day > task.until {
			continue
		}
		random := newRandom(task.seed, uint64(day))
		factor := task.week[weekday] * (1 + task.jitter*(2*random.share()-1))
		for i, hour := range task.hours {
			r := &run{
				task:   task,
				order:  len(runs),
				start:  day.Second()*1000 + int64(hour)*3600_000 + task.minute*60_000 + int64(random.below(60_000)),
				length: int64(task.minutes) * 60_000,
				// Rounded up as often as keeps the average, so that small scales lose nothing.
				calls: int64(task.calls[i]*factor + random.share()),
			}
			r.random = newRandom(random.next())
			if r.calls > 0 {
				r.schedule()
				runs = append(runs, r)
			}
		}
	}
	slices.SortFunc(runs, func(a, b *run) int {
		return cmp.Or(cmp.Compare(a.next, b.next), cmp.Compare(a.order, b.order))
	})
	return runs
}

func (r *run) before(o *run) bool {
	return r.next < o.next || r.next == o.next && r.order < o.order
}

// schedule sets the time of the next call: somewhere in its own share of the run.
func (r *run) schedule() {
	r.next = r.start + r.length*r.called/r.calls
	if gap := r.length / r.calls; gap > 1 {
		r.next += int64(r.random.below(uint64(gap)))
	}
}

// advance goes on to the next call and reports whether there is one.
func (r *run) advance() bool {
	if r.called++; r.called == r.calls {
		return false
	}
	r.schedule()
	return true
}

// call returns the run's next call.
func (t *teller) call(r *run) *schema.Event {
	e := &t.event
	*e = schema.Event{
		Time:       r.next,
		Partner:    r.partner,
		App:        r.app,
		Capability: r.capability,
		Action:     r.action,
		Grant:      r.grant,
	}
	t.told++
	e.ID = appendHex(t.id[:0], mix(t.told^r.seed<<32)) // mix is a bijection, and told stays under 2^32

	subject := r.subject()
	e.Subject = t.appendPerson(t.who[0][:0], r.base+subject)
	switch {
	case r.unattended:
	case r.random.share() < r.friends:
		// Whoever signed in has the twenty people around as friends.
		actor := (subject - subject%20 + r.people/2) % r.people
		e.Actor = t.appendPerson(t.who[1][:0], r.base+actor)
	default:
		e.Actor = e.Subject
	}

	status := r.status()
	records := int64(1 + r.random.below(24))
	if status >= 400 {
		records = 0
	}
	if r.terse {
		if status >= 400 {
			e.Status = status
		}
		return e
	}
	e.Status, e.Records = status, records
	e.APIVersion = r.version
	e.Bytes = 90 + records*int64(120+r.random.below(400))
	return e
}

// subject returns whom the next call touches, as a number below r.people: the
// next person of the round, or one of the last few again.
func (r *run) subject() uint64 {
	if r.touched > 0 && r.repeats > 0 && r.random.share() < r.repeats/(1+r.repeats) {
		return (r.done - 1 - r.random.below(min(r.touched, 100))) % r.people
	}
	who := r.done % r.people
	r.done++
	r.touched++
	return who
}

// status returns how the next call ends.
func (r *run) status() int32 {
	switch s := r.random.share(); {
	case s < r.refused:
		return r.refusal
	case s > 0.995 && r.refused < 1:
		return 404
	case r.action == schema.Write:
		return 201
	case r.action == schema.Delete:
		return 204
	}
	return 200
}

// appendPerson appends the id of a person: fifteen digits, different for
// different people, in no order.
func (t *teller) appendPerson(b []byte, person uint64) []byte {
	const digits = 1 << 40 // an odd factor is a bijection of the numbers below it
	return strconv.AppendUint(b, 1e14+(person%t.people)*0x9e3779b97f4a7c15%digits, 10)
}

// appendHex appends sixteen hexadecimal digits.
func appendHex(b []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return b
}
