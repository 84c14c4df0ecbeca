// Package consumer reads access events from Kafka and writes their sums to
// ClickHouse, so that each record is counted once whatever crashes, is reset or
// comes twice.
//
// A loop for each partition fetches records, adds their events to a batch, and
// flushes the batch in four steps: pin (commit where it begins, with where it
// ends), raw rows, usage with the marker that vouches for the range, commit.
// Whoever takes a partition over asks the markers how far it has been counted.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// Store is where the rows go. Each insert is one block under a token of table,
// incarnation, partition and range, so that repeating it soon is harmless. The rows
// are the consumer's again once a call returns: what is kept must be copied. An
// error is taken for an outage, and the call is repeated.
type Store interface {
	// Counted returns the greatest To of a partition's markers; ok is false
	// where it has none.
	Counted(ctx context.Context, p schema.Partition) (to int64, ok bool, err error)
	// InsertAccess writes the raw rows of a range.
	InsertAccess(ctx context.Context, r schema.Range, rows *schema.AccessRows) error
	// InsertRejects writes the rejects of a range.
	InsertRejects(ctx context.Context, r schema.Range, rows *schema.RejectRows) error
	// InsertUsage writes the usage of a range and its marker: both or none.
	InsertUsage(ctx context.Context, m schema.Marker, rows *schema.UsageRows) error
	// HasRaw reports whether the raw rows of a range are there.
	HasRaw(ctx context.Context, r schema.Range) (bool, error)
	// HasRejects reports whether the rejects of a range are there.
	HasRejects(ctx context.Context, r schema.Range) (bool, error)
	// Skips reports whether somebody wants that passed which a partition stands
	// before at an offset, since it cannot be decoded.
	Skips(ctx context.Context, p schema.Partition, offset int64) (bool, error)
}

// Consumer is this instance's part of the group.
type Consumer struct {
	cfg        Config
	store      Store
	log        zerolog.Logger
	metrics    *Metrics
	cluster    *cluster
	kafka      *outage
	clickhouse *outage
	joining    waiter        // for what it takes to begin a generation
	connected  chan struct{} // closed once the cluster has answered
	drain      atomic.Bool
	lastFlush  time.Duration               // how long a flush may outlive its generation
	pace       time.Duration               // of attempts at what cannot be decoded
	stalls     map[schema.Partition]*stall // of this instance's partitions, now or before

	mu           sync.Mutex
	incarnations []Incarnation // in force, in the order of the configuration
	owned        []int32       // partitions of the first topic, ascending
	total        int           // how many it has
	parts        []*progress   // one for each partition that this instance counts
	outside      time.Time     // since when this instance is in no generation; zero: it is in one
}

// New makes a Consumer, which does nothing until Run.
func New(cfg Config, store Store, log zerolog.Logger, metrics *Metrics) *Consumer {
	metrics.begin(cfg.Topics)
	return &Consumer{
		cfg: cfg, store: store, log: log, metrics: metrics,
		cluster:    newCluster(&cfg),
		kafka:      newOutage("Kafka", metrics, log),
		clickhouse: newOutage("ClickHouse", metrics, log),
		outside:    time.Now(),
		connected:  make(chan struct{}),
		lastFlush:  5 * time.Second,
		pace:       stallPace,
		stalls:     map[schema.Partition]*stall{},
	}
}

// Run reads until ctx ends, then flushes what it holds, leaves the group and
// returns nil, within ten seconds. Before the cluster has answered once, what is
// wrong with it is an error; later it waits and tries again. Run is called once.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.cfg.check(); err != nil {
		return err
	}
	defer c.cluster.close()
	if err := c.cluster.connect(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	close(c.connected)
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:               c.cfg.Group,
		Brokers:          c.cfg.Brokers,
		Dialer:           c.cluster.dialer(),
		Topics:           c.cluster.topics,
		JoinGroupBackoff: time.Second,
		SessionTimeout:   sessionTimeout,

		HeartbeatInterval: sessionTimeout / 3,
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", c.cfg.Group, err)
	}
	defer c.leave(group)
	for joined := false; ; {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			joined = true
			c.kafka.answered(&c.joining)
			if err := c.take(ctx, generation); err != nil {
				return err
			}
		case !joined && refused(err):
			return c.cluster.explain(fmt.Errorf("joining group %s: %w", c.cfg.Group, err))
		case !errors.Is(err, kafka.RebalanceInProgress):
			c.kafka.failed(&c.joining, fmt.Errorf("joining group %s: %w", c.cfg.Group, err))
		}
	}
}

// leave closes the group, which waits for the loops and tells the coordinator.
// It waits no longer than a stop may take: a coordinator that is away learns it
// from the missing heartbeats.
func (c *Consumer) leave(group *kafka.ConsumerGroup) {
	closed := make(chan struct{})
	go func() {
		_ = group.Close() // always nil
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(c.lastFlush + 3*time.Second):
		c.log.Warn().Msg("the group did not let go in time; the coordinator will notice by itself")
	}
}

