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
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	client := kafka.Client{Addr: k.addr, Transport: k.asks}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Addr: k.addr, Topics: map[string][]kafka.OffsetRequest{topic: {kafka.TimeOffsetOf(int(partition), t)}},
		IsolationLevel: kafka.ReadCommitted,
	})
	if err != nil {
		return 0, fmt.Errorf("asking for the offset at a time: %w", err)
	}
	for _, found := range res.Topics[topic] {
		if found.Error != nil {
			return 0, fmt.Errorf("asking for the offset of %s/%d at a time: %w", topic, partition, found.Error)
		}
		for offset := range found.Offsets {
			return offset, nil
		}
	}
	return -1, nil
}
