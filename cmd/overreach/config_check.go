package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// problems collects what is wrong with a configuration.
type problems struct {
	origins Origins
	errs    []error
}

// add notes what is wrong with the setting at path.
func (p *problems) add(path, format string, args ...any) {
	text := path + ": " + fmt.Sprintf(format, args...)
	if o := p.origins[path]; o != "" && o != originDefault {
		text = o + ": " + text
	}
	p.errs = append(p.errs, errors.New(text))
}

// number notes a number that is out of range.
func (p *problems) number(path string, n, least, most int) {
	if n < least || n > most {
		p.add(path, "%d is out of range: expected %d to %d", n, least, most)
	}
}

// duration notes a duration that is out of range.
func (p *problems) duration(path string, d Duration, least, most time.Duration) {
	if time.Duration(d) < least || time.Duration(d) > most {
		p.add(path, "%s is out of range: expected %s to %s", d, Duration(least), Duration(most))
	}
}

// oneOf notes a word that is none of the allowed; empty is allowed where the
// setting is optional.
func (p *problems) oneOf(path, word string, optional bool, allowed ...string) {
	if word == "" && optional {
		return
	}
	for _, a := range allowed {
		if word == a {
			return
		}
	}
	p.add(path, "%q is unknown: expected one of %q", word, allowed)
}

// address notes what is not host:port.
func (p *problems) address(path, address string, hostNeeded bool) {
	host, port, err := net.SplitHostPort(address)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || host == "" && hostNeeded {
		p.add(path, "%q is no address: expected host:port with a port from 1 to 65535", address)
	}
}

func (p *problems) tls(path string, c TLSConfig) {
	for _, f := range []struct{ name, value string }{
		{"ca", string(c.CA)}, {"cert", string(c.Cert)}, {"key", string(c.Key)}, {"server_name", c.ServerName},
	} {
		if f.value != "" && !c.Enabled {
			p.add(path+"."+f.name, "it is set, and TLS is off: set %s.enabled to true, or leave it out", path)
		}
	}
	switch {
	case c.Cert != "" && c.Key == "":
		p.add(path+".cert", "a certificate without its key: set %s.key", path)
	case c.Key != "" && c.Cert == "":
		p.add(path+".key", "a key without its certificate: set %s.cert", path)
	}
}

// Validate returns everything that is wrong with the values themselves, each
// with its origin, the value, the limit and the way out.
func (c *Config) Validate(origins Origins) error {
	p := &problems{origins: origins}
	c.validateServers(p)
	for i, t := range c.Kafka.Topics {
		path := fmt.Sprintf("kafka.topics[%d].topic", i)
		if !isTopic(t.Topic) {
			p.add(path, "%q is no topic: expected 1 to 249 letters, digits, dots, dashes and underscores", t.Topic)
		}
		for j, other := range c.Kafka.Topics[:i] {
			if other.Topic == t.Topic {
				p.add(path, "topic %q is listed already, as kafka.topics[%d]: leave one of them out", t.Topic, j)
			}
		}
	}

	p.duration("kafka.unreadable_after", c.Kafka.UnreadableAfter, 0, 30*dayLong)
	p.duration("time.lateness", c.Time.Lateness, 0, dayLong)
	p.duration("time.stalled_after", c.Time.StalledAfter, leastStalledAfter, 30*dayLong)
	p.duration("time.max_future", c.Time.MaxFuture, 0, 30*dayLong)
	p.number("batch.max_events", c.Batch.MaxEvents, 1, 1_000_000)
	p.number("batch.max_keys", c.Batch.MaxKeys, 1, 1_000_000)
	if c.Batch.MaxAge != 0 {
		p.duration("batch.max_age", c.Batch.MaxAge, 100*time.Millisecond, 5*time.Minute)
	}
	p.duration("judge.interval", c.Judge.Interval, 100*time.Millisecond, time.Minute)
	p.number("judge.max_unregistered", c.Judge.MaxUnregistered, 0, 100_000)
	p.number("alerts.max_strangers", c.Alerts.MaxStrangers, 1, 100_000)
	p.number("judge.max_apps", c.Judge.MaxApps, 1, 100_000)
	c.validateAlerts(p)
	for _, r := range []struct {
		path  string
		value Duration
		least time.Duration // two days where windows reach from one into the next
	}{
		{"retention.raw", c.Retention.Raw, dayLong},
		{"retention.minutes", c.Retention.Minutes, 2 * dayLong},
		{"retention.hours", c.Retention.Hours, 2 * dayLong},
		{"retention.rejects", c.Retention.Rejects, dayLong},
	} {
		p.duration(r.path, r.value, r.least, 36500*dayLong)
		if time.Duration(r.value)%dayLong != 0 {
			p.add(r.path, "%s is no whole number of days: rows are kept by the day, so expected as in 90d", r.value)
		}
	}
	if c.Listen != "off" {
		p.address("listen", c.Listen, false)
	}
	p.oneOf("log.level", c.Log.Level, false, "debug", "info", "warn", "error")
	p.oneOf("log.format", c.Log.Format, true, "console", "json")
	return errors.Join(p.errs...)
}

