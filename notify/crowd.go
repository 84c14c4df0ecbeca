package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

// strangerDetector finds partners that the registry does not know.
var strangerDetector = detectors.UnregisteredPartner{}.Name()

// crowd is when strangers are so many that they are told as one: a producer that
// puts something else into the partner makes a stranger of each of its values. It
// begins when there are more strangers than may be told one by one, and takes in
// all that there are and all that come. It ends when none is left, so that a number
// around the limit neither begins nor ends anything.
type crowd struct {
	fold  *partnerFold // tells it, as of the partner (unregistered)
	spans []span
	told  []schema.Change // of strangers, in the order in which they were told
}

// span is one time of a crowd; to is zero while it lasts.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool {
	return !t.Before(s.from) && (s.to.IsZero() || !t.After(s.to))
}

// newCrowd finds out when the strangers were a crowd. It depends only on what was
// told up to each moment.
func newCrowd(tellings []schema.Change, most int, fold *partnerFold) *crowd {
	c := &crowd{fold: fold}
	for _, t := range tellings {
		if t.Detector == strangerDetector {
			c.told = append(c.told, t)
		}
	}
	slices.SortStableFunc(c.told, func(a, b schema.Change) int {
		return cmp.Or(a.Reported.Compare(b.Reported), cmp.Compare(a.ID, b.ID))
	})
	open := map[string]bool{} // findings
	for i, t := range c.told {
		if delete(open, t.ID); t.State == schema.Open {
			open[t.ID] = true
		}
		if i+1 < len(c.told) && c.told[i+1].Reported.Equal(t.Reported) {
			continue // what is told at once counts together
		}
		n := len(c.spans)
		lasts := n > 0 && c.spans[n-1].to.IsZero()
		switch {
		case !lasts && (len(open) > most || open[restID]):
			c.spans = append(c.spans, span{from: t.Reported})
		case lasts && len(open) == 0:
			c.spans[n-1].to = t.Reported
		}
	}
	return c
}

// restID is the finding of the strangers that the judge itself has added up: it
// stands for more than one can count.
var restID = schema.FindingKey{Detector: strangerDetector, Partner: detectors.Folded, Cause: "unregistered"}.ID()

// has reports whether the crowd's alert tells what is told here.
func (c *crowd) has(t schema.Change) bool {
	return t.Detector == strangerDetector && slices.ContainsFunc(c.spans, func(s span) bool { return s.has(t.Reported) })
}

// gather has the crowd's alert tell what is told while there is a crowd, and takes
// over the strangers that were told one by one before it began.
func (c *crowd) gather(partners map[string]*partnerFold) {
	for _, s := range c.spans {
		before := map[string]schema.Change{} // the last of each finding
		for _, t := range c.told {
			switch {
			case t.Reported.Before(s.from):
				before[t.ID] = t
			case s.has(t.Reported):
				c.add(t.Reported, t)
			}
		}
		for _, t := range before {
			if t.State != schema.Open {
				continue
			}
			c.add(s.from, t)
			p := partners[t.Partner]
			p.steps = append(p.steps, step{at: s.from, order: telling, finding: t.ID, do: func() { p.handOver(t) }})
		}
	}
}

func (c *crowd) add(at time.Time, t schema.Change) {
	c.fold.steps = append(c.fold.steps, step{at: at, order: telling - rank(t.Severity), period: t.Period, finding: t.ID, do: func() { c.fold.tell(t) }})
}

// handOver takes a stranger out of its own alert: the crowd's tells it from now on.
func (p *partnerFold) handOver(t schema.Change) {
	r := p.finding[t.ID]
	if r == nil {
		return
	}
	a := r.alert
	r.due, r.crowded = false, true
	p.leave(r, "superseded by the alert of all partners that are not in the registry")
	if a != nil && !a.fires() {
		a.Superseded = true
	}
}

// crowded reports whether the alert tells of strangers as one.
func (a *alert) crowded() bool {
	return a.Detector == strangerDetector && a.Partner == detectors.Folded
}
