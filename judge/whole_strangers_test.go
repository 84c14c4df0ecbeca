package judge_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

// The harness judges 10 strangers by name. Which of them have the lowest hashes
// is ClickHouse's word; that the others are one sum, and that nobody is left out
// or counted twice, is for this test.
func TestStrangersPastTheMostThatAreNamedAreOneFinding(t *testing.T) {
	t.Parallel()
	inMaps(t, strangersPastTheMostThatAreNamedAreOneFinding)
}

func strangersPastTheMostThatAreNamedAreOneFinding(t *testing.T, e *engine) {
	const strangers, named = 13, 10
	var log []event
	for i := range strangers {
		for call := range 1 + i%3 {
			log = append(log, event{
				Time: logStart.UnixMilli() + int64(i*60+call)*1000, Partner: fmt.Sprintf("stranger-%03d", i),
				Capability: "friends", Action: "read", Subject: fmt.Sprintf("person-%d", i),
			})
		}
	}
	r := e.start(t, 1, 100_000)
	r.produce(log, spread(1))
	r.awaitCounted(idle)
	r.drain(r.judge(r.store, 0, 1))

	findings := r.findings()
	rest := slices.IndexFunc(findings, func(f schema.Finding) bool { return f.Partner == detectors.Folded })
	if len(findings) != named+1 || rest < 0 {
		t.Fatalf("%d findings of %d strangers, want one for each of %d and one for the rest", len(findings), strangers, named)
	}
	var accesses, people uint64
	for _, f := range findings {
		accesses += f.Accesses
		people += f.People.Value
	}
	if accesses != uint64(len(log)) || people != strangers {
		t.Errorf("the findings add up to %d accesses and %d people, want %d and %d", accesses, people, len(log), strangers)
	}
	if f := findings[rest]; f.People.Value != strangers-named || f.Severity != schema.Critical || len(f.Contributors) == 0 {
		t.Errorf("the rest is %+v", f)
	}

	again := e.start(t, 1, 100_000)
	again.produce(log, spread(1))
	again.awaitCounted(idle)
	again.drain(again.judge(again.store, 0, 2))
	again.drain(again.judge(again.store, 1, 2))
	if diff := cmp.Diff(findings, again.findings()); diff != "" {
		t.Errorf("two judges find other things (- one, + two):\n%s", diff)
	}
}
