package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestATopicIsAnotherOneWhereBothIDsAreKnownAndDiffer(t *testing.T) {
	for _, c := range []struct {
		counted, now string
		other        bool
	}{{"a", "a", false}, {"a", "b", true}, {"", "b", false}, {"a", "", false}, {"", "", false}} {
		s := Incarnation{TopicID: c.counted}
		if got := s.isOther(c.now); got != c.other {
			t.Errorf("%q counted, %q now: another one %t", c.counted, c.now, got)
		}
	}
}

// connected is a consumer that has found its cluster, and what it logs.
func connected(t *testing.T, cfg Config) (*Consumer, *syncBuffer) {
	t.Helper()
	c, log := newTestConsumer(cfg, newMemory())
	t.Cleanup(c.cluster.close)
	if err := c.cluster.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, log
}

func TestTheFirstIncarnationOfATopicIsNamedAfterClusterAndTopic(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(3, "access"), kfake.SeedTopics(1, "calls"), kfake.ClusterID("made-up"))
	cfg := testConfig(addr, "access", "calls")
	cfg.Topics[1].Backfill = true
	for cluster, named := range map[string]string{"": "made-up", "ours": "ours"} {
		cfg.Cluster = cluster
		c, _ := connected(t, cfg)
		if err := c.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := c.inForce()
		want := []Incarnation{
			{Name: named + "/access@1", Cluster: "made-up", Topic: "access", TopicID: got[0].TopicID, Number: 1, Partitions: 3},
			{Name: named + "/calls@1", Cluster: "made-up", Topic: "calls", TopicID: got[1].TopicID, Number: 1, Partitions: 1, Backfill: true},
		}
		if !slices.Equal(got, want) || len(got[0].TopicID) != 32 {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestWhereNobodyKeepsIncarnationsTheFirstOnesLastAsLongAsTheProgram(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	c, _ := connected(t, testConfig(addr, "access"))
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := c.inForce()
	if stale, err := c.reopen(t.Context()); err != nil || stale || c.inForce()[0].other {
		t.Errorf("nothing has changed: stale %t, %v", stale, err)
	}
	madeAnew(t, addr, "access")
	waitFor(t, "the topic's next incarnation", func() bool {
		ids, err := c.cluster.topicIDs(t.Context())
		return err == nil && ids["access"] != before[0].TopicID
	})
	stale, err := c.reopen(t.Context())
	if now := c.inForce(); err != nil || !stale || now[0].Name != before[0].Name || now[0].TopicID != before[0].TopicID || !now[0].MadeAgain() {
		t.Errorf("it was made again: %+v, stale %t, %v", now, stale, err)
	}
}

func TestIncarnationsAreWaitedForUnlessThisInstanceMustNotRead(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	var answers []error
	cfg := testConfig(addr, "access")
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		err := answers[0]
		answers = answers[1:]
		return now, err
	}
	away, refused := errors.New("no answer"), fmt.Errorf("%w: another key", ErrRefused)
	for _, c := range []struct {
		answers []error
		stale   bool
		err     error
	}{
		{[]error{nil}, false, nil},
		{[]error{away, nil}, true, nil}, // the group may have shared out its partitions meanwhile
		{[]error{refused}, false, ErrRefused},
		{[]error{away, refused}, true, ErrRefused},
	} {
		answers = []error{nil}
		one, log := connected(t, cfg)
		if err := one.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		answers = c.answers
		stale, err := one.reopen(t.Context())
		if stale != c.stale || !errors.Is(err, c.err) || len(answers) != 0 {
			t.Errorf("%v: stale %t, %v", c.answers, stale, err)
		}
		if strings.Contains(log.String(), "ClickHouse does not answer") != (errors.Is(c.answers[0], away)) {
			t.Errorf("%v: said\n%s", c.answers, log)
		}
	}
}

func TestAGenerationEndsWhereTheTopicsAreNotWhatTheyWere(t *testing.T) {
	t.Parallel() // it waits most of its time
	grow := func(t *testing.T, addr string) {
		t.Helper()
		client, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		req := kmsg.NewCreatePartitionsRequest()
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "access", 2
		req.Topics = append(req.Topics, topic)
		if res, err := req.RequestWith(t.Context(), client); err != nil || res.Topics[0].ErrorCode != 0 {
			t.Fatal(err, res)
		}
	}
	for name, c := range map[string]struct {
		stale  bool
		change func(t *testing.T, addr string)
		answer func(now []Incarnation) ([]Incarnation, error)
		line   string // empty: it ends and says nothing
	}{
		"they had changed before": {stale: true, line: "the topics have changed meanwhile; joining the group anew"},
		"a partition was added":   {change: grow, line: "the partitions of a topic have changed; joining the group anew"},
		"another incarnation is in force": {answer: func(now []Incarnation) ([]Incarnation, error) { now[0].Number = 2; return now, nil },
			line: "the incarnation of a topic has changed; joining the group anew"},
		"this instance must not read": {answer: func([]Incarnation) ([]Incarnation, error) { return nil, ErrRefused }},
	} {
		t.Run(name, func(t *testing.T) {
			addr := broker(t, kfake.SeedTopics(1, "access"))
			cfg := testConfig(addr, "access")
			asked := 0
			cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
				if asked++; asked > 1 && c.answer != nil {
					return c.answer(now)
				}
				return now, nil
			}
			one, log := connected(t, cfg)
			if err := one.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(t, addr)
			}
			began := time.Now()
			one.watch(t.Context(), c.stale)
			if text := log.String(); c.line == "" && text != "" || !strings.Contains(text, c.line) {
				t.Errorf("said:\n%s", text)
			}
			if took := time.Since(began); took > 2*watchEvery {
				t.Errorf("it took %s", took)
			}
			if name == "a partition was added" && !slices.Equal(one.cluster.known["access"], []int{0, 1}) {
				t.Errorf("known are %v", one.cluster.known)
			}
		})
	}
}

