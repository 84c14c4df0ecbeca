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
	for _, file := range files { // a name that is wrong is better said before anything is sent
		if file == Stdin {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return Result{}, err
		}
	}
	s := source{files: files}
	result, err := send(ctx, cfg, s.lines, func() int64 { return s.read })
	var at *LineError
	if errors.As(err, &at) {
		file, line := s.position(at.Line)
		err = fmt.Errorf("%s:%d: %w", file, line, at.Err)
	}
	result.Read = s.read
	return result, err
}

// LinesOf yields the lines of one file, or the elements of its list, as Files
// reads them; an element may hold line breaks. A line is valid until
// the next one; an error ends the sequence.
func LinesOf(file string) iter.Seq2[[]byte, error] { return new(source).linesOf(file) }

// source reads lines from files and remembers which came from where.
type source struct {
	files  []string
	starts []int64 // how many lines were read before each file opened so far
	count  int64
	read   int64 // bytes, before decompression
}

// position returns the file and the line in it of the nth line of all, from 1.
func (s *source) position(n int64) (string, int64) {
	i := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] >= n }) - 1
	return s.files[i], n - s.starts[i]
}

func (s *source) lines(yield func([]byte, error) bool) {
	for _, file := range s.files {
		s.starts = append(s.starts, s.count)
		for line, err := range s.linesOf(file) {
			s.count++
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
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
		var split splitter
		lines.Split(split.next)
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
