package kafkatest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// admin acts on the cluster by another client than the one that is tested.
type admin struct{ *kgo.Client }

func newAdmin(t testing.TB, addrs []string) admin {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return admin{client}
}

// adminTimeout bounds one act.
const adminTimeout = 20 * time.Second

// AwaitBrokers returns when every broker answers and all know of each other.
func (c *Cluster) AwaitBrokers() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startTimeout)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = c.answer(ctx); last == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("the brokers at %v did not answer within %s: %v", c.addrs, startTimeout, last)
}

func (c *Cluster) answer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if len(c.brokers) == 0 {
		return c.admin.Ping(ctx)
	}
	for _, seed := range c.admin.SeedBrokers() {
		response, err := seed.Request(ctx, kmsg.NewPtrMetadataRequest())
		if err != nil {
			return err
		}
		if n := len(response.(*kmsg.MetadataResponse).Brokers); n != len(c.brokers) {
			return errors.New("not every broker is known to the others yet")
		}
	}
	return nil
}

// CreateTopic makes a topic, with settings as in {"retention.ms": "1000"} or nil,
// and returns what it is called: see Name. It is there when this returns. A topic
// in brokers of the environment is deleted with the test.
func (c *Cluster) CreateTopic(name string, partitions int32, settings map[string]string) string {
	c.t.Helper()
	of := kmsg.NewCreateTopicsRequestTopic()
	of.Topic, of.NumPartitions, of.ReplicationFactor = c.Name(name), partitions, -1
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		value := settings[key]
		setting := kmsg.NewCreateTopicsRequestTopicConfig()
		setting.Name, setting.Value = key, &value
		of.Configs = append(of.Configs, setting)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, of), int32(adminTimeout.Milliseconds())
	c.act("creating topic "+of.Topic, func(ctx context.Context) (int16, error) {
		response, err := request.RequestWith(ctx, c.admin)
		if err != nil {
			return 0, err
		}
		return response.Topics[0].ErrorCode, nil
	})
	if c.suffix != "" {
		c.t.Cleanup(func() { _ = c.deleteTopic(context.Background(), of.Topic) }) // it may be gone
	}
	c.awaitTopic(of.Topic, func(t *kmsg.MetadataResponseTopic) bool {
		return t.ErrorCode == 0 && len(t.Partitions) == int(partitions) &&
			!slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader < 0 })
	})
	c.awaitLeaders(of.Topic, partitions)
	return of.Topic
}

// awaitLeaders waits until every partition's leader knows that it is: it may come
// to that later than all brokers know who leads.
func (c *Cluster) awaitLeaders(topic string, partitions int32) {
	c.t.Helper()
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, -1
		of.Partitions = append(of.Partitions, p)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.Topics = append(request.Topics, of)
	c.act("asking for the leaders of "+topic, func(ctx context.Context) (int16, error) {
		response, err := request.RequestWith(ctx, c.admin)
		if err != nil {
			return 0, err
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode, nil
				}
			}
		}
		return 0, nil
	})
}

// DeleteTopic deletes a topic, by what CreateTopic returned. It is gone when this
// returns, and may be made again.
func (c *Cluster) DeleteTopic(topic string) {
	c.t.Helper()
	if err := c.deleteTopic(c.t.Context(), topic); err != nil {
		c.t.Fatalf("deleting topic %s: %v", topic, err)
	}
	c.awaitTopic(topic, func(t *kmsg.MetadataResponseTopic) bool {
		return t.ErrorCode == kerr.UnknownTopicOrPartition.Code
	})
}

func (c *Cluster) deleteTopic(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	request := kmsg.NewPtrDeleteTopicsRequest()
	of := kmsg.NewDeleteTopicsRequestTopic()
	of.Topic = &topic
	request.TopicNames, request.Topics = []string{topic}, append(request.Topics, of)
	request.TimeoutMillis = int32(adminTimeout.Milliseconds())
	response, err := request.RequestWith(ctx, c.admin)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].ErrorCode)
}

// DeleteRecordsBefore makes a partition's log begin at an offset, as retention
// does.
func (c *Cluster) DeleteRecordsBefore(topic string, partition int32, offset int64) {
	c.t.Helper()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, p)
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, of), int32(adminTimeout.Milliseconds())
	c.act("deleting records of "+topic, func(ctx context.Context) (int16, error) {
		response, err := request.RequestWith(ctx, c.admin)
		if err != nil {
			return 0, err
		}
		return response.Topics[0].Partitions[0].ErrorCode, nil
	})
}

// DeleteGroup forgets a consumer group, which must have no members.
func (c *Cluster) DeleteGroup(group string) {
	c.t.Helper()
	request := kmsg.NewPtrDeleteGroupsRequest()
	request.Groups = []string{group}
	c.act("deleting group "+group, func(ctx context.Context) (int16, error) {
		response, err := request.RequestWith(ctx, c.admin)
		if err != nil {
			return 0, err
		}
		return response.Groups[0].ErrorCode, nil
	})
}

// act asks until the answer is not one that another attempt may mend.
func (c *Cluster) act(what string, ask func(context.Context) (code int16, err error)) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), adminTimeout)
	defer cancel()
	for {
		code, err := ask(ctx)
		if err == nil {
			err = kerr.ErrorForCode(code)
		}
		if err == nil {
			return
		}
		if !kerr.IsRetriable(err) || ctx.Err() != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// awaitTopic waits until every broker says of a topic what is to be so.
func (c *Cluster) awaitTopic(topic string, so func(*kmsg.MetadataResponseTopic) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), adminTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	of := kmsg.NewMetadataRequestTopic()
	of.Topic = &topic
	request.Topics = append(request.Topics, of)
	for _, seed := range c.admin.SeedBrokers() {
		for {
			response, err := seed.Request(ctx, request)
			if err == nil && so(&response.(*kmsg.MetadataResponse).Topics[0]) {
				break
			}
			if ctx.Err() != nil {
				c.t.Fatalf("topic %s is not as it should be within %s: %v", topic, adminTimeout, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
