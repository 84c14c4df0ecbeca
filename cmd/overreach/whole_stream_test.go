package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/embedded/kafkatest"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// admin returns a client that makes and deletes topics.
func (s *servers) admin() *kafka.Client {
	s.t.Helper()
	transport := &kafka.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(s.kafka), Transport: transport}
}

// makeAgain deletes the topic and makes it again.
func (s *servers) makeAgain(partitions int) {
	s.t.Helper()
	client := s.admin()
	deleted, err := client.DeleteTopics(s.t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{wholeTopic}})
	if err == nil {
		err = deleted.Errors[wholeTopic]
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for { // Kafka takes its time to delete one
		res, err := client.Metadata(s.t.Context(), &kafka.MetadataRequest{})
		if err != nil {
			s.t.Fatal(err)
		}
		if !slices.ContainsFunc(res.Topics, func(t kafka.Topic) bool { return t.Name == wholeTopic }) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.makeTopic(wholeTopic, partitions)
}

// makeTopic makes a topic.
func (s *servers) makeTopic(name string, partitions int) {
	s.t.Helper()
	made, err := s.admin().CreateTopics(s.t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: name, NumPartitions: partitions, ReplicationFactor: 1},
	}})
	if err == nil {
		err = made.Errors[name]
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// topic runs the command overreach topic with the test's settings and returns its output.
func (s *servers) topic(args ...string) string {
	s.t.Helper()
	return run(s.t, append([]string{"topic", "--config", s.write("topic.yaml", s.settings())}, args...)...)
}

// refusesTopic fails unless `overreach topic` with changed settings is refused
// with one line that holds the texts.
func (s *servers) refusesTopic(texts, changes []string, args ...string) {
	s.t.Helper()
	start(s.t, append([]string{"topic", "--config", s.write("topic.yaml", s.settings(changes...))}, args...)...).refuses(texts...)
}

func says(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("it says\n%s\nwhich lacks %q", out, text)
		}
	}
}

func TestATopicThatIsMadeAgainStandsStillUntilItsNextLifeIsBegunWithoutARestart(t *testing.T) {
	t.Parallel()
	t.Run("on a broker in this process", func(t *testing.T) { isReadAgain(t, startServers(t, 3)) })
	t.Run("on an Apache Kafka", func(t *testing.T) {
		k := kafkatest.Start(t, kafkatest.Options{Own: true}) // the topic's name is fixed
		k.CreateTopic(wholeTopic, 3, nil)
		isReadAgain(t, startServersBeside(t, k.Addrs()[0]))
	})
}

func isReadAgain(t *testing.T, s *servers) {
	t.Helper()
	s.produce(0, madeEvents(t, 0, 60)...)
	s.produce(1, madeEvents(t, 60, 100)...) // nothing in the third
	first, second := s.run(), s.run("listen: "+s.listen, "listen: off")
	s.counted(first, 100)
	s.refusesTopic([]string{"no partition of", "stands still"}, nil, "new", wholeTopic)
	said := func(text string) int { return first.logged(text) + second.logged(text) }

	s.makeAgain(3)
	s.produce(0, madeEvents(t, 100, 180)...) // further than was counted
	s.produce(1, madeEvents(t, 180, 190)...)
	s.produce(2, madeEvents(t, 190, 195)...)
	first.until("all partitions stand still", func() bool { return said("it was deleted and made again") >= 3 })
	says(t, s.topic("list"), "@1", "stands still: the topic is another one now: it was deleted and made again")
	if n := said("this partition stands still; `overreach topic new` begins the next incarnation"); n == 0 {
		t.Error("the log does not say the way out")
	}
	s.counted(first, 100)

	says(t, s.topic("new", wholeTopic), "/access@2 is in force: 3 partitions, from earliest on")
	s.counted(first, 195)
	s.holdsOnce(195)
	out := s.topic("list")
	says(t, out, "/access@2", "0 to 80", "/access@1 was read by overreach until ")
	if strings.Contains(out, "stands still") {
		t.Errorf("it says that something stands still:\n%s", out)
	}
	first.stop()
	second.stop()

	again := s.run()
	s.produce(2, madeEvents(t, 195, 200)...)
	s.counted(again, 200)
	again.stop()
	s.holdsOnce(200)
}

