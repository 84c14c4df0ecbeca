package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// revision is the protocol's revision that this server announces: the first
// with query parameters. Client and server speak the lower of theirs.
const revision = int(proto.FeatureParameters)

// frameSize is how many bytes of a block go into one compressed frame.
const frameSize = 1 << 20

// nativeConn is one client of the native protocol and its session.
type nativeConn struct {
	engine  *engine
	session *session
	conn    net.Conn
	raw     *bufio.Reader // the connection
	in      *proto.Reader // over raw
	// plain is raw without its compression, made when the first frame comes.
	plain    *bufio.Reader
	out      proto.Buffer
	pack     *compress.Writer
	revision int
	types    map[string]columnType
}

// serveNative answers one client until it leaves.
func serveNative(e *engine, conn net.Conn) error {
	raw := bufio.NewReaderSize(conn, 1<<17)
	c := &nativeConn{
		engine: e,
		conn:   conn,
		raw:    raw,
		in:     proto.NewReader(raw), // keeps raw as its buffer, for it is large enough
		pack:   compress.NewWriter(compress.LevelZero, compress.LZ4),
		types:  map[string]columnType{},
	}
	if err := c.handshake(); err != nil {
		return c.fail(err)
	}
	defer c.session.close()
	for {
		code, err := c.in.UVarInt()
		if err != nil {
			return leave(err)
		}
		switch proto.ClientCode(code) {
		case proto.ClientCodePing:
			proto.ServerCodePong.Encode(&c.out)
			err = c.flush()
		case proto.ClientCodeCancel: // of a query that has ended already
		case proto.ClientCodeQuery:
			err = c.query()
		default:
			err = c.fail(fmt.Errorf("a packet of kind %d where a query was expected", code))
		}
		if err != nil {
			return leave(err)
		}
	}
}

// leave is nil where a client left between two queries, as clients do.
func leave(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

func (c *nativeConn) handshake() error {
	code, err := c.in.UVarInt()
	if err != nil {
		return err
	}
	if proto.ClientCode(code) != proto.ClientCodeHello {
		return fmt.Errorf("a packet of kind %d where a greeting was expected: is this a client of the native protocol?", code)
	}
	var hello proto.ClientHello
	if err := hello.Decode(c.in); err != nil {
		return err
	}
	c.revision = min(revision, hello.ProtocolVersion)
	if !proto.FeatureParallelReplicas.In(c.revision) {
		return fmt.Errorf("the client speaks revision %d of the protocol, the oldest that is understood is %d", hello.ProtocolVersion, int(proto.FeatureParallelReplicas))
	}
	if err := c.engine.authenticate(hello.User, hello.Password); err != nil {
		return err
	}
	if c.session, err = c.engine.open(); err != nil {
		return err
	}
	if hello.Database != "" {
		if err := c.session.exec("USE " + quoteName(hello.Database)); err != nil {
			c.session.close()
			return err
		}
	}
	answer := proto.ServerHello{
		Name:        "ClickHouse",
		Revision:    revision,
		Timezone:    "UTC",
		DisplayName: "overreach-engine",
	}
	if _, err := fmt.Sscanf(c.engine.version, "%d.%d.%d", &answer.Major, &answer.Minor, &answer.Patch); err != nil {
		c.session.close()
		return fmt.Errorf("the engine's version %q: %w", c.engine.version, err)
	}
	answer.EncodeAware(&c.out, c.revision)
	err = c.flush()
	if err == nil && proto.FeatureAddendum.In(c.revision) {
		_, err = c.in.Str() // the quota key, which nothing here counts
	}
	if err != nil {
		c.session.close()
	}
	return err
}

// query reads a query with what belongs to it and answers it. An error means
// that the connection is of no more use; one of the query itself is told to the client.
func (c *nativeConn) query() error {
	var q proto.Query
	if err := q.DecodeAware(c.in, c.revision); err != nil {
		return c.fail(fmt.Errorf("reading a query: %w", err))
	}
	compressed := q.Compression == proto.CompressionEnabled
	if err := c.noTables(compressed); err != nil {
		return c.fail(err)
	}
	settings := make([]setting, 0, len(q.Settings)+len(q.Parameters))
	for _, s := range q.Settings {
		value := s.Value
		if s.Custom {
			value = unquoteLiteral(value)
		}
		settings = append(settings, setting{name: s.Key, value: value, optional: !s.Important})
	}
	for _, p := range q.Parameters {
		settings = append(settings, setting{name: "param_" + p.Key, value: unquoteLiteral(p.Value)})
	}
	st, err := parseStatement(q.Body)
	if err == nil {
		err = c.engine.gate.allowSettings(settings)
	}
	switch {
	case err != nil:
	case st.insert != nil:
		err = c.insert(st.insert, settings, compressed)
	default:
		if err = c.engine.gate.allow(st.text); err != nil {
			break
		}
		err = c.session.with(settings, func() error {
			return c.watched(func() error { return c.answer(st, compressed) })
		})
	}
	if err == nil {
		proto.ServerCodeEndOfStream.Encode(&c.out)
		return c.flush()
	}
	var told *exception
	if !errors.As(err, &told) {
		return c.fail(err)
	}
	c.exception(told)
	return c.flush()
}

// noTables reads the blocks that follow each query: tables that it may refer
// to, and an empty one at the end.
func (c *nativeConn) noTables(compressed bool) error {
	name, last, err := c.data(compressed, nil)
	if err == nil && !last {
		return exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
			"External tables (here %q) are not supported by overreach-engine: insert the rows into a temporary table, and name that.", name)
	}
	return err
}

