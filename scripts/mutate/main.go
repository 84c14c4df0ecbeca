// Command mutate measures the tests: it makes small changes to the sources, one
// at a time, and counts how many of them some test notices. Only tests that need
// neither an engine nor Java are asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"time"
)

// What is changed, and whose tests are asked: where counting, judging and
// telling happen.
var packages = []string{
	"consumer", "judge", "notify", "detectors", "detectors/baseline", "detectors/trend", "detectors/usage", "detectors/window",
}

func main() {
	seed := flag.Uint64("seed", 1, "what the mutants are drawn by")
	n := flag.Int("n", 300, "how many mutants")
	within := flag.Duration("within", time.Hour, "how long it may take; what is left then is not counted, and that is said")
	flag.Parse()
	if err := run(*seed, *n, *within); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(seed uint64, n int, within time.Duration) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	all, err := sites(root, packages)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	s := &suite{root: root, module: "github.com/overreach/overreach", work: work}
	say("%d mutants can be made; measuring each test once", len(all))
	if err := s.measure(ctx, packages, say); err != nil {
		return err
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	t := &tally{left: all, want: n, counts: map[verdict]int{}}
	var workers sync.WaitGroup
	for worker := range runtime.NumCPU() {
		workers.Go(func() { t.work(ctx, s, worker) })
	}
	workers.Wait()
	return t.report(ctx, seed)
}

// tally hands out mutants and counts what became of them.
type tally struct {
	mu     sync.Mutex
	left   []mutant
	want   int // of those that compile
	out    int // handed out, and not found to be no Go
	counts map[verdict]int
	alive  []string
	err    error
}

func (t *tally) work(ctx context.Context, s *suite, worker int) {
	for {
		m, ok := t.next()
		if !ok {
			return
		}
		v, err := s.try(ctx, &m, worker)
		if ctx.Err() != nil {
			return // cut short, so nothing is known of it
		}
		t.count(&m, v, err)
	}
}

func (t *tally) next() (mutant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || t.out >= t.want || len(t.left) == 0 {
		return mutant{}, false
	}
	m := t.left[0]
	t.left = t.left[1:]
	t.out++
	return m, true
}

func (t *tally) count(m *mutant, v verdict, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.err = errors.Join(t.err, err)
		return
	}
	t.counts[v]++
	switch v {
	case notGo:
		t.out-- // another one in its place
	case survived, unreached:
		t.alive = append(t.alive, fmt.Sprintf("%s: %s", m, v))
		fmt.Fprintf(os.Stderr, "%s: %s\n", m, v)
	case killed:
	}
	if tried := t.counts[killed] + t.counts[survived] + t.counts[unreached]; v != notGo && tried%25 == 0 {
		fmt.Fprintf(os.Stderr, "%d of %d tried, %d killed\n", tried, t.want, t.counts[killed])
	}
}

// report prints the mutants that live and the score.
func (t *tally) report(ctx context.Context, seed uint64) error {
	if t.err != nil {
		return t.err
	}
	tried := t.counts[killed] + t.counts[survived] + t.counts[unreached]
	if tried == 0 {
		return errors.New("no mutant was tried")
	}
	slices.Sort(t.alive)
	for _, line := range t.alive {
		fmt.Println(line)
	}
	low, high := wilson(t.counts[killed], tried)
	fmt.Printf("seed %d: %d of %d mutants killed: %.1f%% (95%%: %.1f to %.1f); %d survived, %d were reached by no test; %d did not compile and were replaced\n",
		seed, t.counts[killed], tried, 100*float64(t.counts[killed])/float64(tried), 100*low, 100*high,
		t.counts[survived], t.counts[unreached], t.counts[notGo])
	if ctx.Err() != nil {
		return fmt.Errorf("the time ended after %d of %d mutants", tried, t.want)
	}
	return nil
}

// wilson is the score interval of a share, at 95% (Wilson 1927).
func wilson(k, n int) (low, high float64) {
	const z = 1.959964
	p, m := float64(k)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return centre - half, centre + half
}
