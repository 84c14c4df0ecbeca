package main

import (
	"fmt"
	"testing"
	"time"
)

// TestFindingsAreTheSameHoweverManyProcessesShareTheLog runs groups of instances
// over one log, each into a database of its own.
func TestFindingsAreTheSameHoweverManyProcessesShareTheLog(t *testing.T) {
	w := startTortured(t, *tortureSeed)
	for range 10 {
		if err := w.log.produce(t.Context(), 600); err != nil {
			t.Fatal(err)
		}
	}
	var first []string
	for _, procs := range tortureGroups() {
		d := w.newDatabase(fmt.Sprintf("by_%d", procs))
		config := d.config(w.engineAt.NativeAddr, w.kafka.Addrs()[0], 0, tortureUnreadable)
		var instances []*instance
		for range procs {
			instances = append(instances, d.launch(config, ""))
		}
		if err := d.drained(drainWithin, func() {}); err != nil {
			t.Errorf("%d processes: %v", procs, err)
		}
		time.Sleep(time.Second) // for whoever would tell it again
		for _, p := range instances {
			if p.dead() {
				t.Errorf("one of %d processes ended by itself:\n%s", procs, p.stderr.String())
			}
			p.kill()
			if t.Failed() {
				t.Logf("one of %d logged:\n%s", procs, p.stderr.String())
			}
		}
		for _, difference := range append(w.log.differences(d.ask), changeDifferences(d.ask)...) {
			t.Errorf("%d processes: %s", procs, difference)
		}
		for id, n := range d.hook.times() {
			if n != 1 {
				t.Errorf("%d processes: event %s was sent %d times", procs, id, n)
			}
		}
		got, err := findingsOf(d.ask)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			if first = got; len(first) < 10 {
				t.Fatalf("only %d findings to compare", len(first))
			}
			continue
		}
		for _, difference := range lineDifferences(fmt.Sprintf("findings of %d processes", procs), got, first) {
			t.Error(difference)
		}
	}
}

// tortureGroups are the numbers of processes that are compared.
func tortureGroups() []int {
	if *tortureKills > 20 {
		return []int{1, 2, 4}
	}
	return []int{1, 4}
}
