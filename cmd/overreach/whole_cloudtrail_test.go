package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trailEvent is what a CloudTrail event says, as this test understands it.
type trailEvent struct {
	EventID, EventName, EventSource, ErrorCode string
	ReadOnly                                   *bool
	UserIdentity                               struct {
		Type, ARN, AccountID, InvokedBy string
		SessionContext                  struct {
			SessionIssuer struct{ Type, ARN, UserName string }
		}
	}
	ResponseElements struct{ ConsoleLogin string }
}

// partner is the role or user that was given the rights: what stands behind the
// fifth colon of its ARN, the role's and not its session's.
func (e trailEvent) partner() string {
	arn := e.UserIdentity.ARN
	if issuer := e.UserIdentity.SessionContext.SessionIssuer; issuer.ARN != "" {
		arn = issuer.ARN
	}
	return strings.SplitN(arn, ":", 6)[5]
}

func (e trailEvent) capability() string {
	service, _, _ := strings.Cut(e.EventSource, ".")
	return service
}

func (e trailEvent) action() string {
	for _, verb := range []string{"Delete", "Terminate"} { // the only such verbs in the samples
		if strings.HasPrefix(e.EventName, verb) {
			return "delete"
		}
	}
	if *e.ReadOnly {
		return "read"
	}
	return "write"
}

func (e trailEvent) status() int {
	switch e.ErrorCode {
	case "AccessDenied", "Client.UnauthorizedOperation":
		return 403
	case "":
	default:
		return 400
	}
	if e.ResponseElements.ConsoleLogin == "Success" {
		return 200
	}
	return 0
}

// row is what access_events must hold of an event.
func (e trailEvent) row() string {
	return strings.Join([]string{e.partner(), e.capability(), e.action(), fmt.Sprint(e.status())}, "\t")
}

// The files are counted by encoding/json and the methods above, without the
// mapping, and compared with what the whole pipeline counted.
func TestEachEventOfRealCloudTrailFilesIsThereInTheRightPartnerCapabilityAndAction(t *testing.T) {
	t.Parallel()
	files := must(filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "cloudtrail", "*.json")))
	if len(files) == 0 {
		t.Skip("NOT RUN: the sample of real CloudTrail files is not beside the checkout, at ../shared/data/cloudtrail")
	}
	want := map[string]map[string]string{} // row by event id, by file
	events, sums := 0, map[string]int{}    // accesses and attempts by partner, capability, action
	for _, file := range files {
		var all []trailEvent
		if err := json.Unmarshal(must(os.ReadFile(file)), &all); err != nil {
			t.Fatal(err)
		}
		want[file] = map[string]string{}
		for _, e := range all {
			want[file][e.EventID] = e.row()
			sums[strings.Join([]string{e.partner(), e.capability(), e.action()}, "\t")]++
		}
		if len(want[file]) != len(all) {
			t.Fatalf("%s holds an event twice, which this test does not tell apart", file)
		}
		events += len(all)
	}
	if events < 300 || len(sums) < 20 {
		t.Fatalf("%d events of %d kinds are too few to show anything", events, len(sums))
	}

	data := filepath.Join(t.TempDir(), "data")
	args := []string{"run", "--local", data, "--mapping", "cloudtrail"}
	for _, file := range files {
		args = append(args, "--from", file)
	}
	run(t, args...)
	query := func(sql string) []string {
		t.Helper()
		return strings.Split(strings.TrimSpace(run(t, "query", "--local", data, sql)), "\n")[1:] // below the header
	}

	got := map[string]string{}
	for _, line := range query("SELECT id, partner, capability, action, status FROM access_events") {
		id, row, _ := strings.Cut(line, "\t")
		if _, twice := got[id]; twice {
			t.Errorf("event %s is there twice", id)
		}
		got[id] = row
	}
	for _, file := range files {
		accepted := 0
		for id, row := range want[file] {
			if _, ok := got[id]; ok {
				accepted++
			}
			if got[id] != row {
				t.Errorf("%s: event %s is\n%q, expected\n%q", filepath.Base(file), id, got[id], row)
			}
			delete(got, id)
		}
		t.Logf("%3d of %3d events of %s", accepted, len(want[file]), filepath.Base(file))
	}
	if len(got) > 0 {
		t.Errorf("%d events are in no file", len(got))
	}
	for _, reject := range query("SELECT reason, detail FROM rejects") {
		t.Errorf("rejected: %s", reject)
	}
	if got, expect := query("SELECT sum(records), sum(events), sum(rejected), sum(filtered), sum(missing) FROM coverage")[0], fmt.Sprintf("%d\t%d\t0\t0\t0", events, events); got != expect {
		t.Errorf("the markers say records, events, rejected, filtered, missing %s: expected %s", got, expect)
	}

	for _, table := range []struct{ what, sql string }{
		{"access_events", "SELECT partner, capability, action, count() FROM access_events GROUP BY ALL ORDER BY ALL"},
		{"usage by day", "SELECT partner, capability, action, sum(accesses) + sum(attempts) FROM usage WHERE kind = 'usage' AND resolution = 'day' GROUP BY ALL ORDER BY ALL"},
	} {
		counted := map[string]int{}
		for _, line := range query(table.sql) {
			at := strings.LastIndexByte(line, '\t')
			var n int
			if _, err := fmt.Sscan(line[at+1:], &n); err != nil {
				t.Fatal(err)
			}
			counted[line[:at]] = n
		}
		if !maps.Equal(counted, sums) {
			t.Errorf("%s counts\n%v\nthe files hold\n%v", table.what, counted, sums)
		}
	}
	// A role is one partner however many sessions it has.
	if partners := slices.Sorted(maps.Keys(sums)); !slices.ContainsFunc(partners, func(k string) bool { return strings.HasPrefix(k, "role/") }) {
		t.Errorf("no role among %v", partners)
	}
}
