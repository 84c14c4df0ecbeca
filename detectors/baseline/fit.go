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
	counts float64 // φ of the negative binomial; 0: the key is no count
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
	residualDays = 28    // that noise is learnt from
	idleShare    = 0.02  // of the level: hours that expect less say nothing of noise
	shrink       = 30    // events that a level or a slot must have seen to stand for itself
	apart        = 4     // times as far as counting makes them: slots that differ
	loud         = 30    // times the middle: clipped in a day's mean
	smallMean    = 20    // events at which negative binomial and Student-t count alike
	fewNu        = 6     // degrees of freedom before anything is known of the tail
	fewResiduals = 200   // residuals as good as that
	fewDays      = 5     // days before their greatest residuals are thought of
	fewBuckets   = 12    // buckets, however long, before anything is said
	greatest     = 1e100 // a greater value is unknown
	tiny         = 1e-12
	episode      = 4    // deviations: longer than two buckets beyond, it is no noise
	floorUnit    = 0.01 // of the level: the grain of what is measured, not counted
	near         = 0.02 // of the logarithm of a chance: as near as a band is searched for
)

func fit(s Series, at int, w *Scratch) (model, bool) {
	switch {
	case !(s.Unit > 0):
		s.Unit = 0
	default:
		s.Unit = math.Min(math.Max(s.Unit, tiny), 1/tiny)
	}
	if s.Step <= 0 || s.Known != nil && len(s.Known) < len(s.Value) {
		return model{}, false
	}
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
		if s.Known != nil && !s.Known[i] || !(x >= 0) || x > greatest {
			w.root[i] = math.NaN()
			continue
		}
		w.root[i] = math.Sqrt(x)
		rootSum += w.root[i]
		known++
	}
	m.days = float64(known) / float64(per)
	if known < per || known < fewBuckets || at-n > week*per {
		return m, false
	}
	mean := rootSum / float64(known)
	clip := loud*mean*mean + 8*s.Unit
	m.levels(s, at, per, clip, known, w)
	m.seasons(s, at, per, w)
	m.relevel(s, at, per, clip, w)
	m.noise(s, at, per, w)
	return m, true
}

// levels gives each day, counted back from at, the level of the seven before it.
func (m *model) levels(s Series, at, per int, clip float64, known int, w *Scratch) {
	n := len(s.Value)
	count := (at + per - 1) / per
	w.blocks = resize(w.blocks, count)
	all := 0.0
	for j := range w.blocks {
		sum, got := 0.0, 0
		for i := max(at-per*(j+1), 0); i < min(at-per*j, n); i++ {
			if !isUnknown(w.root[i]) {
				x := s.Value[i]
				if x > clip {
					x = clip
				}
				sum += x
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
		grain = math.Max(floorUnit*long, tiny)
		m.unit = grain
	}
	m.least = math.Max(grain/float64(known), tiny*tiny)
	long = math.Max(long, m.least)
	w.level = resize(w.level, count+1)
	w.inverse = resize(w.inverse, count+1)
	w.rootInverse = resize(w.rootInverse, count+1)
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
			l = (w.slot[(k-1)/2] + w.slot[k/2]) / 2
			seen := l * float64(k*per)
			if s.Unit > 0 {
				l = (l*seen + long*shrink*s.Unit) / (seen + shrink*s.Unit)
			}
		}
		w.level[j+1] = math.Max(l, m.least)
		w.inverse[j+1] = 1 / w.level[j+1]
		w.rootInverse[j+1] = math.Sqrt(w.inverse[j+1])
	}
	m.level = w.level[0]
}

