package notify

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// Config says what is alerted, how often, and who receives it.
type Config struct {
	MaxAge        time.Duration // a finding that had been so for longer when it was found pages nobody, unless it was last seen within it
	Group         time.Duration // within it a partner's findings make one alert
	MaxStrangers  int           // more partners that are not in the registry make one alert
	Resend        time.Duration // between two messages to an Alertmanager of an alert that goes on
	Runbooks      string        // base URL of the findings' runbook paths; empty: the path alone
	Alertmanagers []Alertmanager
	Webhooks      []Webhook
}

// Store is what alerts are read from, and where it is kept what was told whom.
type Store interface {
	Changes(ctx context.Context, partners []string, since time.Time) ([]schema.Change, error)
	Actions(ctx context.Context, findings []string) ([]schema.FindingAction, error)
	WriteAction(ctx context.Context, a schema.FindingAction) error
	Findings(ctx context.Context, q schema.FindingsQuery) ([]schema.VersionedFinding, error)
	Deliveries(ctx context.Context, events []string) (map[string]map[string]schema.Outcome, error)
	WriteDeliveries(ctx context.Context, deliveries []schema.Delivery) error
}

const (
	readTimeout = 30 * time.Second // of what a turn reads
	joining     = 2 * time.Second  // between turns, until the group has given out its slots
	lastRead    = 2 * time.Second  // at the end
	lastTry     = 3 * time.Second  // after lastRead, to send what is due

	// idsAtOnce keeps a query well below ClickHouse's greatest size.
	idsAtOnce = 2000
)

// Notifier tells receivers what fires. All that it knows it reads from the store
// in each turn, so that it makes no difference whether it ran before.
type Notifier struct {
	cfg     Config
	store   Store
	slots   func() []uint8
	metrics *Metrics
	log     zerolog.Logger
	senders []*sender
	nudges  chan struct{}
	trouble trouble
	last    plan // told again while the store cannot be read
}

// New returns a notifier for the partners in the slots that this instance owns
// at the time. The config must pass Check.
func New(cfg Config, store Store, slots func() []uint8, metrics *Metrics, log zerolog.Logger) *Notifier {
	n := &Notifier{cfg: cfg, store: store, slots: slots, metrics: metrics, log: log, nudges: make(chan struct{}, 1)}
	for _, r := range cfg.receivers() {
		n.senders = append(n.senders, newSender(r, cfg, store, metrics, log))
	}
	return n
}

