package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

func kafkaContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func write(t *testing.T, broker *embedded.Broker, w *kafka.Writer, messages ...kafka.Message) {
	t.Helper()
	w.Addr, w.Topic, w.BatchTimeout, w.BatchBytes = kafka.TCP(broker.Addr()), "events", time.Millisecond, 16<<20
	w.RequiredAcks = kafka.RequireAll
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := w.WriteMessages(kafkaContext(t), messages...); err != nil {
		t.Fatalf("writing: %v", err)
	}
}

func TestBrokerKeepsWhatIsWrittenWithAnyCompression(t *testing.T) {
	broker := embeddedtest.Broker(t, map[string]int32{"events": 1})
	compressions := []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}
	for _, c := range compressions {
		write(t, broker, &kafka.Writer{Compression: c}, kafka.Message{Value: []byte("with " + c.String())})
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker.Addr()}, Topic: "events", MaxWait: 100 * time.Millisecond})
	defer func() { _ = r.Close() }()
	for _, c := range compressions {
		m, err := r.ReadMessage(kafkaContext(t))
		if err != nil {
			t.Fatalf("reading what was written with %s: %v", c, err)
		}
		if got, want := string(m.Value), "with "+c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBrokerTakesARecordOf10MB(t *testing.T) {
	broker := embeddedtest.Broker(t, map[string]int32{"events": 1})
	value := bytes.Repeat([]byte("x"), 10_000_000)
	write(t, broker, &kafka.Writer{}, kafka.Message{Value: value})
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker.Addr()}, Topic: "events", MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond})
	defer func() { _ = r.Close() }()
	m, err := r.ReadMessage(kafkaContext(t))
	if err != nil || !bytes.Equal(m.Value, value) {
		t.Fatalf("got %d bytes (%v), want the 10 MB that were written", len(m.Value), err)
	}
}

func TestBrokerCreatesTopicsAndListsOffsets(t *testing.T) {
	broker := embeddedtest.Broker(t, map[string]int32{"events": 1})
	ctx := kafkaContext(t)
	client := &kafka.Client{Addr: kafka.TCP(broker.Addr())}
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "more", NumPartitions: 8, ReplicationFactor: 1}},
	})
	if err := errors.Join(err, created.Errors["more"]); err != nil {
		t.Fatal(err)
	}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{"more"}})
	if err != nil || len(meta.Topics[0].Partitions) != 8 {
		t.Fatalf("metadata of the new topic: %+v, %v", meta, err)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		write(t, broker, &kafka.Writer{}, kafka.Message{Value: []byte("v"), Time: old.Add(time.Duration(i) * time.Minute)})
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		"events": {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0), kafka.TimeOffsetOf(0, old.Add(2*time.Minute))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := offsets.Topics["events"][0]
	if p.Error != nil || p.FirstOffset != 0 || p.LastOffset != 5 {
		t.Fatalf("offsets %d to %d (%v), want 0 to 5", p.FirstOffset, p.LastOffset, p.Error)
	}
	if _, ok := p.Offsets[2]; !ok || len(p.Offsets) != 1 {
		t.Errorf("the offset at a time is %v, want 2", p.Offsets)
	}
}

func TestBrokerHasAClusterIDOfItsOwnAtEachStart(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		broker := embeddedtest.Broker(t, map[string]int32{"events": 1})
		client := &kafka.Client{Addr: kafka.TCP(broker.Addr())}
		meta, err := client.Metadata(kafkaContext(t), &kafka.MetadataRequest{})
		if err != nil || meta.ClusterID == "" || seen[meta.ClusterID] {
			t.Fatalf("cluster id %q after %v (%v)", meta.ClusterID, seen, err)
		}
		seen[meta.ClusterID] = true
	}
}

func TestBrokerKeepsAGroupsOffsetsWithTheirMetadata(t *testing.T) {
	broker := embeddedtest.Broker(t, map[string]int32{"events": 2})
	ctx := kafkaContext(t)
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: "g", Brokers: []string{broker.Addr()}, Topics: []string{"events"}, HeartbeatInterval: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := group.Next(ctx)
	if err != nil || len(generation.Assignments["events"]) != 2 {
		t.Fatalf("joining: %+v, %v", generation, err)
	}
	time.Sleep(300 * time.Millisecond) // a few heartbeats
	client := &kafka.Client{Addr: kafka.TCP(broker.Addr())}
	commit := func(generation int) error {
		resp, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: "g", GenerationID: generation, MemberID: memberID(t, client, "g"),
			Topics: map[string][]kafka.OffsetCommit{"events": {{Partition: 1, Offset: 42, Metadata: "to=99"}}},
		})
		if err != nil {
			return err
		}
		return resp.Topics["events"][0].Error
	}
	if err := commit(int(generation.ID)); err != nil {
		t.Fatalf("committing: %v", err)
	}
	if err := commit(int(generation.ID) - 1); !errors.Is(err, kafka.IllegalGeneration) {
		t.Errorf("a commit of an earlier generation gave %v, want a refusal", err)
	}
	fetched, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{"events": {0, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range fetched.Topics["events"] {
		if p.Partition == 1 && (p.CommittedOffset != 42 || p.Metadata != "to=99") {
			t.Errorf("partition 1 came back as %+v", p)
		}
		if p.Partition == 0 && p.CommittedOffset != -1 {
			t.Errorf("partition 0 was never committed and came back as %+v", p)
		}
	}
	if err := group.Close(); err != nil {
		t.Errorf("leaving: %v", err)
	}
}

func memberID(t *testing.T, client *kafka.Client, group string) string {
	t.Helper()
	described, err := client.DescribeGroups(kafkaContext(t), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || len(described.Groups) != 1 || len(described.Groups[0].Members) != 1 {
		t.Fatalf("describing the group: %+v, %v", described, err)
	}
	return described.Groups[0].Members[0].MemberID
}

// Records that have been counted are deleted, and their memory comes back.
func TestBrokerGivesTheMemoryOfDeletedRecordsBack(t *testing.T) {
	broker := embeddedtest.Broker(t, map[string]int32{"events": 1})
	ctx := kafkaContext(t)
	before := heap()
	var peak uint64
	const size, rounds = 4_000_000, 30
	for i := range rounds {
		write(t, broker, &kafka.Writer{}, kafka.Message{Value: bytes.Repeat([]byte{byte(i)}, size)})
		if err := broker.DeleteBefore("events", 0, int64(i+1)); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, heap())
	}
	if grown := int64(peak) - int64(before); grown > 40_000_000 {
		t.Errorf("%d MB of deleted records left %d MB in memory", rounds*size/1_000_000, grown/1_000_000)
	}
	offsets, err := (&kafka.Client{Addr: kafka.TCP(broker.Addr())}).ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{"events": {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}},
	})
	if err != nil || offsets.Topics["events"][0].FirstOffset != rounds || offsets.Topics["events"][0].LastOffset != rounds {
		t.Errorf("offsets after deleting all: %+v, %v", offsets, err)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
