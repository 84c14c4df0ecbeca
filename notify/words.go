package notify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/overreach/overreach/schema"
)

// Names of partners, apps and capabilities come from the events: whoever writes
// them chooses what stands in an alert. What leaves here is valid UTF-8 of
// bounded length, on one line, and means nothing to a chat, a browser or a
// terminal.

const (
	longestLabel = 200     // bytes
	longestLine  = 1000    // bytes
	longestQuery = 8 << 10 // bytes
)

// plain makes text harmless: what cannot be seen is written as an escape, and
// angle brackets, with which Slack's <!channel> and HTML begin, as ‹ and ›.
func plain(s string) string {
	if harmless(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '<':
			b.WriteRune('‹')
		case r == '>':
			b.WriteRune('›')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

func harmless(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r == '<' || r == '>' || !unicode.IsPrint(r) }) < 0
}

// noName is how no name is written: the partner of what is about the reading.
const noName = "(none)"

// label writes a name as the value of a label. Two names never get the same: one
// that had to be changed ends in a part of its hash.
func label(name string) string {
	if name == "" {
		return noName // Alertmanager drops labels without a value
	}
	if len(name) <= longestLabel && harmless(name) && name != noName {
		return name
	}
	mark := "~" + hashed(name)[:8]
	return cut(plain(cut(name, longestLabel)), longestLabel-len(mark)) + mark
}

// line writes text as one line of bounded length.
func line(s string) string {
	if len(s) <= longestLine {
		s = plain(s)
	} else {
		s = plain(cut(s, longestLine)) + "…"
	}
	if len(s) > 2*longestLine {
		return cut(s, 2*longestLine) + "…"
	}
	return s
}

// cut returns the first bytes of s, at most n, without half a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// sql writes a query so that it can be copied as it stands and be run: what is not
// harmless stands in it within literals alone, and is escaped as ClickHouse reads it.
func sql(query string) string {
	if len(query) > longestQuery {
		return "too long for an alert: overreach findings --json shows it"
	}
	var b strings.Builder
	for i := 0; i < len(query); {
		r, n := utf8.DecodeRuneInString(query[i:])
		operator := r == '>' || r == '<' && i+1 < len(query) && strings.IndexByte(" =>", query[i+1]) >= 0
		switch {
		case r == utf8.RuneError && n <= 1, !unicode.IsPrint(r), r == '<' && !operator:
			for _, c := range []byte(query[i : i+n]) {
				fmt.Fprintf(&b, `\x%02X`, c)
			}
		default:
			b.WriteString(query[i : i+n])
		}
		i += n
	}
	return b.String()
}

// people writes a number of people with its interval.
func people(e schema.Estimate) string {
	if e.Low == e.High {
		return fmt.Sprint(e.Value)
	}
	return fmt.Sprintf("%d (%d to %d)", e.Value, e.Low, e.High)
}

// runbook is where a finding's page is.
func runbook(base, path string) string {
	if base == "" || path == "" {
		return path
	}
	return strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(path, "/")
}
