package consumer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// response is what a broker answers to a fetch of access/0, in one version.
func response(version int16, change func(r *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition)) *rawResponse {
	r := kmsg.NewFetchResponse()
	r.Version = version
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 90, 80, 10
	p.RecordBatches = deltaBatch(40, 1, 0, 1)
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic = "access"
	change(&r, &p)
	topic.Partitions = append(topic.Partitions, p)
	if r.Topics == nil {
		r.Topics = append(r.Topics, topic)
	}
	return &rawResponse{version: version, body: r.AppendTo(make([]byte, 4))} // correlation
}

func as(*kmsg.FetchResponse, *kmsg.FetchResponseTopicPartition) {}

func TestAResponseIsReadInEveryVersionThatBrokersSpeak(t *testing.T) {
	for version := int16(4); version <= 11; version++ {
		var f fetcher
		c, err := f.parse(response(version, as), 40)
		if err != nil || len(c.records) != 2 || c.next != 42 || c.end != 80 {
			t.Errorf("version %d: %d records, next %d, end %d, %v", version, len(c.records), c.next, c.end, err)
		}
		c, err = f.parse(response(version, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.LastStableOffset = -1 // a server without transactions
		}), 40)
		if err != nil || c.end != 90 {
			t.Errorf("version %d: it ends at %d, %v", version, c.end, err)
		}
		c, err = f.parse(response(version, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.LastStableOffset, p.RecordBatches = 0, nil
		}), 40)
		if err != nil || len(c.records) != 0 || c.next != 40 || c.end != 0 || f.pending() {
			t.Errorf("version %d: of nothing %d records, next %d, end %d, %v", version, len(c.records), c.next, c.end, err)
		}
	}
}

func TestWhatAResponseSaysIsWrongIsTheError(t *testing.T) {
	for name, c := range map[string]struct {
		raw  *rawResponse
		code error
		want string
		kind kind
	}{
		"the whole of it": {response(11, func(r *kmsg.FetchResponse, _ *kmsg.FetchResponseTopicPartition) {
			r.ErrorCode = int16(kafka.TopicAuthorizationFailed)
		}), kafka.TopicAuthorizationFailed, "", ""},
		"the partition": {response(11, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.ErrorCode = int16(kafka.OffsetOutOfRange)
		}), kafka.OffsetOutOfRange, "", ""},
		"the broker cannot read its log": {response(11, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.ErrorCode = int16(kafka.InvalidMessage)
		}), kafka.InvalidMessage, "", badBatch},
		"no topic": {response(11, func(r *kmsg.FetchResponse, _ *kmsg.FetchResponseTopicPartition) {
			r.Topics = []kmsg.FetchResponseTopic{}
		}), nil, "response holds 0 topics, asked for one", ""},
		"two topics": {response(11, func(r *kmsg.FetchResponse, _ *kmsg.FetchResponseTopicPartition) {
			r.Topics = make([]kmsg.FetchResponseTopic, 2)
		}), nil, "response holds 2 topics, asked for one", ""},
		"no partition": {response(11, func(r *kmsg.FetchResponse, _ *kmsg.FetchResponseTopicPartition) {
			r.Topics = make([]kmsg.FetchResponseTopic, 1)
		}), nil, "response holds 0 partitions, asked for one", ""},
	} {
		var f fetcher
		_, err := f.parse(c.raw, 40)
		if err == nil || c.code != nil && !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.want) || kindOfDamage(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := response(11, as)
	for n := range whole.body { // less than all, wherever it is cut off
		var f fetcher
		if _, err := f.parse(&rawResponse{version: 11, body: whole.body[:n]}, 40); err == nil {
			t.Errorf("%d of %d bytes are taken for a response", n, len(whole.body))
		}
	}
}

