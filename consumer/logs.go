package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// place names a partition of a topic.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// logBounds are the offsets that bound a partition's log.
type logBounds struct {
	first int64 // where it begins
	end   int64 // the last stable offset: what can be read lies below it
	high  int64 // the high watermark: what lies between waits for a transaction to end
}

// logs asks for the bounds of many logs at once. It returns those that were named
// completely, and an error where some were not.
func (k *cluster) logs(ctx context.Context, topics map[string][]int) (map[place]logBounds, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	res, err := k.asks.RoundTrip(ctx, k.addr, logsRequest(topics))
	if err != nil {
		return nil, fmt.Errorf("asking for offsets: %w", err)
	}
	answer := res.(*logsAnswer)
	return answer.logs, answer.err
}

// bounds returns which offsets a partition's log holds, [first, end), those of
// open transactions too.
func (k *cluster) bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	logs, err := k.logs(ctx, map[string][]int{topic: {int(partition)}})
	if err != nil {
		return 0, 0, err
	}
	l := logs[place{topic, partition}]
	return l.first, l.high, nil
}

// logsRequest asks for the bounds of the logs of topics' partitions. A broker
// answers one question for each partition of a request, so three requests go to
// each broker that leads some of them. kafka-go's own request for offsets would
// send three for each partition.
type logsRequest map[string][]int

// ApiKey implements protocol.Message.
func (logsRequest) ApiKey() protocol.ApiKey { return protocol.ListOffsets } //nolint:revive // the interface spells it so

// Split implements protocol.Splitter.
func (r logsRequest) Split(c protocol.Cluster) ([]protocol.Message, protocol.Merger, error) {
	led := map[int32]map[string][]int{} // by leader
	for topic, partitions := range r {
		for _, id := range partitions {
			leader := c.Topics[topic].Partitions[int32(id)].Leader //nolint:gosec // Kafka's own number
			if led[leader] == nil {
				led[leader] = map[string][]int{}
			}
			led[leader][topic] = append(led[leader][topic], id)
		}
	}
	var all []protocol.Message
	for _, topics := range led {
		all = append(all,
			offsetsRequest(topics, kafka.FirstOffset, kafka.ReadUncommitted),
			offsetsRequest(topics, kafka.LastOffset, kafka.ReadCommitted),
			offsetsRequest(topics, kafka.LastOffset, kafka.ReadUncommitted))
	}
	return all, &logsAnswer{logs: map[place]logBounds{}}, nil
}

func offsetsRequest(topics map[string][]int, which int64, level kafka.IsolationLevel) *listoffsets.Request {
	r := &listoffsets.Request{ReplicaID: -1, IsolationLevel: int8(level)}
	for topic, partitions := range topics {
		t := listoffsets.RequestTopic{Topic: topic}
		for _, id := range partitions {
			t.Partitions = append(t.Partitions, listoffsets.RequestPartition{
				Partition: int32(id), CurrentLeaderEpoch: -1, Timestamp: which, //nolint:gosec // Kafka's own number
			})
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// logsAnswer is what the brokers answer, put together.
type logsAnswer struct {
	logs map[place]logBounds
	err  error // the first one
}

// ApiKey implements protocol.Message.
func (*logsAnswer) ApiKey() protocol.ApiKey { return protocol.ListOffsets } //nolint:revive // the interface spells it so

// Merge implements protocol.Merger.
func (a *logsAnswer) Merge(requests []protocol.Message, results []any) (protocol.Message, error) {
	failed := func(what any, err error) {
		if a.err == nil {
			a.err = fmt.Errorf("asking for the offsets of %v: %w", what, err)
		}
	}
	answers := map[place]int{}
	for i, result := range results {
		asked := requests[i].(*listoffsets.Request)
		res, err := protocol.Result(result)
		if err != nil {
			failed(asked.Topics[0].Topic, err)
			continue
		}
		for _, t := range res.(*listoffsets.Response).Topics {
			for _, p := range t.Partitions {
				at := place{t.Topic, p.Partition}
				if p.ErrorCode != 0 {
					failed(at, kafka.Error(p.ErrorCode))
					continue
				}
				l := a.logs[at]
				switch {
				case asked.Topics[0].Partitions[0].Timestamp == kafka.FirstOffset:
					l.first = p.Offset
				case asked.IsolationLevel == int8(kafka.ReadCommitted):
					l.end = p.Offset
				default:
					l.high = p.Offset
				}
				a.logs[at] = l
				answers[at]++
			}
		}
	}
	for _, m := range requests {
		for _, t := range m.(*listoffsets.Request).Topics {
			for _, p := range t.Partitions {
				if at := (place{t.Topic, p.Partition}); answers[at] < 3 {
					delete(a.logs, at)
					failed(at, errors.New("the broker did not name them all"))
				}
			}
		}
	}
	return a, nil
}
