package story

import (
	"math"

	"github.com/overreach/overreach/schema"
)

// ordinaryNames are the partners that nothing is to be said of.
var ordinaryNames = []string{
	"amberline", "birchmail", "bluefinch", "cartwheel", "cobblestone", "copperkettle", "dailybugle", "dovetail",
	"eastgate", "farmstead", "fernhill", "gearbox", "glasshouse", "greyhound", "hazelnut", "hillcrest",
	"inkwell", "ironbridge", "jukebox", "juniper", "kettledrum", "lanternfish", "larkspur", "lighthouse",
	"mapleleaf", "marigold", "nightowl", "oakhurst", "paperboat", "pebblebeach", "quicksilver", "redwood",
	"saltmarsh", "skylark", "stonecrop", "thistle", "tidewater", "umbrella", "velvet", "windmill",
}

// ordinaryScopes are what they use; none is deprecated.
var ordinaryScopes = []struct {
	capability string
	action     schema.Action
	purpose    string
}{
	{"profile", schema.Read, "sign in"},
	{"friends", schema.Read, "find friends"},
	{"feed", schema.Write, "share to the feed"},
	{"photos", schema.Read, "import photos"},
	{"events", schema.Read, "calendar of events"},
	{"likes", schema.Read, "recommend works"},
	{"contacts", schema.Read, "invite people"},
	{"messaging", schema.Write, "send receipts"},
	{"photos", schema.Delete, "take down photos on request"},
	{"location", schema.Read, "places near by"},
}

var ordinaryOwners = []string{"devices@example.com", "growth@example.com", "commerce@example.com", "media-partnerships@example.com"}

// ordinary returns the 40 partners around the cast. Each has one to three jobs
// in scopes it was granted, and limits at three to four times what it touches.
func ordinary(seed uint64) []partner {
	partners := make([]partner, 0, len(ordinaryNames))
	for i, name := range ordinaryNames {
		r := newRandom(seed, uint64(i), 'o')
		first := int(r.below(uint64(len(ordinaryScopes))))
		p := partner{
			name:    name,
			owner:   ordinaryOwners[r.below(uint64(len(ordinaryOwners)))],
			purpose: ordinaryScopes[first].purpose,
			start:   (mustDay("2012-01-01") + schema.Day(r.below(5*365))).String(),
		}
		if r.below(3) == 0 {
			p.end = "2019-12-31"
		}
		calls := 3e3 * math.Exp(2*r.share()) // a day, at full scale: 3,000 to 22,170
		jobs := 1 + int(r.below(3))
		for j := range jobs {
			// Steps of 3 never meet among ten scopes, so each job has a scope of its own.
			scope := ordinaryScopes[(first+3*j)%len(ordinaryScopes)]
			p.jobs = append(p.jobs, ordinaryJob(&r, name, j, calls/float64(jobs)))
			made := &p.jobs[j]
			made.capability, made.action = scope.capability, scope.action
			p.grants = append(p.grants, grant{scope.capability, []schema.Action{scope.action}, p.start, p.end})
		}
		p.limits = ordinaryLimits(&r, calls, p.jobs)
		partners = append(partners, p)
	}
	return partners
}

func ordinaryJob(r *random, name string, nth int, calls float64) job {
	apps := []string{name, name + "-ios", name + "-android", name + "-batch"}
	weeks := []*[7]float64{&leisure, &business, &even}
	first, step := int(r.below(6)), 6*(1+int(r.below(3))) // one, two or four runs a day
	j := job{
		app:        apps[(int(r.below(2))+2*nth)%len(apps)],
		version:    []string{"v2.8", "v2.12", "v3.0", "v3.1"}[r.below(4)],
		minutes:    3 + int(r.below(5)),
		perDay:     calls,
		week:       weeks[r.below(3)],
		jitter:     0.15,
		people:     calls * (5 + 40*r.share()),
		repeats:    0.1 * r.share(),
		refused:    0.01 * r.share(),
		refusal:    []int32{401, 429, 500, 503}[r.below(4)],
		friends:    max(0, r.share()-0.5),
		unattended: r.below(5) == 0,
		terse:      r.below(4) == 0,
	}
	for h := first + nth; h < 24; h += step {
		j.hours = append(j.hours, h)
	}
	return j
}

// ordinaryLimits sets limits that calls a day cannot come near: a day has at most
// 1.2·1.15 of its average calls, and an hour at most 1.4 times the average run of
// each job, so what is used stays under two thirds of each limit. The floor keeps
// them apart at the smallest scale too, where a limit for an hour would be a
// person or two.
func ordinaryLimits(r *random, calls float64, jobs []job) []limit {
	hour := 0.0
	for _, j := range jobs {
		hour += j.perDay / float64(len(j.hours))
	}
	generous := func(people float64) float64 { return max(100e3, roundUp(people*(3+r.share()))) }
	limits := []limit{{generous(30 * calls), schema.WindowMonth, ""}}
	switch r.below(4) {
	case 0:
		limits = append(limits, limit{generous(30 * calls), schema.Window30d, ""})
	case 1:
		limits = append(limits, limit{generous(calls), schema.Window24h, ""})
	case 2:
		limits = append(limits, limit{generous(hour), schema.WindowHour, ""})
	case 3:
		limits = append(limits,
			limit{generous(calls), schema.Window24h, jobs[0].capability},
			limit{generous(hour), schema.WindowHour, ""})
	}
	return limits
}

// roundUp rounds up to two significant digits, as people write limits.
func roundUp(x float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Ceil(x/step) * step
}
