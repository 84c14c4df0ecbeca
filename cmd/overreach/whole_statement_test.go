package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bankRegistry lets the bank do all that it may in the story.
const bankRegistry = `capabilities: {messaging: {}}
partners:
  royalbank:
    purpose: send money in messages
    agreement: {start: 2013-12-01}
    grants: [{capability: messaging, actions: [read, write, delete], from: 2013-12-01}]
`

func TestTheDemosBankMayReadMessagesAndReadNone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	demo(t, dir, "--scale", "0.0005")
	records := strings.TrimSpace(run(t, "query", "--local", dir, "SELECT sum(records) FROM coverage"))
	records = records[strings.Index(records, "\n")+1:]
	thousand := regexp.MustCompile(`(\d)(\d{3})$`).ReplaceAllString(records, "$1,$2")

	page := run(t, "statement", "royalbank", "--local", dir, "--from", "2018-10-01", "--to", "2018-12-16")
	want := regexp.MustCompile(`(?m)^- royalbank may read messaging and read 0 times between 2018-10-01 and 2018-12-16; this rests on ` +
		thousand + ` records of 2 partitions, offsets 0 to [0-9,]+ and 0 to [0-9,]+, of which none is missing, none was unreadable and none was rejected\.$`)
	if !want.MatchString(page) {
		t.Errorf("the statement does not say\n%s\nbut\n%s", want, page)
	}
	if strings.Contains(page, "may write messaging and wrote 0 times") {
		t.Errorf("it says so also of what the bank did:\n%s", page)
	}
	beyond := run(t, "statement", "royalbank", "--local", dir, "--from", "2018-01-01", "--to", "2018-12-31")
	if part := regexp.MustCompile(`read 0 times between 2018-01-01 and 2018-12-31; .* none was rejected; proved from 2018-09-18 \S+, where what was read begins, until 2018-12-17 \S+, where what was read ends\.`); !part.MatchString(beyond) {
		t.Errorf("of days that were not read it does not say\n%s\nbut\n%s", part, beyond)
	}
	before := run(t, "statement", "royalbank", "--local", dir, "--from", "2018-01-01", "--to", "2018-06-30")
	if !strings.Contains(before, "read 0 times between 2018-01-01 and 2018-06-30; not provable, since nothing of that time was read;") {
		t.Errorf("a time that was not read is called a proof:\n%s", before)
	}

	file := filepath.Join(t.TempDir(), "bank.html")
	if out := run(t, "statement", "royalbank", "--local", dir, "--out", file); out != "" {
		t.Errorf("with --out it prints %q", out)
	}
	html, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(html), "<!DOCTYPE html>") || !strings.Contains(string(html), "royalbank may read messaging and read 0 times between 2018-09-18 and 2018-12-17;") {
		t.Errorf("the file holds %.200s, %v", html, err)
	}

	grants := run(t, "grants", "royalbank", "--local", dir)
	for _, action := range []string{"read", "delete"} {
		line := regexp.MustCompile(`(?m)^0  royalbank  messaging:` + action + ` +2013-12-01 – +never +0 +0 +0 +0 +0\n    For: send money in messages. 0 times from 2018-09-18 \S+ to 2018-12-17 \S+: proved by ` + thousand + ` records, none missing, none unreadable, none rejected. Not beyond that: coverage begins 2018-09-18, the grant began 2013-12-01.$`)
		if !line.MatchString(grants) {
			t.Errorf("grants does not say\n%s\nbut\n%s", line, grants)
		}
	}
}

func TestABanksZeroIsNotProvableOnceARecordIsLostOrRejected(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.write("registry.yaml", bankRegistry)
	send := func(from, to int) {
		var records [][]byte
		for n := from; n < to; n++ {
			records = append(records, madeEvent{Time: time.Date(2018, 12, 18, 9, n, 0, 0, time.UTC).Format(time.RFC3339),
				Partner: "royalbank", Capability: "messaging", Action: "write", Subject: fmt.Sprintf("person-%d", n)}.json(t))
		}
		s.produce(0, records...)
	}
	// says counts and judges what was sent, and fails where the statement and the
	// ledger do not say that the bank read nothing, and of what worth that is.
	says := func(records int, last int, proved bool, statement, grants string) {
		t.Helper()
		p := s.run()
		s.counted(p, records)
		judged := time.Date(2018, 12, 18, 9, last, 0, 0, time.UTC).Format(time.DateTime)
		p.until("all is judged", func() bool {
			rows, err := s.ask("SELECT toString(max(watermark)) FROM judged FINAL")
			return err == nil && rows[0] == judged
		})
		p.stop()
		config := filepath.Join(s.dir, "config.yaml")
		page := run(t, "statement", "royalbank", "--config", config, "--from", "2018-12-18", "--to", "2018-12-18")
		if want := "royalbank may read messaging and read 0 times between 2018-12-18 and 2018-12-18; " + statement; !strings.Contains(page, want) {
			t.Errorf("the statement does not say %q but\n%s", want, page)
		}
		if strings.Contains(page, "zeros on this page are proof") != proved || strings.Contains(page, "no zero on this page is proof") == proved {
			t.Errorf("what the zeros are worth differs from %v:\n%s", proved, page)
		}
		if table := run(t, "grants", "--config", config, "--unused"); strings.Count(table, grants) != 2 { // read and delete
			t.Errorf("grants does not say %q twice but\n%s", grants, table)
		}
		if rows := s.query("SELECT provable FROM granted_vs_used WHERE action = 'read'"); rows[0] != fmt.Sprint(proved) {
			t.Errorf("the view says provable %s", rows[0])
		}
	}
	send(0, 10)
	says(10, 9, true, "this rests on 10 records of 1 partition, offsets 0 to 9, of which none is missing, none was unreadable and none was rejected; proved from",
		": proved by 10 records, none missing, none unreadable, none rejected.")
	s.produce(0, []byte("{"))
	says(11, 9, false, "not provable, since 1 item was rejected; this rests on 11 records of 1 partition, offsets 0 to 10.",
		"That it was never used is not provable: items rejected, and whose they were is not known: 1; coverage begins 2018-12-18, the grant began 2013-12-01.")
	send(10, 20)
	if err := s.broker.DeleteBefore(wholeTopic, 0, 14); err != nil { // offsets 11 to 13 are lost before anybody read them
		t.Fatal(err)
	}
	says(18, 19, false, "not provable, since 3 records are missing and 1 item was rejected; this rests on 18 records of 1 partition, offsets 0 to 20.",
		"That it was never used is not provable: records missing: 3; items rejected, and whose they were is not known: 1; coverage begins 2018-12-18, the grant began 2013-12-01.")
}
