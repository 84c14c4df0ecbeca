package decode

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	outlineDepth   = 4  // objects and arrays in one another
	outlineMembers = 40 // of an object
)

// outlineOf is Outline; knows reports whether the encoding reads a member of that name.
func outlineOf(record []byte, limit int, knows func(name string) bool) string {
	o := outline{limit: limit, size: len(record), knows: knows}
	o.dec.Reset(bytes.NewBuffer(record), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if o.value(0) {
		end := o.dec.InputOffset()
		if _, err := o.dec.ReadToken(); err == nil {
			o.write(" and more after byte " + strconv.FormatInt(end, 10))
		} else if !errors.Is(err, io.EOF) {
			o.broken(err)
		}
	}
	return string(o.out)
}

// isEventMember reports whether an event has a member of that name.
func isEventMember(name string) bool { return memberOf([]byte(strings.ToLower(name))) != unknown }

// reads reports whether a path of the mapping has the name in it.
func (m *Mapping) reads(name string) bool { return m.names[strings.ToLower(name)] }

type outline struct {
	dec   jsontext.Decoder
	out   []byte
	limit int
	size  int
	knows func(name string) bool
	full  bool
}

// write appends s, and reports whether there is room for more.
func (o *outline) write(s string) bool {
	if o.full {
		return false
	}
	if len(o.out)+len(s) > o.limit {
		o.out = append(o.out, "…"...)
		o.full = true
		return false
	}
	o.out = append(o.out, s...)
	return true
}

// broken tells where the JSON ends before it should.
func (o *outline) broken(err error) bool {
	if errors.Is(err, io.EOF) {
		o.write("(empty)")
		return false
	}
	if len(o.out) > 0 {
		o.write(" ")
	}
	o.write("(not JSON after byte " + strconv.FormatInt(o.dec.InputOffset(), 10) + " of " + strconv.Itoa(o.size) + ")")
	return false
}

// value writes the outline of the next value, and reports whether to go on.
func (o *outline) value(depth int) bool {
	k := o.dec.PeekKind()
	switch {
	case k == '{' && depth < outlineDepth:
		return o.object(depth)
	case k == '[' && depth < outlineDepth:
		return o.array(depth)
	}
	if err := o.dec.SkipValue(); err != nil {
		return o.broken(err)
	}
	switch k {
	case '{':
		return o.write("{…}")
	case '[':
		return o.write("[…]")
	case '"':
		return o.write("string")
	case '0':
		return o.write("number")
	case 't', 'f':
		return o.write("bool")
	}
	return o.write("null")
}

func (o *outline) object(depth int) bool {
	if _, err := o.dec.ReadToken(); err != nil {
		return o.broken(err)
	}
	if !o.write("{") {
		return false
	}
	more := 0
	for n := 0; o.dec.PeekKind() != '}'; n++ {
		name, err := o.dec.ReadToken()
		if err != nil {
			return o.broken(err)
		}
		if n >= outlineMembers {
			if err := o.dec.SkipValue(); err != nil {
				return o.broken(err)
			}
			more++
			continue
		}
		comma := ", "
		if n == 0 {
			comma = ""
		}
		shown := name.String()
		if !o.knows(shown) {
			shown = "?"
		}
		if !o.write(comma+shown+": ") || !o.value(depth+1) {
			return false
		}
	}
	return o.end("}", more)
}

func (o *outline) array(depth int) bool {
	if _, err := o.dec.ReadToken(); err != nil {
		return o.broken(err)
	}
	if !o.write("[") {
		return false
	}
	more := 0
	for n := 0; o.dec.PeekKind() != ']'; n++ {
		if n == 0 {
			if !o.value(depth + 1) {
				return false
			}
			continue
		}
		if err := o.dec.SkipValue(); err != nil {
			return o.broken(err)
		}
		more++
	}
	return o.end("]", more)
}

func (o *outline) end(closing string, more int) bool {
	if _, err := o.dec.ReadToken(); err != nil {
		return o.broken(err)
	}
	if more > 0 {
		closing = ", " + strconv.Itoa(more) + " more" + closing
	}
	return o.write(closing)
}