// data reads one packet of data and writes its rows, if any, to to. The last
// packet of a list has no columns.
func (c *nativeConn) data(compressed bool, to *bufio.Writer) (name string, last bool, err error) {
	code, err := c.in.UVarInt()
	if err != nil {
		return "", false, unexpected(err)
	}
	if proto.ClientCode(code) != proto.ClientCodeData {
		return "", false, fmt.Errorf("a packet of kind %d where data was expected", code)
	}
	if name, err = c.in.Str(); err != nil {
		return "", false, unexpected(err)
	}
	from := c.raw
	if compressed {
		// Frames are read whole and end with their block, so nothing is read ahead.
		if c.plain == nil {
			c.plain = bufio.NewReaderSize(compress.NewReader(c.raw), 1<<16)
		}
		from = c.plain
	}
	if err := skipBlockInfo(from); err != nil {
		return "", false, err
	}
	copier := blockCopier{from: from, to: to, flagIn: proto.FeatureCustomSerialization.In(c.revision), types: c.types}
	columns, n, err := copier.size()
	if err != nil || columns == 0 {
		return name, columns == 0, err
	}
	if to == nil || n == 0 {
		copier.to = bufio.NewWriter(io.Discard)
	}
	_, err = copier.copyBlock(columns, n)
	return name, false, err
}

// squash makes one block of what one insert sends, in whatever pieces.
// Settings of the client's go before these.
var squash = []setting{
	{name: "max_insert_threads", value: "1"},
	{name: "max_insert_block_size", value: "1000000000"},
	{name: "min_insert_block_size_rows", value: "1000000000"},
	{name: "min_insert_block_size_bytes", value: "0"},
}

// insert tells the client the columns of the table, reads all its rows, and
// only then inserts them: a client that goes away leaves nothing behind. Rows
// that the query itself holds need nothing more from the client.
func (c *nativeConn) insert(ins *insert, settings []setting, compressed bool) error {
	if ins.data != "" {
		r, err := newRows()
		if err != nil {
			return err
		}
		defer r.close()
		if _, err := r.WriteString(ins.data); err != nil {
			return fmt.Errorf("memory for an insert's rows: %w", err)
		}
		return c.insertRows(ins, settings, firstOf(ins.format, "Values"), r)
	}
	if err := c.engine.gate.allowInsert(ins, "Native"); err != nil {
		return err
	}
	columns, err := c.session.insertColumns(ins)
	if err != nil {
		return err
	}
	c.block(emptyBlock(columns, proto.FeatureCustomSerialization.In(c.revision)), compressed)
	if err := c.flush(); err != nil {
		return err
	}
	r, err := newRows()
	if err != nil {
		return err
	}
	defer r.close()
	for last := false; !last; {
		// An exception here is about the data; where the next packet begins is not known then.
		if _, last, err = c.data(compressed, r.Writer); err != nil {
			return fmt.Errorf("reading an insert's rows: %s", err.Error())
		}
		if err := c.profileEvents(); err != nil {
			return err
		}
	}
	named := *ins
	if named.list == "" {
		named.list = columnList(columns)
	}
	return c.insertRows(&named, slices.Concat(squash, settings), "Native", r)
}

func (c *nativeConn) insertRows(ins *insert, settings []setting, format string, r *rows) error {
	return c.session.with(settings, func() error {
		return c.watched(func() error {
			_, err := c.engine.insertRows(c.session, ins, format, r)
			return err
		})
	})
}

// profileEventsInInsert is the revision from which a server answers each packet
// of an insert's rows with counters, for which some clients wait.
const profileEventsInInsert = 54456

// profileEvents sends that no counters have changed.
func (c *nativeConn) profileEvents() error {
	if c.revision < profileEventsInInsert {
		return nil
	}
	proto.ServerProfileEvents.Encode(&c.out)
	c.out.PutString("")
	appendBlockInfo(&c.out)
	c.out.Buf = append(c.out.Buf, emptyBlock(nil, false)...)
	return c.flush()
}

