package kafkatest

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestRecordsOutliveAKilledBrokerAndNotTheirDeletion(t *testing.T) {
	c := Start(t, Options{Own: true})
	topic := c.CreateTopic("access", 2, map[string]string{"retention.ms": "-1"})
	produce(t, c.Addrs(), topic, "a", "b", "c")
	c.Kill(0)
	c.Restart(0)
	c.AwaitBrokers()
	if got := consume(t, c.Addrs(), topic, 3); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("after the kill it holds %q", got)
	}
	c.Stop(0)
	c.Restart(0)
	c.AwaitBrokers()
	c.DeleteRecordsBefore(topic, 0, 2)
	if got := consume(t, c.Addrs(), topic, 1); !slices.Equal(got, []string{"c"}) {
		t.Errorf("after the deletion of two records it holds %q", got)
	}
	c.DeleteTopic(topic)
	if again := c.CreateTopic("access", 1, nil); again != topic {
		t.Errorf("made again it is called %s, it was %s", again, topic)
	}
	produce(t, c.Addrs(), topic, "d")
	if got := consume(t, c.Addrs(), topic, 1); !slices.Equal(got, []string{"d"}) {
		t.Errorf("made again it holds %q", got)
	}
}

func TestOfThreeBrokersOneMayDie(t *testing.T) {
	c := Start(t, Options{Brokers: 3})
	topic := c.CreateTopic("access", 1, map[string]string{"min.insync.replicas": "2"})
	produce(t, c.Addrs(), topic, "a")
	c.Kill(1)
	produce(t, c.Addrs(), topic, "b")
	c.Restart(1)
	c.AwaitBrokers()
	if got := consume(t, c.Addrs(), topic, 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("it holds %q", got)
	}
}

func TestTheSecureListenerLetsInWhoLogsInOverTLSAndNobodyElse(t *testing.T) {
	c := Start(t, Options{Users: map[string]string{"us": "right \"one\""}, TLS: true})
	ca, _, _ := c.CA()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for password, in := range map[string]bool{"right \"one\"": true, "wrong": false} {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.SecureAddrs()...), kgo.DialTLSConfig(&tls.Config{RootCAs: roots}),
			kgo.SASL(scram.Auth{User: "us", Pass: password}.AsSha512Mechanism()), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Ping(t.Context()); (err == nil) != in {
			t.Errorf("password %q: %v", password, err)
		}
		client.Close()
	}
}

// childEnv makes the test below the process whose end is watched.
const childEnv = "OVERREACH_KAFKATEST_CHILD"

func TestABrokerDiesWithTheTestsProcessHoweverThatEnds(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		fmt.Println(Start(t, Options{Own: true}).Addrs()[0])
		select {} // until it is killed
	}
	if _, must := image(); must && os.Getenv("TESTCONTAINERS_RYUK_DISABLED") == "true" {
		t.Skip("containers end with the process by testcontainers' reaper, which is disabled")
	}
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), childEnv+"=1", "TMPDIR="+t.TempDir()) // it cannot clean up
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Skipf("the child has no broker: %s", addr)
	}
	if err := errors.Join(err, child.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimSpace(addr))
		if err != nil {
			return // it is gone
		}
		_ = conn.Close() // nothing was sent
		if time.Now().After(deadline) {
			t.Fatalf("the broker at %s outlived the test's process", strings.TrimSpace(addr))
		}
	}
}

// produce sends values to partition 0, each in a batch of its own.
func produce(t *testing.T, addrs []string, topic string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, v := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// consume returns the first n values of partition 0.
func consume(t *testing.T, addrs []string, topic string, n int) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var values []string
	for len(values) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestWhoComesByTheDetourStaysOnIt(t *testing.T) {
	c := Start(t, Options{Detour: true})
	topic := c.CreateTopic("access", 1, nil)
	detour := c.Detours()[0]
	listener, err := net.Listen("tcp", detour.From)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // what it let in is closed below
	passed := make(chan int64, 100)
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", detour.To)
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				_, _ = io.Copy(in, out) // until either ends
				_ = in.Close()
			}()
			go func() {
				n, _ := io.Copy(out, in) // until either ends
				_ = out.Close()
				passed <- n
			}()
		}
	}()
	bytes := make([]byte, 100_000)
	_, _ = rand.Read(bytes) // it never fails, and cannot be compressed
	value := string(bytes)
	produce(t, []string{detour.From}, topic, value)
	if got := consume(t, c.Addrs(), topic, 1); got[0] != value {
		t.Errorf("%d bytes arrived", len(got[0]))
	}
	for timeout := time.After(10 * time.Second); ; {
		select {
		case n := <-passed:
			if n > int64(len(value)) {
				return
			}
		case <-timeout:
			t.Fatal("the record did not come by the detour")
		}
	}
}