func (c *Config) validateServers(p *problems) {
	for _, b := range c.Kafka.Brokers {
		p.address("kafka.brokers", b, true)
	}
	for _, a := range c.ClickHouse.Addresses {
		p.address("clickhouse.addresses", a, true)
	}
	if c.Kafka.Group == "" {
		p.add("kafka.group", "it is empty: expected the name of a consumer group")
	}
	if c.ClickHouse.Database == "" {
		p.add("clickhouse.database", "it is empty: expected the name of a database")
	}
	if c.ClickHouse.Username == "" {
		p.add("clickhouse.username", "it is empty: expected the name of a user")
	}
	p.tls("kafka.tls", c.Kafka.TLS)
	p.tls("clickhouse.tls", c.ClickHouse.TLS)
	s := c.Kafka.SASL
	p.oneOf("kafka.sasl.mechanism", s.Mechanism, true, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	switch {
	case s.Mechanism == "" && s.Username != "":
		p.add("kafka.sasl.username", "a user without a mechanism: set kafka.sasl.mechanism, or leave it out")
	case s.Mechanism == "" && s.PasswordFile != "":
		p.add("kafka.sasl.password_file", "a password without a mechanism: set kafka.sasl.mechanism, or leave it out")
	case s.Mechanism != "" && s.Username == "":
		p.add("kafka.sasl.mechanism", "a mechanism without a user: set kafka.sasl.username")
	case s.Mechanism != "" && s.PasswordFile == "" && c.secrets.kafka == "":
		p.add("kafka.sasl.mechanism", "a mechanism without a password: set kafka.sasl.password_file or %s", envKafkaPassword)
	}
}

func (c *Config) validateAlerts(p *problems) {
	p.duration("alerts.max_age", c.Alerts.MaxAge, time.Minute, 30*dayLong)
	p.duration("alerts.group", c.Alerts.Group, 0, dayLong)
	p.duration("alerts.resend", c.Alerts.Resend, 5*time.Second, 15*time.Minute)
	if c.Alerts.Runbooks != "" {
		p.webAddress("alerts.runbooks", c.Alerts.Runbooks)
	}
	am, hook := c.Alerts.Alertmanager, c.Alerts.Webhook
	for _, address := range am.URLs {
		p.webAddress("alerts.alertmanager.urls", address)
	}
	p.tls("alerts.alertmanager.tls", am.TLS)
	switch password := am.PasswordFile != "" || c.secrets.alertmanager != ""; {
	case am.Username != "" && !password:
		p.add("alerts.alertmanager.username", "a user without a password: set alerts.alertmanager.password_file or %s", envAlertmanager)
	case am.Username == "" && am.PasswordFile != "":
		p.add("alerts.alertmanager.password_file", "a password without a user: set alerts.alertmanager.username, or leave it out")
	}
	p.tls("alerts.webhook.tls", hook.TLS)
	switch secret := hook.SecretFile != "" || c.secrets.webhook != ""; {
	case hook.URL != "" && !secret:
		p.add("alerts.webhook.url", "a webhook without a secret to sign with: make one with `openssl rand -hex 32` and set alerts.webhook.secret_file or %s", envWebhookSecret)
	case hook.URL == "" && hook.SecretFile != "":
		p.add("alerts.webhook.secret_file", "a secret without a webhook: set alerts.webhook.url, or leave it out")
	case hook.URL != "":
		p.webAddress("alerts.webhook.url", hook.URL)
	}
}

// webAddress notes what is no address of a web server.
func (p *problems) webAddress(path, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		p.add(path, "%q is no address: expected http:// or https:// with a host, as in https://alerts.example.com/hook", address)
	case u.User != nil:
		p.add(path, "the address holds a user or a password: leave it out; secrets stand in files of their own")
	}
}

// isTopic reports whether Kafka allows a topic of that name.
func isTopic(name string) bool {
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 249 && name != "." && name != ".."
}

// ValidateRun returns what `overreach run` needs, against servers, and was not
// set.
func (c *Config) ValidateRun() error {
	var p problems
	need := func(path string, missing bool, what string) {
		if missing {
			p.add(path, "it is not set: expected %s (or %s)", what, envName(path))
		}
	}
	need("kafka.brokers", len(c.Kafka.Brokers) == 0, "the addresses of some brokers, as in [kafka-1:9092]")
	if len(c.Kafka.Topics) == 0 {
		p.add("kafka.topics", "it is not set: expected the topics to read, as in [{topic: access}]")
	}
	need("kafka.start", c.Kafka.Start.At == "", "where a group that never read begins: earliest, latest, or since: with a time")
	need("clickhouse.addresses", len(c.ClickHouse.Addresses) == 0, "the addresses of ClickHouse, as in [clickhouse-1:9000]")
	need("registry", c.Registry == "", "the file that says what partners may do; `overreach registry init` drafts one")
	if _, err := c.HashKey(); err != nil {
		p.errs = append(p.errs, err)
	}
	return errors.Join(p.errs...)
}
