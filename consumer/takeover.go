package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// errOtherStream says that the topic no longer holds what was counted of it:
// it was deleted and made again, or its log was cut off. Counting on would mix
// two streams, so the partition stands still until somebody says what it is.
var errOtherStream = errors.New("the topic is another one now")

// standing is what a new owner of a partition finds.
type standing struct {
	vouched    bool // there are markers
	counted    int64
	committed  int64 // the group's offset; -1 for none
	pinned     bool  // the commit carries a pin
	pin        pin
	first, end int64 // what the log holds: [first, end)
}

// plan is where a new owner goes on.
type plan struct {
	from  int64
	redo  *pin   // not nil: first this range, exactly
	start bool   // nothing is known: from is for Config.Start to say
	said  string // what the operator should know; empty where all is as usual
}

// decide makes the plan. What a marker vouches for is counted, nothing else is;
// the group's offset counts only where there is no marker at all.
func (s *standing) decide() (plan, error) {
	known := s.counted
	if !s.vouched {
		known = max(s.committed, 0)
	}
	if s.pinned {
		known = max(known, s.pin.to)
	}
	if s.end < known {
		return plan{}, fmt.Errorf("%w: offsets up to %d have been read, but the log ends at %d", errOtherStream, known, s.end)
	}
	switch {
	case s.pinned && s.pin.to > s.pin.from && (!s.vouched || s.counted == s.pin.from):
		return plan{from: s.pin.from, redo: &s.pin}, nil
	case s.vouched && s.committed < 0:
		return plan{from: s.counted, said: "the group has no offset here; what was counted is not counted again"}, nil
	case s.vouched && (s.committed == s.counted || s.pinned && s.pin.to == s.counted):
		return plan{from: s.counted}, nil
	case s.vouched && s.committed < s.counted:
		return plan{from: s.counted, said: "the group's offset lies before what was counted, which is not counted again"}, nil
	case s.vouched:
		return plan{from: s.counted, said: "the group's offset lies beyond what was counted; what lies between is counted now"}, nil
	case s.committed >= 0:
		return plan{from: s.committed, said: "nothing of this stream was counted yet; starting at the group's offset"}, nil
	}
	return plan{start: true}, nil
}

// takeOver finds out where to go on, and says so where it is not the usual.
func (p *partition) takeOver(ctx context.Context) (plan, error) {
	var s standing
	err := p.patiently(ctx, p.clickhouse, func(ctx context.Context) (err error) {
		s.counted, s.vouched, err = p.store.Counted(ctx, p.id)
		return err
	})
	if err != nil {
		return plan{}, err
	}
	err = p.patiently(ctx, p.kafka, func(ctx context.Context) error {
		var text string
		var err error
		if s.committed, text, err = p.fence.read(ctx); err != nil {
			return err
		}
		s.pin, s.pinned = parsePin(s.committed, text)
		s.first, s.end, err = p.cluster.bounds(ctx, p.topic.Name, p.id.Partition)
		return err
	})
	if err != nil {
		return plan{}, err
	}
	next, err := s.decide()
	if err != nil {
		return plan{}, err
	}
	p.batch.last = fingerprint{offset: -1}
	if s.pinned {
		if err := p.checkIdentity(ctx, &s); err != nil {
			return plan{}, err
		}
		p.batch.last = s.pin.last
	}
	if next.start {
		if next, err = p.start(ctx, &s); err != nil {
			return plan{}, err
		}
	}
	if next.said != "" {
		p.log.Info().Int64("group_offset", s.committed).Int64("going_on_at", next.from).Msg(next.said)
	}
	if s.vouched || next.redo != nil {
		return next, nil
	}
	return next, p.begin(ctx, next.from)
}

// begin writes the first marker of a partition, an empty one: it says where the
// coverage begins, and that a silent partition is caught up.
func (p *partition) begin(ctx context.Context, from int64) error {
	m := schema.Marker{Range: schema.Range{Partition: p.id, From: from, To: from, Pinned: schema.DayOf(time.Now())}}
	return p.patiently(ctx, p.clickhouse, func(ctx context.Context) error {
		return p.store.InsertUsage(ctx, m, &schema.UsageRows{})
	})
}

// start takes the offset that Config.Start says, and commits it, so that a
// restart before the first batch does not begin elsewhere.
func (p *partition) start(ctx context.Context, s *standing) (plan, error) {
	next := plan{from: s.first}
	switch p.cfg.Start.At {
	case Latest:
		next.from = s.end
	case Since:
		err := p.patiently(ctx, p.kafka, func(ctx context.Context) error {
			offset, err := p.cluster.offsetAt(ctx, p.topic.Name, p.id.Partition, p.cfg.Start.Time)
			if offset < 0 {
				offset = s.end // no record is as late as that
			}
			next.from = offset
			return err
		})
		if err != nil {
			return plan{}, err
		}
	}
	p.log.Info().Stringer("start", p.cfg.Start).Int64("offset", next.from).
		Msg("neither the group nor the tables know this partition; starting as configured")
	return next, p.settle(ctx, next.from)
}

// checkIdentity compares the last record that the pin names with the one at its
// offset now, where the log still holds it.
func (p *partition) checkIdentity(ctx context.Context, s *standing) error {
	want := s.pin.last
	if want.offset < s.first || want.offset >= s.end {
		return nil
	}
	var c chunk
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) (err error) {
		c, err = p.fetch.next(ctx, want.offset)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			return nil // deleted meanwhile
		}
		return err
	})
	if err != nil || len(c.records) == 0 || c.records[0].offset != want.offset {
		return err // compacted away: nothing to compare with
	}
	if got := c.records[0].fingerprint(); got != want {
		return fmt.Errorf("%w: the record at offset %d has time %d and CRC %08x, it had time %d and CRC %08x",
			errOtherStream, want.offset, got.time, got.crc, want.time, want.crc)
	}
	return nil
}