func TestWhileNobodyAnswersAGenerationLastsAndItIsSaid(t *testing.T) {
	cluster := kfakeCluster(t)
	cfg := testConfig(cluster.ListenAddrs()[0], "access")
	fails := false
	asks := make(chan struct{}, 9)
	cfg.Incarnations = func(_ context.Context, now []Incarnation) ([]Incarnation, error) {
		defer func() { asks <- struct{}{} }()
		if fails {
			return nil, errors.New("no answer")
		}
		return now, nil
	}
	c, log := connected(t, cfg)
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-asks
	fails = true
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.watch(ctx, false); close(done) }()
	<-asks
	waitFor(t, "the line on the outage", func() bool { return strings.Contains(log.String(), "ClickHouse does not answer") })
	select {
	case <-done:
		t.Error("the generation ends since nobody answers")
	default:
	}
	end()
	<-done
	if c.clickhouse.waiting != 0 || c.kafka.waiting != 0 {
		t.Errorf("%d and %d callers wait after its end", c.clickhouse.waiting, c.kafka.waiting)
	}
}

func TestAskingForIncarnationsOrEndsWaitsForTheClusterAndNoLongerThanTheCaller(t *testing.T) {
	c, _ := newTestConsumer(testConfig("127.0.0.1:1", "access"), newMemory())
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := c.Incarnations(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("incarnations: %v", err)
	}
	if _, err := c.Ends(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("ends: %v", err)
	}
	close(c.connected)
	if _, err := c.Ends(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "asking for partitions: ") {
		t.Errorf("ends of a cluster that is away: %v", err)
	}
	l := kfakeCluster(t)
	cfg := testConfig(l.ListenAddrs()[0], "access")
	one, _ := connected(t, cfg)
	close(one.connected)
	l.ControlKey(int16(kmsg.ListOffsets), func(k kmsg.Request) (kmsg.Response, error, bool) {
		return k.ResponseKind(), nil, true // that names nothing
	})
	if _, err := one.Ends(t.Context()); err == nil || !strings.Contains(err.Error(), "the broker did not name them all") {
		t.Errorf("ends that are not named: %v", err)
	}
}

func TestARunThatCannotBeginSaysWhyAndOneThatIsStoppedSaysNothing(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	run := func(ctx context.Context, change func(cfg *Config)) error {
		cfg := testConfig(addr, "access")
		change(&cfg)
		c, _ := newTestConsumer(cfg, newMemory())
		return c.Run(ctx)
	}
	if err := run(t.Context(), func(cfg *Config) { cfg.Group = "" }); err == nil || err.Error() != "no consumer group is named" {
		t.Errorf("%v", err)
	}
	refuse := func(cfg *Config) {
		cfg.Incarnations = func(context.Context, []Incarnation) ([]Incarnation, error) { return nil, ErrRefused }
	}
	if err := run(t.Context(), refuse); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	soon, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer end()
	if err := run(soon, func(cfg *Config) { cfg.Brokers = []string{"127.0.0.1:1"} }); err != nil {
		t.Errorf("stopped before anybody answered: %v", err)
	}
}

func TestAGenerationTellsHowMuchIsSharedAndWhatIsOwned(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(3, "access"), kfake.SeedTopics(2, "calls"))
	cfg := testConfig(addr, "access", "calls")
	shared := make(chan int, 9)
	cfg.Shared = func(n int) { shared <- n }
	r := start(t, cfg, newMemory())
	if n := <-shared; n != 5 {
		t.Errorf("the group reads %d partitions, want 5", n)
	}
	becomes(t, "owned", r.metrics.owned, "topic=access", 3)
	becomes(t, "owned", r.metrics.owned, "topic=calls", 2)
	becomes(t, "rebalances", r.metrics.rebalances, "", 1)
	if owned, total := r.Owned(); !slices.Equal(owned, []int32{0, 1, 2}) || total != 3 {
		t.Errorf("it owns %v of %d", owned, total)
	}
	for _, want := range []string{`"topic":"access","generation":1,"partitions":3,"message":"assigned"`, `"topic":"calls","generation":1,"partitions":2,"message":"assigned"`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	r.stop()
	if got := gauges(t, r.metrics.owned); got["topic=access"] != 0 || got["topic=calls"] != 0 {
		t.Errorf("it has stopped, and owned says %v", got)
	}
	if owned, _ := r.Owned(); len(owned) != 0 {
		t.Errorf("it has stopped, and owns %v", owned)
	}
}
