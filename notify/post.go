package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	requestTimeout = 10 * time.Second

	// longestAnswer is how much of an answer is read, so that its connection can
	// be used again. None of it is kept.
	longestAnswer = 64 << 10
)

// newClient returns a client that goes where its URL says and nowhere else: it
// follows no redirect and takes no proxy from the environment.
func newClient(config *tls.Config) *http.Client {
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig:     config,
			TLSHandshakeTimeout: requestTimeout,
			IdleConnTimeout:     2 * time.Minute,
			MaxIdleConnsPerHost: 1,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// failure is why a request did not succeed. It never holds more of the URL than
// the host.
type failure struct {
	err     error
	refused bool          // trying again is of no use
	network bool          // there was no answer
	after   time.Duration // the receiver asked to wait
}

// post sends a body, and returns nil where it was taken.
func post(ctx context.Context, client *http.Client, target *url.URL, header http.Header, body []byte) *failure {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return &failure{err: errors.New("its URL cannot be used"), network: true}
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "overreach")
	response, err := client.Do(request)
	if err != nil {
		var outer *url.Error // its text holds the URL, and with it what may be a secret
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return &failure{err: err, network: true}
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, longestAnswer)
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return &failure{err: fmt.Errorf("it answered %s: redirects are not followed, name the address that it leads to", status(code))}
	case aboutTheEvent(code):
		return &failure{err: fmt.Errorf("it answered %s", status(code)), refused: true}
	default:
		return &failure{err: fmt.Errorf("it answered %s", status(code)), after: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	}
}

// aboutTheEvent reports whether a status refuses what was sent. The other 4xx are
// about credentials, the address or the pace, which somebody will put right.
func aboutTheEvent(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return code >= 400 && code < 500
}

func status(code int) string {
	return fmt.Sprintf("%d %s", code, http.StatusText(code))
}

// longestWait bounds what a receiver may ask for.
const longestWait = 10 * time.Minute

// retryAfter reads the header: seconds, or a time.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return max(0, min(wait, longestWait))
}
