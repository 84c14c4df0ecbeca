package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// producer sends batches to the partitions of a topic in turn.
type producer struct {
	client     *kafka.Client
	topic      string
	partitions []int
	turn       int
	stripes    *Stripes // nil: the partitions in turn, a batch each
	ends       map[int]int64
}

// newProducer returns a producer for the topic as it is now.
func newProducer(ctx context.Context, client *kafka.Client, topic string) (*producer, error) {
	m, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("asking %s for topic %s: %w", client.Addr, topic, err)
	}
	p := &producer{client: client, topic: topic, ends: map[int]int64{}}
	for _, t := range m.Topics {
		switch {
		case t.Name != topic:
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			return nil, fmt.Errorf("topic %s does not exist on %s: create it, or name another: %w", topic, client.Addr, t.Error)
		case t.Error != nil:
			return nil, fmt.Errorf("topic %s on %s: %w", topic, client.Addr, t.Error)
		default:
			for _, part := range t.Partitions {
				p.partitions = append(p.partitions, part.ID)
			}
		}
	}
	if len(p.partitions) == 0 {
		return nil, fmt.Errorf("topic %s has no partition on %s", topic, client.Addr)
	}
	slices.Sort(p.partitions)
	return p, nil
}

// produce sends the batch to the partition whose turn it is and waits until all
// replicas in sync have it.
func (p *producer) produce(ctx context.Context, b *batch) error {
	partition := p.partitions[p.turn]
	const attempts = 5
	wait := 100 * time.Millisecond
	for attempt := 1; ; attempt++ {
		offset, err := p.try(ctx, partition, b)
		if err == nil && p.stripes != nil && offset != p.ends[partition] {
			return fmt.Errorf("topic %s holds other records too: those sent now begin at offset %d of partition %d, not at %d",
				p.topic, offset, partition, p.ends[partition])
		}
		if err == nil {
			p.ends[partition] = offset + int64(len(b.ends))
			p.turn = (p.turn + 1) % len(p.partitions)
			return nil
		}
		var kafkaError kafka.Error
		final := errors.As(err, &kafkaError) && !kafkaError.Temporary()
		if final || attempt == attempts || p.stripes != nil || ctx.Err() != nil {
			return p.explain(err, b, partition)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// try sends the batch once and returns the offset of its first record.
func (p *producer) try(ctx context.Context, partition int, b *batch) (int64, error) {
	res, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: p.topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: b.records(), Compression: kafka.Lz4,
	})
	if err != nil {
		return 0, err
	}
	return res.BaseOffset, res.Error
}

// explain says what was refused, and what to do where that is known.
func (p *producer) explain(err error, b *batch, partition int) error {
	if errors.Is(err, kafka.MessageSizeTooLarge) {
		return fmt.Errorf("topic %s takes no batch of %d lines and %d bytes: raise its max.message.bytes: %w",
			p.topic, len(b.ends), len(b.text), err)
	}
	return fmt.Errorf("sending %d lines to partition %d of topic %s: %w", len(b.ends), partition, p.topic, err)
}
