package consumer

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// Standing is where a partition stands.
type Standing struct {
	schema.Partition
	Counted    int64       // all offsets below are counted; -1: nothing is known
	Committed  int64       // the group's offset; -1: none
	First, End int64       // the offsets that Kafka holds: [First, End)
	Stopped    error       // why the partition stands still; nil where it does not
	Unreadable *Unreadable // what it stands before, since it cannot be decoded; nil where it does not
}

// Inspect returns where every partition of every topic stands, by the order of
// the configuration and number, and the incarnations in force. Of what was not counted
// it reads no more than it takes to know whether it can be decoded. It joins no
// group and changes nothing.
func Inspect(ctx context.Context, cfg Config, store Store) ([]Incarnation, []Standing, error) {
	if err := cfg.check(); err != nil {
		return nil, nil, err
	}
	c := New(cfg, store, zerolog.Nop(), NewMetrics(prometheus.NewRegistry()))
	defer c.cluster.close()
	if err := c.cluster.connect(ctx); err != nil {
		return nil, nil, err
	}
	if err := c.open(ctx); err != nil {
		return nil, nil, err
	}
	var all []Standing
	for i, topic := range cfg.Topics {
		for _, id := range c.cluster.known[topic.Name] {
			p := c.newPartition(topic, c.incarnations[i], c.newProgress(topic.Name, int32(id), cfg.Limits), cfg.Limits, &kafka.Generation{ID: -1})
			s, next, err := p.stand(ctx)
			if err != nil && !errors.Is(err, errOtherIncarnation) {
				return nil, nil, err
			}
			at := Standing{Partition: p.id, Counted: s.counted, Committed: s.committed, First: s.first, End: s.end, Stopped: err}
			if !s.vouched {
				at.Counted = -1
			}
			if err == nil && !next.start {
				if at.Unreadable, err = p.before(ctx, next, s.end); err != nil {
					return nil, nil, err
				}
			}
			all = append(all, at)
		}
	}
	return c.incarnations, all, nil
}

// before returns what a partition stands before where that cannot be decoded, nil
// where it can be. A batch that was begun is looked through to its end.
func (p *partition) before(ctx context.Context, next plan, end int64) (*Unreadable, error) {
	defer p.fetch.drop()
	to := next.from + 1
	if next.redo != nil {
		to = next.redo.to
	}
	for at := next.from; at < min(to, end); {
		c, err := p.fetch.next(ctx, at)
		var bad *unreadable
		switch {
		case errors.As(err, &bad):
			end, err := p.beyond(ctx, at)
			if err != nil || end == at {
				return nil, err
			}
			return &Unreadable{Partition: p.id, From: at, To: end, Why: string(bad.kind), err: bad.err}, nil
		case errors.Is(err, kafka.OffsetOutOfRange): // gone, which is no stall
			return nil, nil
		case err != nil:
			return nil, err
		case c.next == at: // of a transaction that is open
			return nil, nil
		}
		at = c.next
	}
	return nil, nil
}

// MadeAgain reports whether the topic of an incarnation was deleted and made again, by
// the id that Kafka gave it.
func (s *Incarnation) MadeAgain() bool { return s.other }

// StartsAt returns where a start lies in each partition of a topic as it is now,
// and the id that Kafka gave the topic.
func StartsAt(ctx context.Context, cfg Config, topic string, start Start) (starts map[int32]int64, topicID string, err error) {
	k := newCluster(&cfg)
	defer k.close()
	if err := k.connect(ctx); err != nil {
		return nil, "", err
	}
	ids, err := k.topicIDs(ctx)
	if err != nil {
		return nil, "", err
	}
	starts = map[int32]int64{}
	for _, id := range k.known[topic] {
		at, err := k.startAt(ctx, topic, int32(id), start)
		if err != nil {
			return nil, "", err
		}
		starts[int32(id)] = at
	}
	return starts, ids[topic], nil
}
