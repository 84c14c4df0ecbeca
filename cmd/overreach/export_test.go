package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/store"
)

// everyType is a row of the table that TestEveryTypeComesBackAsItWas makes, as
// Parquet's own types say it.
type everyType struct {
	Small    uint8       `parquet:"small"`
	Big      uint64      `parquet:"big"`
	Signed   int64       `parquet:"signed"`
	Share    float64     `parquet:"share"`
	Flag     bool        `parquet:"flag"`
	Text     string      `parquet:"text"`
	Kind     string      `parquet:"kind"`
	Low      string      `parquet:"low"`
	Day      int32       `parquet:"day,date"`
	Second   time.Time   `parquet:"second,timestamp(millisecond)"`
	Milli    time.Time   `parquet:"milli,timestamp(millisecond)"`
	Micro    time.Time   `parquet:"micro,timestamp(microsecond)"`
	NoBig    *uint64     `parquet:"no_big,optional"`
	NoText   *string     `parquet:"no_text,optional"`
	NoDay    *int32      `parquet:"no_day,date,optional"`
	NoMilli  *time.Time  `parquet:"no_milli,timestamp(millisecond),optional"`
	Words    []string    `parquet:"words,list"`
	Numbers  []uint32    `parquet:"numbers,list"`
	Parts    []everyPart `parquet:"parts,list"`
	Huge     string      `parquet:"huge"`
	NoHuge   *string     `parquet:"no_huge,optional"`
	Days     string      `parquet:"days"`
	Sketch   []byte      `parquet:"sketch"`
	Greatest uint64      `parquet:"greatest"`
}

type everyPart struct {
	Name  string   `parquet:"name"`
	Count uint64   `parquet:"count"`
	Usual *float64 `parquet:"usual,optional"`
}

const everyTypeTable = `CREATE TABLE every_type (
	small UInt8 COMMENT 'first', big UInt64, signed Int64, share Float64, flag Bool, text String, kind Enum8('' = 0, 'read' = 1), low LowCardinality(String),
	day Date, second DateTime('UTC'), milli DateTime64(3, 'UTC'), micro DateTime64(6, 'UTC'),
	no_big Nullable(UInt64), no_text Nullable(String), no_day Nullable(Date), no_milli Nullable(DateTime64(3, 'UTC')),
	words Array(String), numbers Array(UInt32), parts Array(Tuple(name String, count UInt64, usual Nullable(Float64))),
	huge UInt128, no_huge Nullable(UInt128), days Array(Date),
	unread String EPHEMERAL, sketch AggregateFunction(uniqCombined64(14), UInt64), greatest SimpleAggregateFunction(max, UInt64)
) ENGINE = MergeTree ORDER BY tuple()`

const everyTypeRow = `INSERT INTO every_type
	SELECT 255, 18446744073709551615, -9223372036854775808, 0.1, true, 'it''s \\ "x" ☃ \xff\0', 'read', 'low', '2018-12-17',
		'2018-12-17 23:59:59', '1969-12-31 23:59:59.999', '2018-12-17 01:02:03.123456', 18446744073709551615, 'some', '2000-02-29', '2018-12-17 01:02:03.004',
		['a', '', 'snow ☃'], [4294967295], [('x', 18446744073709551615, 0.5), ('y', 0, NULL)],
		toUInt128('340282366920938463463374607431768211455'), 7, ['2018-12-17'], uniqCombined64State(14)(toUInt64(7)), 9`

const everyTypeZeros = `INSERT INTO every_type
	SELECT 0, 0, 0, 0, false, '', '', '', '1970-01-01', '1970-01-01 00:00:00', '1970-01-01 00:00:00.000', '1970-01-01 00:00:00',
		NULL, NULL, NULL, NULL, [], [], [], 0, NULL, [], uniqCombined64State(14)(toUInt64(7)), 0`

func TestEveryTypeComesBackAsItWas(t *testing.T) {
	t.Parallel()
	native, _ := embeddedtest.Engine(t)
	cfg := store.Config{Addresses: []string{native}, Password: embeddedtest.Password, Database: "overreach"}
	if err := store.CreateDatabase(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, sql := range []string{everyTypeTable, everyTypeRow, everyTypeZeros} {
		if err := st.Query(t.Context(), sql, &bytes.Buffer{}, store.TSV); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out.parquet")
	var printed bytes.Buffer
	if err := export(t.Context(), &app{stdout: &printed}, st, "every_type", exportFlags{out: out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), ": 2 rows, 24 columns of every_type, ") {
		t.Errorf("it printed %q", printed.String())
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v: expected to be readable by its owner alone", info.Mode(), err)
	}
	got, err := parquet.ReadFile[everyType](out)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b everyType) int { return int(b.Small) - int(a.Small) })
	// A state of one hash: ClickHouse's own bytes of it.
	var state strings.Builder
	if err := st.Query(t.Context(), "SELECT hex(CAST(uniqCombined64State(14)(toUInt64(7)) AS String)) AS s", &state, store.JSON); err != nil {
		t.Fatal(err)
	}
	var hex struct{ S string }
	if err := json.Unmarshal([]byte(state.String()), &hex); err != nil {
		t.Fatal(err)
	}
	sketch := unhex(t, hex.S)
	utc := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04:05.999999", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	want := []everyType{{
		Small: 255, Big: math.MaxUint64, Signed: math.MinInt64, Share: 0.1, Flag: true, Text: "it's \\ \"x\" ☃ \uFFFD\x00", Kind: "read", Low: "low",
		Day: 17882, Second: utc("2018-12-17 23:59:59"), Milli: utc("1969-12-31 23:59:59.999"), Micro: utc("2018-12-17 01:02:03.123456"),
		NoBig: new(uint64(math.MaxUint64)), NoText: new("some"), NoDay: new(int32(11016)), NoMilli: new(utc("2018-12-17 01:02:03.004")),
		Words: []string{"a", "", "snow ☃"}, Numbers: []uint32{math.MaxUint32},
		Parts: []everyPart{{"x", math.MaxUint64, new(0.5)}, {"y", 0, nil}},
		Huge:  "340282366920938463463374607431768211455", NoHuge: new("7"), Days: "['2018-12-17']", Sketch: sketch, Greatest: 9,
	}, {
		Second: utc("1970-01-01 00:00:00"), Milli: utc("1970-01-01 00:00:00"), Micro: utc("1970-01-01 00:00:00"), Huge: "0", Days: "[]", Sketch: sketch,
		Words: []string{}, Numbers: []uint32{}, Parts: []everyPart{},
	}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("what was exported differs (-want +got):\n%s", diff)
	}
	file := openParquet(t, out)
	if comment, _ := file.Lookup("comment.small"); comment != "first" {
		t.Errorf("the comment of the first column is %q", comment)
	}
	if first := file.Schema().Fields()[0].Name(); first != "small" {
		t.Errorf("the first column is %s: expected them in the order of the table", first)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	var b []byte
	for i := 0; i < len(text); i += 2 {
		b = append(b, byte(strings.IndexByte("0123456789ABCDEF", text[i])<<4|strings.IndexByte("0123456789ABCDEF", text[i+1])))
	}
	return b
}

