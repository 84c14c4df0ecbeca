package notify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

// lasts is how long an alert fires that nothing ends: a digest, and a finding
// that was over already when it was found.
const lasts = time.Hour

// history is what alerts follow from, and nothing else: neither a clock nor what
// was sent before.
type history struct {
	Changes []schema.Change
	Actions []schema.FindingAction
}

// folded is what a history comes to at a moment.
type folded struct {
	Alerts  []*alert   // by when they started: those that fire and all that ever did
	Watched []*episode // that go on, and of which run.next may have something to note
}

// fold replays the history up to now. What has started keeps its id and its start,
// and what has ended its end, whenever it is folded again with more history. More
// than so many strangers at once are one alert.
func fold(h history, maxAge, group time.Duration, strangers int, now time.Time) folded {
	partners := map[string]*partnerFold{}
	partnerOf := map[string]string{} // of a finding
	crowd := newCrowd(h.Changes, strangers, newPartnerFold(detectors.Folded, maxAge, group))
	for _, t := range h.Changes {
		p := partners[t.Partner]
		if p == nil {
			p = newPartnerFold(t.Partner, maxAge, group)
			partners[t.Partner] = p
		}
		partnerOf[t.ID] = t.Partner
		tell := p.tell
		if crowd.has(t) {
			tell = func(t schema.Change) { // the crowd's alert tells it
				r := p.episodeOf(t)
				r.tell(t)
				r.crowded = true
			}
		}
		p.steps = append(p.steps, step{at: t.Reported, order: telling - rank(t.Severity), period: t.Period, finding: t.ID, do: func() { tell(t) }})
	}
	crowd.gather(partners)
	for _, a := range h.Actions {
		for _, p := range []*partnerFold{partners[partnerOf[a.Finding]], crowd.fold} {
			if p != nil {
				p.steps = append(p.steps, step{at: a.At, order: action, finding: a.Finding, do: func() { p.act(a) }})
			}
		}
	}
	var all folded
	for _, p := range append(slices.Collect(maps.Values(partners)), crowd.fold) {
		p.replay(now)
		all.Alerts = append(all.Alerts, p.alerts...)
		for _, r := range p.episodes {
			if r.open() && (r.resolved != nil || !r.due && !r.crowded || r.acknowledged != nil) {
				all.Watched = append(all.Watched, r)
			}
		}
	}
	slices.SortFunc(all.Alerts, func(a, b *alert) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(all.Watched, func(a, b *episode) int { return cmp.Compare(a.id(), b.id()) })
	return all
}

// What happens at the same moment happens in this order: what ends at a time is
// over at that time, the worst is told first, a day before those that continue it,
// and a person acts on what was told.
const (
	timer   = 0
	telling = 3 // less the severity
	action  = 4
)

// step is one thing that changes what is alerted.
type step struct {
	at      time.Time
	order   int
	period  schema.Day // of the finding that is told
	finding string
	do      func()
}

func (e step) compare(o step) int {
	return cmp.Or(e.at.Compare(o.at), cmp.Compare(e.order, o.order), cmp.Compare(e.period, o.period), cmp.Compare(e.finding, o.finding))
}

// partnerFold is one partner's part of a fold: partners have nothing to do with
// one another.
type partnerFold struct {
	partner       string
	maxAge, group time.Duration

	steps []step // ordered; timers are put in among those that lie ahead
	now   time.Time

	episodes []*episode
	finding  map[string]*episode            // by id
	latest   map[schema.FindingKey]*episode // by key without its period
	alerts   []*alert
	digest   *alert // collects; not told yet
	digestTo time.Time
}

func newPartnerFold(partner string, maxAge, group time.Duration) *partnerFold {
	return &partnerFold{
		partner: partner, maxAge: maxAge, group: group,
		finding: map[string]*episode{}, latest: map[schema.FindingKey]*episode{},
	}
}

func (p *partnerFold) replay(now time.Time) {
	slices.SortStableFunc(p.steps, step.compare)
	for len(p.steps) > 0 && !p.steps[0].at.After(now) {
		next := p.steps[0]
		p.steps = p.steps[1:]
		p.now = next.at
		next.do()
	}
}

// at has something done at a moment that lies ahead.
func (p *partnerFold) at(when time.Time, finding string, do func()) {
	e := step{at: when, order: timer, finding: finding, do: do}
	i, _ := slices.BinarySearchFunc(p.steps, e, step.compare)
	p.steps = slices.Insert(p.steps, i, e)
}

// tell takes in what the judge told.
func (p *partnerFold) tell(t schema.Change) {
	r := p.episodeOf(t)
	if r.tell(t) {
		r.forgetActs() // they were about what is over
	}
	r.people, r.crowded = t.People, false
	switch {
	case t.Kind == schema.ChangeEnded || t.Kind == schema.ChangeWithdrawn:
		if !r.open() {
			p.over(r, string(t.Kind))
		}
		p.place(r)
		return
	case stale(t, p.maxAge) && !goesOn(t, p.maxAge):
		p.addToDigest(r, t)
		p.place(r)
		return
	}
	r.due, r.severity = true, t.Severity
	if r.resolved != nil {
		r.resolved, r.again = nil, r.resolved
	}
	if !r.open() {
		r.lastsTo = p.now.Add(lasts)
		p.at(r.lastsTo, t.ID, func() {
			if !r.live(p.now) {
				p.over(r, string(schema.ChangeEnded))
			}
		})
	}
	p.place(r)
}

// stale reports whether what is told had been so for too long to page anyone.
func stale(t schema.Change, maxAge time.Duration) bool {
	since := t.FirstCrossing
	switch t.Kind {
	case schema.ChangeRaised:
		since = t.Peak
	case schema.ChangeReopened:
		since = t.LastSeen
	}
	return t.Reported.Sub(since) > maxAge
}

// goesOn reports whether what is told still went on when it was told: its last access
// was not longer ago than what pages. The time is that of the telling, never that of
// the fold, so that all instances fold the same at any later time.
func goesOn(t schema.Change, maxAge time.Duration) bool {
	return t.State == schema.Open && t.Reported.Sub(t.LastSeen) <= maxAge
}

// episodeOf returns the episode that a telling belongs to: that of its finding, or of the
// day that it continues, or a new one.
func (p *partnerFold) episodeOf(t schema.Change) *episode {
	if r := p.finding[t.ID]; r != nil {
		return r
	}
	key := t.FindingKey
	key.Period = 0
	r := p.latest[key]
	if r == nil || t.Kind != schema.ChangeContinued {
		r = &episode{}
		p.episodes, p.latest[key] = append(p.episodes, r), r
	}
	p.finding[t.ID] = r
	return r
}

// act takes in what a person did. On what is over it has no effect, so that none
// reaches what comes after.
func (p *partnerFold) act(a schema.FindingAction) {
	r := p.finding[a.Finding]
	if r == nil || !r.live(p.now) {
		return
	}
	if a.People > 0 {
		r.people = a.People
	}
	switch a.Act {
	case schema.Acknowledge:
		r.acknowledged = &a
		if r.tenfold(a.People) { // who acknowledged it has seen that they had grown
			r.paged = a.People
		}
	case schema.Silence:
		r.silence = nil
		if !a.Until.After(p.now) {
			p.place(r)
			return
		}
		r.silence = &a
		p.leave(r, "silenced by "+a.Who+" until "+stamp(a.Until)+": "+a.Reason)
		p.at(a.Until, a.Finding, func() {
			if r.silence == &a {
				r.silence = nil
				p.place(r)
			}
		})
	case schema.Resolve:
		r.resolved, r.again, r.acknowledged = &a, nil, nil
		p.leave(r, "resolved by "+a.Who+": "+a.Reason)
	case schema.SeenAgain:
		if r.resolved != nil {
			r.resolved, r.again = nil, r.resolved
			p.place(r)
		}
	case schema.GoesOn:
		if !r.due && !r.crowded && r.open() {
			r.due, r.severity = true, r.last().Severity
			p.place(r)
		}
	case schema.Grown:
		p.place(r)
	}
}

// over ends an episode, and with it whatever was done about it.
func (p *partnerFold) over(r *episode, how string) {
	r.due, r.lastsTo = false, time.Time{}
	r.forgetActs()
	p.leave(r, how)
}

// leave takes an episode out of its alert, which ends with its last one.
func (p *partnerFold) leave(r *episode, why string) {
	a := r.alert
	if a == nil {
		return
	}
	r.alert = nil
	a.member(r).Left = why
	if !slices.ContainsFunc(a.Members, func(m member) bool { return m.Left == "" }) {
		a.Ended, a.Because = p.now, why
	}
}

// place puts an episode that is to be told into the one alert that tells it.
func (p *partnerFold) place(r *episode) {
	grew := false
	switch {
	case !r.due || !r.live(p.now) || r.silence != nil || r.resolved != nil:
		return
	case r.alert != nil && rank(r.alert.Severity) >= rank(r.severity):
		if grew = r.acknowledged != nil && r.tenfold(r.people); !grew {
			return // told already
		}
		r.escalations, r.grewFrom = r.escalations+1, r.paged
	}
	was, l := r.alert, r.labels()
	l.Partner = p.partner
	target := p.firing(func(a *alert) bool { return a.labels == l })
	if target == nil && !grew {
		target = p.firing(func(a *alert) bool {
			return p.justBegan(a) && rank(a.Severity) >= rank(r.severity) && (!a.acknowledged() || a.reaches(r))
		})
	}
	if target == nil {
		target = p.start(l, r.id())
		target.join(r)
		for _, a := range p.alerts {
			if a.fires() && a != target && p.justBegan(a) && rank(a.Severity) < rank(r.severity) {
				p.supersede(a, target)
			}
		}
	} else {
		if was == nil {
			target.HeldBack++
		}
		p.grow(target)
	}
	if was != nil && was != target && was.fires() {
		p.supersede(was, target)
	}
	target.join(r)
	r.paged = r.people
}

// start begins an alert. One that ended at this very moment goes on instead.
func (p *partnerFold) start(l labels, lead string) *alert {
	a := &alert{ID: alertID(l, lead, p.now), labels: l, Lead: lead, Started: p.now}
	for _, same := range p.alerts {
		if same.ID == a.ID {
			same.Ended, same.Because, same.Superseded = time.Time{}, "", false
			return same
		}
	}
	p.alerts = append(p.alerts, a)
	return a
}

// grow has it told that an alert tells more than it began with: at once, or, where
// something was told of it within the group interval, after that, all together.
func (p *partnerFold) grow(a *alert) {
	if a.growing {
		return
	}
	last := a.Started
	if n := len(a.Grown); n > 0 {
		last = a.Grown[n-1]
	}
	told := func() {
		a.growing = false
		if a.fires() { // else its end tells it
			a.Grown = append(a.Grown, p.now)
		}
	}
	if due := last.Add(p.group); due.After(p.now) {
		a.growing = true
		p.at(due, a.Lead, told)
		return
	}
	told()
}

// supersede ends an alert and has another one tell what it told.
func (p *partnerFold) supersede(a, by *alert) {
	for i := range a.Members {
		m := &a.Members[i]
		if m.Left == "" {
			m.Left = "told by alert " + by.ID
			by.join(m.episode)
		}
	}
	by.HeldBack += a.HeldBack
	a.Ended, a.Because, a.Superseded = p.now, "superseded by alert "+by.ID, true
}

func (p *partnerFold) firing(is func(*alert) bool) *alert {
	for _, a := range p.alerts {
		if a.fires() && a.Name != digestName && is(a) {
			return a
		}
	}
	return nil
}

func (p *partnerFold) justBegan(a *alert) bool {
	return a.Name != digestName && p.now.Sub(a.Started) <= p.group
}

// addToDigest notes a finding that is too old to page anyone. What is told within
// the group interval makes one digest; while one is told the next one collects.
func (p *partnerFold) addToDigest(r *episode, t schema.Change) {
	if p.digest == nil {
		p.digest = &alert{labels: labels{Name: digestName, Partner: p.partner, Severity: info}, Lead: t.ID}
		due := p.now.Add(p.group)
		if rest := p.digestTo.Add(p.group); rest.After(due) {
			due = rest
		}
		p.at(due, t.ID, p.sendDigest)
	}
	p.digest.add(r)
}

func (p *partnerFold) sendDigest() {
	d := p.digest
	p.digest = nil
	d.Members = slices.DeleteFunc(d.Members, func(m member) bool { return m.episode.withdrawn() || m.episode.alert != nil })
	if len(d.Members) == 0 {
		return
	}
	d.Lead = d.Members[0].episode.id()
	d.ID, d.Started = alertID(d.labels, d.Lead, p.now), p.now
	p.alerts = append(p.alerts, d)
	p.digestTo = p.now.Add(lasts)
	p.at(p.digestTo, d.Lead, func() { d.Ended, d.Because = p.now, "a digest is told once" })
}
