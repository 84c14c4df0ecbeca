package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A producer puts a session id into the partner: on-call is told once, all of it
// can be queried, and once the registry knows them all it is told once that it is
// over.
func TestAThousandStrangersPageOnCallOnceAndResolveOnce(t *testing.T) {
	t.Parallel()
	s, h := startServers(t, 1), startHook(t)
	s.write("secret", hookSecret+"\n")
	const strangers = 1001
	var events [][]byte
	var registry strings.Builder
	registry.WriteString("capabilities: {messaging: {}}\npartners:\n")
	for i := range strangers {
		name := fmt.Sprintf("session-%04d", i)
		events = append(events, madeEvent{Time: time.Now().UTC().Format(time.RFC3339Nano), Partner: name, Capability: "messaging", Action: "read", Subject: "ann"}.json(t))
		_, _ = fmt.Fprintf(&registry, "  %s:\n    agreement: {start: 2013-01-01}\n    grants: [{capability: messaging, actions: [read], from: 2013-01-01}]\n", name) // a Builder never fails
	}
	s.write("registry.yaml", "capabilities: {messaging: {}}\npartners: {}\n")
	s.produce(0, events...)
	p := s.run("judge: {interval: 200ms}", "judge: {interval: 200ms, max_unregistered: 2000}\nalerts: {group: 0s, resend: 5s, webhook: {url: '"+h.URL+"', secret_file: secret}}")
	all := func(kind string) (n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, event := range h.told {
			if event.Kind == kind {
				n++
			}
		}
		return n
	}
	p.until("all strangers were found", func() bool {
		rows, err := s.ask("SELECT count() FROM findings WHERE state = 'open' AND detector = 'unregistered_partner'")
		return err == nil && rows[0] == fmt.Sprint(strangers)
	})
	p.until("on-call is told", func() bool { return h.kinds("(unregistered)") != "" })
	time.Sleep(2 * time.Second) // whatever else would be told is told by now
	// All was there before the first round, so there was never a time of few strangers.
	if n := all("firing"); n != 1 {
		t.Errorf("on-call is told of %d alerts", n)
	}
	if told := h.of("(unregistered)")[0].Alert; told.Labels["severity"] != "critical" || told.Labels["detector"] != "unregistered_partner" {
		t.Errorf("on-call was told %+v", told)
	}
	s.write("registry.yaml", registry.String())
	p.until("its end is told", func() bool { return all("resolved") > 0 })
	time.Sleep(time.Second)
	if n := all("resolved"); n != 1 || all("firing") != 1 {
		t.Errorf("on-call is told of %d alerts and %d ends", all("firing"), n)
	}
	p.stop()
}
