package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// partition is the loop over one partition for as long as one generation of the
// group lasts: fetch, add to the batch, flush.
type partition struct {
	cfg         *Config
	topic       Topic
	incarnation Incarnation // the incarnation of the topic that is in force
	id          schema.Partition
	label       string // the number, for metrics
	limits      Limits
	store       Store
	cluster     *cluster
	fence       *fence
	fetch       *fetcher
	kafka       *outage
	clickhouse  *outage
	metrics     *Metrics
	log         zerolog.Logger
	progress    *progress
	drained     func() bool  // nothing more will be produced
	point       func(string) // told between two steps: reached, or what a test puts there

	batch   *batch
	redo    *pin  // the range to write again, exactly
	settled int64 // the offset last committed
	fetched int64 // all below is here, though not all of it may be in the batch
	stall   *stall
	pace    time.Duration // of attempts at what cannot be decoded
}

// run works until the generation ends. Then it has until write ends to flush
// what it holds; what it cannot flush the next owner reads again.
func (p *partition) run(ctx, write context.Context) {
	defer p.metrics.keys.Delete(p.progress.labels())
	defer p.fetch.drop()
	p.metrics.stands.WithLabelValues(p.topic.Name, p.label).Set(0)
	defer p.metrics.stands.DeleteLabelValues(p.topic.Name, p.label) // the next owner says whether it stands
	err := p.work(ctx, write)
	switch {
	case err == nil:
	case errors.Is(err, errFenced):
		p.log.Info().Msg("this instance lost the partition during a flush; its new owner finishes the batch")
	case errors.Is(err, errOtherIncarnation):
		p.metrics.stopped.Inc()
		defer p.metrics.stopped.Dec()
		p.progress.at(unknown, unknown)
		p.progress.halt("stopped, for the topic is another one now; `overreach topic new " + p.topic.Name + "` begins its next incarnation")
		p.log.Error().Err(err).Str("incarnation", p.id.Incarnation).Msg("this partition stands still; `overreach topic new` begins the next incarnation of the topic")
	default:
		p.log.Warn().Err(err).Msg("the last batch was not finished; the next owner of the partition does it")
	}
	<-ctx.Done() // one function that returns ends the whole generation
}

