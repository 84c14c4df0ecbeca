package store

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
)

// open starts an engine of the test's own and returns a store with all tables.
func open(t testing.TB) *Store {
	t.Helper()
	address, _ := embeddedtest.Engine(t)
	s := connect(t, address)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect returns a store without tables on the engine at an address.
func connect(t testing.TB, address string) *Store {
	t.Helper()
	cfg := Config{Addresses: []string{address}, Password: embeddedtest.Password, Database: "overreach", Username: "default"}
	if err := CreateDatabase(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// execute runs a statement.
func execute(t testing.TB, s *Store, statement string) {
	t.Helper()
	if err := s.conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// value returns the one value of type T that a query yields.
func value[T any](t testing.TB, s *Store, query string) (v T) {
	t.Helper()
	if err := s.conn.QueryRow(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// pinned is the day on which the tests' batches are pinned, unless they say
// otherwise: today, since retention counts from it.
var pinned = schema.DayOf(time.Now())

// batch is a range of partition 0 of the incarnation "k/t@0".
func batch(from, to int64) schema.Range {
	return schema.Range{Partition: schema.Partition{Incarnation: "k/t@0"}, From: from, To: to, Pinned: pinned}
}

// add appends one row to usage rows; empty states are filled in.
func add(rows *schema.UsageRows, res schema.Resolution, bucket int64, usageKey schema.UsageKey, c schema.Counters, people ...[]byte) {
	for len(people) < 3 {
		people = append(people, schema.EmptyState)
	}
	rows.Resolution = append(rows.Resolution, res)
	rows.Bucket = append(rows.Bucket, bucket)
	rows.Partner = append(rows.Partner, usageKey.Partner)
	rows.App = append(rows.App, usageKey.App)
	rows.Capability = append(rows.Capability, usageKey.Capability)
	rows.Action = append(rows.Action, usageKey.Action)
	rows.Accesses = append(rows.Accesses, c.Accesses)
	rows.Attempts = append(rows.Attempts, c.Attempts)
	rows.Records = append(rows.Records, c.Records)
	rows.Bytes = append(rows.Bytes, c.Bytes)
	rows.FirstAccess = append(rows.FirstAccess, c.FirstAccess)
	rows.LastAccess = append(rows.LastAccess, c.LastAccess)
	rows.FirstAttempt = append(rows.FirstAttempt, c.FirstAttempt)
	rows.LastAttempt = append(rows.LastAttempt, c.LastAttempt)
	rows.Subjects = append(rows.Subjects, people[0])
	rows.Actors = append(rows.Actors, people[1])
	rows.Bystanders = append(rows.Bystanders, people[2])
}

// hashed is ClickHouse's hash of a UInt64 in uniqCombined64: murmur's finalizer.
func hashed(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// state is the uniqCombined64(14) state of up to 512 distinct values.
func state(values ...uint64) []byte {
	slices.Sort(values)
	values = slices.Compact(values)
	b := []byte{1}
	if len(values) > 16 {
		b[0] = 2
	}
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, hashed(v))
	}
	return b
}

// hashes are the hashes that a sparse state holds, in order; their order in the
// state depends on how it was merged.
func hashes(t testing.TB, state []byte) []uint64 {
	t.Helper()
	if len(state) < 2 || state[0] > 2 {
		t.Fatalf("not a sparse state: % x", state[:min(len(state), 16)])
	}
	n, width := binary.Uvarint(state[1:])
	rest := state[1+width:]
	if uint64(len(rest)) != 8*n {
		t.Fatalf("state of %d values has %d bytes left", n, len(rest))
	}
	var all []uint64
	for ; len(rest) > 0; rest = rest[8:] {
		all = append(all, binary.LittleEndian.Uint64(rest))
	}
	slices.Sort(all)
	return all
}

// strangers are names as hostile producers send them.
var strangers = []string{"it's", `back\slash\`, "nul\x00byte", "new\nline\ttab", "snow ☃ мир", `"double" -- comment`,
	"\xff\xfe not utf-8", "{name:String}", "?", "$1", "`tick`", "a,b (c)", ""}
