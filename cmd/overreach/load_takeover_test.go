package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATakeoverCountsWithinFiveSecondsAndHasJudgedWithinTen(t *testing.T) {
	if *loadTime < time.Minute {
		t.Skip("a measurement of minutes: make load runs it")
	}
	const rate, partitions, times = 500, 8, 7
	h := history{partners: 500, days: 30, dense: 50}
	w := startLoaded(t, partitions)
	w.write("registry.yaml", h.registry())
	w.migrate()
	h.write(t, w.clickhouse)
	w.idle()
	defer w.steady(h, partitions, rate)()

	// counted is how far each partition is counted; judged is that every cadence of
	// every slot has judged so far.
	counted := func() map[string]string {
		to := map[string]string{}
		for _, row := range w.query("SELECT partition, to_offset FROM coverage WHERE incarnation LIKE '%/" + wholeTopic + "@1' AND incarnation NOT LIKE 'history/%'") {
			if partition, offset, ok := strings.Cut(row, "\t"); ok {
				to[partition] = offset
			}
		}
		return to
	}
	judged := func(to map[string]string, cadences string, n int) bool {
		var reached []string
		for partition, offset := range to {
			reached = append(reached, fmt.Sprintf("(partition = %s AND to_offset >= %s)", partition, offset))
		}
		rows, err := w.ask("SELECT count() FROM judged FINAL WHERE incarnation NOT LIKE 'history/%' AND cadence IN (" + cadences + ") AND (" + strings.Join(reached, " OR ") + ")")
		return err == nil && rows[0] == fmt.Sprint(n*256*len(to))
	}
	p := w.start()
	var to map[string]string
	p.within(5*time.Minute, "the first instance has judged", func() bool {
		if to == nil {
			if some := counted(); len(some) == partitions {
				to = some
			}
			return false
		}
		return judged(to, "'minute', 'hour', 'day'", 3)
	})
	p.within(time.Hour, "every hour, day and week there is is scored", w.scored)
	var flushed, before, all []time.Duration
	for i := range times {
		time.Sleep(time.Duration(1000+i*370) * time.Millisecond) // at another place of its work each time
		p.kill()
		killed := time.Now()
		stood := counted()
		p = w.start()
		p.until("it is assigned", func() bool { return p.logged(`"message":"assigned"`) > 0 })
		assigned := time.Now()
		engine, own := cpuOf(t, w.enginePID()), cpuOf(t, p.process.Process.Pid)
		var first, tookBefore, tookAll time.Duration
		var next map[string]string
		p.until("it has judged", func() bool {
			since := time.Since(assigned)
			if first == 0 {
				now := counted()
				fresh := true
				for partition, offset := range stood {
					fresh = fresh && now[partition] != offset
				}
				if fresh {
					first, next = since, now
				}
			}
			if tookBefore == 0 && judged(stood, "'minute', 'hour', 'day'", 3) {
				tookBefore = since
			}
			if next != nil && judged(next, "'minute'", 1) {
				tookAll = since
			}
			return tookBefore > 0 && tookAll > 0
		})
		engine, own = cpuOf(t, w.enginePID())-engine, cpuOf(t, p.process.Process.Pid)-own
		t.Logf("%d: assigned %.1f s after the kill; every partition's first flush %.1f s later, what was counted before judged in every cadence %.1f s later, the first flush judged too %.1f s later; processor time till then: engine %.1f s, overreach %.1f s",
			i+1, assigned.Sub(killed).Seconds(), first.Seconds(), tookBefore.Seconds(), tookAll.Seconds(), engine.Seconds(), own.Seconds())
		flushed, before, all = append(flushed, first), append(before, tookBefore), append(all, tookAll)
	}
	for _, m := range []struct {
		what  string
		took  []time.Duration
		limit time.Duration
	}{
		{"first flush of every partition", flushed, 5 * time.Second},
		{"what was counted before is judged in every cadence", before, 10 * time.Second},
		{"the first flush is judged", all, 10 * time.Second},
	} {
		slices.Sort(m.took)
		t.Logf("%s: median %.1f s, worst %.1f s", m.what, m.took[len(m.took)/2].Seconds(), m.took[len(m.took)-1].Seconds())
		if m.took[len(m.took)-1] > m.limit {
			t.Errorf("%s: %.1f s are more than %s", m.what, m.took[len(m.took)-1].Seconds(), m.limit)
		}
	}
	p.stop()
}
