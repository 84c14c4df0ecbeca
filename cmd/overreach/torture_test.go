package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	tortureSeed  = flag.Uint64("torture.seed", 1, "what the kill test's log and its order of blows are made from")
	tortureKills = flag.Int("torture.kills", 20, "how often the kill test kills")
	tortureProcs = flag.Int("torture.procs", 1, "how many processes the kill test runs")
	tortureSay   = flag.String("torture.report", "", "file for the line that says how the kill test ended")
)

// torment is one run of the kill test.
type torment struct {
	*database
	random    *rand.Rand
	instances []*instance
	configs   [2]string // two readings of the log that come out the same
	reading   int
	points    []string       // all of them
	left      []string       // those that are still to be named
	diedAt    map[string]int // and those where somebody did
	kills     int
	blows     map[string]int // what was done beside killing
	failed    []string       // what no instance should have said
}

func TestNothingIsLostAndNothingIsTwiceWhateverDies(t *testing.T) {
	began := time.Now()
	w := startTortured(t, *tortureSeed)
	d := w.newDatabase("tortured")
	m := &torment{
		database: d, random: rand.New(rand.NewPCG(*tortureSeed, 2)), points: w.points(), diedAt: map[string]int{}, blows: map[string]int{},
	}
	listener := w.proxy.Listen
	m.configs = [2]string{d.config(listener, "1h"), d.config(listener, "2h")}

	producing, stop := context.WithCancel(t.Context())
	produced := make(chan error, 1)
	go func() { produced <- w.log.run(producing, 12) }()
	m.torment(*tortureKills, *tortureProcs)
	stop()
	if err := <-produced; err != nil {
		t.Fatalf("producing: %v", err)
	}

	t.Logf("tormented after %s", time.Since(began).Round(time.Second))
	var all []string
	if err := d.drained(3*time.Minute, m.tend); err != nil {
		all = append(all, err.Error())
	}
	t.Logf("drained after %s", time.Since(began).Round(time.Second))
	for _, p := range m.instances {
		p.kill()
		if t.Failed() || len(all) > 0 {
			t.Logf("an instance logged:\n%s", p.stderr.String())
		}
	}
	all = append(all, w.log.differences(d.ask)...)
	all = append(all, tellingDifferences(d.ask)...)
	all = append(all, m.unlikeUntouched()...)
	all = append(all, m.failed...)
	if *tortureKills >= len(m.points) {
		for _, p := range m.points {
			if m.diedAt[p] == 0 {
				t.Errorf("nobody died at %s", p)
			}
		}
	}
	t.Logf("compared after %s", time.Since(began).Round(time.Second))
	for i, difference := range all {
		if i == 100 {
			t.Logf("and %d more", len(all)-i)
			break
		}
		t.Error(difference)
	}
	line := fmt.Sprintf("kills %d, events %d, differences %d", m.kills, len(w.log.placed), len(all))
	t.Logf("seed %d, %d processes; died at %v; beside: %v", *tortureSeed, *tortureProcs, m.diedAt, m.blows)
	t.Log(line)
	if *tortureSay != "" {
		if err := os.WriteFile(*tortureSay, []byte(line+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// unlikeUntouched compares the findings with those of one process that reads the
// same log undisturbed.
func (m *torment) unlikeUntouched() []string {
	got, err := findingsOf(m.ask)
	if err != nil {
		return []string{err.Error()}
	}
	d := m.newDatabase("untouched")
	p := d.launch(d.config(m.engineAt.NativeAddr, "1h"), "")
	if err := d.drained(3*time.Minute, func() {}); err != nil {
		m.t.Logf("the untouched one logged:\n%s", p.stderr.String())
		return []string{"untouched: " + err.Error()}
	}
	p.kill()
	want, err := findingsOf(d.ask)
	if err != nil {
		return []string{err.Error()}
	}
	if len(want) < 10 {
		return []string{fmt.Sprintf("only %d findings to compare", len(want))}
	}
	m.t.Logf("%d findings compared", len(want))
	return lineDifferences("findings", got, want)
}

// tend starts again whoever has ended, with nothing to die at.
func (m *torment) tend() {
	for i, p := range m.instances {
		if p.dead() {
			m.buried(p)
			m.instances[i] = m.launch(m.configs[m.reading], "")
		}
	}
}

// torment kills and disturbs until so many have been killed.
func (m *torment) torment(kills, procs int) {
	blows := []func(i int){m.killEngine, m.stopEngine, m.delay, m.dropAnswers, m.cutAnswers, m.refuse, m.pause, m.forget, m.reread, m.killBroker}
	names := []string{"engine killed", "engine stopped", "connections delayed", "answers dropped", "connections cut at the answer",
		"connections refused", "instance paused", "tokens forgotten", "read otherwise", "broker killed"}
	var order []int
	for range procs {
		m.instances = append(m.instances, m.launch(m.configs[0], m.nextPoint()))
	}
	began := time.Now()
	for n := 0; m.kills < kills || n < 3*kills && len(m.diedAt) < len(m.points); n++ {
		i := n % procs
		m.awaitDeath(m.instances[i])
		m.buried(m.instances[i])
		m.t.Logf("%6.1f s: instance %d, to die at %q, is dead", time.Since(began).Seconds(), i, m.instances[i].dieAt)
		if len(order) == 0 {
			order = m.random.Perm(len(blows))
		}
		if n%2 == 1 { // between two kills without and with a blow
			b := order[0]
			order = order[1:]
			m.blows[names[b]]++
			blows[b](i)
		}
		m.instances[i] = m.launch(m.configs[m.reading], m.nextPoint())
	}
}

// nextPoint is where the next instance is to die; empty: at a random moment.
func (m *torment) nextPoint() string {
	if m.random.IntN(4) == 0 {
		return ""
	}
	if len(m.left) == 0 { // all were named: again, in another order
		m.left = slices.Clone(m.points)
		m.random.Shuffle(len(m.left), func(i, j int) { m.left[i], m.left[j] = m.left[j], m.left[i] })
	}
	p := m.left[0]
	m.left = m.left[1:]
	nth := 1
	if strings.HasPrefix(p, "flush.") && p != "flush.settled" {
		nth += m.random.IntN(3)
	}
	return fmt.Sprintf("%s:%d", p, nth)
}

// awaitDeath waits until an instance dies where it was told to, or kills it: at a
// random moment where it was told nothing, and after a while where it did not
// come to its point, which is then somebody else's.
func (m *torment) awaitDeath(p *instance) {
	wait := time.Duration(200+m.random.IntN(3000)) * time.Millisecond
	if p.dieAt != "" {
		wait = 20 * time.Second
	}
	select {
	case <-p.done:
		return
	case <-time.After(wait):
	}
	_ = p.process.Process.Kill() // it may have died just now
	<-p.done
}

// buried counts a death. One that ended by itself was no kill: it may, where it
// finds neither Kafka nor ClickHouse at its start.
func (m *torment) buried(p *instance) {
	if !p.killed() {
		if text := p.stderr.String(); strings.Contains(text, "panic:") || strings.Contains(text, "DATA RACE") {
			m.failed = append(m.failed, "an instance ended by itself: "+text)
		}
		m.returnPoint(p)
		return
	}
	m.kills++
	if p.dieAt == "" {
		return
	}
	if strings.Contains(p.stderr.String(), "dying at "+p.dieAt) {
		name, _, _ := strings.Cut(p.dieAt, ":")
		m.diedAt[name]++
		return
	}
	m.returnPoint(p)
}

func (m *torment) returnPoint(p *instance) {
	if name, _, ok := strings.Cut(p.dieAt, ":"); ok && m.diedAt[name] == 0 {
		m.left = append(m.left, name)
	}
}

// What is done to the world beside killing. i is the instance that just died.

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

// while runs an instance that will not die during something.
func (m *torment) while(i int, f func()) {
	m.instances[i] = m.launch(m.configs[m.reading], "")
	time.Sleep(1500 * time.Millisecond)
	f()
	m.instances[i].kill()
	m.buried(m.instances[i])
}

func (m *torment) delay(i int) {
	m.while(i, func() {
		m.toxic(`{"type": "latency", "attributes": {"latency": 300, "jitter": 200}}`, 2*time.Second)
	})
}

// dropAnswers lets requests through and answers not, until the connection ends:
// whoever asked does not know what became of it.
func (m *torment) dropAnswers(i int) {
	m.while(i, func() { m.toxic(`{"type": "timeout", "attributes": {"timeout": 700}}`, 1500*time.Millisecond) })
}

// cutAnswers ends each connection with its answer.
func (m *torment) cutAnswers(i int) {
	m.while(i, func() { m.toxic(`{"type": "limit_data", "attributes": {"bytes": 1}}`, 1500*time.Millisecond) })
}

func (m *torment) refuse(i int) {
	m.while(i, func() {
		m.proxy.Stop()
		time.Sleep(time.Second)
		if err := m.proxy.Start(); err != nil {
			m.t.Errorf("starting the proxy again: %v", err)
		}
	})
}

// pause lets an instance sleep past its session: what it does when it wakes, a
// former owner does. With one process another one has taken over meanwhile.
func (m *torment) pause(i int) {
	m.while(i, func() {
		p := m.instances[i].process.Process
		_ = p.Signal(syscall.SIGSTOP) // it may have ended
		other := m.launch(m.configs[m.reading], "")
		time.Sleep(2500 * time.Millisecond)
		_ = p.Signal(syscall.SIGCONT)
		time.Sleep(700 * time.Millisecond)
		other.kill()
		m.buried(other)
	})
}

// forget has the takeover come when ClickHouse no longer knows the last insert.
func (m *torment) forget(i int) {
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
	time.Sleep(300 * time.Millisecond) // what was sent has arrived
	if err := m.forgetTokens(); err != nil {
		m.t.Errorf("forgetting the tokens: %v", err)
	}
	others(func(j int) { m.instances[j] = m.launch(m.configs[m.reading], m.nextPoint()) })
}

// reread has the next instances read the log otherwise than the last batch was
// pinned.
func (m *torment) reread(int) { m.reading = 1 - m.reading }
