package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker starts a broker with the topic lines, and returns a client of it.
func broker(t testing.TB, partitions int32, options ...kfake.Opt) *kafka.Client {
	t.Helper()
	_, c := cluster(t, partitions, options...)
	return c
}

func cluster(t testing.TB, partitions int32, options ...kfake.Opt) (*kfake.Cluster, *kafka.Client) {
	t.Helper()
	b, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.SeedTopics(partitions, "lines"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return b, &kafka.Client{Addr: kafka.TCP(b.ListenAddrs()...), Transport: transport, Timeout: 10 * time.Second}
}

// stored reads back every record of a partition, up to the offset end.
func stored(t testing.TB, c *kafka.Client, partition int, end int64) []string {
	t.Helper()
	var values []string
	for int64(len(values)) < end {
		res, err := c.Fetch(t.Context(), &kafka.FetchRequest{
			Topic: "lines", Partition: partition, Offset: int64(len(values)), MinBytes: 1, MaxBytes: 64 << 20, MaxWait: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Error != nil {
			t.Fatal(res.Error)
		}
		for {
			m, err := res.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Offset != int64(len(values)) || m.Key != nil || time.Since(m.Time) > time.Minute {
				t.Fatalf("record %d of partition %d has offset %d, key %v, time %s", len(values), partition, m.Offset, m.Key, m.Time)
			}
			value, err := io.ReadAll(m.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, string(value))
		}
	}
	return values
}

// made yields n lines of many lengths.
func made(n int) (lines []string) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", r.IntN(600))))
	}
	return lines
}

func sequence(lines []string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var reused []byte
		for _, l := range lines {
			if reused = append(reused[:0], l...); !yield(reused, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryLineIsInTheTopicOnceAndInOrderWithinItsPartition(t *testing.T) {
	for _, partitions := range []int32{1, 3} {
		c := broker(t, partitions)
		lines := made(20_000)
		var told []Counts
		got, err := Lines(t.Context(), Config{Client: c, Topic: "lines", Progress: func(c Counts) { told = append(told, c) }}, sequence(lines))
		if err != nil {
			t.Fatal(err)
		}
		bytes := int64(len(strings.Join(lines, "")))
		if got.Lines != 20_000 || got.Bytes != bytes || len(got.Ends) != int(partitions) {
			t.Errorf("sent %+v, want 20000 lines of %d bytes to %d partitions", got, bytes, partitions)
		}
		if len(told) < 10 || told[len(told)-1] != got.Counts {
			t.Errorf("progress was told %d times, lastly %+v", len(told), told[len(told)-1])
		}
		position := map[string]int{}
		for i, l := range lines {
			position[l] = i
		}
		var all []string
		for partition, end := range got.Ends {
			values := stored(t, c, partition, end)
			if !slices.IsSortedFunc(values, func(a, b string) int { return position[a] - position[b] }) {
				t.Errorf("partition %d is out of order", partition)
			}
			all = append(all, values...)
		}
		slices.SortFunc(all, func(a, b string) int { return position[a] - position[b] })
		if !slices.Equal(all, lines) {
			t.Errorf("%d records are not the %d lines sent", len(all), len(lines))
		}
	}
}

func TestFilesPlainAndPackedGiveTheSameLines(t *testing.T) {
	lines := made(3000)
	plain := []byte(strings.Join(lines, "\n") + "\n")
	var zipped, zstandard bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zs, err := zstd.NewWriter(&zstandard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zs.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := zs.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(name string, content []byte) {
		t.Helper()
		c := broker(t, 1)
		got, err := Files(t.Context(), Config{Client: c, Topic: "lines"}, write(t, name, content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Lines != 3000 || got.Read != int64(len(content)) {
			t.Errorf("%s: %d lines of %d bytes read, want 3000 of %d", name, got.Lines, got.Read, len(content))
		}
		if !slices.Equal(stored(t, c, 0, got.Ends[0]), lines) {
			t.Errorf("%s: the records are not the lines", name)
		}
	}
	f("plain", plain)
	f("without a last newline", plain[:len(plain)-1])
	f("with CRLF", bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")))
	f("with empty lines", bytes.ReplaceAll(plain, []byte("\n"), []byte("\n\n")))
	f("gzip.gz", zipped.Bytes())
	f("gzip by content", zipped.Bytes())
	f("zstd.zst", zstandard.Bytes())
	f("two gzip members", append(pack(t, plain[:len(lines[0])+1]), pack(t, plain[len(lines[0])+1:])...))
}

func pack(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestALineOfTenMegabytesIsARecordWhereTheTopicTakesIt(t *testing.T) {
	noise := make([]byte, 5<<20)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(noise); err != nil {
		t.Fatal(err)
	}
	long := fmt.Sprintf("%x", noise)
	file := write(t, "long", []byte("{}\n"+long+"\n{}\n"))

	takes := broker(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}))
	got, err := Files(t.Context(), Config{Client: takes, Topic: "lines"}, file)
	if err != nil {
		t.Fatal(err)
	}
	if values := stored(t, takes, 0, got.Ends[0]); len(values) != 3 || values[1] != long {
		t.Errorf("%d records", len(values))
	}

	got, err = Files(t.Context(), Config{Client: broker(t, 1), Topic: "lines"}, file)
	if err == nil || !strings.Contains(err.Error(), file+":2: topic lines takes no batch of 1 lines and 10485760 bytes: ") || !strings.Contains(err.Error(), "max.message.bytes") {
		t.Errorf("error is %v", err)
	}
	if got.Lines != 1 {
		t.Errorf("%d lines were sent before the long one, want 1", got.Lines)
	}
}

func TestErrorsNameFileAndLine(t *testing.T) {
	lines := strings.Repeat("{}\n", 100)
	good := write(t, "good", []byte("\n{}\n"))
	cut := pack(t, []byte(strings.Join(made(5000), "\n")))
	truncated := write(t, "cut", cut[:len(cut)-100])
	tooLong := write(t, "too long", []byte(lines+strings.Repeat("x", MaxLine+1)))
	c := broker(t, 1)
	f := func(want string, files ...string) Result {
		t.Helper()
		got, err := Files(t.Context(), Config{Client: c, Topic: "lines"}, files...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
		return got
	}
	if got := f(tooLong+":101: line is longer than 33554432 bytes", good, tooLong); got.Lines != 101 {
		t.Errorf("%d lines were sent, want the 101 before the error", got.Lines)
	}
	if got := f("unexpected EOF", truncated); got.Lines < 4000 {
		t.Errorf("%d lines were sent of those before the cut", got.Lines)
	}
	if got := f("no such file", good, filepath.Join(t.TempDir(), "none")); got.Lines != 0 {
		t.Error("a file was sent although the next does not exist")
	}
}

func TestAMissingTopicOrBrokerIsSaid(t *testing.T) {
	_, err := Lines(t.Context(), Config{Client: broker(t, 1), Topic: "none"}, sequence(made(1)))
	if err == nil || !strings.Contains(err.Error(), "topic none does not exist") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = Lines(ctx, Config{Client: &kafka.Client{Addr: kafka.TCP("127.0.0.1:1")}, Topic: "lines"}, sequence(made(1)))
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error is %v", err)
	}
}

func TestABatchThatIsRefusedForAWhileIsSentAgain(t *testing.T) {
	const produce = 0 // the request's key
	f := func(refusals int, code int16, want string) {
		t.Helper()
		b, c := cluster(t, 1)
		asked := 0
		b.ControlKey(produce, func(r kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if asked++; asked > refusals {
				return nil, nil, false
			}
			response := r.ResponseKind().(*kmsg.ProduceResponse)
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.ErrorCode = code
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.Partitions = "lines", append(topic.Partitions, partition)
			response.Topics = append(response.Topics, topic)
			return response, nil, true
		})
		lines := made(10)
		got, err := Lines(t.Context(), Config{Client: c, Topic: "lines"}, sequence(lines))
		switch {
		case want == "" && err != nil:
			t.Errorf("%d refusals with code %d: %v", refusals, code, err)
		case want == "" && !slices.Equal(stored(t, c, 0, got.Ends[0]), lines):
			t.Errorf("%d refusals with code %d: the records are not the lines", refusals, code)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || got.Lines != 0):
			t.Errorf("%d refusals with code %d: error is %v after %d lines, want %q", refusals, code, err, got.Lines, want)
		}
	}
	f(2, int16(kafka.NotLeaderForPartition), "")
	f(100, int16(kafka.NotEnoughReplicas), "line 1: sending 10 lines to partition 0 of topic lines: ")
	f(1, int16(kafka.TopicAuthorizationFailed), "line 1: sending 10 lines to partition 0 of topic lines: ")
}

func TestAnErrorOfTheSequenceEndsAfterWhatCameBefore(t *testing.T) {
	broken := errors.New("broken")
	got, err := Lines(t.Context(), Config{Client: broker(t, 1), Topic: "lines"}, func(yield func([]byte, error) bool) {
		_ = yield([]byte("{}"), nil) && yield(nil, broken)
	})
	var at *LineError
	if !errors.As(err, &at) || at.Line != 2 || !errors.Is(err, broken) || got.Lines != 1 {
		t.Errorf("error is %v after %d lines", err, got.Lines)
	}
}

func TestARateIsKept(t *testing.T) {
	var told []Counts
	start := time.Now()
	got, err := Lines(t.Context(), Config{Client: broker(t, 2), Topic: "lines", Rate: 1000, Progress: func(c Counts) { told = append(told, c) }}, sequence(made(300)))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); got.Lines != 300 || took < 290*time.Millisecond {
		t.Errorf("%d lines took %s, want 300 in 299 ms or more", got.Lines, took)
	}
	if len(told) < 2 || len(told) > 20 {
		t.Errorf("sent in %d batches, want one a tick", len(told))
	}
}

func TestAReplayThatWaitsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	got, err := Lines(ctx, Config{Client: broker(t, 1), Topic: "lines", Rate: 0.01}, sequence(made(5)))
	if !errors.Is(err, context.DeadlineExceeded) || got.Lines != 1 {
		t.Errorf("error is %v after %d lines", err, got.Lines)
	}
}

func BenchmarkLines(b *testing.B) {
	const n = 300_000
	lines := make([][]byte, 20_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range lines {
		lines[i] = fmt.Appendf(nil, `{"time":"2018-11-27T00:%02d:%02d.%03dZ","id":"%016x","partner":"riverstore","app":"riverstore-shop",`+
			`"capability":"contacts","action":"read","subject":"1%014d","actor":"1%014d","status":200,"records":%d,"bytes":%d,`+
			`"api_version":"v3.1","grant":"riverstore-2012"}`,
			r.IntN(60), r.IntN(60), r.IntN(1000), r.Uint64(), r.Int64N(1e14), r.Int64N(1e14), r.IntN(25), r.IntN(10000))
	}
	c := broker(b, 4)
	total := int64(0)
	start := time.Now()
	for b.Loop() {
		got, err := Lines(b.Context(), Config{Client: c, Topic: "lines"}, func(yield func([]byte, error) bool) {
			for i := range n {
				if !yield(lines[i%len(lines)], nil) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		total += got.Lines
	}
	b.ReportMetric(float64(total)/time.Since(start).Seconds(), "lines/s")
}
