package consumer

import (
	"context"
	"time"

	"github.com/overreach/overreach/schema"
)

// The points between two steps of a flush, as tests name them. A crash at any of
// them leaves what the next owner finishes: after pinned nothing is written,
// after usage all is.
const (
	pointPinned  = "pinned"
	pointRejects = "rejects"
	pointRaw     = "raw"
	pointUsage   = "usage"
)

// insertTimeout bounds one attempt of an insert, so that a late one arrives
// while ClickHouse still knows its token.
const insertTimeout = 60 * time.Second

// flush writes the batch and opens the next one. Each step is repeated until it
// succeeds or ctx ends; then the pin, once it is committed, lets the next owner
// write the same range again.
func (p *partition) flush(ctx context.Context) error {
	b, began := p.batch, time.Now()
	mine := pin{from: b.from, to: b.next, day: schema.DayOf(began), epoch: p.stream.Epoch, by: p.cfg.fingerprint(&p.topic), last: b.last}
	if err := p.patiently(ctx, p.kafka, p.sameTopic); err != nil {
		return err
	}
	mixed := false
	if p.redo != nil {
		mixed = p.redo.by != mine.by
		mine = *p.redo // as it was: a third attempt must know by whom it was pinned
	}
	if err := p.commit(ctx, &mine); err != nil {
		return err
	}
	p.reached(pointPinned)

	r := schema.Range{Partition: p.id, From: mine.from, To: mine.to, Pinned: mine.day}
	if len(b.rejects.Offset) > 0 {
		err := p.insert(ctx, func(ctx context.Context) error { return p.store.InsertRejects(ctx, r, &b.rejects) })
		if err != nil {
			return err
		}
	}
	p.reached(pointRejects)
	if err := p.insertRaw(ctx, r); err != nil {
		return err
	}
	p.reached(pointRaw)
	usage, marker := b.delta.usage(), b.marker(r, mixed)
	err := p.insert(ctx, func(ctx context.Context) error { return p.store.InsertUsage(ctx, marker, usage) })
	if err != nil {
		return err
	}
	p.reached(pointUsage)

	p.metrics.flush.WithLabelValues(p.topic.Name).Observe(time.Since(began).Seconds())
	p.metrics.keys.WithLabelValues(p.topic.Name, p.label).Set(float64(b.delta.keys()))
	p.metrics.counted(p.topic.Name, &b.counts, &b.rejects)
	if p.cfg.Counted != nil {
		p.cfg.Counted(p.topic.Name, p.id.Partition, r.To)
	}
	p.log.Debug().Int64("from", r.From).Int64("to", r.To).Uint64("events", b.counts.events).
		Uint64("rejected", b.counts.rejected).Int("keys", b.delta.keys()).
		Dur("took", time.Since(began)).Msg("batch counted")
	p.redo = nil
	b.open(r.To)
	return nil
}

// insertRaw writes the raw rows, unless an earlier attempt did: its token may
// be forgotten by now.
func (p *partition) insertRaw(ctx context.Context, r schema.Range) error {
	if len(p.batch.access.Offset) == 0 {
		return nil
	}
	return p.insert(ctx, func(ctx context.Context) error {
		if p.redo != nil {
			if there, err := p.store.HasRaw(ctx, r); err != nil || there {
				return err
			}
		}
		return p.store.InsertAccess(ctx, r, &p.batch.access)
	})
}

func (p *partition) insert(ctx context.Context, f func(context.Context) error) error {
	return p.patiently(ctx, p.clickhouse, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, insertTimeout)
		defer cancel()
		return f(ctx)
	})
}

// settle commits an offset up to which everything is counted, with nothing
// unfinished behind it.
func (p *partition) settle(ctx context.Context, offset int64) error {
	return p.commit(ctx, &pin{from: offset, to: offset, day: schema.DayOf(time.Now()), epoch: p.stream.Epoch,
		by: p.cfg.fingerprint(&p.topic), last: p.batch.last})
}

func (p *partition) commit(ctx context.Context, c *pin) error {
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) error { return p.fence.commit(ctx, c) })
	if err == nil {
		p.settled = c.from
	}
	return err
}

func (p *partition) reached(point string) {
	if p.point != nil {
		p.point(point)
	}
}
