package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/overreach/overreach/schema"
)

// tortureBomb is how long the longest record is. Packed it has some hundred
// kilobytes at most, which every broker takes.
const tortureBomb = 64 << 20

// promised is how much memory an instance has resident at most, whatever is sent:
// docs/operations.md says so.
const promised = 512 << 20

// packingClients are one for each codec, which send what they are given at once as
// one batch.
func packingClients(t *testing.T, addrs []string) []*kgo.Client {
	t.Helper()
	var all []*kgo.Client
	for _, codec := range []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.GzipCompression(), kgo.Lz4Compression()} {
		client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(100*time.Millisecond),
			kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(tortureBomb+16<<20))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		all = append(all, client)
	}
	return all
}

// produceLarge sends a batch of some records of which two are too large, and one is
// as large as it may be. n says which codec packs it.
func (l *tortureLog) produceLarge(ctx context.Context, n int) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	events := l.some(6)
	for i := range events {
		events[i].partition = events[0].partition % tortureBusy
	}
	events[1].size = schema.MaxRecord
	events[2].size, events[2].reject = schema.MaxRecord+1, "too_large"
	events[4].size, events[4].reject = tortureBomb, "too_large"
	return l.send(ctx, l.packed[n%len(l.packed)], events)
}

// tooMuch says so where an instance had more memory resident than is promised.
func (m *torment) tooMuch(p *instance) {
	peak := p.peak.Load()
	m.peak = max(m.peak, peak)
	if peak > promised {
		m.failed = append(m.failed, fmt.Sprintf("an instance had %d MB resident, at most %d are promised", peak>>20, promised>>20))
	}
}
