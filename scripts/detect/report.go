package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/overreach/overreach/detectors"
)

// recall is the share of a cell's overreaches that the detector found, "" for any.
func (c *cell) recall(detector string) float64 {
	n := 0
	for _, h := range c.hits {
		if _, ok := h.found[detector]; ok || detector == "" && len(h.found) > 0 {
			n++
		}
	}
	return float64(n) / float64(max(len(c.hits), 1))
}

// paged is the share about which the detector woke somebody.
func (c *cell) paged() float64 {
	n := 0
	for _, h := range c.hits {
		if h.paged {
			n++
		}
	}
	return float64(n) / float64(max(len(c.hits), 1))
}

// delay is after how many seconds a share of what the detector found could have
// been noticed: half is the median.
func (c *cell) delay(detector string, share float64) (int64, bool) {
	var all []int64
	for _, h := range c.hits {
		least := int64(-1)
		for d, after := range h.found {
			if (detector == "" || d == detector) && (least < 0 || after < least) {
				least = after
			}
		}
		if least >= 0 {
			all = append(all, least)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return all[int(share*float64(len(all)-1)+0.5)], true
}

// precision is the share of the detector's episodes that are of the overreach.
func precision(cells []cell) string {
	own, others := 0, 0
	for i := range cells {
		for _, h := range cells[i].hits {
			own, others = own+h.own, others+h.others
		}
	}
	if own+others == 0 {
		return "–"
	}
	return share(float64(own) / float64(own+others))
}

// share writes a share: 1 and 0 only where it is all or none.
func share(v float64) string {
	switch v {
	case 0:
		return "0"
	case 1:
		return "1"
	}
	return strconv.FormatFloat(min(max(v, 0.01), 0.99), 'f', 2, 64)
}

// length writes seconds as people say them.
func length(seconds int64) string {
	switch {
	case seconds < 3600:
		return fmt.Sprintf("%d min", (seconds+59)/60)
	case seconds < 2*86400:
		return fmt.Sprintf("%d h", (seconds+1800)/3600)
	}
	return fmt.Sprintf("%d d", (seconds+43200)/86400)
}

func exists(detector string) bool {
	return slices.ContainsFunc(detectors.All(), func(d detectors.Detector) bool { return d.Name() == detector })
}

// lines prints a line for each cell.
func (r *results) lines(w io.Writer) {
	fmt.Fprintln(w, "detector\tscenario\tlasts\tstrength\tunit\truns\trecall\tby any\tpaged\tprecision\tmedian delay\tdelay of 9 in 10")
	for i := range r.cells {
		c := &r.cells[i]
		half, ninth := "–", "–"
		if after, ok := c.delay(c.scenario.detector, 0.5); ok {
			half = length(after)
			after, _ = c.delay(c.scenario.detector, 0.9)
			ninth = length(after)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%g\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.scenario.detector, c.scenario.name, length(int64(c.hours)*3600), c.strength, c.scenario.unit, len(c.hits),
			share(c.recall(c.scenario.detector)), share(c.recall("")), share(c.paged()), precision(r.cells[i:i+1]), half, ninth)
	}
}

// markdown writes the section of docs/accuracy.md.
func (r *results) markdown(seeds string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seeds %s. Everything from here to the end of the section is written by `make bench-detect`.\n\n", seeds)
	r.falseAlarms(&b)
	r.trapped(&b)
	r.calibrated(&b)
	r.found(&b)
	return strings.TrimRight(b.String(), "\n")
}

func rate(n int, years float64) string {
	return fmt.Sprintf("%d | %.3f | %.3f", n, float64(n)/years, upper(n)/years)
}

func (r *results) falseAlarms(b *strings.Builder) {
	if r.clean.years == 0 {
		return
	}
	fmt.Fprintf(b, "### False alarms on clean traffic\n\n%.0f partner-years of %d partners, %d of which begin with their year. An alarm is a finding with the days that continue it.\n\n", r.clean.years, r.clean.runs, r.young.runs)
	b.WriteString("| detector | pages | a partner-year | upper 95% | warnings | a partner-year | upper 95% |\n|---|---|---|---|---|---|---|\n")
	for _, d := range detectors.All() {
		fmt.Fprintf(b, "| %s | %s | %s |\n", d.Name(), rate(r.clean.pages[d.Name()], r.clean.years), rate(r.clean.warnings[d.Name()], r.clean.years))
	}
	fmt.Fprintf(b, "| **all** | %s | %s |\n", rate(total(r.clean.pages), r.clean.years), rate(total(r.clean.warnings), r.clean.years))
	if r.young.years > 0 {
		fmt.Fprintf(b, "| of these, partners in their first year | %s | %s |\n", rate(total(r.young.pages), r.young.years), rate(total(r.young.warnings), r.young.years))
	}
	b.WriteString("\n")
}

func (r *results) trapped(b *strings.Builder) {
	if len(r.traps) == 0 {
		return
	}
	b.WriteString("### False alarms in traps\n\nWhat looks like overreach and is none, each in two months of an ordinary partner (5 visits an hour and more). The rates hold for partners to which it happens.\n\n")
	b.WriteString("| trap | partners | pages | warnings | partners without any alarm |\n|---|---|---|---|---|\n")
	sum := newAlarms()
	for i, t := range r.plan.traps {
		a := &r.traps[i]
		sum.add(a)
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s |\n", t.name, a.runs, named(a.pages), named(a.warnings), share(1-float64(a.disturbed)/float64(a.runs)))
	}
	fmt.Fprintf(b, "| **all** (%.0f partner-years) | %d | %s | %s | %s |\n\n", sum.years, sum.runs, named(sum.pages), named(sum.warnings), share(1-float64(sum.disturbed)/float64(sum.runs)))
}

// named writes how many of each detector.
func named(counts map[string]int) string {
	if total(counts) == 0 {
		return "0"
	}
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[d], d))
	}
	return strings.Join(parts, ", ")
}

