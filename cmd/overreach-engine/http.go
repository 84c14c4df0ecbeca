package main

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/rs/zerolog"
)

// maxQuery is how long a query's text may be, in bytes, as on a server.
const maxQuery = 256 << 10

// httpHandler is ClickHouse's HTTP interface: a query as ?query= or as the
// body, settings and parameters in the address, the format in the query, a
// header or the address.
type httpHandler struct {
	engine *engine
	log    zerolog.Logger
}

// ServeHTTP answers one request with a session of its own.
func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &response{w: w}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		h.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a request panicked")
		out.fail(fmt.Errorf("internal error: %v", p))
	}()
	switch {
	case !fromThisMachine(r):
		http.Error(w, "overreach-engine answers programs and pages of this machine only", http.StatusForbidden)
	case r.URL.Path == "/ping", r.URL.Path == "/replicas_status":
		out.ok()
	case r.URL.Path != "/":
		http.Error(w, "There is no handle "+r.URL.Path+"; queries go to /", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead:
		http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
	default:
		if err := h.query(r, out); err != nil {
			out.fail(err)
		}
	}
}

// fromThisMachine refuses what a web page from elsewhere could make a browser
// send: a foreign origin, or a foreign name that was made to point here.
func fromThisMachine(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !isLocal(u.Host) {
			return false
		}
	}
	return isLocal(r.Host)
}

func isLocal(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// credentials are a request's user and password, from the one place where a
// client of ClickHouse puts them: Authorization, its own two headers, or the address.
func credentials(r *http.Request) (user, password string, err error) {
	params, head := r.URL.Query(), r.Header
	basicUser, basicPassword, basic := r.BasicAuth()
	ways := 0
	for _, way := range []struct {
		there          bool
		user, password string
	}{
		{head.Get("Authorization") != "", basicUser, basicPassword},
		{head.Get("X-ClickHouse-User") != "" || head.Get("X-ClickHouse-Key") != "", head.Get("X-ClickHouse-User"), head.Get("X-ClickHouse-Key")},
		{params.Get("user") != "" || params.Get("password") != "", params.Get("user"), params.Get("password")},
	} {
		if way.there {
			user, password = way.user, way.password
			ways++
		}
	}
	if ways > 1 || head.Get("Authorization") != "" && !basic {
		return "", "", exceptionf(codeAuthenticationFailed, "AUTHENTICATION_FAILED",
			"Invalid authentication: give user and password once, as Authorization: Basic, in the headers X-ClickHouse-User and X-ClickHouse-Key, or as user and password in the address.")
	}
	return firstOf(user, userName), password, nil
}

// request is one query of a client.
type request struct {
	statement
	body     io.Reader // what of the request's body was not read as the query
	database string
	format   string
	settings []setting
	whole    bool // the answer is sent when it is complete, with a summary that counts it
}

func (h *httpHandler) query(r *http.Request, out *response) error {
	if user, password, err := credentials(r); err != nil {
		return err
	} else if err := h.engine.authenticate(user, password); err != nil {
		return err
	}
	req, err := readRequest(r)
	if err != nil {
		return err
	}
	if req.text == "" {
		out.ok()
		return nil
	}
	if r.URL.Query().Get("compress") == "1" {
		out.pack = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	if err := h.engine.gate.allowSettings(req.settings); err != nil {
		return err
	}
	if req.insert == nil {
		if err := h.engine.gate.allow(req.text); err != nil {
			return err
		}
	}
	if req.remembers() && r.URL.Query().Get("session_id") != "" {
		return exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
			"Over HTTP overreach-engine keeps nothing between two requests, so this %s would be forgotten: give settings with each query, and use the native protocol for temporary tables.", req.verb)
	}
	s, err := h.engine.open()
	if err != nil {
		return err
	}
	defer s.close()
	if req.database != "" {
		if err := s.exec("USE " + quoteName(req.database)); err != nil {
			return err
		}
	}
	if len(req.settings) > 0 {
		if err := s.set(req.settings); err != nil {
			return err
		}
	}
	if r.Method != http.MethodPost {
		// As on a server: what a link can do must change nothing.
		if err := s.set([]setting{{name: "readonly", value: "2"}}); err != nil {
			return err
		}
	}
	leave := context.AfterFunc(r.Context(), func() {
		if err := h.engine.stop(s.tag); err != nil {
			h.log.Warn().Err(err).Msg("the query of a client that left was not stopped")
		}
	})
	defer leave()
	out.format = req.format
	if req.insert != nil {
		return req.insertRows(h.engine, s, r.Method, out)
	}
	return req.answer(s, out)
}

// readRequest reads a request as far as its query.
func readRequest(r *http.Request) (request, error) {
	params := r.URL.Query()
	req := request{database: params.Get("database")}
	if req.database == "" {
		req.database = r.Header.Get("X-ClickHouse-Database")
	}
	body, err := decoded(r)
	if err != nil {
		return req, err
	}
	if params.Get("decompress") == "1" {
		body = &frames{from: compress.NewReader(body)}
	}
	buffered := bufio.NewReaderSize(body, maxQuery)
	req.body = buffered
	query := params.Get("query")
	inBody := query == ""
	if inBody {
		head, err := buffered.Peek(maxQuery)
		if err != nil && !errors.Is(err, io.EOF) {
			return req, fmt.Errorf("reading the query: %w", err)
		}
		query = string(head)
	}
	if strings.TrimSpace(query) == "" {
		return req, nil
	}
	if req.statement, err = parseStatement(query); err != nil {
		return req, err
	}
	switch {
	case req.insert == nil:
		if inBody {
			query = ""
		}
		rest, err := io.ReadAll(io.LimitReader(buffered, maxQuery+1))
		if err != nil {
			return req, fmt.Errorf("reading the query: %w", err)
		}
		if query += string(rest); len(query) > maxQuery {
			return req, exceptionf(codeSyntaxError, "SYNTAX_ERROR", "The query is longer than %d bytes.", maxQuery)
		}
		if req.statement, err = parseStatement(query); err != nil {
			return req, err
		}
	case inBody:
		// The rows begin in what was peeked at.
		if _, err := buffered.Discard(len(query) - len(req.insert.data)); err != nil {
			return req, fmt.Errorf("reading the query: %w", err)
		}
	default:
		req.body = io.MultiReader(strings.NewReader(req.insert.data), buffered)
	}
	req.format = firstOf(req.statement.format, r.Header.Get("X-ClickHouse-Format"), params.Get("default_format"), "TabSeparated")
	req.settings = settingsOf(params)
	req.whole = params.Get("wait_end_of_query") == "1"
	return req, nil
}

// frames reads the native protocol's compression to its end: compress.Reader
// wraps io.EOF in a text of its own, and gives the last frame again after it.
type frames struct {
	from *compress.Reader
	err  error
}

func (f *frames) Read(p []byte) (n int, err error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err = f.from.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	f.err = err
	return n, err
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// settingsOf are the settings and parameters in an address: all that is
// nothing else of the interface.
func settingsOf(params url.Values) []setting {
	var settings []setting
	for name, values := range params {
		switch name {
		case "query", "database", "default_format", "query_id", "user", "password", "quota_key", "role",
			"session_id", "session_check", "session_timeout", "close_session", // each request has a session of its own
			"compress", "decompress", "buffer_size", "wait_end_of_query", "stacktrace",
			"enable_http_compression", "client_protocol_version":
			continue
		}
		settings = append(settings, setting{name: name, value: values[len(values)-1]})
	}
	return settings
}

// decoded is the body without its Content-Encoding.
func decoded(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		return gzip.NewReader(r.Body)
	case "deflate":
		return zlib.NewReader(r.Body)
	case "zstd":
		d, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case "lz4":
		// Only as a Reader: its WriteTo takes the end of the body for an error.
		return struct{ io.Reader }{lz4.NewReader(r.Body)}, nil
	default:
		return nil, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
			"Content-Encoding %s is not supported by overreach-engine; it reads gzip, deflate, zstd and lz4.", encoding)
	}
}

