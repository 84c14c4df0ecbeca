package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Codes of ClickHouse (src/Common/ErrorCodes.cpp) that this process raises or
// branches on itself.
const (
	codeBadArguments   = 36
	codeNotImplemented = 48
	codeSyntaxError    = 62
	codeUnknownSetting = 115
	codeCancelled      = 394
	codeAccessDenied   = 497
	codeUnknown        = 1002

	codeAuthenticationFailed = 516
)

// exception is an error of ClickHouse: its code, its name in capitals, and the
// text that goes with it, without the code in front.
type exception struct {
	code int
	name string
	text string
}

func (e *exception) Error() string {
	return fmt.Sprintf("Code: %d. %s", e.code, e.text)
}

// exceptionf makes an exception of this process, worded like the engine's.
func exceptionf(code int, name, format string, args ...any) *exception {
	return &exception{code, name, "DB::Exception: " + fmt.Sprintf(format, args...) + " (" + name + ")"}
}

var (
	exceptionCode = regexp.MustCompile(`^Code: (\d+)\. (DB::Exception: )?`)
	exceptionName = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)`)
)

// parseException reads "Code: 60. DB::Exception: …. (UNKNOWN_TABLE)". Where
// one exception wraps another, as in an insert, the code and the text are the
// inner one's.
func parseException(text string) *exception {
	text = strings.TrimSpace(text)
	e := &exception{code: codeUnknown, name: "UNKNOWN_EXCEPTION"}
	for m := exceptionCode.FindStringSubmatch(text); m != nil; m = exceptionCode.FindStringSubmatch(text) {
		if code, err := strconv.Atoi(m[1]); err == nil {
			e.code = code
		}
		text = text[len(m[0]):]
	}
	if all := exceptionName.FindAllStringSubmatch(text, -1); all != nil {
		e.name = all[len(all)-1][1]
	}
	e.text = "DB::Exception: " + text
	return e
}

// asException is err as a client is told about it.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return exceptionf(codeUnknown, "UNKNOWN_EXCEPTION", "overreach-engine: %v", err)
}

// notStreamed tells that a statement is not one that the engine hands out
// piece by piece. It was not run then.
func notStreamed(err error) bool {
	var e *exception
	return errors.As(err, &e) && e.code == codeBadArguments && strings.HasPrefix(e.text, "DB::Exception: Streaming query is not supported")
}
