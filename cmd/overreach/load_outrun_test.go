package main

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var loadTime = flag.Duration("load.time", 5*time.Second, "how long a producer outruns the program")

// What the test of a producer that is too fast is made of. What makes the instance
// slow is that it stands still for most of the time.
const (
	outrunPartitions = 8
	outrunRate       = 10_000 // events a second that are produced
	outrunRun        = 2 * time.Millisecond
	outrunStand      = 700 * time.Millisecond
)

func TestAProducerThatIsTenTimesTooFastCostsNeitherMemoryNorRecords(t *testing.T) {
	w := startLoaded(t, outrunPartitions)
	p := w.start()
	counted := func() int {
		rows, err := w.ask("SELECT sum(records) FROM coverage")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_, _ = fmt.Sscan(rows[0], &n) // no row is none
		return n
	}
	p.until("it reads", func() bool { return p.logged(`"message":"assigned"`) > 0 })

	fast := p.slow(outrunRun, outrunStand)
	defer fast()
	o := newOrdinary(200)
	said := time.Duration(0)
	w.pace(o, outrunPartitions, outrunRate, *loadTime, func(passed time.Duration) {
		if passed < said+*loadTime/10 {
			return
		}
		said = passed
		n := counted()
		now, peak := p.resident()
		t.Logf("after %4.0f s: %8d produced, %8d counted, lag %8d, resident %d MB, at most %d MB", passed.Seconds(), o.n, n, o.n-n, now>>20, peak>>20)
	})
	behind := o.n - counted()
	if behind < o.n*9/10 {
		t.Errorf("of %d events only %d are not counted yet: the producer was not ten times too fast", o.n, behind)
	}
	_, slowPeak := p.resident()

	fast()
	began := time.Now()
	last := began
	p.within(10*time.Second+2**loadTime, "all is counted", func() bool {
		n := counted()
		if time.Since(last) > *loadTime/10 {
			last = time.Now()
			now, peak := p.resident()
			t.Logf("%4.0f s later: lag %8d, resident %d MB, at most %d MB", time.Since(began).Seconds(), o.n-n, now>>20, peak>>20)
		}
		return n >= o.n
	})
	took := time.Since(began)
	now, peak := p.resident()
	t.Logf("%d events: %d of them were worked off in %s, %.0f a second; resident at most %d MB while outrun, %d MB in all, %d MB now",
		o.n, behind, took.Round(time.Millisecond), float64(behind)/took.Seconds(), slowPeak>>20, peak>>20, now>>20)
	if limit := int64(512 << 20); peak > limit {
		t.Errorf("%d MB were resident, more than 512", peak>>20)
	}
	p.stop()
	w.holdsExactly(o)
}

// holdsExactly fails unless the tables hold each event once.
func (w *loaded) holdsExactly(o *ordinary) {
	w.t.Helper()
	var want []string
	for partner, n := range o.partners {
		if n > 0 {
			want = append(want, fmt.Sprintf("partner-%d\t%d", partner, n))
		}
	}
	of := func(from string) string {
		return "SELECT partner, " + from + " GROUP BY partner ORDER BY toUInt32(substring(partner, 9))"
	}
	for what, sql := range map[string]string{
		"raw rows":        of("count() FROM access_events"),
		"usage by minute": of("sum(accesses) FROM usage WHERE kind = 'usage' AND resolution = 'minute'"),
		"usage by hour":   of("sum(accesses) FROM usage WHERE kind = 'usage' AND resolution = 'hour'"),
		"usage by day":    of("sum(accesses) FROM usage WHERE kind = 'usage' AND resolution = 'day'"),
	} {
		if got := w.query(sql); strings.Join(got, "\n") != strings.Join(want, "\n") {
			w.t.Errorf("%s: partners and accesses are\n%v\nexpected\n%v", what, got, want)
		}
	}
	if got, want := w.query("SELECT sum(records), sum(events), sum(missing), sum(rejected) FROM coverage")[0], fmt.Sprintf("%d\t%d\t0\t0", o.n, o.n); got != want {
		w.t.Errorf("the markers say records, events, missing, rejected %q: expected %q", got, want)
	}
	// Each offset once: rows, offsets and the greatest offset agree, partition by partition.
	if got := w.query("SELECT count() FROM (SELECT partition, count() AS n, uniqExact(offset) AS u, max(offset) + 1 AS m FROM access_events GROUP BY partition) WHERE n != u OR n != m")[0]; got != "0" {
		w.t.Errorf("in %s partitions an offset is there twice or is not there", got)
	}
}
