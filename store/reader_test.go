package store

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// statementsOf takes the role's text apart, without its comments.
func statementsOf(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	var all []string
	for statement := range strings.SplitSeq(strings.Join(lines, ""), ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// The engine of one machine has no access control to try the role on, but it
// parses as a server does.
func TestEachStatementOfTheReaderRoleIsSQLOfClickHouse(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, cluster := range []string{"", "it's one"} {
		all := statementsOf(ReaderRole("my data", cluster))
		if len(all) < 10 {
			t.Fatalf("there are only %d statements", len(all))
		}
		for _, statement := range all {
			formatted := value[string](t, s, "SELECT formatQuerySingleLine("+quote(statement)+")")
			if strings.Contains(formatted, "ON CLUSTER") != (cluster != "") {
				t.Errorf("cluster %q: %s", cluster, formatted)
			}
		}
	}
}

func TestTheReaderRoleReadsEveryColumnOfEveryViewAndTableButRawRecords(t *testing.T) {
	t.Parallel()
	s := open(t)
	granted := map[string][]string{}
	grant := regexp.MustCompile("^GRANT SELECT(?:\\(([^)]*)\\))? ON `overreach`\\.(\\w+) TO overreach_reader$")
	for _, statement := range statementsOf(ReaderRole("overreach", "")) {
		if !strings.HasPrefix(statement, "GRANT") {
			continue
		}
		parts := grant.FindStringSubmatch(statement)
		if parts == nil {
			t.Fatalf("%s: not a grant to read in the database", statement)
		}
		granted[parts[2]] = nil
		if parts[1] != "" {
			granted[parts[2]] = strings.Split(parts[1], ", ")
		}
	}
	relations, err := s.Relations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range relations {
		listed, ok := granted[r.Name]
		if !ok {
			t.Errorf("%s can't be read by the role: grant it in store/reader.sql, or say here why not", r.Name)
		}
		delete(granted, r.Name)
		columns, err := s.Columns(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range columns {
			if r.Name != "rejects" || c.Name != "raw" { // the record itself, with user ids in it
				names = append(names, c.Name)
			}
		}
		if listed != nil && !slices.Equal(listed, names) || r.Name == "rejects" && listed == nil {
			t.Errorf("columns of %s that the role reads: %s", r.Name, gocmp.Diff(names, listed))
		}
	}
	if len(granted) > 0 {
		t.Errorf("the role reads what does not exist: %v", slices.Sorted(maps.Keys(granted)))
	}
}

func TestTheReaderRolesSettingsExist(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, statement := range statementsOf(ReaderRole("overreach", "")) {
		_, list, ok := strings.Cut(statement, " SETTINGS\n")
		if !ok {
			continue
		}
		settings := regexp.MustCompile(`(\w+) = (\d+)`).FindAllStringSubmatch(list, -1)
		if len(settings) < 5 {
			t.Errorf("only %d settings were found", len(settings))
		}
		for _, m := range settings {
			if n := value[uint64](t, s, "SELECT count() FROM system.settings WHERE name = "+quote(m[1])+" AND NOT is_obsolete"); n != 1 {
				t.Errorf("ClickHouse has no setting %s", m[1])
			}
			// What the value does is ClickHouse's own; that it takes it is seen here.
			if m[1] != "readonly" {
				execute(t, s, "SELECT 1 SETTINGS "+m[0])
			}
		}
		return
	}
	t.Error("the role has no settings profile")
}
