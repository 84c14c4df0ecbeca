package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/notify"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// serviceConfig is what `run` and `demo` wire together.
type serviceConfig struct {
	consumer       consumer.Config
	judge          judge.Config
	alerts         notify.Config // without a receiver: nobody is told
	keyFingerprint string
	registryFile   string // empty: a registry of nobody
	// earlier are, on one machine, the ends of the incarnations whose broker ended with
	// its run: what is counted of them.
	earlier map[schema.Partition]int64
	listen  string // of health and metrics; empty: nowhere
}

// service is one instance: ingest, the judge, and who watches them.
type service struct {
	cfg      serviceConfig
	log      zerolog.Logger
	store    *store.Store
	consumer *consumer.Consumer
	judge    *judge.Judge
	notifier *notify.Notifier // nil: nobody is told
	registry *watchedRegistry
	metrics  *prometheus.Registry
	tally    tally // of what was counted
}

// newService wires the parts. The store is open and migrated, and stays the
// caller's to close.
func newService(ctx context.Context, cfg serviceConfig, st *store.Store, log zerolog.Logger) (*service, error) {
	registry, err := openRegistry(ctx, cfg.registryFile, st, log)
	if err != nil {
		return nil, err
	}
	s := &service{cfg: cfg, log: log, store: st, registry: registry, metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.consumer.Incarnations = s.incarnations
	told := cfg.consumer.Counted
	cfg.consumer.Counted = func(c consumer.Counted) {
		s.tally.add(c)
		if told != nil {
			told(c)
		}
	}
	s.consumer = consumer.New(cfg.consumer, st, log, consumer.NewMetrics(s.metrics))
	kafka := kafkaLog{s.consumer, cfg.earlier}
	if len(cfg.alerts.Alertmanagers)+len(cfg.alerts.Webhooks) > 0 {
		s.notifier = notify.New(cfg.alerts, st, kafka.Slots, notify.NewMetrics(s.metrics), log)
	}
	tell := func(changes []schema.FindingChange) {
		notify.Log(log, changes)
		if s.notifier != nil {
			s.notifier.Nudge()
		}
	}
	s.judge = judge.New(cfg.judge, st, kafka, registry.current, tell, judge.NewMetrics(s.metrics), log)
	return s, nil
}

// incarnations implements consumer.Config.Incarnations: the tables say which incarnation of a
// topic is in force, and whose it is to read.
func (s *service) incarnations(ctx context.Context, now []consumer.Incarnation) ([]consumer.Incarnation, error) {
	inForce := slices.Clone(now)
	for i, st := range now {
		at := time.Now().UTC().Truncate(time.Millisecond)
		// Before the incarnation is there, so before anything of it is counted: rows under a
		// form of the id that nobody knows are never found.
		subject, actor := s.cfg.consumer.Topics[i].RecordEncoding().Normalisations(idHash(s.cfg.consumer.HashKey))
		err := s.store.NoteNormalisations(ctx, st.Name, subject, actor, at)
		var kept store.Incarnation
		if err == nil {
			kept, err = s.store.OpenIncarnation(ctx, store.Incarnation{
				Name: st.Name, Cluster: st.Cluster, Topic: st.Topic, TopicID: st.TopicID, Number: st.Number, Partitions: st.Partitions,
				Group: s.cfg.consumer.Group, KeyFingerprint: s.cfg.keyFingerprint, Backfill: st.Backfill, FirstSeen: at,
			})
		}
		if err != nil && !store.Temporary(err) && ctx.Err() == nil {
			return nil, fmt.Errorf("%w: %w", consumer.ErrRefused, err)
		}
		if err != nil {
			return nil, err
		}
		inForce[i] = asKnown(st, kept)
	}
	return inForce, nil
}

// asKnown returns an incarnation as the tables know it.
func asKnown(st consumer.Incarnation, inForce store.Incarnation) consumer.Incarnation {
	st.Name, st.TopicID, st.Number, st.Partitions = inForce.Name, inForce.TopicID, inForce.Number, inForce.Partitions
	return st
}

// kafkaLog is what the judge asks of ingest.
type kafkaLog struct {
	consumer *consumer.Consumer
	earlier  map[schema.Partition]int64 // see serviceConfig
}

// Ends implements judge.Log: topics that are a backfill hold no watermark back.
func (k kafkaLog) Ends(ctx context.Context) (map[schema.Partition]int64, error) {
	incarnations, err := k.consumer.Incarnations(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := k.consumer.Ends(ctx)
	if err != nil {
		return nil, err
	}
	for p := range ends {
		backfill := slices.ContainsFunc(incarnations, func(s consumer.Incarnation) bool { return s.Name == p.Incarnation && s.Backfill })
		if backfill {
			delete(ends, p)
		}
	}
	maps.Copy(ends, k.earlier)
	return ends, nil
}

// Slots implements judge.Log: slot s is judged by the owner of partition s mod n
// of the group's first topic.
func (k kafkaLog) Slots() []uint8 {
	owned, n := k.consumer.Owned()
	var slots []uint8
	if n == 0 {
		return nil
	}
	for s := range schema.Slots {
		if slices.Contains(owned, int32(s%n)) { //nolint:gosec // s is at most 255
			slots = append(slots, uint8(s)) //nolint:gosec // s is at most 255
		}
	}
	return slots
}

// run runs all parts until ctx ends or one of them fails. Where finish is not
// nil, it runs beside them, and its return ends them.
func (s *service) run(ctx context.Context, finish func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{s.consumer.Run, s.registry.watch}
	if finish == nil {
		parts = append(parts, s.judge.Run, s.logTally)
	} else {
		parts = append(parts, finish)
	}
	if s.notifier != nil {
		parts = append(parts, s.notifier.Run)
	}
	if s.cfg.listen != "" {
		parts = append(parts, s.serve)
	}
	results := make(chan error, len(parts))
	for _, part := range parts {
		go func() { results <- part(ctx) }()
	}
	var errs []error
	for range parts {
		if err := <-results; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
		cancel() // a part that ends, ends them all
	}
	if finish == nil {
		o := s.tally.take()
		o.log(s.log)
	}
	return errors.Join(errs...)
}

// tallyEvery is how often the log says which records became no events.
const tallyEvery = time.Hour

// logTally says each hour, where there were rejects, what became of the records
// since.
func (s *service) logTally(ctx context.Context) error {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			o := s.tally.take()
			o.log(s.log)
		}
	}
}

// serve answers health checks and metrics.
func (s *service) serve(ctx context.Context) error {
	mux := http.NewServeMux() // GET, and HEAD with it: nothing can be changed through it
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		how, err := s.ready(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(how + "\n"))
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.listen)
	if err != nil {
		return fmt.Errorf("listening for health checks and metrics: %w; choose another address with --listen", err)
	}
	s.log.Info().Str("address", listener.Addr().String()).Msg("serving /healthz, /readyz, /metrics")
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0), // what strangers send is not worth a line
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving health checks and metrics: %w", err)
	}
	return nil
}

// behind returns how many of the partitions are not counted to their end.
func (s *service) behind(ctx context.Context, ends map[schema.Partition]int64) (int, error) {
	extents, err := s.store.Extents(ctx)
	if err != nil {
		return 0, err
	}
	counted := map[schema.Partition]int64{}
	for _, e := range extents {
		counted[e.Partition] = e.To
	}
	behind := 0
	for p, end := range ends {
		if counted[p] < end {
			behind++
		}
	}
	return behind, nil
}
