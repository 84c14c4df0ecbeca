package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/schema"
)

// tally adds up what became of the records that an instance counted.
type tally struct {
	mu sync.Mutex
	outcome
}

// outcome is what became of records.
type outcome struct {
	records, events, filtered, rejected uint64
	reasons                             map[string]*rejects
}

// rejects are the items that were rejected for one reason.
type rejects struct {
	reason string
	items  uint64
	first  map[kafkaPartition]reject // of each partition
}

type kafkaPartition struct {
	topic     string
	partition int32
}

type reject struct {
	offset int64
	detail string
}

// add adds what a batch held.
func (t *tally) add(c consumer.Counted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records += c.Records
	t.events += c.Events
	t.filtered += c.Filtered
	t.rejected += uint64(len(c.Rejects.Reason))
	if t.reasons == nil {
		t.reasons = map[string]*rejects{}
	}
	at := kafkaPartition{c.Topic, c.Partition}
	for i, reason := range c.Rejects.Reason {
		r := t.reasons[reason]
		if r == nil {
			r = &rejects{reason: reason, first: map[kafkaPartition]reject{}}
			t.reasons[reason] = r
		}
		r.items++
		if _, known := r.first[at]; !known {
			r.first[at] = reject{c.Rejects.Offset[i], c.Rejects.Detail[i]}
		}
	}
}

// take returns what was added since it was called last.
func (t *tally) take() outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.outcome
	t.outcome = outcome{}
	return o
}

// ordered returns the reasons, that of most rejects first.
func (o *outcome) ordered() []*rejects {
	return slices.SortedFunc(maps.Values(o.reasons), func(a, b *rejects) int {
		return cmp.Or(cmp.Compare(b.items, a.items), cmp.Compare(a.reason, b.reason))
	})
}

// place returns the first of the rejects, by an order of their places.
func (r *rejects) place(order func(kafkaPartition, int64) int64) (kafkaPartition, reject) {
	at := slices.MinFunc(slices.Collect(maps.Keys(r.first)), func(a, b kafkaPartition) int {
		return cmp.Or(cmp.Compare(order(a, r.first[a].offset), order(b, r.first[b].offset)),
			cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return at, r.first[at]
}

// places say where the records of a run stood.
type places struct {
	order func(kafkaPartition, int64) int64 // what comes first in the run is less
	name  func(kafkaPartition, int64) string
}

// inKafka names records by their offsets.
var inKafka = places{
	order: func(_ kafkaPartition, offset int64) int64 { return offset },
	name: func(at kafkaPartition, offset int64) string {
		return fmt.Sprintf("%s/%d offset %d", at.topic, at.partition, offset)
	},
}

// write says for people what became of the records: a line with the sums, and one
// for each reason to reject an item, with the first place.
func (o *outcome) write(w io.Writer, where places) {
	_, _ = fmt.Fprintf(w, "%s: %s, %s filtered out, %s\n", // a terminal that is gone is no reason to fail
		plural(o.records, "record"), plural(o.events, "event"), thousands(o.filtered), plural(o.rejected, "reject"))
	rows := [][]string{}
	for _, r := range o.ordered() {
		at, first := r.place(where.order)
		rows = append(rows, []string{thousands(r.items), r.reason, "first " + schema.Printable(where.name(at, first.offset)), schema.Printable(first.detail)})
	}
	if len(rows) == 0 {
		return
	}
	for _, line := range alignColumns(rows, 0) {
		_, _ = fmt.Fprintln(w, "  "+line)
	}
}

// log says the same where rejects were among them, without what the reasons say
// of single records.
func (o *outcome) log(log zerolog.Logger) {
	if o.rejected == 0 {
		return
	}
	var reasons []string
	for _, r := range o.ordered() {
		at, first := r.place(inKafka.order)
		reasons = append(reasons, fmt.Sprintf("%d %s, first %s", r.items, r.reason, inKafka.name(at, first.offset)))
	}
	log.Warn().Uint64("records", o.records).Uint64("events", o.events).Uint64("filtered", o.filtered).Uint64("rejects", o.rejected).
		Strs("reasons", reasons).Msg("some of what was counted since the last such line became no events; the view rejects_by_reason says why")
}

// plural writes a number with the name of what it counts.
func plural(n uint64, name string) string {
	if n != 1 {
		name += "s"
	}
	return thousands(n) + " " + name
}
