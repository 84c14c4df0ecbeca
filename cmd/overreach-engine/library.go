package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is libchdb.so, the ClickHouse engine, loaded into this process. It
// can be loaded once and serves one folder.
type library struct {
	connect      func(argc int32, argv **byte) *uintptr
	closeConn    func(conn *uintptr)
	query        func(conn uintptr, query *byte, queryLen uintptr, format *byte, formatLen uintptr) uintptr
	stream       func(conn uintptr, query *byte, queryLen uintptr, format *byte, formatLen uintptr) uintptr
	fetch        func(conn uintptr, stream uintptr) uintptr
	cancel       func(conn uintptr, stream uintptr)
	destroy      func(result uintptr)
	resultBuffer func(result uintptr) *byte
	resultLength func(result uintptr) uintptr
	resultError  func(result uintptr) *byte
	rowsRead     func(result uintptr) uint64
	rowsWritten  func(result uintptr) uint64
	bytesWritten func(result uintptr) uint64
}

// loadLibrary loads libchdb.so from file. The functions keep the names and
// the order of arguments of chdb.h.
func loadLibrary(file string) (lib *library, err error) {
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("loading the engine's library: %w", err)
	}
	// RegisterLibFunc panics where a name is missing: that is another version of the library.
	defer func() {
		if missing := recover(); missing != nil {
			lib, err = nil, fmt.Errorf("%s is not the version of libchdb.so that this program knows: %v", file, missing)
		}
	}()
	lib = &library{}
	for name, f := range map[string]any{
		"chdb_connect":              &lib.connect,
		"chdb_close_conn":           &lib.closeConn,
		"chdb_query_n":              &lib.query,
		"chdb_stream_query_n":       &lib.stream,
		"chdb_stream_fetch_result":  &lib.fetch,
		"chdb_stream_cancel_query":  &lib.cancel,
		"chdb_destroy_query_result": &lib.destroy,
		"chdb_result_buffer":        &lib.resultBuffer,
		"chdb_result_length":        &lib.resultLength,
		"chdb_result_error":         &lib.resultError,
		"chdb_result_rows_read":     &lib.rowsRead,
		"chdb_result_rows_written":  &lib.rowsWritten,
		"chdb_result_bytes_written": &lib.bytesWritten,
	} {
		purego.RegisterLibFunc(f, handle, name)
	}
	return lib, nil
}

// session is one connection to the engine: a current database, settings and
// temporary tables of its own. It runs one query at a time; sessions run side
// by side.
type session struct {
	lib     *library
	handle  *uintptr
	tag     string    // what engine.stop knows it by
	base    []setting // what it began with
	altered bool      // a SET statement has gone through it since
}

// open opens a session with the arguments of clickhouse-local.
func (lib *library) open(args []string) (*session, error) {
	argv := make([]*byte, 0, len(args)+2)
	for _, arg := range append([]string{"clickhouse"}, args...) {
		text := append([]byte(arg), 0)
		argv = append(argv, &text[0])
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	for _, arg := range argv {
		pinner.Pin(arg)
	}
	argv = append(argv, nil)
	handle := lib.connect(int32(len(argv)-1), &argv[0])
	runtime.KeepAlive(argv)
	if handle == nil || *handle == 0 {
		return nil, errors.New("the engine did not open the folder; its own words are above")
	}
	return &session{lib: lib, handle: handle}, nil
}

func (s *session) close() {
	s.lib.closeConn(s.handle)
}

// result is what one statement, or one step of a stream, returned. Its data
// lives in the engine's memory until free.
type result struct {
	lib *library
	ptr uintptr
}

func (r result) free() {
	if r.ptr != 0 {
		r.lib.destroy(r.ptr)
	}
}

// data is the formatted result; it must not be used after free.
func (r result) data() []byte {
	n := r.lib.resultLength(r.ptr)
	if n == 0 {
		return nil
	}
	return unsafe.Slice(r.lib.resultBuffer(r.ptr), n)
}

// err is the engine's exception, nil where there is none.
func (r result) err() error {
	if r.ptr == 0 {
		return errors.New("the engine returned no result")
	}
	text := r.lib.resultError(r.ptr)
	if text == nil {
		return nil
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return parseException(string(unsafe.Slice(text, n)))
}

// run executes a statement and returns its whole result in the given format.
// The caller frees the result, also after an error.
func (s *session) run(query, format string) (result, error) {
	r := result{s.lib, call(s.lib.query, *s.handle, query, format)}
	return r, r.err()
}

// exec runs a statement that returns no rows.
func (s *session) exec(query string) error {
	r, err := s.run(query, "Null")
	r.free()
	return err
}

// text runs a query and returns its result as tab-separated text.
func (s *session) text(query string) (string, error) {
	r, err := s.run(query, "TSV")
	defer r.free()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(r.data()), "\n"), nil
}

// stream runs a query and hands each piece of its result, in the given
// format, to yield as it is made. An error from yield cancels the query.
func (s *session) stream(query, format string, yield func([]byte) error) error {
	stream := result{s.lib, call(s.lib.stream, *s.handle, query, format)}
	defer stream.free()
	if err := stream.err(); err != nil {
		return err
	}
	for {
		piece := result{s.lib, s.lib.fetch(*s.handle, stream.ptr)}
		if err := piece.err(); err != nil {
			piece.free()
			return err
		}
		data := piece.data()
		if len(data) == 0 {
			piece.free()
			return nil
		}
		err := yield(data)
		piece.free()
		if err != nil {
			s.lib.cancel(*s.handle, stream.ptr)
			return err
		}
	}
}

func call(f func(uintptr, *byte, uintptr, *byte, uintptr) uintptr, conn uintptr, query, format string) uintptr {
	return f(conn, unsafe.StringData(query), uintptr(len(query)), unsafe.StringData(format), uintptr(len(format)))
}
