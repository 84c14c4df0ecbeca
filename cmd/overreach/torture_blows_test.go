package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

// blow is something that is done to the world beside killing an instance. i is
// the one that just died.
type blow struct {
	name   string
	strike func(i int)
}

func (m *torment) allBlows() []blow {
	all := []blow{
		{"engine killed", m.killEngine}, {"engine stopped", m.stopEngine}, {"broker killed", m.killBroker},
		{"instance paused", m.pause}, {"tokens forgotten", m.forget},
		{"connections delayed", m.toxic(2*time.Second, `{"type": "latency", "attributes": {"latency": 300, "jitter": 200}}`)},
		// Requests go through and answers do not, until the connection ends: whoever
		// asked does not know what became of it.
		{"answers dropped", m.toxic(1500*time.Millisecond, `{"type": "timeout", "attributes": {"timeout": 700}}`)},
		{"connections cut at the answer", m.toxic(1500*time.Millisecond, `{"type": "limit_data", "attributes": {"bytes": 1}}`)},
		{"connections refused", m.refuse},
		{"batch damaged", m.damage}, {"batch damaged, passed by command", m.damageAndSkip},
		{"ClickHouse away, Kafka goes on", m.clickHouseAway},
	}
	if m.disk != nil {
		all = append(all, blow{"disk full", m.fillDisk})
	}
	return all
}

// stillThere makes sure that the engine has lost nothing that it once had, so that a
// difference in the end can be told from its own fault.
func (m *torment) stillThere(after string) {
	rows, err := m.ask("SELECT count() FROM access_events")
	if err != nil {
		return // it will be asked again
	}
	n, err := strconv.Atoi(rows[0])
	if err != nil || n < m.rows {
		m.failed = append(m.failed, fmt.Sprintf("the engine has %s raw rows, it had %d; after: %s", rows[0], m.rows, after))
	}
	m.rows = n
}

func (m *torment) killEngine(int) {
	m.engine.Kill()
	time.Sleep(time.Duration(m.random.IntN(1000)) * time.Millisecond)
	m.startEngine()
}

func (m *torment) stopEngine(int) {
	if err := m.engine.Stop(); err != nil {
		m.t.Errorf("stopping the engine: %v", err)
	}
	m.startEngine()
}

func (m *torment) killBroker(int) {
	m.kafka.Kill(0)
	m.kafka.Restart(0)
	m.kafka.AwaitBrokers()
}

// while runs an instance that will not die during something, once the group has
// told it what is its own.
func (m *torment) while(i int, f func()) {
	p := m.launch(m.config(), "")
	m.instances[i] = p
	holds(20*time.Second, func() bool { return p.dead() || strings.Contains(p.stderr.String(), `"message":"assigned"`) })
	time.Sleep(time.Duration(m.random.IntN(1000)) * time.Millisecond)
	f()
	m.instances[i].kill()
	m.buried(m.instances[i])
}

// holds waits until something holds, and reports whether it came to that.
func holds(within time.Duration, what func() bool) bool {
	deadline := time.Now().Add(within)
	for !what() && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	return what()
}

// between is what lies between the program and ClickHouse, or Kafka, or both.
func (m *torment) between() []*toxiproxy.Proxy {
	both := []*toxiproxy.Proxy{m.toClickHouse, m.toKafka}
	some := [][]*toxiproxy.Proxy{both[:1], both[1:], both}[m.random.IntN(3)]
	for _, p := range some {
		m.blows["between it and "+p.Name]++
	}
	return some
}

// toxic puts something between for a while.
func (m *torment) toxic(d time.Duration, json string) func(int) {
	return func(i int) {
		m.while(i, func() {
			some := m.between()
			for _, p := range some {
				if _, err := p.Toxics.AddToxicJson(strings.NewReader(json)); err != nil {
					m.t.Errorf("putting %s before %s: %v", json, p.Name, err)
				}
			}
			time.Sleep(d)
			for _, p := range some {
				p.Toxics.ResetToxics(context.Background())
			}
		})
	}
}

func (m *torment) refuse(i int) {
	m.while(i, func() {
		some := m.between()
		for _, p := range some {
			p.Stop()
		}
		time.Sleep(time.Second)
		for _, p := range some {
			if err := p.Start(); err != nil {
				m.t.Errorf("starting the proxy to %s again: %v", p.Name, err)
			}
		}
	})
}

// pause lets an instance sleep past its session: what it does when it wakes, a
// former owner does. With one process another one has taken over meanwhile.
func (m *torment) pause(i int) {
	m.while(i, func() {
		p := m.instances[i].process.Process
		_ = p.Signal(syscall.SIGSTOP) // it may have ended
		other := m.launch(m.config(), "")
		time.Sleep(2500 * time.Millisecond)
		_ = p.Signal(syscall.SIGCONT)
		time.Sleep(700 * time.Millisecond)
		other.kill()
		m.buried(other)
	})
}

// forget has the takeover of an unfinished batch come when ClickHouse no longer
// knows what was inserted of it.
func (m *torment) forget(i int) {
	point := []string{"flush.rejects", "flush.raw"}[m.random.IntN(2)]
	m.instances[i] = m.launch(m.config(), fmt.Sprintf("%s:%d", point, 1+m.random.IntN(10)))
	m.awaitDeath(m.instances[i])
	m.buried(m.instances[i])
	m.alone(i, func() {
		time.Sleep(300 * time.Millisecond) // what was sent has arrived
		if err := m.forgetTokens(); err != nil {
			m.t.Errorf("forgetting the tokens: %v", err)
		}
	})
}

// alone does something while no instance lives but the one that it starts itself.
func (m *torment) alone(i int, f func()) {
	others := func(f func(j int)) {
		for j := range m.instances {
			if j != i {
				f(j)
			}
		}
	}
	others(func(j int) {
		m.instances[j].kill()
		m.buried(m.instances[j])
	})
	f()
	others(func(j int) { m.instances[j] = m.launch(m.config(), m.nextPoint()) })
}
