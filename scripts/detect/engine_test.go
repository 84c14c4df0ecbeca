package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/judge"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
)

// small draws from a scenario until the partner does little, so that it can be told
// event by event; each visit is one access, of somebody new.
func small(t *testing.T, name string, s *scenario, strength float64) labelled {
	t.Helper()
	for n := range 1000 {
		r := source(1, "small "+s.name, n)
		l := s.make(r, s.lengths[0], strength)
		p := l.partner
		if p.shape.level > 8 || p.shape.level < 2 && s.detector != "unregistered_partner" || len(p.flows) > 4 {
			continue
		}
		for i := range p.crowds {
			p.crowds[i] = everybody
		}
		for i := range p.flows {
			p.flows[i].usageKey.Partner = name
			copy(p.flows[i].accesses, p.flows[i].visits)
			clear(p.flows[i].bytes)
		}
		if entry, ok := p.registry.Partners[p.name]; ok {
			delete(p.registry.Partners, p.name)
			entry.Name = name
			p.registry.Partners[name] = entry
		}
		p.name = name
		return l
	}
	t.Fatalf("no small partner of %s", s.name)
	return labelled{}
}

// lines writes what a partner did, call by call, in the moments that answers
// are about.
func lines(p *partner) [][]byte {
	var all [][]byte
	person := 0
	for i := range p.flows {
		f := &p.flows[i]
		for h := range p.hours {
			begin := (p.begin.Second() + int64(h)*3600) * 1000
			for status, n := range map[int]float64{200: f.accesses[h], 403: f.attempts[h]} {
				for k := 1.0; k <= n; k++ {
					person++
					line, err := json.Marshal(map[string]any{
						"time": begin + moment(k, n), "partner": f.usageKey.Partner, "app": f.usageKey.App, "capability": f.usageKey.Capability,
						"action": f.usageKey.Action.String(), "subject": fmt.Sprintf("%s-%d", p.name, person), "status": status,
					})
					if err != nil {
						panic(err)
					}
					all = append(all, line)
				}
			}
		}
	}
	return all
}

func TestTheJudgeOnTheEngineFindsWhatIsFoundFromSimulatedHours(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an engine")
	}
	var partners []*partner
	for i, one := range []struct {
		scenario string
		strength float64
	}{
		{"a burst", 20}, {"split over eight apps", 5}, {"limit of an hour", 2}, {"limit of 24 hours", 0.9}, {"limit of a month", 1.2},
		{"after the grant's end", 10}, {"after the grant's end, all refused", 10}, {"a stranger", 100},
	} {
		all := scenarios()
		s := &all[slices.IndexFunc(all, func(s scenario) bool { return s.name == one.scenario })]
		if one.scenario == "a burst" {
			s.make = burst(3, 8, false)
		}
		if one.scenario == "split over eight apps" {
			continue
		}
		partners = append(partners, small(t, fmt.Sprintf("partner-%d", i), s, one.strength).partner)
	}
	reg := &registry.Registry{Capabilities: map[string]registry.Capability{}, Partners: map[string]registry.Partner{}}
	watermark := int64(0)
	var log [][]byte
	for _, p := range partners {
		for name, c := range p.registry.Capabilities {
			reg.Capabilities[name] = c
		}
		for name, entry := range p.registry.Partners {
			reg.Partners[name] = entry
		}
		watermark = max(watermark, p.end())
		log = append(log, lines(p)...)
	}
	reg, err := registry.Parse("registry.yaml", reg.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	// Somebody is seen at the very end, so that all is closed.
	log = append(log, fmt.Appendf(nil, `{"time":%d,"partner":"clock","app":"","capability":"friends","action":"read","subject":"x","status":403}`, watermark*1000))

	want := map[string]schema.Finding{}
	for _, p := range partners {
		p.registry, p.watermark, p.unseen = reg, watermark, p.begin
		for _, f := range findingsOf(p, nil) {
			want[f.ID()] = f
		}
	}
	kinds := map[string]int{}
	for _, f := range want {
		kinds[f.Detector]++
	}
	if len(kinds) < 4 {
		t.Errorf("only %v is found from simulated hours", kinds)
	}

	for _, f := range found(t, reg, log, watermark) {
		if f.Partner == "clock" {
			continue
		}
		id := f.ID()
		w, ok := want[id]
		if !ok {
			t.Errorf("the judge finds more: %s %s %s", f.Detector, f.Severity, f.Sentence)
			continue
		}
		delete(want, id)
		near := math.Abs(float64(f.People.Value)-float64(w.People.Value)) <= 0.03*float64(w.People.Value)
		if f.PeriodEnd != w.PeriodEnd || f.Severity != w.Severity || f.State != w.State || !near || f.FirstCrossing.Sub(w.FirstCrossing).Abs() > 2*time.Minute {
			t.Errorf("the judge finds\n%s %s to %s, from %s, %s\nand simulated hours\n%s %s to %s, from %s, %s",
				f.Severity, f.State, f.PeriodEnd, f.FirstCrossing, f.Sentence, w.Severity, w.State, w.PeriodEnd, w.FirstCrossing, w.Sentence)
		}
	}
	for _, w := range want {
		t.Errorf("the judge does not find: %s %s %s", w.Detector, w.Severity, w.Sentence)
	}
}

