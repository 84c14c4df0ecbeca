package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

// Codes of ClickHouse that a closed door answers with.
const (
	accessDenied         = 497
	settingViolated      = 452
	authenticationFailed = 516
)

// ask is a statement over one of the protocols; code is ClickHouse's, 0 where
// it ran.
type ask func(statement string) (answer string, code int)

func askHTTP(t *testing.T, addr string) ask {
	return func(statement string) (string, int) {
		t.Helper()
		status, code, body := post(t, addr, "", embedded.User, embeddedtest.Password, statement)
		if (status == http.StatusOK) != (code == 0) {
			t.Errorf("%s: status %d with code %d: %s", statement, status, code, body)
		}
		return body, code
	}
}

func post(t *testing.T, addr, params, user, password, statement string) (status, code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/?"+params, strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Sscan(resp.Header.Get("X-ClickHouse-Exception-Code"), &code) // absent: none
	return resp.StatusCode, code, string(text)
}

func askNative(t *testing.T, addr string) ask {
	conn := connect(t, addr)
	return func(statement string) (string, int) {
		t.Helper()
		err := conn.Exec(t.Context(), statement)
		var told *clickhouse.Exception
		switch {
		case err == nil:
			return "", 0
		case errors.As(err, &told):
			return told.Message, int(told.Code)
		default:
			t.Errorf("%s: %v", statement, err)
			return "", -1
		}
	}
}

// listed are the values of a column, from the library itself.
func listed(t *testing.T, addr, query string) []string {
	t.Helper()
	text, code := askHTTP(t, addr)(query)
	all := strings.Fields(text)
	if code != 0 || len(all) == 0 {
		t.Fatalf("%s: %s", query, text)
	}
	return all
}

// What a client may use; anything else that the library lists must be refused.
var (
	openFunctions = " generateRandom generateSeries generate_series merge mergeTreeIndex mergeTreeProjection null numbers numbers_mt primes values view zeros zeros_mt "
	openEngines   = " AggregatingMergeTree Buffer CoalescingMergeTree CollapsingMergeTree Join Log MaterializedView Memory Merge MergeTree Null " +
		"ReplacingMergeTree Set StripeLog SummingMergeTree TinyLog VersionedCollapsingMergeTree View "
	// ClickHouse's documentation lists the sources of dictionaries; no table of the library does. Every one is refused, so also the last, which there is not.
	dictionarySources = []string{"FILE(PATH '%s' FORMAT TSV)", "EXECUTABLE(COMMAND 'cat %s' FORMAT TSV)", "EXECUTABLE_POOL(COMMAND 'cat %s' FORMAT TSV)",
		"HTTP(URL 'http://127.0.0.1:1/%s' FORMAT TSV)", "CLICKHOUSE(TABLE 'secret')", "CLICKHOUSE(HOST '127.0.0.1' TABLE '%s')", "MYSQL(HOST '%s')",
		"POSTGRESQL(HOST '%s')", "MONGODB(HOST '%s')", "REDIS(HOST '%s')", "CASSANDRA(HOST '%s')", "ODBC(CONNECTION_STRING '%s')", "JDBC(URL '%s')",
		"LIBRARY(PATH '%s')", "YAMLREGEXPTREE(PATH '%s')", "YTSAURUS(PATH '%s')", "NULL()", "LATER(PATH '%s')"}
)

