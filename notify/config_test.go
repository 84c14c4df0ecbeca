package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhatIsWrongWithAReceiverIsSaidWithoutItsSecrets(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		err := c.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	am := func(url string) Config {
		return Config{Alertmanagers: []Alertmanager{{URL: "http://fine"}, {URL: url}}}
	}
	f(Config{}, "")
	f(am("http://am:9093"), "")
	f(am("https://user:hunter2@am.example/prefix"), "")
	f(am("am:9093"), "alertmanager 2: its URL has no http")
	f(am("http://"), "alertmanager 2: its URL has no http")
	f(am("http://user:hunter2@am:port/"), "alertmanager 2: its URL cannot be read")
	f(am("http://am/#hunter2"), "fragment")
	f(Config{Webhooks: []Webhook{{URL: "https://h.example/?token=hunter2"}}}, "webhook 1: it has no secret")
	f(Config{Webhooks: []Webhook{{URL: "https://h.example/?token=hunter2", Secret: "s"}}}, "")
}

func TestReceiversAreNamedByKindAndHostAlone(t *testing.T) {
	c := Config{
		Alertmanagers: []Alertmanager{{URL: "http://u:hunter2@am:9093/a"}, {URL: "http://am:9093/b"}},
		Webhooks:      []Webhook{{URL: "https://h.example/?token=hunter2", Secret: "s"}},
	}
	var names, urls []string
	for _, e := range c.receivers() {
		names, urls = append(names, e.name), append(urls, e.url.String())
	}
	same(t, "names", names, "alertmanager am:9093", "alertmanager am:9093 #2", "webhook h.example")
	same(t, "addresses", urls, "http://u:hunter2@am:9093/a/api/v2/alerts", "http://am:9093/b/api/v2/alerts", "https://h.example/?token=hunter2")
}

func TestReceiversAreReachedWithTheirCredentialsOverTLSAndThroughNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	trusts := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	results := SendTest(context.Background(), Config{
		Alertmanagers: []Alertmanager{{URL: server.URL, Authorization: "Bearer x", TLS: trusts}, {URL: server.URL}},
		Webhooks:      []Webhook{{URL: server.URL + "/hook", Secret: "s", TLS: trusts}},
	})
	same(t, "requests", asked, "POST /api/v2/alerts Bearer x", "POST /hook ")
	for i, want := range []string{"redirects are not followed", "certificate", "redirects are not followed"} {
		if err := results[i].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", results[i].Receiver, err, want)
		}
	}
}