// Nudge has the notifier look at once. It never blocks.
func (n *Notifier) Nudge() {
	select {
	case n.nudges <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run tells receivers what fires until ctx ends, and then for a few seconds tries
// to send what is still due. Whatever fails is tried again; it returns nil.
func (n *Notifier) Run(ctx context.Context) error {
	var senders sync.WaitGroup
	for _, s := range n.senders {
		senders.Go(func() { s.run(ctx) }) // so that a slow receiver holds up no other
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var owned []uint8
	for {
		select {
		case <-ctx.Done():
			senders.Wait()
			n.finish(context.WithoutCancel(ctx), owned)
			return nil
		case <-n.nudges:
		case <-timer.C:
		}
		owned = n.slots()
		p := n.turn(ctx, readTimeout, owned)
		for _, s := range n.senders {
			s.give(p)
		}
		wait := n.cfg.Resend
		if len(owned) == 0 {
			wait = min(wait, joining)
		}
		timer.Reset(wait)
	}
}

// finish gives what is due a last, short try. The slots are those owned before: the
// group has been left already, and its next owner sends the same under the same ids.
func (n *Notifier) finish(ctx context.Context, owned []uint8) {
	p := n.turn(ctx, lastRead, owned)
	ctx, cancel := context.WithTimeout(ctx, lastTry)
	defer cancel()
	var senders sync.WaitGroup
	for _, s := range n.senders {
		s.plan = p
		senders.Go(func() { s.pass(ctx) })
	}
	senders.Wait()
}

// turn reads what fires. Where the store does not answer, that is what fired when
// it last did, as far as it is still this instance's to tell: otherwise an
// Alertmanager would hold for over what is not.
func (n *Notifier) turn(ctx context.Context, timeout time.Duration, owned []uint8) plan {
	read, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p, err := n.read(read, owned)
	if ctx.Err() == nil {
		n.trouble.note(n.log, err, "alerts cannot be read from ClickHouse: what fired is told again until they can", "alerts are read from ClickHouse again")
	}
	if err == nil {
		n.last = p
		return p
	}
	p = n.last
	p.alerts = slices.DeleteFunc(slices.Clone(p.alerts), func(v view) bool { return !slices.Contains(owned, schema.Slot(v.Partner)) })
	return p
}

// plan is what receivers are to know.
type plan struct {
	alerts  []view
	settled map[string]map[string]schema.Outcome // by receiver and event
}

// view is an alert with the figures of its findings.
type view struct {
	*alert
	Findings map[string]*schema.Finding // by id, in their latest version; never of all members
}

// read reads what fires now, and what is over and not yet told everyone.
func (n *Notifier) read(ctx context.Context, owned []uint8) (plan, error) {
	var p plan
	now := time.Now().UTC()
	if len(owned) == 0 {
		n.metrics.firing(nil)
		return p, nil
	}
	since := now.Add(-2*n.cfg.MaxAge - lasts)
	tellings, err := n.store.Changes(ctx, nil, since)
	if err != nil {
		return plan{}, err
	}
	mine := func(partner string) bool { return slices.Contains(owned, schema.Slot(partner)) }
	h := history{Changes: slices.DeleteFunc(tellings, func(t schema.Change) bool {
		return !mine(t.Partner) && t.Detector != strangerDetector // how many strangers there are, everybody must know
	})}
	ids := make([]string, len(h.Changes))
	for i := range h.Changes {
		ids[i] = h.Changes[i].ID
	}
	if h.Actions, err = inChunks(ids, func(ids []string) ([]schema.FindingAction, error) { return n.store.Actions(ctx, ids) }); err != nil {
		return plan{}, err
	}
	f := fold(h, n.cfg.MaxAge, n.cfg.Group, n.cfg.MaxStrangers, now)
	f.Watched = slices.DeleteFunc(f.Watched, func(r *episode) bool { return !mine(r.last().Partner) })
	noted, err := n.note(ctx, f.Watched, now)
	if err != nil {
		return plan{}, err
	}
	if len(noted) > 0 {
		h.Actions = append(h.Actions, noted...)
		f = fold(h, n.cfg.MaxAge, n.cfg.Group, n.cfg.MaxStrangers, now)
	}
	recent := slices.DeleteFunc(f.Alerts, func(a *alert) bool { return !mine(a.Partner) || !a.fires() && a.Ended.Before(since) })
	if p.settled, err = n.deliveries(ctx, recent); err != nil {
		return plan{}, err
	}
	due := slices.DeleteFunc(recent, func(a *alert) bool { return !a.fires() && n.settledByAll(p, a) })
	n.metrics.firing(due)
	if p.alerts, err = n.views(ctx, due); err != nil {
		return plan{}, err
	}
	return p, nil
}

// note writes down what the latest figures of episodes come to: no telling says it, and
// every instance is to fold it from the same moment.
func (n *Notifier) note(ctx context.Context, watched []*episode, now time.Time) ([]schema.FindingAction, error) {
	var acted, digested []string
	for _, r := range watched {
		if !r.due && r.resolved == nil {
			digested = append(digested, r.id()) // all that an old log leaves open, so of these only what goes on is read
		} else {
			acted = append(acted, r.id())
		}
	}
	latest, err := n.findings(ctx, acted, time.Time{})
	if err != nil {
		return nil, err
	}
	recent, err := n.findings(ctx, digested, now.Add(-n.cfg.MaxAge))
	if err != nil {
		return nil, err
	}
	maps.Copy(latest, recent)
	var noted []schema.FindingAction
	for _, r := range watched {
		f := latest[r.id()]
		if f == nil {
			continue
		}
		act, why := r.next(f, n.cfg.MaxAge, now)
		same := func(a schema.FindingAction) bool { return a.Finding == r.id() && a.Act == act } // of a stranger and of the crowd
		if act == "" || slices.ContainsFunc(noted, same) {
			continue
		}
		a := schema.FindingAction{
			Finding: r.id(), At: now.Truncate(time.Millisecond), Act: act, Who: "overreach", Reason: why, People: f.People.Value,
		}
		if err := n.store.WriteAction(ctx, a); err != nil {
			return nil, fmt.Errorf("noting that %s: %w", why, err)
		}
		noted = append(noted, a)
	}
	return noted, nil
}

func (n *Notifier) deliveries(ctx context.Context, alerts []*alert) (map[string]map[string]schema.Outcome, error) {
	var ids []string
	for _, a := range alerts {
		for _, e := range a.events() {
			ids = append(ids, e.id)
		}
	}
	all := map[string]map[string]schema.Outcome{}
	for chunk := range chunks(ids) {
		part, err := n.store.Deliveries(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for receiver, outcomes := range part {
			if all[receiver] == nil {
				all[receiver] = map[string]schema.Outcome{}
			}
			maps.Copy(all[receiver], outcomes)
		}
	}
	return all, nil
}

func (n *Notifier) settledByAll(p plan, a *alert) bool {
	for _, s := range n.senders {
		for _, e := range a.events() {
			if p.settled[s.name][e.id] == "" {
				return false
			}
		}
	}
	return true
}

// views reads the figures that are shown of each alert.
func (n *Notifier) views(ctx context.Context, alerts []*alert) ([]view, error) {
	var ids []string
	for _, a := range alerts {
		ids = append(ids, a.Lead)
		for _, r := range a.shown() {
			ids = append(ids, r.id())
		}
	}
	latest, err := n.findings(ctx, ids, time.Time{})
	if err != nil {
		return nil, err
	}
	views := make([]view, len(alerts))
	for i, a := range alerts {
		views[i] = view{a, latest}
	}
	return views, nil
}

// findings reads those of the ids that were seen since a time, by id.
func (n *Notifier) findings(ctx context.Context, ids []string, since time.Time) (map[string]*schema.Finding, error) {
	all, err := inChunks(ids, func(ids []string) ([]schema.VersionedFinding, error) {
		return n.store.Findings(ctx, schema.FindingsQuery{IDs: ids, Since: since})
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*schema.Finding, len(all))
	for i := range all {
		byID[all[i].ID()] = &all[i].Finding
	}
	return byID, nil
}

// chunks yields each of the ids once, some at a time.
func chunks(ids []string) iter.Seq[[]string] {
	slices.Sort(ids)
	return slices.Chunk(slices.Compact(ids), idsAtOnce)
}

// inChunks reads what belongs to many ids, some at a time.
func inChunks[T any](ids []string, read func([]string) ([]T, error)) ([]T, error) {
	var all []T
	for chunk := range chunks(ids) {
		part, err := read(chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// trouble logs when something begins to fail and when it works again, and
// nothing in between.
type trouble struct{ failing bool }

func (t *trouble) note(log zerolog.Logger, err error, fails, works string) {
	switch {
	case err != nil && !t.failing:
		log.Error().Err(err).Msg(fails)
	case err == nil && t.failing:
		log.Info().Msg(works)
	}
	t.failing = err != nil
}
