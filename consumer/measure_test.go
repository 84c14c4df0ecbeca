package consumer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// measured is the progress of access/3, and what it logs.
func measured() (*progress, *syncBuffer) {
	log := &syncBuffer{}
	return newProgress(place{"access", 3}, time.Second, NewMetrics(prometheus.NewRegistry()), zerolog.New(log)), log
}

// exports returns what is exported of a partition by measuring it, by name.
func (p *progress) exports(t *testing.T) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for name, g := range map[string]prometheus.Collector{"lag": p.metrics.lag, "open": p.metrics.open, "headroom": p.metrics.headroom, "near": p.metrics.near} {
		if v, ok := gauges(t, g)["partition=3,topic=access"]; ok {
			values[name] = v
		}
	}
	return values
}

func TestWhatIsExportedOfAPartitionComparesItWithItsLog(t *testing.T) {
	p, _ := measured()
	f := func(what string, l logBounds, want map[string]float64) {
		t.Helper()
		p.measure(l)
		if got := p.exports(t); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	log := logBounds{first: 100, end: 200, high: 230}
	f("nothing is known", log, map[string]float64{"open": 30})
	p.assume(201)
	f("the group's offset lies behind the end", log, map[string]float64{"open": 30})
	p.assume(200)
	f("the group's offset is the end", log, map[string]float64{"open": 30, "lag": 0, "headroom": 100, "near": 0})
	p.at(150, 170)
	f("half of it is counted", log, map[string]float64{"open": 30, "lag": 50, "headroom": 50, "near": 0})
	p.at(201, 201)
	f("more is counted than the log has", log, map[string]float64{"open": 30, "lag": 0, "headroom": 101, "near": 0})
	p.at(100, 100)
	f("the next one is the log's first", log, map[string]float64{"open": 30, "lag": 100, "headroom": 0, "near": 1})
	p.at(90, 95)
	f("some were deleted", logBounds{first: 100, end: 200, high: 199}, map[string]float64{"open": 0, "lag": 110, "headroom": -10, "near": 1})
	p.at(unknown, unknown)
	f("nothing is known any more", log, map[string]float64{"open": 30})
}

func TestThatRetentionComesNearIsSaidOnceAndSoIsItsEnd(t *testing.T) {
	p, log := measured()
	const near, far = "not far behind where it is read", "well ahead of what Kafka deletes"
	said := func(what string, counted int64, nears, fars int) {
		t.Helper()
		p.at(counted, counted)
		p.measure(logBounds{first: 1000, end: 2000, high: 2000})
		if text := log.String(); strings.Count(text, near) != nears || strings.Count(text, far) != fars {
			t.Errorf("%s: said that it is near %d times, that it is not %d times", what, strings.Count(text, near), strings.Count(text, far))
		}
	}
	said("a tenth lies between", 1100, 0, 0)
	said("less than a tenth", 1099, 1, 0)
	said("still", 1050, 1, 0)
	said("a tenth again", 1100, 1, 0)
	said("a fifth", 1200, 1, 0)
	said("more than a fifth", 1201, 1, 1)
	said("less than a tenth again", 1099, 2, 1)
	said("all is counted", 2000, 2, 2)
	if text := log.String(); !strings.Contains(text, `"next":1099,"log_start":1000,"log_end":2000`) || strings.Contains(text, "partition_state") || strings.Contains(text, "next_is") {
		t.Errorf("said:\n%s", text)
	}
}

func TestThatRecordsWereLostIsSaidWhenItBegins(t *testing.T) {
	p, log := measured()
	const lost = "that were never read: they are lost"
	said := func(what string, read, first int64, times int) {
		t.Helper()
		p.at(50, read)
		p.measure(logBounds{first: first, end: 1000, high: 1000})
		if n := strings.Count(log.String(), lost); n != times {
			t.Errorf("%s: said %d times, want %d", what, n, times)
		}
	}
	said("what was counted is deleted", 60, 50, 0)
	said("what was read is deleted", 60, 60, 0)
	said("one that was not read", 60, 61, 1)
	said("more", 60, 70, 1)
	said("reading has caught up", 70, 70, 1)
	said("some again", 70, 80, 2)
	if text := log.String(); !strings.Contains(text, `"lost":1,`) || !strings.Contains(text, `"lost":10,`) {
		t.Errorf("said:\n%s", text)
	}
	p.at(unknown, unknown)
	p.measure(logBounds{first: 90, end: 1000, high: 1000})
	said("it was another log", 80, 90, 3)
}

func TestAWarningOfRetentionSaysWhatThePartitionWaitsForAndWhoseOffsetItGoesBy(t *testing.T) {
	p, log := measured()
	o := newOutage("ClickHouse", p.metrics, zerolog.Nop())
	o.failed(&p.wait, io.EOF)
	p.assume(50)
	p.measure(logBounds{first: 50, end: 1000, high: 1000})
	if text := log.String(); !strings.Contains(text, `"partition_state":"waits for ClickHouse: connection lost"`) ||
		!strings.Contains(text, `"next_is":"the group's offset: ClickHouse has not said how far was counted"`) {
		t.Errorf("said:\n%s", text)
	}
}

func TestAPartitionStandsStillForTheReasonThatSaysMost(t *testing.T) {
	p, _ := measured()
	now := time.Now()
	still := func(what, why string, since time.Time) {
		t.Helper()
		s, is := p.stall(now)
		if is != (why != "") || is && s != (schema.Stall{What: "access/3", Why: why, Since: since}) {
			t.Errorf("%s: %+v, want %q since %v", what, s, why, since)
		}
	}
	p.at(10, 10)
	p.measure(logBounds{end: 11, high: 11})
	p.moved = now.Add(-time.Second)
	still("a record waits as long as it may", "", now)
	p.moved = now.Add(-time.Second - 1)
	still("a record waits for longer", "nothing is counted while records wait (lag 1)", now.Add(-1))
	o := newOutage("Kafka", p.metrics, zerolog.Nop())
	o.failed(&p.wait, errors.New("no answer"))
	_, since := p.wait.why()
	still("it waits for a server", "waits for Kafka: other", since)
	p.halt("stands by itself")
	still("it stands by itself", "stands by itself", p.since)
	p.measure(logBounds{first: 12, end: 13, high: 13})
	still("and something was lost", "stands by itself; Kafka has deleted 2 records that were never read", p.since)
	p.at(13, 13)
	p.measure(logBounds{first: 12, end: 13, high: 13})
	p.halt("")
	o.answered(&p.wait)
	p.moved = now.Add(-time.Hour)
	still("all is counted", "", now)
}

func TestOnlyWhatIsCountedMovesAPartition(t *testing.T) {
	p, _ := measured()
	long := time.Now().Add(-time.Hour)
	p.at(10, 10)
	p.moved = long
	p.at(10, 20)
	if !p.moved.Equal(long) {
		t.Error("reading alone moves it")
	}
	p.measure(logBounds{end: 30, high: 30})
	if !p.moved.Equal(long) {
		t.Error("a poll alone moves it")
	}
	p.at(11, 20)
	if p.moved.Equal(long) {
		t.Error("counting does not move it")
	}
	p.moved = long
	p.assume(11)
	if !p.moved.Equal(long) || !p.assumed {
		t.Errorf("what is assumed moves it: %+v", p.moved)
	}
	if p.at(11, 11); p.assumed {
		t.Error("what ClickHouse has said is still assumed")
	}
}

func TestAGenerationWithoutPartitionsIsAStandbyAndOneThatIsNotKnownStandsStill(t *testing.T) {
	c, _ := newTestConsumer(testConfig("127.0.0.1:1", "access"), newMemory())
	before := c.Report()
	if len(before.Stalls) != 1 || before.Standby || before.Stalls[0].What != "consumer group overreach" ||
		before.Stalls[0].Why != "the group is sharing out its partitions" || before.Stalls[0].Since.IsZero() {
		t.Errorf("before it is in the group: %+v", before)
	}
	c.kafka.failed(&c.joining, io.EOF)
	if r := c.Report(); len(r.Stalls) != 1 || r.Stalls[0].Why != "waits for Kafka: connection lost" {
		t.Errorf("while Kafka is away: %+v", r)
	}
	c.enter(nil, 1, nil)
	if r := c.Report(); !r.Standby || len(r.Stalls) != 0 {
		t.Errorf("without partitions: %+v", r)
	}
	one, two := c.newProgress("access", 0, c.cfg.Limits), c.newProgress("access", 1, c.cfg.Limits)
	two.halt("stands by itself")
	c.enter([]int32{0, 1}, 2, []*progress{one, two})
	if r := c.Report(); r.Standby || len(r.Stalls) != 1 || r.Stalls[0].What != "access/1" {
		t.Errorf("with two partitions: %+v", r)
	}
	if owned, total := c.Owned(); fmt.Sprint(owned, total) != "[0 1] 2" {
		t.Errorf("it owns %v of %d", owned, total)
	}
	c.exit()
	if r := c.Report(); r.Standby || len(r.Stalls) != 1 || r.Stalls[0].What != "consumer group overreach" {
		t.Errorf("between two generations: %+v", r)
	}
	if owned, _ := c.Owned(); len(owned) != 0 {
		t.Errorf("between two generations it owns %v", owned)
	}
}