// found lets consumer, judge and engine find what is in a log.
func found(t *testing.T, reg *registry.Registry, log [][]byte, watermark int64) []schema.Finding {
	t.Helper()
	addr, _ := embeddedtest.Engine(t)
	st, err := store.Open(t.Context(), store.Config{Addresses: []string{addr}, Database: "default", Username: "default", Password: embeddedtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ordinal, err := st.SaveRegistry(t.Context(), reg, reg.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	broker := embeddedtest.Broker(t, map[string]int32{"access": 1})
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(broker.Addr()), Transport: transport}
	for some := range slices.Chunk(log, 5000) {
		records := make([]kafka.Record, len(some))
		for i, line := range some {
			records[i] = kafka.Record{Value: kafka.NewBytes(line), Time: time.Unix(watermark, 0).Add(time.Hour)}
		}
		res, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: "access", RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := consumer.New(consumer.Config{
		Brokers: []string{broker.Addr()}, Group: "overreach", Topics: []consumer.Topic{{Name: "access"}},
		Start: consumer.Start{At: consumer.Earliest}, Limits: consumer.DefaultLimits(), TimeLimits: schema.DefaultTimeLimits(),
		HashKey: consumer.HashKey{1, 2}, Fingerprint: "test",
	}, st, zerolog.Nop(), consumer.NewMetrics(prometheus.NewRegistry()))
	c.Drain()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the consumer ended with %v", err)
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		extents, err := st.Extents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		counted, rejected := uint64(0), uint64(0)
		for _, e := range extents {
			counted, rejected = counted+e.Events, rejected+e.Rejected
		}
		if rejected > 0 {
			t.Fatalf("%d events were rejected", rejected)
		}
		if counted == uint64(len(log)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events are counted", counted, len(log))
		}
	}
	cfg := judge.Config{MaxUnregistered: 10, MaxApps: 20}
	j := judge.New(cfg, st, everySlot{c}, func() (*registry.Registry, uint32) { return reg, ordinal },
		func([]schema.FindingChange) {}, judge.NewMetrics(prometheus.NewRegistry()), zerolog.Nop())
	ends, err := c.Ends(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Drain(t.Context(), ends); err != nil {
		t.Fatal(err)
	}
	versioned, err := st.Findings(t.Context(), schema.FindingsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var all []schema.Finding
	for _, f := range versioned {
		if f.State != schema.Withdrawn && !strings.HasPrefix(f.Partner, "clock") {
			all = append(all, f.Finding)
		}
	}
	return all
}

// everySlot owns all partners.
type everySlot struct{ *consumer.Consumer }

func (everySlot) Slots() []uint8 {
	all := make([]uint8, schema.Slots)
	for i := range all {
		all[i] = uint8(i)
	}
	return all
}
