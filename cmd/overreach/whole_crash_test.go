package main

import (
	"context"
	"flag"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// outage is how long ClickHouse is away: long enough for a few attempts to fail.
var outage = flag.Duration("whole.outage", 3*time.Second, "how long the whole way's ClickHouse is away after it was killed")

func TestNothingIsLostOrCountedTwiceWhereClickHouseIsKilledMeanwhile(t *testing.T) {
	t.Parallel()
	s := startServers(t, 2)
	p := s.run()
	p.awaits(2, "starting as configured")

	// Events go on being produced while ClickHouse is killed, away and back.
	const batches, each = 120, 50
	sent := 0
	send := func(n int) {
		for range n {
			s.produce(sent/each%2, madeEvents(t, sent, sent+each)...)
			sent += each
			time.Sleep(20 * time.Millisecond)
		}
	}
	send(batches / 3)
	s.counted(p, sent)
	s.produce(0, madeEvents(t, sent, sent+each)...) // so that a flush is near when it dies
	sent += each
	time.Sleep(200 * time.Millisecond)
	s.engine.Kill()
	killed := time.Now()
	send(batches / 3)
	p.awaits(1, "ClickHouse does not answer as it should")
	time.Sleep(time.Until(killed.Add(*outage)))
	s.startEngine()
	send(batches / 3)
	p.awaits(1, "ClickHouse is back")
	s.counted(p, sent)
	s.holdsOnce(sent)
	for _, once := range []string{"ClickHouse does not answer as it should", "ClickHouse is back"} {
		if n := p.logged(once); n != 1 {
			t.Errorf("%q is said %d times, expected once", once, n)
		}
	}
	if n := p.logged(`"judging failed`); n > 1 {
		t.Errorf("that judging failed is said %d times, expected at most once", n)
	}
	p.stop()
}

func TestWhatWasCountedBeforeAKillIsJudgedByTheNextStart(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	slow := s.run("interval: 200ms", "interval: 1m") // its first round finds nothing to do yet
	slow.awaits(1, "starting as configured")
	s.produce(0, madeEvents(t, 0, 300)...)
	s.counted(slow, 300)
	slow.kill()
	if got := s.query("SELECT (SELECT count() FROM judged), (SELECT count() FROM findings)"); got[0] != "0\t0" {
		t.Fatalf("slots judged and findings are %q before the kill: it shows nothing", got)
	}

	next := s.run() // gets the partition once Kafka misses the heartbeats of the one before
	next.until("every partner is found to be unregistered", func() bool {
		return s.query("SELECT count() FROM findings WHERE detector = 'unregistered_partner' AND state = 'open' AND accesses = 100")[0] == "3"
	})
	s.holdsOnce(300)
	next.until("each of them is told once", func() bool { // a moment after it is written
		return s.query("SELECT count(), uniqExact(id) FROM finding_changes")[0] == "3\t3"
	})
	next.stop()
}

func TestOffsetsThatAreResetOrExpireChangeNoCountAndAreSaid(t *testing.T) {
	t.Parallel()
	s := startServers(t, 2)
	s.produce(0, madeEvents(t, 0, 120)...)
	s.produce(1, madeEvents(t, 120, 200)...)
	first := s.run()
	if first.awaits(2, `"start":"earliest"`); first.logged("starting as configured") != 2 {
		t.Error("it does not say from where it starts")
	}
	s.counted(first, 200)
	first.stop()
	s.holdsOnce(200)

	reset := map[string][]kafka.OffsetCommit{wholeTopic: {{Partition: 0, Offset: 0}, {Partition: 1, Offset: 0}}}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(s.broker.Addr()), Transport: transport}
	res, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{GroupID: "overreach", GenerationID: -1, Topics: reset})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Topics[wholeTopic] {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
	}
	second := s.run()
	second.awaits(2, "the group's offset lies before what was counted, which is not counted again")
	s.produce(0, madeEvents(t, 200, 230)...) // what is new is counted
	s.counted(second, 230)
	second.stop()
	s.holdsOnce(230)

	deleted, err := client.DeleteGroups(t.Context(), &kafka.DeleteGroupsRequest{GroupIDs: []string{"overreach"}})
	if err == nil {
		err = deleted.Errors["overreach"]
	}
	if err != nil {
		t.Fatal(err)
	}
	third := s.run()
	third.awaits(2, "the group has no offset here; what was counted is not counted again")
	s.produce(1, madeEvents(t, 230, 260)...)
	s.counted(third, 260)
	third.stop()
	s.holdsOnce(260)
}

func TestSIGTERMFlushesAndLeavesTheGroup(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	p := s.run("max_age: 200ms", "max_age: 5m")
	p.awaits(1, "starting as configured")
	s.produce(0, madeEvents(t, 0, 500)...)
	p.until("the batch holds the events", func() bool {
		_, metrics := s.get("/metrics")
		return strings.Contains(metrics, `overreach_lag_records{partition="0",topic="access"} 500`+"\n")
	})
	if got := s.query("SELECT count() FROM access_events"); got[0] != "0" {
		t.Fatalf("%s events are flushed already: it shows nothing", got[0])
	}
	p.stop()
	s.holdsOnce(500)
	if members := s.groupMembers(); members != 0 {
		t.Errorf("the group still has %d members", members)
	}
}

func (s *servers) groupMembers() int {
	s.t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(s.broker.Addr()), Transport: transport}
	res, err := client.DescribeGroups(context.Background(), &kafka.DescribeGroupsRequest{GroupIDs: []string{"overreach"}})
	if err != nil || len(res.Groups) != 1 || res.Groups[0].Error != nil {
		s.t.Fatalf("asking for the group: %v %+v", err, res)
	}
	return len(res.Groups[0].Members)
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	p := s.run("max_age: 200ms", "max_age: 5m")
	p.awaits(1, "starting as configured")
	s.produce(0, madeEvents(t, 0, 10)...)
	p.until("the batch holds the events", func() bool {
		_, metrics := s.get("/metrics")
		return strings.Contains(metrics, `overreach_lag_records{partition="0",topic="access"} 10`+"\n")
	})
	s.engine.Kill() // the flush has to wait, and so the stop
	p.signal(syscall.SIGTERM)
	p.awaits(1, "ClickHouse does not answer as it should")
	p.signal(os.Interrupt)
	if code := p.exit(time.Second); code != exitFailed {
		t.Errorf("it ended with exit code %d, expected %d", code, exitFailed)
	}
}

func TestAStopWhileClickHouseIsAwayTakesNoLongerThanTenSeconds(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	p := s.run("max_age: 200ms", "max_age: 5m")
	p.awaits(1, "starting as configured")
	s.produce(0, madeEvents(t, 0, 400)...)
	p.until("the batch holds the events", func() bool {
		_, metrics := s.get("/metrics")
		return strings.Contains(metrics, `overreach_lag_records{partition="0",topic="access"} 400`+"\n")
	})
	s.engine.Kill()
	p.stop()

	s.startEngine()
	next := s.run()
	s.counted(next, 400)
	next.stop()
	s.holdsOnce(400)
}
