package main

import (
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// plan says how much is measured.
type plan struct {
	seeds     []uint64
	perCell   int // overreaches of each scenario, length and strength, a seed
	perTrap   int // partners of each trap, a seed
	partners  int // clean partners, a seed
	days      int // of each
	scenarios []scenario
	traps     []trap
}

// hit is what one overreach came to.
type hit struct {
	found       map[string]int64 // by detector: seconds from its begin until it could have been noticed
	paged       bool             // by the scenario's detector
	own, others int              // its episodes that are of the overreach, and that are not
}

// cell is what one scenario came to at one length and strength.
type cell struct {
	scenario *scenario
	hours    int
	strength float64
	hits     []hit
}

// alarms counts what was told of traffic that is no overreach.
type alarms struct {
	runs, disturbed int // disturbed: with at least one page or warning
	years           float64
	pages, warnings map[string]int // episodes by detector
}

func newAlarms() alarms { return alarms{pages: map[string]int{}, warnings: map[string]int{}} }

func (a *alarms) add(b *alarms) {
	a.runs, a.disturbed, a.years = a.runs+b.runs, a.disturbed+b.disturbed, a.years+b.years
	for d, n := range b.pages {
		a.pages[d] += n
	}
	for d, n := range b.warnings {
		a.warnings[d] += n
	}
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// results is all that was measured.
type results struct {
	plan    plan
	cells   []cell
	traps   []alarms
	clean   alarms
	young   alarms // of the clean ones, those that begin with their year
	chances calibration
	thin    calibration
	years   calibration // the least score of a capability in a year
}

// measure measures everything there is in the plan. What comes out depends on the
// plan alone, not on how many processors there are.
func measure(p plan, progress func(done, of int)) *results {
	res := &results{plan: p, traps: make([]alarms, len(p.traps)), clean: newAlarms(), young: newAlarms()}
	var jobs []func() func() // each returns what adds its outcome
	for i := range p.scenarios {
		s := &p.scenarios[i]
		for _, hours := range s.lengths {
			for _, strength := range s.strengths {
				at := len(res.cells)
				res.cells = append(res.cells, cell{scenario: s, hours: hours, strength: strength})
				for _, seed := range p.seeds {
					for n := range p.perCell {
						r := source(seed, "scenario "+s.name, hours, int(strength*100), n)
						jobs = append(jobs, func() func() {
							h := meet(s, s.make(r, hours, strength))
							return func() { res.cells[at].hits = append(res.cells[at].hits, h) }
						})
					}
				}
			}
		}
	}
	for i, t := range p.traps {
		res.traps[i] = newAlarms()
		for _, seed := range p.seeds {
			for n := range p.perTrap {
				r := source(seed, "trap "+t.name, n)
				jobs = append(jobs, func() func() {
					partner := t.make(r)
					lost := len(partner.gaps) > 0
					a := heard(partner, findingsOf(partner, nil), lost)
					return func() { res.traps[i].add(&a) }
				})
			}
		}
	}
	for _, seed := range p.seeds {
		for n := range p.partners {
			r := source(seed, "clean", n)
			jobs = append(jobs, func() func() {
				partner := clean(r, p.days)
				var one results
				least := map[string]float64{}
				found := findingsOf(partner, func(q *usage.Question, scores []schema.Score) { one.calibrate(q, scores, least) })
				a := heard(partner, found, false)
				isYoung := partner.unseen == partner.begin
				return func() {
					res.clean.add(&a)
					if isYoung {
						res.young.add(&a)
					}
					res.chances.add(&one.chances)
					res.thin.add(&one.thin)
					if !isYoung {
						for _, capability := range slices.Sorted(maps.Keys(least)) {
							res.years.saw(least[capability])
						}
					}
				}
			})
		}
	}
	run(jobs, progress)
	return res
}

// source is the randomness of one simulated partner.
func source(seed uint64, of string, numbers ...int) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range len(of) {
		mix(of[i])
	}
	for _, n := range numbers {
		for k := range 8 {
			mix(byte(n >> (8 * k)))
		}
	}
	return rand.New(rand.NewPCG(seed, h))
}

// run runs the jobs on all processors and adds their outcomes in their order.
func run(jobs []func() func(), progress func(done, of int)) {
	outcomes := make([]func(), len(jobs))
	next, done := make(chan int), make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				outcomes[i] = jobs[i]()
				done <- i
			}
		})
	}
	go func() {
		for i := range jobs {
			next <- i
		}
		close(next)
		workers.Wait()
		close(done)
	}()
	n := 0
	for range done {
		n++
		progress(n, len(jobs))
	}
	for _, add := range outcomes {
		add()
	}
}

// meet judges a labelled partner and says what of the findings is of the label.
func meet(s *scenario, l labelled) hit {
	h := hit{found: map[string]int64{}}
	for _, e := range episodes(findingsOf(l.partner, nil)) {
		noticed, last := e.FirstCrossing.Unix(), e.last.Peak.Unix()
		if of := last > l.from && noticed <= l.to+slack(e.Window); !of {
			if e.Detector == s.detector {
				h.others++
			}
			continue
		}
		if e.Detector == s.detector {
			h.own++
			h.paged = h.paged || e.severity == schema.Critical
		}
		after := max(noticed, l.from) - l.from
		if before, ok := h.found[e.Detector]; !ok || after < before {
			h.found[e.Detector] = after
		}
	}
	return h
}

// slack is for how long after an overreach what it left is still in a window.
func slack(w schema.Window) int64 {
	switch w {
	case schema.WindowHour, schema.WindowClockHour:
		return 3600
	case schema.Window24h:
		return schema.DaySeconds
	case schema.WindowClockDay:
		return 2 * schema.DaySeconds
	case schema.WindowClockWeek:
		return 14 * schema.DaySeconds
	case schema.Window30d, schema.WindowMonth:
		return 31 * schema.DaySeconds
	}
	return 7 * schema.DaySeconds
}

// heard counts what was told of a partner that did nothing wrong. Where records
// were lost, data_gap is right to say so.
func heard(p *partner, findings []schema.Finding, lost bool) alarms {
	a := newAlarms()
	a.runs, a.years = 1, float64(int(p.begin)+p.hours/hoursDay-int(p.unseen))/365
	for _, e := range episodes(findings) {
		switch {
		case lost && e.Detector == (detectors.DataGap{}).Name():
			continue
		case e.severity == schema.Critical:
			a.pages[e.Detector]++
		default:
			a.warnings[e.Detector]++
		}
		a.disturbed = 1
	}
	return a
}

// upper is the upper end of the one-sided 95% interval of a Poisson's mean of which
// n were seen: the mean at which so few are seen one time in twenty (Garwood, 1936).
func upper(n int) float64 {
	low, high := float64(n), float64(n)+10*math.Sqrt(float64(n)+1)+10
	for range 100 {
		mean := (low + high) / 2
		logTerm, sum := -mean, 0.0
		for k := 0; k <= n; k++ {
			if k > 0 {
				logTerm += math.Log(mean / float64(k))
			}
			sum += math.Exp(logTerm)
		}
		if sum > 0.05 {
			low = mean
		} else {
			high = mean
		}
	}
	return high
}
