package decode

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/overreach/overreach/schema"
)

// library walks the members of one JSON object with jsontext, which is strict:
// it refuses invalid UTF-8, half surrogate pairs and any other grammar than that
// of RFC 8259. Duplicate names are left to the caller, who alone knows which
// members matter. Messages give positions and no part of the record.
type library struct {
	record  []byte
	in      bytes.Buffer // over record; jsontext reads it in place
	dec     jsontext.Decoder
	scratch []byte // holds unquoted strings
}

// kind is the first byte of a JSON value, '0' for every number and 't' for both
// truth values.
type kind byte

// String says what a value of the kind is, for a message.
func (k kind) String() string {
	switch k {
	case 'n':
		return "null"
	case 't':
		return "a truth value"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "nothing"
}

func kindOf(raw []byte) kind {
	switch c := raw[0]; {
	case c == 'f':
		return 't'
	case c == '-' || c-'0' <= 9:
		return '0'
	default:
		return kind(c)
	}
}

// start begins a record.
func (l *library) start(record []byte) *schema.Reject {
	l.record = record
	l.in = *bytes.NewBuffer(record)
	l.dec.Reset(&l.in, jsontext.AllowDuplicateNames(true))
	l.scratch = l.scratch[:0]
	if len(bytes.TrimLeft(record, " \t\r\n")) == 0 {
		return schema.Rejectf(schema.NotJSON, "the record is empty, expected a JSON object")
	}
	return nil
}

// open begins a record and enters its object.
func (l *library) open(record []byte) *schema.Reject {
	if r := l.start(record); r != nil {
		return r
	}
	token, err := l.dec.ReadToken()
	if err != nil {
		return l.syntax(err)
	}
	if k := token.Kind(); k != '{' {
		if !jsontext.Value(record).IsValid(jsontext.AllowDuplicateNames(true)) {
			return l.syntax(&jsontext.SyntacticError{})
		}
		return schema.Rejectf(schema.NotObject, "the record is %s, expected a JSON object", kindOf([]byte{byte(k)}))
	}
	return nil
}

// more reports whether the object that was entered has another member. It is
// true where the next thing is not JSON: name tells.
func (l *library) more() bool { return l.dec.PeekKind() != '}' }

// name returns the next member's name, valid until the next call.
func (l *library) name() ([]byte, *schema.Reject) {
	raw, err := l.dec.ReadValue()
	if err != nil {
		return nil, l.syntax(err)
	}
	if isPlain(raw) {
		return raw[1 : len(raw)-1], nil
	}
	used := len(l.scratch)
	name := l.unquote(raw)
	l.scratch = l.scratch[:used]
	return name, nil
}

// value returns the member's value as it stands in the record.
func (l *library) value() (kind, []byte, *schema.Reject) {
	raw, err := l.dec.ReadValue()
	if err != nil {
		return 0, nil, l.syntax(err)
	}
	end := int(l.dec.InputOffset())
	raw = l.record[end-len(raw) : end] // what jsontext returned is its own until its next call
	return kindOf(raw), raw, nil
}

func (l *library) skip() *schema.Reject {
	if err := l.dec.SkipValue(); err != nil {
		return l.syntax(err)
	}
	return nil
}

// enter goes into the object or list that is the next value.
func (l *library) enter() *schema.Reject {
	if _, err := l.dec.ReadToken(); err != nil {
		return l.syntax(err)
	}
	return nil
}

// leave goes out of the object or list that has been read.
func (l *library) leave() *schema.Reject { return l.enter() }

// close leaves the record's object and sees to it that nothing follows.
func (l *library) close() *schema.Reject {
	if r := l.leave(); r != nil {
		return r
	}
	return l.end()
}

// end sees to it that nothing follows what was read.
func (l *library) end() *schema.Reject {
	if _, err := l.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return schema.Rejectf(schema.NotJSON, "the JSON ends at byte %d of %d: expected nothing after it, one object a record", l.dec.InputOffset(), len(l.record))
	}
	return nil
}

func (l *library) unquote(raw []byte) []byte { return unquote(&l.scratch, raw) }

// unquote returns the text of a valid JSON string, in the record where it means
// itself and in scratch where not.
func unquote(scratch *[]byte, raw []byte) []byte {
	if isPlain(raw) {
		return raw[1 : len(raw)-1]
	}
	start := len(*scratch)
	// The error is invalid UTF-8, which ReadValue has refused before.
	*scratch, _ = jsontext.AppendUnquote(*scratch, raw)
	return (*scratch)[start:len(*scratch):len(*scratch)]
}

// syntax says what is wrong with a record that jsontext refused. Its own message
// is not told: it quotes the record.
func (l *library) syntax(err error) *schema.Reject {
	at := l.dec.InputOffset()
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok && s.ByteOffset > 0 {
		at = s.ByteOffset
	}
	if jsontext.Value(l.record).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return schema.Rejectf(schema.InvalidUTF8, "the record is not valid UTF-8 from byte %d of %d on: expected UTF-8, and surrogates in pairs", at, len(l.record))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return schema.Rejectf(schema.NotJSON, "the record is cut off after %d bytes, inside of its JSON", len(l.record))
	}
	return schema.Rejectf(schema.NotJSON, "the record is not JSON from byte %d of %d on, expected a JSON object", at, len(l.record))
}
