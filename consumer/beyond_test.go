package consumer

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// claims has a batch's header say another last offset.
func claims(last int64) func(b []byte) {
	return func(b []byte) {
		base := int64(binary.BigEndian.Uint64(b))
		binary.BigEndian.PutUint32(b[crcStart+2:], uint32(last-base))
	}
}

func TestWhatCannotBeDecodedEndsWhereTheNextBatchBeginsThatCan(t *testing.T) {
	events := someEvents(400)
	for name, c := range map[string]struct {
		damage func(l *diskLog)
		at     int64
		end    int64
		asked  []int64 // nil: whatever it takes
		detour detour
	}{
		"a batch between two": {at: 100, end: 200, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, flip) }},
		"two batches in a row": {at: 100, end: 300, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, flip); l.alter(200, flip) }},
		"a batch whose length is too small": {at: 100, end: 200, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, func(b []byte) { binary.BigEndian.PutUint32(b[8:], 3) }) }},
		"a batch whose length is too great": {at: 100, end: 200, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, func(b []byte) { binary.BigEndian.PutUint32(b[8:], 1<<30) }) }},
		"a batch whose records contradict one another": {at: 100, end: 200, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, func(b []byte) { b[batchHeader] = 1; seal(b) }) }},
		"a batch of an old format": {at: 100, end: 200, asked: []int64{100},
			damage: func(l *diskLog) { l.alter(100, func(b []byte) { b[magicAt] = 1 }) }},
		"the last batch of a segment": {at: 100, end: 200, asked: []int64{100, 200},
			damage: func(l *diskLog) { l.alter(100, flip); l.segments(100) }},
		"the last batch of a segment, whose header ends too soon": {at: 100, end: 200,
			asked:  []int64{100, 150, 101, 102, 104, 108, 116, 132, 164, 228, 196, 212, 204, 200, 198, 199},
			damage: func(l *diskLog) { l.alter(100, claims(149)); l.segments(100, 200) }},
		"the last batch of a segment, whose header ends too late": {at: 100, end: 200,
			damage: func(l *diskLog) { l.alter(100, claims(249)); l.segments(100, 200, 300) }},
		"the last batch of a segment, whose header ends before it begins": {at: 100, end: 200,
			asked:  []int64{100, 101, 102, 104, 108, 116, 132, 164, 228, 196, 212, 204, 200, 198, 199},
			damage: func(l *diskLog) { l.alter(100, claims(99)); l.segments(100) }},
		"the last batch of a segment, whose header ends behind the log": {at: 100, end: 200,
			damage: func(l *diskLog) { l.alter(100, claims(99+math.MaxInt32)); l.segments(100) }},
		"a batch that the broker cannot read itself": {at: 100, end: 200,
			damage: func(l *diskLog) { l.refused[100] = true }},
		"two batches that the broker cannot read itself": {at: 100, end: 300,
			damage: func(l *diskLog) { l.refused[100], l.refused[200] = true, true }},
		"the last batch of the log": {at: 300, end: 400, asked: []int64{300, 301, 302, 304, 308, 316, 332, 364, 399},
			damage: func(l *diskLog) { l.alter(300, flip) }},
		"the last batch of the log, which the broker cannot read itself": {at: 300, end: 400, asked: []int64{300, 301, 302, 304, 308, 316, 332, 364, 399},
			damage: func(l *diskLog) { l.refused[300] = true }},
		"a batch in which the stable part of the log ends": {at: 300, end: 350,
			damage: func(l *diskLog) { l.alter(300, flip); l.stable = 350 }},
		"a batch before one that later offsets alone find": {at: 100, end: 200, detour: detour{to: 200, by: 250},
			damage: func(l *diskLog) { l.alter(100, flip); l.segments(100); l.from[200] = 250 }},
		"all up to a batch that its last offset alone finds": {at: 200, end: 300, detour: detour{to: 300, by: 399},
			damage: func(l *diskLog) { l.refused[200] = true; l.from[300] = 399 }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newDiskLog(t, events)
			c.damage(l)
			if c.detour == (detour{}) {
				c.detour.to = -1
			}
			f := l.fetcher(t)
			end, err := f.beyond(t.Context(), c.at)
			asked := l.requests()
			if err != nil || end != c.end || f.detour != c.detour {
				t.Errorf("it ends at %d, %+v, %v; want %d, %+v", end, f.detour, err, c.end, c.detour)
			}
			if c.asked != nil && !slices.Equal(asked, c.asked) {
				t.Errorf("it was fetched from %v, want %v", asked, c.asked)
			}
			if f.pending() {
				t.Error("what was looked at is held, and the next fetch would hand it over")
			}
			if end == 400 || l.stable < 400 {
				return
			}
			next, err := f.next(t.Context(), end)
			if err != nil || len(next.records) == 0 || next.records[0].offset != end {
				t.Errorf("reading goes on with %d records, %v", len(next.records), err)
			}
			if by := l.requests()[0]; c.detour.to >= 0 && by != c.detour.by {
				t.Errorf("it goes on by offset %d, want %d", by, c.detour.by)
			}
		})
	}
}

