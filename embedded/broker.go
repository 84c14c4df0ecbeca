package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// BrokerConfig says which topics the broker begins with.
type BrokerConfig struct {
	// Topics are the topics, by name, with how many partitions each has. More
	// can be created by clients.
	Topics map[string]int32
	// Port of 127.0.0.1 to listen on; 0 takes a free one.
	Port int
}

// Broker is a Kafka broker in this process that keeps its records in memory:
// kfake, franz-go's. A record is held until a client deletes it (DeleteRecords),
// or the broker closes.
type Broker struct {
	cluster *kfake.Cluster
	admin   *kgo.Client
}

const (
	// maxBatch is how large a batch of records may be, in bytes: room for one
	// record of 10 MB with what is around it. Kafka's own limit is 1 MiB.
	maxBatch = 16 << 20
	// segment is the piece in which deleted records give their memory back,
	// in bytes.
	segment = 4 << 20
	// minSession is the least session timeout that a member of a group may ask for:
	// the kill test's program asks for a second.
	minSession = time.Second
)

// StartBroker starts a broker. Its cluster id is new each time, so offsets of
// an earlier run are never taken for this one's.
func StartBroker(config BrokerConfig) (*Broker, error) {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(config.Port),
		kfake.ClusterID("overreach-" + rand.Text()),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(minSession),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes": strconv.Itoa(maxBatch),
			"log.segment.bytes": strconv.Itoa(segment),
		}),
	}
	for _, topic := range slices.Sorted(maps.Keys(config.Topics)) {
		partitions := config.Topics[topic]
		if partitions < 1 {
			return nil, fmt.Errorf("topic %q has %d partitions, the least is 1", topic, partitions)
		}
		options = append(options, kfake.SeedTopics(partitions, topic))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("starting the broker in this process: %w", err)
	}
	if len(cluster.ListenAddrs()) != 1 {
		cluster.Close()
		return nil, errors.New("starting the broker in this process: it listens nowhere")
	}
	admin, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("starting the broker in this process: %w", err)
	}
	return &Broker{cluster, admin}, nil
}

// Addr is the host:port that Kafka clients connect to.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Close ends the broker and forgets its records.
func (b *Broker) Close() {
	b.admin.Close()
	b.cluster.Close()
}

// deleteTimeout bounds one deletion.
const deleteTimeout = 5 * time.Second

// DeleteBefore deletes the records of a partition before an offset, which gives
// their memory back.
func (b *Broker) DeleteBefore(topic string, partition int32, offset int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), int32(deleteTimeout.Milliseconds())
	response, err := request.RequestWith(ctx, b.admin)
	if err != nil {
		return fmt.Errorf("deleting records of %s before offset %d: %w", topic, offset, err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode); err != nil {
		return fmt.Errorf("deleting records of %s before offset %d: %w", topic, offset, err)
	}
	return nil
}
