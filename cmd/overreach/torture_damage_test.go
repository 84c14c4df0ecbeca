package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/embedded/kafkatest"
)

// tortureUnreadable is after what time an instance passes what it cannot decode,
// where it does so by itself.
const tortureUnreadable = 300 * time.Millisecond

// damage damages a batch, which the instances pass by themselves.
func (m *torment) damage(i int) {
	m.alone(i, func() { m.damageOne() })
}

// damageAndSkip damages a batch, and has an instance that passes nothing by itself
// stand before it until a person says that it is to be passed.
func (m *torment) damageAndSkip(i int) {
	m.alone(i, func() {
		batch := m.damageOne()
		config := m.patient[m.reading]
		p := m.launch(config, "")
		m.instances[i] = p
		m.skip(p, config, batch)
		p.kill()
		m.buried(p)
	})
}

// damagedBatch is a batch that Kafka's file holds damaged.
type damagedBatch struct {
	place // of its first record
	to    int64
	why   string // the kind that overreach gives it
}

// damageOne produces records that no instance reads, and damages a batch of them in
// Kafka's files: what was read before it was damaged would be in raw rows. No
// instance lives meanwhile, and nobody else produces.
func (m *torment) damageOne() damagedBatch {
	m.t.Helper()
	l := m.log
	l.sending.Lock()
	defer l.sending.Unlock()
	before, _ := l.ends()
	if err := l.send(m.t.Context(), l.client, l.some(150)); err != nil {
		m.t.Fatalf("producing: %v", err)
	}
	ends, _ := l.ends()
	d := damagedBatch{place: place{partition: m.undamaged()}, why: "bad_crc"}
	damage := kafkatest.Batch.BreakCRC // by turns
	if l.damage[d.why] > l.damage["bad_compression"] {
		d.why, damage = "bad_compression", kafkatest.Batch.BreakCompression
	}
	m.kafka.Stop(0)
	m.kafka.Alter(0, kafkatest.Segment(m.topic, d.partition, l.files[d.partition]), func(segment []byte) []byte {
		fresh := slices.DeleteFunc(kafkatest.Batches(segment), func(b kafkatest.Batch) bool {
			from, _ := b.Offsets()
			return from < before[d.partition]
		})
		if len(fresh) == 0 {
			m.t.Fatalf("partition %d has no batch from offset %d on", d.partition, before[d.partition])
		}
		b := fresh[m.random.IntN(len(fresh))]
		d.offset, d.to = b.Offsets()
		damage(b)
		return segment
	})
	m.kafka.Roll(0, m.topic, d.partition, ends[d.partition])
	m.kafka.Restart(0)
	m.kafka.AwaitBrokers()
	l.files[d.partition] = ends[d.partition]
	l.damaged(d)
	return d
}

// undamaged draws a partition before which no damaged batch lies that was not passed
// yet: two of them side by side would be one range.
func (m *torment) undamaged() int32 {
	m.t.Helper()
	var passed, damaged [torturePartitions]int
	rows, err := m.ask("SELECT partition, sum(unreadable) FROM usage WHERE kind = 'range' GROUP BY partition")
	for _, row := range rows {
		var partition, n int
		if _, err := fmt.Sscanf(row, "%d\t%d", &partition, &n); err != nil {
			m.t.Fatal(err)
		}
		passed[partition] = n
	}
	if err != nil {
		m.t.Fatalf("asking what was passed: %v", err)
	}
	for at, e := range m.log.placed {
		if e.unreadable {
			damaged[at.partition]++
		}
	}
	for _, p := range m.random.Perm(torturePartitions) {
		if passed[p] == damaged[p] {
			return int32(p) //nolint:gosec // of ten
		}
	}
	m.t.Fatal("every partition stands before a damaged batch")
	return 0
}

// damaged has the log know that nobody can read a batch.
func (l *tortureLog) damaged(d damagedBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damage[d.why]++
	for at := d.place; at.offset < d.to; at.offset++ {
		e := l.placed[at]
		e.unreadable = true
		l.placed[at] = e
	}
}

// skip passes a batch by command, once an instance says that it stands before it.
// That is the only one that lives, so it comes to the batch.
func (m *torment) skip(p *instance, config string, d damagedBatch) {
	stands := func() bool {
		return slices.ContainsFunc(strings.Split(p.stderr.String(), "\n"), func(line string) bool {
			return strings.Contains(line, "this partition stands still") &&
				strings.Contains(line, fmt.Sprintf(`"partition":%d,`, d.partition)) && strings.Contains(line, fmt.Sprintf(`"offset":%d,`, d.offset))
		})
	}
	if !holds(30*time.Second, func() bool { return p.dead() || stands() }) {
		m.failed = append(m.failed, fmt.Sprintf("an instance does not say that it stands before the damaged batch %+v:\n%s", d, p.stderr.String()))
	}
	if p.dead() || !stands() {
		return // it is passed by itself later
	}
	unreadable := fmt.Sprintf("SELECT sum(unreadable) FROM usage WHERE kind = 'range' AND partition = %d AND from_offset = %d", d.partition, d.offset)
	passed := func() string {
		rows, err := m.ask(unreadable)
		if err != nil {
			return err.Error()
		}
		return rows[0]
	}
	if n := passed(); n != "0" {
		m.failed = append(m.failed, fmt.Sprintf("%s offsets of the damaged batch %+v were passed though nobody said so", n, d))
	}
	said, err := exec.Command(m.binary, "skip", fmt.Sprintf("%s/%d", m.topic, d.partition), "--reason", "the kill test", "--config", config).CombinedOutput()
	if err != nil {
		m.failed = append(m.failed, fmt.Sprintf("overreach skip: %v: %s", err, said))
		return
	}
	if want := fmt.Sprint(d.to - d.offset); !holds(30*time.Second, func() bool { return p.dead() || passed() == want }) {
		m.failed = append(m.failed, fmt.Sprintf("overreach skip had %s offsets of the damaged batch %+v passed:\n%s", passed(), d, p.stderr.String()))
	}
}
