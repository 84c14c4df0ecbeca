package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dchest/siphash"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// fed runs overreach to its good end with a text on its standard input, and
// returns what it printed.
func fed(t *testing.T, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	c := exec.Command("overreach", args...)
	c.Env = append(os.Environ(), "OVERREACH_ENGINE="+embeddedtest.Binary(t), "OVERREACH_ENGINE_LIBRARY="+embeddedtest.Library(t))
	c.Stdin = strings.NewReader(stdin)
	var out, errs output
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("overreach %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String()
}

// ask is fed with ids; nothing that overreach writes may hold one of them.
func ask(t *testing.T, ids []string, args ...string) string {
	t.Helper()
	stdout, stderr := fed(t, strings.Join(ids, "\n"), args...)
	for _, id := range ids {
		if strings.Contains(stdout+stderr, id) {
			t.Errorf("overreach %s names a person", strings.Join(args, " "))
		}
	}
	return stdout
}

func TestAPersonIsFoundAndForgottenWhileEventsAreReadAndNothingThatWasFoundChanges(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.write("registry.yaml", strings.Replace(bankRegistry, "royalbank:", "partner-1:", 1))
	p := s.run("topic: "+wholeTopic, "topic: "+wholeTopic+", keep_raw: true")
	s.produce(0, madeEvents(t, 0, 300)...)
	s.produce(0, []byte("person-17 is no event"))
	s.counted(p, 301)
	p.until("both strangers were found, and all that they did", func() bool {
		rows, err := s.ask("SELECT sum(accesses) FROM findings")
		return err == nil && rows[0] == "200"
	})
	config := filepath.Join(s.dir, "config.yaml")
	ids := []string{"person-17", "person-18"}

	key, _, err := parseHashKey("000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	var want string
	for _, id := range ids {
		want += fmt.Sprintln(siphash.Hash(key[0], key[1], []byte(id)))
	}
	if got := ask(t, ids, "hash", "--config", config, "-"); got != want {
		t.Errorf("the hashes are\n%swant\n%s", got, want)
	}

	found := ask(t, ids, "subject", "--config", config, "-")
	for _, line := range []string{ // 300 events of 97 people in turn, of three partners in turn
		`(?m)^line 1  partner-0  messaging:read  subject  .* NONE: the partner is not in the registry +1 +0$`,
		`(?m)^line 1  partner-1  messaging:read  subject  .* 2013-12-01 – for: send money in messages +1 +0$`,
		`(?m)^line 2  partner-2  messaging:read  subject  .* NONE: the partner is not in the registry +1 +0$`,
	} {
		if !regexp.MustCompile(line).MatchString(found) {
			t.Errorf("there is no line\n%s\nin\n%s", line, found)
		}
	}

	figures := func() string {
		return strings.Join(append(s.query("SELECT id, state, accesses, people, sentence FROM findings ORDER BY id"),
			s.query("SELECT partner, accesses, people FROM people_daily ORDER BY ALL")...), "\n")
	}
	before := figures()
	told := ask(t, ids, "forget", "--yes", "--config", config, "-")
	for _, want := range []string{
		"deleted\n  access_events: 6 rows of 2 people\n",
		"usage by minute: ", "usage by day: ", "; the last is kept for ever\n",
		"rejects with their record: 1; whose they are cannot be said. The last expires after 2",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("forget does not say %q but\n%s", want, told)
		}
	}
	if left := ask(t, ids, "subject", "--config", config, "-"); !strings.Contains(left, "people: 2 asked about, 0 found") {
		t.Errorf("after forget there is\n%s", left)
	}
	if after := figures(); after != before {
		t.Errorf("forgetting changed what was found and counted from\n%s\nto\n%s", before, after)
	}
	empties := regexp.MustCompile(`overreach query "(ALTER TABLE rejects [^"]*)"`).FindStringSubmatch(told)
	if empties == nil {
		t.Fatalf("forget does not say how to empty what rejects keep:\n%s", told)
	}
	run(t, "query", "--config", config, empties[1])
	p.until("no reject keeps its record", func() bool {
		return strings.Contains(ask(t, ids, "forget", "--yes", "--config", config, "-"), "rejects with their record: none are kept")
	})
	s.produce(0, madeEvents(t, 300, 310)...)
	s.counted(p, 311)
	p.stop()
	if rows := s.query("SELECT count() FROM access_events"); rows[0] == "310" {
		t.Errorf("nothing was deleted")
	}
	if strings.Contains(p.stderr.String(), "person-17") {
		t.Error("the log names a person")
	}
}
