package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/schema"
)

// owner is partition 0 as a new member of the group finds it, and what it logs.
func owner(t *testing.T, cfg Config, m Store) (*partition, *syncBuffer) {
	t.Helper()
	c, g, _ := member(t, cfg, m)
	log := &syncBuffer{}
	c.log = zerolog.New(log)
	return c.newPartition(cfg.Topics[0], c.inForce()[0], c.newProgress("access", 0, cfg.Limits), cfg.Limits, g), log
}

// emptyMarkers returns where markers say that a partition begins.
func (m *memory) emptyMarkers() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var at []int64
	for _, k := range m.markers {
		if k.From == k.To {
			at = append(at, k.From)
		}
	}
	return at
}

func TestANewOwnerSaysWhyItDoesNotGoOnAtTheGroupsOffset(t *testing.T) {
	events := someEvents(100)
	last := func(offset int64) fingerprint {
		r := record{offset: offset, time: day1 + 86400_000, value: events[offset].json()}
		return r.fingerprint()
	}
	none := fingerprint{offset: -1}
	for name, c := range map[string]struct {
		counted int64 // -1: nothing
		commit  *pin
		from    int64
		redo    int64 // the end of the range to write again; 0: none
		said    string
		begins  []int64 // the empty markers that it writes
		last    fingerprint
		known   int64 // how far progress says that it is counted before it is told
	}{
		"all is as usual":                     {counted: 50, commit: &pin{from: 50, to: 50, number: 1, last: last(49)}, from: 50, last: last(49), known: 50},
		"a batch was begun":                   {counted: 50, commit: &pin{from: 50, to: 80, number: 1, last: last(79)}, from: 50, redo: 80, last: last(79), known: 50},
		"the first batch was begun":           {counted: -1, commit: &pin{from: 0, to: 80, number: 1, last: last(79)}, from: 0, redo: 80, last: last(79), known: 0},
		"a batch was counted and not settled": {counted: 80, commit: &pin{from: 50, to: 80, number: 1, last: last(79)}, from: 80, last: last(79), known: 50},
		"a new group": {counted: 50, from: 50, last: none, known: unknown,
			said: `"group_offset":-1,"going_on_at":50,"message":"the group has no offset here; what was counted is not counted again"`},
		"an offset that was set back": {counted: 50, commit: &pin{from: 20, to: 20, number: 1, last: none}, from: 50, last: none, known: 20,
			said: `"group_offset":20,"going_on_at":50,"message":"the group's offset lies before what was counted, which is not counted again"`},
		"an offset that was set ahead": {counted: 50, commit: &pin{from: 70, to: 70, number: 1, last: none}, from: 50, last: none, known: 70,
			said: `"group_offset":70,"going_on_at":50,"message":"the group's offset lies beyond what was counted; what lies between is counted now"`},
		"empty tables": {counted: -1, commit: &pin{from: 70, to: 70, number: 1, last: last(69)}, from: 70, begins: []int64{70}, last: last(69), known: 70,
			said: `"group_offset":70,"going_on_at":70,"message":"nothing of this incarnation was counted yet; starting at the group's offset"`},
		"an offset of another incarnation": {counted: -1, commit: &pin{from: 70, to: 90, number: 2, last: last(89)}, from: 0, begins: []int64{0}, last: none, known: unknown,
			said: `"start":"earliest","offset":0,"message":"neither the group nor the tables know this partition; starting as configured"`},
		"nothing at all": {counted: -1, from: 0, begins: []int64{0}, last: none, known: unknown,
			said: `"start":"earliest","offset":0,"message":"neither the group nor the tables know this partition; starting as configured"`},
	} {
		t.Run(name, func(t *testing.T) {
			addr := broker(t, kfake.SeedTopics(1, "access"))
			produce(t, addr, 0, 0, jsonOf(events)...)
			cfg, m := testConfig(addr, "access"), newMemory()
			if c.commit != nil {
				c.commit.day = 20000
				if err := outsider(t, cfg).commit(t.Context(), c.commit); err != nil {
					t.Fatal(err)
				}
			}
			p, log := owner(t, cfg, m)
			if c.counted >= 0 {
				m.counts(p.id, c.counted)
				m.markers[0].From = -1 // no empty one
			}
			next, err := p.takeOver(t.Context())
			redo := int64(0)
			if next.redo != nil {
				redo = next.redo.to
			}
			if err != nil || next.from != c.from || redo != c.redo || p.batch.last != c.last {
				t.Errorf("it goes on at %d, again up to %d, behind %+v, %v; want %d, %d, %+v", next.from, redo, p.batch.last, err, c.from, c.redo, c.last)
			}
			if text := log.String(); c.said == "" && text != "" || !strings.Contains(text, c.said) || strings.Count(text, "\n") > 1 {
				t.Errorf("said:\n%s", text)
			}
			if at := m.emptyMarkers(); fmt.Sprint(at) != fmt.Sprint(c.begins) {
				t.Errorf("empty markers at %v, want them at %v", at, c.begins)
			}
			if p.progress.counted != c.known || p.progress.assumed != (c.known != unknown) {
				t.Errorf("meanwhile it is taken for counted up to %d, want %d", p.progress.counted, c.known)
			}
			if started := strings.Contains(c.said, "starting as configured"); started != (p.settled == next.from) {
				t.Errorf("where it starts is committed: %d", p.settled)
			}
		})
	}
}

