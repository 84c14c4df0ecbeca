package notify

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// receiver is one address that is told. It says what it is to be told and how;
// when, how often, and what follows from its answers is the sender's.
type receiver interface {
	// due returns what is to be sent of a plan, of each alert one thing at a time.
	due(p plan, settled func(event string) bool, now time.Time) []message
	// request returns the body and header that carry the messages.
	request(messages []message, now time.Time) ([]byte, http.Header, error)
	// sent hears that messages arrived.
	sent(messages []message, now time.Time)
	// atOnce is how many messages a request may carry.
	atOnce() int
}

// message is something to be sent: an event, or the repetition of one.
type message struct {
	view
	told
}

// told is an event of an alert: what happens to it once.
type told struct {
	id, kind string
	at       time.Time
}

// The kinds of events.
const (
	firing   = "firing"
	joined   = "joined"
	resolved = "resolved"
	digest   = "digest"
	test     = "test"
)

// events returns what has happened to the alert so far, in order.
func (a *alert) events() []told {
	if a.digest() {
		return []told{{hashed(digest, a.ID), digest, a.Started}}
	}
	all := []told{{hashed(firing, a.ID), firing, a.Started}}
	for _, at := range a.Grown {
		all = append(all, told{hashed(joined, a.ID, at.String()), joined, at})
	}
	if !a.fires() {
		// An alert that goes on after it ended (see start) ends again at another time.
		all = append(all, told{hashed(resolved, a.ID, a.Ended.String()), resolved, a.Ended})
	}
	return all
}

const (
	leastBackOff    = time.Second
	greatestBackOff = time.Minute

	// failuresAPass bounds how often a receiver is tried that answers and fails.
	// What was tried least comes first, so one event that it cannot take holds up
	// no other.
	failuresAPass = 3
)

// sender hands one receiver what it is due.
type sender struct {
	receiver
	name    string
	url     *url.URL
	client  *http.Client
	maxAge  time.Duration
	store   Store
	metrics *Metrics
	log     zerolog.Logger

	plans   chan plan
	plan    plan
	backOff time.Duration
	trouble trouble
	storing trouble

	// What the plan does not know yet: it was read before.
	settled   map[string]bool
	attempts  map[string]uint32
	unwritten []schema.Delivery
}

func newSender(e endpoint, cfg Config, store Store, metrics *Metrics, log zerolog.Logger) *sender {
	metrics.begin(e.name)
	return &sender{
		receiver: e.receiver, name: e.name, url: e.url, client: e.client, maxAge: cfg.MaxAge, store: store, metrics: metrics,
		log: log.With().Str("receiver", e.name).Logger(), plans: make(chan plan, 1),
		settled: map[string]bool{}, attempts: map[string]uint32{},
	}
}

// give replaces the plan that the sender has not looked at yet.
func (s *sender) give(p plan) {
	select {
	case <-s.plans:
	default:
	}
	s.plans <- p
}

// run sends what is due until ctx ends.
func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var notBefore time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case s.plan = <-s.plans:
			if wait := time.Until(notBefore); wait > 0 {
				s.metrics.undelivered(s.name, s.oldest()) // it ages meanwhile, or is another's to tell
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		if wait := s.pass(ctx); wait > 0 {
			notBefore = time.Now().Add(wait)
			timer.Reset(wait)
		}
	}
}

// pass sends what is due, and returns how long to wait where some of it is to be
// tried again.
func (s *sender) pass(ctx context.Context) time.Duration {
	s.forget()
	s.giveUp()
	var last *failure
	var after time.Duration
	failures, delivered := 0, false
	tried := map[string]bool{}
	for failures < failuresAPass && ctx.Err() == nil {
		batch := s.next(tried)
		if len(batch) == 0 {
			break
		}
		f := s.send(ctx, batch)
		switch {
		case f == nil:
			delivered = true
			continue
		case ctx.Err() != nil:
			continue // it is this process that ends
		case f.refused:
			delivered = true // it works, and has no use for this
			continue
		}
		last, after = f, max(after, f.after)
		if failures++; f.network {
			break
		}
	}
	s.giveUp()
	s.write(ctx)
	s.metrics.undelivered(s.name, s.oldest())
	switch {
	case last == nil:
		s.backOff = 0
		if delivered {
			s.trouble.note(s.log, nil, "", "the receiver of alerts works again")
		}
		return 0
	case delivered:
		s.backOff = leastBackOff
	default:
		s.trouble.note(s.log, last.err, "a receiver of alerts cannot be reached: trying again", "")
		s.backOff = min(max(leastBackOff, 2*s.backOff), greatestBackOff)
	}
	jitter := 0.75 + rand.Float64()/2 //nolint:gosec // spreads load, guards nothing
	return max(time.Duration(float64(s.backOff)*jitter), after)
}

