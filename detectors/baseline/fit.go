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
	per    int // buckets a day
}

// tail is one side of what residuals do: a Student-t, and beyond it the greatest
// of each day as a Gumbel (Fisher and Tippett, 1928), where days enough were seen.
type tail struct {
	centre, scale, nu float64
	daily, width      float64 // of the Gumbel; width 0: unknown
}

const (
	residualDays = 28   // that noise is learnt from
	shrink       = 30   // events that a level or a slot must have seen to stand for itself
	loud         = 30   // times the middle: clipped in a day's mean
	smallMean    = 20   // events at which negative binomial and Student-t count alike
	fewNu        = 6    // degrees of freedom before anything is known of the tail
	fewResiduals = 200  // residuals as good as that
	fewDays      = 5    // days before their greatest residuals are thought of
	floorUnit    = 0.01 // of the level: the grain of what is measured, not counted
)

func fit(s Series, at int, w *Scratch) (model, bool) {
	n := len(s.Value)
	per := int(max(day/s.Step, 1))
	m := model{hour: int(hour / s.Step), unit: s.Unit, bias: 1, per: per}
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
	w.rootLevel = resize(w.rootLevel, count+1)
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
		w.rootLevel[j+1] = math.Sqrt(w.level[j+1])
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
		if season != None && (slots == 1 || n < 2*slots) {
			continue
		}
		miss, got, stride := 0.0, 0, max(slots, per)
		for i0 := 0; i0 < min(stride, n); i0++ {
			k := (m.first + i0) % slots
			if season == None {
				f[0] = 1
			} else {
				f[k] = 1
				if season == Weekly {
					f[k] = w.factor[Daily][k%per]
				}
				w.slot = w.slot[:0]
				events := 0.0
				for i, b := i0, (at-1-i0)/per+1; i < n; i, b = i+stride, b-stride/per {
					if !isUnknown(w.root[i]) {
						w.slot = append(w.slot, s.Value[i]/w.level[b])
						events += w.level[b]
					}
				}
				if len(w.slot) > 0 {
					own := middle(w.slot, 0.5)
					f[k] = (own*events + f[k]*shrink*s.Unit) / (events + shrink*s.Unit)
				}
			}
			root := math.Sqrt(f[k])
			for i, b := i0, (at-1-i0)/per+1; i < n; i, b = i+stride, b-stride/per {
				if d := math.Abs(w.root[i]/w.rootLevel[b] - root); d < 1 {
					miss += d
					got++
				} else if d >= 1 {
					miss++
					got++
				}
			}
		}
		miss = miss / float64(got) * inSample(float64(n)/float64(slots))
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
	if s.Unit > 0 && sumMu > 0 {
		m.bias = math.Min(math.Max((sumX+s.Unit)/(sumMu+s.Unit), 0.5), 2)
	}
	// Each residual's own φ, as if it were one deviation off; 68% are less than that.
	w.z = resize(w.z, n)[:0]
	for i := from; i < n; i++ {
		if !isUnknown(w.root[i]) {
			mu := math.Max(w.mu[i]*m.bias, m.least)
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
	w.z = w.z[:0]
	w.slot = resize(w.slot, 2*n)
	tops, bottoms := w.slot[:0:n], w.slot[n:n:2*n]
	top, bottom := math.Inf(-1), math.Inf(-1)
	for i := from; i < n; i++ {
		if !isUnknown(w.root[i]) {
			z := m.even(s.Value[i]) - m.even(w.mu[i])
			w.z = append(w.z, z)
			top, bottom = math.Max(top, z), math.Max(bottom, -z)
		}
		if (at-1-i)%per == 0 && !math.IsInf(top, -1) {
			tops, bottoms = append(tops, top), append(bottoms, bottom)
			top, bottom = math.Inf(-1), math.Inf(-1)
		}
	}
	got := float64(len(w.z))
	wide := inSample(float64(n)/float64(len(q))) * math.Sqrt(1+2/m.days)
	quantile := func(p float64) float64 { return selectRank(w.z, int(p*(got-1)+0.5)) }
	half := quantile(0.5)
	m.up = newTail(half, quantile(0.84)-half, quantile(0.975)-half, wide, got)
	m.down = newTail(-half, half-quantile(0.16), half-quantile(0.025), wide, got)
	m.up.days(tops, wide)
	m.down.days(bottoms, wide)
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

// even is the scale on which a variance of unit·μ + φ·μ² is the same everywhere:
// ∫dx/√(unit·x+φ·x²) = 2/√φ·asinh(√(φ·x/unit)) (Anscombe, 1948).
func (m *model) even(x float64) float64 {
	y := m.phi * (x/m.unit + 0.375)
	return 2 / math.Sqrt(m.phi) * math.Log(math.Sqrt(y)+math.Sqrt(1+y))
}

// uneven is the inverse of even.
func (m *model) uneven(z float64) float64 {
	y := math.Sinh(math.Max(z, 0) * math.Sqrt(m.phi) / 2)
	return math.Max(m.unit*(y*y/m.phi-0.375), 0)
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
	p := m.up.above(z, m.per)
	if events := mu / m.unit; events < 50*smallMean {
		share := 1 / (1 + events/smallMean)
		p = share*negativeBinomialAbove(math.Ceil(x/m.unit), events, m.phi) + (1-share)*p
	}
	return p
}

// below is the chance of x or less where mu is expected.
func (m *model) below(mu, x float64) float64 {
	return m.down.above(m.even(mu)-m.even(x), m.per)
}

// quantile is where a chance of band lies above (side 1) or below (side -1): a
// few steps of regula falsi (Illinois) on the logarithm of the chance.
func (m *model) quantile(mu float64, side int) float64 {
	centre := m.even(mu)
	value := func(d float64) float64 { return m.uneven(centre + float64(side)*d) }
	miss := func(d float64) float64 {
		if side > 0 {
			return math.Log(m.above(mu, value(d))+1e-300) - math.Log(band)
		}
		return math.Log(m.below(mu, value(d))+1e-300) - math.Log(band)
	}
	lo, hi := 0.0, 3.0
	flo, fhi := miss(lo), miss(hi)
	if flo <= 0 {
		return mu
	}
	for i := 0; i < 12 && fhi > 0; i++ {
		lo, flo, hi = hi, fhi, hi*1.7
		fhi = miss(hi)
	}
	for range 6 {
		if fhi >= 0 {
			break
		}
		mid := (lo*fhi - hi*flo) / (fhi - flo)
		f := miss(mid)
		if math.Abs(f) < 0.02 {
			return value(mid)
		}
		if f > 0 {
			lo, flo = mid, f
			fhi /= 2
		} else {
			hi, fhi = mid, f
			flo /= 2
		}
	}
	return value(hi)
}
