package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// answered is an error that knows its kind, as those of ClickHouse do.
type answered string

func (a answered) Error() string { return "code 252 at 10.1.2.3:9000: " + string(a) }
func (a answered) Kind() string  { return string(a) }

func TestTheKindOfAnErrorHoldsNeitherOffsetsNorAddresses(t *testing.T) {
	for want, err := range map[string]error{
		"connection_refused":       fmt.Errorf("dialling: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		"connection_lost":          fmt.Errorf("reading from 10.0.0.1: %w", io.ErrUnexpectedEOF),
		"timeout":                  fmt.Errorf("fetching access/3 from offset 7: %w", context.DeadlineExceeded),
		"name_not_found":           &net.OpError{Op: "dial", Err: &net.DNSError{Name: "kafka", IsNotFound: true}},
		"tls":                      &tls.CertificateVerificationError{Err: errors.New("unknown authority")},
		"network":                  &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"not_leader_for_partition": fmt.Errorf("fetching access/3 from offset 7: %w", kafka.NotLeaderForPartition),
		"code_12345":               kafka.Error(12345),
		"too_many_parts":           fmt.Errorf("inserting: %w", answered("too_many_parts")),
		"other":                    errors.New("offset 7 of 10.0.0.1"),
	} {
		if got := kindOf(err); got != want {
			t.Errorf("%v is of kind %q, want %q", err, got, want)
		}
	}
}

func newTestOutage() (*outage, *Metrics, *syncBuffer) {
	log, m := &syncBuffer{}, NewMetrics(prometheus.NewRegistry())
	return newOutage("ClickHouse", m, zerolog.New(log)), m, log
}

func TestAnotherErrorDuringAnOutageIsSaidWhenItAppearsAndEachKindOnce(t *testing.T) {
	o, m, log := newTestOutage()
	var w waiter
	for i := range 5 {
		o.failed(&w, fmt.Errorf("insert %d: %w", i, syscall.ECONNREFUSED))
	}
	for i := range 5 {
		o.failed(&w, fmt.Errorf("insert %d: %w", i, answered("too_many_parts")))
		o.failed(&w, fmt.Errorf("insert %d: %w", i, syscall.ECONNREFUSED))
	}
	said := log.String()
	if strings.Count(said, "\n") != 2 || !strings.Contains(said, "does not answer as it should") ||
		!strings.Contains(said, "now with another error") || !strings.Contains(said, `"kind":"too_many_parts"`) {
		t.Errorf("two kinds of error were said as\n%s", said)
	}
	errs := gauges(t, m.servers["clickhouse"].errors)
	if errs["kind=connection_refused,server=clickhouse"] != 10 || errs["kind=too_many_parts,server=clickhouse"] != 5 {
		t.Errorf("the errors are counted as %v", errs)
	}
	if m.servers["clickhouse"].awayFor() <= 0 || m.servers["kafka"].awayFor() != 0 {
		t.Errorf("ClickHouse has been away for %v s, Kafka for %v s", m.servers["clickhouse"].awayFor(), m.servers["kafka"].awayFor())
	}
	o.answered(&w)
	if !strings.Contains(log.String(), "ClickHouse is back") || m.servers["clickhouse"].awayFor() != 0 {
		t.Error("that it is back is not said, or not exported")
	}
	o.failed(&w, syscall.ECONNREFUSED) // the next outage says it again
	if n := strings.Count(log.String(), "does not answer as it should"); n != 2 {
		t.Errorf("two outages are said %d times", n)
	}
}

func TestAnOutageLastsUntilNobodyWaits(t *testing.T) {
	o, m, log := newTestOutage()
	var a, b, c waiter
	o.failed(&a, io.EOF)
	o.failed(&b, io.EOF)
	since := time.Now()
	o.answered(&c) // a partition that has no trouble
	o.answered(&b)
	if strings.Contains(log.String(), "is back") || m.servers["clickhouse"].awayFor() == 0 {
		t.Error("it is said to be back while a caller waits for it")
	}
	if why, at := a.why(); why != "waits for ClickHouse: connection lost" || at.After(since) {
		t.Errorf("the caller says %q since %v", why, at)
	}
	o.left(&a) // its generation has ended, and nobody knows better yet
	if strings.Contains(log.String(), "is back") {
		t.Error("it is said to be back though nobody was answered since")
	}
	o.answered(&c)
	if strings.Count(log.String(), "is back") != 1 || m.servers["clickhouse"].awayFor() != 0 {
		t.Errorf("said:\n%s", log.String())
	}
}

func TestAWaiterWaitsForOneServerAtATime(t *testing.T) {
	o, m, log := newTestOutage()
	k := newOutage("Kafka", m, zerolog.New(log))
	var w waiter
	o.failed(&w, io.EOF)
	k.failed(&w, io.EOF)
	if why, _ := w.why(); why != "waits for Kafka: connection lost" {
		t.Errorf("it says %q", why)
	}
	k.answered(&w)
	o.answered(&w)
	if why, _ := w.why(); why != "" || o.waiting != 0 || k.waiting != 0 {
		t.Errorf("it says %q, and %d and %d callers wait", why, o.waiting, k.waiting)
	}
}
