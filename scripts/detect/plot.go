package main

import (
	"fmt"
	"math"
	"strings"
)

// style makes a plot readable on light and on dark pages.
const style = `<style>
text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1d2733}.h{font-weight:600}.m{font-size:10.5px;fill:#4b5a6b}
.axis{stroke:#6e7f96;fill:none}.grid{stroke:#d5dde7;fill:none}.back{fill:#ffffff}.l{fill:none;stroke-width:2}
.c0{stroke:#2563b0}.c1{stroke:#b4481e}.c2{stroke:#2f7d46}.c3{stroke:#7b4bb0}.c4{stroke:#8a6d00}.c5{stroke:#0f7c86}.c6{stroke:#a3245f}
@media (prefers-color-scheme:dark){text{fill:#e6edf5}.m{fill:#a9b7c7}.axis{stroke:#8fa3bd}.grid{stroke:#33404f}.back{fill:#111820}
.c0{stroke:#6ea8f0}.c1{stroke:#f0936b}.c2{stroke:#6fca8b}.c3{stroke:#b994ea}.c4{stroke:#d9bd55}.c5{stroke:#5cc9d3}.c6{stroke:#f07fb4}}
</style>`

const (
	panelWidth, panelHeight = 300, 220
	left, top, gap          = 48, 34, 70
)

// panel is one coordinate system; x and y lie between 0 and 1.
type panel struct {
	title          string
	xTicks, yTicks []tick
	xLabel         string
	lines          []line
}

type tick struct {
	at   float64
	text string
}

type line struct {
	name   string
	points [][2]float64
	dashed bool
}

// draw writes panels beside one another, each with its legend below.
func draw(title string, panels []panel) string {
	most := 0
	for _, p := range panels {
		most = max(most, len(p.lines))
	}
	width, height := left+len(panels)*(panelWidth+gap), top+panelHeight+58+17*most
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n%s\n<rect class=\"back\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n",
		width, height, title, style, width, height)
	for i, p := range panels {
		p.draw(&b, float64(left+i*(panelWidth+gap)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *panel) draw(b *strings.Builder, x0 float64) {
	x := func(v float64) float64 { return x0 + v*panelWidth }
	y := func(v float64) float64 { return top + (1-v)*panelHeight }
	fmt.Fprintf(b, "<text class=\"h\" x=\"%.0f\" y=\"20\">%s</text>\n", x0, p.title)
	for _, t := range p.yTicks {
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text class=\"m\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", x(0), y(t.at), x(1), x(0)-6, y(t.at)+4, t.text)
	}
	for _, t := range p.xTicks {
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text class=\"m\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x(t.at), y(0), y(1), x(t.at), y(0)+15, t.text)
	}
	fmt.Fprintf(b, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/><text class=\"m\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x(0), y(1), y(0), x(1), x(0.5), y(0)+31, p.xLabel)
	for i, l := range p.lines {
		dash := ""
		if l.dashed {
			dash = " stroke-dasharray=\"5 4\""
		}
		class := fmt.Sprintf("l c%d", i%7)
		var path strings.Builder
		for k, point := range l.points {
			fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[k == 0], x(point[0]), y(point[1]))
		}
		key := y(0) + 50 + float64(17*i)
		fmt.Fprintf(b, "<path class=\"%s\"%s d=\"%s\"/><path class=\"%s\"%s d=\"M%.1f %.1fh22\"/><text class=\"m\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, dash, path.String(), class, dash, x0, key-4, x0+28, key, l.name)
	}
}

// tenths are ticks from 0 to 1.
func tenths() []tick {
	var all []tick
	for i := 0; i <= 10; i += 2 {
		all = append(all, tick{float64(i) / 10, fmt.Sprintf("%.1f", float64(i)/10)})
	}
	return all
}

// reliability draws how often against how likely: evenly, and for small chances.
func (r *results) reliability() string {
	const decades = 6
	log := func(p float64) float64 { return 1 + math.Log10(math.Max(p, 1e-6))/decades }
	var ticks []tick
	for d := -decades; d <= 0; d++ {
		ticks = append(ticks, tick{log(math.Pow10(d)), fmt.Sprintf("1e%d", d)})
	}
	even := panel{title: "How often, by how likely", xTicks: tenths(), yTicks: tenths(), xLabel: "said to come in a share of"}
	small := panel{title: "The same, for what is seldom", xTicks: ticks, yTicks: ticks, xLabel: "said to come in a share of"}
	for _, k := range []struct {
		name string
		*calibration
	}{{"chance, mature baseline", &r.chances}, {"chance, thin baseline", &r.thin}, {"score, least of a capability's year", &r.years}} {
		a, s := line{name: k.name, points: [][2]float64{{0, 0}}}, line{name: k.name}
		for i, l := range levels {
			a.points = append(a.points, [2]float64{l, k.share(i)})
			if k.under[i] > 0 {
				s.points = append(s.points, [2]float64{log(l), log(k.share(i))})
			}
		}
		a.points = append(a.points, [2]float64{1, 1})
		even.lines, small.lines = append(even.lines, a), append(small.lines, s)
	}
	ideal := line{name: "as it should be", points: [][2]float64{{0, 0}, {1, 1}}, dashed: true}
	even.lines, small.lines = append(even.lines, ideal), append(small.lines, ideal)
	return draw("Reliability of chance and score", []panel{even, small})
}

// recalls draws, for each detector whose scenarios grow, the share found over the
// strength, all lengths together.
func (r *results) recalls() string {
	var panels []panel
	index := map[string]int{}
	for i := 0; i < len(r.cells); {
		s := r.cells[i].scenario
		n := len(s.lengths) * len(s.strengths)
		cells := r.cells[i : i+n]
		i += n
		if s.unit == aDay || s.unit == ofRecords {
			continue
		}
		at, ok := index[s.detector]
		least, most := s.strengths[0], s.strengths[len(s.strengths)-1]
		x := func(v float64) float64 { return math.Log(v/least) / math.Log(most/least) }
		if !ok {
			at = len(panels)
			index[s.detector] = at
			p := panel{title: s.detector + ": share found", yTicks: tenths(), xLabel: s.unit}
			for _, v := range s.strengths {
				p.xTicks = append(p.xTicks, tick{x(v), fmt.Sprint(v)})
			}
			panels = append(panels, p)
		}
		own, any := line{name: s.name}, line{name: s.name + ", by any", dashed: true}
		for k, v := range s.strengths {
			sumOwn, sumAny := 0.0, 0.0
			for l := range s.lengths {
				c := &cells[l*len(s.strengths)+k]
				sumOwn, sumAny = sumOwn+c.recall(s.detector), sumAny+c.recall("")
			}
			own.points = append(own.points, [2]float64{x(v), sumOwn / float64(len(s.lengths))})
			any.points = append(any.points, [2]float64{x(v), sumAny / float64(len(s.lengths))})
		}
		if exists(s.detector) {
			panels[at].lines = append(panels[at].lines, own)
		} else {
			panels[at].lines = append(panels[at].lines, any)
		}
	}
	return draw("Recall over strength", panels)
}
