package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tableEngines are the engines that a table may have: those that keep their
// rows in the folder and nowhere else.
var tableEngines = []string{
	"MergeTree", "AggregatingMergeTree", "ReplacingMergeTree", "SummingMergeTree", "CollapsingMergeTree",
	"VersionedCollapsingMergeTree", "CoalescingMergeTree",
	"Memory", "Log", "TinyLog", "StripeLog", "Set", "Join", "Null", "Buffer", "Merge", "View", "MaterializedView",
}

// databaseEngines are the engines that a database may have.
var databaseEngines = []string{"Atomic", "Memory"}

// grants are all that the library's only user may do. It has neither SOURCES
// (file, url, s3, remote, …) nor BACKUP, dictionaries, functions, users or
// named collections, so the library itself refuses those wherever they stand.
var grants = []string{
	"SHOW, SELECT, INSERT, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, SYSTEM MERGES ON *.*",
	"CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE ARBITRARY TEMPORARY TABLE ON *.*",
	"DROP DATABASE, DROP TABLE, DROP VIEW ON *.*",
	"ALTER UPDATE, ALTER DELETE, ALTER COLUMN, ALTER MODIFY COMMENT, ALTER INDEX, ALTER PROJECTION, ALTER STATISTICS, " +
		"ALTER CONSTRAINT, ALTER TTL, ALTER MATERIALIZE TTL, ALTER SETTINGS, ALTER VIEW ON *.*", //nolint:misspell // ClickHouse's spelling
}

// configFile is where the library reads grants from, in the folder.
const configFile = "overreach-engine.xml"

// writeConfig writes the library's configuration into the folder and returns
// its file. One file is both: the server's part and the users' part.
func writeConfig(folder string) (string, error) {
	type user struct {
		Password string   `xml:"password"` // overreach-engine asks for the token; the library sees none
		Profile  string   `xml:"profile"`
		Quota    string   `xml:"quota"`
		Networks string   `xml:"networks>ip"`
		Grants   []string `xml:"grants>query"`
	}
	type empty struct{}
	file := filepath.Join(folder, configFile)
	one := user{Profile: "default", Quota: "default", Networks: "::/0"}
	for _, grant := range grants {
		one.Grants = append(one.Grants, "GRANT "+grant)
	}
	for _, engine := range tableEngines {
		one.Grants = append(one.Grants, "GRANT TABLE ENGINE ON "+engine)
	}
	text, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"clickhouse"`
		Users   string   `xml:"users_config"`
		// What `allowed` reads must be what the library runs: in another dialect it would not be.
		Dialect empty `xml:"profiles>default>constraints>dialect>readonly"`
		Quota   empty `xml:"quotas>default"`
		User    user  `xml:"users>default"`
	}{Users: file, User: one}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the engine's configuration: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("writing the engine's configuration: %w", err)
	}
	return file, nil
}

// checkGrants makes sure that the library has taken the grants over: a version
// that ignored them would open everything.
func (e *engine) checkGrants() error {
	held, err := e.anchor.text("SHOW GRANTS")
	if err != nil {
		return fmt.Errorf("asking the engine what its user may do: %w", err)
	}
	for line := range strings.Lines(held) {
		for _, source := range []string{"FILE", "URL", "SOURCES", "READ", "WRITE", "BACKUP", "ALL"} {
			for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' }) {
				if word == source {
					return fmt.Errorf("the engine's library has not taken its user's grants from %s, it grants %q; use the version that scripts/fetch-engine.sh fetches",
						configFile, strings.TrimSpace(line))
				}
			}
		}
	}
	return nil
}
