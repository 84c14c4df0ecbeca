package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestADamagedBatchStaysAsItIsThoughTheBrokerIsKilledLater(t *testing.T) {
	c := Start(t, Options{Own: true})
	topic := c.CreateTopic("access", 1, nil)
	produce(t, c.Addrs(), topic, "a", "b", "c")
	c.Stop(0)
	var damaged []byte
	c.Alter(0, Segment(topic, 0, 0), func(segment []byte) []byte {
		batches := Batches(segment)
		if from, to := batches[1].Offsets(); len(batches) != 3 || from != 1 || to != 2 {
			t.Fatalf("%d batches, the second of them from %d to %d", len(batches), from, to)
		}
		batches[1].BreakCRC()
		damaged = slices.Clone(segment)
		return segment
	})
	c.Roll(0, topic, 0, 3)
	c.Restart(0)
	c.AwaitBrokers()
	produce(t, c.Addrs(), topic, "d", "e")
	for range 2 {
		c.Kill(0)
		c.Restart(0)
		c.AwaitBrokers()
	}
	produce(t, c.Addrs(), topic, "f")
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(2)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < 4 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("of what lies behind the damaged batch it has %q: %v", got, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, fmt.Sprint(r.Offset, string(r.Value))) })
	}
	if want := []string{"2c", "3d", "4e", "5f"}; !slices.Equal(got, want) {
		t.Errorf("behind the damaged batch it holds %q, want %q", got, want)
	}
	c.Stop(0)
	c.Alter(0, Segment(topic, 0, 0), func(segment []byte) []byte {
		if !slices.Equal(segment, damaged) {
			t.Errorf("the file with the damaged batch has %d bytes, it had %d, or others", len(segment), len(damaged))
		}
		return segment
	})
}
