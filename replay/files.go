package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// MaxLine is the longest line that is read from a file, in bytes.
const MaxLine = 32 << 20

// Stdin is the name of a file that stands for standard input.
const Stdin = "-"

// Files sends the lines of the files, one file after the other, as Lines does.
// Files are newline-delimited; of one that begins with a JSON list, each element
// is a line (see splitter). gzip and zstd are recognised by how they begin,
// whatever their names. An error names the file and the line, or which element.
func Files(ctx context.Context, cfg Config, files ...string) (Result, error) {
	parts := make([]Part, len(files))
	for i, file := range files {
		parts[i].File = file
	}
	sent, err := Parts(ctx, cfg, parts...)
	return sent.Result, err
}

// Part is what of a file is sent.
type Part struct {
	File string
	Only Spans // of its records, by their numbers in the file; nil: all of them
	// Records is, with Only, how many of the file's records are read at most.
	Records int64
}

// Sent is what came of parts of files, of a failed replay too.
type Sent struct {
	Result
	Places *Places
	// Contents are what the parts with an Only held as they were read; of a replay
	// that failed, the first of them.
	Contents []Content
}

// Parts is Files for parts of files.
func Parts(ctx context.Context, cfg Config, parts ...Part) (Sent, error) {
	for _, part := range parts { // a name that is wrong is better said before anything is sent
		if part.File == Stdin {
			continue
		}
		if _, err := os.Stat(part.File); err != nil {
			return Sent{}, err
		}
	}
	s := source{parts: parts, places: &Places{}}
	result, err := send(ctx, cfg, s.lines, func() int64 { return s.read })
	var at *LineError
	if errors.As(err, &at) {
		file, line := s.position(at.Line)
		err = fmt.Errorf("%s:%d: %w", file, line, at.Err)
	}
	result.Read = s.read
	return Sent{Result: result, Places: s.places, Contents: s.contents}, err
}

// Places say where in the files the records of a replay stood.
type Places struct{ marks []mark }

// mark says where a record stood. Each record behind it, up to the next mark,
// stood a line further.
type mark struct {
	record int64 // in the replay, from 0
	file   string
	line   int64 // or element of a list, from 1
}

// maxMarks bounds the memory of Places where every other line is empty.
const maxMarks = 1 << 20

// Of returns where a record of the replay stood. Where it is not exact, the line
// is that or a later one.
func (p *Places) Of(record int64) (file string, line int64, exact bool) {
	i := sort.Search(len(p.marks), func(i int) bool { return p.marks[i].record > record }) - 1
	if i < 0 {
		return "", 0, false
	}
	m := p.marks[i]
	return m.file, m.line + record - m.record, i < maxMarks-1
}

// add notes where the next record stands.
func (p *Places) add(m mark) {
	if n := len(p.marks); n > 0 {
		last := p.marks[n-1]
		if n == maxMarks || last.file == m.file && m.line-last.line == m.record-last.record {
			return
		}
	}
	p.marks = append(p.marks, m)
}

// LinesOf yields the lines of one file, or the elements of its list, as Files
// reads them; an element may hold line breaks. A line is valid until
// the next one; an error ends the sequence.
func LinesOf(file string) iter.Seq2[[]byte, error] { return new(source).linesOf(file) }

// source reads lines from files and remembers which came from where.
type source struct {
	parts    []Part
	places   *Places
	starts   []int64 // how many lines were read before each file opened so far
	count    int64
	read     int64    // bytes, before decompression
	split    splitter // of the file that was opened last
	contents []Content
}

// position returns the file and the line in it of the nth line of all, from 1.
func (s *source) position(n int64) (string, int64) {
	i := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] >= n }) - 1
	return s.parts[i].File, n - s.starts[i]
}

func (s *source) lines(yield func([]byte, error) bool) {
	sent := int64(0)
	for _, part := range s.parts {
		s.starts = append(s.starts, s.count)
		if !s.linesOfPart(part, &sent, yield) {
			return
		}
	}
}

// linesOfPart yields the lines of a part, and empty lines for the records that it
// leaves out. It reports whether to go on with the next part.
func (s *source) linesOfPart(part Part, sent *int64, yield func([]byte, error) bool) bool {
	only, read := part.Only, newDigest(nil)
	for line, err := range s.linesOf(part.File) {
		s.count++
		if err == nil && len(line) > 0 && part.Only != nil {
			for len(only) > 0 && read.records >= only[0].To {
				only = only[1:]
			}
			if read.records >= part.Records {
				break
			}
			out := len(only) == 0 || read.records < only[0].From
			read.add(line, s.split.open)
			if out {
				line = nil
			}
		}
		if err == nil && len(line) > 0 {
			s.places.add(mark{*sent, part.File, s.count - s.starts[len(s.starts)-1]})
			*sent++
		}
		if !yield(line, err) || err != nil {
			return false
		}
	}
	if part.Only != nil {
		s.contents = append(s.contents, read.content())
	}
	return true
}

func (s *source) linesOf(file string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f := os.Stdin
		if file != Stdin {
			var err error
			if f, err = os.Open(file); err != nil {
				yield(nil, err)
				return
			}
			defer func() { _ = f.Close() }() // it was only read
		}
		plain, err := decompressed(io.TeeReader(f, (*counter)(&s.read)))
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = plain.Close() }()
		lines := bufio.NewScanner(plain)
		lines.Buffer(make([]byte, 256<<10), MaxLine)
		s.split = splitter{}
		lines.Split(s.split.next)
		for lines.Scan() {
			if !yield(lines.Bytes(), nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(nil, fmt.Errorf("line is longer than %d bytes: a record so large fits no topic; is the file newline-delimited, or a JSON list?", MaxLine))
		case err != nil:
			yield(nil, err)
		}
	}
}

// decompressed returns what r holds, unpacked where it begins as gzip or zstd do.
func decompressed(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 256<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
