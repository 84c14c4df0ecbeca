package consumer

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// idsSince is the first version of Metadata that names the topics' ids: that of
// Kafka 2.8.
const idsSince = 10

// givesIDs reports whether the brokers are of a version that gives topics ids.
func givesIDs(ctx context.Context, client *kafka.Client) (bool, error) {
	versions, err := client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err != nil {
		return false, fmt.Errorf("asking for Kafka's versions: %w", err)
	}
	return slices.ContainsFunc(versions.ApiKeys, func(v kafka.ApiVersionsResponseApiKey) bool {
		return v.ApiKey == int(protocol.Metadata) && v.MaxVersion >= idsSince
	}), nil
}

// topicIDs returns the id that Kafka gave each topic when it was made,
// hexadecimal: another one under the same name is another topic. It is empty
// where brokers give none. kafka-go does not know these ids, so the request is
// made here.
func (k *cluster) topicIDs(ctx context.Context) (map[string]string, error) {
	if !k.hasIDs {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	res, err := k.asks.RoundTrip(ctx, k.addr, &rawMetadata{topics: k.topics})
	if err != nil {
		return nil, fmt.Errorf("asking for the topics' ids: %w", err)
	}
	ids := map[string]string{}
	for _, t := range res.(*rawTopics).Topics {
		if t.ErrorCode != 0 {
			return nil, fmt.Errorf("topic %q: %w", *t.Topic, kafka.Error(t.ErrorCode))
		}
		if t.TopicID != [16]byte{} {
			ids[*t.Topic] = hex.EncodeToString(t.TopicID[:])
		}
	}
	return ids, nil
}

// rawMetadata is a request for topics with their ids.
type rawMetadata struct {
	metadata.Request // so that the Transport takes it for one
	topics           []string
}

type rawTopics struct{ kmsg.MetadataResponse }

// ApiKey implements protocol.Message.
func (*rawTopics) ApiKey() protocol.ApiKey { return protocol.Metadata } //nolint:revive // the interface spells it so

// Required implements protocol.RawExchanger.
func (*rawMetadata) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange implements protocol.RawExchanger.
func (r *rawMetadata) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	req := kmsg.NewMetadataRequest()
	req.Version = idsSince
	for _, name := range r.topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	if _, err := rw.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("overreach")).AppendRequest(nil, &req, 0)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(rw, size[:]); err != nil {
		return nil, err
	}
	const header, most = 4 + 1, 64 << 20 // correlation, and no tags
	n := binary.BigEndian.Uint32(size[:])
	if n < header || n > most {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	if body[header-1] != 0 {
		return nil, errors.New("a response with tags that are not known")
	}
	res := &rawTopics{}
	res.Version = idsSince
	if err := res.ReadFrom(body[header:]); err != nil {
		return nil, err
	}
	return res, nil
}
