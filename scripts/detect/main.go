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

// What the command writes in docs/accuracy.md lies between two such lines.
const (
	simulated = "simulated"
	recorded  = "recorded"
)

func opening(section string) string {
	return "<!-- " + section + ": from here on written by make bench-detect -->"
}

func closing(section string) string { return "<!-- " + section + ": to here -->" }

// samples is where real events are, in a checkout that has them beside it.
const samples = "../shared/data"

func main() {
	seeds := flag.String("seeds", "101-120", "seeds, as FIRST-LAST; 1-20 are for tuning")
	docs := flag.String("docs", "", "folder of accuracy.md, which is written anew; none: nothing is written")
	perCell := flag.Int("cell", 1, "overreaches of each scenario, length and strength, a seed")
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
	texts := map[string]string{simulated: res.markdown(seeds)}
	if _, err := os.Stat(samples); err == nil {
		if texts[recorded], err = onRecorded(samples, p.seeds); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(os.Stderr, "bench-detect: NOT RUN on recorded events: no %s beside the checkout\n", samples)
	}
	fmt.Printf("\n%s\n%s\n", texts[simulated], texts[recorded])
	fmt.Fprintf(os.Stderr, "bench-detect: done in %s\n", time.Since(begin).Round(time.Second))
	if docs == "" {
		return nil
	}
	page := filepath.Join(docs, "accuracy.md")
	fresh, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	for section, text := range texts {
		if fresh, err = replaced(fresh, section, text); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	for name, content := range map[string]string{"accuracy.md": string(fresh), "accuracy-recall.svg": res.recalls(), "accuracy-reliability.svg": res.reliability()} {
		if err := os.WriteFile(filepath.Join(docs, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// replaced is the page with other text between the two lines of a section.
func replaced(page []byte, section, text string) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(opening(section)))
	_, after, ok2 := bytes.Cut(rest, []byte(closing(section)))
	if !ok || !ok2 {
		return nil, errors.New("no lines " + opening(section) + " and " + closing(section) + " to write between")
	}
	return fmt.Appendf(nil, "%s%s\n\n%s\n\n%s%s", before, opening(section), strings.TrimSpace(text), closing(section), after), nil
}
