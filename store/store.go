// Package store keeps usage, markers, findings and the registry's history in
// ClickHouse: it applies the migrations, inserts each batch exactly once and
// reads sums back. It never waits or tries again: an error is returned, and
// Temporary says whether trying again may help.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Config says where ClickHouse is and who asks.
type Config struct {
	Addresses []string // host:port of the native protocol; the first that answers is used
	Database  string
	Username  string
	Password  string
	TLS       *tls.Config // nil: plain TCP

	// Cluster, where not empty, makes Migrate create Replicated tables ON
	// CLUSTER, and inserts wait for a quorum. The servers must define the macros
	// {shard} and {replica}; one shard is supported.
	Cluster string
}

const (
	// openTimeout bounds Open: who starts a program wants one clear line soon.
	openTimeout = 9 * time.Second

	// dialTimeout bounds the connecting to one address, and the waiting for a
	// connection of the pool.
	dialTimeout = 4 * time.Second

	// insertTimeout bounds one insert. The log of tokens holds 10,000 ids a
	// table; at ten inserts a second it reaches back 1,000 s, so an insert that
	// was given up is long over, at the server too, before its token is forgotten.
	insertTimeout = 60 * time.Second
)

// Store is a pool of connections to one database. It can be used by several
// goroutines at once.
type Store struct {
	conn    driver.Conn
	cluster string
	where   string // for errors
}

// Open connects and asks for an answer. Within ten seconds it returns either a
// store or an error that says what to do: nothing listens, the password is
// wrong, the database does not exist. It does not look at the tables: Pending
// does.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	where := fmt.Sprintf("ClickHouse at %s, database %s", strings.Join(cfg.Addresses, ", "), cfg.Database)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol:             clickhouse.Native,
		Addr:                 cfg.Addresses,
		Auth:                 clickhouse.Auth{Database: cfg.Database, Username: cfg.Username, Password: cfg.Password},
		TLS:                  cfg.TLS,
		DialTimeout:          dialTimeout,
		MaxOpenConns:         32,
		MaxIdleConns:         8,
		ConnMaxLifetime:      time.Hour,
		ConnOpenStrategy:     clickhouse.ConnOpenInOrder,
		FreeBufOnConnRelease: true, // else each connection keeps what its largest insert took
		Compression:          &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		Settings: clickhouse.Settings{
			"max_query_size": 64 << 20, // lists of partners are part of the query
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	s := &Store{conn: conn, cluster: cfg.Cluster, where: where}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(s.explain(err), conn.Close())
	}
	return s, nil
}

// CreateDatabase creates the database that cfg names where it does not exist,
// so that Open can connect to it.
func CreateDatabase(ctx context.Context, cfg Config) (err error) {
	name := cfg.Database
	cfg.Database = "" // the user's default, which always exists
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(name)+onCluster(cfg.Cluster)); err != nil {
		return fmt.Errorf("creating database %s: %w", name, s.explain(err))
	}
	return nil
}

// Close closes all connections.
func (s *Store) Close() error { return s.conn.Close() }

// Ping asks for an answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return s.explain(err)
	}
	return nil
}

// Codes of ClickHouse (src/Common/ErrorCodes.cpp) that are branched on.
const (
	codeUnknownColumn   = 47
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeUnknownUser     = 192
	codeWrongPassword   = 193
	codeAuthFailed      = 516
	codeAccessDenied    = 497
)

// temporaryCodes are those that pass by themselves or by what an operator does
// beside: a full disk, too many parts, a replica that is away.
var temporaryCodes = map[int32]string{
	3:    "UNEXPECTED_END_OF_FILE",
	32:   "ATTEMPT_TO_READ_AFTER_EOF",
	101:  "UNEXPECTED_PACKET_FROM_CLIENT",
	159:  "TIMEOUT_EXCEEDED",
	160:  "TOO_SLOW",
	164:  "READONLY",
	198:  "DNS_ERROR",
	201:  "QUOTA_EXCEEDED",
	202:  "TOO_MANY_SIMULTANEOUS_QUERIES",
	209:  "SOCKET_TIMEOUT",
	210:  "NETWORK_ERROR",
	225:  "NO_ZOOKEEPER",
	236:  "ABORTED",
	241:  "MEMORY_LIMIT_EXCEEDED",
	242:  "TABLE_IS_READ_ONLY",
	243:  "NOT_ENOUGH_SPACE",
	252:  "TOO_MANY_PARTS",
	279:  "ALL_CONNECTION_TRIES_FAILED",
	285:  "TOO_FEW_LIVE_REPLICAS",
	286:  "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
	289:  "REPLICA_IS_NOT_IN_QUORUM",
	319:  "UNKNOWN_STATUS_OF_INSERT",
	335:  "BACKGROUND_EXECUTOR",
	394:  "QUERY_WAS_CANCELLED",
	425:  "SYSTEM_ERROR",
	439:  "CANNOT_SCHEDULE_TASK",
	473:  "DEADLOCK_AVOIDED",
	517:  "CANNOT_ASSIGN_ALTER",
	999:  "KEEPER_EXCEPTION",
	1000: "POCO_EXCEPTION",
}

// Temporary reports whether the same call may succeed later: ClickHouse is
// away or overloaded. It is false for what needs another configuration,
// password, schema or program, and where the caller's own context ended the call.
func Temporary(err error) bool {
	var exception *clickhouse.Exception
	var certificate *tls.CertificateVerificationError
	var permanent permanentError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &certificate), errors.As(err, &permanent):
		return false
	case errors.As(err, &exception):
		_, ok := temporaryCodes[exception.Code]
		return ok
	}
	return true // the network, or a deadline
}

// NoDatabase reports whether ClickHouse answered that the database is not there.
func NoDatabase(err error) bool {
	var exception *clickhouse.Exception
	return errors.As(err, &exception) && exception.Code == codeUnknownDatabase
}

// permanentError is an error of our own that trying again does not mend.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// refused makes an error that is not Temporary.
func refused(format string, args ...any) error {
	return permanentError{fmt.Errorf(format, args...)}
}

// exceptionError is an error that ClickHouse answered with.
type exceptionError struct {
	error
	code int32
}

func (e exceptionError) Unwrap() error { return e.error }

// Kind names the error for metrics: by ClickHouse's own name, else by its code.
func (e exceptionError) Kind() string {
	if name, ok := temporaryCodes[e.code]; ok {
		return strings.ToLower(name)
	}
	return fmt.Sprintf("code_%d", e.code)
}

// explain puts the place in front of an error of ClickHouse, and the way out
// behind it where there is one. What it returns may be logged: see safe.
func (s *Store) explain(err error) error {
	err = safe(err)
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		err = exceptionError{err, exception.Code}
		switch exception.Code {
		case codeUnknownUser, codeWrongPassword, codeAuthFailed:
			return fmt.Errorf("%s: user or password is wrong: %w", s.where, err)
		case codeAccessDenied:
			return fmt.Errorf("%s: the user lacks a GRANT: %w", s.where, err)
		case codeUnknownDatabase:
			return fmt.Errorf("%s: the database does not exist, overreach migrate makes it: %w", s.where, err)
		case codeUnknownTable, codeUnknownColumn:
			return fmt.Errorf("%s: a table is missing or of another version, overreach migrate makes it: %w", s.where, err)
		}
		return fmt.Errorf("%s: %w", s.where, err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: no answer: %w", s.where, err)
}
