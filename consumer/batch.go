package consumer

import (
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

// outlineBytes bounds the outline that is kept of a reject; outlineOfLarge stands
// for that of a record which is too large to be held, and so to be kept.
const (
	outlineBytes   = 1024
	outlineOfLarge = "(not read)"
)

// batch is what was read of one partition since the last flush: the offsets
// [from, next), their raw rows, rejects and delta. Memory is kept from batch to
// batch.
type batch struct {
	hashKey HashKey
	keepRaw bool
	reader  decode.Reader

	from, next int64
	opened     time.Time   // when its first record came
	last       fingerprint // of the last record read, in this batch or before
	bytes      int64       // of memory that it takes, beside its delta
	counts     counts
	why        []string // what is unreadable could not be decoded; ascending
	delta      *delta
	access     schema.AccessRows
	rejects    schema.RejectRows
	words      map[string]string // interned API versions and grants
	ids        strings.Builder   // a piece of memory for the producers' ids
}

// counts is what a marker says of a range.
type counts struct {
	records, missing, events, rejected, filtered uint64
	firstEvent, lastEvent                        int64
	lastRecord                                   int64 // Kafka's own time of a record
	unreadable                                   uint64
}

func newBatch(key HashKey, topic Topic, limits schema.TimeLimits) *batch {
	return &batch{
		hashKey: key, keepRaw: topic.KeepRaw,
		reader: topic.RecordEncoding().NewReader(limits),
		delta:  newDelta(),
		words:  map[string]string{},
	}
}

// open empties the batch and lets it begin at an offset.
func (b *batch) open(from int64) {
	b.from, b.next, b.opened, b.bytes, b.counts, b.why = from, from, time.Time{}, 0, counts{}, nil
	b.delta.reset()
	clear(b.words)
	resetAccess(&b.access)
	b.rejects = schema.RejectRows{}
}

// empty reports whether the batch vouches for nothing yet.
func (b *batch) empty() bool { return b.next == b.from }

// full reports whether a limit closes the batch.
func (b *batch) full(l *Limits) bool {
	return b.counts.events+b.counts.rejected+b.counts.filtered >= uint64(l.Events) ||
		b.delta.keys() >= l.Keys || b.bytes+b.delta.bytes >= l.Bytes
}

// add reads a record into the batch.
func (b *batch) add(r *record) {
	var events []schema.Event
	var rejects []schema.ItemReject
	filtered := 0
	if r.large == nil {
		events, rejects, filtered = b.reader.Read(r.value, r.time)
	} else {
		rejects = []schema.ItemReject{{Reject: *decode.RecordTooLarge(r.large.size)}}
	}
	for i := range events {
		b.addEvent(r.offset, &events[i])
	}
	for i := range rejects {
		b.addReject(r, &rejects[i])
	}
	b.counts.records++
	b.counts.events += uint64(len(events))
	b.counts.rejected += uint64(len(rejects))
	b.counts.filtered += uint64(filtered)
	b.counts.lastRecord = max(b.counts.lastRecord, r.time)
	b.next = r.offset + 1
}

// pass goes on to an offset behind what cannot be decoded.
func (b *batch) pass(to int64, why kind) {
	b.counts.unreadable += uint64(to - b.next) //nolint:gosec // to lies behind it
	if !slices.Contains(b.why, string(why)) {
		b.why = append(b.why, string(why))
		slices.Sort(b.why)
	}
	b.next = to
}

func (b *batch) addEvent(offset int64, e *schema.Event) {
	subject, actor := b.hashKey.hash(e.Subject), b.hashKey.hash(e.Actor)
	usageKey := b.delta.add(e, subject, actor)
	if b.counts.firstEvent == 0 || e.Time < b.counts.firstEvent {
		b.counts.firstEvent = e.Time
	}
	b.counts.lastEvent = max(b.counts.lastEvent, e.Time)

	b.bytes += bytesAnEvent + bytesAName*int64(len(e.Partner)+len(e.App)+len(e.Capability)+len(e.ID)+len(e.APIVersion)+len(e.Grant))
	a := &b.access
	a.Offset = append(a.Offset, offset)
	a.Item = append(a.Item, e.Item)
	a.Time = append(a.Time, e.Time)
	a.Partner = append(a.Partner, usageKey.Partner)
	a.App = append(a.App, usageKey.App)
	a.Capability = append(a.Capability, usageKey.Capability)
	a.Action = append(a.Action, e.Action)
	a.Subject = append(a.Subject, subject)
	a.Actor = append(a.Actor, actor)
	a.ID = append(a.ID, b.id(e.ID))
	a.APIVersion = append(a.APIVersion, b.word(e.APIVersion))
	a.Grant = append(a.Grant, b.word(e.Grant))
	a.Status = append(a.Status, e.Status)
	a.Records = append(a.Records, e.Records)
	a.Bytes = append(a.Bytes, e.Bytes)
}

func (b *batch) addReject(r *record, why *schema.ItemReject) {
	raw := ""
	if b.keepRaw {
		raw = string(why.Part)
	}
	outline, size := outlineOfLarge, int64(len(r.value))
	if r.large == nil {
		outline = b.reader.Outline(why.Part, outlineBytes)
	} else {
		size = r.large.size
	}
	b.bytes += bytesAnEvent + bytesAName*int64(len(raw)+len(outline)+len(why.Detail))
	j := &b.rejects
	j.Offset = append(j.Offset, r.offset)
	j.Item = append(j.Item, why.Item)
	j.Time = append(j.Time, r.time)
	j.Reason = append(j.Reason, string(why.Reason))
	j.Detail = append(j.Detail, why.Detail)
	j.Outline = append(j.Outline, outline)
	j.Raw = append(j.Raw, raw)
	j.Size = append(j.Size, size)
}

// word returns a text that many events share.
func (b *batch) word(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if w, ok := b.words[string(text)]; ok {
		return w
	}
	w := string(text)
	b.words[w] = w
	return w
}

// idBytes is how much memory is taken at a time for the producers' ids, which
// no two events share.
const idBytes = 1 << 16

// id returns a text as a part of a larger piece of memory, so that thousands of
// ids take one allocation.
func (b *batch) id(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if b.ids.Cap()-b.ids.Len() < len(text) {
		b.ids = strings.Builder{}
		b.ids.Grow(max(idBytes, len(text)))
	}
	start := b.ids.Len()
	b.ids.Write(text)
	return b.ids.String()[start:]
}

// marker returns what vouches for a range of this batch.
func (b *batch) marker(r schema.Range, mixed bool) schema.Marker {
	return schema.Marker{
		Range:   r,
		Records: b.counts.records, Missing: b.counts.missing, Events: b.counts.events,
		Rejected: b.counts.rejected, Filtered: b.counts.filtered,
		FirstEvent: b.counts.firstEvent, LastEvent: b.counts.lastEvent,
		LastRecord: b.counts.lastRecord, Minutes: b.delta.minutes(),
		Unreadable: b.counts.unreadable, Why: b.why,
		Mixed: mixed,
	}
}

func resetAccess(a *schema.AccessRows) {
	*a = schema.AccessRows{
		Offset: a.Offset[:0], Item: a.Item[:0], Time: a.Time[:0],
		Partner: a.Partner[:0], App: a.App[:0], Capability: a.Capability[:0], Action: a.Action[:0],
		Subject: a.Subject[:0], Actor: a.Actor[:0],
		ID: a.ID[:0], APIVersion: a.APIVersion[:0], Grant: a.Grant[:0],
		Status: a.Status[:0], Records: a.Records[:0], Bytes: a.Bytes[:0],
	}
}