func TestTheRecordThatWasReadLastMustStillBeTheSame(t *testing.T) {
	l := newDiskLog(t, someEvents(300))
	p, log := owner(t, testConfig(l.addr, "access"), newMemory())
	f := l.fetcher(t)
	c, err := f.next(t.Context(), 150)
	if err != nil {
		t.Fatal(err)
	}
	same := c.records[0].fingerprint()
	check := func(what string, want fingerprint, other bool) {
		t.Helper()
		if err := p.checkIdentity(t.Context(), want); errors.Is(err, errOtherIncarnation) != other || err != nil && !other {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("it is the same", same, false)
	check("the first record of all is another one", fingerprint{offset: 0, time: same.time, crc: 7}, true)
	check("there was none", fingerprint{offset: -1, crc: 7}, false)
	otherTime, otherCRC := same, same
	otherTime.time++
	otherCRC.crc = 0x0000abcd
	check("it has another time", otherTime, true)
	check("it has another value", otherCRC, true)
	want := fmt.Sprintf("the topic is another one now: the record at offset 150 has time %d and CRC %08x, it had time %d and CRC 0000abcd", same.time, same.crc, same.time)
	if err := p.checkIdentity(t.Context(), otherCRC); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if log.String() != "" {
		t.Errorf("said:\n%s", log.String())
	}
	l.mu.Lock()
	l.batches[1].bytes = deltaBatch(100, 99, 51)
	l.mu.Unlock()
	check("compaction has taken it", otherCRC, false)
	l.alter(100, func(b []byte) { b[batchHeader+1] ^= 1 })
	check("it cannot be decoded", otherCRC, false)
	if text := log.String(); strings.Count(text, "nothing says whether it is still the same") != 1 || !strings.Contains(text, `"offset":150`) {
		t.Errorf("said:\n%s", text)
	}
	l.mu.Lock()
	l.first = 200
	l.mu.Unlock()
	check("it was deleted", otherCRC, false)
	l.requests()
	l.fail[1] = int16(kafka.TopicAuthorizationFailed)
	if err := p.checkIdentity(t.Context(), same); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("the broker refuses: %v", err)
	}
}

func TestAPartitionThatWasAddedBeginsAtItsFirstRecordWhateverIsConfigured(t *testing.T) {
	for partitions, from := range map[uint32]int64{0: 20, 1: 100} { // how many the topic had when it was first read
		addr := broker(t, kfake.SeedTopics(1, "access"))
		produce(t, addr, 0, 0, jsonOf(someEvents(100))...)
		deleteRecords(t, addr, 20)
		cfg := testConfig(addr, "access")
		cfg.Start.At = Latest
		m := newMemory()
		p, log := owner(t, cfg, m)
		p.incarnation.Partitions = partitions
		next, err := p.takeOver(t.Context())
		if err != nil || next.from != from || p.settled != from {
			t.Errorf("of %d partitions: it starts at %d and commits %d, %v; want %d", partitions, next.from, p.settled, err, from)
		}
		added := `"offset":20,"message":"this partition was added to the topic; starting at its beginning"`
		if strings.Contains(log.String(), added) != (partitions == 0) || strings.Contains(log.String(), "starting as configured") != (partitions == 1) {
			t.Errorf("of %d partitions: said\n%s", partitions, log.String())
		}
		if at := m.emptyMarkers(); len(at) != 1 || at[0] != from || m.markers[0].Pinned != schema.DayOf(time.Now()) {
			t.Errorf("of %d partitions: empty markers at %v", partitions, at)
		}
	}
}

func TestATakeoverThatIsRefusedOrEndsChangesNothing(t *testing.T) {
	for _, failing := range []string{"counted", "usage"} {
		addr := broker(t, kfake.SeedTopics(1, "access"))
		produce(t, addr, 0, 0, jsonOf(someEvents(10))...)
		m := newMemory()
		p, _ := owner(t, testConfig(addr, "access"), m)
		refused := errors.New("no answer")
		m.setFail(func(step string) error {
			if step == failing {
				return refused
			}
			return nil
		})
		soon, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer end()
		if _, err := p.takeOver(soon); !errors.Is(err, refused) || len(m.markers) != 0 {
			t.Errorf("%s: %v; markers %v", failing, err, m.markers)
		}
	}
}
