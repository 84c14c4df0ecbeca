package window_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

// TestClickHouseReadsAndWritesTheSameStates puts our states into a table as the
// program does, beside ClickHouse's own of the same values.
func TestClickHouseReadsAndWritesTheSameStates(t *testing.T) {
	db := connect(t)
	exec(t, db, `CREATE TABLE states (
		n UInt64, own UInt8, shifted UInt8,
		bytes String EPHEMERAL unhex('0100'),
		state AggregateFunction(uniqCombined64(14), UInt64)
			DEFAULT CAST(bytes AS AggregateFunction(uniqCombined64(14), UInt64))
	) ENGINE = MergeTree ORDER BY (n, own, shifted)`)

	sizes := []uint64{0, 1, 2, 3, 16, 17, 300, 511, 512, 513, 5_000, 100_000, 3_000_000}
	ours := map[uint64][]byte{}
	batch, err := db.PrepareBatch(t.Context(), `INSERT INTO states (n, own, shifted, bytes)`)
	must(t, err)
	for _, n := range sizes {
		ours[n] = sketch(0, n).MarshalAppend(nil)
		must(t, batch.Append(n, uint8(0), uint8(0), string(ours[n])))
		must(t, batch.Append(n, uint8(0), uint8(1), string(sketch(n/2, n/2+n).MarshalAppend(nil))))
	}
	must(t, batch.Send())
	for _, n := range sizes {
		exec(t, db, fmt.Sprintf(`INSERT INTO states (n, own, shifted, state)
			SELECT %d, 1, 0, uniqCombined64State(14)(number) FROM numbers(%[1]d)`, n))
	}

	for _, n := range sizes {
		count := func(what, query string) (found uint64) {
			t.Helper()
			if err := db.QueryRow(t.Context(), query).Scan(&found); err != nil {
				t.Fatalf("%d values, %s: %v", n, what, err)
			}
			return found
		}
		where := fmt.Sprintf("FROM states WHERE n = %d AND ", n)
		raw := count("raw rows", fmt.Sprintf(`SELECT uniqCombined64(14)(number) FROM numbers(%d)`, n))
		if n == 512 {
			// Of 512 values ClickHouse keeps a set until one comes twice, and
			// registers from then on. Ours are those registers.
			raw = count("raw rows, one of them twice", `SELECT uniqCombined64(14)(number % 512) FROM numbers(513)`)
		}
		if got := count("ours", `SELECT finalizeAggregation(state) `+where+`NOT own AND NOT shifted`); got != raw {
			t.Errorf("%d values: ClickHouse counts %d in our state, and %d in the rows", n, got, raw)
		}
		if got := count("ours and its own", `SELECT uniqCombined64Merge(14)(state) `+where+`NOT shifted`); got != raw {
			t.Errorf("%d values: ClickHouse counts %d in our state and its own, and %d in the rows", n, got, raw)
		}
		union := count("rows of the union", fmt.Sprintf(`SELECT uniqCombined64(14)(number) FROM numbers(%d)`, n/2+n))
		if got := count("its own and ours of others", `SELECT uniqCombined64Merge(14)(state) `+where+`own != shifted`); got != union {
			t.Errorf("%d values and half as many others: ClickHouse counts %d in both states, and %d in the rows", n, got, union)
		}

		var own, merged string
		must(t, db.QueryRow(t.Context(), `SELECT CAST(state AS String) `+where+`own`).Scan(&own))
		must(t, db.QueryRow(t.Context(), `SELECT CAST(uniqCombined64MergeState(14)(state) AS String) `+where+`NOT shifted`).Scan(&merged))
		if n > 512 && !bytes.Equal([]byte(own), ours[n]) {
			t.Errorf("%d values: our registers differ from ClickHouse's", n)
		}
		for what, state := range map[string]string{"its own": own, "ours merged with its own": merged} {
			var read, union window.Sketch
			must(t, read.Unmarshal([]byte(state)))
			must(t, union.MergeBytes([]byte(state)))
			if !bytes.Equal(read.MarshalAppend(nil), ours[n]) || !bytes.Equal(union.MarshalAppend(nil), ours[n]) {
				t.Errorf("%d values: ClickHouse's state, %s, is read as other values", n, what)
			}
		}
	}
}

// sketch returns the Sketch of the values in [from, to).
func sketch(from, to uint64) *window.Sketch {
	s := new(window.Sketch)
	for v := from; v < to; v++ {
		s.Add(v)
	}
	return s
}

func connect(t *testing.T) driver.Conn {
	t.Helper()
	addr, _ := embeddedtest.Engine(t)
	db, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, Auth: clickhouse.Auth{Password: embeddedtest.Password}})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func exec(t *testing.T, db driver.Conn, query string) {
	t.Helper()
	must(t, db.Exec(t.Context(), query))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