// escapes are statements that lead out of the folder; %[1]s is a file that must
// not be read, %[2]s one that must not be written.
var escapes = []string{
	"SELECT * FROM file('%[1]s', LineAsString)", "select * from FiLe /* x */ ('%[1]s', LineAsString)", "SELECT * FROM `file`('%[1]s', 'LineAsString')",
	"SELECT * FROM \"file\"('%[1]s', 'LineAsString')", "SELECT * FROM--\nfile('%[1]s', LineAsString)", "SELECT * FROM # x\nfile('%[1]s', LineAsString)",
	"SELECT * FROM file(‘%[1]s’, ‘LineAsString’)", "SELECT * FROM “file”('%[1]s', 'LineAsString')", "SELECT * FROM file($$%[1]s$$, LineAsString)",
	"SELECT * FROM (SELECT * FROM (SELECT * FROM file('%[1]s', LineAsString)))", "WITH x AS (SELECT * FROM file('%[1]s', LineAsString)) SELECT * FROM x",
	"SELECT 1 WHERE 'x' IN (SELECT * FROM file('%[1]s', LineAsString))", "SELECT (SELECT any(line) FROM file('%[1]s', LineAsString))",
	"SELECT * FROM '%[1]s'", "SELECT * FROM `%[1]s`", "SELECT * FROM view(SELECT * FROM file('%[1]s', LineAsString))",
	"DESCRIBE TABLE file('%[1]s', LineAsString)", "EXPLAIN SELECT * FROM file('%[1]s', LineAsString)", "EXPLAIN ESTIMATE SELECT * FROM file('%[1]s', LineAsString)",
	"CREATE VIEW v AS SELECT * FROM file('%[1]s', LineAsString)", "CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT * FROM file('%[1]s', LineAsString)",
	"CREATE TABLE x AS file('%[1]s', LineAsString)", "CREATE TABLE x ENGINE = Memory AS SELECT * FROM file('%[1]s', LineAsString)",
	"CREATE TABLE x (line String) ENGINE = File(LineAsString, '%[1]s')", "CREATE TABLE x (line String) /**/ engine /**/ `File`(LineAsString, '%[1]s')",
	"CREATE TABLE x (a String DEFAULT file('%[1]s')) ENGINE = Memory", "CREATE TABLE x (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '%[2]s')",
	"CREATE TABLE x (a String) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'", "ALTER TABLE secret MODIFY SETTING storage_policy = 'x'",
	"CREATE DATABASE x ENGINE = Filesystem('/')", "CREATE DATABASE x ENGINE = SQLite('%[1]s')", "CREATE DATABASE x ENGINE = Overlay('default')", "CREATE DATABASE x ENGINE = Backup('x', File('%[1]s'))",
	"INSERT INTO secret SELECT * FROM file('%[1]s', LineAsString)", "INSERT INTO FUNCTION file('%[2]s', TSV, 'a String') SELECT 'x'", "INSERT INTO TABLE FUNCTION file('%[2]s', TSV, 'a String') SELECT 'x'",
	"INSERT INTO FUNCTION file('%[2]s', TSV, 'a String') VALUES ('x')",
	"SELECT 1 INTO OUTFILE '%[2]s'", "SELECT 1 into/**/outfile '%[2]s' TRUNCATE FORMAT TSV", "SELECT 1 INTO OUTFILE '%[2]s' AND STDOUT", "SHOW TABLES INTO OUTFILE '%[2]s'",
	"INSERT INTO secret FROM INFILE '%[1]s' FORMAT LineAsString", "INSERT INTO secret SETTINGS max_threads = 1 FROM INFILE '%[1]s' FORMAT LineAsString",
	"INSERT INTO secret FROM INFILE '/proc/self/fd/*' FORMAT LineAsString", "SELECT * FROM file('/proc/self/environ', LineAsString)",
	"SELECT file('%[1]s')", "SELECT `file`('%[1]s')", "SELECT * FROM format(Values, 'x String', '(file(\\'%[1]s\\'))')", "SELECT * FROM format('Values', 'x String', '(file(\\'%[1]s\\'))')",
	"SELECT * FROM format(concat('Val', 'ues'), 'x String', '(1)')", "SELECT catboostEvaluate('%[1]s', 1)",
	"SELECT * FROM executable('x', TSV, 'a String')", "CREATE TABLE x (a String) ENGINE = Executable('x', TSV)", "CREATE FUNCTION f AS (x) -> file('%[1]s')", "CREATE FUNCTION f AS (x) -> x",
	"BACKUP TABLE secret TO File('%[2]s')", "BACKUP DATABASE default TO Disk('default', 'x')", "BACKUP ALL TO Memory('x')", "RESTORE TABLE secret FROM File('%[1]s')",
	"ATTACH TABLE x FROM '%[1]s' (a String) ENGINE = MergeTree ORDER BY a", "ATTACH TABLE x (a String) ENGINE = File(TSV, '%[1]s')", "ATTACH DATABASE x ENGINE = Filesystem('/')", "DETACH TABLE secret",
	"ALTER TABLE secret FETCH PARTITION tuple() FROM '/x'", "ALTER TABLE secret FREEZE",
	"SYSTEM SHUTDOWN", "SYSTEM KILL", "SYSTEM RELOAD CONFIG", "SYSTEM FLUSH LOGS", "SYSTEM STOP LISTEN HTTP", "SYSTEM ENABLE FAILPOINT x",
	"CREATE USER u", "GRANT ALL ON *.* TO default", "GRANT FILE ON *.* TO default", "CREATE ROLE r", "CREATE NAMED COLLECTION c AS a = 1", "CREATE SETTINGS PROFILE p", "EXECUTE AS default SELECT 1",
	"SELECT 1 PARALLEL WITH SELECT 1", "SET dialect = 'kusto'", "SELECT 1 SETTINGS dialect = 'prql'",
	"SELECT 1 FORMAT Template SETTINGS format_template_resultset = '%[1]s'", "SET format_template_row = '%[1]s'", "SET format_schema = '%[1]s:x'", "SET output_format_schema = '%[2]s'",
	"SET input_format_record_errors_file_path = '%[2]s'", "SET additional_table_filters = {'secret': 'a = file(\\'%[1]s\\')'}", "SET additional_result_filter = 'file(\\'%[1]s\\') = 1'",
	"SET max_threads = 1, format_schema = '%[1]s:x'", "SELECT 1 SETTINGS max_threads = 1, `format_schema` = '%[1]s:x'",
	"SELECT * FROM arrowstream('%[1]s')", "SELECT * FROM sqlite('%[1]s', 't')", "SELECT aiGenerate('c', 'x')",
}

