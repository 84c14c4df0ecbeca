package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Incarnation is one topic that the group reads, from the topic's creation to its
// deletion. Where somebody deleted the topic and made it again, or cut its log off, the
// command overreach topic new begins another incarnation: its offsets mean other records.
type Incarnation struct {
	Name       string // cluster/topic@number
	Cluster    string // the cluster's own id
	Topic      string
	TopicID    string // hexadecimal; empty: Kafka gives none
	Number     uint32 // which incarnation, from 1
	Partitions uint32 // how many it had when it was first read
	Backfill   bool

	other bool // the topic that has the name now is not the one whose incarnation it is
}

// isOther reports whether a topic with an id is not the one whose incarnation this is.
// An id that is not known says nothing.
func (s *Incarnation) isOther(topicID string) bool {
	return s.TopicID != "" && topicID != "" && s.TopicID != topicID
}

// ErrRefused says that this instance must not read an incarnation: the hash key or the
// group is not the one under which it is counted.
var ErrRefused = errors.New("this instance must not read")

// askInForce asks Config.Incarnations which incarnation of each topic is in force; ids are
// the topic ids that Kafka gives now.
func (c *Consumer) askInForce(ctx context.Context, ids map[string]string) (incarnations []Incarnation, err error) {
	ctx, cancel := context.WithTimeout(ctx, incarnationsTimeout)
	defer cancel()
	name := c.cfg.Cluster
	if name == "" {
		name = c.cluster.id
	}
	var now []Incarnation
	for _, t := range c.cfg.Topics {
		now = append(now, Incarnation{
			Name: name + "/" + t.Name + "@1", Cluster: c.cluster.id, Topic: t.Name, TopicID: ids[t.Name],
			Number: 1, Partitions: uint32(len(c.cluster.known[t.Name])), Backfill: t.Backfill, //nolint:gosec // Kafka's own number
		})
	}
	incarnations = slices.Clone(now)
	if c.cfg.Incarnations != nil {
		if incarnations, err = c.cfg.Incarnations(ctx, slices.Clone(now)); err != nil {
			return nil, err
		}
	} else if before := c.inForce(); before != nil {
		incarnations = before
	}
	for i := range incarnations {
		incarnations[i].other = incarnations[i].isOther(now[i].TopicID)
	}
	return incarnations, nil
}

// incarnationsTimeout bounds one question for the incarnations in force, so that a ClickHouse
// that hangs is noticed. It reads and writes a row for each topic.
const incarnationsTimeout = 30 * time.Second

// open takes the incarnations that are in force.
func (c *Consumer) open(ctx context.Context) error {
	ids, err := c.cluster.topicIDs(ctx)
	if err != nil {
		return err
	}
	return c.takeIncarnations(ctx, ids)
}

func (c *Consumer) takeIncarnations(ctx context.Context, ids map[string]string) error {
	incarnations, err := c.askInForce(ctx, ids)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.incarnations = incarnations
	return nil
}

// reopen takes the incarnations that are in force, and waits for those who know them.
// It reports whether they have changed, or had to be waited for: then the group
// may have shared out its partitions while a topic was not there.
func (c *Consumer) reopen(ctx context.Context) (stale bool, err error) {
	before, tries := c.inForce(), 0
	refused := func(err error) bool { return errors.Is(err, ErrRefused) }
	err = c.clickhouse.retry(ctx, &c.joining, refused, func(ctx context.Context) error {
		var ids map[string]string // anew each time: ClickHouse may be away for long
		err := c.kafka.retry(ctx, &c.joining, refused, func(ctx context.Context) (err error) {
			tries++
			ids, err = c.cluster.topicIDs(ctx)
			return err
		})
		if err != nil {
			return err
		}
		return c.takeIncarnations(ctx, ids)
	})
	return tries > 1 || !slices.Equal(before, c.inForce()), err
}

func (c *Consumer) inForce() []Incarnation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.incarnations)
}

// watchEvery is how often a topic is asked whether it has grown, and whether
// another incarnation of it is in force.
const watchEvery = 5 * time.Second

// watch returns at once where the generation is stale, when the generation ends, or ends it where a topic has other
// partitions or another incarnation than before the group was joined: one instance that
// notices it has all of them ask. kafka-go's own watcher compares with what it
// finds after joining, and so may never read a partition that was added in
// between.
func (c *Consumer) watch(ctx context.Context, stale bool) {
	if stale {
		c.log.Info().Msg("the topics have changed meanwhile; joining the group anew")
		return
	}
	var w waiter
	defer c.kafka.left(&w)
	defer c.clickhouse.left(&w)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		_, now, err := c.cluster.describe(ctx, c.cluster.asks)
		if err == nil && !maps.EqualFunc(now, c.cluster.known, slices.Equal) {
			c.log.Info().Msg("the partitions of a topic have changed; joining the group anew")
			c.cluster.known = now
			return
		}
		ids, err := c.cluster.topicIDs(ctx)
		c.kafka.note(ctx, &w, err)
		if err == nil {
			incarnations, err := c.askInForce(ctx, ids)
			if errors.Is(err, ErrRefused) {
				return // the next generation says why
			}
			if c.cfg.Incarnations != nil {
				c.clickhouse.note(ctx, &w, err)
			}
			if err == nil && !slices.Equal(incarnations, c.inForce()) {
				c.log.Info().Msg("the incarnation of a topic has changed; joining the group anew")
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Incarnations returns the incarnations that are in force, in the order of the configuration.
// It waits until the cluster has answered once.
func (c *Consumer) Incarnations(ctx context.Context) ([]Incarnation, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.connected:
	}
	return c.inForce(), nil
}

// errOtherIncarnation says that the topic no longer holds what was counted of it.
// Counting on would mix two incarnations, so the partition stands still until
// somebody says what it is.
var errOtherIncarnation = errors.New("the topic is another one now")

// errMadeAgain is how an id tells it.
var errMadeAgain = fmt.Errorf("%w: it was deleted and made again", errOtherIncarnation)
