// Package replay sends lines to a Kafka topic, a record a line: from files, from
// standard input or from whoever makes them up; as fast as it goes, at a rate, or
// at a multiple of the speed at which the events happened.
package replay

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/segmentio/kafka-go"
)

// Config says where lines go and how fast.
type Config struct {
	// Client has the address and the transport of the cluster.
	Client *kafka.Client
	// Topic must exist; it is not created.
	Topic string
	// Rate is how many lines a second are sent; 0 is as fast as it goes.
	Rate float64
	// Speed sends lines at a multiple of event time: 1 is as it happened, 60 is
	// a minute a second; 0 does not look at times. Rate and Speed exclude each
	// other.
	Speed float64
	// Stripes, where not nil, lay the records out on the topic, which must be empty
	// and take records from nobody else. Nothing is sent a second time then.
	Stripes *Stripes
	// Progress, where not nil, is called after each batch that the topic took.
	Progress func(Counts)
}

// Counts is how much was sent.
type Counts struct {
	Lines int64 // records that the topic took; empty lines are none
	Bytes int64 // of these records
	Read  int64 // bytes of the files read so far, as they lie on disk; 0 without files
}

// Result is what came of a replay, of a failed one too.
type Result struct {
	Counts
	// Ends is the offset after the last record sent to each partition that got any.
	Ends map[int]int64
}

// LineError says at which line of the input a replay failed.
type LineError struct {
	Line int64 // from 1; empty lines count
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Lines sends every line to the topic and returns when the last is acknowledged
// by all replicas in sync. A line is not decoded, unless for its time, and may be
// reused once the sequence goes on; an error of the sequence ends the replay.
//
// Lines go in batches of up to 512 KiB, a batch to a partition in turn, without a
// key. So each partition has its records in the order of the lines, and lines
// that follow each other are mostly in one partition. A full batch is sent at
// once; a part-filled one when the next line is not due yet, or the lines end.
//
// Where the cluster did not answer, a batch is sent again, up to four times: if
// only the answer was lost, its lines are there twice.
func Lines(ctx context.Context, cfg Config, lines iter.Seq2[[]byte, error]) (Result, error) {
	return send(ctx, cfg, lines, func() int64 { return 0 })
}

// send is Lines with a function that says how many bytes of files were read.
func send(ctx context.Context, cfg Config, lines iter.Seq2[[]byte, error], read func() int64) (Result, error) {
	pace, err := cfg.pace()
	if err != nil {
		return Result{}, err
	}
	p, err := newProducer(ctx, cfg.Client, cfg.Topic)
	if err != nil {
		return Result{}, err
	}
	if p.stripes = cfg.Stripes; p.stripes != nil && int(p.stripes.Partitions) != len(p.partitions) {
		return Result{}, fmt.Errorf("topic %s has %d partitions, records are laid out on %d", cfg.Topic, len(p.partitions), p.stripes.Partitions)
	}
	var (
		result = Result{Ends: p.ends}
		b      batch
		first  int64 // line with which the batch begins
		line   int64
		start  = time.Now()
	)
	flush := func() error {
		if len(b.ends) == 0 {
			return nil
		}
		if p.stripes != nil {
			p.turn = p.stripes.Partition(result.Lines)
		}
		if err := p.produce(ctx, &b); err != nil {
			return &LineError{Line: first, Err: err}
		}
		result.Lines += int64(len(b.ends))
		result.Bytes += int64(len(b.text))
		result.Read = read()
		b.reset()
		if cfg.Progress != nil {
			cfg.Progress(result.Counts)
		}
		return nil
	}
	for text, err := range lines {
		line++
		if err != nil {
			if err := flush(); err != nil {
				return result, err
			}
			return result, &LineError{Line: line, Err: err}
		}
		if len(text) == 0 {
			continue
		}
		wait := time.Duration(0)
		if due := pace.next(text); due > 0 {
			wait = due - time.Since(start)
		}
		next := result.Lines + int64(len(b.ends))
		if wait > 0 || !b.fits(text) || p.stripes != nil && next%p.stripes.Records == 0 {
			if err := flush(); err != nil {
				return result, err
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return result, &LineError{Line: line, Err: err}
		}
		if len(b.ends) == 0 {
			first = line
		}
		b.add(text)
	}
	return result, flush()
}

// sleep waits for a while, at least for a tick so that lines due close together
// share a batch; not at all where d is not positive.
func sleep(ctx context.Context, d time.Duration) error {
	const tick = 20 * time.Millisecond
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(max(d, tick))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
