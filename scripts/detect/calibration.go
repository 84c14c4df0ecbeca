package main

import (
	"math"

	"github.com/overreach/overreach/detectors/baseline"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// levels are where chances and scores are held against how often they come.
var levels = [...]float64{1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

// evenFrom is the first of the levels that the expected error is taken over: a
// tenth apart, from 0.1 on.
const evenFrom = 6

// calibration counts how often what has a chance of p comes, which should be p.
type calibration struct {
	n     int
	under [len(levels)]int
}

func (c *calibration) saw(p float64) {
	c.n++
	for i := len(levels) - 1; i >= 0 && p <= levels[i]; i-- {
		c.under[i]++
	}
}

func (c *calibration) add(o *calibration) {
	c.n += o.n
	for i := range c.under {
		c.under[i] += o.under[i]
	}
}

// share is how often what was as surprising as a level came.
func (c *calibration) share(level int) float64 {
	return float64(c.under[level]) / math.Max(float64(c.n), 1)
}

// expectedError is the expected calibration error: how far how often differs from
// how likely, on average over the tenths (Naeini et al., 2015).
func (c *calibration) expectedError() float64 {
	sum := 0.0
	for i := evenFrom; i < len(levels); i++ {
		sum += math.Abs(c.share(i) - levels[i])
	}
	return sum / float64(len(levels)-evenFrom)
}

// floor is what a bucket must usually hold for its chance to be counted: below it,
// the least that makes a surge decides, and ties do.
const floor = 20

// calibrate counts the chances of the hours in a question's scores, and the least score
// of each capability.
func (r *results) calibrate(q *usage.Question, scores []schema.Score, least map[string]float64) {
	for i := range scores {
		s := &scores[i]
		if s.Step != schema.Hourly || math.IsNaN(s.Observed) || s.Maturity == baseline.Learning.String() {
			continue
		}
		if s.Maturity == baseline.Mature.String() && q.Capability != "" {
			if before, ok := least[q.Capability]; !ok || s.Score < before {
				least[q.Capability] = s.Score
			}
		}
		if s.Low < floor {
			continue
		}
		if s.Maturity == baseline.Mature.String() {
			r.chances.saw(s.Chance)
		} else {
			r.thin.saw(s.Chance)
		}
	}
}