// escapesInRows are rows of VALUES that would read a file, or a function's answer.
var escapesInRows = []string{"(file('%[1]s'))", "(`file` /**/ ('%[1]s'))", "((SELECT any(line) FROM file('%[1]s', LineAsString)))", "((SELECT x FROM format(Values, 'x String', '(file(\\'%[1]s\\'))')))"}

func TestNothingButTheFoldersTablesIsReadOrWritten(t *testing.T) {
	dir := t.TempDir()
	e := embeddedtest.StartEngine(t, embedded.EngineConfig{Dir: filepath.Join(dir, "clickhouse")})
	in, out := filepath.Join(dir, "hash.key"), filepath.Join(dir, "stolen")
	if err := os.WriteFile(in, []byte("THE-KEY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	statements := []string{}
	for _, name := range listed(t, e.HTTPAddr(), "SELECT name FROM system.table_functions") {
		if !strings.Contains(openFunctions, " "+name+" ") {
			statements = append(statements, "SELECT * FROM "+name+"('%[1]s')", "SELECT * FROM "+name+"()", "CREATE TABLE x AS "+name+"('%[1]s')",
				"INSERT INTO FUNCTION "+name+"('%[2]s', TSV, 'a String') SELECT 'x'", "DESCRIBE TABLE "+name+"('%[1]s')")
		}
	}
	for _, name := range listed(t, e.HTTPAddr(), "SELECT name FROM system.table_engines") {
		if !strings.Contains(openEngines, " "+name+" ") {
			statements = append(statements, "CREATE TABLE x (a String) ENGINE = "+name+"('%[1]s')", "CREATE TABLE x (a String) ENGINE = "+name)
		}
	}
	for _, name := range listed(t, e.HTTPAddr(), "SELECT name FROM system.database_engines") {
		if name != "Atomic" && name != "Memory" {
			statements = append(statements, "CREATE DATABASE x ENGINE = "+name+"('%[1]s')", "CREATE DATABASE x ENGINE = "+name)
		}
	}
	for _, source := range dictionarySources {
		source = strings.ReplaceAll(source, "%s", "%[1]s")
		statements = append(statements, "CREATE DICTIONARY d (a UInt64, b String) PRIMARY KEY a SOURCE("+source+") LAYOUT(FLAT()) LIFETIME(1)")
	}
	statements = append(statements, escapes...)
	for protocol, ask := range map[string]ask{"HTTP": askHTTP(t, e.HTTPAddr()), "native": askNative(t, e.NativeAddr())} {
		if answer, code := ask("CREATE TABLE IF NOT EXISTS secret (a String) ENGINE = MergeTree ORDER BY a"); code != 0 {
			t.Fatal(answer)
		}
		refused := 0
		for _, statement := range statements {
			statement = written(statement, in, out)
			answer, code := ask(statement)
			switch {
			case code == 0, strings.Contains(answer, "THE-KEY"):
				t.Errorf("%s: %s was answered: %s", protocol, statement, answer)
			case code == accessDenied && strings.Contains(answer, "overreach-engine ") && strings.Contains(answer, "server of your own"):
				refused++
			case code == accessDenied || code == settingViolated: // by the library itself
				refused++
			case code == 62 || code == 48: // it is no statement of the library's, or of this server's
			default:
				t.Errorf("%s: %s reached the engine: %s", protocol, statement, answer)
			}
		}
		for _, rows := range escapesInRows {
			if answer, code := ask(written("INSERT INTO secret VALUES "+rows, in, out)); code == 0 {
				t.Errorf("%s: the rows %s were inserted: %s", protocol, rows, answer)
			}
		}
		if refused < len(statements)*9/10 {
			t.Errorf("%s: %d of %d statements were refused as such", protocol, refused, len(statements))
		}
		if answer, code := ask("INSERT INTO secret VALUES ('file(url(s3'), (lower('X'))"); code == 0 {
			t.Errorf("%s: an expression beside a refused function's name was taken: %s", protocol, answer)
		}
		for _, rows := range []string{"('file(url(s3')", "(lower('X'))"} {
			if answer, code := ask("INSERT INTO secret VALUES " + rows); code != 0 {
				t.Errorf("%s: the rows %s were refused: %s", protocol, rows, answer)
			}
		}
	}
	if got, _ := askHTTP(t, e.HTTPAddr())("SELECT arrayStringConcat(groupUniqArray(a)) FROM secret"); strings.Contains(got, "KEY") {
		t.Errorf("the table holds %s", got)
	}
	if _, err := os.Stat(out); err == nil {
		t.Errorf("%s was written", out)
	}
}

// written fills a statement's files in.
func written(statement, in, out string) string {
	return strings.NewReplacer("%[1]s", in, "%[2]s", out).Replace(statement)
}

func TestSettingsOfTheProtocolsAreHeldAgainstTheSameList(t *testing.T) {
	native, addr := embeddedtest.Engine(t)
	for name, want := range map[string]int{"format_template_row": accessDenied, "dialect": accessDenied, "url_base": accessDenied, "additional_table_filters": accessDenied,
		"max_threads": 0, "log_comment": 0, "compatibility": 0} {
		value := map[string]string{"max_threads": "1", "compatibility": "25.1"}[name]
		if _, code, body := post(t, addr, name+"="+value, embedded.User, embeddedtest.Password, "SELECT 1"); code != want {
			t.Errorf("HTTP: %s gave %d, want %d: %s", name, code, want, body)
		}
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{name: value}))
		var told *clickhouse.Exception
		err := connect(t, native).Exec(ctx, "SELECT 1")
		if errors.As(err, &told) != (want != 0) || told != nil && int(told.Code) != want {
			t.Errorf("native: %s gave %v, want code %d", name, err, want)
		}
	}
}