func TestATopicThatWasMadeAgainWhileNobodyReadIsNotedThoughTheGroupForgot(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.produce(0, madeEvents(t, 0, 50)...)
	p := s.run()
	s.counted(p, 50)
	p.stop()
	s.makeAgain(1)
	s.forgetGroup()
	s.produce(0, madeEvents(t, 50, 150)...)
	p = s.run()
	p.awaits(1, "it was deleted and made again")
	s.topic("new", wholeTopic)
	s.counted(p, 150)
	p.stop()
	s.holdsOnce(150)
}

// forgetGroup deletes the group, as Kafka does with the offsets of a topic that is
// deleted, and with all of them after some days of standstill.
func (s *servers) forgetGroup() {
	s.t.Helper()
	res, err := s.admin().DeleteGroups(s.t.Context(), &kafka.DeleteGroupsRequest{GroupIDs: []string{"overreach"}})
	if err == nil {
		err = res.Errors["overreach"]
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestALogThatWasCutOffBelowWhatWasCountedStandsStillUntilSomebodySaysWhereToGoOn(t *testing.T) {
	t.Parallel()
	s := startServers(t, 2)
	s.produce(0, madeEvents(t, 0, 50)...)
	p := s.run()
	s.counted(p, 50)
	p.stop()
	// The broker cannot cut its log off, so the tables have counted more than it holds.
	incarnation := s.query("SELECT incarnation FROM incarnations")[0]
	st, err := store.Open(t.Context(), s.clickhouse)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }() // it wrote what it had to
	cut := schema.Marker{Range: schema.Range{Partition: schema.Partition{Incarnation: incarnation}, From: 50, To: 70, Pinned: schema.DayOf(time.Now())}}
	if err := st.InsertUsage(t.Context(), cut, &schema.UsageRows{}); err != nil {
		t.Fatal(err)
	}

	p = s.run()
	p.awaits(1, "offsets up to 70 have been read, but the log ends at 50")
	s.produce(1, madeEvents(t, 50, 60)...) // the other partition goes on meanwhile
	s.counted(p, 60)
	s.refusesTopic([]string{"its log may have been cut off", "--start"}, nil, "new", wholeTopic)
	says(t, s.topic("new", wholeTopic, "--start", "latest"), "/access@2 is in force: 2 partitions, from latest on")
	p.awaits(1, "the incarnation of a topic has changed")
	s.produce(0, madeEvents(t, 60, 80)...)
	s.counted(p, 80)
	p.stop()
	s.holdsOnce(80)
}

func TestAnotherGroupIsRefusedUntilItTakesTheTopic(t *testing.T) {
	t.Parallel()
	s := startServers(t, 2)
	s.produce(0, madeEvents(t, 0, 50)...)
	s.produce(1, madeEvents(t, 50, 90)...)
	p := s.run()
	s.counted(p, 90)
	other := []string{"group: overreach", "group: another", "listen: " + s.listen, "listen: off"}
	s.run(other...).refuses("is read by group overreach", "group another would count all of it again", "overreach topic take access")
	s.refusesTopic([]string{"group overreach has 1 members", "stop its instances first"}, other, "take", wholeTopic)
	s.refusesTopic([]string{"nowhere", "names access"}, other, "take", "nowhere")
	p.stop()

	committed := func(group string) string {
		t.Helper()
		res, err := s.admin().OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{wholeTopic: {0, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range res.Topics[wholeTopic] {
			all = append(all, fmt.Sprint(p.Partition, p.CommittedOffset, p.Metadata))
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	take := []string{"topic", "take", wholeTopic, "--config", s.write("topic.yaml", s.settings(other...))}
	says(t, run(t, take...), "is read by group another from now on, no longer by overreach")
	says(t, run(t, take...), "is read by group another already")
	if of, by := committed("overreach"), committed("another"); of != by || !strings.Contains(of, "overreach/1 to=50") {
		t.Errorf("the group that was left has committed\n%s\nthe one that took over\n%s", of, by)
	}
	s.run().refuses("is read by group another", "overreach topic take access")

	s.produce(0, madeEvents(t, 90, 120)...)
	p = s.run(other...)
	s.counted(p, 120)
	p.stop()
	s.holdsOnce(120)
}

func TestAnInstanceWhoseTopicWasTakenEndsWithOneLine(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	p := s.run()
	p.awaits(1, "starting as configured")
	// As where a group was thought to be empty: take itself refuses one that is not.
	st, err := store.Open(t.Context(), s.clickhouse)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }() // it wrote what it had to
	incarnations, err := st.Incarnations(t.Context())
	if err != nil || len(incarnations) != 1 {
		t.Fatal(incarnations, err)
	}
	incarnations[0].Group = "another"
	if err := st.SaveIncarnation(t.Context(), incarnations[0]); err != nil {
		t.Fatal(err)
	}
	p.refuses("is read by group another", "overreach topic take access")
}

func TestOfTwoThatStartAtOnceOnAnEmptyDatabaseWithOtherKeysOneIsRefused(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.write("other.key", "ffffffffffffffffffffffffffffffff\n")
	a := start(t, "run", "--log-format", "json", "--config", s.write("a.yaml", s.settings()))
	b := start(t, "run", "--log-format", "json", "--config", s.write("b.yaml", s.settings("hash.key", "other.key", s.listen, "off")))
	select {
	case <-a.done:
		a, b = b, a
	case <-b.done:
	case <-time.After(patience):
		t.Fatal("both go on")
	}
	b.refuses("hashed under key", "use that key, or another database")
	s.produce(0, madeEvents(t, 0, 20)...)
	s.counted(a, 20)
	a.stop()
}

func TestPartitionsThatAreAddedAreReadFromTheirBeginningWhateverTheStart(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.produce(0, madeEvents(t, 500, 510)...) // before the start, so never counted
	latest := []string{"start: earliest", "start: latest"}
	p := s.run(latest...)
	p.awaits(1, `"start":"latest"`)
	s.produce(0, madeEvents(t, 0, 30)...)
	s.counted(p, 30)
	grow := func(partitions int32) {
		t.Helper()
		res, err := s.admin().CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: wholeTopic, Count: partitions}}})
		if err != nil || res.Errors[wholeTopic] != nil {
			t.Fatal(err, res)
		}
	}
	grow(2)
	s.produce(1, madeEvents(t, 30, 50)...)
	s.counted(p, 50)
	p.awaits(1, "the partitions of a topic have changed")
	p.awaits(1, "this partition was added to the topic; starting at its beginning")
	p.stop()
	grow(3) // while nobody looks
	s.produce(2, madeEvents(t, 50, 60)...)
	p = s.run(latest...)
	s.counted(p, 60)
	p.stop()
	s.holdsOnce(60)
}

func TestRecordsThatKafkaDeletedBeforeTheyWereReadAreMissingAndSaid(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.produce(0, madeEvents(t, 0, 40)...)
	p := s.run()
	s.counted(p, 40)
	p.stop()
	s.produce(0, madeEvents(t, 40, 90)...)
	if err := s.broker.DeleteBefore(wholeTopic, 0, 70); err != nil {
		t.Fatal(err)
	}
	p = s.run()
	p.awaits(1, "Kafka no longer has these records; the marker says how many are missing")
	s.counted(p, 60)
	p.stop()
	if got := s.query("SELECT sum(records), sum(missing) FROM coverage")[0]; got != "60\t30" {
		t.Errorf("records and missing are %q, want 60 and 30", got)
	}
}
