package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
)

// kinds are expressions whose types lie differently in a block.
var kinds = []string{
	"number", "toInt8(number)", "toUInt256(number)", "toInt128(number)", "toFloat32(number)", "number % 2 = 0",
	"toString(number)", "repeat('long ', number * 40)", "toFixedString(toString(number), 20)", "CAST(number % 3, 'Enum16(\\'a\\' = 0, \\'b, (\\' = 1, \\'c\\' = 2)')",
	"toDate(number)", "toDate32(number)", "toDateTime(number, 'Europe/Berlin')", "toDateTime64(number, 6, 'UTC')", "toIntervalDay(number)",
	"toDecimal32(number, 1)", "toDecimal64(number, 2)", "toDecimal128(number, 3)", "toDecimal256(number, 4)",
	"generateUUIDv4(number)", "toIPv4(toUInt32(number))", "toIPv6(toString(toIPv4(toUInt32(number))))",
	"if(number % 2 = 0, NULL, number)", "if(number % 3 = 0, NULL, toString(number))", "NULL", "[]",
	"range(number % 5)", "arrayMap(x -> arrayMap(y -> toString(y), range(x)), range(number % 4))", "arrayMap(x -> if(x = 1, NULL, x), range(number % 4))",
	"tuple(number, toString(number))", "CAST(tuple(number, 'x'), 'Tuple(a UInt64, `b c` String)')", "CAST(tuple(number, tuple('x')), 'Tuple(a UInt64, n Tuple(d LowCardinality(String)))')",
	"map(toString(number), number)", "map('k', [toLowCardinality(toString(number))])",
	"toLowCardinality(toString(number % 300))", "toLowCardinality(if(number % 2 = 0, NULL, toString(number)))", "[toLowCardinality(toString(number)), 'a']",
	"arrayResize([toLowCardinality('x')], 0)", "CAST(number, 'SimpleAggregateFunction(sum, UInt64)')", "CAST([number], 'SimpleAggregateFunction(groupArrayArray, Array(UInt64))')",
	"CAST((number, number), 'Point')", "CAST([[(number, 1.)]], 'Polygon')",
}

// engineBlock is a block as the engine writes it, with rows of every kind.
func engineBlock(t testing.TB, s *session, rows int) []byte {
	t.Helper()
	query := "SELECT "
	for i, kind := range kinds {
		query += fmt.Sprintf("%s AS c%d, ", kind, i)
	}
	r, err := s.run(fmt.Sprintf("%s 1 AS last FROM numbers(%d)", query, rows), "Native")
	if err != nil {
		t.Fatal(err)
	}
	defer r.free()
	return bytes.Clone(r.data())
}

func copyAll(block []byte, flagIn, flagOut bool) ([]byte, error) {
	var out bytes.Buffer
	c := blockCopier{from: bufio.NewReaderSize(bytes.NewReader(block), 16), to: bufio.NewWriter(&out), flagIn: flagIn, flagOut: flagOut}
	columns, rows, err := c.size()
	if err != nil {
		return nil, err
	}
	if _, err := c.copyBlock(columns, rows); err != nil {
		return nil, err
	}
	rest, _ := c.from.Peek(1)
	if len(rest) > 0 {
		return nil, fmt.Errorf("bytes are left after the block")
	}
	err = c.to.Flush()
	return out.Bytes(), err
}

func TestBlocksOfEveryTypeAreCopiedWhole(t *testing.T) {
	s := openSession(t)
	for _, rows := range []int{1, 2, 7, 1000} {
		block := engineBlock(t, s, rows)
		same, err := copyAll(block, false, false)
		if err != nil || !bytes.Equal(same, block) {
			t.Fatalf("%d rows: %v", rows, err)
		}
		flagged, err := copyAll(block, false, true)
		if err != nil || len(flagged) != len(block)+len(kinds)+1 {
			t.Fatalf("%d rows with flags: %v, %d bytes for %d", rows, err, len(flagged), len(block))
		}
		back, err := copyAll(flagged, true, false)
		if err != nil || !bytes.Equal(back, block) {
			t.Fatalf("%d rows and back: %v", rows, err)
		}
		for _, cut := range []int{1, len(block) / 3, len(block) - 1} {
			if _, err := copyAll(block[:cut], false, false); err == nil {
				t.Errorf("%d of %d bytes were taken for a block", cut, len(block))
			}
		}
	}
}

func TestTypesWhoseLengthIsUnknownAreRefusedByName(t *testing.T) {
	for _, typ := range []string{"AggregateFunction(uniqCombined64(14), UInt64)", "Variant(UInt8, String)", "Dynamic", "JSON", "Array(JSON)", "", "(", "Tuple(a", "Decimal(x)", "FixedString(-1)", "FixedString()", "Map"} {
		if got, err := parseType(typ); err == nil {
			t.Errorf("%q was read as %+v", typ, got)
		}
	}
}

func FuzzBlocksNeverPanic(f *testing.F) {
	f.Add([]byte("\x01\x02\x01a\x05UInt8ab"))
	f.Add([]byte("\x01\x01\x01a\x16LowCardinality(String)\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x01\x01a\x0dArray(UInt16)\xff\xff\xff\x0f\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, block []byte) {
		if same, err := copyAll(block, false, false); err == nil && len(same) > len(block) {
			t.Errorf("%d bytes were made of %d", len(same), len(block))
		}
	})
}

func TestAnAnswerBeginsWithItsColumnsAndNoRows(t *testing.T) {
	s := openSession(t)
	client, server := net.Pipe()
	defer func() { _ = client.Close() }() // both are memory
	c := &nativeConn{conn: server, revision: revision, types: map[string]columnType{}}
	block := engineBlock(t, s, 3)
	go func() {
		_ = c.blocks(block, false, true) // a failure shows in what the client reads
		_ = c.blocks(block, false, false)
		_ = server.Close()
	}()
	in := bufio.NewReader(client)
	var got []int
	for {
		code, err := binary.ReadUvarint(in)
		if err != nil {
			break
		}
		if name, err := binary.ReadUvarint(in); code != uint64(proto.ServerCodeData) || name != 0 || err != nil {
			t.Fatalf("packet %d, a name of %d bytes, %v", code, name, err)
		}
		if err := skipBlockInfo(in); err != nil {
			t.Fatal(err)
		}
		copier := blockCopier{from: in, to: bufio.NewWriter(io.Discard), flagIn: true}
		columns, rows, err := copier.size()
		if err != nil {
			t.Fatal(err)
		}
		if names, err := copier.copyBlock(columns, rows); err != nil || len(names) != len(kinds)+1 || names[1].name != "c1" || names[1].typ != "Int8" {
			t.Fatalf("%v: %v", err, names)
		}
		got = append(got, rows)
	}
	if !slices.Equal(got, []int{0, 3, 3}) {
		t.Errorf("the blocks have %v rows", got)
	}
}
