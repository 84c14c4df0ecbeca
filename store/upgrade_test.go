package store

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
)

// firstMigrations are those of the first version.
const firstMigrations = 5

// batchOfTheFirstVersion are the inserts of one batch, as the first version made them:
// written out, so that what this version inserts may change. The batch is five accesses
// of five people, a minute apart, then a reject: the offsets from 6n on.
func batchOfTheFirstVersion(n int) []string {
	const people = 5
	from, to := n*(people+1), (n+1)*(people+1)
	day, month := pinned.Time().Format(time.DateOnly), pinned.Month().Time().Format(time.DateTime)
	at := func(i int) string {
		return time.Date(2018, 12, 18, 9, n*people+i, 0, 0, time.UTC).Format(time.DateTime)
	}
	const never = "'2200-01-01 00:00:00', '1970-01-01 00:00:00'" // the first and the last time of nothing
	const nobody = "unhex('0100')"
	var raw, usage []string
	for i := range people {
		person := from + i
		raw = append(raw, fmt.Sprintf("('%s', 'k/t@0', 0, %d, 0, '%s', 'partner', 'app', 'messaging', 'read', %d, 0, '', 'v1', '', 200, 2, 30)",
			day, person, at(i), person))
		for resolution, bucket := range map[string]string{"minute": at(i), "hour": "2018-12-18 09:00:00", "day": "2018-12-18 00:00:00"} {
			usage = append(usage, fmt.Sprintf("('usage', '%s', '%s', %d, 'k/t@0', 'partner', 'messaging', 'app', 'read', 0, 0, '%s', 1, 0, 2, 30, '%s', '%s', ",
				resolution, bucket, schema.Slot("partner"), day, at(i), at(i))+
				never+", unhex('"+hex.EncodeToString(state(uint64(person)))+"'), "+nobody+", "+nobody+", 0, 0, 0, 0, 0, 0, 0, "+never+", [], 0)") //nolint:gosec // persons are few
		}
	}
	for _, marker := range []string{
		fmt.Sprintf("'range', 'none', '1970-01-01 00:00:00', 0, 'k/t@0', '', '', '', '', 0, %d", from),
		fmt.Sprintf("'month', 'none', '%s', 0, 'k/t@0', '', '', '', '', 0, 0", month),
	} {
		usage = append(usage, "("+marker+", '"+day+"', 0, 0, 0, 0, "+never+", "+never+", "+nobody+", "+nobody+", "+nobody+
			fmt.Sprintf(", %d, %d, 6, 0, 5, 1, 0, '%s', '%s', [], 0)", from, to, at(0), at(people-1)))
	}
	return []string{
		"INSERT INTO access_events (`pinned`, `stream`, `partition`, `offset`, `item`, `time`, `partner`, `app`, `capability`, `action`, `subject`, `actor`, `id`, `api_version`, `grant`, `status`, `records`, `bytes`) VALUES " +
			strings.Join(raw, ", "),
		fmt.Sprintf("INSERT INTO rejects (`pinned`, `stream`, `partition`, `offset`, `item`, `time`, `reason`, `detail`, `outline`, `raw`, `size`) VALUES ('%s', 'k/t@0', 0, %d, 0, '%s', 'bad_time', 'x', '{time: string}', '', 9)",
			day, to-1, at(0)),
		"INSERT INTO usage (`kind`, `resolution`, `bucket`, `slot`, `stream`, `partner`, `capability`, `app`, `action`, `partition`, `from_offset`, `pinned`, `accesses`, `attempts`, `records`, `bytes`, `first_access`, `last_access`, `first_attempt`, `last_attempt`, `subjects_bytes`, `actors_bytes`, `bystanders_bytes`, `least_from`, `to_offset`, `records_read`, `missing`, `events`, `rejected`, `filtered`, `first_event`, `last_event`, `minutes`, `mixed`) VALUES " +
			strings.Join(usage, ", "),
		findingOfTheFirstVersion("findings_log (", "(", n),
		findingOfTheFirstVersion("finding_changes (`told`, `change`, ", fmt.Sprintf("(now64(3), '%s', ", map[bool]string{true: "new", false: "raised"}[n == 0]), n),
		fmt.Sprintf("INSERT INTO judged (`slot`, `tier`, `stream`, `partition`, `to_offset`, `watermark`, `registry`) VALUES (%d, 'minute', 'k/t@0', 0, %d, '2018-12-18 09:00:00', 1)",
			schema.Slot("partner"), to),
	}
}

