package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestWhatIsNoEventBecomesARejectAndTheEventsBesideItAreCounted(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	random := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random) // never fails
	good := madeEvents(t, 0, 100)
	const person = "person-who-must-not-be-named"
	at := func(when string) []byte {
		return fmt.Appendf(nil, `{"time":%s,"partner":"p","capability":"messaging","action":"read","subject":%q}`, when, person)
	}
	bad := []struct {
		what   string
		record []byte
		reason string
	}{
		{"random bytes", random, "not_json"},
		{"JSON that is cut off", good[0][:len(good[0])-9], "not_json"},
		{"a record of 10 MB", append(at(`"2018-12-18T09:00:00Z"`), bytes.Repeat([]byte(" "), 10<<20)...), "too_large"},
		{"a number for a text", []byte(`{"time":"2018-12-18T09:00:00Z","partner":17,"capability":"messaging","action":"read","subject":"` + person + `"}`), "wrong_type"},
		{"a text for a number", []byte(`{"time":"2018-12-18T09:00:00Z","partner":"p","capability":"messaging","action":"read","subject":"` + person + `","status":"200"}`), "wrong_type"},
		{"the year 1", at(`"0001-01-01T00:00:00Z"`), "time_too_early"},
		{"the year 2100", at(`"2100-01-01T00:00:00Z"`), "time_too_late"},
		{"seconds since 1970", at(`1545123600`), "bad_time"},
		{"an array", []byte(`[1]`), "not_object"},
		{"nothing at all", nil, "not_json"},
	}
	// Good and bad ones in turn, each with an offset that is known.
	offset, expected := 0, []string(nil)
	for i, b := range bad {
		s.produce(0, good[i*10:i*10+10]...)
		s.produce(0, b.record)
		offset += 10
		expected = append(expected, fmt.Sprintf("%d\t%s\t%d", offset, b.reason, len(b.record)))
		offset++
	}
	p := s.run()
	s.counted(p, offset)

	got := s.query("SELECT offset, reason, size FROM rejects ORDER BY offset")
	if len(got) != len(bad) {
		t.Errorf("there are %d rejects, %d records were none: %q", len(got), len(bad), got)
	}
	for i := range min(len(got), len(bad)) {
		if got[i] != expected[i] {
			t.Errorf("%s: offset, reason, size are %q, expected %q", bad[i].what, got[i], expected[i])
		}
	}
	if told := s.query("SELECT count() FROM rejects WHERE detail != ''"); told[0] != fmt.Sprint(len(bad)) {
		t.Errorf("only %s of the rejects say why in a sentence", told[0])
	}
	if named := s.query("SELECT offset FROM rejects WHERE position(concat(detail, outline, raw), '" + person + "') > 0"); len(named) > 0 {
		t.Errorf("the rejects at offsets %q name a person", named)
	}
	if rows := s.query("SELECT count(), uniqExact(offset), min(time), max(time) FROM access_events"); rows[0] !=
		fmt.Sprintf("%d\t%d\t2018-12-18 09:00:00.000\t%s.000", len(good), len(good), time.Date(2018, 12, 18, 9, 0, 99*7, 0, time.UTC).Format(time.DateTime)) {
		t.Errorf("the good events beside them are %q", rows)
	}
	if latest := s.query("SELECT max(last_event) FROM coverage"); !strings.HasPrefix(latest[0], "2018-12-18 ") {
		t.Errorf("a reject moved the clock to %s", latest[0])
	}
	_, metrics := s.get("/metrics")
	for _, line := range []string{
		`overreach_rejects_total{reason="not_json",topic="access"} 3`, `overreach_rejects_total{reason="too_large",topic="access"} 1`,
		`overreach_events_total{topic="access"} 100`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %q", line)
		}
	}
	p.stop()
	if strings.Contains(p.stderr.String(), person) {
		t.Error("the log names a person")
	}
}