func (p *partition) work(ctx, write context.Context) error {
	next, err := p.takeOver(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	p.point(pointTaken)
	p.stall.sure, p.stall.tried = false, false // so that it is said to whom this generation gives the partition
	p.batch.open(next.from)
	p.tell()
	p.redo = next.redo
	if p.redo != nil {
		p.log.Info().Int64("from", p.redo.from).Int64("to", p.redo.to).Msg("finishing the batch that was begun before")
		if p.redo.why != "" { // nobody has to look at it again
			p.batch.pass(p.redo.to, p.redo.why)
			if err := p.flush(write); err != nil {
				return err
			}
		}
	}
	for {
		c, bad, err := p.next(ctx)
		if ctx.Err() != nil {
			break
		}
		if bad != nil {
			err = p.standBefore(ctx, write, bad)
		}
		if err != nil {
			return err
		}
		if bad != nil {
			continue
		}
		p.goesOn()
		p.fetched = c.next
		p.tell()
		if err := p.take(write, &c); err != nil {
			return err
		}
		atEnd := p.batch.next >= c.end
		if p.due(atEnd) {
			err = p.flush(write)
		} else if p.batch.empty() && len(c.records) == 0 && p.settled < p.batch.from {
			err = p.settle(write, p.batch.from)
		}
		if err != nil {
			return err
		}
	}
	if p.redo != nil {
		return nil // the pin stands; who comes next does it
	}
	if !p.batch.empty() {
		if err := p.flush(write); err != nil {
			return err
		}
	}
	if p.settled < p.batch.from {
		return p.settle(write, p.batch.from)
	}
	return nil
}

// next fetches what follows, or says that it cannot be decoded. Where the log no
// longer holds it the chunk is empty and goes on where the log begins; what lies
// between is missing.
func (p *partition) next(ctx context.Context) (chunk, *unreadable, error) {
	from := p.batch.next
	var c chunk
	var bad *unreadable
	var missing int64
	failed := false
	err := p.patiently(ctx, p.kafka, func(ctx context.Context) error {
		var err error
		if failed { // meanwhile the topic may have been deleted and made again
			if err := p.sameTopic(ctx); err != nil {
				return err
			}
			if err := p.checkIdentity(ctx, p.batch.last); err != nil {
				return err
			}
		}
		c, err = p.fetch.next(ctx, from)
		if errors.As(err, &bad) {
			return nil // Kafka has answered as it should
		}
		if !errors.Is(err, kafka.OffsetOutOfRange) {
			failed = failed || err != nil
			return err
		}
		first, end, err := p.cluster.bounds(ctx, p.topic.Name, p.id.Partition)
		if err != nil {
			return err
		}
		if from > end {
			return fmt.Errorf("%w: offset %d was to be read next, but the log ends at %d", errOtherIncarnation, from, end)
		}
		c = chunk{next: max(from, first), end: end}
		if p.redo != nil {
			c.next = min(c.next, p.redo.to)
		}
		missing = c.next - from
		return nil
	})
	if missing > 0 {
		p.batch.counts.missing += uint64(missing)
		p.log.Warn().Int64("from", from).Int64("to", c.next).
			Msg("Kafka no longer has these records; the marker says how many are missing")
	}
	return c, bad, err
}

// sameTopic makes sure that the topic is still the one whose incarnation is in force. An
// id never comes back: where it is the same now, all that was read before came
// from this topic.
func (p *partition) sameTopic(ctx context.Context) error {
	ids, err := p.cluster.topicIDs(ctx)
	if err != nil {
		return err
	}
	if p.incarnation.isOther(ids[p.topic.Name]) {
		return errMadeAgain
	}
	return nil
}

// take adds a chunk to the batch and flushes whenever the batch is full.
func (p *partition) take(ctx context.Context, c *chunk) error {
	b := p.batch
	if b.opened.IsZero() && c.next > b.next {
		b.opened = time.Now()
	}
	var last *record
	for i := range c.records {
		r := &c.records[i]
		if p.redo != nil && r.offset >= p.redo.to {
			if err := p.close(ctx, last, p.redo.to); err != nil {
				return err
			}
		}
		b.add(r)
		last = r
		if p.redo == nil && b.full(&p.limits) || p.redo != nil && b.next == p.redo.to {
			if err := p.close(ctx, last, b.next); err != nil {
				return err
			}
		}
	}
	if p.redo != nil && c.next >= p.redo.to {
		if err := p.close(ctx, last, p.redo.to); err != nil {
			return err
		}
	}
	b.next = max(b.next, c.next)
	if last != nil {
		b.last = last.fingerprint()
	}
	return nil
}

// close flushes the batch so that it ends at an offset; last is the record that
// was added last, where there was one.
func (p *partition) close(ctx context.Context, last *record, to int64) error {
	p.batch.next = to
	if last != nil {
		p.batch.last = last.fingerprint()
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	p.batch.opened = time.Now()
	return nil
}

// due reports whether the batch is to be flushed though it is not full.
func (p *partition) due(atEnd bool) bool {
	if p.batch.empty() || p.redo != nil {
		return false
	}
	return time.Since(p.batch.opened) >= p.limits.Age || atEnd && p.drained()
}

// tell says how far the partition has come.
func (p *partition) tell() { p.progress.at(p.batch.from, max(p.batch.next, p.fetched)) }

// patiently calls f until it succeeds or cannot.
func (p *partition) patiently(ctx context.Context, o *outage, f func(context.Context) error) error {
	return o.retry(ctx, &p.progress.wait, func(err error) bool {
		return errors.Is(err, errFenced) || errors.Is(err, errOtherIncarnation)
	}, f)
}

func partitionLabel(id int32) string { return strconv.Itoa(int(id)) }