// insertRows inserts the rest of the body.
func (req request) insertRows(e *engine, s *session, method string, out *response) error {
	if method != http.MethodPost {
		return exceptionf(164, "READONLY", "Cannot execute query in readonly mode: an INSERT needs POST.")
	}
	r, err := newRows()
	if err != nil {
		return err
	}
	defer r.close()
	if _, err := r.ReadFrom(req.body); err != nil {
		return fmt.Errorf("reading an insert's rows: %w", err)
	}
	written, err := e.insertRows(s, req.insert, firstOf(req.insert.format, "Values"), r)
	if err != nil {
		return err
	}
	out.written = written
	return out.write(nil)
}

// pieceable are the formats whose pieces, one after the other, are the whole;
// others have a head or an end.
var pieceable = map[string]bool{
	"TabSeparated": true, "TSV": true, "TabSeparatedRaw": true, "TSVRaw": true, "CSV": true,
	"JSONEachRow": true, "JSONLines": true, "NDJSON": true, "JSONCompactEachRow": true, "JSONStringsEachRow": true,
	"RowBinary": true, "Native": true,
}

// answer runs a statement and writes its result.
func (req request) answer(s *session, out *response) error {
	if req.streams() && pieceable[req.format] && !req.whole {
		err := s.stream(req.text, req.format, out.write)
		if !notStreamed(err) {
			if err == nil && !out.begun && req.format == "Native" {
				return req.header(s, out)
			}
			return errors.Join(err, out.end(err))
		}
	}
	if err := req.noStates(s); err != nil {
		return err
	}
	result, err := s.run(req.text, req.format)
	defer result.free()
	if err != nil {
		return err
	}
	out.read, out.written = s.lib.rowsRead(result.ptr), s.lib.rowsWritten(result.ptr)
	return out.write(result.data())
}

