package notify

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// endpoint is a receiver and where it is.
type endpoint struct {
	receiver
	name   string // what logs, metrics and tables call it: kind and host, never more of the URL
	url    *url.URL
	client *http.Client
}

// Check says what is wrong with the receivers, if anything is. No secret is part
// of it.
func (c Config) Check() error {
	var errs []error
	for i, a := range c.Alertmanagers {
		if _, err := address(a.URL); err != nil {
			errs = append(errs, fmt.Errorf("alertmanager %d: %w", i+1, err))
		}
	}
	for i, w := range c.Webhooks {
		if _, err := address(w.URL); err != nil {
			errs = append(errs, fmt.Errorf("webhook %d: %w", i+1, err))
		}
		if w.Secret == "" {
			errs = append(errs, fmt.Errorf("webhook %d: it has no secret to sign with; openssl rand -hex 32 makes one", i+1))
		}
	}
	return errors.Join(errs...)
}

// address reads a URL. Its errors leave out what it says, which may be a secret.
func address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("its URL cannot be read: expected http://HOST:PORT or https://HOST:PORT, with a path where there is one")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("its URL has no http:// or https:// and host: expected http://HOST:PORT or https://HOST:PORT")
	case u.Fragment != "":
		return nil, errors.New("its URL has a fragment (#…), which is never sent: leave it out")
	}
	return u, nil
}

// receivers are who is told, in the order in which they are configured. One whose
// URL does not pass Check is left out.
func (c Config) receivers() []endpoint {
	var all []endpoint
	names := map[string]int{}
	add := func(kind string, u *url.URL, client *http.Client, r receiver) {
		name := kind + " " + u.Host
		if names[name]++; names[name] > 1 {
			name += fmt.Sprintf(" #%d", names[name])
		}
		all = append(all, endpoint{r, name, u, client})
	}
	for _, a := range c.Alertmanagers {
		if u, err := address(a.URL); err == nil {
			r := &alertmanager{authorization: a.Authorization, resend: c.Resend, runbooks: c.Runbooks, last: map[string]sending{}}
			add("alertmanager", u.JoinPath("api", "v2", "alerts"), newClient(a.TLS), r)
		}
	}
	for _, w := range c.Webhooks {
		if u, err := address(w.URL); err == nil {
			add("webhook", u, newClient(w.TLS), &webhook{secret: []byte(w.Secret), runbooks: c.Runbooks})
		}
	}
	return all
}
