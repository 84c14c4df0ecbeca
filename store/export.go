package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Relation is a table or a view of the database.
type Relation struct {
	Name   string
	View   bool
	merges bool // rows of the same key may lie in several parts until ClickHouse merges them
}

// Column is a column of a relation.
type Column struct {
	Name    string
	Type    string // as ClickHouse writes it
	Comment string
	As      string // type to which ReadRelation converts it; empty: as it is
}

// Relations lists what can be read in the database: the views, then the tables,
// each by name.
func (s *Store) Relations(ctx context.Context) ([]Relation, error) {
	rows, err := s.conn.Query(ctx, "SELECT name, engine = 'View', match(engine, 'Replacing|Aggregating') FROM system.tables"+
		" WHERE database = currentDatabase() ORDER BY engine != 'View', name")
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", s.explain(err))
	}
	var all []Relation
	err = scan(rows, func() error {
		var r Relation
		var view, merges uint8
		err := rows.Scan(&r.Name, &view, &merges)
		r.View, r.merges = view == 1, merges == 1
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", s.explain(err))
	}
	return all, nil
}

// Columns lists the columns that SELECT * yields of a relation, in its order.
func (s *Store) Columns(ctx context.Context, r Relation) ([]Column, error) {
	rows, err := s.conn.Query(ctx, "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = "+
		quote(r.Name)+" AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position")
	if err != nil {
		return nil, fmt.Errorf("listing the columns of %s: %w", r.Name, s.explain(err))
	}
	var all []Column
	err = scan(rows, func() error {
		var c Column
		err := rows.Scan(&c.Name, &c.Type, &c.Comment)
		all = append(all, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the columns of %s: %w", r.Name, s.explain(err))
	}
	return all, nil
}

// exportBlock is how many rows ClickHouse sends at once: three sketches a row
// are up to 37.5 kB, so that a block stays under some 300 MB.
const exportBlock = 8192

// ReadRelation reads the columns of a relation, merged whatever parts its rows lie in, in
// no order. For each row for which the condition where holds (ClickHouse's SQL;
// empty: for all) it sets what into points to, a pointer a column, and calls
// row; the error of row is returned as it is. It holds a few blocks in memory.
func (s *Store) ReadRelation(ctx context.Context, r Relation, columns []Column, where string, into []any, row func() error) error {
	var sql strings.Builder
	sql.WriteString("SELECT ")
	for i, c := range columns {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString(c.expression())
	}
	sql.WriteString(" FROM " + quoteName(r.Name) + " AS r")
	if r.merges {
		sql.WriteString(" FINAL")
	}
	if where != "" {
		sql.WriteString(" WHERE (" + where + "\n)") // a comment at its end hides no parenthesis
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_block_size": exportBlock}))
	rows, err := s.conn.Query(ctx, sql.String())
	var failed error // of row
	if err == nil {
		err = scan(rows, func() error {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			failed = row()
			return failed
		})
	}
	var exception *clickhouse.Exception
	switch {
	case err == nil || failed != nil:
		return err
	case errors.As(err, &exception) && where != "":
		return err // it says what is wrong with the condition, which is the user's own
	}
	return s.explain(err)
}

func (c Column) expression() string {
	if c.As == "" {
		return "r." + quoteName(c.Name)
	}
	return "CAST(r." + quoteName(c.Name) + " AS " + c.As + ")"
}
