package schema

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a text of strangers with U+FFFD for whatever does not print:
// control characters, with which terminals are steered and lines forged; those
// that turn the direction of text; bytes that are not UTF-8.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// PrintableJSON returns JSON that means the same, with what does not print
// escaped in its strings: encoders leave U+007F, U+0080 to U+009F and U+202E as they
// are, and terminals do not. Line ends between the values stay.
func PrintableJSON(text []byte) []byte {
	steers := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
	if bytes.IndexFunc(text, steers) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !steers(r):
			out = append(out, text[:n]...)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default: // a surrogate pair, as JSON has it
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
		text = text[n:]
	}
	return out
}
