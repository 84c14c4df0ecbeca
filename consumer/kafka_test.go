package consumer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/overreach/overreach/schema"
)

func TestWhatIsWrongAtTheStartIsOneClearErrorWithinTenSeconds(t *testing.T) {
	open := broker(t, kfake.SeedTopics(1, "access"))
	closed := broker(t, kfake.SeedTopics(1, "access"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "us", "right"))
	wrong := testConfig(closed, "access")
	wrong.SASL = plain.Mechanism{Username: "us", Password: "wrong"}
	unknown := testConfig(open, "access", "nowhere")
	for want, cfg := range map[string]Config{
		"refused the user or the password":        wrong,
		`topic "nowhere"`:                         unknown,
		"no Kafka broker at 127.0.0.1:1 could be": testConfig("127.0.0.1:1", "access"),
		`start is ""`:                             {Brokers: []string{open}, Group: "g", Topics: []Topic{{Name: "access"}}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			c, _ := newTestConsumer(cfg, newMemory())
			began := time.Now()
			err := c.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Run returned %v, want an error with %q", err, want)
			}
			if time.Since(began) > 10*time.Second {
				t.Errorf("it took %s", time.Since(began))
			}
		})
	}
}

func TestSASLLetsIn(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "p", "secret"), kfake.Superuser("SCRAM-SHA-256", "s", "secret"), kfake.Superuser("SCRAM-SHA-512", "t", "secret"))
	s256, err := scram.Mechanism(scram.SHA256, "s", "secret")
	if err != nil {
		t.Fatal(err)
	}
	s512, err := scram.Mechanism(scram.SHA512, "t", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{"PLAIN": {SASL: plain.Mechanism{Username: "p", Password: "secret"}}, "SCRAM-SHA-256": {SASL: s256}, "SCRAM-SHA-512": {SASL: s512}} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(addr, "access")
			c.SASL = cfg.SASL
			r := start(t, c, newMemory())
			waitFor(t, "the partition to be assigned", func() bool { p, _ := r.Owned(); return len(p) == 1 })
		})
	}
}

func TestAPartitionThatNobodyKnowsStartsAsConfigured(t *testing.T) {
	addr := broker(t, kfake.SeedTopics(1, "access"))
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	events := someEvents(40)
	for i, e := range events[:30] {
		if _, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: "access", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(e.json()), Time: time.UnixMilli(day1 + 86400_000 + int64(i)*1000)})}); err != nil {
			t.Fatal(err)
		}
	}
	starts := map[string]Start{"earliest": {At: Earliest}, "latest": {At: Latest}, "since": {At: Since, Time: time.UnixMilli(day1 + 86400_000 + 20_000)},
		"since tomorrow": {At: Since, Time: time.Now().Add(24 * time.Hour)}}
	first := map[string]int{"earliest": 0, "latest": 30, "since": 20, "since tomorrow": 30}
	stores := map[string]*memory{}
	var all []*running
	for name, s := range starts {
		cfg := testConfig(addr, "access")
		cfg.Group, cfg.Start = name, s
		stores[name] = newMemory()
		r := start(t, cfg, stores[name])
		waitFor(t, "the line on the start", func() bool {
			return strings.Contains(r.log.String(), `"start":"`+cfg.Start.String()+`"`) && strings.Contains(r.log.String(), "starting as configured")
		})
		all = append(all, r)
	}
	// The start is committed before anything is read: what comes while nobody
	// runs is not skipped by the next start.
	for _, r := range all {
		r.stop()
	}
	for _, e := range events[30:] {
		produce(t, addr, 0, 0, e.json())
	}
	for name, s := range starts {
		cfg := testConfig(addr, "access")
		cfg.Group, cfg.Start = name, s
		r := start(t, cfg, stores[name])
		r.countedTo(t, stores[name])
		r.stop()
		sameTotals(t, stores[name].totals(t), oracle(events[first[name]:]))
	}
}

func TestAPartitionAddedLaterIsReadFromItsBeginning(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := broker(t, kfake.SeedTopics(1, "access"))
	events := someEvents(200)
	produce(t, addr, 0, 0, jsonOf(events[:100])...)
	m := newMemory()
	r := start(t, testConfig(addr, "access"), m)
	waitFor(t, "the partition to be assigned", func() bool { p, _ := r.Owned(); return len(p) == 1 })
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	res, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: "access", Count: 2}}})
	if err != nil || res.Errors["access"] != nil {
		t.Fatal(err, res)
	}
	waitFor(t, "both partitions to be assigned", func() bool {
		p, n := r.Owned()
		return slices.Equal(p, []int32{0, 1}) && n == 2
	})
	produce(t, addr, 1, 0, jsonOf(events[100:])...)
	waitFor(t, "all to be counted", func() bool { return m.chained(t).events == 200 })
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
}

// gate is a listener that can be shut: whoever is inside is thrown out, and
// whoever comes is turned away.
type gate struct {
	net.Listener
	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		shut := g.shut
		if !shut {
			g.conns = append(g.conns, c)
		}
		g.mu.Unlock()
		if !shut {
			return c, nil
		}
		_ = c.Close()
	}
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

func TestAnOutageOfKafkaIsSaidAndLosesNothing(t *testing.T) {
	t.Parallel() // it waits most of its time
	var g *gate
	addr := broker(t, kfake.SeedTopics(2, "access"), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
		g = &gate{Listener: l}
		return g, err
	}))
	events := someEvents(4000)
	produce(t, addr, 0, 0, jsonOf(events[:1000])...)
	m := newMemory()
	cfg := testConfig(addr, "access")
	cfg.Limits.Events = 150
	r := start(t, cfg, m)
	waitFor(t, "the first batches", func() bool { return m.chained(t).events > 300 })
	g.set(true)
	waitFor(t, "the line on the outage", func() bool { return strings.Contains(r.log.String(), "Kafka does not answer") })
	waits := func(what string) func() bool {
		return func() bool {
			return slices.ContainsFunc(r.Report().Stalls, func(s schema.Stall) bool {
				return s.What == what && strings.HasPrefix(s.Why, "waits for Kafka: ")
			})
		}
	}
	waitFor(t, "a partition to wait for Kafka", waits("access/1"))
	waitFor(t, "the group to wait for Kafka, once it has lost its coordinator", waits("consumer group overreach"))
	if away := r.metrics.servers["kafka"].awayFor(); away < 1 || r.metrics.servers["clickhouse"].awayFor() != 0 {
		t.Errorf("Kafka has been away for %v s", away)
	}
	g.set(false)
	produce(t, addr, 1, 0, jsonOf(events[1000:])...)
	r.countedTo(t, m)
	waitFor(t, "nothing to stand still", func() bool {
		return len(r.Report().Stalls) == 0 && r.metrics.servers["kafka"].awayFor() == 0
	})
	r.stop()
	sameTotals(t, m.totals(t), oracle(events))
	m.chained(t)
	if !strings.Contains(r.log.String(), "Kafka is back") {
		t.Errorf("that it is back was not said:\n%s", r.log.String())
	}
}

func TestTLSIsSpoken(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate of 127.0.0.1
	defer server.Close()
	addr := broker(t, kfake.SeedTopics(1, "access"), kfake.TLS(server.TLS.Clone()))
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	cfg := testConfig(addr, "access")
	cfg.TLS = &tls.Config{RootCAs: trusted}
	m := newMemory()
	r := start(t, cfg, m)
	waitFor(t, "the partition to be assigned", func() bool { p, _ := r.Owned(); return len(p) == 1 })
}
