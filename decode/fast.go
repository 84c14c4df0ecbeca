package decode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/overreach/overreach/schema"
)

// The fast path reads the flat objects that producers usually send, in one pass
// and without allocation. It never rejects: whatever it is not sure of it
// declines, and decodeLibrary decides alone. What it accepts, decodeLibrary
// accepts with the same Event.

// maxSkipDepth is how deep the fast path follows nesting in members that are not
// read.
const maxSkipDepth = 8

// decodeFast sets e from the record, or reports false and leaves e undefined.
func decodeFast(b []byte, e *schema.Event) bool {
	*e = schema.Event{}
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	var seen, high uint64 // members seen; bits of bytes that are not ASCII
	for {
		i = skipSpace(b, i+1)
		if i >= len(b) || b[i] != '"' {
			return false
		}
		end, h := stringStop(b, i+1)
		if end >= len(b) || b[end] != '"' {
			return false
		}
		high |= h
		m := memberOf(b[i+1 : end])
		i = skipSpace(b, end+1)
		if i >= len(b) || b[i] != ':' {
			return false
		}
		i = skipSpace(b, i+1)
		if i >= len(b) {
			return false
		}
		switch {
		case m == unknown:
			i, h = skipValue(b, i, 0)
			if i < 0 {
				return false
			}
		case seen&(1<<m) != 0:
			return false
		case b[i] == '"':
			end, h = stringStop(b, i+1)
			if end >= len(b) || b[end] != '"' || !setFastText(e, m, b[i+1:end]) {
				return false
			}
			i = end + 1
		default:
			if i = setFastNumber(e, m, b, i); i < 0 {
				return false
			}
		}
		if m != unknown {
			seen |= 1 << m
		}
		high |= h
		i = skipSpace(b, i)
		if i >= len(b) {
			return false
		}
		if b[i] != ',' {
			break
		}
	}
	return b[i] == '}' && skipSpace(b, i+1) == len(b) &&
		seen&(1<<memberTime) != 0 && e.Action != 0 &&
		len(e.Partner) > 0 && len(e.Capability) > 0 && len(e.Subject) > 0 &&
		(high == 0 || utf8.Valid(b))
}

func setFastText(e *schema.Event, m member, text []byte) bool {
	switch {
	case m == memberTime:
		ms, ok := fastTime(text)
		e.Time = ms
		return ok
	case m == memberAction:
		switch string(text) {
		case "read":
			e.Action = schema.Read
		case "write":
			e.Action = schema.Write
		case "delete":
			e.Action = schema.Delete
		}
		return e.Action != 0
	case m.isWhole() || len(text) > m.maxLength():
		return false
	}
	*memberText(e, m) = text
	return true
}

// setFastNumber sets a member to the digits from b[i] on and returns where they
// end, or -1: for a sign, a fraction, an exponent and more digits than surely
// fit. A null is as if the member were absent, which a required one must not be.
func setFastNumber(e *schema.Event, m member, b []byte, i int) int {
	if m != memberTime && b[i] == 'n' {
		return skipWord(b, i, "null")
	}
	if m != memberTime && !m.isWhole() {
		return -1
	}
	start, n := i, int64(0)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	digits := i - start
	if digits == 0 || digits > 18 || b[start] == '0' && digits > 1 {
		return -1
	}
	switch m {
	case memberTime:
		if n >= leastSeconds && n < endSeconds {
			return -1
		}
		e.Time = n
	case memberStatus:
		if n > maxStatus {
			return -1
		}
		e.Status = int32(n)
	case memberRecords:
		e.Records = n
	case memberBytes:
		e.Bytes = n
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// stringStop returns the index of the first quote, backslash or control
// character in b[i:], len(b) where there is none, and bits other than zero where
// it passed a byte that is not ASCII (or may have, by up to 7 bytes after).
func stringStop(b []byte, i int) (stop int, high uint64) {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		high |= w & highs
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// (x - ones) &^ x has the high bit of each byte of x that is zero. A
		// borrow can set it wrongly above the lowest such byte, never below.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)>>3, high
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			break
		}
		high |= uint64(b[i] & 0x80)
	}
	return i, high
}

// skipValue returns the index after the JSON value at b[i], or -1 where it is
// not sure that there is one, and bits as stringStop does.
func skipValue(b []byte, i, depth int) (next int, high uint64) {
	if i >= len(b) {
		return -1, 0
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		if depth == maxSkipDepth {
			return -1, 0
		}
		return skipNested(b, i, depth+1)
	case 't':
		return skipWord(b, i, "true"), 0
	case 'f':
		return skipWord(b, i, "false"), 0
	case 'n':
		return skipWord(b, i, "null"), 0
	}
	return skipNumber(b, i), 0
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipString skips a string with simple escapes; \u may be half of a surrogate
// pair and is declined.
func skipString(b []byte, i int) (next int, high uint64) {
	for i++; ; i += 2 {
		var h uint64
		i, h = stringStop(b, i)
		high |= h
		if i >= len(b) {
			return -1, 0
		}
		if b[i] == '"' {
			return i + 1, high
		}
		if b[i] != '\\' || i+1 >= len(b) {
			return -1, 0
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		default:
			return -1, 0
		}
	}
}

// skipNumber skips -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func skipNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start || b[start] == '0' && i > start+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return -1
		}
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipNested skips the object or array that begins at b[i].
func skipNested(b []byte, i, depth int) (next int, high uint64) {
	object := b[i] == '{'
	closing := b[i] + 2 // '}' or ']'
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1, 0
	}
	for {
		var h uint64
		if object {
			if i >= len(b) || b[i] != '"' {
				return -1, 0
			}
			if i, h = skipString(b, i); i < 0 {
				return -1, 0
			}
			high |= h
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return -1, 0
			}
			i = skipSpace(b, i+1)
		}
		if i, h = skipValue(b, i, depth); i < 0 {
			return -1, 0
		}
		high |= h
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1, 0
		}
		if b[i] == closing {
			return i + 1, high
		}
		if b[i] != ',' {
			return -1, 0
		}
		i = skipSpace(b, i+1)
	}
}
