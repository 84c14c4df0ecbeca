package decode

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// pattern makes a value of what a regular expression matched.
type pattern struct {
	re      *regexp.Regexp
	literal []byte // the value where it has no groups
	parts   []part // else
}

// part is one piece of a pattern's value: a group, or literal text.
type part struct {
	group int // 0: literal
	text  string
}

// maxPattern is the length of the longest pattern, in bytes: what it costs to
// match grows with it.
const maxPattern = 1000

// parsePattern compiles a pattern in RE2's syntax, which is matched in time
// linear in the text, and its value: text with named groups in it, as in
// ${account}/${name}. Where there is one group alone, it is the value by itself.
func parsePattern(expression, value string) (*pattern, error) {
	switch {
	case expression == "":
		return nil, errors.New("value is given without a pattern: expected a pattern, with a group for each name in the value; a fixed value is const")
	case len(expression) > maxPattern:
		return nil, fmt.Errorf("the pattern has %d bytes, more than %d: use after, before or a table where they do", len(expression), maxPattern)
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("the pattern is none in RE2's syntax: %w", err)
	}
	p := &pattern{re: re}
	if value == "" {
		if re.NumSubexp() != 1 {
			return nil, fmt.Errorf("the pattern has %d groups and no value beside it: expected one group, or a value that says what to make of them, as in ${account}/${name}", re.NumSubexp())
		}
		p.parts = []part{{group: 1}}
		return p, nil
	}
	if !strings.Contains(value, "${") {
		p.literal = []byte(value)
		return p, nil
	}
	for rest := value; rest != ""; {
		literal, after, found := strings.Cut(rest, "${")
		if literal != "" {
			p.parts = append(p.parts, part{text: literal})
		}
		if !found {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed || name == "" || re.SubexpIndex(name) < 0 {
			return nil, fmt.Errorf("the value %q names a group %q that the pattern does not have: expected ${NAME} for a group (?P<NAME>…)", value, name)
		}
		p.parts, rest = append(p.parts, part{group: re.SubexpIndex(name)}), next
	}
	return p, nil
}

// expand returns the value for a text, made in scratch where it is no piece of
// the text, and whether the pattern matches.
func (p *pattern) expand(scratch *[]byte, text []byte) ([]byte, bool) {
	if p.literal != nil {
		return p.literal, p.re.Match(text)
	}
	at := p.re.FindSubmatchIndex(text)
	if at == nil {
		return nil, false
	}
	group := func(n int) []byte {
		if at[2*n] < 0 {
			return nil // in a branch that was not taken
		}
		return text[at[2*n]:at[2*n+1]]
	}
	if len(p.parts) == 1 {
		return group(p.parts[0].group), true
	}
	start := len(*scratch)
	for _, part := range p.parts {
		*scratch = append(*scratch, part.text...)
		if part.group > 0 {
			*scratch = append(*scratch, group(part.group)...)
		}
	}
	return (*scratch)[start:len(*scratch):len(*scratch)], true
}
