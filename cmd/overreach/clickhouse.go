package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// The ports that ClickHouse's own clients try first.
const (
	nativeDefault = "127.0.0.1:9000"
	httpDefault   = "127.0.0.1:8123"
)

func newClickHouseCommand(a *app) *cobra.Command {
	var at engineAddresses
	cmd := &cobra.Command{
		Use:   "clickhouse DIR",
		Short: "Serve a folder of --local to ClickHouse's clients",
		Long: `Serves what overreach run --local DIR left in a folder, in ClickHouse's native
protocol and over HTTP, until Ctrl-C. curl, clickhouse-client, clickhouse-connect,
clickhouse-driver, Grafana and others read it as they read a server.

It answers this machine alone, and whoever has the password, which it prints and
keeps in DIR/clickhouse/overreach-engine.token. It reads and writes the folder's
tables and nothing else. Where a default port is taken and no other is named, a free
one is used; port 0 takes a free one.`,
		Example: `  overreach clickhouse demo-data
  overreach clickhouse demo-data --http 127.0.0.1:18123 --native 127.0.0.1:0`,
		Args: exactly("one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("native") {
				at.Native = orFree(nativeDefault)
			}
			if !cmd.Flags().Changed("http") {
				at.HTTP = orFree(httpDefault)
			}
			return a.serveClickHouse(cmd.Context(), args[0], at)
		},
	}
	cmd.Flags().StringVar(&at.Native, "native", nativeDefault, "loopback `ADDRESS` of the native protocol, host:port")
	cmd.Flags().StringVar(&at.HTTP, "http", httpDefault, "loopback `ADDRESS` of HTTP, host:port")
	return cmd
}

// orFree is the address if nobody listens there, or else empty: a free port.
func orFree(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return ""
	}
	if l.Close() != nil {
		return ""
	}
	return address
}

func (a *app) serveClickHouse(ctx context.Context, dir string, at engineAddresses) (err error) {
	if err := checkLocal(dir); err != nil {
		return err
	}
	e, err := startLocalEngineAt(ctx, dir, at, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(filepath.Join(dir, engineFile)), e.Stop()) }()
	if err := writeHowToConnect(a, addressesOf(e)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil // it was asked to end
	case <-e.Done():
		return errors.New("the engine ended by itself")
	}
}

// writeHowToConnect says what to type.
func writeHowToConnect(a *app, at engineAddresses) error {
	host, httpPort, err := net.SplitHostPort(at.HTTP)
	if err != nil {
		return err
	}
	nativeHost, nativePort, err := net.SplitHostPort(at.Native)
	if err != nil {
		return err
	}
	const sql = "SELECT partner, people, sentence FROM findings ORDER BY people DESC"
	_, err = fmt.Fprintf(a.stdout, `ClickHouse answers at %[1]s (native) and http://%[2]s, database %[3]s, until Ctrl-C.
The user is %[9]s, the password is in each line below: it is this folder's, so keep it to yourself.

curl               curl '%[11]s?database=%[3]s&default_format=PrettyCompact' -d '%[8]s'
clickhouse-client  clickhouse-client --host %[4]s --port %[5]s --password %[10]s --database %[3]s --query '%[8]s'
Python             import clickhouse_connect
                   client = clickhouse_connect.get_client(dsn='%[11]s%[3]s')
                   client.query_df('%[8]s')
JDBC               jdbc:clickhouse://%[2]s/%[3]s?user=%[9]s&password=%[10]s
Grafana            ClickHouse data source: server %[6]s, port %[7]s, protocol HTTP, default database %[3]s,
                   user %[9]s, password %[10]s
`, at.Native, at.HTTP, localDatabase, nativeHost, nativePort, host, httpPort, sql, at.User, at.Password, at.url())
	return err
}