// findingOfTheFirstVersion says that the partner is unknown and touched all people so far.
func findingOfTheFirstVersion(into, first string, n int) string {
	people := 5 * (n + 1)
	return fmt.Sprintf("INSERT INTO "+into+"`id`, `detector`, `partner`, `capability`, `window`, `cause`, `severity`, `state`, `sentence`, `first_crossing`, `peak`, `evidence_from`, `evidence_to`, `first_seen`, `last_seen`, "+
		"`accesses`, `attempts`, `people`, `people_low`, `people_high`, `baseline_window`, `baseline_samples`, `baseline_centre`, `baseline_spread`, `other_causes`, `contributors`, `complete`, `missing`, `registry`, `owner`, `purpose`, `blind_spots`, `runbook`, `query`, `offsets`, `registry_ordinal`, `watermark`) VALUES "+
		first+"'%s', 'unregistered_partner', 'partner', '', 'period', 'unregistered', 'critical', 'open', 'partner is not in the registry.', '2018-12-18 09:01:00', '2018-12-18 09:30:00', '2018-12-18 00:00:00', '2018-12-19 00:00:00', '2018-12-18 09:00:00', '2018-12-18 09:30:00', "+
		"%d, 0, %d, %[3]d, %[3]d, '', 0, 0, 0, [], [('app', 'app', %[2]d, 0, %[3]d, %[3]d, %[3]d, NULL)], true, 0, 'r', '', '', 'b', 'docs', 'SELECT 1', %[4]d, 1, '2018-12-18 09:30:00')",
		schema.FindingKey{Detector: "unregistered_partner", Partner: "partner", Window: schema.WindowPeriod, Cause: "unregistered"}.ID(), people, people, 6*(n+1))
}

// TestTheFirstVersionWritesOnWhileTheTablesBecomeThoseOfThisOne migrates step by step. Before
// the first step and after each, an instance of the first version writes a batch: it was
// started before, and asks for the tables' version only at its start.
func TestTheFirstVersionWritesOnWhileTheTablesBecomeThoseOfThisOne(t *testing.T) {
	address, _ := embeddedtest.Engine(t)
	s := connect(t, address)
	all, err := schema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	batches := 0
	write := func() {
		t.Helper()
		for _, statement := range batchOfTheFirstVersion(batches) {
			execute(t, s, statement)
		}
		batches++
	}
	for _, m := range all {
		for _, statement := range m.Statements {
			execute(t, s, statement)
		}
		execute(t, s, fmt.Sprintf("INSERT INTO schema_migrations (number, name, sha256, applied) SELECT %d, '%s', '%s', now()", m.Number, m.Name, m.SHA256))
		if m.Number >= firstMigrations {
			write()
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	write()

	people := 5 * batches
	for _, when := range []string{"before", "after"} {
		f := func(sql, want string) {
			t.Helper()
			if got := value[string](t, s, "SELECT toString(("+sql+"))"); got != want {
				t.Errorf("%s merges: %s\nis   %s\nwant %s", when, sql, got, want)
			}
		}
		n := func(format string) string { return strings.ReplaceAll(format, "N", fmt.Sprint(people)) }
		f("SELECT (count(), uniqExact(subject)) FROM access_events", n("(N,N)"))
		f("SELECT (count(), min(reason)) FROM rejects", fmt.Sprintf("(%d,'bad_time')", batches))
		f("SELECT groupArray((from_offset, to_offset, records, missing, events, rejected, mixed)) FROM coverage", fmt.Sprintf("[(0,%d,%[1]d,0,%d,%d,0)]", 6*batches, people, batches))
		f("SELECT groupArray((partner, capability, people, people_low, people_high, accesses)) FROM (SELECT * FROM people_daily ORDER BY capability)", n("[('partner','',N,N,N,N),('partner','messaging',N,N,N,N)]"))
		f("SELECT groupArray((partner, capability, action, granted, accesses, people, missing)) FROM granted_vs_used", n("[('partner','messaging','read',0,N,N,0)]"))
		f("SELECT groupArray((partner, state, people, accesses, told_times)) FROM (SELECT f.*, (SELECT count() FROM finding_changes) AS told_times FROM findings AS f)", n("[('partner','open',N,N,")+fmt.Sprintf("%d)]", batches))

		to, ok, err := s.Counted(t.Context(), schema.Partition{Stream: "k/t@0"})
		if err != nil || !ok || to != int64(6*batches) {
			t.Errorf("%s merges: counted to %d, %v, %v", when, to, ok, err)
		}
		findings, err := s.Findings(t.Context(), schema.FindingsQuery{})
		if err != nil || len(findings) != 1 || findings[0].People.Value != uint64(people) { //nolint:gosec // few
			t.Errorf("%s merges: findings %+v, %v", when, findings, err)
		}
		for _, table := range []string{"access_events", "usage", "findings_log", "finding_changes", "judged", "rejects"} {
			execute(t, s, "OPTIMIZE TABLE "+table+" FINAL")
		}
	}
}
