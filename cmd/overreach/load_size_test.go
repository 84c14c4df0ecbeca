package main

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// rounds is how many rounds of the judge an instance has made well.
func (s *servers) rounds() int {
	s.t.Helper()
	_, metrics := s.get("/metrics")
	found := regexp.MustCompile(`(?m)^overreach_judge_round_seconds_count ([0-9]+)$`).FindStringSubmatch(metrics)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// scored reports whether every closed bucket that there was has been compared with those
// before it.
func (s *servers) scored() bool {
	s.t.Helper()
	rows, err := s.ask("SELECT count() > 0 AND min(toUnixTimestamp(watermark)) > 0 FROM judged FINAL WHERE cadence IN ('closed hour', 'closed day')")
	return err == nil && rows[0] == "1"
}

// idle waits until the engine has merged what it wants to merge.
func (s *servers) idle() {
	s.t.Helper()
	pid := s.enginePID()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		before := cpuOf(s.t, pid)
		time.Sleep(2 * time.Second)
		if cpuOf(s.t, pid)-before < 100*time.Millisecond {
			return
		}
	}
}

func TestMemoryGrowsNeitherWithPartnersNorWithDays(t *testing.T) {
	if *loadTime < time.Minute {
		t.Skip("a measurement of minutes: make load runs it")
	}
	const rate, partitions = 500, 4
	for i, h := range []history{
		{partners: 1000, days: 30}, {partners: 1000, days: 15}, {partners: 1000, days: 60}, {partners: 500, days: 30}, {partners: 2000, days: 30},
	} {
		t.Run(fmt.Sprintf("%d usage keys and %d days", h.partners*usageKeysAPartner, h.days), func(t *testing.T) {
			w := startLoaded(t, partitions)
			w.write("registry.yaml", h.registry())
			w.migrate()
			h.write(t, w.clickhouse)
			w.idle()
			defer w.steady(h, partitions, rate)()
			pid := w.enginePID()
			// measure lets an instance run for a minute, and returns what the engine used
			// meanwhile.
			measure := func(changes ...string) (used time.Duration, rounds int, now, peak int64) {
				p := w.start(changes...)
				first := time.Now()
				p.within(5*time.Minute, "all is judged once", func() bool {
					rows, err := w.ask("SELECT count() FROM judged FINAL WHERE incarnation = 'history/access@1' AND cadence IN ('minute', 'hour', 'day') AND toUnixTimestamp(watermark) > 0 AND to_offset = (SELECT max(to_offset) FROM coverage WHERE incarnation = 'history/access@1')")
					return err == nil && rows[0] == "768" && w.rounds() > 0
				})
				t.Logf("judged once after %s", time.Since(first).Round(time.Second))
				p.within(time.Hour, "every hour, day and week there is is scored", w.scored)
				t.Logf("every hour, day and week there is is scored after %s", time.Since(first).Round(time.Second))
				time.Sleep(10 * time.Second) // what piled up meanwhile is counted
				before, began := cpuOf(t, pid), w.rounds()
				time.Sleep(time.Minute)
				used, rounds = cpuOf(t, pid)-before, w.rounds()-began
				now, peak = p.resident()
				p.stop()
				return used, rounds, now, peak
			}
			used, rounds, now, peak := measure()
			t.Logf("%d usage keys of %d partners, %d days, %d events a second: resident %d MB, at most %d MB; the engine used %s in a minute with %d rounds",
				h.partners*usageKeysAPartner, h.partners, h.days, rate, now>>20, peak>>20, used.Round(10*time.Millisecond), rounds)
			if i == 0 { // with one round a minute, the engine's time is for counting and for the slower cadences
				rare, few, _, _ := measure("judge: {interval: 200ms}\n", "judge: {interval: 1m}\n")
				t.Logf("%s in a minute with %d rounds: %s for each of the others", rare.Round(10*time.Millisecond), few,
					((used - rare) / time.Duration(max(1, rounds-few))).Round(time.Millisecond))
			}
			if peak > 512<<20 {
				t.Errorf("%d MB were resident, more than 512", peak>>20)
			}
		})
	}
}
