package store

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// shown are the codes whose messages are passed on: they speak of servers, disks,
// memory, users and tables. Any other message may quote a value of a row or of the
// query ("Cannot parse string 'alice@…' as …"), and what is an error here ends in
// a log. Beside these, the temporary ones are shown but for those that reading a
// value can raise.
var shown = map[int32]bool{
	codeUnknownTable: true, codeUnknownDatabase: true, codeUnknownUser: true, codeWrongPassword: true,
	codeAuthFailed: true, codeAccessDenied: true,
}

// quoting are temporary codes that ClickHouse also raises over a value.
var quoting = map[int32]bool{
	3:    true, // UNEXPECTED_END_OF_FILE
	32:   true, // ATTEMPT_TO_READ_AFTER_EOF, with the row around it
	1000: true, // POCO_EXCEPTION, of which anything may be the cause
}

// whereItHappened begins the part of a message that says what ClickHouse was doing, with
// the constants of the query in it, or shows the query or the row.
var whereItHappened = regexp.MustCompile(`(?is)[.:,;]?\s*\(?\s*(?:\bwhile\b|in scope\b|in query\b|maybe you meant|row [0-9]+|at row\b|stack trace).*`)

// longestShown bounds the part of a message that is passed on, in bytes.
const longestShown = 400

// safeException is an exception of ClickHouse whose text holds no value of a row.
type safeException struct{ *clickhouse.Exception }

// Error says the code, its name, and of the message what may be shown.
func (e safeException) Error() string {
	name := proto.Error(e.Code).String()
	if strings.HasPrefix(name, "Error(") {
		name = "a code that this version does not know"
	}
	message := ""
	if _, temporary := temporaryCodes[e.Code]; shown[e.Code] || temporary && !quoting[e.Code] {
		message = strings.TrimSpace(whereItHappened.ReplaceAllString(e.Message, ""))
	}
	if message == "" {
		return fmt.Sprintf("code: %d, %s (its message may quote what is stored, so it is left out here; system.query_log and the server's log have it)", e.Code, name)
	}
	if len(message) > longestShown {
		message = strings.ToValidUTF8(message[:longestShown], "") + "…"
	}
	return fmt.Sprintf("code: %d, %s: %s", e.Code, name, message)
}

// Unwrap returns the exception, to branch on its code, never to be shown.
func (e safeException) Unwrap() error { return e.Exception }

// safe returns an error whose text holds no value of a row: where an exception of
// ClickHouse is behind it, that alone.
func safe(err error) error {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return safeException{exception}
	}
	return err
}
