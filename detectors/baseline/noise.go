package baseline

import "math"

// inSample is how much smaller a residual looks where its own value had a part
// in the mean of n that it is held against: √((n+1)/(n-1)).
func inSample(n float64) float64 {
	n = math.Max(n, 1.5)
	return math.Sqrt((n + 1) / (n - 1))
}

// noise learns from the last four weeks' residuals.
func (m *model) noise(s Series, at, per int, w *Scratch) {
	n := len(s.Value)
	from := max(at-residualDays*per, 0)
	w.mu = resize(w.mu, n)
	q := m.factor
	sumX, sumMu := 0.0, 0.0
	k, b, left := (m.first+from)%len(q), (at-1-from)/per+1, (at-1-from)%per+1
	for i := from; i < n; i++ {
		mu := w.level[b] * q[k]
		if mu < m.least {
			mu = m.least
		}
		w.mu[i] = mu
		if k++; k == len(q) {
			k = 0
		}
		if left--; left == 0 {
			left, b = per, b-1
		}
		if x := s.Value[i]; !isUnknown(w.root[i]) && x <= 4*mu+8*m.unit {
			sumX += x
			sumMu += mu
		}
	}
	ratio := math.Min(math.Max((sumX+m.unit)/(sumMu+m.unit), 0.5), 2)
	if s.Unit > 0 {
		m.bias = ratio
	}
	if m.season != None {
		m.level /= ratio // relevel's is a mean, those of the history were centres
	}
	// Each residual's own φ, as if it were one deviation off; 68% are less than that.
	// The idle hours of what runs in batches say nothing of the noise of the runs.
	w.z = resize(w.z, n)[:0]
	idle := idleShare * m.level * m.bias
	for i := from; i < n; i++ {
		if w.mu[i] *= m.bias; w.mu[i] < idle {
			w.mu[i] = math.NaN()
			continue
		}
		if !isUnknown(w.root[i]) {
			mu := w.mu[i]
			if mu < m.least {
				mu = m.least
			}
			w.mu[i] = mu
			r := s.Value[i] - mu
			w.z = append(w.z, (r*r-m.unit*mu)/(mu*mu))
		}
	}
	if len(w.z) == 0 {
		m.phi, m.up, m.down = 1, newTail(0, 0, 0, 1, 0), newTail(0, 0, 0, 1, 0)
		return
	}
	m.phi = math.Min(math.Max(selectRank(w.z, len(w.z)*683/1000), 1e-6), 25)
	if s.Unit > 0 {
		m.countPhi(s, from, w)
	}
	w.z = w.z[:0]
	w.slot = resize(w.slot, 2*n)
	tops, bottoms := w.slot[:0:n], w.slot[n:n:2*n]
	top, bottom := math.Inf(-1), math.Inf(-1)
	slope, offset, scale := m.phi/m.unit, m.phi*0.375, 2/math.Sqrt(m.phi)
	for i := from; i < n; i++ {
		if !isUnknown(w.root[i]) && !isUnknown(w.mu[i]) {
			x, mu := slope*s.Value[i]+offset, slope*w.mu[i]+offset
			// even(value) - even(expected), with one logarithm.
			z := scale * math.Log((math.Sqrt(x)+math.Sqrt(1+x))/(math.Sqrt(mu)+math.Sqrt(1+mu)))
			w.z = append(w.z, z)
			if z > top {
				top = z
			}
			if -z > bottom {
				bottom = -z
			}
		}
		if (at-1-i)%per == 0 && !math.IsInf(top, -1) {
			tops, bottoms = append(tops, top), append(bottoms, bottom)
			top, bottom = math.Inf(-1), math.Inf(-1)
		}
	}
	w.z = withoutEpisodes(w.z)
	got := float64(len(w.z))
	wide := inSample(float64(n)/float64(len(q))) * math.Sqrt(1+2/m.days)
	// Outwards from the middle, so that each search has less to look through.
	var q025, q16, half, q84, q975 float64
	if last := len(w.z) - 1; last >= 0 {
		rank := func(share float64) int { return int(share*float64(last) + 0.5) }
		half = selectRank(w.z, rank(0.5))
		upper := rank(0.5)
		q84 = selectRank(w.z[upper:], rank(0.84)-upper)
		q975 = selectRank(w.z[rank(0.84):], rank(0.975)-rank(0.84))
		q16 = selectRank(w.z[:upper+1], rank(0.16))
		q025 = selectRank(w.z[:rank(0.16)+1], rank(0.025))
	}
	m.up = newTail(half, q84-half, q975-half, wide, got)
	m.down = newTail(-half, half-q16, half-q025, wide, got)
	m.up.days(tops, wide)
	m.down.days(bottoms, wide)
}

