package consumer

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/overreach/overreach/embedded/kafkatest"
)

// apache is the real Kafka of TestOnAnApacheKafka while that runs.
var apache *realBroker

// realBroker is a Kafka with one topic, access.
type realBroker struct {
	*kafkatest.Cluster
	partitions int32
	settings   map[string]string // of the topic
	made       bool
}

// renewed makes the topic anew, which forgets the offsets of every group too, and
// returns the broker's address.
func (r *realBroker) renewed() string {
	if r.made {
		r.DeleteTopic("access")
	}
	r.CreateTopic("access", r.partitions, r.settings)
	r.made = true
	return r.Addrs()[0]
}

// TestOnAnApacheKafka shows on a real broker what other tests show on one in
// this process, and what only a real one can show.
func TestOnAnApacheKafka(t *testing.T) {
	apache = &realBroker{Cluster: kafkatest.Start(t, kafkatest.Options{
		Own:   true, // the topic's name is access
		Users: map[string]string{"us": "right"}, TLS: true,
	})}
	defer func() { apache = nil }()
	for _, again := range []struct {
		name       string
		partitions int32
		test       func(*testing.T)
	}{
		{"every event", 3, TestEveryEventIsCountedAsTheOracleCounts},
		{"every compression", 1, TestEveryCompressionIsRead},
		{"every compression of the broker's own", 1, readsWhatTheBrokerCompressed},
		{"batches of any size", 1, TestBatchesOfAnySizeGiveTheSameSums},
		{"rejects", 1, TestWhatIsNoEventIsARejectAndTheGoodOnesBesideItAreCounted},
		{"a new group and reset offsets", 2, TestNeitherANewGroupNorResetOffsetsCountTwice},
		{"two instances", 4, TestTwoInstancesShareThePartitionsAndCountOnce},
		{"a drained partition", 2, TestADrainedPartitionIsFlushedAtOnce},
		{"a crash at any point", 1, TestACrashAtAnyPointLosesNothingAndCountsNothingTwice},
		{"a former owner", 1, TestAFormerOwnerIsRefused},
		{"a mixed range", 1, TestARangeFinishedUnderAnotherReadingIsMarkedMixed},
		{"a range that two readings share", 1, TestARangeThatTwoReadingsShareStaysMixedWhereTheFirstComesBack},
		{"records that are gone", 1, TestRecordsThatKafkaNoLongerHasAreMissingInTheMarker},
		{"what is lost while ClickHouse is away", 2, TestWhileClickHouseIsAwayLagAndRetentionAreWatchedAndLossesSaidAtTheTime},
		{"a topic made again", 1, TestATopicMadeAgainStopsThePartitionWithOneClearLine},
		{"control batches", 1, TestControlBatchesAreNoRecordsAndNoGaps},
		{"aborted records", 1, TestWhatWasAbortedIsNeverCountedAndNoGap},
		{"nothing but aborted records", 1, TestARangeOfNothingButAbortedRecordsAdvances},
		{"an open transaction", 1, TestAnOpenTransactionHoldsBackWhatLiesBehindItAndCountsAsCaughtUp},
		{"an unfinished batch of transactions", 1, TestAnUnfinishedBatchOfTransactionsComesOutTheSame},
		{"the start", 1, TestAPartitionThatNobodyKnowsStartsAsConfigured},
		{"the start is kept", 1, TestTheStartIsKeptBeforeAnythingIsRead},
		{"a partition added later", 1, TestAPartitionAddedLaterIsReadFromItsBeginning},
		{"log-append time", 1, takesTheTimeOfTheAppend},
		{"users and TLS", 1, speaksTLSAndEveryLogin},
		{"the broker dies", 2, losesNothingWhereTheBrokerDies},
	} {
		t.Run(again.name, func(t *testing.T) {
			apache.partitions, apache.settings = again.partitions, map[string]string{"max.message.bytes": "20000000"}
			again.test(t)
		})
	}
}

