package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// shape is what a partner's ordinary traffic looks like. What is drawn here was
// fixed before any detector was measured.
type shape struct {
	level     float64 // visits an hour, of all usage keys
	swing     float64 // of the day: 0 is even, near 1 quiet nights
	peak      float64 // hour of the day
	weekend   float64 // Saturday and Sunday, as a share of other days
	growth    float64 // of a month, as e^growth
	daily     float64 // how much days differ: σ of a logarithm that remembers half of the day before
	phi       float64 // of an hour's negative binomial: variance = μ + φ·μ²
	tail      float64 // σ of a lognormal that each hour is multiplied by; 0: none
	bursts    float64 // share of hours multiplied by a Pareto variable of index 3
	batch     int     // runs in every so many hours alone; 0: goes on all day
	depth     float64 // accesses a visit
	size      float64 // bytes an access; 0: not told
	shift     int     // hour from which on the clock is an hour ahead; 0: never
	usageKeys []keyShape
	dayNoise  []float64
}

type keyShape struct {
	usageKey schema.UsageKey
	share    float64
}

func between(r *rand.Rand, low, high float64) float64 { return low + (high-low)*r.Float64() }

// logBetween draws evenly on a logarithmic scale.
func logBetween(r *rand.Rand, low, high float64) float64 {
	return math.Exp(between(r, math.Log(low), math.Log(high)))
}

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// drawShape draws an ordinary partner, small or big: of ten, two work in office
// hours, one or two in batches, three have heavy tails of one kind or another.
func drawShape(r *rand.Rand) *shape {
	s := &shape{
		level: logBetween(r, 0.5, 20_000), swing: between(r, 0, 0.9), peak: between(r, 0, 24), weekend: between(r, 0.6, 1.3),
		growth: between(r, -0.05, 0.15), daily: between(r, 0.02, 0.2), phi: logBetween(r, 0.003, 0.3),
		depth: logBetween(r, 1, 6),
	}
	switch k := r.IntN(20); {
	case k < 4: // office hours
		s.swing, s.weekend = 0.98, between(r, 0.05, 0.3)
	case k < 7:
		s.batch = []int{2, 4, 6, 12}[r.IntN(4)]
	}
	switch k := r.IntN(10); {
	case k < 2:
		s.tail = between(r, 0.2, 0.8)
	case k < 3:
		s.bursts = 0.01
	}
	if chance(r, 0.5) {
		s.size = logBetween(r, 200, 50_000)
	}
	capabilities := []string{"friends", "messaging"}[:1+r.IntN(10)/7]
	for _, c := range capabilities {
		apps := 1 + r.IntN(10)/7
		for a := range apps {
			s.usageKeys = append(s.usageKeys, keyShape{schema.UsageKey{Partner: "p", App: fmt.Sprintf("app-%d", a+1), Capability: c, Action: schema.Read}, between(r, 0.2, 1)})
		}
		if chance(r, 0.2) {
			s.usageKeys = append(s.usageKeys, keyShape{schema.UsageKey{Partner: "p", App: "app-1", Capability: c, Action: schema.Write}, between(r, 0.05, 0.5)})
		}
	}
	s.share()
	return s
}

// share makes the usage keys' shares add up to 1.
func (s *shape) share() {
	sum := 0.0
	for _, l := range s.usageKeys {
		sum += l.share
	}
	for i := range s.usageKeys {
		s.usageKeys[i].share /= sum
	}
}

// mean is how many visits are ordinary in an hour, by its number from begin on.
func (s *shape) mean(begin schema.Day, hour int) float64 {
	clock := hour
	if s.shift > 0 && hour >= s.shift {
		clock++
	}
	at := float64(clock % 24)
	mu := s.level * (1 + s.swing*math.Cos(2*math.Pi*(at-s.peak)/24))
	if s.batch > 0 {
		if (clock+int(s.peak))%s.batch != 0 {
			return 0
		}
		mu = s.level * float64(s.batch)
	}
	if weekday := (int(begin) + clock/24 + 4) % 7; weekday == 0 || weekday == 6 { // 1970 began on a Thursday
		mu *= s.weekend
	}
	return mu * math.Exp(s.growth*float64(hour)/(30*24))
}

