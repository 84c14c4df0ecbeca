package consumer

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/overreach/overreach/schema"
)

// Metrics are what ingest tells Prometheus. None has a label that a producer
// could choose.
type Metrics struct {
	lag        *prometheus.GaugeVec
	open       *prometheus.GaugeVec
	owned      *prometheus.GaugeVec
	headroom   *prometheus.GaugeVec
	near       *prometheus.GaugeVec
	records    *prometheus.CounterVec
	events     *prometheus.CounterVec
	rejects    *prometheus.CounterVec
	filtered   *prometheus.CounterVec
	missing    *prometheus.CounterVec
	unreadable *prometheus.CounterVec // attempts
	passed     *prometheus.CounterVec
	stands     *prometheus.GaugeVec
	flush      *prometheus.HistogramVec
	keys       *prometheus.GaugeVec
	rebalances prometheus.Counter
	stopped    prometheus.Gauge
	servers    map[string]*serverMetrics
}

// serverMetrics are those of calls to one server.
type serverMetrics struct {
	errors *prometheus.CounterVec // by kind
	since  atomic.Int64           // when it was last known to answer, in ns since 1970; 0 while it does
}

func (s *serverMetrics) failed(kind string) { s.errors.WithLabelValues(kind).Inc() }

// away notes since when the server has been away; the zero time: it is not.
func (s *serverMetrics) away(since time.Time) {
	if since.IsZero() {
		s.since.Store(0)
		return
	}
	s.since.Store(since.UnixNano())
}

func (s *serverMetrics) awayFor() float64 {
	if since := s.since.Load(); since != 0 {
		return time.Since(time.Unix(0, since)).Seconds()
	}
	return 0
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		lag:        gauge("overreach_lag_records", "Records of a partition that have not been counted yet.", "topic", "partition"),
		open:       gauge("overreach_open_transaction_records", "Offsets of a partition that nobody may read before a transaction ends.", "topic", "partition"),
		owned:      gauge("overreach_partitions_owned", "Partitions of a topic that the group has given to this instance. 0 of all topics: it stands by.", "topic"),
		headroom:   gauge("overreach_retention_headroom_records", "Records that Kafka may still delete of a partition before it deletes one that has not been counted; below 0 it has deleted so many.", "topic", "partition"),
		near:       gauge("overreach_retention_near", "1 where Kafka's retention is about to delete records of a partition that have not been counted, or does so.", "topic", "partition"),
		records:    counter("overreach_records_total", "Records counted.", "topic"),
		events:     counter("overreach_events_total", "Events counted: accesses and attempts.", "topic"),
		rejects:    counter("overreach_rejects_total", "Items that did not become events.", "topic", "reason"),
		filtered:   counter("overreach_filtered_total", "Items that a mapping's filter left out.", "topic"),
		missing:    counter("overreach_missing_records_total", "Offsets that Kafka no longer had when they were to be read.", "topic"),
		unreadable: counter("overreach_unreadable_errors_total", "Attempts to read a record batch that could not be decoded.", "topic", "kind"),
		passed:     counter("overreach_unreadable_records_total", "Offsets that were passed since their records could not be decoded.", "topic"),
		stands:     gauge("overreach_partition_unreadable", "1 while a partition stands before records that cannot be decoded.", "topic", "partition"),
		flush: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "overreach_flush_seconds", Help: "How long a batch takes from its pin until its marker is written.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}, []string{"topic"}),
		keys:       gauge("overreach_batch_keys", "Usage keys and minutes in the last batch of a partition.", "topic", "partition"),
		rebalances: prometheus.NewCounter(prometheus.CounterOpts{Name: "overreach_rebalances_total", Help: "Generations of the group that this instance took part in."}),
		stopped:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "overreach_partitions_stopped", Help: "Partitions that stand still because their topic is another one now."}),
	}
	errors := counter("overreach_server_errors_total", "Calls to Kafka or ClickHouse that failed, by kind of error; they are made again.", "server", "kind")
	m.servers = map[string]*serverMetrics{}
	for _, server := range []string{"kafka", "clickhouse"} {
		s := &serverMetrics{errors: errors.MustCurryWith(prometheus.Labels{"server": server})}
		for _, kind := range networkKinds {
			s.errors.WithLabelValues(kind)
		}
		m.servers[server] = s
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "overreach_server_away_seconds", Help: "How long Kafka or ClickHouse has not answered as it should; 0 where it does.",
			ConstLabels: prometheus.Labels{"server": server},
		}, s.awayFor))
	}
	r.MustRegister(errors, m.lag, m.open, m.owned, m.headroom, m.near, m.records, m.events, m.rejects, m.filtered, m.missing, m.unreadable, m.passed, m.stands, m.flush, m.keys, m.rebalances, m.stopped)
	return m
}

// begin shows the topics of an instance that owns nothing yet: a rate of nothing is
// 0, not absent.
func (m *Metrics) begin(topics []Topic) {
	for _, t := range topics {
		m.owned.WithLabelValues(t.Name).Set(0)
		for _, c := range []*prometheus.CounterVec{m.records, m.events, m.filtered, m.missing, m.passed} {
			c.WithLabelValues(t.Name)
		}
		for _, kind := range kinds {
			m.unreadable.WithLabelValues(t.Name, string(kind))
		}
	}
}

// forget drops what was polled of a partition.
func (m *Metrics) forget(partition prometheus.Labels) {
	for _, g := range []*prometheus.GaugeVec{m.lag, m.open, m.headroom, m.near} {
		g.Delete(partition)
	}
}

// counted adds what a flushed batch held.
func (m *Metrics) counted(topic string, c *counts, rejects *schema.RejectRows) {
	m.records.WithLabelValues(topic).Add(float64(c.records))
	m.events.WithLabelValues(topic).Add(float64(c.events))
	m.filtered.WithLabelValues(topic).Add(float64(c.filtered))
	m.missing.WithLabelValues(topic).Add(float64(c.missing))
	m.passed.WithLabelValues(topic).Add(float64(c.unreadable))
	for _, reason := range rejects.Reason {
		m.rejects.WithLabelValues(topic, reason).Inc()
	}
}