func TestWhatCanBeDecodedIsNotPassed(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(l *diskLog)
		at     int64
		detour detour
	}{
		"by its own offsets":           {at: 100, detour: detour{to: -1}, damage: func(*diskLog) {}},
		"its last record":              {at: 199, detour: detour{to: -1}, damage: func(l *diskLog) { l.alter(200, flip) }},
		"by a later offset":            {at: 100, detour: detour{to: 100, by: 164}, damage: func(l *diskLog) { l.from[100] = 150 }},
		"by what lies between the two": {at: 100, detour: detour{to: 100, by: 196}, damage: func(l *diskLog) { l.from[100] = 165; l.segments(100) }},
		"by the last offset, though the next batch is found sooner": {at: 100, detour: detour{to: 100, by: 199},
			damage: func(l *diskLog) { l.from[100] = 199; l.segments(100) }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newDiskLog(t, someEvents(300))
			c.damage(l)
			f := l.fetcher(t)
			if end, err := f.beyond(t.Context(), c.at); !errors.Is(err, errReadable) || f.detour != c.detour {
				t.Fatalf("it ends at %d, %v, by %+v; want that it can be decoded by %+v", end, err, f.detour, c.detour)
			}
			next, err := f.next(t.Context(), c.at)
			if err != nil || len(next.records) == 0 || next.records[0].offset != c.at {
				t.Errorf("%d records are read there, %v", len(next.records), err)
			}
		})
	}
}

func TestAnErrorWhileTheNextBatchIsLookedForIsTold(t *testing.T) {
	// The search asks for the offset in the header, then twice as far each time, then halves
	// what lies between: 16 requests.
	const asked = 16
	for nth := 1; nth <= asked+1; nth++ {
		l := newDiskLog(t, someEvents(400))
		l.alter(100, claims(149))
		l.segments(100, 200)
		l.fail[nth] = int16(kafka.TopicAuthorizationFailed)
		f := l.fetcher(t)
		end, err := f.beyond(t.Context(), 100)
		if nth > asked {
			if err != nil || end != 200 {
				t.Errorf("it ends at %d, %v", end, err)
			}
			continue
		}
		if !errors.Is(err, kafka.TopicAuthorizationFailed) {
			t.Errorf("where fetch %d of %d is refused it ends at %d, %v", nth, asked, end, err)
		}
		if n := len(l.requests()); n != nth {
			t.Errorf("after fetch %d was refused it went on to %d", nth, n)
		}
	}
}

func TestWhereNeitherBatchNorBrokerSaysWhereTheLogEndsTheErrorIsTold(t *testing.T) {
	c := kfakeCluster(t)
	cfg := testConfig(c.ListenAddrs()[0], "access")
	k := newCluster(&cfg)
	defer k.close()
	answering(t, c, func(int64, int16) *kmsg.FetchResponseTopicPartition {
		p := kmsg.NewFetchResponseTopicPartition()
		p.ErrorCode, p.HighWatermark, p.LastStableOffset = int16(kafka.InvalidMessage), -1, -1
		return &p
	})
	c.ControlKey(int16(kmsg.ListOffsets), func(q kmsg.Request) (kmsg.Response, error, bool) {
		return q.ResponseKind(), nil, true // that names nothing
	})
	f := &fetcher{transport: k.fetches, cluster: k, topic: "access"}
	if end, err := f.beyond(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "the broker did not name them all") {
		t.Errorf("it ends at %d, %v", end, err)
	}
}

func TestABatchIsSearchedForBehindWhatIsDamaged(t *testing.T) {
	good := func(base int64) []byte { return rawBatch(base, 0, 1, "a", "b") }
	bad := func(base int64) []byte { b := good(base); flip(b); return b }
	within := rawBatch(100, 0, 1, "a", string(good(500))) // a value that is itself a batch
	broken := slices.Clone(within)
	broken[batchHeader] = 1 // a record of a negative length, though the CRC is right
	seal(broken)
	longer := good(102) // into the next one
	longer[11] += 10
	torn := slices.Clone(within)
	torn[batchHeader+4] ^= 1
	for name, c := range map[string]struct {
		bytes    []byte
		offset   int64
		want     int64
		readable bool
	}{
		"nothing":                                   {nil, 100, -1, false},
		"it holds the offset":                       {good(100), 100, -1, true},
		"the first of all, and damaged":             {bad(0), 0, -1, false},
		"it holds the offset as its last":           {good(100), 101, -1, true},
		"it ends before the offset":                 {good(100), 102, -1, false},
		"it begins behind the offset":               {good(100), 99, 100, false},
		"the first that begins behind it":           {slices.Concat(good(98), bad(100), good(102), good(104)), 100, 102, false},
		"one byte is left of it":                    {good(102)[:len(good(102))-1], 100, -1, false},
		"after some bytes that are none":            {slices.Concat([]byte("?"), good(102)), 100, 102, false},
		"a control batch":                           {rawBatch(102, 1<<5, 0, "commit"), 100, 102, false},
		"a batch of which compaction has taken all": {rawBatch(102, 0, 4), 100, 102, false},
		"packed by an unknown codec":                {slices.Concat(rawBatch(102, 7, 1, "a", "b"), good(104)), 100, 104, false},
		"packed, of which compaction has taken all": {rawBatch(102, 1, 4), 100, 102, false},
		"within a record of a whole batch alone":    {broken, 100, -1, false},
		"within what a wrong length takes in":       {slices.Concat(longer, good(104), good(106)), 100, 104, false},
		"within a record of a whole batch":          {slices.Concat(broken, good(104)), 100, 104, false},
		"within a record of a batch before another": {slices.Concat(torn, good(104)), 100, 104, false},
	} {
		var f fetcher
		got, err := f.search(c.bytes, c.offset)
		if got != c.want || errors.Is(err, errReadable) != c.readable || err != nil && !c.readable {
			t.Errorf("%s: %d, %v; want %d, readable %t", name, got, err, c.want, c.readable)
		}
		if f.pending() || len(f.records) != 0 {
			t.Errorf("%s: records are held", name)
		}
	}
}