func openParquet(t *testing.T, name string) *parquet.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestARowGroupEndsBeforeItHoldsTooMuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what         string
		rows, size   int // of each
		groups, last int
	}{
		{"narrow rows", 1005, 1, 2, 5},
		{"wide rows", 200, 1 << 10, 4, 200 - 3*64},
		{"no rows", 0, 0, 0, 0},
	} {
		var out bytes.Buffer
		f := newParquetFile(&out, "wide", []store.Column{{Name: "sketch", Type: "AggregateFunction(uniqCombined64(14), UInt64)"}}, rowGroup{rows: 1000, bytes: 64 << 10})
		for i := range c.rows {
			f.row.Field(0).SetBytes(bytes.Repeat([]byte{byte(i)}, c.size))
			if err := f.write(); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.close(); err != nil {
			t.Fatal(err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		groups := file.RowGroups()
		if file.NumRows() != int64(c.rows) || len(groups) != c.groups || c.groups > 0 && groups[c.groups-1].NumRows() != int64(c.last) {
			t.Errorf("%s: %d rows in %d groups: expected %d in %d", c.what, file.NumRows(), len(groups), c.rows, c.groups)
		}
	}
}

func TestAnExportThatFailsLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out.parquet")
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	native, _ := embeddedtest.Engine(t)
	cfg := store.Config{Addresses: []string{native}, Password: embeddedtest.Password, Database: "overreach"}
	if err := store.CreateDatabase(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }() // a cancelled query has closed its connection
	for _, sql := range []string{
		"CREATE VIEW endless (n UInt64) AS SELECT number AS n FROM system.numbers",
		"CREATE VIEW breaks (n UInt64) AS SELECT throwIf(number = 100000, 'it breaks') + number AS n FROM numbers(200000)",
	} {
		if err := st.Query(t.Context(), sql, &bytes.Buffer{}, store.TSV); err != nil {
			t.Fatal(err)
		}
	}
	flags := exportFlags{out: out, force: true}
	if err := export(t.Context(), &app{}, st, "breaks", flags); err == nil || !strings.Contains(err.Error(), "code: 395, FUNCTION_THROW_IF") {
		t.Errorf("an error in the middle ends it with %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := export(ctx, &app{}, st, "endless", flags); err == nil {
		t.Error("it did not end when it was told to")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil || string(text) != "before" || len(entries) != 1 {
		t.Errorf("the folder holds %v, the file %.20q, %v: expected what was there before", entries, text, err)
	}
}

// FuzzAnyTypeBecomesAColumn: whatever a server calls its types, there is a
// schema for it.
func FuzzAnyTypeBecomesAColumn(f *testing.F) {
	for _, typ := range []string{
		"UInt8", "Nullable(DateTime64(3, 'UTC'))", "Array(Tuple(a String, b Nullable(Float64)))", "DateTime64", "DateTime64()", "Array()", "Tuple()",
		"Map(String, Array(UInt8))", "SimpleAggregateFunction(max, Date)", "SimpleAggregateFunction", "LowCardinality(Nullable(String))", "Array(Array(UInt8))",
		"Nullable(", "Tuple(`a b` String)", "Tuple(a Tuple(b Array(String)))", "Array(Nullable(UInt8))", "Nullable(Nullable(UInt8))", "Tuple(a, String)",
	} {
		f.Add(typ)
	}
	f.Fuzz(func(t *testing.T, typ string) {
		column := store.Column{Name: "column", Type: typ}
		of, as := parquetField(column)
		if of.goType == nil || as != "" && of.goType.Kind() != reflect.String && of.goType.Kind() != reflect.Pointer && of.goType.Kind() != reflect.Slice && of.goType.Kind() != reflect.Int32 {
			t.Fatalf("%q becomes %v of %q", typ, of.goType, as)
		}
		if err := newParquetFile(&bytes.Buffer{}, "any", []store.Column{column}, usualRowGroup).close(); err != nil {
			t.Fatal(err)
		}
	})
}