func TestWhatTheProductUsesStaysOpen(t *testing.T) {
	native, addr := embeddedtest.Engine(t)
	for _, ask := range []ask{askHTTP(t, addr), askNative(t, native)} {
		for _, statement := range []string{
			"CREATE DATABASE IF NOT EXISTS d", "CREATE TABLE d.t (a UInt64, s AggregateFunction(uniqCombined64(14), UInt64)) ENGINE = AggregatingMergeTree ORDER BY a",
			"CREATE VIEW d.v AS SELECT a, uniqCombined64Merge(14)(s) AS n FROM d.t GROUP BY a", "CREATE MATERIALIZED VIEW d.m ENGINE = SummingMergeTree ORDER BY a AS SELECT a FROM d.t",
			"INSERT INTO d.t SELECT number, uniqCombined64State(14)(number) FROM numbers(10) GROUP BY number", "SELECT * FROM d.v", "SELECT format('{}-{}', a, n) FROM d.v",
			"SELECT * FROM merge('d', '^v$')", "SELECT * FROM values('a UInt8', 1, 2)", "SELECT * FROM generateSeries(1, 3)", "ALTER TABLE d.t ADD COLUMN b String", "ALTER TABLE d.t DROP COLUMN b",
			"ALTER TABLE d.t DELETE WHERE a = 1 SETTINGS mutations_sync = 1", "DELETE FROM d.t WHERE a = 2", "ALTER TABLE d.t DROP PARTITION tuple()", "OPTIMIZE TABLE d.t FINAL", "CHECK TABLE d.t",
			"RENAME TABLE d.t TO d.u", "EXCHANGE TABLES d.u AND d.m", "EXCHANGE TABLES d.u AND d.m", "RENAME TABLE d.u TO d.t", "TRUNCATE TABLE d.t", "SHOW CREATE TABLE d.t", "SHOW TABLES FROM d",
			"EXISTS TABLE d.t", "DESCRIBE TABLE d.t", "EXPLAIN SELECT * FROM d.v", "SYSTEM STOP MERGES", "SYSTEM START MERGES", "KILL QUERY WHERE query_id = 'none' ASYNC",
			"SELECT 1 AS file, 2 AS url, 3 AS outfile FORMAT JSON", "SELECT 'INTO OUTFILE \\'x\\'', 'file(1)' -- url('x')", "SELECT * FROM (SELECT 1 AS disk) WHERE disk = 1", "DROP DATABASE d",
		} {
			if answer, code := ask(statement); code != 0 {
				t.Errorf("%s: %s", statement, answer)
			}
		}
	}
}

