package notify

import (
	"context"
	"strconv"
	"time"
)

// TestResult is how a receiver took the test alert.
type TestResult struct {
	Receiver string
	Err      error // nil: it was taken
}

// testLasts is for how long the test alert fires: an Alertmanager tells nobody of
// what is over before its group_wait is.
const testLasts = 5 * time.Minute

// SendTest sends each receiver, once, an alert that says that it is a test, and
// returns how they took it, in the order in which they are configured. An
// Alertmanager resolves it by itself after five minutes. It reads and writes no
// store.
func SendTest(ctx context.Context, cfg Config) []TestResult {
	now := time.Now().UTC()
	id := hashed(test, strconv.FormatInt(now.UnixNano(), 10))
	a := &alert{
		labels:  labels{Name: testName, Partner: "overreach-test", Severity: info},
		ID:      id,
		Started: now,
	}
	m := message{view{a, nil}, told{hashed(test, id), test, now}}
	var results []TestResult
	for _, e := range cfg.receivers() {
		body, header, err := e.request([]message{m}, now)
		if err == nil {
			if f := post(ctx, e.client, e.url, header, body); f != nil {
				err = f.err
			}
		}
		results = append(results, TestResult{e.name, err})
	}
	return results
}