func (r *results) calibrated(b *strings.Builder) {
	if r.chances.n == 0 {
		return
	}
	fmt.Fprintf(b, "### Calibration\n\nHow often ordinary hours of clean traffic are as surprising as the chance says, for keys whose hours usually hold %d and more; and how often the least score of a capability in a year is as low as the score says.\n\n", floor)
	fmt.Fprintf(b, "| | expected calibration error | of |\n|---|---|---|\n| chance, mature | **%.3f** | %d hours, keys and metrics |\n| chance, thin | %.3f | %d |\n| score, mature | %.3f | %d capability-years |\n\n",
		r.chances.expectedError(), r.chances.n, r.thin.expectedError(), r.thin.n, r.years.expectedError(), r.years.n)
	b.WriteString("| said to come in a share of | chance, mature | chance, thin | score, mature |\n|---|---|---|---|\n")
	for i, l := range levels {
		score := "–"
		if l >= 1e-3 {
			score = fmt.Sprintf("%.2g", r.years.share(i))
		}
		fmt.Fprintf(b, "| %g | %.2g | %.2g | %s |\n", l, r.chances.share(i), r.thin.share(i), score)
	}
	b.WriteString("\n![Reliability diagram](accuracy-reliability.svg)\n\n")
}

func (r *results) found(b *strings.Builder) {
	if len(r.cells) == 0 {
		return
	}
	fmt.Fprintf(b, "### What is found\n\n%d overreaches in each cell, each of a partner of its own: the share that the detector found (warning or page), and after how long half of these could have been noticed. In brackets: the share that any detector found, where that is more. Precision: the share of the detector's alarms in these runs that were of the overreach.\n", len(r.cells[0].hits))
	for i := 0; i < len(r.cells); {
		first := r.cells[i].scenario
		fmt.Fprintf(b, "\n| %s, %s | lasts |", first.detector, first.unit)
		for _, s := range first.strengths {
			fmt.Fprintf(b, " %g |", s)
		}
		b.WriteString(" precision |\n|---|---|" + strings.Repeat("---|", len(first.strengths)) + "---|\n")
		for i < len(r.cells) && r.cells[i].scenario.detector == first.detector && slices.Equal(r.cells[i].scenario.strengths, first.strengths) {
			s, hours, from := r.cells[i].scenario, r.cells[i].hours, i
			fmt.Fprintf(b, "| %s | %s |", s.name, length(int64(hours)*3600))
			for range s.strengths {
				fmt.Fprintf(b, " %s |", r.cells[i].text())
				i++
			}
			fmt.Fprintf(b, " %s |\n", precision(r.cells[from:i]))
		}
		if !exists(first.detector) {
			fmt.Fprintf(b, "\nThere is no %s yet: what is in brackets was found by others.\n", first.detector)
		}
	}
	b.WriteString("\n![Recall over strength](accuracy-recall.svg)\n")
}

// text is what the cell says in a table.
func (c *cell) text() string {
	own, any := c.recall(c.scenario.detector), c.recall("")
	text := share(own)
	if after, ok := c.delay(c.scenario.detector, 0.5); ok {
		text += " · " + length(after)
	}
	if any > own {
		text += " (" + share(any) + ")"
	}
	return text
}
