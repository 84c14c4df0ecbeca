// Command detect measures how good the detectors are on simulated partners, and
// writes the section of docs/accuracy.md that says so.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// The lines of docs/accuracy.md between which the command writes.
const (
	opening = "<!-- bench-detect: from here on written by make bench-detect -->"
	closing = "<!-- bench-detect: to here -->"
)

func main() {
	seeds := flag.String("seeds", "101-120", "seeds, as FIRST-LAST; 1-20 are for tuning")
	docs := flag.String("docs", "", "folder of accuracy.md, which is written anew; none: nothing is written")
	perCell := flag.Int("cell", 2, "overreaches of each scenario, length and strength, a seed")
	perTrap := flag.Int("trap", 3, "partners of each trap, a seed")
	partners := flag.Int("partners", 50, "clean partners a seed, a year each")
	flag.Parse()
	p := plan{perCell: *perCell, perTrap: *perTrap, partners: *partners, days: 365, scenarios: scenarios(), traps: traps()}
	err := p.parse(*seeds)
	if err == nil {
		err = report(p, *seeds, *docs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-detect:", err)
		os.Exit(1)
	}
}

// parse reads the plan's seeds.
func (p *plan) parse(seeds string) error {
	low, high, ok := strings.Cut(seeds, "-")
	first, err := strconv.ParseUint(low, 10, 32)
	last, err2 := strconv.ParseUint(high, 10, 32)
	if !ok || err != nil || err2 != nil || first > last {
		return fmt.Errorf("seeds %q: expected FIRST-LAST, as in 101-120", seeds)
	}
	for s := first; s <= last; s++ {
		p.seeds = append(p.seeds, s)
	}
	return nil
}

func report(p plan, seeds, docs string) error {
	begin := time.Now()
	res := measure(p, func(done, of int) {
		if done%(of/20+1) == 0 {
			fmt.Fprintf(os.Stderr, "bench-detect: %d of %d partners, %s\n", done, of, time.Since(begin).Round(time.Second))
		}
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	res.lines(w)
	if err := w.Flush(); err != nil {
		return err
	}
	text := res.markdown(seeds)
	fmt.Println("\n" + text)
	fmt.Fprintf(os.Stderr, "bench-detect: done in %s\n", time.Since(begin).Round(time.Second))
	if docs == "" {
		return nil
	}
	page := filepath.Join(docs, "accuracy.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	fresh, err := replaced(old, text)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	for name, content := range map[string]string{"accuracy.md": fresh, "accuracy-recall.svg": res.recalls(), "accuracy-reliability.svg": res.reliability()} {
		if err := os.WriteFile(filepath.Join(docs, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// replaced is the page with other text between the two lines.
func replaced(page []byte, text string) (string, error) {
	before, rest, ok := bytes.Cut(page, []byte(opening))
	_, after, ok2 := bytes.Cut(rest, []byte(closing))
	if !ok || !ok2 {
		return "", errors.New("no lines " + opening + " and " + closing + " to write between")
	}
	return string(before) + opening + "\n\n" + text + "\n\n" + closing + string(after), nil
}
