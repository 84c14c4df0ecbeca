package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// insertColumns are the columns that an INSERT's rows have, with the types of
// the table. Without a list they are those that are stored and not computed.
func (s *session) insertColumns(ins *insert) ([]column, error) {
	all, err := s.describeAll("TABLE " + ins.table)
	if err != nil {
		return nil, err
	}
	var columns []column
	if ins.columns == nil {
		for _, col := range all {
			if col.kind == "" || col.kind == "DEFAULT" {
				columns = append(columns, col.column)
			}
		}
		return columns, nil
	}
	for _, name := range ins.columns {
		i := slices.IndexFunc(all, func(col described) bool { return col.name == name })
		if i < 0 {
			return nil, exceptionf(16, "NO_SUCH_COLUMN_IN_TABLE", "No such column %s in table %s.", name, ins.table)
		}
		columns = append(columns, all[i].column)
	}
	return columns, nil
}

func columnList(columns []column) string {
	names := make([]string, len(columns))
	for i, col := range columns {
		names[i] = quoteName(col.name)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// described is a column as DESCRIBE tells it: kind is empty, DEFAULT,
// MATERIALIZED, ALIAS or EPHEMERAL.
type described struct {
	column
	kind string
}

func (s *session) describe(what string) ([]column, error) {
	all, err := s.describeAll(what)
	columns := make([]column, len(all))
	for i, col := range all {
		columns[i] = col.column
	}
	return columns, err
}

func (s *session) describeAll(what string) ([]described, error) {
	result, err := s.run("DESCRIBE "+what, "JSONCompactEachRow")
	defer result.free()
	if err != nil {
		return nil, err
	}
	var all []described
	for line := range bytes.Lines(result.data()) {
		var fields []string
		if err := json.Unmarshal(line, &fields); err != nil || len(fields) < 3 {
			return nil, fmt.Errorf("reading DESCRIBE %s: %q: %w", what, line, err)
		}
		all = append(all, described{column{fields[0], fields[1]}, fields[2]})
	}
	return all, nil
}

// noStates refuses columns with aggregate states in binary rows: no client can
// tell where such a value ends.
func (req request) noStates(s *session) error {
	if !req.streams() || !strings.HasPrefix(req.format, "RowBinary") && req.format != "Native" {
		return nil
	}
	columns, err := s.describe("(" + req.withoutFormat() + "\n)")
	if err != nil {
		return nil // the query itself says what is wrong, or cannot be described
	}
	for _, col := range columns {
		if strings.Contains(strings.ReplaceAll(col.typ, "SimpleAggregateFunction(", ""), "AggregateFunction(") {
			return exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
				"Column %s is an aggregate state, %s, which clients cannot read: name the columns that you want, or finish the state (%s).", col.name, col.typ, "uniqMerge, sumMerge, finalizeAggregation")
		}
	}
	return nil
}