// readsWhatTheBrokerCompressed has the broker compress, by other libraries than
// a producer in Go would.
func readsWhatTheBrokerCompressed(t *testing.T) {
	for _, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			apache.settings = map[string]string{"compression.type": codec}
			addr := broker(t)
			events := someEvents(3000)
			produce(t, addr, 0, 0, jsonOf(events)...)
			m := newMemory()
			r := start(t, testConfig(addr, "access"), m)
			r.countedTo(t, m)
			r.stop()
			sameTotals(t, m.totals(t), oracle(events))
		})
	}
}

// takesTheTimeOfTheAppend sends records of another time than the broker's, where
// the topic keeps the broker's.
func takesTheTimeOfTheAppend(t *testing.T) {
	apache.settings = map[string]string{"message.timestamp.type": "LogAppendTime"}
	addr := broker(t)
	began := time.Now().UnixMilli()
	produce(t, addr, 0, 0, []byte("one"), []byte("two"))
	cfg := testConfig(addr, "access")
	k := newCluster(&cfg)
	defer k.close()
	f := &fetcher{transport: k.fetches, cluster: k, topic: "access"}
	c, err := f.next(t.Context(), 0)
	if err != nil || len(c.records) != 2 {
		t.Fatalf("%d records, %v", len(c.records), err)
	}
	for _, r := range c.records {
		if r.time < began || r.time > time.Now().UnixMilli() {
			t.Errorf("offset %d has time %d, sent at %d", r.offset, r.time, began)
		}
	}
}

func speaksTLSAndEveryLogin(t *testing.T) {
	broker(t)
	ca, _, _ := apache.CA()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	by := func(algorithm scram.Algorithm, password string) sasl.Mechanism {
		m, err := scram.Mechanism(algorithm, "us", password)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	logins := map[string]func(password string) sasl.Mechanism{
		"PLAIN":         func(password string) sasl.Mechanism { return plain.Mechanism{Username: "us", Password: password} },
		"SCRAM-SHA-256": func(password string) sasl.Mechanism { return by(scram.SHA256, password) },
		"SCRAM-SHA-512": func(password string) sasl.Mechanism { return by(scram.SHA512, password) },
	}
	events := someEvents(300)
	produce(t, apache.Addrs()[0], 0, 0, jsonOf(events)...)
	for name, login := range logins {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(apache.SecureAddrs()[0], "access")
			cfg.Group, cfg.SASL, cfg.TLS = name, login("right"), &tls.Config{RootCAs: trusted}
			m := newMemory()
			r := start(t, cfg, m)
			r.countedTo(t, m)
			r.stop()
			sameTotals(t, m.totals(t), oracle(events))
		})
		t.Run(name+" with a wrong password", func(t *testing.T) {
			cfg := testConfig(apache.SecureAddrs()[0], "access")
			cfg.SASL, cfg.TLS = login("wrong"), &tls.Config{RootCAs: trusted}
			isRefused(t, cfg, "refused the user or the password")
		})
	}
	t.Run("an authority that is not trusted", func(t *testing.T) {
		cfg := testConfig(apache.SecureAddrs()[0], "access")
		cfg.SASL, cfg.TLS = plain.Mechanism{Username: "us", Password: "right"}, &tls.Config{}
		isRefused(t, cfg, "name its authority in kafka.tls.ca")
	})
}

// isRefused fails unless Run says one clear line soon.
func isRefused(t *testing.T, cfg Config, want string) {
	t.Helper()
	c, _ := newTestConsumer(cfg, newMemory())
	began := time.Now()
	err := c.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run returned %v, want an error with %q", err, want)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// losesNothingWhereTheBrokerDies kills it while it is read and written.
func losesNothingWhereTheBrokerDies(t *testing.T) {
	addr := broker(t)
	events := someEvents(4000)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 150
	r := start(t, cfg, m)
	produce(t, addr, 0, 0, jsonOf(events[:1000])...)
	waitFor(t, "the first batches", func() bool { return m.chained(t).events > 300 })
	apache.Kill(0)
	waitFor(t, "the line on the outage", func() bool { return strings.Contains(r.log.String(), "Kafka does not answer") })
	apache.Restart(0)
	apache.AwaitBrokers()
	produce(t, addr, 1, 0, jsonOf(events[1000:])...)
	r.countedTo(t, m)
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	m.chained(t)
	if !strings.Contains(r.log.String(), "Kafka is back") {
		t.Error("that it is back was not said")
	}
}
