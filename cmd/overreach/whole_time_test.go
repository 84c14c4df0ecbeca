package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// sends writes records to a partition of a topic, under a time of their own.
func (s *servers) sends(topic string, partition int, at time.Time, values ...[]byte) {
	s.t.Helper()
	records := make([]kafka.Record, len(values))
	for i, v := range values {
		records[i] = kafka.Record{Value: kafka.NewBytes(v), Time: at}
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(s.broker.Addr()), Transport: transport}
	res, err := client.Produce(s.t.Context(), &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		s.t.Fatalf("producing: %v", err)
	}
}

// ended is a registry in which the agreements of two partners ended long ago.
const ended = `
capabilities: {messaging: {}}
partners:
  still-there:
    owner: Ada
    agreement: {start: 2018-01-01, end: 2020-12-31}
    grants: [{capability: messaging, actions: [read], from: 2018-01-01}]
  gone-by-now:
    owner: Bob
    agreement: {start: 2018-01-01, end: 2020-12-31}
    grants: [{capability: messaging, actions: [read], from: 2018-01-01}]
`

func TestClocksTopicsAndLossesOfOthersLeaveAPartnersFindingsAlone(t *testing.T) {
	t.Parallel()
	broker := embeddedtest.Broker(t, map[string]int32{wholeTopic: 3, "history": 1})
	s := startServersBeside(t, broker.Addr())
	s.broker = broker
	s.write("registry.yaml", ended)
	now := time.Now()
	call := func(partner string, ago time.Duration, person int) []byte {
		return madeEvent{Time: now.Add(-ago).UTC().Format(time.RFC3339Nano), Partner: partner, Capability: "messaging", Action: "read",
			Subject: fmt.Sprintf("person-%d", person)}.json(t)
	}
	const day = 24 * time.Hour
	changes := []string{"{topic: access}", "{topic: access}, {topic: history, backfill: true}"}
	p := s.run(changes...)
	s.sends(wholeTopic, 0, now, call("gone-by-now", 20*day, 1), call("still-there", 3*day, 1), call("still-there", time.Hour, 2))
	s.sends(wholeTopic, 1, now, call("still-there", time.Hour, 3)) // and then never again
	told := func() []string {
		return s.query("SELECT partner, state, ended_at, accesses, people, severity, complete FROM findings WHERE detector = 'stale_access' ORDER BY partner")
	}
	settled := func() bool {
		rows, err := s.ask("SELECT partner, state, accesses FROM findings WHERE detector = 'stale_access' ORDER BY partner")
		return err == nil && slices.Equal(rows, []string{"gone-by-now\tended\t1", "still-there\topen\t3"})
	}
	p.until("the one has ended and the other has not", settled)
	p.until("both are told so", func() bool { // which is written after the findings
		rows, err := s.ask("SELECT partner, argMax(state, reported) FROM finding_changes WHERE detector = 'stale_access' GROUP BY partner ORDER BY partner")
		return err == nil && slices.Equal(rows, []string{"gone-by-now\tended", "still-there\topen"})
	})
	before, tellings := told(), s.query("SELECT count() FROM finding_changes WHERE detector = 'stale_access'")

	future := now.AddDate(5, 0, 0)
	fromFuture := madeEvent{Time: future.UTC().Format(time.RFC3339), Partner: "prophet", Capability: "messaging", Action: "read", Subject: "x"}.json(t)
	again := call("loud", time.Hour, 9)
	again = []byte(strings.TrimSuffix(string(again), "}") + `,"id":"the same"}`)
	s.sends(wholeTopic, 0, now, fromFuture)                                             // ahead of its record: a reject
	s.sends(wholeTopic, 0, future, fromFuture)                                          // in a record that is ahead as well
	s.sends(wholeTopic, 2, now, call("loud", 2*time.Hour, 1), call("loud", 9*day, 2))   // two hours, and days, behind
	s.sends(wholeTopic, 0, now, again, again)                                           // twice
	s.sends("history", 0, now, call("historian", 700*day, 1), call("loud", 500*day, 2)) // years ago
	s.counted(p, 12)
	p.stop()
	p = s.run(changes...) // the first round judges everything at once
	p.until("all of that is judged", func() bool {
		rows, err := s.ask("SELECT partner, accesses FROM findings WHERE detector = 'unregistered_partner' ORDER BY partner")
		return err == nil && slices.Equal(rows, []string{"historian\t1", "loud\t5", "prophet\t1"})
	})
	if after := told(); !slices.Equal(after, before) {
		t.Errorf("the partners' findings were\n%q\nand are\n%q", before, after)
	}
	if n := s.query("SELECT count() FROM finding_changes WHERE detector = 'stale_access'"); !slices.Equal(n, tellings) {
		t.Errorf("%q tellings became %q", tellings, n)
	}
	if rows := s.query("SELECT reason, rejects FROM rejects_by_reason"); !slices.Equal(rows, []string{"time_too_late\t1"}) {
		t.Errorf("rejects are %q", rows)
	}
	if rows := s.query("SELECT partner, id, events, times FROM duplicate_ids"); !slices.Equal(rows, []string{"loud\tthe same\t2\t1"}) {
		t.Errorf("what came twice is %q", rows)
	}
	if rows := s.query("SELECT max(watermark) <= now() AND max(watermark) >= now() - 7200 FROM judged"); !slices.Equal(rows, []string{"1"}) {
		t.Errorf("the watermark is %q", s.query("SELECT max(watermark), now() FROM judged"))
	}

	// Records are deleted while nobody reads: what was found before says so.
	p.stop()
	s.sends(wholeTopic, 1, now, call("lost", 2*time.Hour, 1), call("lost", 90*time.Minute, 2))
	if err := s.broker.DeleteBefore(wholeTopic, 1, 3); err != nil {
		t.Fatal(err)
	}
	p = s.run(changes...)
	s.sends(wholeTopic, 1, now, call("still-there", time.Minute, 4))
	p.until("the gap is found", func() bool {
		rows, err := s.ask("SELECT partner, missing, state FROM findings WHERE detector = 'data_gap'")
		return err == nil && slices.Equal(rows, []string{"\t2\topen"})
	})
	p.until("the finding that it touches is not complete, and the other is", func() bool {
		rows, err := s.ask("SELECT partner, complete, missing FROM findings WHERE detector = 'stale_access' ORDER BY partner")
		return err == nil && slices.Equal(rows, []string{"gone-by-now\ttrue\t0", "still-there\tfalse\t2"})
	})
	if out := run(t, "findings", "--config", s.dir+"/config.yaml", "--detector", "data_gap"); !strings.Contains(out, "(coverage)") || !strings.Contains(out, "Kafka no longer had 2 records") {
		t.Errorf("overreach findings says\n%s", out)
	}
	p.stop()
}
