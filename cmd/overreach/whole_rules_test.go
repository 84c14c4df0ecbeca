package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/overreach/overreach/store"
)

// ruleCase is a state of instances, and which of the shipped rules fire in it: these, and
// no others.
type ruleCase struct {
	state   string
	fires   []string
	still   bool                // a judge has no rounds, or rare ones: they are not waited for
	cause   func(*watched)      // brings it about; what is to be seen before it scrapes for itself
	minute  func(*watched, int) // happens before each scrape
	minutes int                 // how many are scraped where nothing is to fire
	mend    func(*watched)
}

// sharedCases are of instances that come and go over two partitions, in this order.
var sharedCases = []ruleCase{
	{
		state: "an instance that has just started, a second and a third, which stands by; under load, then without",
		cause: func(w *watched) { w.appear() },
		minute: func(w *watched, n int) {
			switch n {
			case 1:
				w.settle()
			case 5, 10:
				w.join()
			}
			if n < 22 {
				w.load(20)
			}
		},
		minutes: 45, // OverreachStandsStill asks for 15 without load, OverreachLagGrows for 30
		mend:    func(w *watched) { w.standby() },
	},
	{
		state: "one item in five is no event",
		fires: []string{"OverreachRejectsMany"},
		minute: func(w *watched, _ int) {
			w.load(4)
			w.send(0, []byte("no event"))
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a receiver that is away, and asks for ten minutes",
		fires: []string{"OverreachAlertsUndelivered"},
		cause: func(w *watched) {
			w.join()
			w.answers(http.StatusServiceUnavailable)
			w.stranger()
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a receiver that refuses what it is sent",
		fires: []string{"OverreachAlertsLost"},
		cause: func(w *watched) {
			w.join()
			w.scrape(false)
			w.answers(http.StatusBadRequest)
			w.stranger()
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a new instance that found records deleted, and whose receiver refused, before it was scraped",
		fires: []string{"OverreachAlertsLost", "OverreachRecordsMissing"},
		cause: func(w *watched) {
			refused := w.refused.Load()
			w.load(20)
			w.deletes(0, w.sent[0]-5)
			w.stranger()
			i := w.join()
			i.shows(`overreach_missing_records_total{topic="access"}`, 15)
			w.ahead(i)
			i.until("an alert was refused", func() bool { return w.refused.Load() > refused })
		},
		mend: func(w *watched) {
			w.stop()
			w.answers(http.StatusOK)
		},
	},
	{
		state: "records that are deleted while an instance stands still for some seconds",
		fires: []string{"OverreachRecordsMissing"},
		cause: func(w *watched) {
			i := w.join()
			w.reads(i)
			w.scrape(false)
			i.signal(syscall.SIGSTOP)
			time.Sleep(500 * time.Millisecond) // until the fetch that waits at the broker has its answer
			w.load(20)
			w.deletes(1, w.sent[1]-5)
			i.signal(syscall.SIGCONT)
			i.shows(`overreach_missing_records_total{topic="access"}`, 15)
			w.ahead(i)
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a judge whose reading of ClickHouse fails",
		fires: []string{"OverreachJudgeStopped"},
		still: true,
		cause: func(w *watched) {
			w.join()
			w.query("RENAME TABLE judged TO judged_elsewhere")
		},
		minute: func(w *watched, _ int) { w.load(2) },
	},
	{
		state: "a judge whose reading of ClickHouse has failed since it was started",
		fires: []string{"OverreachJudgeStopped"},
		still: true,
		cause: func(w *watched) {
			w.stop()
			w.join()
		},
		minute: func(w *watched, _ int) { w.load(2) },
		mend: func(w *watched) {
			w.query("RENAME TABLE judged_elsewhere TO judged")
			w.targets[0].awaits(1, "judging works again")
			w.stop()
		},
	},
	{
		state: "ClickHouse is away before a new instance has counted a record",
		fires: []string{"OverreachJudgeStopped", "OverreachServerAway", "OverreachStandsStill"},
		still: true,
		cause: func(w *watched) {
			w.reads(w.join())
			w.engine.Kill()
			w.load(20)
		},
	},
	{
		state: "ClickHouse is away for some seconds more, and Kafka has deleted all that was counted",
		fires: []string{"OverreachRetentionNear"},
		still: true,
		cause: func(w *watched) {
			w.deletes(0, w.sent[0]-20)
			w.targets[0].shows(`overreach_retention_near{partition="0",topic="access"}`, 1)
		},
	},
	{
		state: "ClickHouse is away for some seconds more, and Kafka deletes what was not counted",
		fires: []string{"OverreachRetentionNear", "OverreachRetentionOvertook"},
		still: true,
		cause: func(w *watched) {
			w.deletes(0, w.sent[0]-15)
			w.targets[0].until("it sees that", func() bool {
				return w.targets[0].value(`overreach_retention_headroom_records{partition="0",topic="access"}`) < 0
			})
		},
		mend: func(w *watched) {
			w.startEngine()
			w.targets[0].awaits(1, "ClickHouse is back")
			w.targets[0].shows(`overreach_records_total{topic="access"}`, 35)
			w.stop()
		},
	},
	{
		state: "a partition whose markers have expired, within the minute in which the cadences wait for them",
		fires: []string{"OverreachCadenceStandsStill"},
		cause: func(w *watched) {
			w.query("INSERT INTO usage (kind, resolution, incarnation, partition, pinned, to_offset) VALUES ('month', 'none', 'elsewhere/old@0', 5, today(), 10)")
			w.join().shows(`overreach_judge_unjudged_records{cadence="minute"}`, 10)
		},
		mend: func(w *watched) {
			w.stop()
			w.query("ALTER TABLE usage DELETE WHERE incarnation = 'elsewhere/old@0' SETTINGS mutations_sync = 2")
		},
	},
	{
		state: "a partition that stood for as long as the watermark waits, before the instance was started",
		fires: []string{"OverreachPartitionLeftOut"},
		cause: func(w *watched) {
			w.query("INSERT INTO watermark_stalls (incarnation, partition, latest, to_offset, backlog, stood, left_out) " +
				"SELECT incarnation, partition, assumeNotNull(last_event), to_offset, 0, 600, true FROM coverage WHERE partition = 1 AND isNotNull(last_event)")
			w.join().shows(`overreach_judge_partition_left_out{partition="1",topic="access"}`, 1)
		},
		mend: func(w *watched) {
			w.stop()
			w.query("ALTER TABLE watermark_stalls DELETE WHERE 1 SETTINGS mutations_sync = 2")
		},
	},
	{
		state: "records that cannot be decoded",
		fires: []string{"OverreachPartitionUnreadable"},
		cause: func(w *watched) {
			i := w.join()
			w.reads(i)
			w.produceBroken(0)
			i.shows(`overreach_partition_unreadable{partition="0",topic="access"}`, 1)
		},
	},
	{
		state: "records that could not be decoded and are passed",
		fires: []string{"OverreachRecordsUnreadable"},
		cause: func(w *watched) {
			w.scrape(false)
			run(w.t, "skip", "--config", w.write("skip.yaml", w.settings()), wholeTopic+"/0", "--reason", "to see the rule fire")
			w.targets[0].shows(`overreach_unreadable_records_total{topic="access"}`, 1)
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a topic that was deleted and made again",
		fires: []string{"OverreachPartitionStopped"},
		cause: func(w *watched) {
			i := w.join()
			w.reads(i)
			w.makeAgain(2)
			w.load(1)
			i.until("it finds the topic again, another one", func() bool {
				body := i.metrics()
				return valueIn(body, "overreach_partitions_stopped") == 2 && valueIn(body, `overreach_server_away_seconds{server="kafka"}`) == 0
			})
		},
	},
	{
		state: "Kafka is away, so that the instance is in no group",
		fires: []string{"OverreachServerAway", "OverreachSlotsUnjudged"},
		still: true,
		cause: func(w *watched) {
			i := w.targets[0]
			w.broker.Close()
			i.until("it has no slots", func() bool { return i.value("overreach_judge_slots") == 0 })
		},
	},
	{
		state: "an instance that was killed",
		fires: []string{"OverreachDown"},
		cause: func(w *watched) { w.targets[0].kill() },
		mend:  func(w *watched) { w.targets = nil },
	},
	{
		state: "no instance, and Prometheus knows of none",
		fires: []string{"OverreachGone"},
	},
}

// aloneCases are of an instance that has company at times, over one partition, while
// another one judges once a minute.
var aloneCases = []ruleCase{
	{
		state: "an instance that comes or goes in each of five minutes, and again ten minutes later",
		fires: []string{"OverreachRebalancesOften"},
		cause: func(w *watched) { w.join() },
		minute: func(w *watched, n int) {
			if n%14 < 1 || n%14 > 5 {
				return
			}
			const generations = "overreach_rebalances_total"
			before := w.targets[0].value(generations)
			if len(w.targets) == 1 {
				w.join()
			} else {
				w.targets[1].stop()
				w.targets = w.targets[:1]
				w.settle()
			}
			w.targets[0].shows(generations, before+1)
		},
		mend: func(w *watched) { w.stop() },
	},
	{
		state: "a producer that is faster than the instance",
		fires: []string{"OverreachLagGrows"},
		cause: func(w *watched) {
			w.outrun(12_000)
			w.join("max_age: 200ms", "max_age: 200ms, max_events: 20")
		},
		minute: func(w *watched, _ int) { w.outrun(400) },
	},
	{
		state: "a judge that has a round once a minute, in true minutes",
		fires: []string{"OverreachJudgeLate"},
		still: true,
		cause: func(w *watched) {
			w.targets = []*target{w.late}
			w.late.shows("overreach_judge_delay_seconds", 60)
		},
	},
}

func TestEveryShippedRuleFiresInACase(t *testing.T) {
	var with []string
	for _, c := range slices.Concat(sharedCases, aloneCases) {
		with = append(with, c.fires...)
	}
	slices.Sort(with)
	rules := slices.Sorted(maps.Keys(shippedRules(t)))
	if got := slices.Compact(with); !slices.Equal(got, rules) {
		t.Errorf("the cases fire the rules\n%s\nand these are shipped:\n%s", strings.Join(got, "\n"), strings.Join(rules, "\n"))
	}
}

func TestRulesFireWhereInstancesAreInTroubleAndNotWhereTheyAreWell(t *testing.T) {
	t.Parallel()
	w := startWatched(t, 2)
	w.all(t, sharedCases)
}

func TestRulesFireWhereAnInstanceCannotKeepUp(t *testing.T) {
	t.Parallel()
	w := startWatched(t, 1)
	other := w.clickhouse
	other.Database = "late"
	if err := store.CreateDatabase(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	w.makeTopic("quiet", 1)
	w.late = w.start("database: overreach", "database: late", "group: overreach", "group: late", "topic: access", "topic: quiet", "interval: 200ms", "interval: 1m")
	w.all(t, aloneCases)
}
