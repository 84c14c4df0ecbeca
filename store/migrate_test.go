package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
)

func TestMigratingAgainAndByManyAtOnceGivesTheSameTables(t *testing.T) {
	address, _ := embeddedtest.Engine(t)
	s := connect(t, address)
	if unused, err := s.Unused(t.Context()); err != nil || !unused {
		t.Fatalf("a new database is unused: %v, %v", unused, err)
	}
	all, err := schema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	if pending, err := s.Pending(t.Context()); err != nil || len(pending) != len(all) {
		t.Fatalf("a new database lacks %d of %d migrations, %v", len(pending), len(all), err)
	}
	var group sync.WaitGroup
	for range 4 {
		other := connect(t, address)
		group.Go(func() {
			if err := other.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	shape := func() string {
		return value[string](t, s, `SELECT toString(groupArray((name, create_table_query)))
			FROM (SELECT * FROM system.tables WHERE database = currentDatabase() ORDER BY name)`)
	}
	before := shape()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := shape(); after != before {
		t.Errorf("tables before and after migrating again:\n%s\n%s", before, after)
	}
	if pending, err := s.Pending(t.Context()); err != nil || len(pending) != 0 {
		t.Errorf("after migrating %d are pending, %v", len(pending), err)
	}
	if unused, err := s.Unused(t.Context()); err != nil || !unused { // so that who starts at the same time goes on too
		t.Errorf("after migrating the database is unused: %v, %v", unused, err)
	}
	if _, err := s.OpenIncarnation(t.Context(), anIncarnation()); err != nil {
		t.Fatal(err)
	}
	if unused, err := s.Unused(t.Context()); err != nil || unused {
		t.Errorf("after an incarnation was opened the database is unused: %v, %v", unused, err)
	}
	if bare := value[[]string](t, s, `SELECT groupArray(concat(table, '.', name)) FROM system.columns WHERE database = currentDatabase() AND comment = ''`); len(bare) > 0 {
		t.Errorf("columns without a comment: %v", bare)
	}
	if bare := value[[]string](t, s, `SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND comment = ''`); len(bare) > 0 {
		t.Errorf("tables without a comment: %v", bare)
	}
}

func TestAnOlderProgramRefusesNewerTables(t *testing.T) {
	s := open(t)
	execute(t, s, "INSERT INTO schema_migrations VALUES (9999, 'later', repeat('0', 64), now())")
	for name, call := range map[string]func() error{
		"Migrate": func() error { return s.Migrate(t.Context()) },
		"Pending": func() error { _, err := s.Pending(t.Context()); return err },
	} {
		if err := call(); !errors.Is(err, ErrNewer) || Temporary(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTablesOfAnotherBuildAreRefused(t *testing.T) {
	s := open(t)
	execute(t, s, "INSERT INTO schema_migrations VALUES (1, 'events', repeat('0', 64), now() + 1)")
	if err := s.Migrate(t.Context()); err == nil || Temporary(err) || !strings.Contains(err.Error(), "another build") {
		t.Error(err)
	}
}

func TestRetentionCountsFromThePin(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for i, age := range []schema.Day{0, 10, 100} {
		rows := &schema.UsageRows{}
		for _, res := range []schema.Resolution{schema.Minute, schema.Hourly, schema.Daily} {
			usageKey := schema.UsageKey{Partner: strangers[i], Capability: "c", Action: schema.Read}
			add(rows, res, 86400*365, usageKey, schema.Counters{Accesses: 1}) // an event of 1971
		}
		r := batch(int64(i)*10, int64(i)*10+10)
		r.Pinned -= age
		if err := s.InsertUsage(ctx, schema.Marker{Range: r}, rows); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertAccess(ctx, r, accessRows(5)); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want string) {
		t.Helper()
		execute(t, s, "OPTIMIZE TABLE usage FINAL")
		execute(t, s, "OPTIMIZE TABLE access_events FINAL")
		got := value[string](t, s, `SELECT toString((
			(SELECT sum(accesses) FROM usage WHERE resolution = 'minute'),
			(SELECT sum(accesses) FROM usage WHERE resolution = 'hour'),
			(SELECT sum(accesses) FROM usage WHERE resolution = 'day'),
			(SELECT count() FROM usage WHERE kind = 'range'),
			(SELECT max(to_offset) FROM usage WHERE kind = 'month'),
			(SELECT count() FROM access_events)))`)
		if got != want {
			t.Errorf("kept %s, want %s", got, want)
		}
	}
	kept("(2,3,3,2,30,10)")
	for range 2 {
		if err := s.SetRetention(ctx, Retention{Raw: 9, Minutes: 8, Hours: 50, Rejects: 7}); err != nil {
			t.Fatal(err)
		}
		kept("(1,2,3,1,30,5)")
	}
	if err := s.SetRetention(ctx, Retention{Raw: 9, Minutes: 8, Hours: 50}); err == nil || Temporary(err) {
		t.Errorf("a retention of 0 days: %v", err)
	}
}

func TestStatementsForACluster(t *testing.T) {
	f := func(statement, want string) {
		t.Helper()
		if got := onServers(statement, "c1"); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		if got := onServers(statement, ""); got != statement {
			t.Errorf("without a cluster the statement became\n%s", got)
		}
	}
	f("CREATE TABLE IF NOT EXISTS usage\n(\n x Int8\n)\nENGINE = AggregatingMergeTree\nORDER BY x\nSETTINGS non_replicated_deduplication_window = 10000",
		"CREATE TABLE IF NOT EXISTS usage ON CLUSTER `c1`\n(\n x Int8\n)\nENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')\nORDER BY x\nSETTINGS replicated_deduplication_window = 10000")
	f("CREATE TABLE IF NOT EXISTS findings_log\n(\n)\nENGINE = ReplacingMergeTree(version)\nORDER BY id",
		"CREATE TABLE IF NOT EXISTS findings_log ON CLUSTER `c1`\n(\n)\nENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', version)\nORDER BY id")
	f("CREATE OR REPLACE VIEW findings\n(\n)\nAS SELECT 1", "CREATE OR REPLACE VIEW findings ON CLUSTER `c1`\n(\n)\nAS SELECT 1")
	all, err := schema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for _, statement := range m.Statements {
			if made := onServers(statement, "c1"); !strings.Contains(made, "ON CLUSTER `c1`") ||
				strings.Contains(statement, "MergeTree") != strings.Contains(made, "= Replicated") {
				t.Errorf("migration %d has a statement that a cluster would not get:\n%s", m.Number, made)
			}
		}
	}
}

func TestWhatIsWrongIsSaidWithinTenSeconds(t *testing.T) {
	address, _ := embeddedtest.Engine(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	f := func(cfg Config, temporary bool, want string) {
		t.Helper()
		before := time.Now()
		s, err := Open(t.Context(), cfg)
		if err == nil {
			err = s.Close()
			t.Errorf("opened; closing: %v", err)
			return
		}
		if took := time.Since(before); took > 10*time.Second {
			t.Errorf("took %v: %v", took, err)
		}
		if Temporary(err) != temporary || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("temporary %v: %v; want %v and %q in one line", Temporary(err), err, temporary, want)
		}
	}
	f(Config{Addresses: []string{"127.0.0.1:1"}, Database: "overreach"}, true, "127.0.0.1:1")
	f(Config{Addresses: []string{silent.Addr().String()}, Database: "overreach"}, true, "no answer")
	f(Config{Addresses: []string{address}, Password: embeddedtest.Password, Database: "nowhere"}, false, "overreach migrate")

	s := connect(t, address)
	_, _, err = s.Counted(t.Context(), schema.Partition{})
	if err == nil || Temporary(err) || !strings.Contains(err.Error(), "overreach migrate") {
		t.Errorf("a missing table: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = s.Counted(ended, schema.Partition{}); err == nil || Temporary(err) {
		t.Errorf("a call that its caller ended: %v", err)
	}
	if Temporary(nil) {
		t.Error("no error is temporary")
	}
}

func TestWhatPassesByItselfIsTemporary(t *testing.T) {
	s := &Store{where: "ClickHouse at h:9000, database d"}
	for code, want := range map[int32]struct {
		temporary bool
		words     string
	}{
		codeWrongPassword: {false, "user or password is wrong"},
		codeAuthFailed:    {false, "user or password is wrong"},
		codeAccessDenied:  {false, "GRANT"},
		codeUnknownColumn: {false, "overreach migrate"},
		62:                {false, ""}, // syntax
		159:               {true, ""},  // timeout
		241:               {true, ""},  // memory
		252:               {true, ""},  // too many parts
		999:               {true, ""},  // keeper
	} {
		err := fmt.Errorf("reading: %w", s.explain(&clickhouse.Exception{Code: code, Message: "m"}))
		if Temporary(err) != want.temporary || !strings.Contains(err.Error(), want.words) || !strings.Contains(err.Error(), s.where) {
			t.Errorf("code %d: temporary %v: %v", code, Temporary(err), err)
		}
	}
	for code, want := range map[int32]string{252: "too_many_parts", 62: "code_62"} {
		var kind interface{ Kind() string }
		err := fmt.Errorf("inserting: %w", s.explain(&clickhouse.Exception{Code: code, Message: "of h:9000"}))
		if !errors.As(err, &kind) || kind.Kind() != want {
			t.Errorf("code %d: %v is of another kind than %s", code, err, want)
		}
	}
	if !Temporary(s.explain(context.DeadlineExceeded)) || !Temporary(s.explain(io.ErrUnexpectedEOF)) {
		t.Error("a broken connection or a deadline is temporary")
	}
	if Temporary(s.explain(&tls.CertificateVerificationError{Err: errors.New("unknown authority")})) {
		t.Error("a wrong certificate does not pass by itself")
	}
}
