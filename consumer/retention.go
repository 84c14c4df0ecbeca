package consumer

// Retention comes near where, of all that the log holds, less than one record in
// nearRetention lies between its start and what is read next, and is far again
// where one in farRetention does. Lag grows for hours before that: it is the last
// warning, not the first.
const (
	nearRetention = 10
	farRetention  = 5
)

// behind notes how far reading is behind the end of the log and ahead of its
// start, and says so once where retention is about to overtake it.
func (p *partition) behind(c *chunk) {
	lag, ahead := max(0, c.end-p.batch.from), max(0, p.batch.from-c.first)
	p.metrics.lag.WithLabelValues(p.topic.Name, p.label).Set(float64(lag))
	p.metrics.headroom.WithLabelValues(p.topic.Name, p.label).Set(float64(ahead))
	p.metrics.open.WithLabelValues(p.topic.Name, p.label).Set(float64(c.open))
	held := c.end - c.first
	switch {
	case !p.near && near(c, p.batch.from):
		p.near = true
		p.log.Warn().Int64("next", p.batch.from).Int64("log_start", c.first).Int64("log_end", c.end).
			Msg("Kafka deletes records of this partition not far behind where it is read: what it deletes before it is counted is lost; give the topic a longer retention until the lag is worked off")
	case p.near && (lag == 0 || ahead > held/farRetention):
		p.near = false
		p.log.Info().Int64("next", p.batch.from).Int64("log_start", c.first).Msg("reading is well ahead of what Kafka deletes again")
	}
}

// near reports whether retention, which has begun to delete, is about to reach
// an offset.
func near(c *chunk, next int64) bool {
	return c.first > 0 && next < c.end && next-c.first < (c.end-c.first)/nearRetention
}