// answer runs a statement and sends its rows.
func (c *nativeConn) answer(st statement, compressed bool) error {
	query := st.text
	if st.format != "" {
		query = st.withoutFormat() // this protocol has one format
	}
	if st.verb == "SET" {
		c.session.altered = true
	}
	sent := false
	send := func(data []byte) error {
		first := !sent
		sent = true
		return c.blocks(data, compressed, first)
	}
	if st.streams() {
		err := c.session.stream(query, "Native", send)
		if !notStreamed(err) {
			if err == nil && !sent {
				return c.header(query, compressed)
			}
			return err
		}
	}
	result, err := c.session.run(query, "Native")
	defer result.free()
	if err != nil {
		return err
	}
	return send(result.data())
}

// header sends the columns of a query that has no rows.
func (c *nativeConn) header(query string, compressed bool) error {
	columns, err := c.session.describe("(" + query + "\n)")
	if err != nil {
		// WITH TOTALS and the like cannot be described; a result without rows or columns says enough.
		return nil
	}
	c.block(emptyBlock(columns, proto.FeatureCustomSerialization.In(c.revision)), compressed)
	return c.flush()
}

// blocks sends blocks of FORMAT Native. Before the first of an answer goes one
// with its columns and no rows, from which some clients take names and types.
func (c *nativeConn) blocks(data []byte, compressed, first bool) error {
	from := bufio.NewReaderSize(bytes.NewReader(data), 1<<16)
	for {
		if _, err := from.Peek(1); err != nil {
			return nil
		}
		var body bytes.Buffer
		body.Grow(from.Buffered())
		copier := blockCopier{
			from:    from,
			to:      bufio.NewWriterSize(&body, 1<<16),
			flagOut: proto.FeatureCustomSerialization.In(c.revision),
			types:   c.types,
		}
		columns, n, err := copier.size()
		if err != nil {
			return err
		}
		names, err := copier.copyBlock(columns, n)
		if err != nil {
			return err
		}
		if err := copier.to.Flush(); err != nil {
			return err
		}
		if first && n > 0 {
			c.block(emptyBlock(names, proto.FeatureCustomSerialization.In(c.revision)), compressed)
		}
		first = false
		c.block(body.Bytes(), compressed)
		if err := c.flush(); err != nil {
			return err
		}
	}
}

// block appends a packet of data.
func (c *nativeConn) block(body []byte, compressed bool) {
	proto.ServerCodeData.Encode(&c.out)
	c.out.PutString("") // the table's name
	if !compressed {
		appendBlockInfo(&c.out)
		c.out.Buf = append(c.out.Buf, body...)
		return
	}
	var info proto.Buffer
	appendBlockInfo(&info)
	for piece := range slices.Chunk(append(info.Buf, body...), frameSize) {
		if err := c.pack.Compress(piece); err != nil {
			// LZ4 fails on no input that fits its buffer, which Compress makes.
			panic(fmt.Sprintf("compressing a block: %v", err))
		}
		c.out.Buf = append(c.out.Buf, c.pack.Data...)
	}
}

// watched runs f while it looks whether the client cancels or goes away, and
// stops the query where it does.
func (c *nativeConn) watched(f func() error) error {
	seen := make(chan error, 1)
	go func() {
		b, err := c.raw.Peek(1)
		cancelled := err == nil && proto.ClientCode(b[0]) == proto.ClientCodeCancel
		if !cancelled && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
			seen <- nil
			return
		}
		if err == nil {
			err = exceptionf(codeCancelled, "QUERY_WAS_CANCELLED_BY_CLIENT", "The query was cancelled.")
		}
		seen <- errors.Join(err, c.engine.stop(c.session.tag))
	}()
	err := f()
	// The deadline ends Peek where nothing came; a byte that came stays in the buffer.
	if deadlineErr := c.conn.SetReadDeadline(time.Now()); deadlineErr != nil {
		return errors.Join(<-seen, deadlineErr)
	}
	gone := <-seen
	if deadlineErr := c.conn.SetReadDeadline(time.Time{}); deadlineErr != nil {
		return errors.Join(gone, deadlineErr)
	}
	if gone != nil {
		return gone
	}
	return err
}

// exception appends an exception; what was not flushed before it is dropped
// by nobody: packets are always appended whole.
func (c *nativeConn) exception(e *exception) {
	proto.ServerCodeException.Encode(&c.out)
	told := proto.Exception{Code: proto.Error(e.code), Name: "DB::Exception", Message: e.text}
	told.EncodeAware(&c.out, c.revision)
}

// fail tells the client of an error after which the connection ends.
func (c *nativeConn) fail(err error) error {
	c.exception(asException(err))
	return errors.Join(err, c.flush())
}

func (c *nativeConn) flush() error {
	_, err := c.conn.Write(c.out.Buf)
	if cap(c.out.Buf) > 4*frameSize {
		c.out.Buf = nil
	}
	c.out.Reset()
	return err
}