// header writes the columns of a query without rows, which FORMAT Native
// would not show.
func (req request) header(s *session, out *response) error {
	columns, err := s.describe("(" + req.withoutFormat() + "\n)")
	if err != nil {
		return out.write(nil)
	}
	return out.write(emptyBlock(columns, false))
}

// response is an answer; its head is written with the first bytes, so that an
// exception before them has a status of its own.
type response struct {
	w             http.ResponseWriter
	format        string
	read, written uint64 // rows of the answer and of an insert, where they are known
	begun         bool
	// pack, where not nil, makes the frames of the native protocol of the bytes.
	pack *compress.Writer
}

func (o *response) ok() {
	o.w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	_, _ = io.WriteString(o.w, "Ok.\n") // a client that has left needs no answer
}

func (o *response) write(data []byte) error {
	if !o.begun {
		o.begin(http.StatusOK, contentType(o.format))
		o.w.Header().Set("X-ClickHouse-Format", o.format)
	}
	if o.pack == nil {
		_, err := o.w.Write(data)
		return err
	}
	for piece := range slices.Chunk(data, frameSize) {
		if err := o.pack.Compress(piece); err != nil {
			return fmt.Errorf("compressing an answer: %w", err)
		}
		if _, err := o.w.Write(o.pack.Data); err != nil {
			return err
		}
	}
	return nil
}

func (o *response) begin(status int, contentType string) {
	o.begun = true
	head := o.w.Header()
	head.Set("Content-Type", contentType)
	head.Set("X-ClickHouse-Server-Display-Name", "overreach-engine")
	head.Set("X-ClickHouse-Timezone", "UTC")
	head.Set("X-ClickHouse-Query-Id", rand.Text())
	// Clients expect all of its members; those that the library does not count are
	// zero, and so are those of an answer that is sent while it is made.
	head.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%[1]d","read_bytes":"0","written_rows":"%[2]d","written_bytes":"0",`+
		`"total_rows_to_read":"0","result_rows":"%[1]d","result_bytes":"0","elapsed_ns":"0"}`, o.read, o.written))
	if status != http.StatusOK {
		o.w.WriteHeader(status)
	}
}

// end gives an answer without bytes its head.
func (o *response) end(err error) error {
	if err == nil && !o.begun {
		return o.write(nil)
	}
	return nil
}

// fail tells of an error. After the first bytes there is no status any more:
// then the text follows them and the connection breaks off, as on a server.
func (o *response) fail(err error) {
	e := asException(err)
	if o.begun {
		_, _ = io.WriteString(o.w, "\n"+e.Error()+"\n")
		_ = http.NewResponseController(o.w).Flush()
		panic(http.ErrAbortHandler)
	}
	o.w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	o.begin(statusOf(e), "text/plain; charset=UTF-8")
	_, _ = io.WriteString(o.w, e.Error()+"\n")
}

// statusOf follows ClickHouse's exceptionCodeToHTTPStatus.
func statusOf(e *exception) int {
	switch e.name {
	case "SYNTAX_ERROR", "BAD_ARGUMENTS", "TYPE_MISMATCH", "INCORRECT_DATA", "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
		"ILLEGAL_TYPE_OF_ARGUMENT", "NUMBER_OF_ARGUMENTS_DOESNT_MATCH", "TOO_DEEP_AST", "UNKNOWN_ELEMENT_IN_AST":
		return http.StatusBadRequest
	case "AUTHENTICATION_FAILED", "ACCESS_DENIED":
		return http.StatusForbidden
	case "UNKNOWN_TABLE", "UNKNOWN_DATABASE", "UNKNOWN_IDENTIFIER", "UNKNOWN_FUNCTION", "UNKNOWN_TYPE", "UNKNOWN_STORAGE",
		"UNKNOWN_SETTING", "UNKNOWN_FORMAT", "UNKNOWN_AGGREGATE_FUNCTION", "UNKNOWN_TYPE_OF_QUERY", "NO_ELEMENTS_IN_CONFIG":
		return http.StatusNotFound
	case "NOT_IMPLEMENTED":
		return http.StatusNotImplemented
	}
	if strings.HasPrefix(e.name, "CANNOT_PARSE") {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// contentType is what a server says for a format.
func contentType(format string) string {
	switch {
	case format == "JSONEachRow" || format == "JSONLines" || format == "NDJSON":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8; header=" + map[bool]string{true: "present", false: "absent"}[strings.Contains(format, "WithNames")]
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(format, "Pretty"), format == "Vertical", format == "Values":
		return "text/plain; charset=UTF-8"
	}
	return "application/octet-stream"
}