// countPhi is φ from moments, where skew hides it from the middle of the
// residuals, as it does in small counts; each counts as three deviations at most.
func (m *model) countPhi(s Series, from int, w *Scratch) {
	over, square := 0.0, 0.0
	for i := from; i < len(s.Value); i++ {
		if mu := w.mu[i]; !isUnknown(w.root[i]) && !isUnknown(mu) {
			r := s.Value[i] - mu
			over += math.Min(r*r, 9*(m.unit*mu+m.phi*mu*mu)) - m.unit*mu
			square += mu * mu
		}
	}
	m.counts = math.Min(math.Max(over/square, m.phi), 25)
}

// withoutEpisodes takes out runs of three or more residuals that lie far off on
// the same side: what lasts is an episode, however heavy the noise's tail.
func withoutEpisodes(z []float64) []float64 {
	kept, run, side := z[:0], 0, 0
	for _, x := range z {
		now := 0
		if math.Abs(x) > episode {
			now = int(math.Copysign(1, x))
		}
		if now == 0 || now != side {
			run = 0
		}
		side = now
		switch {
		case now != 0 && run == 2:
			kept, run = kept[:len(kept)-2], 3
		case now != 0 && run > 2:
		default:
			kept = append(kept, x)
			if now != 0 {
				run++
			}
		}
	}
	return kept
}

// newTail fits one side of a Student-t to how far the 84% and 97.5% quantiles
// lie from the centre; their ratio says how heavy the tail is.
func newTail(centre, near, far, wide, n float64) tail {
	inv := 1.0 / fewNu
	if near > 0 {
		own := 1 / (0.8 + 1.6/math.Max(far/near-1.97, 0.05))
		inv = (inv*fewResiduals + own*n) / (fewResiduals + n)
	}
	t := tail{centre: centre, nu: math.Min(math.Max(1/inv, 2), 30)}
	one := 0.9945 + 0.5/t.nu + 0.36/(t.nu*t.nu) // the 84% quantile of a Student-t
	t.scale = math.Max(near/one, 0.5) * wide
	return t
}

// days fits the Gumbel to the median and upper quartile of the days' greatest
// residuals: what up to a quarter of the days did is not learnt.
func (t *tail) days(greatest []float64, wide float64) {
	if len(greatest) < fewDays {
		return
	}
	insertionSort(greatest)
	half, upper := greatest[len(greatest)/2], greatest[len(greatest)*3/4]
	t.width = math.Max((upper-half)/0.8794, 0.3) * wide // -ln(-ln .75) + ln(-ln .5)
	t.daily = half + 0.3665*t.width*-1                  // the median is 0.3665 widths above
}

// above is the chance of a residual of z or more, on a scale of buckets of which
// a day has per.
func (t *tail) above(z float64, per int) float64 {
	p := studentAbove((z-t.centre)/t.scale, t.nu)
	if t.width > 0 && z > t.daily {
		p = math.Max(p, -math.Expm1(-math.Exp(-(z-t.daily)/t.width))/float64(per))
	}
	return p
}

// quantile is the residual that a share of band exceeds: the Student-t's by the expansion
// of Cornish and Fisher (Abramowitz and Stegun, 1964, 26.7.5), which is 2% short at two
// degrees of freedom and less at more, or the Gumbel's where that is farther off.
func (t *tail) quantile(per int) float64 {
	const (
		z  = 2.3263478740408408 // the normal distribution's
		z2 = z * z
		a  = z * (z2 + 1) / 4
		b  = z * ((5*z2+16)*z2 + 3) / 96
		c  = z * (((3*z2+19)*z2+17)*z2 - 15) / 384
		d  = z * ((((79*z2+776)*z2+1482)*z2-1920)*z2 - 945) / 92160
	)
	n := 1 / t.nu
	far := t.centre + t.scale*(z+n*(a+n*(b+n*(c+n*d))))
	if share := band * float64(per); t.width > 0 && share < 1 {
		if g := t.daily - t.width*math.Log(-math.Log1p(-share)); g > t.daily {
			far = math.Max(far, g)
		}
	}
	return far
}
