package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

// connect opens clickhouse-go's native protocol with LZ4, as the store does.
func connect(t *testing.T, addr string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{addr},
		Auth:        clickhouse.Auth{Password: embeddedtest.Password},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func exec1(t *testing.T, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func one[T any](t *testing.T, conn driver.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// insert sends columns as one block.
func insert(ctx context.Context, t *testing.T, conn driver.Conn, query string, columns ...any) error {
	t.Helper()
	batch, err := conn.PrepareBatch(ctx, query)
	if err != nil {
		return err
	}
	for i, values := range columns {
		if err := batch.Column(i).Append(values); err != nil {
			return err
		}
	}
	return batch.Send()
}

func withSettings(t *testing.T, settings clickhouse.Settings) context.Context {
	return clickhouse.Context(t.Context(), clickhouse.WithSettings(settings))
}

func TestOneInsertOfAMillionRowsIsOnePartAndComesBack(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	// More than ClickHouse's own largest block, and with the settings that inserts of exactly once send.
	const n = 1_500_000
	a, s := make([]uint64, n), make([]string, n)
	for i := range a {
		a[i], s[i] = uint64(i), fmt.Sprint("row ", i)
	}
	ctx := withSettings(t, clickhouse.Settings{
		"async_insert": 0, "max_insert_threads": 1, "max_insert_block_size": 1_048_449,
		"min_insert_block_size_rows": 1_048_449, "min_insert_block_size_bytes": 268_402_944,
	})
	if err := insert(ctx, t, conn, "INSERT INTO t (a, s)", a, s); err != nil {
		t.Fatal(err)
	}
	equal(t, "parts ever made", one[uint64](t, conn, "SELECT count() FROM system.parts WHERE table = 't' AND level = 0 AND min_block_number = max_block_number"), 1)
	rows, err := conn.Query(t.Context(), "SELECT a, s FROM t ORDER BY a")
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	for rows.Next() {
		var gotA uint64
		var gotS string
		if err := rows.Scan(&gotA, &gotS); err != nil {
			t.Fatal(err)
		}
		if gotA != next || gotS != s[next] {
			t.Fatalf("row %d came back as %d, %q", next, gotA, gotS)
		}
		next++
	}
	if err := rows.Err(); err != nil || next != n {
		t.Fatalf("read %d rows of %d: %v", next, n, err)
	}
}

func TestFlushesOfOneBatchBecomeOnePart(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t (a)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := errors.Join(batch.Append(uint64(i)), batch.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	equal(t, "parts", one[uint64](t, conn, "SELECT count() FROM system.parts WHERE table = 't'"), 1)
	equal(t, "rows", one[uint64](t, conn, "SELECT count() FROM t"), 5)
}

const usageTable = `CREATE TABLE usage (
	k UInt64, pinned SimpleAggregateFunction(max, Date), accesses SimpleAggregateFunction(sum, UInt64),
	subjects_bytes String EPHEMERAL unhex('0100'),
	subjects AggregateFunction(uniqCombined64(14), UInt64) DEFAULT CAST(subjects_bytes AS AggregateFunction(uniqCombined64(14), UInt64))
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(pinned) ORDER BY k SETTINGS non_replicated_deduplication_window = 100`

func TestStatesSentThroughAnEphemeralColumnMerge(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, usageTable)
	state := func(from, to int) string {
		return one[string](t, conn, fmt.Sprintf("SELECT CAST(uniqCombined64State(14)(number) AS String) FROM numbers(%d, %d)", from, to-from))
	}
	day := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
	for _, values := range []string{state(0, 1000), state(500, 1500), "\x01\x00"} {
		err := insert(t.Context(), t, conn, "INSERT INTO usage (k, pinned, accesses, subjects_bytes)",
			[]uint64{7}, []time.Time{day}, []uint64{10}, []string{values})
		if err != nil {
			t.Fatal(err)
		}
	}
	const query = "SELECT uniqCombined64Merge(14)(subjects) FROM usage WHERE k = 7"
	people := one[uint64](t, conn, "SELECT uniqCombined64(14)(number) FROM numbers(1500)") // an estimate, 1496
	equal(t, "people before a merge", one[uint64](t, conn, query), people)
	exec1(t, conn, "OPTIMIZE TABLE usage FINAL")
	equal(t, "people after a merge", one[uint64](t, conn, query), people)
	equal(t, "accesses", one[uint64](t, conn, "SELECT sum(accesses) FROM usage"), 30)
	merged := one[string](t, conn, "SELECT CAST(uniqCombined64MergeState(14)(subjects) AS String) FROM usage")
	again := one[uint64](t, conn, "SELECT finalizeAggregation(CAST(unhex({s:String}) AS AggregateFunction(uniqCombined64(14), UInt64)))",
		clickhouse.Named("s", fmt.Sprintf("%x", merged)))
	equal(t, "people in a state read as a string", again, people)
}

func TestARepeatedInsertWithATokenChangesNothing(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, usageTable)
	days := []time.Time{time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC), time.Date(2024, 6, 6, 0, 0, 0, 0, time.UTC)}
	send := func(token string, accesses uint64) {
		t.Helper()
		ctx := withSettings(t, clickhouse.Settings{"insert_deduplication_token": token})
		err := insert(ctx, t, conn, "INSERT INTO usage (k, pinned, accesses, subjects_bytes)",
			[]uint64{1, 2}, days, []uint64{accesses, accesses}, []string{"\x01\x00", "\x01\x00"})
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := func() uint64 { return one[uint64](t, conn, "SELECT sum(accesses) FROM usage") }
	send("a", 5)
	send("b", 5)
	equal(t, "two tokens", sum(), 20)
	for range 3 {
		send("a", 5)
	}
	exec1(t, conn, "OPTIMIZE TABLE usage FINAL")
	send("a", 5)
	send("b", 5)
	equal(t, "the same tokens again", sum(), 20)
}

func TestColumnsOfEveryKindComeBack(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, `CREATE TABLE t (
		id UInt8, n Nullable(Int64), l LowCardinality(String), ln LowCardinality(Nullable(String)), al Array(LowCardinality(String)),
		aa Array(Array(Nullable(String))), d Date, t64 DateTime64(3, 'UTC'), tup Tuple(a UInt8, b String), e Enum8('x' = 1, 'y' = 2),
		u UInt128, m Map(String, UInt64), f FixedString(3), b Bool, g Float64, dt DateTime('UTC')
	) ENGINE = MergeTree ORDER BY id`)
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	big1, _ := new(big.Int).SetString("340282366920938463463374607431768211455", 10)
	text, null, number := "text", (*string)(nil), int64(-5)
	when := time.Date(2024, 5, 6, 7, 8, 9, 123_000_000, time.UTC)
	day := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
	want := [][]any{
		{uint8(1), &number, "low", &text, []string{"p", "q", "p"}, [][]*string{{&text, null}, {}}, day, when, []any{uint8(9), "in"}, "y", *big1, map[string]uint64{"k": 1}, "abc", true, 1.5, when.Truncate(time.Second)},
		{uint8(2), (*int64)(nil), "", null, []string{}, [][]*string{}, day, when, []any{uint8(0), ""}, "x", *big.NewInt(0), map[string]uint64{}, "xyz", false, -0.25, when.Truncate(time.Second)},
	}
	for _, row := range want {
		if err := batch.Append(row...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "SELECT * FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range want {
		if !rows.Next() {
			t.Fatalf("a row is missing: %v", rows.Err())
		}
		got := make([]any, len(row))
		for i := range row {
			got[i] = reflect.New(rows.ColumnTypes()[i].ScanType()).Interface()
			if rows.Columns()[i] == "tup" {
				got[i] = &[]any{}
			}
		}
		if err := rows.Scan(got...); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			g := reflect.ValueOf(got[i]).Elem().Interface()
			if fmt.Sprintf("%+v", flat(g)) != fmt.Sprintf("%+v", flat(row[i])) {
				t.Errorf("column %s: got %+v, want %+v", rows.Columns()[i], flat(g), flat(row[i]))
			}
		}
	}
	// Rows of an empty result still have names.
	empty, err := conn.Query(t.Context(), "SELECT id, l FROM t WHERE id > 100")
	if err != nil || empty.Next() || strings.Join(empty.Columns(), " ") != "id l" {
		t.Errorf("an empty result has the columns %v (%v)", empty.Columns(), err)
	}
}

// flat follows pointers, so that values can be printed and compared.
func flat(v any) any {
	switch v := v.(type) {
	case big.Int:
		return v.String()
	case *big.Int:
		return v.String()
	case time.Time:
		return v.UTC().String()
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer:
		if r.IsNil() {
			return nil
		}
		return flat(r.Elem().Interface())
	case reflect.Slice:
		all := make([]any, r.Len())
		for i := range all {
			all[i] = flat(r.Index(i).Interface())
		}
		return all
	}
	return v
}

func TestErrorsCarryClickHousesCodeAndTheConnectionLives(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	f := func(code int32, err error) {
		t.Helper()
		var e *clickhouse.Exception
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("got %v, want an exception with code %d", err, code)
		}
		equal(t, "a query after the error", one[uint8](t, conn, "SELECT 1"), 1)
	}
	f(60, conn.Exec(t.Context(), "SELECT * FROM nosuch"))
	f(62, conn.Exec(t.Context(), "SELEC 1"))
	f(62, conn.Exec(t.Context(), "SELECT 1; SELECT 2"))
	f(115, conn.Exec(withSettings(t, clickhouse.Settings{"nosuch": 1}), "SELECT 1"))
	f(81, conn.Exec(t.Context(), "USE nosuch"))
	f(16, insert(t.Context(), t, conn, "INSERT INTO t (b)", []uint64{1}))
	f(60, insert(t.Context(), t, conn, "INSERT INTO nosuch (b)", []uint64{1}))
	exec1(t, conn, "CREATE TABLE checked (a UInt64, CONSTRAINT small CHECK a < 10) ENGINE = MergeTree ORDER BY a")
	f(469, insert(t.Context(), t, conn, "INSERT INTO checked (a)", []uint64{1, 11}))
	equal(t, "rows of a refused insert", one[uint64](t, conn, "SELECT count() FROM checked"), 0)
	rows, err := conn.Query(t.Context(), "SELECT throwIf(number = 500000) FROM numbers(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	f(395, rows.Err())
}

func TestSettingsAndParametersHoldForOneQuery(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	ctx := withSettings(t, clickhouse.Settings{"max_block_size": 100, "insert_deduplication_token": "it's"})
	var size uint64
	var token string
	if err := conn.QueryRow(ctx, "SELECT toUInt64(getSetting('max_block_size')), getSetting('insert_deduplication_token')").Scan(&size, &token); err != nil {
		t.Fatal(err)
	}
	equal(t, "the setting", size, 100)
	equal(t, "the text", token, "it's")
	equal(t, "the setting afterwards", one[bool](t, conn, "SELECT getSetting('max_block_size') = 100"), false)
	for _, text := range []string{"plain", "it's", `back\slash`, "tab\tand\nline", "{x:String}", "über"} {
		equal(t, "a parameter", one[string](t, conn, "SELECT {x:String}", clickhouse.Named("x", text)), text)
	}
	equal(t, "a list", one[uint64](t, conn, "SELECT arraySum({l:Array(UInt64)})", clickhouse.Named("l", []uint64{1, 2, 3})), 6)
}

func TestConnectionsRunSideBySide(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	exec1(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	start := time.Now()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := conn.Exec(t.Context(), "SELECT sleep(1)"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("five sleeps of a second took %s", took)
	}
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				if err := insert(t.Context(), t, conn, "INSERT INTO t (a)", []uint64{uint64(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	equal(t, "rows", one[uint64](t, conn, "SELECT count() FROM t"), 160)
}

func TestAQueryWhoseClientLeavesIsStopped(t *testing.T) {
	native, _ := embeddedtest.Engine(t)
	conn := connect(t, native)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := conn.Exec(ctx, "SELECT count() FROM numbers(1e12) WHERE sipHash64(number) = 1"); err == nil {
		t.Fatal("a query of an hour ended within a second")
	}
	running := func() uint64 {
		return one[uint64](t, conn, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'")
	}
	for deadline := time.Now().Add(10 * time.Second); running() > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still running after 10 s")
		}
	}
}

func TestDataSurviveSIGKILLAndARestartOnTheSameFolderAndPorts(t *testing.T) {
	config := embedded.EngineConfig{Dir: t.TempDir()}
	e := embeddedtest.StartEngine(t, config)
	config.NativeAddr, config.HTTPAddr = e.NativeAddr(), e.HTTPAddr()
	conn := connect(t, e.NativeAddr())
	exec1(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	for round := range uint64(3) {
		if err := insert(t.Context(), t, conn, "INSERT INTO t (a)", []uint64{round}); err != nil {
			t.Fatal(err)
		}
		e.Kill()
		select {
		case <-e.Done():
		default:
			t.Fatal("Kill came back before the process had ended")
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Fatal("a killed engine answers")
		}
		e = embeddedtest.StartEngine(t, config)
		equal(t, "rows", one[uint64](t, conn, "SELECT count() FROM t"), round+1)
	}
}

func TestAFolderIsServedByOneProcess(t *testing.T) {
	dir := t.TempDir()
	embeddedtest.StartEngine(t, embedded.EngineConfig{Dir: dir})
	_, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{
		Dir: dir, Binary: embeddedtest.Binary(t), Library: embeddedtest.Library(t),
	})
	if err == nil || !strings.Contains(err.Error(), "in use by process") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the second engine on a folder says: %v", err)
	}
}

func TestTheEngineEndsWithItsParent(t *testing.T) {
	// A shell starts the engine as its child, says where it is, and is killed.
	script := fmt.Sprintf(`%s --path %s --library %s --parent-pid $$ & echo $!; wait`,
		embeddedtest.Binary(t), t.TempDir(), embeddedtest.Library(t))
	shell := exec.Command("sh", "-c", script)
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var addresses string
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, &addresses); err != nil {
		t.Fatal(err)
	}
	if err := shell.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out) // until the engine has closed it, too
	_ = shell.Wait()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join("/proc", fmt.Sprint(pid))); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the engine outlived its parent by 5 s")
		}
	}
}
