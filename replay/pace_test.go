package replay

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestAtARateLineNIsDueNOverTheRateAfterTheStart(t *testing.T) {
	p := pacer{rate: 4}
	for n := range 100 {
		if got, want := p.next(nil), time.Duration(n)*250*time.Millisecond; got != want {
			t.Errorf("line %d is due after %s, want %s", n, got, want)
		}
	}
}

func TestAsFastAsItGoesEveryLineIsDueAtOnce(t *testing.T) {
	p := pacer{}
	for range 3 {
		if got := p.next([]byte(`{"time":1537228800000}`)); got != 0 {
			t.Errorf("due after %s", got)
		}
	}
}

func TestAtASpeedEventTimePasses(t *testing.T) {
	p := pacer{speed: 10}
	f := func(line string, want time.Duration) {
		t.Helper()
		if got := p.next([]byte(line)); got != want {
			t.Errorf("%s is due after %s, want %s", line, got, want)
		}
	}
	f(`{"time":"2018-09-18T10:00:00Z"}`, 0)
	f(`{"time":"2018-09-18T10:00:10.5Z"}`, 1050*time.Millisecond)
	f(`{"time":"2018-09-18T12:00:20+02:00"}`, 2*time.Second)
	f(`{"time":1537264830000}`, 3*time.Second)                // 10:00:30
	f(`{"time":"2018-09-18T10:00:25Z"}`, 3*time.Second)       // out of order
	f(`{"time":"2018-09-18T10:00:40Z"}`, 4*time.Second)       // from the latest, not from the last
	f(`no JSON`, 4*time.Second)                               //
	f(`{"created_at":"2018-09-19T00:00:00Z"}`, 4*time.Second) //
	f(`{"time":{}}`, 4*time.Second)                           //
	f(`{"time":"yesterday"}`, 4*time.Second)                  //
	f(`{"time":"2100-01-01T00:00:00Z"}`, 4*time.Second)       // stalls nothing
	f(`{"time":"2018-09-18T10:00:50Z"}`, 4*time.Second)       //
	f(`{"time":"2018-09-18T10:01:00Z"}`, 5*time.Second)       //
	f(`{"time":"0001-01-01T00:00:00Z"}`, 5*time.Second)       //
	f(`{"time":"2018-09-18T10:01:10Z"}`, 5*time.Second)       //
	f(`{"time":"2018-09-18T10:01:20Z"}`, 6*time.Second)       //
}

func TestAPaceThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range []Config{{Rate: -1}, {Speed: -1}, {Rate: math.NaN()}, {Speed: math.NaN()}, {Rate: 1, Speed: 1}} {
		if _, err := c.pace(); err == nil {
			t.Errorf("rate %v and speed %v are accepted", c.Rate, c.Speed)
		}
	}
	for _, c := range []Config{{}, {Rate: 0.1}, {Speed: 3600}} {
		if _, err := c.pace(); err != nil {
			t.Error(fmt.Errorf("rate %v and speed %v: %w", c.Rate, c.Speed, err))
		}
	}
}