func TestOfAbortedTransactionsTheFirstComesFirst(t *testing.T) {
	txn := func(producer, first int64) kmsg.FetchResponseTopicPartitionAbortedTransaction {
		a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
		a.ProducerID, a.FirstOffset = producer, first
		return a
	}
	var f fetcher
	for range 2 { // what an earlier response named is forgotten
		_, _, err := f.open(response(11, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.AbortedTransactions = append(p.AbortedTransactions, txn(7, 70), txn(5, 50), txn(6, 60))
		}), 40)
		if want := []transaction{{5, 50}, {6, 60}, {7, 70}}; err != nil || !slices.Equal(f.aborted, want) {
			t.Errorf("%v, %v; want %v", f.aborted, err, want)
		}
		f.aborting = append(f.aborting, 9)
	}
	if _, _, err := f.open(response(11, as), 40); err != nil || len(f.aborted)+len(f.aborting) != 0 {
		t.Errorf("%v and %v are aborted, %v", f.aborted, f.aborting, err)
	}
}

func TestAFetchOfTooOldABrokerOrWithTooFewBytesIsAnError(t *testing.T) {
	sized := func(n int32, b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(n)), b...) }
	for name, c := range map[string]struct {
		version int16
		answer  []byte
		want    string
	}{
		"an answer":              {11, sized(3, []byte("abc")), ""},
		"an answer of no bytes":  {11, sized(0, nil), ""},
		"the least version":      {4, sized(3, []byte("abc")), ""},
		"a version below it":     {3, sized(3, []byte("abc")), "the broker speaks version 3 of fetch: Kafka 0.11 or later is needed"},
		"no answer":              {11, nil, "EOF"},
		"half a size":            {11, []byte{0, 0}, "unexpected EOF"},
		"a byte too few":         {11, sized(3, []byte("ab")), "unexpected EOF"},
		"a size that is no size": {11, sized(-1, []byte("abc")), "a response of -1 bytes"},
	} {
		w := &wire{answer: bytes.NewReader(c.answer)}
		r := &rawFetch{buffer: []byte("what was read before")[:0]}
		r.Required(map[protocol.ApiKey]int16{protocol.Fetch: c.version, protocol.Metadata: 2})
		got, err := r.RawExchange(w)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if raw := got.(*rawResponse); err != nil || !bytes.Equal(raw.body, c.answer[4:]) || raw.version != c.version || w.Len() == 0 {
			t.Errorf("%s: %+v, %v", name, raw, err)
		}
	}
	broken := errors.New("the connection breaks")
	if _, err := (&rawFetch{version: 11}).RawExchange(&wire{fails: broken}); !errors.Is(err, broken) {
		t.Errorf("a request that cannot be sent: %v", err)
	}
}

func TestFieldsThatAreNotThereReadAsZeroAndAreSaid(t *testing.T) {
	r := reader{b: []byte{0xff, 0xfe, 0xff, 0xff, 0xff, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc, 3, 1}}
	if a, b, c, d := r.int16(), r.int32(), r.int64(), r.varint(); a != -2 || b != -3 || c != -4 || d != -2 || r.bad {
		t.Errorf("%d, %d, %d, %d", a, b, c, d)
	}
	if got := r.take(1); len(got) != 1 || cap(got) != 1 || r.bad { // so that nobody writes over what follows
		t.Errorf("%v of %d", got, cap(got))
	}
	for name, read := range map[string]func(r *reader) int64{
		"int16": func(r *reader) int64 { return int64(r.int16()) }, "int32": func(r *reader) int64 { return int64(r.int32()) },
		"int64": (*reader).int64, "varint": (*reader).varint, "take": func(r *reader) int64 { return int64(len(r.take(2))) },
		"less than nothing": func(r *reader) int64 { return int64(len(r.take(-1))) },
	} {
		r := reader{b: []byte{0x81}}
		if got := read(&r); got != 0 || !r.bad || len(r.b) != 0 {
			t.Errorf("%s: %d, bad %t, %d bytes are left", name, got, r.bad, len(r.b))
		}
	}
	if r := (reader{b: []byte{7}}); len(r.take(0)) != 0 || r.bad || len(r.b) != 1 {
		t.Error("to take nothing takes something")
	}
}