func TestOnlyTheTokenConnects(t *testing.T) {
	dir := t.TempDir()
	binary, library := embeddedtest.Binary(t), embeddedtest.Library(t)
	e, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{Binary: binary, Library: library, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	password := e.Password()
	info, err := os.Stat(filepath.Join(dir, embedded.PasswordFile))
	if err != nil || info.Mode().Perm() != 0o600 || len(password) < 20 {
		t.Fatalf("the password has %d characters, its file is %v (%v)", len(password), info, err)
	}
	for _, c := range []struct {
		name, user, password, params string
		status, code                 int
	}{
		{name: "none", status: http.StatusForbidden, code: authenticationFailed},
		{name: "wrong", user: "default", password: password + "x", status: http.StatusForbidden, code: authenticationFailed},
		{name: "empty", user: "default", status: http.StatusForbidden, code: authenticationFailed},
		{name: "another's name", user: "admin", password: password, status: http.StatusForbidden, code: authenticationFailed},
		{name: "in the address, wrong", params: "password=x", status: http.StatusForbidden, code: authenticationFailed},
		{name: "twice", user: "default", password: password, params: "password=" + password, status: http.StatusForbidden, code: authenticationFailed},
		{name: "right", user: "default", password: password, status: http.StatusOK},
		{name: "in the address", params: "user=default&password=" + url.QueryEscape(password), status: http.StatusOK},
		{name: "in the address, without a user", params: "password=" + url.QueryEscape(password), status: http.StatusOK},
	} {
		if status, code, body := post(t, e.HTTPAddr(), c.params, c.user, c.password, "SELECT 1"); status != c.status || code != c.code || strings.Contains(body, password) {
			t.Errorf("%s: status %d and code %d, want %d and %d: %s", c.name, status, code, c.status, c.code, body)
		}
	}
	for _, auth := range []clickhouse.Auth{{}, {Password: password + "x"}, {Username: "admin", Password: password}} {
		err := pingNative(t.Context(), e.NativeAddr(), auth)
		var told *clickhouse.Exception
		if !errors.As(err, &told) || told.Code != authenticationFailed {
			t.Errorf("native, user %q, password of %d characters: %v", auth.Username, len(auth.Password), err)
		}
	}
	if err := pingNative(t.Context(), e.NativeAddr(), clickhouse.Auth{Password: password}); err != nil {
		t.Error(err)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{Binary: binary, Library: library, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if again.Password() != password {
		t.Error("the password is another one after a restart")
	}
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
}

func pingNative(ctx context.Context, addr string, auth clickhouse.Auth) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, Auth: auth})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it was only asked
	return conn.Ping(ctx)
}
