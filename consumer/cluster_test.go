package consumer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestWhatIsWrongWithAClusterIsSaidWithTheWayOut(t *testing.T) {
	cfg := testConfig("", "access")
	cfg.Brokers = []string{"a:1", "b:2"}
	open := newCluster(&cfg)
	cfg.SASL = plain.Mechanism{}
	login := newCluster(&cfg)
	untrusted := &tls.CertificateVerificationError{Err: errors.New("unknown authority")}
	for _, c := range []struct {
		k       *cluster
		err     error
		refused bool
		want    string
	}{
		{open, kafka.SASLAuthenticationFailed, true, "kafka at a:1, b:2 refused the user or the password: "},
		{login, io.EOF, false, "kafka at a:1, b:2 closed the connection during the login: it refused the user or the password, or expects TLS: "},
		{login, io.ErrUnexpectedEOF, false, "kafka at a:1, b:2 closed the connection during the login: "},
		{open, io.EOF, false, "no Kafka broker at a:1, b:2 could be reached within 8s: asking: EOF; check the address, TLS and SASL settings"},
		{login, net.ErrClosed, false, "no Kafka broker at a:1, b:2 could be reached within 8s: "},
		{open, kafka.UnknownTopicOrPartition, false, "; create the topic or correct its name"},
		{open, untrusted, true, "; name its authority in kafka.tls.ca"},
		{open, kafka.UnsupportedSASLMechanism, true, "kafka at a:1, b:2 refused: "},
		{open, kafka.IllegalSASLState, true, "kafka at a:1, b:2 refused: "},
		{open, kafka.TopicAuthorizationFailed, true, "kafka at a:1, b:2 refused: "},
		{open, kafka.GroupAuthorizationFailed, true, "kafka at a:1, b:2 refused: "},
		{open, kafka.ClusterAuthorizationFailed, true, "kafka at a:1, b:2 refused: "},
		{open, kafka.NotLeaderForPartition, false, "no Kafka broker at a:1, b:2 could be reached within 8s: "},
	} {
		err := fmt.Errorf("asking: %w", c.err)
		if got := refused(err); got != c.refused {
			t.Errorf("%v is refused for good: %t, want %t", err, got, c.refused)
		}
		if got := c.k.explain(err); !strings.Contains(got.Error(), c.want) || !errors.Is(got, c.err) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// described has a broker answer a topic with an error code, so many times.
func described(c *kfake.Cluster, code kafka.Error, times int, seen func(req *kmsg.MetadataRequest)) {
	c.ControlKey(int16(kmsg.Metadata), func(k kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := k.(*kmsg.MetadataRequest)
		seen(req)
		if times--; times < 0 {
			return nil, nil, false
		}
		res := k.ResponseKind().(*kmsg.MetadataResponse)
		topic, name := kmsg.NewMetadataResponseTopic(), "access"
		topic.Topic, topic.ErrorCode = &name, int16(code)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
}

func TestATopicThatWasMadeJustNowIsWaitedForAndARefusalIsNot(t *testing.T) {
	for code, within := range map[kafka.Error]bool{
		kafka.UnknownTopicOrPartition: true, kafka.LeaderNotAvailable: true, kafka.TopicAuthorizationFailed: false,
	} {
		c := kfakeCluster(t)
		cfg := testConfig(c.ListenAddrs()[0], "access")
		k := newCluster(&cfg)
		defer k.close()
		asked := 0
		described(c, code, 1, func(*kmsg.MetadataRequest) { asked++ })
		err := k.connect(t.Context())
		if within && (err != nil || k.id == "" || !k.hasIDs || !slices.Equal(k.known["access"], []int{0})) {
			t.Errorf("%d once: %v; %+v", code, err, k.known)
		}
		if !within && (!errors.Is(err, code) || !strings.Contains(err.Error(), "refused") || asked != 1) {
			t.Errorf("%d: %v, after it was asked %d times", code, err, asked)
		}
	}
}

func TestTheEndOfTheTimeSaysLessThanWhatCameBefore(t *testing.T) {
	c := kfakeCluster(t)
	cfg := testConfig(c.ListenAddrs()[0], "access")
	k := newCluster(&cfg)
	defer k.close()
	soon, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	described(c, kafka.LeaderNotAvailable, 1000, func(*kmsg.MetadataRequest) {})
	if err := k.connect(soon); !errors.Is(err, kafka.LeaderNotAvailable) || !strings.Contains(err.Error(), `topic "access"`) {
		t.Errorf("%v", err)
	}
}

func TestPartitionsAreKnownInOrderByTopic(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(12, "access"), kfake.SeedTopics(2, "calls", "another"))
	cfg := testConfig(addr, "access", "calls")
	k := newCluster(&cfg)
	defer k.close()
	if err := k.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(k.known) != 2 || len(k.known["access"]) != 12 || !slices.IsSorted(k.known["access"]) || !slices.Equal(k.known["calls"], []int{0, 1}) {
		t.Errorf("known are %v", k.known)
	}
	ids, err := k.topicIDs(t.Context())
	if err != nil || len(ids) != 2 || len(ids["access"]) != 32 || ids["access"] == ids["calls"] {
		t.Errorf("the ids are %v, %v", ids, err)
	}
}

func TestBrokersOfBeforeTopicsHadIDsAreNotAskedForThem(t *testing.T) {
	for version, has := range map[int16]bool{9: false, 10: true, 11: true} {
		c := kfakeCluster(t)
		c.ControlKey(int16(kmsg.ApiVersions), func(k kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			res := k.ResponseKind().(*kmsg.ApiVersionsResponse)
			for key, most := range map[kmsg.Key]int16{kmsg.Metadata: version, kmsg.ApiVersions: 12, kmsg.Fetch: 12, kmsg.ListOffsets: 12} {
				v := kmsg.NewApiVersionsResponseApiKey()
				v.ApiKey, v.MaxVersion = int16(key), most
				res.ApiKeys = append(res.ApiKeys, v)
			}
			return res, nil, true
		})
		cfg := testConfig(c.ListenAddrs()[0], "access")
		k := newCluster(&cfg)
		defer k.close()
		got, err := givesIDs(t.Context(), &kafka.Client{Addr: k.addr, Transport: k.asks})
		if err != nil || got != has {
			t.Errorf("version %d of Metadata names the ids: %t, %v", version, got, err)
		}
		k.hasIDs = got
		if ids, err := k.topicIDs(t.Context()); err != nil || (len(ids) > 0) != has {
			t.Errorf("version %d: the ids are %v, %v", version, ids, err)
		}
	}
	closed := newCluster(&Config{Brokers: []string{"127.0.0.1:1"}})
	defer closed.close()
	if _, err := givesIDs(t.Context(), &kafka.Client{Addr: closed.addr, Transport: closed.asks}); err == nil || !strings.Contains(err.Error(), "asking for Kafka's versions: ") {
		t.Errorf("where nobody listens: %v", err)
	}
	closed.hasIDs = true
	if _, err := closed.topicIDs(t.Context()); err == nil || !strings.Contains(err.Error(), "asking for the topics' ids: ") {
		t.Errorf("where nobody listens: %v", err)
	}
}

func TestATopicWithoutAnIDIsNotNamedAndOneWithAnErrorIsAnError(t *testing.T) {
	c := kfakeCluster(t)
	cfg := testConfig(c.ListenAddrs()[0], "access")
	k := newCluster(&cfg)
	defer k.close()
	if err := k.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.topicIDs(t.Context()); err != nil { // so that the connection is there
		t.Fatal(err)
	}
	described(c, 0, 1, func(*kmsg.MetadataRequest) {})
	if ids, err := k.topicIDs(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("the ids are %v, %v", ids, err)
	}
	described(c, kafka.TopicAuthorizationFailed, 1, func(req *kmsg.MetadataRequest) {
		if len(req.Topics) != 1 || *req.Topics[0].Topic != "access" {
			t.Errorf("asked for %+v", req.Topics)
		}
	})
	if _, err := k.topicIDs(t.Context()); !errors.Is(err, kafka.TopicAuthorizationFailed) || !strings.Contains(err.Error(), `topic "access": `) {
		t.Errorf("the ids of a topic that is not permitted: %v", err)
	}
}

// wire answers a request by some bytes.
type wire struct {
	bytes.Buffer // holds the request that the client wrote
	answer       io.Reader
	fails        error // of a write
}

func (w *wire) Read(p []byte) (int, error) { return w.answer.Read(p) }

func (w *wire) Write(p []byte) (int, error) {
	if w.fails != nil {
		return 0, w.fails
	}
	return w.Buffer.Write(p)
}

func TestAnAnswerOfTopicIDsIsReadToItsLastByteOrIsAnError(t *testing.T) {
	res := kmsg.NewMetadataResponse()
	res.Version = idsSince
	topic, name := kmsg.NewMetadataResponseTopic(), "access"
	topic.Topic, topic.TopicID = &name, [16]byte{15: 7}
	res.Topics = append(res.Topics, topic)
	body := append([]byte{0, 0, 0, 0, 0}, res.AppendTo(nil)...) // correlation, no tags
	sized := func(n uint32, b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), b...) }
	tagged := slices.Clone(body)
	tagged[4] = 1
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"whole":                 {sized(uint32(len(body)), body), ""},
		"none":                  {nil, "EOF"},
		"half of its size":      {[]byte{0, 0}, "unexpected EOF"},
		"one byte is left out":  {sized(uint32(len(body)), body[:len(body)-1]), "unexpected EOF"},
		"shorter than a header": {sized(4, body), "a response of 4 bytes"},
		"no more than a header": {sized(5, body[:5]), "enough data"},
		"as large as may be":    {sized(64<<20, body), "unexpected EOF"},
		"larger than may be":    {sized(64<<20+1, body), "a response of 67108865 bytes"},
		"with tags":             {sized(uint32(len(tagged)), tagged), "a response with tags that are not known"},
	} {
		w := &wire{answer: bytes.NewReader(c.answer)}
		got, err := (&rawMetadata{topics: []string{"access"}}).RawExchange(w)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil || len(got.(*rawTopics).Topics) != 1 || got.(*rawTopics).Topics[0].TopicID != topic.TopicID {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	broken := errors.New("the connection breaks")
	if _, err := (&rawMetadata{}).RawExchange(&wire{fails: broken}); !errors.Is(err, broken) {
		t.Errorf("a request that cannot be sent: %v", err)
	}
}

func TestWhereAStartLiesIsAskedForOnceAndAnErrorTold(t *testing.T) {
	c := kfakeCluster(t)
	addr := c.ListenAddrs()[0]
	produce(t, addr, 0, 0, jsonOf(someEvents(30))...)
	cfg := testConfig(addr, "access")
	k := newCluster(&cfg)
	defer k.close()
	since := Start{At: Since, Time: time.UnixMilli(day1)}
	if at, err := k.startAt(t.Context(), "access", 0, since); err != nil || at != 0 {
		t.Fatalf("%d, %v", at, err)
	}
	// answered has the broker answer the nth question for offsets by an error.
	answered := func(nth int, code kafka.Error, partitions bool) {
		n := 0
		c.ControlKey(int16(kmsg.ListOffsets), func(q kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if n++; n != nth {
				return nil, nil, false
			}
			res := q.ResponseKind().(*kmsg.ListOffsetsResponse)
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = "access"
			if partitions {
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.ErrorCode, p.Offset = int16(code), 7
				topic.Partitions = append(topic.Partitions, p)
			}
			res.Topics = append(res.Topics, topic)
			return res, nil, true
		})
	}
	for nth, want := range map[int]string{
		1: "asking for the offsets of access/0: ", 2: "asking for the offsets of access/0: ", 3: "asking for the offsets of access/0: ",
		4: "asking for the offset of access/0 at a time: ",
	} {
		answered(nth, kafka.TopicAuthorizationFailed, true)
		if at, err := k.startAt(t.Context(), "access", 0, since); !errors.Is(err, kafka.TopicAuthorizationFailed) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("question %d: %d, %v; want %q", nth, at, err, want)
		}
	}
	answered(1, 0, false)
	if _, err := k.startAt(t.Context(), "access", 0, since); err == nil || err.Error() != "asking for the offsets of access/0: the broker did not name them all" {
		t.Errorf("a partition that is not named: %v", err)
	}
	answered(4, 0, false)
	if at, err := k.startAt(t.Context(), "access", 0, since); err != nil || at != 30 {
		t.Errorf("where no record is as late it starts at %d, %v", at, err)
	}
	c.Close()
	if _, err := k.startAt(t.Context(), "access", 0, since); err == nil || !strings.HasPrefix(err.Error(), "asking for ") {
		t.Errorf("a broker that is away: %v", err)
	}
	if _, err := k.offsetAt(t.Context(), "access", 0, since.Time); err == nil || !strings.HasPrefix(err.Error(), "asking for the offset at a time: ") {
		t.Errorf("a broker that is away: %v", err)
	}
}
