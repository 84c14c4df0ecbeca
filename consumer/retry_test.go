package consumer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestACallIsMadeUntilItSucceedsOrCannot(t *testing.T) {
	lost, fenced := io.EOF, errFenced
	forGood := func(err error) bool { return errors.Is(err, fenced) }
	for name, c := range map[string]struct {
		results []error // of each call
		want    error
		backs   int // how often it is said that the server is back
	}{
		"at once":                          {[]error{nil}, nil, 0},
		"the second time":                  {[]error{lost, nil}, nil, 1},
		"never, and it is said so":         {[]error{fenced}, fenced, 0},
		"never, after the server was away": {[]error{lost, fenced}, fenced, 1},
	} {
		o, m, log := newTestOutage()
		var w waiter
		calls := 0
		began := time.Now()
		err := o.retry(t.Context(), &w, forGood, func(context.Context) error { calls++; return c.results[calls-1] })
		if !errors.Is(err, c.want) || calls != len(c.results) {
			t.Errorf("%s: %v after %d calls", name, err, calls)
		}
		if why, _ := w.why(); why != "" || o.waiting != 0 || m.servers["clickhouse"].awayFor() != 0 || strings.Count(log.String(), "is back") != c.backs {
			t.Errorf("%s: it says %q, %d wait, said:\n%s", name, why, o.waiting, log)
		}
		if took := time.Since(began); calls > 1 && took < firstWait/2 {
			t.Errorf("%s: it was made again after %s", name, took)
		}
	}
}

func TestACallEndsWithItsContextAndWaitsForNobody(t *testing.T) {
	o, m, log := newTestOutage()
	var w waiter
	ctx, end := context.WithCancel(t.Context())
	never := func(error) bool { return true }
	calls := 0
	err := o.retry(ctx, &w, never, func(context.Context) error { calls++; end(); return io.EOF })
	if !errors.Is(err, io.EOF) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if log.String() != "" || gauges(t, m.servers["clickhouse"].errors)["kind=connection_lost,server=clickhouse"] != 0 {
		t.Errorf("that it was ended is taken for an outage:\n%s", log)
	}
	ctx, end = context.WithCancel(t.Context())
	defer end()
	began := time.Now()
	err = o.retry(ctx, &w, func(error) bool { return false }, func(context.Context) error {
		time.AfterFunc(10*time.Millisecond, end) // between two attempts
		return io.EOF
	})
	if why, _ := w.why(); !errors.Is(err, io.EOF) || why != "" || o.waiting != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("%v; it says %q, and %d wait", err, why, o.waiting)
	}
	if strings.Contains(log.String(), "is back") || m.servers["clickhouse"].awayFor() == 0 {
		t.Error("nobody was answered, and it is said to be back")
	}
}

func TestWhatNobodyRepeatsAtOnceIsNotedToo(t *testing.T) {
	o, _, log := newTestOutage()
	var w waiter
	o.note(t.Context(), &w, io.EOF)
	if why, _ := w.why(); why != "waits for ClickHouse: connection lost" || o.waiting != 1 {
		t.Errorf("it says %q, and %d wait", why, o.waiting)
	}
	o.note(t.Context(), &w, nil)
	if why, _ := w.why(); why != "" || o.waiting != 0 || strings.Count(log.String(), "is back") != 1 {
		t.Errorf("it says %q, and %d wait", why, o.waiting)
	}
	ended, end := context.WithCancel(t.Context())
	o.note(t.Context(), &w, io.EOF)
	end()
	o.note(ended, &w, io.EOF)
	if why, _ := w.why(); why != "" || o.waiting != 0 || strings.Count(log.String(), "is back") != 1 {
		t.Errorf("after its end it says %q, and %d wait", why, o.waiting)
	}
}

func TestAServerIsAwaySinceItsFirstErrorAndAnotherKindSaysForHowLong(t *testing.T) {
	o, m, log := newTestOutage()
	var w waiter
	o.failed(&w, io.EOF)
	o.mu.Lock()
	o.since = o.since.Add(-90 * time.Second)
	o.mu.Unlock()
	m.servers["clickhouse"].away(time.Now().Add(-90 * time.Second))
	o.failed(&w, answered("too_many_parts"))
	if text := log.String(); !strings.Contains(text, `"away_for":90`) || strings.Count(text, "away_for") != 1 {
		t.Errorf("said:\n%s", text)
	}
	if away := m.servers["clickhouse"].awayFor(); away < 90 || away > 150 {
		t.Errorf("it has been away for %v s", away)
	}
	if why, _ := w.why(); why != "waits for ClickHouse: too many parts" {
		t.Errorf("it says %q", why)
	}
	o.answered(&w)
	if text := log.String(); !strings.Contains(text, `"after":90`) {
		t.Errorf("said:\n%s", text)
	}
}
