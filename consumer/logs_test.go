package consumer

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTheBoundsOfAllLogsTakeThreeRequestsABroker(t *testing.T) {
	const brokers, partitions = 3, 20
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(partitions, "access", "calls"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var requests atomic.Int32
	c.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	addr := c.ListenAddrs()[0]
	produce(t, addr, 7, 0, jsonOf(someEvents(30))...)
	cfg := testConfig(addr, "access", "calls")
	k := newCluster(&cfg)
	defer k.close()
	_, all, err := k.describe(t.Context(), k.asks)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := k.logs(t.Context(), all)
	if err != nil || len(logs) != 2*partitions {
		t.Fatalf("the bounds of %d logs of %d, %v", len(logs), 2*partitions, err)
	}
	if n := requests.Load(); n > 3*brokers {
		t.Errorf("%d requests to %d brokers", n, brokers)
	}
	for at, l := range logs {
		want := logBounds{}
		if at == (place{"access", 7}) {
			want = logBounds{first: 0, end: 30, high: 30}
		}
		if l != want {
			t.Errorf("%s has %+v, want %+v", at, l, want)
		}
	}
}

func TestALogThatIsNotNamedDoesNotHideTheOthers(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(2, "access"))
	produce(t, addr, 1, 0, jsonOf(someEvents(30))...)
	cfg := testConfig(addr, "access")
	k := newCluster(&cfg)
	defer k.close()
	logs, err := k.logs(t.Context(), map[string][]int{"access": {0, 1, 5}})
	if len(logs) != 2 || logs[place{"access", 1}].end != 30 {
		t.Errorf("the bounds are %v", logs)
	}
	if err == nil || !strings.Contains(err.Error(), "access/5") || kindOf(err) != kindOf(kafka.UnknownTopicOrPartition) {
		t.Errorf("that nobody leads partition 5 is %v", err)
	}
}