// relevel takes today's level again, from what is left of each of the last seven
// days once the season is taken out: so that it does not matter which days, or
// which hours of them, are unknown.
func (m *model) relevel(s Series, at, per int, clip float64, w *Scratch) {
	if m.season == None {
		return
	}
	n := len(s.Value)
	w.slot = w.slot[:0]
	events := 0.0
	for j := range week {
		from := max(at-per*(j+1), 0)
		k := (m.first + from) % len(m.factor)
		sum, share, got := 0.0, 0.0, 0
		for i := from; i < min(at-per*j, n); i++ {
			if !isUnknown(w.root[i]) {
				f := m.factor[k]
				sum += math.Min(s.Value[i], math.Max(clip, 4*f*m.level))
				share += f
				got++
			}
			if k++; k == len(m.factor) {
				k = 0
			}
		}
		if got*3 >= per && share > tiny {
			w.slot = append(w.slot, sum/share)
			events += sum
		}
	}
	if k := len(w.slot); k >= 3 {
		insertionSort(w.slot)
		own := (w.slot[(k-1)/2] + w.slot[k/2]) / 2
		m.level = math.Max((own*events+m.level*shrink*s.Unit)/(events+shrink*s.Unit+tiny), m.least)
	}
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
		if season == None {
			f[0] = 1
		} else {
			m.factors(s, at, per, season, w)
		}
		miss, got := 0.0, 0
		for i0, stride := 0, max(slots, per); i0 < min(stride, n); i0++ {
			root := math.Sqrt(f[(m.first+i0)%slots])
			for i, b := i0, (at-1-i0)/per+1; i < n; i, b = i+stride, b-stride/per {
				if d := math.Abs(w.root[i]*w.rootInverse[b] - root); d < 1 {
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

// factors estimates the factor of each slot of a season: its own mean, drawn to
// what the coarser season says of it by shrink events, of which each slot has
// seen or missed its own. Where hours differ far more than counting makes them, as
// with jobs, by a variance of τ², it is by 1/τ² (the gamma prior of a Poisson's
// rate, by moments: Clayton and Kaldor, 1987, section 3).
func (m *model) factors(s Series, at, per int, season Season, w *Scratch) {
	n, f := len(s.Value), w.factor[season]
	slots := len(f)
	w.own, w.events = resize(w.own, slots), resize(w.events, slots)
	far, weight, seen := 0.0, 0.0, 0.0
	for i0 := range min(slots, n) {
		k := (m.first + i0) % slots
		f[k] = 1
		if season == Weekly {
			f[k] = w.factor[Daily][k%per]
		}
		w.slot = w.slot[:0]
		events := 0.0
		for i, b := i0, (at-1-i0)/per+1; i < n; i, b = i+slots, b-slots/per {
			if !isUnknown(w.root[i]) {
				w.slot = append(w.slot, s.Value[i]*w.inverse[b])
				events += w.level[b]
			}
		}
		if len(w.slot) == 0 {
			w.events[k] = 0
			continue
		}
		own := middle(w.slot)
		w.own[k], w.events[k] = own, events
		far += (own - 1) * (own - 1) * events
		weight += events
		seen++
	}
	drawn := shrink * s.Unit
	if beyond := far - seen*s.Unit; season == Daily && far > apart*seen*s.Unit && beyond*shrink > weight {
		drawn = s.Unit * weight / beyond
	}
	for k := range f {
		if e := w.events[k] * math.Max(w.own[k], 1); e > 0 {
			f[k] = (w.own[k]*e + f[k]*drawn) / (e + drawn)
		}
	}
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
	return math.Min(math.Max(m.unit*(y*y/m.phi-0.375), 0), greatest)
}

// at is the expectation of bucket i, in or after the history, at today's level.
func (m *model) at(i int) float64 {
	k := (m.first + i) % len(m.factor)
	if k < 0 {
		k += len(m.factor)
	}
	return math.Min(math.Max(m.level*m.factor[k]*m.bias, m.least), greatest)
}

// above is the chance of x or more where mu is expected.
func (m *model) above(mu, x float64) float64 {
	z := m.even(math.Max(x-m.unit/2, 0)) - m.even(mu)
	p := m.up.above(z, m.per)
	if m.mixed(mu) {
		events := mu / m.unit
		share := 1 / (1 + events/smallMean)
		p = share*negativeBinomialAbove(math.Ceil(math.Min(x/m.unit, 1e9)), events, m.counts) + (1-share)*p
	}
	return p
}

// mixed reports whether so few are expected that how they are counted shows.
func (m *model) mixed(mu float64) bool { return m.counts > 0 && mu/m.unit < 50*smallMean }

// below is the chance of x or less where mu is expected.
func (m *model) below(mu, x float64) float64 {
	return m.down.above(m.even(mu)-m.even(x), m.per)
}

// low is where a chance of band lies below.
func (m *model) low(mu float64) float64 {
	return m.uneven(m.even(mu) - m.down.quantile(m.per))
}

// high is where a chance of band lies above. Where counts are mixed in, it is searched
// for from where it would be without, by regula falsi (Illinois) on the logarithm of
// the chance.
func (m *model) high(mu float64) float64 {
	centre, guess := m.even(mu), m.up.quantile(m.per)
	value := func(d float64) float64 { return m.uneven(centre+d) + m.unit/2 }
	if !m.mixed(mu) {
		return value(guess)
	}
	miss := func(d float64) float64 { return math.Log(m.above(mu, value(d))+smallest) - math.Log(band) }
	lo, hi := 0.0, math.Max(guess, 0.1)
	fhi := miss(hi)
	if math.Abs(fhi) < near {
		return value(hi)
	}
	flo := math.Inf(1)
	for i := 0; i < 12 && fhi > 0; i++ {
		lo, flo, hi = hi, fhi, hi*1.7
		fhi = miss(hi)
	}
	if math.IsInf(flo, 1) {
		if flo = miss(lo); flo <= 0 {
			return mu
		}
	}
	for range 6 {
		mid := (lo*fhi - hi*flo) / (fhi - flo)
		f := miss(mid)
		if math.Abs(f) < near {
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