// take takes what a generation assigns, once it is known which incarnations of the topics
// are in force. Meanwhile, which lasts as long as ClickHouse is away, the logs are
// watched by the group's offsets. Where the generation ends first, another follows.
func (c *Consumer) take(ctx context.Context, g *kafka.Generation) error {
	all := 0
	for _, partitions := range c.cluster.known {
		all += len(partitions)
	}
	limits := c.cfg.Limits.each(all)
	if c.cfg.Shared != nil {
		c.cfg.Shared(all)
	}
	var parts []*progress
	for _, topic := range c.cfg.Topics {
		for _, a := range g.Assignments[topic.Name] {
			p := c.newProgress(topic.Name, int32(a.ID), limits)
			if a.Offset >= 0 { // else the group has none
				p.assume(a.Offset)
			}
			parts = append(parts, p)
		}
	}
	during, end := context.WithCancel(ctx)
	g.Start(func(generation context.Context) {
		defer end()
		c.poll(generation, parts)
	})
	stale, err := c.reopen(during)
	if during.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	c.serve(ctx, g, stale, parts, limits)
	return nil
}

// serve starts a loop for each partition that a generation assigns.
func (c *Consumer) serve(ctx context.Context, g *kafka.Generation, stale bool, parts []*progress, limits Limits) {
	c.metrics.rebalances.Inc()
	first := c.cfg.Topics[0].Name
	var mine []int32
	for _, a := range g.Assignments[first] {
		mine = append(mine, int32(a.ID))
	}
	slices.Sort(mine)
	incarnations := c.inForce()
	var loops []*partition
	for i, topic := range c.cfg.Topics {
		c.log.Info().Str("topic", topic.Name).Int32("generation", g.ID).Int("partitions", len(g.Assignments[topic.Name])).Msg("assigned")
		for _, far := range parts {
			if far.topic == topic.Name {
				loops = append(loops, c.newPartition(topic, incarnations[i], far, limits, g))
			}
		}
	}
	c.enter(mine, len(c.cluster.known[first]), parts)
	for _, topic := range c.cfg.Topics {
		c.metrics.owned.WithLabelValues(topic.Name).Set(float64(len(g.Assignments[topic.Name])))
	}
	g.Start(func(generation context.Context) {
		defer c.exit()
		c.watch(generation, stale)
	})
	for _, p := range loops {
		g.Start(func(generation context.Context) {
			reading, stop := context.WithCancel(ctx)
			defer stop()
			defer context.AfterFunc(generation, stop)()
			write, release := outlive(reading, c.lastFlush)
			defer release()
			p.run(reading, write)
		})
	}
}

// newProgress is that of a partition of which nobody has said yet how far it is counted.
func (c *Consumer) newProgress(topic string, id int32, limits Limits) *progress {
	log := c.log.With().Str("topic", topic).Int32("partition", id).Logger()
	far := newProgress(place{topic, id}, limits.Age, c.metrics, log)
	far.forgets = c.cfg.Forgets
	return far
}

func (c *Consumer) newPartition(topic Topic, incarnation Incarnation, far *progress, limits Limits, g *kafka.Generation) *partition {
	id := far.partition
	named := schema.Partition{Incarnation: incarnation.Name, Partition: id}
	if c.stalls[named] == nil {
		c.stalls[named] = &stall{}
	}
	return &partition{
		cfg: &c.cfg, topic: topic, incarnation: incarnation, id: named, stall: c.stalls[named], pace: c.pace, label: partitionLabel(id), limits: limits,
		store: c.store, cluster: c.cluster, metrics: c.metrics,
		kafka: c.kafka, clickhouse: c.clickhouse,
		log:      far.log,
		progress: far,
		drained:  c.drain.Load,
		fence: &fence{
			client: &kafka.Client{Addr: c.cluster.addr, Transport: c.cluster.commits},
			group:  c.cfg.Group, topic: topic.Name, partition: id,
			generation: g.ID, member: g.MemberID,
		},
		fetch:   &fetcher{transport: c.cluster.fetches, cluster: c.cluster, topic: topic.Name, partition: id},
		batch:   newBatch(c.cfg.HashKey, topic, c.cfg.TimeLimits),
		settled: -1,
		point:   reached,
	}
}

// outlive returns a context that ends d after ctx does.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(d, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// enter notes what a generation gives to this instance.
func (c *Consumer) enter(owned []int32, total int, parts []*progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owned, c.total, c.parts, c.outside = owned, total, parts, time.Time{}
}

// exit notes that the generation has ended.
func (c *Consumer) exit() {
	c.metrics.begin(c.cfg.Topics)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owned, c.parts, c.outside = nil, nil, time.Now()
}

// Owned returns which partitions of the group's first topic this instance owns
// now, ascending, and how many the topic has. Between two generations it owns
// none.
func (c *Consumer) Owned() (partitions []int32, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.owned), c.total
}

// Drain says that nothing more will be produced: from now on a batch is flushed
// as soon as its partition is read to the end, however small it is.
func (c *Consumer) Drain() { c.drain.Store(true) }

// Ends returns the last stable offset that Kafka names now for every partition
// of every topic of the group: a marker that reaches it has caught up, for what
// lies behind it belongs to no transaction that has ended. It waits until the
// cluster has answered once.
func (c *Consumer) Ends(ctx context.Context) (map[schema.Partition]int64, error) {
	incarnations, err := c.Incarnations(ctx)
	if err != nil {
		return nil, err
	}
	_, partitions, err := c.cluster.describe(ctx, c.cluster.asks)
	if err != nil {
		return nil, fmt.Errorf("asking for partitions: %w", err)
	}
	logs, err := c.cluster.logs(ctx, partitions)
	if err != nil {
		return nil, err
	}
	ends := make(map[schema.Partition]int64)
	for _, s := range incarnations {
		for _, id := range partitions[s.Topic] {
			ends[schema.Partition{Incarnation: s.Name, Partition: int32(id)}] = logs[place{s.Topic, int32(id)}].end
		}
	}
	return ends, nil
}
