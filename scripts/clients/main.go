// Command clients runs the statements of scripts/clients with clickhouse-go:
// clients ADDRESS PASSWORD STATEMENTS. It prints each with its answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, password, file string) error {
	text, err := os.ReadFile(file) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{address}, Auth: clickhouse.Auth{Password: password}, MaxOpenConns: 1, // a session
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if part[0] == "session" {
			continue
		}
		answer, err := ask(ctx, conn, part[1])
		var told *clickhouse.Exception
		switch {
		case errors.As(err, &told):
			answer = fmt.Sprintf("error %d", told.Code)
		case err != nil:
			answer = fmt.Sprintf("error %v", err)
		}
		fmt.Printf("%s\t%s\n", part[1], answer)
	}
	return conn.Close()
}

// ask returns the answer's rows, joined.
func ask(ctx context.Context, conn driver.Conn, statement string) (string, error) {
	if !strings.HasPrefix(statement, "SELECT") && !strings.HasPrefix(statement, "WITH") {
		return "", conn.Exec(ctx, statement)
	}
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }() // it was only read
	var all []string
	for rows.Next() {
		into := make([]any, len(rows.ColumnTypes()))
		for i, t := range rows.ColumnTypes() {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		row := make([]string, len(into))
		for i, value := range into {
			v := reflect.ValueOf(value)
			for v.Kind() == reflect.Pointer && !v.IsNil() {
				v = v.Elem()
			}
			row[i] = fmt.Sprint(v.Interface())
		}
		all = append(all, strings.Join(row, ","))
	}
	return strings.Join(all, ";"), rows.Err()
}