// simulate makes a partner of a shape: its ordinary hours, in the first of which
// it begins, and a registry that allows all of it.
func simulate(r *rand.Rand, s *shape, begin schema.Day, days int) *partner {
	p := &partner{
		name: "p", begin: begin, hours: days * 24, shape: s,
		registry: &registry.Registry{Capabilities: map[string]registry.Capability{}, Partners: map[string]registry.Partner{}},
	}
	p.registry.Partners["p"] = registry.Partner{Name: "p", Owner: "owner@example.com", Purpose: "simulated", AgreementStart: begin - 400}
	for _, l := range s.usageKeys {
		p.grant(l.usageKey.Capability)
	}
	p.crowd(math.Max(50, s.level*24*logBetween(r, 0.3, 30)))
	p.turnover = logBetween(source(math.Float64bits(s.level), "turnover"), 0.001, 0.03)
	s.dayNoise = make([]float64, days+1)
	for d := range s.dayNoise {
		s.dayNoise[d] = s.daily * r.NormFloat64()
		if d > 0 {
			s.dayNoise[d] = 0.5*s.dayNoise[d-1] + math.Sqrt(0.75)*s.dayNoise[d]
		}
	}
	for _, l := range s.usageKeys {
		f := p.add(l.usageKey, 0)
		for h := range p.hours {
			p.visit(r, f, h, s.mean(begin, h)*l.share*math.Exp(s.dayNoise[h/24]-s.daily*s.daily/2))
		}
	}
	return p
}

// grant lets the partner do all of one capability.
func (p *partner) grant(capability string) {
	if _, ok := p.registry.Capabilities[capability]; ok {
		return
	}
	p.registry.Capabilities[capability] = registry.Capability{Name: capability}
	p.rights(func(e *registry.Partner) {
		e.Grants = append(e.Grants, registry.Grant{Capability: capability, Actions: schema.Actions[:], From: e.AgreementStart})
	})
}

// visit adds ordinary visits to an hour of a flow, so many on average.
func (p *partner) visit(r *rand.Rand, f *flow, hour int, mean float64) {
	s := p.shape
	if mean <= 0 {
		return
	}
	if s.tail > 0 {
		mean *= math.Exp(s.tail*r.NormFloat64() - s.tail*s.tail/2)
	}
	if s.bursts > 0 && chance(r, s.bursts) {
		mean *= math.Pow(1-r.Float64(), -1.0/3)
	}
	p.called(r, f, hour, counted(r, mean, s.phi))
}

// called adds so many visits with the accesses and bytes that they make.
func (p *partner) called(r *rand.Rand, f *flow, hour int, visits float64) {
	s := p.shape
	if visits == 0 {
		return
	}
	accesses := max(visits, math.Round(visits*s.depth*math.Exp(0.1*r.NormFloat64()/math.Sqrt(1+visits/20))))
	f.visits[hour] += visits
	f.accesses[hour] += accesses
	if s.size > 0 {
		f.bytes[hour] += math.Round(accesses * s.size * math.Exp(0.5*r.NormFloat64()/math.Sqrt(accesses)+0.05*r.NormFloat64()))
	}
}

// counted draws from a negative binomial of variance μ + φ·μ²: a Poisson whose
// mean is a gamma.
func counted(r *rand.Rand, mu, phi float64) float64 {
	if phi > 0 {
		mu *= gamma(r, 1/phi) * phi
	}
	if mu > 200 {
		return math.Max(0, math.Round(mu+math.Sqrt(mu)*r.NormFloat64()))
	}
	k, p, l := 0.0, r.Float64(), math.Exp(-mu)
	for p > l {
		k++
		p *= r.Float64()
	}
	return k
}

// gamma draws by the method of Marsaglia and Tsang (2000).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := r.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