// next returns the messages of the next request. Where each has one of its own,
// those tried least come first; together they go in the order of their alerts, so
// that an end never comes after what began later under the same labels.
func (s *sender) next(tried map[string]bool) []message {
	messages := s.due(s.plan, s.isSettled, time.Now())
	messages = slices.DeleteFunc(messages, func(m message) bool { return tried[m.id] })
	if s.atOnce() == 1 {
		slices.SortStableFunc(messages, func(a, b message) int { return int(s.attempts[a.id]) - int(s.attempts[b.id]) })
	}
	messages = messages[:min(len(messages), s.atOnce())]
	for _, m := range messages {
		tried[m.id] = true
	}
	return messages
}

// send makes one request. What is refused together is sent again one by one, so
// that one message that a receiver does not take harms no other.
func (s *sender) send(ctx context.Context, messages []message) *failure {
	now := time.Now().UTC()
	body, header, err := s.request(messages, now)
	f := &failure{err: err, refused: true}
	if err == nil {
		f = post(ctx, s.client, s.url, header, body)
	}
	for _, m := range messages {
		if !s.isSettled(m.id) && ctx.Err() == nil {
			s.attempts[m.id]++
		}
	}
	switch {
	case f == nil:
		reached(pointPosted)
		s.sent(messages, now)
		for _, m := range messages {
			if m.kind == joined { // it tells what those before it told
				for _, e := range m.events() {
					if e.id == m.id {
						break
					}
					s.settle(m.alert, e, schema.Delivered, "")
				}
			}
			s.settle(m.alert, m.told, schema.Delivered, "")
		}
		return nil
	case ctx.Err() != nil:
		return f
	}
	s.metrics.attemptFailed(s.name)
	if f.refused && len(messages) > 1 {
		for _, m := range messages {
			if alone := s.send(ctx, []message{m}); alone != nil && !alone.refused {
				return alone
			}
		}
		return nil
	}
	if f.refused {
		s.sent(messages, now) // so that it is not sent again at once
		s.settle(messages[0].alert, messages[0].told, schema.Refused, f.err.Error())
	}
	return f
}

// settle notes how the delivery of an event ended, once.
func (s *sender) settle(a *alert, e told, o schema.Outcome, detail string) {
	if s.isSettled(e.id) {
		return
	}
	s.settled[e.id] = true
	s.metrics.delivery(s.name, o)
	if o == schema.Refused || o == schema.GaveUp {
		s.log.Error().Str("alert", a.ID).Str("name", a.Name).Str("partner", a.Partner).Str("kind", e.kind).
			Uint32("attempts", s.attempts[e.id]).Str("detail", detail).Msg("an alert was not delivered: the receiver " + undelivered(o))
	}
	s.unwritten = append(s.unwritten, schema.Delivery{
		Receiver: s.name, Event: e.id, Kind: e.kind, Alert: a.ID, Partner: a.Partner,
		At: time.Now().UTC().Truncate(time.Millisecond), Outcome: o, Attempts: s.attempts[e.id], Detail: detail,
	})
}

func undelivered(o schema.Outcome) string {
	if o == schema.Refused {
		return "refused it"
	}
	return "could not be told in time"
}

func (s *sender) isSettled(event string) bool {
	return s.settled[event] || s.plan.settled[s.name][event] != ""
}

// giveUp settles what is over and too old to be of use, or has been overtaken by
// its end. What still fires is told however long it takes.
func (s *sender) giveUp() {
	for _, v := range s.plan.alerts {
		if v.fires() {
			continue
		}
		events := v.events()
		if first := events[0].id; v.Superseded && !s.isSettled(first) && s.attempts[first] == 0 {
			for _, e := range events {
				s.settle(v.alert, e, schema.Overtaken, "")
			}
		}
		for _, e := range events {
			if time.Since(e.at) > s.maxAge && time.Since(v.Ended) > s.maxAge {
				s.settle(v.alert, e, schema.GaveUp, "it was over for longer than alerts.max_age")
			} else if s.isSettled(events[len(events)-1].id) {
				s.settle(v.alert, e, schema.GaveUp, "it was over before it could be delivered")
			}
		}
	}
}

// oldest is the age of the oldest event that is not settled.
func (s *sender) oldest() time.Duration {
	var oldest time.Duration
	for _, v := range s.plan.alerts {
		for _, e := range v.events() {
			if !s.isSettled(e.id) {
				oldest = max(oldest, time.Since(e.at))
			}
		}
	}
	return oldest
}

// write keeps what was settled. What cannot be kept is tried again in the next
// pass; until then only this process knows.
func (s *sender) write(ctx context.Context) {
	if len(s.unwritten) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry) // also at the end
	defer cancel()
	err := s.store.WriteDeliveries(ctx, s.unwritten)
	s.storing.note(s.log, err, "what was delivered cannot be written to ClickHouse: trying again", "what was delivered is written to ClickHouse again")
	if err == nil {
		s.unwritten = nil
		reached(pointDelivered)
	}
}

// forget drops what is known of events that the plan no longer holds.
func (s *sender) forget() {
	events := map[string]bool{}
	for _, v := range s.plan.alerts {
		for _, e := range v.events() {
			events[e.id] = true
		}
	}
	for id := range s.settled {
		if !events[id] {
			delete(s.settled, id)
		}
	}
	for id := range s.attempts {
		if !events[id] {
			delete(s.attempts, id)
		}
	}
}
