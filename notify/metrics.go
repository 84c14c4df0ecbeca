package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/overreach/overreach/schema"
)

// Metrics are what is counted about alerts.
type Metrics struct {
	firingNow  *prometheus.GaugeVec
	deliveries *prometheus.CounterVec
	failed     *prometheus.CounterVec
	oldest     *prometheus.GaugeVec
}

// NewMetrics registers the metrics of alerts.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		firingNow: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_alerts_firing", Help: "Alerts that fire, of the partners in this instance's slots. info: digests.",
		}, []string{"severity"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "overreach_alert_deliveries_total", Help: "Events that were delivered to a receiver, refused by it, given up, or overtaken: superseded before they were told.",
		}, []string{"receiver", "outcome"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "overreach_alert_attempts_failed_total", Help: "Requests to a receiver that failed, most of which are tried again.",
		}, []string{"receiver"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_alert_oldest_undelivered_seconds", Help: "Age of the oldest event that a receiver has not been told; 0: it was told everything.",
		}, []string{"receiver"}),
	}
	r.MustRegister(m.firingNow, m.deliveries, m.failed, m.oldest)
	return m
}

// begin shows a receiver from the start, so that a rule on it has something to
// compare with.
func (m *Metrics) begin(receiver string) {
	for _, o := range []schema.Outcome{schema.Delivered, schema.Refused, schema.GaveUp, schema.Overtaken} {
		m.deliveries.WithLabelValues(receiver, string(o))
	}
	m.failed.WithLabelValues(receiver)
	m.oldest.WithLabelValues(receiver)
}

func (m *Metrics) firing(alerts []*alert) {
	count := map[schema.Severity]int{schema.Critical: 0, schema.Warning: 0, info: 0}
	for _, a := range alerts {
		if a.fires() {
			count[a.Severity]++
		}
	}
	for severity, n := range count {
		m.firingNow.WithLabelValues(string(severity)).Set(float64(n))
	}
}

func (m *Metrics) delivery(receiver string, o schema.Outcome) {
	m.deliveries.WithLabelValues(receiver, string(o)).Inc()
}

func (m *Metrics) attemptFailed(receiver string) { m.failed.WithLabelValues(receiver).Inc() }

func (m *Metrics) undelivered(receiver string, oldest time.Duration) {
	m.oldest.WithLabelValues(receiver).Set(oldest.Seconds())
}
