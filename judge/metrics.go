package judge

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/overreach/overreach/schema"
)

// Metrics are what the judge counts about itself.
type Metrics struct {
	rounds          prometheus.Histogram
	watermarkAt     prometheus.Gauge
	lag             prometheus.Gauge
	delay           prometheus.Gauge
	strangers       prometheus.Gauge
	foldedNames     prometheus.Gauge
	changesReported *prometheus.CounterVec
	slots           prometheus.Gauge
	lastFinished    prometheus.Gauge
	unjudged        *prometheus.GaugeVec
	unjudgedFrom    *prometheus.GaugeVec
	stood           *prometheus.GaugeVec
	leftOut         *prometheus.GaugeVec
}

// NewMetrics registers the judge's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		rounds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "overreach_judge_round_seconds", Help: "How long a round of judging took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}),
		watermarkAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_watermark_seconds", Help: "Event time up to which everything has been seen, seconds since 1970.",
		}),
		delay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_delay_seconds", Help: "How long what was counted waited at most until the last round had judged it: since the round before began.",
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_watermark_delay_seconds", Help: "Event time between the latest event and the watermark.",
		}),
		strangers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_unregistered_partners", Help: "Unregistered partners that are judged by name.",
		}),
		foldedNames: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_unregistered_partners_folded", Help: "Unregistered partners past max_unregistered, which are not judged by name.",
		}),
		changesReported: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "overreach_judge_changes_total", Help: "What was told of findings.",
		}, []string{"detector", "change", "severity"}),
		lastFinished: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_last_round_timestamp_seconds", Help: "When the last round of judging ended well, seconds since 1970. A round without slots ends well, too.",
		}),
		slots: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overreach_judge_slots", Help: "Slots of partners that this instance judges. 0: it stands by.",
		}),
		unjudged: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_judge_unjudged_records", Help: "Offsets that are counted and that the cadence has not judged.",
		}, []string{"cadence"}),
		unjudgedFrom: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_judge_unjudged_since_timestamp_seconds", Help: "Since when a position of the cadence has not moved though there is something to judge, seconds since 1970. 0: there is nothing.",
		}, []string{"cadence"}),
		stood: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_judge_partition_stood_seconds", Help: "For how long the partition's own time has stood still while it was behind, at most time.stalled_after.",
		}, []string{"topic", "partition"}),
		leftOut: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "overreach_judge_partition_left_out", Help: "1 where the watermark leaves the partition out since it stands still, else 0.",
		}, []string{"topic", "partition"}),
	}
	r.MustRegister(m.unjudged, m.unjudgedFrom, m.stood, m.leftOut)
	r.MustRegister(m.rounds, m.watermarkAt, m.lag, m.delay, m.strangers, m.foldedNames, m.changesReported, m.lastFinished, m.slots)
	return m
}

func (m *Metrics) round(took, delay time.Duration, watermark, latest int64) {
	m.rounds.Observe(took.Seconds())
	m.delay.Set(delay.Seconds())
	m.watermarkAt.Set(float64(watermark))
	m.lag.Set(float64(latest - watermark))
	m.upToDate()
}

// upToDate notes that nothing waits to be judged that could have been.
func (m *Metrics) upToDate() { m.lastFinished.SetToCurrentTime() }

func (m *Metrics) unregistered(named int, folded uint64) {
	m.strangers.Set(float64(named))
	m.foldedNames.Set(float64(folded))
}

func (m *Metrics) reported(changes []schema.FindingChange) {
	for _, c := range changes {
		m.changesReported.WithLabelValues(c.Finding.Detector, string(c.Kind), string(c.Finding.Severity)).Inc()
	}
}

func (m *Metrics) cadence(cadence schema.Cadence, b behind) {
	m.unjudged.WithLabelValues(cadence.String()).Set(float64(b.offsets))
	since := 0.0
	if !b.since.IsZero() {
		since = float64(b.since.UnixMilli()) / 1000
	}
	m.unjudgedFrom.WithLabelValues(cadence.String()).Set(since)
}

func (m *Metrics) partition(p schema.Partition, s standing) {
	topic, number := topicOf(p.Incarnation), strconv.Itoa(int(p.Partition))
	m.stood.WithLabelValues(topic, number).Set(s.stood.Seconds())
	out := 0.0
	if s.out {
		out = 1
	}
	m.leftOut.WithLabelValues(topic, number).Set(out)
}

func (m *Metrics) forget(p schema.Partition) {
	topic, number := topicOf(p.Incarnation), strconv.Itoa(int(p.Partition))
	m.stood.DeleteLabelValues(topic, number)
	m.leftOut.DeleteLabelValues(topic, number)
}
