package baseline

import "math"

// model is a baseline fitted to a history, without what depends on the observed.
type model struct {
	days   float64
	hour   int // buckets
	level  float64
	season Season
	factor []float64 // of the season, one a slot
	first  int       // slot of bucket 0
	bias   float64   // mean over centre, for small counts
	least  float64   // an expectation is never less
	unit   float64
	phi    float64
	up     tail
	down   tail
	z      []float64 // residuals on the even scale
	third  float64   // the greatest residual that was reached on three days
}

// tail is one side of a Student-t.
type tail struct{ centre, scale, nu float64 }

const (
	residualDays = 28   // that noise is learnt from
	shrink       = 30   // events that a level or a slot must have seen to stand for itself
	loud         = 30   // times the middle: clipped in a day's mean
	smallMean    = 20   // events at which negative binomial and Student-t count alike
	fewNu        = 6    // degrees of freedom before anything is known of the tail
	fewResiduals = 200  // residuals as good as that
	floorUnit    = 0.01 // of the level: the grain of what is measured, not counted
)

func fit(s Series, at int, w *Scratch) (model, bool) {
	n := len(s.Value)
	per := int(max(day/s.Step, 1))
	m := model{hour: int(hour / s.Step), unit: s.Unit, bias: 1}
	m.first = int(floorDiv(s.Start, s.Step) % int64(per*week))
	if m.first < 0 {
		m.first += per * week
	}
	w.root = resize(w.root, n)
	known, rootSum := 0, 0.0
	for i, x := range s.Value {
		if s.Known != nil && !s.Known[i] || !(x >= 0) || x > 1e300 {
			w.root[i] = math.NaN()
			continue
		}
		w.root[i] = math.Sqrt(x)
		rootSum += w.root[i]
		known++
	}
	m.days = float64(known) / float64(per)
	if known < per || known < 12 {
		return m, false
	}
	if !m.levels(s, at, per, loud*rootSum/float64(known)*rootSum/float64(known)+8*s.Unit, known, w) {
		return m, false
	}
	m.seasons(s, at, per, w)
	m.noise(s, at, per, w)
	return m, true
}

// levels gives each day, counted back from at, the level of the seven before it.
func (m *model) levels(s Series, at, per int, clip float64, known int, w *Scratch) bool {
	n := len(s.Value)
	count := (at + per - 1) / per
	w.blocks = resize(w.blocks, count)
	all := 0.0
	for j := range w.blocks {
		sum, got := 0.0, 0
		for i := max(at-per*(j+1), 0); i < min(at-per*j, n); i++ {
			if !isUnknown(w.root[i]) {
				sum += math.Min(s.Value[i], clip)
				got++
			}
		}
		all += sum
		w.blocks[j] = math.NaN()
		if got*4 >= per*3 {
			w.blocks[j] = sum / float64(got)
		}
	}
	w.slot = resize(w.slot, count)[:0]
	for _, b := range w.blocks {
		if !isUnknown(b) {
			w.slot = append(w.slot, b)
		}
	}
	long := all / float64(known)
	if k := len(w.slot); k > 0 {
		insertionSort(w.slot)
		kept := w.slot[:k-k/20]
		sum := 0.0
		for _, b := range kept {
			sum += b
		}
		long = sum / float64(len(kept))
	}
	grain := s.Unit
	if grain == 0 {
		grain = floorUnit * long
		m.unit = grain
	}
	m.least = math.Max(grain/float64(known), 1e-12)
	long = math.Max(long, m.least)
	w.level = resize(w.level, count+1)
	for j := -1; j < count; j++ {
		w.slot = w.slot[:0]
		for k := j + 1; k < count && k <= j+week; k++ {
			if !isUnknown(w.blocks[k]) {
				w.slot = append(w.slot, w.blocks[k])
			}
		}
		for k := j; k >= 0 && len(w.slot) < 3; k-- {
			if !isUnknown(w.blocks[k]) {
				w.slot = append(w.slot, w.blocks[k])
			}
		}
		l := long
		if k := len(w.slot); k > 0 {
			insertionSort(w.slot)
			cut := (k - 1) / 3
			if k == 3 {
				cut = 1
			}
			sum := 0.0
			for _, b := range w.slot[cut : k-cut] {
				sum += b
			}
			l = sum / float64(k-2*cut)
			seen := l * float64(k*per)
			if s.Unit > 0 {
				l = (l*seen + long*shrink*s.Unit) / (seen + shrink*s.Unit)
			}
		}
		w.level[j+1] = math.Max(l, m.least)
	}
	m.level = w.level[0]
	return true
}

