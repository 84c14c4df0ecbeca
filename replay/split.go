package replay

import (
	"bufio"
	"bytes"
	"errors"
)

// splitter cuts a file into records: lines, or, where the first thing in the file
// is a bracket, the elements of the JSON list that it opens and of any that
// follow, as they stand, whatever lies between them. Its memory is one record.
//
// What an element holds is not looked at more than is needed to find its end, so
// one that is no JSON is told by whoever reads it.
type splitter struct {
	known  bool // whether the file is of lists
	lists  bool
	inList bool
	open   bool // the last line has no end
}

var errCutOff = errors.New("the file ends inside of a JSON list: it was cut off, or a bracket or quote is missing")

// next implements bufio.SplitFunc.
func (s *splitter) next(data []byte, atEOF bool) (advance int, record []byte, err error) {
	if !s.known {
		rest := bytes.TrimLeft(data, " \t\r\n")
		if len(rest) == 0 && !atEOF {
			return 0, nil, nil
		}
		s.known, s.lists = true, len(rest) > 0 && rest[0] == '['
	}
	if !s.lists {
		if len(data) > 0 {
			s.open = atEOF && bytes.IndexByte(data, '\n') < 0
		}
		return bufio.ScanLines(data, atEOF)
	}
	i := 0
between:
	for ; i < len(data); i++ {
		switch c := data[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case !s.inList && c == '[':
			s.inList = true
		case s.inList && c == ']':
			s.inList = false
		case s.inList && c == ',':
		default:
			break between
		}
	}
	if i == len(data) {
		if atEOF && s.inList {
			return 0, nil, errCutOff
		}
		return i, nil, nil
	}
	n := valueEnd(data[i:])
	switch {
	case n > 0:
		return i + n, data[i : i+n], nil
	case !atEOF:
		return i, nil, nil // from its beginning on, with more of it
	case s.inList:
		return 0, nil, errCutOff
	}
	return len(data), bytes.TrimRight(data[i:], " \t\r\n"), nil
}

// valueEnd returns where the JSON value ends with which data begins, and 0 where
// it does not end in there.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			n := stringEnd(data[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return max(i, 1) // of a number or word, by the end of the list
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return max(i, 1)
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return 0
}

// stringEnd returns where the string ends that data begins with, and 0 where it
// does not.
func stringEnd(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
