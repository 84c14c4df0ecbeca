package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

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
		return plan{}, fmt.Errorf("%w: offsets up to %d have been read, but the log ends at %d", errOtherIncarnation, known, s.end)
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
		return plan{from: s.committed, said: "nothing of this incarnation was counted yet; starting at the group's offset"}, nil
	}
	return plan{start: true}, nil
}

// takeOver finds out where to go on, and says so where it is not the usual.
func (p *partition) takeOver(ctx context.Context) (plan, error) {
	s, next, err := p.stand(ctx)
	if err != nil {
		return plan{}, err
	}
	p.batch.last = fingerprint{offset: -1}
	if s.pinned {
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

// stand asks ClickHouse and Kafka where the partition stands, and decides where
// to go on. It changes nothing.
func (p *partition) stand(ctx context.Context) (standing, plan, error) {
	var s standing
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) error {
		var text string
		var err error
		if s.committed, text, err = p.fence.read(ctx); err != nil {
			return err
		}
		s.pin, s.pinned = parsePin(s.committed, text)
		if s.pinned && s.pin.number != p.incarnation.Number { // of records in another incarnation
			s.committed, s.pin, s.pinned = -1, pin{}, false
		}
		s.first, s.end, err = p.cluster.bounds(ctx, p.topic.Name, p.id.Partition)
		return err
	})
	if err != nil {
		return s, plan{}, err
	}
	if s.committed >= 0 && !p.incarnation.other {
		p.progress.assume(s.committed)
	} else {
		p.progress.at(unknown, unknown) // the group's offset, if any, means another log
	}
	err = p.patiently(ctx, p.clickhouse, func(ctx context.Context) (err error) {
		s.counted, s.vouched, err = p.store.Counted(ctx, p.id)
		return err
	})
	if err != nil {
		return s, plan{}, err
	}
	if p.incarnation.other {
		return s, plan{}, errMadeAgain
	}
	next, err := s.decide()
	if err == nil && s.pinned {
		err = p.patiently(ctx, p.kafka, func(ctx context.Context) error { return p.checkIdentity(ctx, s.pin.last) })
	}
	return s, next, err
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
// restart before the first batch does not begin elsewhere. A partition that was
// added to a topic which is being read is new from its beginning on.
func (p *partition) start(ctx context.Context, s *standing) (plan, error) {
	if p.id.Partition >= int32(p.incarnation.Partitions) { //nolint:gosec // Kafka's own number
		p.log.Info().Int64("offset", s.first).Msg("this partition was added to the topic; starting at its beginning")
		return plan{from: s.first}, p.settle(ctx, s.first)
	}
	var next plan
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) (err error) {
		next.from, err = p.cluster.startAt(ctx, p.topic.Name, p.id.Partition, p.cfg.Start)
		return err
	})
	if err != nil {
		return plan{}, err
	}
	p.log.Info().Stringer("start", p.cfg.Start).Int64("offset", next.from).
		Msg("neither the group nor the tables know this partition; starting as configured")
	return next, p.settle(ctx, next.from)
}

// checkIdentity compares the record that was read last with the one at its
// offset now, where the log still holds it.
func (p *partition) checkIdentity(ctx context.Context, want fingerprint) error {
	if want.offset < 0 {
		return nil
	}
	c, err := p.fetch.next(ctx, want.offset)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return nil // deleted meanwhile
	}
	var bad *unreadable
	if errors.As(err, &bad) {
		p.log.Warn().Err(bad).Int64("offset", want.offset).Msg("the record that was read last cannot be decoded any more, so nothing says whether it is still the same; going on")
		return nil
	}
	if err != nil || len(c.records) == 0 || c.records[0].offset != want.offset {
		return err // compacted away: nothing to compare with
	}
	if got := c.records[0].fingerprint(); got != want {
		return fmt.Errorf("%w: the record at offset %d has time %d and CRC %08x, it had time %d and CRC %08x",
			errOtherIncarnation, want.offset, got.time, got.crc, want.time, want.crc)
	}
	return nil
}
