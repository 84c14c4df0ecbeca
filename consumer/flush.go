package consumer

import (
	"context"
	"time"

	"github.com/overreach/overreach/schema"
)

// The points between two steps of a partition's work, as tests name them. A crash
// at any of them leaves what the next owner finishes: after pinned nothing is
// written, after usage all is.
const (
	pointTaken   = "taken" // it is known where to go on, nothing is read
	pointPinned  = "pinned"
	pointRejects = "rejects"
	pointRaw     = "raw"
	pointUsage   = "usage"
	pointSettled = "settled" // committed, with nothing unfinished behind it
)

// insertTimeout bounds one attempt of an insert, so that a late one arrives
// while ClickHouse still knows its token.
const insertTimeout = 60 * time.Second

// flush writes the batch and opens the next one. Each step is repeated until it
// succeeds or ctx ends; then the pin, once it is committed, lets the next owner
// write the same range again.
func (p *partition) flush(ctx context.Context) error {
	b, began := p.batch, time.Now()
	mine := pin{from: b.from, to: b.next, day: schema.DayOf(began), number: p.incarnation.Number, by: p.cfg.fingerprint(&p.topic), last: b.last}
	if err := p.patiently(ctx, p.kafka, p.sameTopic); err != nil {
		return err
	}
	mixed := false
	switch {
	case p.redo == nil && b.counts.unreadable > 0: // it is all of the batch
		mine.why = kind(b.why[0])
	case p.redo == nil:
	case p.redo.why != "":
		mine = *p.redo
	default:
		mixed = p.redo.by != mine.by || b.counts.unreadable > 0 // before, all of it could be decoded
		mine = *p.redo
		if mixed { // for good: what this attempt leaves, one as it was pinned must not take for its own
			mine.by = byMixed
		}
	}
	if err := p.commit(ctx, &mine); err != nil {
		return err
	}
	p.point(pointPinned)

	r := schema.Range{Partition: p.id, From: mine.from, To: mine.to, Pinned: mine.day}
	if len(b.rejects.Offset) > 0 {
		err := p.insert(ctx,
			func(ctx context.Context) (bool, error) { return p.store.HasRejects(ctx, r) },
			func(ctx context.Context) error { return p.store.InsertRejects(ctx, r, &b.rejects) })
		if err != nil {
			return err
		}
	}
	p.point(pointRejects)
	if len(b.access.Offset) > 0 {
		err := p.insert(ctx,
			func(ctx context.Context) (bool, error) { return p.store.HasRaw(ctx, r) },
			func(ctx context.Context) error { return p.store.InsertAccess(ctx, r, &b.access) })
		if err != nil {
			return err
		}
	}
	p.point(pointRaw)
	usage, marker := b.delta.usage(), b.marker(r, mixed)
	err := p.insert(ctx,
		func(ctx context.Context) (bool, error) {
			to, ok, err := p.store.Counted(ctx, p.id)
			return ok && to >= r.To, err
		},
		func(ctx context.Context) error { return p.store.InsertUsage(ctx, marker, usage) })
	if err != nil {
		return err
	}
	p.point(pointUsage)

	p.metrics.flush.WithLabelValues(p.topic.Name).Observe(time.Since(began).Seconds())
	p.metrics.keys.WithLabelValues(p.topic.Name, p.label).Set(float64(b.delta.keys()))
	p.metrics.counted(p.topic.Name, &b.counts, &b.rejects)
	if p.cfg.Counted != nil {
		p.cfg.Counted(Counted{Topic: p.topic.Name, Partition: p.id.Partition, To: r.To,
			Records: b.counts.records, Events: b.counts.events, Filtered: b.counts.filtered, Rejects: &b.rejects})
	}
	p.log.Debug().Int64("from", r.From).Int64("to", r.To).Uint64("events", b.counts.events).
		Uint64("rejected", b.counts.rejected).Int("keys", b.delta.keys()).
		Dur("took", time.Since(began)).Msg("batch counted")
	p.redo = nil
	b.open(r.To)
	p.tell()
	return nil
}

// insert writes what a range has in one table, unless an earlier attempt did: one
// of the batch's former owner, or one of this flush whose answer was lost. The
// token of that attempt may be forgotten by now.
func (p *partition) insert(ctx context.Context, there func(context.Context) (bool, error), write func(context.Context) error) error {
	again := p.redo != nil
	return p.patiently(ctx, p.clickhouse, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, insertTimeout)
		defer cancel()
		if again {
			if is, err := there(ctx); err != nil || is {
				return err
			}
		}
		again = true
		return write(ctx)
	})
}

// settle commits an offset up to which everything is counted, with nothing
// unfinished behind it.
func (p *partition) settle(ctx context.Context, offset int64) error {
	err := p.commit(ctx, &pin{from: offset, to: offset, day: schema.DayOf(time.Now()), number: p.incarnation.Number,
		by: p.cfg.fingerprint(&p.topic), last: p.batch.last})
	if err == nil {
		p.point(pointSettled)
	}
	return err
}

func (p *partition) commit(ctx context.Context, c *pin) error {
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) error { return p.fence.commit(ctx, c) })
	if err == nil {
		p.settled = c.from
	}
	return err
}
