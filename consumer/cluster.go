package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// cluster speaks to one Kafka cluster. Each role has a Transport of its own: on
// a shared one a commit can hang behind other requests until its deadline.
type cluster struct {
	brokers []string
	addr    net.Addr
	topics  []string
	tls     *tls.Config
	sasl    sasl.Mechanism

	id      string           // the cluster's own, once connected
	hasIDs  bool             // its brokers give topics ids
	known   map[string][]int // the topics' partitions, as they were before the group was joined last
	fetches *kafka.Transport
	commits *kafka.Transport
	asks    *kafka.Transport
}

func newCluster(cfg *Config) *cluster {
	k := &cluster{brokers: cfg.Brokers, addr: kafka.TCP(cfg.Brokers...), tls: cfg.TLS, sasl: cfg.SASL}
	for _, t := range cfg.Topics {
		k.topics = append(k.topics, t.Name)
	}
	k.fetches, k.commits, k.asks = k.transport(), k.transport(), k.transport()
	return k
}

func (k *cluster) transport() *kafka.Transport {
	return &kafka.Transport{TLS: k.tls, SASL: k.sasl, ClientID: "overreach", MetadataTopics: k.topics}
}

func (k *cluster) dialer() *kafka.Dialer {
	return &kafka.Dialer{TLS: k.tls, SASLMechanism: k.sasl, ClientID: "overreach", Timeout: 5 * time.Second, DualStack: true}
}

func (k *cluster) close() {
	for _, t := range []*kafka.Transport{k.fetches, k.commits, k.asks} {
		t.CloseIdleConnections()
	}
}

// connectWithin is how long a cluster may take to answer for the first time, and
// topicsWithin how long a topic that was made just now may take to be known.
const (
	connectWithin = 8 * time.Second
	topicsWithin  = 3 * time.Second
)

// connect learns the cluster's id and finds every topic, or says what is wrong.
func (k *cluster) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	began := time.Now()
	var last error
	for {
		t := k.transport() // a fresh one has no cached answer
		id, partitions, err := k.describe(ctx, t)
		t.CloseIdleConnections()
		if err == nil {
			k.id, k.known = id, partitions
			k.hasIDs, err = givesIDs(ctx, &kafka.Client{Addr: k.addr, Transport: k.asks})
		}
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // the end of the time says less than what came before
		}
		unknown := errors.Is(err, kafka.UnknownTopicOrPartition) && time.Since(began) > topicsWithin
		if unknown || refused(err) || ctx.Err() != nil {
			return k.explain(last)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// refused reports whether asking again cannot help.
func refused(err error) bool {
	for _, code := range []kafka.Error{
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
		kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	var untrusted *tls.CertificateVerificationError
	return errors.As(err, &untrusted)
}

func (k *cluster) explain(err error) error {
	at := strings.Join(k.brokers, ", ")
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return fmt.Errorf("kafka at %s refused the user or the password: %w", at, err)
	case k.sasl != nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return fmt.Errorf("kafka at %s closed the connection during the login: it refused the user or the password, or expects TLS: %w", at, err)
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return fmt.Errorf("kafka at %s: %w; create the topic or correct its name", at, err)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return fmt.Errorf("the certificate of kafka at %s is not trusted: %w; name its authority in kafka.tls.ca", at, err)
	case refused(err):
		return fmt.Errorf("kafka at %s refused: %w", at, err)
	}
	return fmt.Errorf("no Kafka broker at %s could be reached within %s: %w; check the address, TLS and SASL settings", at, connectWithin, err)
}

// describe returns the cluster's id and the partitions of every topic.
func (k *cluster) describe(ctx context.Context, t *kafka.Transport) (id string, partitions map[string][]int, err error) {
	client := kafka.Client{Addr: k.addr, Transport: t}
	res, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: k.topics})
	if err != nil {
		return "", nil, err
	}
	partitions = make(map[string][]int)
	for _, topic := range res.Topics {
		if topic.Error != nil {
			return "", nil, fmt.Errorf("topic %q: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			partitions[topic.Name] = append(partitions[topic.Name], p.ID)
		}
		slices.Sort(partitions[topic.Name])
	}
	return res.ClusterID, partitions, nil
}

// bounds returns which offsets a partition's log holds, [first, end), those of
// open transactions too.
func (k *cluster) bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	p, err := k.list(ctx, kafka.ReadUncommitted, map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(int(partition)), kafka.LastOffsetOf(int(partition))},
	})
	if err != nil {
		return 0, 0, err
	}
	found := p[topic]
	if len(found) != 1 {
		return 0, 0, fmt.Errorf("the broker did not name the offsets of %s/%d", topic, partition)
	}
	return found[0].FirstOffset, found[0].LastOffset, nil
}

// startAt returns the offset of a partition that a start means.
func (k *cluster) startAt(ctx context.Context, topic string, partition int32, start Start) (int64, error) {
	first, end, err := k.bounds(ctx, topic, partition)
	if err != nil {
		return 0, err
	}
	switch start.At {
	case Latest:
		return end, nil
	case Since:
		at, err := k.offsetAt(ctx, topic, partition, start.Time)
		if err == nil && at < 0 {
			at = end // no record is as late as that
		}
		return at, err
	}
	return first, nil
}

// offsetAt returns the first offset whose record is as late as t, or -1.
func (k *cluster) offsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	p, err := k.list(ctx, kafka.ReadCommitted, map[string][]kafka.OffsetRequest{topic: {kafka.TimeOffsetOf(int(partition), t)}})
	if err != nil {
		return 0, err
	}
	for _, found := range p[topic] {
		for offset := range found.Offsets {
			return offset, nil
		}
	}
	return -1, nil
}

func (k *cluster) list(ctx context.Context, level kafka.IsolationLevel, topics map[string][]kafka.OffsetRequest) (map[string][]kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	client := kafka.Client{Addr: k.addr, Transport: k.asks}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Addr: k.addr, Topics: topics, IsolationLevel: level})
	if err != nil {
		return nil, fmt.Errorf("asking for offsets: %w", err)
	}
	for topic, partitions := range res.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, p.Partition, p.Error)
			}
		}
	}
	return res.Topics, nil
}

// ends returns for every partition of every topic where what can be read ends:
// its last stable offset, which a transaction that stays open does not move.
func (k *cluster) ends(ctx context.Context) (map[string]map[int32]int64, error) {
	_, partitions, err := k.describe(ctx, k.asks)
	if err != nil {
		return nil, fmt.Errorf("asking for partitions: %w", err)
	}
	requests := make(map[string][]kafka.OffsetRequest)
	for topic, ids := range partitions {
		for _, id := range ids {
			requests[topic] = append(requests[topic], kafka.LastOffsetOf(id))
		}
	}
	found, err := k.list(ctx, kafka.ReadCommitted, requests)
	if err != nil {
		return nil, err
	}
	ends := make(map[string]map[int32]int64)
	for topic, ids := range partitions {
		ends[topic] = make(map[int32]int64)
		for _, p := range found[topic] {
			ends[topic][int32(p.Partition)] = p.LastOffset
		}
		if len(ends[topic]) != len(ids) {
			return nil, fmt.Errorf("the broker named the end of %d of %d partitions of %s", len(ends[topic]), len(ids), topic)
		}
	}
	return ends, nil
}
