package main

import (
	"slices"
	"strings"
	"testing"
)

func TestStatementsAreReadAsFarAsAServerNeeds(t *testing.T) {
	f := func(query, verb, format, rest string) {
		t.Helper()
		st, err := parseStatement(query)
		if err != nil || st.insert != nil {
			t.Errorf("%q: %+v, %v", query, st, err)
			return
		}
		if got := strings.TrimSpace(st.withoutFormat()); st.verb != verb || st.format != format || got != rest {
			t.Errorf("%q: verb %q, format %q, text %q; want %q, %q, %q", query, st.verb, st.format, got, verb, format, rest)
		}
	}
	f("SELECT 1", "SELECT", "", "SELECT 1")
	f("select 1 ;", "SELECT", "", "select 1")
	f("SELECT 1 FORMAT JSON", "SELECT", "JSON", "SELECT 1")
	f("SELECT * format TSV;", "SELECT", "TSV", "SELECT *")
	f("-- FORMAT X\nSELECT 'FORMAT Y' /* FORMAT Z */", "SELECT", "", "-- FORMAT X\nSELECT 'FORMAT Y' /* FORMAT Z */")
	f("SELECT ';' FORMAT CSV SETTINGS max_threads = 1", "SELECT", "CSV", "SELECT ';'  SETTINGS max_threads = 1")
	f("SELECT format FROM t", "SELECT", "", "SELECT format FROM t")
	f("SELECT a format FROM t", "SELECT", "", "SELECT a format FROM t")
	f("SELECT a FROM (SELECT 1 AS a)", "SELECT", "", "SELECT a FROM (SELECT 1 AS a)")
	f("(SELECT 1) UNION ALL (SELECT 2)", "(", "", "(SELECT 1) UNION ALL (SELECT 2)")
	f("INSERT INTO t SELECT 1", "INSERT", "", "INSERT INTO t SELECT 1")
	f("INSERT INTO t (a, b) SELECT 1, 2", "INSERT", "", "INSERT INTO t (a, b) SELECT 1, 2")
	f("INSERT INTO t (SELECT 1)", "INSERT", "", "INSERT INTO t (SELECT 1)")
	f("INSERT INTO FUNCTION null('a Int8') VALUES (1)", "INSERT", "", "INSERT INTO FUNCTION null('a Int8') VALUES (1)")
	for _, query := range []string{"", "  -- nothing\n", "SELECT 1; SELECT 2"} {
		if st, err := parseStatement(query); err == nil {
			t.Errorf("%q was read as %+v", query, st)
		}
	}
}

func TestInsertsWithRowsAreRead(t *testing.T) {
	f := func(query, table string, columns []string, settings, format, data string) {
		t.Helper()
		st, err := parseStatement(query)
		if err != nil || st.insert == nil {
			t.Errorf("%q: %+v, %v", query, st, err)
			return
		}
		i := st.insert
		if i.table != table || !slices.Equal(i.columns, columns) || i.settings != settings || i.format != format || i.data != data {
			t.Errorf("%q: %+v", query, *i)
		}
	}
	f("INSERT INTO t FORMAT Native", "t", nil, "", "Native", "")
	f("insert into t values", "t", nil, "", "Values", "")
	f("INSERT INTO db.`my t` (a, `b c`, \"d\"\"e\") VALUES ", "db.`my t`", []string{"a", "b c", `d"e`}, "", "Values", "")
	f("INSERT INTO TABLE t (a) SETTINGS x = 1, y = 'VALUES' FORMAT TSV\n1\n", "t", []string{"a"}, "SETTINGS x = 1, y = 'VALUES'", "TSV", "1\n")
	f("INSERT INTO t VALUES (1, 'a;b'), (2, '')", "t", nil, "", "Values", "(1, 'a;b'), (2, '')")
	f("INSERT INTO t FORMAT Native\n\x00\n'\xff", "t", nil, "", "Native", "\x00\n'\xff")
	f("INSERT INTO t", "t", nil, "", "", "")
	f("INSERT INTO t (a);", "t", []string{"a"}, "", "", "")
	f("INSERT INTO t FORMAT TSV\n\n", "t", nil, "", "TSV", "")
}

func TestQuotingIsUndoneByTheEngine(t *testing.T) {
	s := openSession(t)
	for _, text := range []string{"", "plain", "it's", `\`, `\'`, "a\nb\tc\x00d", "ünï", "--", "'; DROP TABLE x"} {
		if got, err := s.text("SELECT hex(" + quote(text) + ") = hex(base64Decode(base64Encode(" + quote(text) + "))), length(" + quote(text) + ")"); err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		got, err := s.run("SELECT "+quote(text)+" AS "+quoteName("a`b\\"+strings.ReplaceAll(text, "\x00", "")), "RowBinary")
		if err != nil || string(got.data()[1:]) != text {
			t.Errorf("%q came back as %q, %v", text, got.data(), err)
		}
		got.free()
	}
}

func FuzzStatements(f *testing.F) {
	for _, query := range []string{
		"SELECT 1", "INSERT INTO t (a) VALUES (1)", "INSERT INTO t.", "INSERT INTO t (", "INSERT", "INSERT INTO", "$x$ a $x$", "'", "`", "/*", "FORMAT", "a FORMAT b", ";",
		"INSERT INTO TABLE", "INSERT INTO t SETTINGS", "INSERT INTO t FORMAT",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		at := 0
		for _, tok := range tokens(query) {
			if tok.from < at || tok.to <= tok.from || tok.to > len(query) {
				t.Fatalf("%q: token %v after %d", query, tok, at)
			}
			at = tok.to
		}
		st, err := parseStatement(query)
		if err != nil {
			return
		}
		_ = st.withoutFormat()
		if st.insert != nil && !strings.HasSuffix(query, st.insert.data) {
			t.Errorf("%q: the rows %q are not its end", query, st.insert.data)
		}
	})
}

func TestExceptionsAreReadFromTheEnginesText(t *testing.T) {
	e := parseException("Code: 241. DB::Exception: Code: 241. DB::Exception: limit (x) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.5.1.1). (MEMORY_LIMIT_EXCEEDED)\n")
	if e.code != 241 || e.name != "MEMORY_LIMIT_EXCEEDED" || !strings.HasPrefix(e.text, "DB::Exception: limit (x)") {
		t.Errorf("got %+v", e)
	}
	if e := parseException("something else"); e.code != codeUnknown || e.text != "DB::Exception: something else" {
		t.Errorf("got %+v", e)
	}
}