// seasons estimates the factor of each slot of each season and keeps the season
// that is nearest to the history, allowing for how much each slot saw of itself.
func (m *model) seasons(s Series, at, per int, w *Scratch) {
	n := len(s.Value)
	best := math.Inf(1)
	for season := None; season <= Weekly; season++ {
		slots := [...]int{1, per, per * week}[season]
		w.factor[season] = resize(w.factor[season], slots)
		f := w.factor[season]
		if season == None {
			f[0] = 1
		} else if slots == 1 || n < 2*slots {
			continue
		}
		miss, got := 0.0, 0
		for k := 0; k < slots; k++ {
			i0 := (k - m.first) % slots
			if i0 < 0 {
				i0 += slots
			}
			if season != None {
				w.slot = w.slot[:0]
				events := 0.0
				for i := i0; i < n; i += slots {
					if !isUnknown(w.root[i]) {
						l := w.level[(at-1-i)/per+1]
						w.slot = append(w.slot, s.Value[i]/l)
						events += l
					}
				}
				f[k] = 1
				if season == Weekly {
					f[k] = w.factor[Daily][k%per]
				}
				if len(w.slot) > 0 {
					own := middle(w.slot, 0.5)
					f[k] = (own*events + f[k]*shrink*s.Unit) / (events + shrink*s.Unit)
				}
			}
			rf := math.Sqrt(f[k])
			for i := i0; i < n; i += slots {
				if !isUnknown(w.root[i]) {
					rl := math.Sqrt(w.level[(at-1-i)/per+1])
					miss += math.Min(math.Abs(w.root[i]-rl*rf)/rl, 1)
					got++
				}
			}
		}
		seen := float64(n) / float64(slots)
		miss = miss / float64(got) * inSample(seen)
		if miss < best {
			best, m.season, m.factor = miss, season, f
		}
	}
}

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
	w.z = resize(w.z, n)[:0]
	q := m.factor
	sumX, sumMu := 0.0, 0.0
	k := (m.first + from) % len(q)
	for i := from; i < n; i++ {
		l := w.level[(at-1-i)/per+1]
		w.mu[i] = math.Max(l*q[k], m.least)
		if k++; k == len(q) {
			k = 0
		}
		if x := s.Value[i]; !isUnknown(w.root[i]) && x <= 4*w.mu[i]+8*m.unit {
			sumX += x
			sumMu += w.mu[i]
		}
	}
	if s.Unit > 0 && sumMu > 0 {
		m.bias = math.Min(math.Max((sumX+s.Unit)/(sumMu+s.Unit), 0.5), 2)
	}
	// Each residual's own φ, as if it were one deviation off; 68% are less than that.
	for i := from; i < n; i++ {
		if !isUnknown(w.root[i]) {
			w.mu[i] = math.Max(w.mu[i]*m.bias, m.least)
			r := s.Value[i] - w.mu[i]
			w.z = append(w.z, (r*r-m.unit*w.mu[i])/(w.mu[i]*w.mu[i]))
		}
	}
	m.phi = math.Min(math.Max(selectRank(w.z, len(w.z)*683/1000), 1e-6), 25)
	w.z = w.z[:0]
	w.slot = resize(w.slot, n)[:0]
	for i := from; i < n; i++ {
		if !isUnknown(w.root[i]) {
			z := m.even(s.Value[i]) - m.even(w.mu[i])
			w.z = append(w.z, z)
			w.slot = append(w.slot, z)
		}
	}
	m.z = w.z
	m.third = thirdDay(w.z, per)
	got := float64(len(w.slot))
	wide := inSample(float64(n)/float64(len(q))) * math.Sqrt(1+2/m.days)
	quantile := func(p float64) float64 { return selectRank(w.slot, int(p*(got-1)+0.5)) }
	half := quantile(0.5)
	m.up = newTail(half, quantile(0.84)-half, quantile(0.975)-half, wide, got)
	m.down = newTail(-half, half-quantile(0.16), half-quantile(0.025), wide, got)
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

// thirdDay is the third greatest of the days' greatest residuals.
func thirdDay(z []float64, per int) float64 {
	var top [3]float64
	for i := range top {
		top[i] = math.Inf(-1)
	}
	for len(z) > 0 {
		k := min(per, len(z))
		best := math.Inf(-1)
		for _, x := range z[:k] {
			best = math.Max(best, x)
		}
		switch {
		case best > top[0]:
			top = [3]float64{best, top[0], top[1]}
		case best > top[1]:
			top = [3]float64{top[0], best, top[1]}
		case best > top[2]:
			top[2] = best
		}
		z = z[k:]
	}
	return top[2]
}

// even is the scale on which a variance of unit·μ + φ·μ² is the same everywhere:
// ∫dx/√(unit·x+φ·x²) (Anscombe, 1948).
func (m *model) even(x float64) float64 {
	return 2 / math.Sqrt(m.phi) * math.Asinh(math.Sqrt(m.phi*(x/m.unit+0.375)))
}

// at is the expectation of bucket i, in or after the history, at today's level.
func (m *model) at(i int) float64 {
	k := (m.first + i) % len(m.factor)
	if k < 0 {
		k += len(m.factor)
	}
	return math.Max(m.level*m.factor[k]*m.bias, m.least)
}

// above is the chance of x or more where mu is expected.
func (m *model) above(mu, x float64) float64 {
	z := m.even(math.Max(x-m.unit/2, 0)) - m.even(mu)
	p := studentAbove((z-m.up.centre)/m.up.scale, m.up.nu)
	if events := mu / m.unit; events < 50*smallMean {
		share := 1 / (1 + events/smallMean)
		p = share*negativeBinomialAbove(math.Ceil(x/m.unit), events, m.phi) + (1-share)*p
	}
	if z <= m.third {
		count := 1.0
		for _, r := range m.z {
			if r >= z {
				count++
			}
		}
		p = math.Max(p, count/float64(len(m.z)+1))
	}
	return p
}

// below is the chance of x or less where mu is expected.
func (m *model) below(mu, x float64) float64 {
	z := m.even(mu) - m.even(x)
	return studentAbove((z-m.down.centre)/m.down.scale, m.down.nu)
}

// quantile is where a chance of band lies above (side 1) or below (side -1).
func (m *model) quantile(mu float64, side int) float64 {
	chance := m.above
	lo, hi := mu, 2*mu+10*m.unit
	if side < 0 {
		chance = m.below
		lo, hi = 0, mu
	} else {
		for i := 0; i < 60 && chance(mu, hi) > band; i++ {
			lo, hi = hi, 2*hi
		}
	}
	for range 24 {
		mid := (lo + hi) / 2
		if (chance(mu, mid) > band) == (side > 0) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
