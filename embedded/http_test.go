package embedded_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/embedded/embeddedtest"
)

func TestHTTPAnswersLikeClickHouse(t *testing.T) {
	_, addr := embeddedtest.Engine(t)
	f := func(method, params, body string, status int, want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/?"+params, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(embedded.User, embeddedtest.Password)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s %s %q: %d %q (%v), want %d %q", method, params, body, resp.StatusCode, got, err, status, want)
		}
	}
	q := func(query string) string { return "query=" + url.QueryEscape(query) }
	f("GET", "", "", 200, "Ok.\n")
	f("POST", "", "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a", 200, "")
	f("POST", q("INSERT INTO t FORMAT TSV"), "1\tone\n2\ttwo\n", 200, "")
	f("POST", "", "INSERT INTO t (a, s) FORMAT JSONEachRow\n{\"a\":3,\"s\":\"three\"}\n", 200, "")
	f("POST", "", "INSERT INTO t VALUES (4, 'four;')", 200, "")
	f("POST", q("INSERT INTO t VALUES"), "(5, 'five')", 200, "")
	f("GET", q("SELECT * FROM t ORDER BY a"), "", 200, "1\tone\n2\ttwo\n3\tthree\n4\tfour;\n5\tfive\n")
	f("GET", "default_format=CSVWithNames&"+q("SELECT a FROM t WHERE a = {x:UInt64}")+"&param_x=2", "", 200, "\"a\"\n2\n")
	f("POST", "database=system", "SELECT name FROM one LIMIT 0", 404, "Code: 47. DB::Exception: ")
	f("GET", q("SELECT * FROM nosuch"), "", 404, "Code: 60. DB::Exception: ")
	f("POST", "", "SELEC", 400, "Code: 62. DB::Exception: ")
	f("POST", "max_threads=1", "SELECT getSetting('max_threads')", 200, "1\n")
	f("POST", "nosuch=1", "SELECT 1", 404, "Code: 115. DB::Exception: ")
	f("GET", q("DROP TABLE t"), "", 500, "Code: 164. DB::Exception: ")
	f("POST", "", "SELECT count() FROM t FORMAT JSONCompactEachRow", 200, "[5]\n")
}

func TestHTTPSpeaksTheNativeCompression(t *testing.T) {
	_, addr := embeddedtest.Engine(t)
	pack := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := pack.Compress([]byte("SELECT number FROM numbers(3) FORMAT CSV")); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/?compress=1&decompress=1&wait_end_of_query=1", bytes.NewReader(pack.Data))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(embedded.User, embeddedtest.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	packed, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("0\n1\n2\n"))
	if _, err := io.ReadFull(compress.NewReader(bytes.NewReader(packed)), got); err != nil || string(got) != "0\n1\n2\n" {
		t.Errorf("status %d: %q (%v) of %q", resp.StatusCode, got, err, packed)
	}
	var summary map[string]string
	if err := json.Unmarshal([]byte(resp.Header.Get("X-ClickHouse-Summary")), &summary); err != nil || summary["result_rows"] != "3" || summary["elapsed_ns"] == "" {
		t.Errorf("the summary is %v (%v)", summary, err)
	}
}

func TestHTTPRefusesPagesFromElsewhere(t *testing.T) {
	_, addr := embeddedtest.Engine(t)
	f := func(host, origin string, status int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Origin", origin)
		req.SetBasicAuth(embedded.User, embeddedtest.Password)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("host %q, origin %q: status %d, want %d", host, origin, resp.StatusCode, status)
		}
	}
	f(addr, "", 200)
	f("localhost:8123", "http://localhost:3000", 200)
	f(addr, "https://example.com", 403)
	f(addr, "null", 403)
	f("example.com", "", 403)
}
