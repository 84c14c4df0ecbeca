package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/proto"
)

// column is a name and a type of a block.
type column struct {
	name, typ string
}

// Limits on what a block may claim, so that broken bytes do not become an
// allocation or an endless read: rows as in clickhouse-go, the rest far above
// what a table has.
const (
	maxColumns = 10_000
	maxRows    = 1_000_000_000
	maxName    = 1 << 20
)

// blockCopier copies blocks in ClickHouse's Native format byte by byte,
// knowing of each column only where it ends. Blocks of the engine's FORMAT
// Native and blocks of the protocol differ in one byte a column, a flag for
// special layouts, which the protocol carries from proto.FeatureCustomSerialization on.
type blockCopier struct {
	from *bufio.Reader
	to   *bufio.Writer
	// flagIn and flagOut tell whether that byte is read and written.
	flagIn, flagOut bool

	types map[string]columnType // those parsed so far, by their text
}

// size reads how many columns and rows the next block has. A block without
// columns ends a list of blocks.
func (c *blockCopier) size() (columns, rows int, err error) {
	if columns, err = c.count(maxColumns, "columns in a block"); err != nil {
		return 0, 0, err
	}
	rows, err = c.count(maxRows, "rows in a block")
	return columns, rows, err
}

// copyBlock copies the block whose size was just read, with its size, and
// returns its columns.
func (c *blockCopier) copyBlock(columns, rows int) ([]column, error) {
	if err := errors.Join(c.uvarint(uint64(columns)), c.uvarint(uint64(rows))); err != nil {
		return nil, err
	}
	var all []column
	for i := range columns {
		col, err := c.copyColumn(rows)
		if err != nil {
			return nil, fmt.Errorf("column %d of %d (%s): %w", i+1, columns, col.name, err)
		}
		all = append(all, col)
	}
	return all, nil
}

func (c *blockCopier) copyColumn(rows int) (col column, err error) {
	if col.name, err = c.name(); err != nil {
		return col, err
	}
	if col.typ, err = c.name(); err != nil {
		return col, err
	}
	if c.flagIn {
		flag, err := c.from.ReadByte()
		if err != nil {
			return col, unexpected(err)
		}
		if flag != 0 {
			return col, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
				"Sparse and other special layouts of columns are not read by overreach-engine.")
		}
	}
	if c.flagOut {
		if err := c.to.WriteByte(0); err != nil {
			return col, err
		}
	}
	if rows == 0 {
		return col, nil
	}
	t, known := c.types[col.typ]
	if !known {
		if t, err = parseType(col.typ); err != nil {
			return col, err
		}
		if c.types == nil {
			c.types = map[string]columnType{}
		}
		c.types[col.typ] = t
	}
	if err := c.prefix(t); err != nil {
		return col, err
	}
	return col, c.values(t, rows)
}

// prefix copies what stands before the values: a version of 8 bytes for each
// dictionary in the type.
func (c *blockCopier) prefix(t columnType) error {
	if t.kind == lowCardinality {
		return c.bytes(8)
	}
	for _, inner := range t.of {
		if err := c.prefix(inner); err != nil {
			return err
		}
	}
	return nil
}

// values copies n values of type t.
func (c *blockCopier) values(t columnType, n int) error {
	if n == 0 {
		return nil
	}
	switch t.kind {
	case fixed:
		return c.bytes(int64(n) * int64(t.width))
	case text:
		return c.texts(n)
	case nullable:
		if err := c.bytes(int64(n)); err != nil {
			return err
		}
		return c.values(t.of[0], n)
	case array:
		total, err := c.offsets(n)
		if err != nil {
			return err
		}
		return c.values(t.of[0], total)
	case tuple:
		for _, inner := range t.of {
			if err := c.values(inner, n); err != nil {
				return err
			}
		}
		return nil
	default:
		return c.dictionary(t.of[0], n)
	}
}

