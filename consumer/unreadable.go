package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// kind says in one word why records cannot be decoded. The words are few and
// fixed, fit for a metric's label.
type kind string

// The kinds.
const (
	badCRC         kind = "bad_crc"         // the batch's bytes are not those that were written
	badCompression kind = "bad_compression" // its codec fails, or is unknown
	badBatch       kind = "bad_batch"       // lengths or offsets contradict one another
	oldFormat      kind = "old_format"      // of before Kafka 0.11
)

var kinds = []kind{badCRC, badCompression, badBatch, oldFormat}

// unreadable says that what Kafka holds at an offset cannot be decoded. Asking
// again helps only where another replica, or another disk, answers. Nothing else
// is ever passed: whoever refuses, is away or knows no such topic sends no batch.
type unreadable struct {
	kind   kind
	offset int64 // all before was handed over
	log    chunk // what the broker said of the log, without records
	err    error
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("the record batch there cannot be decoded (%s): %v", u.kind, u.err)
}

func (u *unreadable) Unwrap() error { return u.err }

// broken is what a batch is whose structure contradicts itself.
func broken(format string, args ...any) error {
	return &unreadable{kind: badBatch, err: fmt.Errorf(format, args...)}
}

// stall is where a partition stands before what cannot be decoded. It lasts from
// one generation of the group to the next.
type stall struct {
	bad    *unreadable // nil: it does not stand
	sure   bool        // more attempts have met it, in this generation
	tried  bool        // another way to it was tried
	said   bool        // that the partition stands
	since  time.Time   // since when the partition waits
	passed time.Time   // when it passed one last
}

// meets notes that the partition stands before bad, and reports whether an
// attempt before this one met the same. Where a range was passed less than after
// ago, the next one belongs to the same damage: it does not wait anew.
func (s *stall) meets(bad *unreadable, after time.Duration) bool {
	again := s.bad != nil && s.bad.offset == bad.offset
	if !again {
		s.sure, s.tried, s.said = false, false, false
		if s.passed.IsZero() || time.Since(s.passed) > after {
			s.since = time.Now()
		}
	}
	s.bad = bad
	return again
}

// stallPace is how often a batch that cannot be decoded is asked for again, and
// the tables whether somebody wants it to be passed.
const stallPace = 5 * time.Second

// standBefore is the partition's work where it cannot decode what comes next. It
// makes one attempt to go on; another fetch follows it.
func (p *partition) standBefore(ctx, write context.Context, bad *unreadable) error {
	p.metrics.unreadable.WithLabelValues(p.topic.Name, string(bad.kind)).Inc()
	s := p.stall
	if !s.meets(bad, p.cfg.UnreadableAfter) {
		p.pause(ctx, firstWait)
		return nil
	}
	if !s.sure {
		end, err := p.beyond(ctx, bad.offset)
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		if end <= bad.offset && !s.tried {
			s.tried = true // it can be read now, or by a detour
			return nil
		}
		if err := p.stop(write, bad, end); err != nil {
			return err
		}
	}
	wait := p.cfg.UnreadableAfter - time.Since(s.since)
	passes := p.cfg.UnreadableAfter > 0 && wait <= 0
	if !passes {
		err := p.patiently(ctx, p.clickhouse, func(ctx context.Context) (err error) {
			passes, err = p.store.Skips(ctx, p.id, bad.offset)
			return err
		})
		if err != nil {
			return ignoreEnd(ctx, err)
		}
	}
	if !passes {
		if p.cfg.UnreadableAfter == 0 {
			wait = p.pace
		}
		p.pause(ctx, min(p.pace, wait))
		return nil
	}
	end, err := p.beyond(ctx, bad.offset)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	if end <= bad.offset {
		p.pause(ctx, p.pace)
		return nil
	}
	return p.pass(write, bad, end)
}

// stop counts what was read before, so that only what cannot be decoded waits, and
// says what the partition stands before.
func (p *partition) stop(ctx context.Context, bad *unreadable, end int64) error {
	if p.redo == nil && !p.batch.empty() {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	if p.redo == nil && p.settled < p.batch.from {
		if err := p.settle(ctx, p.batch.from); err != nil {
			return err
		}
	}
	p.stall.sure, p.stall.said = true, true
	p.progress.halt(fmt.Sprintf("stands before records that cannot be decoded (%s) at offset %d; `overreach skip %s --reason ...` passes them", bad.kind, bad.offset, p.progress))
	p.metrics.stands.WithLabelValues(p.topic.Name, p.label).Set(1)
	then := "only that command passes it"
	if p.cfg.UnreadableAfter > 0 {
		left := max(0, p.cfg.UnreadableAfter-time.Since(p.stall.since)).Round(time.Second)
		then = fmt.Sprintf("in %s it is passed by itself", left)
	}
	p.log.Error().Err(bad.err).Int64("offset", bad.offset).Int64("to", end).Str("kind", string(bad.kind)).
		Msg("Kafka holds records here that cannot be decoded: this partition stands still, and tries again in case another replica has them whole; " +
			fmt.Sprintf("`overreach skip %s/%d --reason ...` passes them at once; %s. What is passed is marked as unreadable", p.topic.Name, p.id.Partition, then))
	return nil
}

// goesOn notes that what comes next could be read.
func (p *partition) goesOn() {
	s := p.stall
	if s.bad == nil {
		return
	}
	p.progress.halt("")
	if s.said {
		p.log.Info().Int64("offset", s.bad.offset).Dur("after", time.Since(s.since).Round(time.Millisecond)).
			Msg("these records can be decoded now; nothing was passed")
		p.metrics.stands.WithLabelValues(p.topic.Name, p.label).Set(0)
	}
	*s = stall{since: s.since, passed: s.passed}
}

// beyond returns where the range ends that begins at an offset; the offset itself
// where there is nothing to pass, or it cannot be told yet.
func (p *partition) beyond(ctx context.Context, offset int64) (int64, error) {
	end := offset
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) error {
		to, err := p.fetch.beyond(ctx, offset)
		if err == nil {
			end = to
		}
		if errors.Is(err, errReadable) || errors.Is(err, kafka.OffsetOutOfRange) {
			return nil // the next fetch finds out
		}
		return err
	})
	if err == nil && p.redo != nil {
		end = min(end, p.redo.to)
	}
	return end, err
}

// pass counts a range as unreadable. It is a batch of its own, so that its pin
// says all that its marker does; within a range that was pinned while it could be
// read, it is a part of that.
func (p *partition) pass(ctx context.Context, bad *unreadable, end int64) error {
	p.log.Warn().Int64("from", bad.offset).Int64("to", end).Str("kind", string(bad.kind)).
		Msg("passing records that cannot be decoded; the marker says so, and no zero that they may belong to is proof")
	p.batch.pass(end, bad.kind)
	if p.redo == nil || end == p.redo.to {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	p.progress.halt("")
	*p.stall = stall{since: p.stall.since, passed: time.Now()}
	p.metrics.stands.WithLabelValues(p.topic.Name, p.label).Set(0)
	return nil
}

// pause waits, or until ctx ends.
func (p *partition) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ignoreEnd returns err, unless it is that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Unreadable says where a partition stands before records that cannot be decoded.
type Unreadable struct {
	schema.Partition
	From, To int64  // offsets; To is the first behind it that can be decoded, or the log's end
	Why      string // bad_crc, bad_compression, bad_batch or old_format
	err      error
}

func (u *Unreadable) Error() string {
	return fmt.Sprintf("what Kafka holds from offset %d to %d cannot be decoded (%s): %v", u.From, u.To, u.Why, u.err)
}
