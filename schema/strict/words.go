package strict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxListed is how many allowed names an error lists.
const maxListed = 24

// Unknown says that found is no known field (capability, action, …), which one
// was probably meant, and which there are.
func Unknown(what, found string, allowed []string) string {
	text := fmt.Sprintf("unknown %s %s", what, quote(found))
	if near := nearest(found, allowed); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	} else {
		text += ":"
	}
	return text + " expected " + list(allowed)
}

// list names what is allowed, in the order of the alphabet.
func list(allowed []string) string {
	switch len(allowed) {
	case 0:
		return "nothing"
	case 1:
		return allowed[0]
	}
	sorted := slices.Sorted(slices.Values(allowed))
	if more := len(sorted) - maxListed; more > 0 {
		return fmt.Sprintf("one of %s and %d more", strings.Join(sorted[:maxListed], ", "), more)
	}
	return "one of " + strings.Join(sorted, ", ")
}

// quote quotes s, cut to a length that fits into a line.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// describe says what a node is, for "found …".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	case "!!bool":
		return "the truth value " + quote(n.Value)
	}
	return "the text " + quote(n.Value)
}

// nearest returns the allowed name that the fewest typing errors part from
// found, or nothing where even that is too far to be what was meant.
func nearest(found string, allowed []string) string {
	best, least := "", len(found)/3+1
	for _, a := range slices.Sorted(slices.Values(allowed)) {
		if len(a) > len(found)+least || len(found) > len(a)+least {
			continue
		}
		if n := distance(strings.ToLower(found), strings.ToLower(a)); n <= least && (best == "" || n < least) {
			best, least = a, n
		}
	}
	return best
}

// distance is the least number of bytes put in, left out, changed, or swapped
// with their neighbour that turns a into b (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