// dictionary copies n values of LowCardinality(t): pieces, each of a kind of
// index, the distinct values (without NULL's own byte), and the indexes.
func (c *blockCopier) dictionary(t columnType, n int) error {
	const (
		globalDictionary = 1 << 8
		additionalKeys   = 1 << 9
	)
	if t.kind == nullable {
		t = t.of[0]
	}
	for n > 0 {
		flags, err := c.uint64()
		if err != nil {
			return err
		}
		indexWidth := int64(1) << (flags & 0xff)
		if indexWidth > 8 || flags&globalDictionary != 0 || flags&additionalKeys == 0 {
			return fmt.Errorf("a dictionary with flags %#x is not one of the Native format", flags)
		}
		keys, err := c.uint64()
		if err != nil {
			return err
		}
		if keys > maxRows {
			return fmt.Errorf("a dictionary of %d values, the limit is %d", keys, maxRows)
		}
		if err := c.values(t, int(keys)); err != nil {
			return err
		}
		indexes, err := c.uint64()
		if err != nil {
			return err
		}
		if indexes == 0 || indexes > uint64(n) {
			return fmt.Errorf("a dictionary with %d indexes for %d rows", indexes, n)
		}
		if err := c.bytes(int64(indexes) * indexWidth); err != nil {
			return err
		}
		n -= int(indexes)
	}
	return nil
}

// offsets copies the n end offsets of arrays and returns the last one.
func (c *blockCopier) offsets(n int) (int, error) {
	if err := c.bytes(int64(n-1) * 8); err != nil {
		return 0, err
	}
	total, err := c.uint64()
	if err != nil {
		return 0, err
	}
	if total > maxRows {
		return 0, fmt.Errorf("arrays of %d elements, the limit is %d", total, maxRows)
	}
	return int(total), nil
}

func (c *blockCopier) texts(n int) error {
	for range n {
		length, err := binary.ReadUvarint(c.from)
		if err != nil {
			return unexpected(err)
		}
		if length > 1<<32 {
			return fmt.Errorf("a string of %d bytes, the limit is 4 GiB", length)
		}
		if err := c.uvarint(length); err != nil {
			return err
		}
		if err := c.bytes(int64(length)); err != nil {
			return err
		}
	}
	return nil
}

// bytes copies n bytes.
func (c *blockCopier) bytes(n int64) error {
	// Most values are short and lie in the buffer already.
	if n <= int64(c.from.Buffered()) {
		piece, err := c.from.Peek(int(n))
		if err != nil {
			return unexpected(err)
		}
		if _, err := c.to.Write(piece); err != nil {
			return err
		}
		_, err = c.from.Discard(int(n))
		return err
	}
	_, err := io.CopyN(c.to, c.from, n)
	return unexpected(err)
}

func (c *blockCopier) uint64() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(c.from, b[:]); err != nil {
		return 0, unexpected(err)
	}
	_, err := c.to.Write(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func (c *blockCopier) uvarint(n uint64) error {
	_, err := c.to.Write(binary.AppendUvarint(c.to.AvailableBuffer(), n))
	return err
}

func (c *blockCopier) count(limit uint64, what string) (int, error) {
	n, err := binary.ReadUvarint(c.from)
	if err != nil {
		return 0, unexpected(err)
	}
	if n > limit {
		return 0, fmt.Errorf("%d %s, the limit is %d", n, what, limit)
	}
	return int(n), nil
}

func (c *blockCopier) name() (string, error) {
	n, err := c.count(maxName, "bytes in a name or a type")
	if err != nil {
		return "", err
	}
	if err := c.uvarint(uint64(n)); err != nil {
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.from, b); err != nil {
		return "", unexpected(err)
	}
	_, err = c.to.Write(b)
	return string(b), err
}

// unexpected names an end of input as what it is inside a block.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// emptyBlock is a block of the protocol that has columns and no rows.
func emptyBlock(columns []column, flags bool) []byte {
	b := binary.AppendUvarint(nil, uint64(len(columns)))
	b = binary.AppendUvarint(b, 0)
	for _, col := range columns {
		for _, s := range []string{col.name, col.typ} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
		if flags {
			b = append(b, 0)
		}
	}
	return b
}

// appendBlockInfo appends what the protocol puts before a block: it is no
// overflow row (field 1) and no bucket of two-level aggregation (field 2).
func appendBlockInfo(b *proto.Buffer) {
	b.PutUVarInt(1)
	b.PutBool(false)
	b.PutUVarInt(2)
	b.PutInt32(-1)
	b.PutUVarInt(0)
}

// skipBlockInfo reads past that.
func skipBlockInfo(r *bufio.Reader) error {
	for {
		field, err := binary.ReadUvarint(r)
		if err != nil {
			return unexpected(err)
		}
		size := map[uint64]int{1: 1, 2: 4}[field]
		if field == 0 {
			return nil
		}
		if size == 0 {
			return fmt.Errorf("unknown field %d of a block's info", field)
		}
		if _, err := r.Discard(size); err != nil {
			return unexpected(err)
		}
	}
}
