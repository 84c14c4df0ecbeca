package consumer

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"
)

// The kinds of error that any server may come to. Others are named after what the
// server answered.
const (
	kindRefused = "connection_refused"
	kindLost    = "connection_lost"
	kindTimeout = "timeout"
	kindName    = "name_not_found"
	kindTLS     = "tls"
	kindNetwork = "network"
	kindOther   = "other"
)

// networkKinds are exported from the start, as zeros, so that a rate knows where
// they began.
var networkKinds = []string{kindRefused, kindLost, kindTimeout, kindName, kindTLS, kindNetwork, kindOther}

// kindOf returns what kind of error it is: one of few words, without offsets,
// addresses or anything else that a sender could choose. An error that knows its
// kind has a method Kind that returns it.
func kindOf(err error) string {
	var (
		own       interface{ Kind() string }
		code      kafka.Error
		name      *net.DNSError
		network   *net.OpError
		timeout   net.Error
		untrusted *tls.CertificateVerificationError
		alert     tls.AlertError
		plain     tls.RecordHeaderError
	)
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &own):
		return own.Kind()
	case errors.As(err, &code):
		if title := code.Title(); title != "" {
			return strings.ReplaceAll(strings.ToLower(title), " ", "_")
		}
		return fmt.Sprintf("code_%d", int(code))
	case errors.As(err, &untrusted), errors.As(err, &alert), errors.As(err, &plain):
		return kindTLS
	case errors.As(err, &timeout) && timeout.Timeout(), is(context.DeadlineExceeded):
		return kindTimeout
	case errors.As(err, &name):
		return kindName
	case is(syscall.ECONNREFUSED):
		return kindRefused
	case is(io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, driver.ErrBadConn):
		return kindLost
	case errors.As(err, &network):
		return kindNetwork
	}
	return kindOther
}
