package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// The exceptions are those of the engine itself.
func TestAnExceptionKeepsItsCodeAndNameAndTellsNoValueOfARow(t *testing.T) {
	s := open(t)
	const person = "zaphod.beeblebrox@example.org"
	execute(t, s, "CREATE TABLE secret (a String) ENGINE = MergeTree ORDER BY a")
	execute(t, s, "INSERT INTO secret VALUES ('"+person+"')")
	leaking := 0
	for _, c := range []struct {
		sql, name string
		tells     string // of the message
	}{
		{"SELECT toUInt64(a) FROM secret", "CANNOT_PARSE_TEXT", ""},
		{"SELECT toDate(a) FROM secret", "CANNOT_PARSE_DATE", ""},
		{"SELECT toDateTime64(a, 3) FROM secret", "CANNOT_PARSE_DATETIME", ""},
		{"SELECT CAST(a AS Enum8('x' = 1)) FROM secret", "UNKNOWN_ELEMENT_OF_ENUM", ""},
		{"SELECT toIPv4(a) FROM secret", "CANNOT_PARSE_IPV4", ""},
		{"SELECT toUUID(a) FROM secret", "CANNOT_PARSE_UUID", ""},
		{"SELECT JSONExtract(a, 'Nope') FROM secret", "UNKNOWN_TYPE", ""},
		{"SELECT throwIf(a != '', 'it was " + person + "') FROM secret", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", ""},
		{"SELECT b FROM secret WHERE a = '" + person + "'", "UNKNOWN_IDENTIFIER", ""},
		{"SELECT '" + person + "' FROM nowhere", "UNKNOWN_TABLE", "nowhere"},
		{"SELEC '" + person + "'", "SYNTAX_ERROR", ""},
		{"SELECT repeat(a, 1000000000), arrayMap(x -> repeat(a, 1000000), range(1000000)) FROM secret SETTINGS max_memory_usage = 10000000", "MEMORY_LIMIT_EXCEEDED|TOO_LARGE_STRING_SIZE", ""},
		{"SELECT sleepEachRow(3), '" + person + "' FROM secret SETTINGS max_execution_time = 1", "TIMEOUT_EXCEEDED", "1000"},
	} {
		err := s.conn.Exec(t.Context(), c.sql)
		if err == nil {
			t.Errorf("%s: no exception", c.sql)
			continue
		}
		if strings.Contains(err.Error(), person) {
			leaking++
		}
		safe := s.explain(err)
		text := safe.Error()
		found := false
		for name := range strings.SplitSeq(c.name, "|") {
			found = found || strings.Contains(text, name)
		}
		if !found || !strings.Contains(text, c.tells) {
			t.Errorf("%s: %s", c.sql, text)
		}
		if strings.Contains(text, "zaphod") || strings.Contains(text, "example.org") {
			t.Errorf("%s names a person: %s", c.sql, text)
		}
		var exception *clickhouse.Exception
		if !errors.As(safe, &exception) || Temporary(safe) != Temporary(err) {
			t.Errorf("%s: the code is lost", c.sql)
		}
	}
	if leaking < 6 {
		t.Errorf("only %d exceptions held the value: too few to show anything", leaking)
	}
	// Who asks a query of their own sees the server's message.
	if err := s.Query(t.Context(), "SELECT toUInt64(a) FROM secret", &bytes.Buffer{}, TSV); err == nil || !strings.Contains(err.Error(), person) {
		t.Errorf("the user's own query: %v", err)
	}
}

// What cannot be inserted says which column, not which value.
func TestAValueThatDoesNotFitItsColumnIsNotTold(t *testing.T) {
	s := open(t)
	err := s.insert(t.Context(), "normalisations", []string{"topic", "member", "steps", "first_used"}, "", func(b *block) {
		b.row([]any{"t", "zaphod", "{}", "zaphod"})
	})
	if err == nil || strings.Contains(err.Error(), "zaphod") || Temporary(err) {
		t.Errorf("a row: %v", err)
	}
	err = s.insert(t.Context(), "normalisations", []string{"topic", "member"}, "", func(b *block) {
		b.add([]string{"t"})
		b.add([]string{"zaphod"})
	})
	if err == nil || strings.Contains(err.Error(), "zaphod") || !strings.Contains(err.Error(), "column 2") {
		t.Errorf("a column: %v", err)
	}
}
