package consumer

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

// Config is what ingest needs to know. Nothing in it changes while it runs.
type Config struct {
	Brokers []string       // host:port of some of the cluster's brokers
	TLS     *tls.Config    // nil: no TLS
	SASL    sasl.Mechanism // nil: no authentication
	Group   string         // the consumer group
	Topics  []Topic        // the partitions of the first share the judge's slots out

	// UnreadableAfter is how long a partition stands before records that cannot be
	// decoded until it passes them. 0: until Store.Skips says so.
	UnreadableAfter time.Duration

	Start       Start // where a partition begins that neither the group nor the tables know
	Limits      Limits
	TimeLimits  schema.TimeLimits
	HashKey     HashKey
	Fingerprint string // of the binary: with the encoding and the key it says how a batch was read

	// Cluster names the cluster in the names of incarnations; empty: by its own id.
	Cluster string
	// Incarnations takes the first incarnation of each topic, with the id and the number
	// of partitions that Kafka gives now, and returns the incarnations in force, with the
	// numbers, ids and partitions that were recorded. Run calls it once the cluster has
	// answered, where an error ends Run; then before each generation and every few
	// seconds, where only ErrRefused ends it. nil: the first incarnation is in force.
	Incarnations func(ctx context.Context, now []Incarnation) ([]Incarnation, error)
	// Shared is told, before each generation, how many partitions the group reads.
	// May be nil.
	Shared func(partitions int)
	// Forgets says that Counted deletes what is counted from the broker, so that
	// deleting near to where it is read is no sign of retention.
	Forgets bool
	// Counted is told what a batch held, after its marker was written. It is called
	// by the partition's loop, which it holds up. May be nil.
	Counted func(Counted)
}

// Counted is what a batch held whose marker is written.
type Counted struct {
	Topic     string
	Partition int32
	To        int64 // all offsets below are counted

	Records, Events, Filtered uint64
	Rejects                   *schema.RejectRows // valid during the call
}

// Topic is one topic that the group reads.
type Topic struct {
	Name     string
	Encoding decode.Encoding // of its records; nil: decode.JSON
	KeepRaw  bool            // keep the records that became rejects
	Backfill bool            // its events do not hold the watermark back
}

// RecordEncoding returns the encoding of the topic's records: JSON where none is set.
func (t *Topic) RecordEncoding() decode.Encoding {
	if t.Encoding == nil {
		return decode.JSON{}
	}
	return t.Encoding
}

// StartAt is where to begin.
type StartAt string

// The places to begin at.
const (
	Earliest StartAt = "earliest" // the first record that Kafka has
	Latest   StartAt = "latest"   // what comes from now on
	Since    StartAt = "since"    // the first record as late as Start.Time
)

// Start says where to begin in a partition that nobody has counted.
type Start struct {
	At   StartAt
	Time time.Time // for Since
}

// String writes the start as the configuration does.
func (s Start) String() string {
	if s.At == Since {
		return "since " + s.Time.UTC().Format(time.RFC3339)
	}
	return string(s.At)
}

// Limits close a batch: whichever is reached first.
type Limits struct {
	Events int // items: events, rejects and filtered ones
	Keys   int // usage keys × minutes, the bound on memory
	// Bytes is what the batches of all partitions of the group take in memory
	// together, as long as each has leastBatch: none takes more than its share, so
	// whoever takes a partition over can finish the batch that it finds.
	Bytes int64
	// Age is how long a record waits at most until its batch is flushed. 0: two
	// seconds, or a tenth of a second for each partition of the group where that
	// is more, which keeps the inserts under ten a second.
	Age time.Duration
}

// DefaultLimits are the limits where the configuration names none.
func DefaultLimits() Limits {
	return Limits{Events: 50_000, Keys: 50_000, Bytes: 256 << 20}
}

// each returns the limits of one of so many partitions that the group reads.
func (l Limits) each(partitions int) Limits {
	l.Bytes = l.Memory(partitions) / int64(max(1, partitions))
	if l.Age == 0 {
		l.Age = max(2*time.Second, time.Duration(partitions)*time.Second/10)
	}
	return l
}

func (c *Config) check() error {
	switch {
	case len(c.Brokers) == 0:
		return errors.New("no Kafka broker is named")
	case c.Group == "":
		return errors.New("no consumer group is named")
	case len(c.Topics) == 0:
		return errors.New("no topic is named")
	case c.Start.At != Earliest && c.Start.At != Latest && c.Start.At != Since:
		return fmt.Errorf("start is %q: expected earliest, latest or since", c.Start.At)
	case c.Limits.Events < 1 || c.Limits.Keys < 1 || c.Limits.Bytes < 1 || c.Limits.Age < 0:
		return fmt.Errorf("limits of a batch are %d events, %d keys, %d bytes: each must be at least 1", c.Limits.Events, c.Limits.Keys, c.Limits.Bytes)
	}
	seen := map[string]bool{}
	for _, t := range c.Topics {
		if t.Name == "" || seen[t.Name] {
			return fmt.Errorf("topic %q is named twice, or has no name", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

// fingerprint says how a topic is read: two batches under the same one come out
// the same.
func (c *Config) fingerprint(t *Topic) string {
	h := sha256.New()
	for _, s := range []string{c.Fingerprint, t.RecordEncoding().Fingerprint(), fmt.Sprint(c.TimeLimits)} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s) // a hash never fails
	}
	_, _ = fmt.Fprintf(h, "%d", c.HashKey.hash([]byte("fingerprint"))) // of the key, not the key
	return hex.EncodeToString(h.Sum(nil)[:8])
}
