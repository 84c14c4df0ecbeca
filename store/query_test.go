package store

import (
	"strings"
	"testing"

	"github.com/overreach/overreach/schema"
)

func TestQueryWritesEveryTypeInEveryFormat(t *testing.T) {
	s := open(t)
	f := func(sql string, format Format, want string) {
		t.Helper()
		var b strings.Builder
		if err := s.Query(t.Context(), sql, &b, format); err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		if b.String() != want {
			t.Errorf("%s as %s:\n%s\nwant:\n%s", sql, format, b.String(), want)
		}
	}
	const many = `SELECT number AS n, 'it''s\ta\\b\n' AS s, if(number = 0, NULL, number) AS maybe, toDate('2018-12-18') AS d,
		toDateTime('2018-12-18 01:02:03', 'UTC') AS at, toDateTime64('2018-12-18 01:02:03.450', 3, 'UTC') AS ms, [number, 2] AS list,
		CAST((1, 'x'), 'Tuple(a UInt8, b String)') AS pair, toUInt128('340282366920938463463374607431768211455') AS big, 1.5 AS f,
		true AS yes, CAST('read', 'Enum8(\'read\' = 1)') AS e, toLowCardinality('lc') AS lc, NULL AS nothing FROM numbers(2)`
	f(many, TSV, "n\ts\tmaybe\td\tat\tms\tlist\tpair\tbig\tf\tyes\te\tlc\tnothing\n"+
		"0\tit's\\ta\\\\b\\n\t\\N\t2018-12-18\t2018-12-18 01:02:03\t2018-12-18 01:02:03.450\t[0,2]\t{\"a\":1,\"b\":\"x\"}\t340282366920938463463374607431768211455\t1.5\ttrue\tread\tlc\t\\N\n"+
		"1\tit's\\ta\\\\b\\n\t1\t2018-12-18\t2018-12-18 01:02:03\t2018-12-18 01:02:03.450\t[1,2]\t{\"a\":1,\"b\":\"x\"}\t340282366920938463463374607431768211455\t1.5\ttrue\tread\tlc\t\\N\n")
	f(many+" LIMIT 1", JSON, `{"n":0,"s":"it's\ta\\b\n","maybe":null,"d":"2018-12-18","at":"2018-12-18 01:02:03","ms":"2018-12-18 01:02:03.450",`+
		`"list":[0,2],"pair":{"a":1,"b":"x"},"big":340282366920938463463374607431768211455,"f":1.5,"yes":true,"e":"read","lc":"lc","nothing":null}`+"\n")
	f("SELECT if(number = 0, 'a', 'longer') AS name, if(number = 0, '\x1b[31mred\n☃', 'b') AS text FROM numbers(2)", Table,
		"name    text\na       \\x1b[31mred\\x0a☃\nlonger  b\n")
	f("SELECT nan AS x, -inf AS y", JSON, `{"x":"NaN","y":"-Inf"}`+"\n")
	f("SELECT 1 AS x WHERE 0", TSV, "x\n")
	f("SELECT 1 AS x WHERE 0", JSON, "")
	f("CREATE TABLE t (x Int8) ENGINE = Memory", TSV, "")
	const nullable = `SELECT toNullable(toDate('2018-12-18')) AS d, toNullable(toDateTime64('2018-12-18 01:02:03.450', 3, 'UTC')) AS ms,
		CAST(NULL, 'Nullable(DateTime(\'UTC\'))') AS none`
	f(nullable, TSV, "d\tms\tnone\n2018-12-18\t2018-12-18 01:02:03.450\t\\N\n")
	f(nullable, JSON, `{"d":"2018-12-18","ms":"2018-12-18 01:02:03.450","none":null}`+"\n")
	f("SELECT groupArray((toDateTime('2018-12-18 01:02:03', 'UTC'), 'x')) AS list", JSON, `{"list":[["2018-12-18 01:02:03","x"]]}`+"\n")
}

func TestQueryReadsFindings(t *testing.T) {
	s := open(t)
	if err := s.WriteFindings(t.Context(), []schema.Finding{fullFinding()}, schema.Version{}); err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{TSV, JSON, Table} {
		var b strings.Builder
		if err := s.Query(t.Context(), "SELECT * FROM findings", &b, format); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"a'b", "usual_people", "2.5", "2018-12-18 05:00:00.123", "28 closed days"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", format, want, b.String())
			}
		}
	}
}

func TestQuerySaysWhatIsWrong(t *testing.T) {
	s := open(t)
	var b strings.Builder
	if err := s.Query(t.Context(), "SELEC 1", &b, TSV); err == nil || b.Len() > 0 || Temporary(err) {
		t.Errorf("a syntax error: %v, %q", err, b.String())
	}
	if err := s.Query(t.Context(), "SELECT x FROM nowhere", &b, TSV); err == nil || strings.Contains(err.Error(), "migrate") {
		t.Errorf("a table of the user's own that is missing: %v", err)
	}
	if err := s.Query(t.Context(), "SELECT 1", &b, "xml"); err == nil || !strings.Contains(err.Error(), "expected one of tsv, json, table, CSV, ") {
		t.Errorf("an unknown format: %v", err)
	}
	if err := s.Query(t.Context(), "SELECT throwIf(number = 150000) FROM numbers(200000)", &b, TSV); err == nil {
		t.Error("a query that fails in its middle is no success")
	}
}
