package store

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// Of texts, numbers and times ClickHouse's formats come out as ClickHouse writes them.
func TestAFormatOfClickHouseIsWrittenAsClickHouseDoes(t *testing.T) {
	native, web := embeddedtest.Engine(t)
	s := connect(t, native)
	const sql = `SELECT number AS n, if(number = 1, 'it''s "a\tb"', 'plain') AS text, if(number = 0, NULL, number) AS maybe, toDate('2018-12-18') AS day,
		toDateTime64('2018-12-18 01:02:03.450', 3, 'UTC') AS ms, 1.5 AS f, true AS yes, toInt32(-7) AS minus FROM numbers(3)`
	for _, format := range []string{
		"TabSeparated", "TSV", "tsv", "TabSeparatedWithNames", "tsvWithNamesAndTypes", "CSV", "csvwithnames", "CSVWithNamesAndTypes",
		"JSONEachRow", "JSONLines", "jsonCompactEachRow", "Null",
	} {
		res, err := http.Post("http://"+web+"/?user=default&password="+url.QueryEscape(embeddedtest.Password), "", strings.NewReader(sql+" FORMAT "+format))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(res.Body)
		if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", format, want, err)
		}
		var b strings.Builder
		if err := s.Query(t.Context(), sql+" FORMAT "+format, &b, JSON); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if b.String() != string(want) {
			t.Errorf("%s is\n%s\nClickHouse writes\n%s", format, b.String(), want)
		}
	}
}

func TestFormatsForPeopleAreTables(t *testing.T) {
	s := open(t)
	f := func(format, want string) {
		t.Helper()
		as, known := ParseFormat(format)
		if !known {
			t.Fatalf("%s is unknown", format)
		}
		var b strings.Builder
		sql := "SELECT number + 9 AS n, if(number = 0, 'a|b\x1b', NULL) AS text FROM numbers(2)"
		if err := s.Query(t.Context(), sql, &b, as); err != nil || b.String() != want {
			t.Errorf("%s, %v:\n%s\nwant\n%s", format, err, b.String(), want)
		}
	}
	f("PrettyCompact", "┌────┬─────────┐\n│  n │ text    │\n├────┼─────────┤\n│  9 │ a|b\\x1b │\n│ 10 │ ᴺᵁᴸᴸ    │\n└────┴─────────┘\n")
	f("pretty", "┌────┬─────────┐\n│  n │ text    │\n├────┼─────────┤\n│  9 │ a|b\\x1b │\n├────┼─────────┤\n│ 10 │ ᴺᵁᴸᴸ    │\n└────┴─────────┘\n")
	f("Vertical", "Row 1:\n──────\nn:    9\ntext: a|b\\x1b\n\nRow 2:\n──────\nn:    10\ntext: ᴺᵁᴸᴸ\n")
	f("Markdown", "| n | text |\n| :- | :- |\n| 9 | a\\|b\\x1b |\n| 10 | NULL |\n")
	f("JSON", `{
	"meta":
	[
		{"name": "n", "type": "UInt64"},
		{"name": "text", "type": "Nullable(String)"}
	],

	"data":
	[
		{"n":9,"text":"a|b\u001b"},
		{"n":10,"text":null}
	],

	"rows": 2
}
`)
}

func TestAFormatClauseIsFoundWhereItIsOne(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1 FORMAT CSV":                              "CSV",
		"select 1 format csv;":                             "csv",
		"SELECT * FORMAT JSON SETTINGS max_threads = 1":    "JSON",
		"SELECT 1 FORMAT\n  TSV -- as tabs":                "TSV",
		"SELECT 1 FORMAT /* which? */ TSV":                 "TSV",
		"SELECT ' FORMAT CSV'":                             "",
		"SELECT 1 -- FORMAT CSV":                           "",
		"SELECT 1 AS format":                               "",
		"SELECT format FROM t":                             "",
		"SELECT a, format b":                               "",
		"SELECT * FROM (SELECT 1 FORMAT CSV)":              "",
		"SELECT 'it\\'s' FORMAT CSV":                       "CSV",
		"INSERT INTO t SELECT 1 SETTINGS a = 'FORMAT CSV'": "",
		"": "",
	} {
		if got, ok := formatClause(sql); got != want || ok != (want != "") {
			t.Errorf("%q names %q, want %q", sql, got, want)
		}
	}
}

func TestAFormatThatIsNotWrittenIsRefused(t *testing.T) {
	s := open(t)
	var b strings.Builder
	err := s.Query(t.Context(), "SELECT 1 FORMAT Parquet", &b, TSV)
	if err == nil || !strings.Contains(err.Error(), "FORMAT Parquet of the statement is not written here: expected one of CSV, CSVWithNames") || b.Len() > 0 {
		t.Error(err, b.String())
	}
}
