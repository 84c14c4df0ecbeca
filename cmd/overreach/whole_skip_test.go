package main

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/overreach/overreach/embedded/kafkatest"
)

// TestAPartitionThatCannotBeReadIsSaidEverywhereAndSkippedByCommand alters one
// byte of a record on a real broker's disk.
func TestAPartitionThatCannotBeReadIsSaidEverywhereAndSkippedByCommand(t *testing.T) {
	t.Parallel()
	k := kafkatest.Start(t, kafkatest.Options{Own: true})
	k.CreateTopic(wholeTopic, 2, nil)
	s := startServersBeside(t, k.Addrs()[0])
	for from := 0; from < 100; from += 20 { // batches of 20
		s.produce(0, madeEvents(t, from, from+20)...)
	}
	s.produce(1, madeEvents(t, 100, 130)...)
	k.Stop(0)
	k.Alter(0, wholeTopic+"-0/00000000000000000000.log", func(log []byte) []byte {
		at := 0
		for range 2 { // a batch is its offset, its length, and as many bytes more
			at += 12 + int(binary.BigEndian.Uint32(log[at+8:]))
		}
		log[at+200] ^= 1
		return log
	})
	k.Restart(0)
	k.AwaitBrokers()

	p := s.run()
	s.counted(p, 70) // 0 to 39, and all of the other partition
	p.awaits(1, "this partition stands still")
	exports := func(metrics ...string) {
		t.Helper()
		p.until("the metrics say so", func() bool { // lag is polled each two seconds
			_, all := s.get("/metrics")
			return !slices.ContainsFunc(metrics, func(m string) bool { return !strings.Contains(all, m) })
		})
	}
	exports(`overreach_partition_unreadable{partition="0",topic="access"} 1`, `overreach_lag_records{partition="0",topic="access"} 60`,
		`overreach_unreadable_errors_total{kind="bad_crc",topic="access"}`)
	p.until("/readyz says why", func() bool { // after its grace
		status, why := s.get("/readyz")
		return status == 503 && strings.Contains(why, "stands before records that cannot be decoded (bad_crc) at offset 40; `overreach skip access/0 --reason ...` passes them")
	})
	says(t, s.topic("list"), "stands still", "what Kafka holds from offset 40 to 60 cannot be decoded (bad_crc)", "overreach skip access/0 --reason", "once an instance has stood there for 1h0m0s")

	skip := func(args ...string) *program {
		return start(t, append([]string{"skip", "--config", s.write("topic.yaml", s.settings())}, args...)...)
	}
	skip("access/1", "--reason", "why not").refuses("access/1 does not stand before records that cannot be decoded, so there is nothing to skip: it is counted up to offset 30")
	skip("access/7", "--reason", "why not").refuses("topic access has no partition 7")
	skip("access/0").refuses("--reason is missing")
	skip("access", "--reason", "why not").refuses("expected TOPIC/PARTITION")
	out := run(t, "skip", "--config", s.write("topic.yaml", s.settings()), "access/0", "--reason", "the disk is lost")
	says(t, out, "access/0: what Kafka holds from offset 40 to 60 cannot be decoded (bad_crc)", "20 offsets are passed within ten seconds")
	s.counted(p, 110)
	p.awaits(1, "passing records that cannot be decoded")
	if got := s.query("SELECT records, missing, unreadable, arrayStringConcat(unreadable_why, ',') FROM coverage WHERE partition = 0")[0]; !strings.Contains(got, "80") || !strings.Contains(got, "20") || !strings.Contains(got, "bad_crc") {
		t.Errorf("coverage says %s", got)
	}
	if got := s.query("SELECT offset, to_offset, why, reason FROM skips")[0]; !strings.Contains(got, "the disk is lost") {
		t.Errorf("skips says %s", got)
	}
	p.until("the gap is found", func() bool {
		return s.query("SELECT count() FROM findings WHERE detector = 'data_gap' AND missing = 20 AND sentence LIKE '20 offsets of %/access@1 partition 0 (within offsets 40 to 60) could not be decoded (bad_crc)%'")[0] == "1"
	})
	p.until("the findings that it touches say so", func() bool {
		return s.query("SELECT count(), countIf(complete) FROM findings WHERE detector = 'unregistered_partner'")[0] == "3\t0"
	})
	config := s.write("topic.yaml", s.settings())
	says(t, run(t, "grants", "--config", config), "0 missing, 20 unreadable; 0 items rejected")
	exports(`overreach_partition_unreadable{partition="0",topic="access"} 0`, `overreach_unreadable_records_total{topic="access"} 20`, `overreach_lag_records{partition="0",topic="access"} 0`)
	skip("access/0", "--reason", "again").refuses("nothing to skip")
	p.stop()
}

// produceBroken sends a partition a batch of one record whose codec fails, as a
// faulty producer might; its CRC is right.
func (s *servers) produceBroken(partition int32) {
	s.t.Helper()
	b := kmsg.NewRecordBatch()
	b.Magic, b.Attributes, b.NumRecords, b.ProducerID, b.Records = 2, 4, 1, -1, []byte("this is not zstd")
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.MaxVersions(kversion.V2_8_0())) // later ones name topics by their ids
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, raw
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = wholeTopic, append(topic.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 10_000, append(req.Topics, topic)
	res, err := req.RequestWith(s.t.Context(), client)
	if err != nil {
		s.t.Fatal(err)
	}
	if code := res.Topics[0].Partitions[0].ErrorCode; code != 0 {
		s.t.Fatalf("the broker refused the batch: %d", code)
	}
}
