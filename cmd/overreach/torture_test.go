package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
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
	configs   [2]string      // a reading of the log each
	patient   [2]string      // the same, which pass what they cannot decode by command alone
	reading   int            // of those that start now
	points    []string       // all of them
	left      []string       // those that are still to be named
	diedAt    map[string]int // and those where somebody did
	kills     int
	rows      int            // that the engine had when it was last asked
	blows     map[string]int // what was done beside killing
	peak      int64          // of the memory that an instance had resident, bytes
	failed    []string       // what no instance should have said or done
}

// drainWithin is how long all may take to be counted, judged and told in the end: a
// minute after 200 kills on an idle machine.
const drainWithin = 10 * time.Minute

func TestNothingIsLostAndNothingIsTwiceWhateverDies(t *testing.T) {
	began := time.Now()
	w := startTortured(t, *tortureSeed)
	d := w.newDatabase("tortured")
	m := &torment{
		database: d, random: rand.New(rand.NewPCG(*tortureSeed, 2)), points: w.points(), diedAt: map[string]int{}, blows: map[string]int{},
	}
	for i := range m.configs {
		m.configs[i] = d.config(w.toClickHouse.Listen, w.toKafka.Listen, i, tortureUnreadable)
		m.patient[i] = d.config(w.toClickHouse.Listen, w.toKafka.Listen, i, 0)
	}

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
	if err := d.waitsForNobody(m.tend); err != nil {
		all = append(all, err.Error())
	}
	t.Logf("judged beside what stands still after %s", time.Since(began).Round(time.Second))
	if err := d.drained(drainWithin, m.tend); err != nil {
		all = append(all, err.Error())
	}
	t.Logf("drained after %s", time.Since(began).Round(time.Second))
	for _, p := range m.instances {
		p.kill()
		m.tooMuch(p)
		if t.Failed() || len(all) > 0 {
			t.Logf("an instance logged:\n%s", p.stderr.String())
		}
	}
	all = append(all, w.log.differences(d.ask)...)
	all = append(all, changeDifferences(d.ask)...)
	all = append(all, m.unlikeUntouched()...)
	all = append(all, m.failed...)
	if *tortureKills >= len(m.points) {
		for _, p := range m.points {
			if m.diedAt[p] == 0 {
				t.Errorf("nobody died at %s", p)
			}
		}
		for _, b := range m.allBlows() {
			if m.blows[b.name] == 0 {
				t.Errorf("there was no blow %q", b.name)
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
	if w.disk != nil {
		t.Logf("the engine's disk: %s", w.disk.used())
	}
	line := fmt.Sprintf("kills %d, events %d, differences %d", m.kills, len(w.log.placed), len(all))
	if rows, err := d.ask("SELECT count(), countIf(mixed) FROM (SELECT max(mixed) AS mixed FROM usage WHERE kind = 'range' GROUP BY partition, from_offset)"); err == nil {
		t.Logf("batches, and those that two readings share: %s", strings.Join(rows, ""))
	}
	t.Logf("damaged: %v; %d MB were resident at most", m.log.damage, m.peak>>20)
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
	p := d.launch(d.config(m.engineAt.NativeAddr, m.kafka.Addrs()[0], 0, tortureUnreadable), "")
	if err := d.drained(drainWithin, func() {}); err != nil {
		m.t.Logf("the untouched one logged:\n%s", p.stderr.String())
		return []string{"untouched: " + err.Error()}
	}
	p.kill()
	m.tooMuch(p)
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
			m.instances[i] = m.launch(m.config(), "")
		}
	}
}

// torment kills and disturbs until so many have been killed.
func (m *torment) torment(kills, procs int) {
	blows := m.allBlows()
	var order []int
	struck := 0
	for range procs {
		m.instances = append(m.instances, m.launch(m.config(), m.nextPoint()))
	}
	began := time.Now()
	for n := 0; m.kills < kills || n < 3*kills && (len(m.diedAt) < len(m.points) || struck < len(blows)); n++ {
		i := n % procs
		m.awaitDeath(m.instances[i])
		m.buried(m.instances[i])
		m.t.Logf("%6.1f s: instance %d, to die at %q, is dead", time.Since(began).Seconds(), i, m.instances[i].dieAt)
		if len(order) == 0 {
			order = m.random.Perm(len(blows))
		}
		if n%2 == 1 { // between two kills without and with a blow
			b := blows[order[0]]
			order = order[1:]
			began := time.Now()
			m.blows[b.name]++
			struck++
			b.strike(i)
			m.stillThere(b.name)
			m.t.Logf("%s: %s", b.name, time.Since(began).Round(100*time.Millisecond))
		}
		m.instances[i] = m.launch(m.config(), m.nextPoint())
	}
}

// config is that of the next instance: sometimes it reads the log otherwise than
// the last batch was pinned.
func (m *torment) config() string {
	if m.random.IntN(3) == 0 {
		m.reading = 1 - m.reading
	}
	return m.configs[m.reading]
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
	m.tooMuch(p)
	if !p.killed() {
		if p.process.ProcessState.ExitCode() == exitUsage {
			m.t.Fatalf("an instance refuses its configuration: %s", p.stderr.String())
		}
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
