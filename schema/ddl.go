package schema

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed clickhouse/*.sql
var ddl embed.FS

// Migration is one numbered step towards the tables of this version.
type Migration struct {
	Number     uint32
	Name       string   // what follows the number in the file's name
	SHA256     string   // of the file, hexadecimal
	Statements []string // each can be run again without harm
}

// Migrations returns all steps in the order of their numbers, which count up
// from 1 without a gap.
func Migrations() ([]Migration, error) {
	files, err := ddl.ReadDir("clickhouse") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	var all []Migration
	for i, file := range files {
		text, err := ddl.ReadFile("clickhouse/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the embedded migrations: %w", err)
		}
		digits, name, _ := strings.Cut(strings.TrimSuffix(file.Name(), ".sql"), "_")
		if want := fmt.Sprintf("%04d", i+1); digits != want {
			return nil, fmt.Errorf("migration %s: its number should be %s", file.Name(), want)
		}
		sum := sha256.Sum256(text)
		all = append(all, Migration{
			Number:     uint32(i + 1),
			Name:       name,
			SHA256:     hex.EncodeToString(sum[:]),
			Statements: statements(string(text)),
		})
	}
	return all, nil
}

// statements splits a file at each line that is a semicolon alone or ends in
// one; no statement of ours has such a line within it.
func statements(text string) []string {
	var all []string
	var one strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		last := strings.HasSuffix(strings.TrimRight(line, "\n "), ";")
		one.WriteString(strings.TrimRight(line, ";\n "))
		one.WriteByte('\n')
		if last {
			all = append(all, strings.TrimSpace(one.String()))
			one.Reset()
		}
	}
	if rest := strings.TrimSpace(one.String()); rest != "" {
		all = append(all, rest)
	}
	return all
}
