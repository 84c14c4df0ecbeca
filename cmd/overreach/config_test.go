package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load loads a configuration file of that text, in a folder of its own.
func load(t *testing.T, text string, env, flags map[string]string) (*Config, Origins, string, error) {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "overreach.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, o, err := LoadConfig(file, lookup(env), flags)
	return c, o, folder, err
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestWithoutAFileTheDefaultsHold(t *testing.T) {
	c, origins, err := LoadConfig("", lookup(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := *c
	got.secrets = nil
	want := Config{
		Kafka:      KafkaConfig{Group: "overreach", UnreadableAfter: Duration(time.Hour)},
		ClickHouse: ClickHouseConfig{Database: "overreach", Username: "default"},
		Time:       TimeConfig{Lateness: Duration(5 * time.Minute), StalledAfter: Duration(10 * time.Minute), MinTime: 10957, MaxFuture: Duration(time.Hour)},
		Batch:      BatchConfig{MaxEvents: 100000, MaxKeys: 50000},
		Judge:      JudgeConfig{Interval: Duration(time.Second), MaxUnregistered: 1000, MaxApps: 100},
		Alerts: AlertsConfig{MaxAge: Duration(dayLong), Group: Duration(10 * time.Minute), MaxStrangers: 20, Resend: Duration(time.Minute),
			Runbooks: "https://github.com/overreach/overreach/blob/main/"},
		Retention: RetentionConfig{Raw: Duration(90 * dayLong), Minutes: Duration(15 * dayLong), Hours: Duration(400 * dayLong), Rejects: Duration(30 * dayLong)},
		Listen:    "127.0.0.1:9464",
		Log:       LogConfig{Level: "info"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	for path, o := range origins {
		if o != originDefault {
			t.Errorf("%s comes from %s", path, o)
		}
	}
	if len(origins) != len(c.settings()) || len(origins) < 40 {
		t.Errorf("%d origins of %d settings", len(origins), len(c.settings()))
	}
}

func TestFlagGoesAboveEnvironmentAboveFileAboveDefault(t *testing.T) {
	f := func(file string, env, flags map[string]string, want, origin string) {
		t.Helper()
		c, origins, folder, err := load(t, file, env, flags)
		if err != nil {
			t.Error(err)
			return
		}
		got := strings.TrimPrefix(origins["kafka.group"], folder+"/")
		if c.Kafka.Group != want || got != origin {
			t.Errorf("group %q from %q, want %q from %q", c.Kafka.Group, got, want, origin)
		}
	}
	file := "kafka:\n  group: of-file"
	env := map[string]string{"OVERREACH_KAFKA_GROUP": "of-env"}
	flags := map[string]string{"kafka.group": "of-flag"}
	f("", nil, nil, "overreach", "default")
	f(file, nil, nil, "of-file", "overreach.yaml:2")
	f(file, map[string]string{"OVERREACH_KAFKA_GROUP": ""}, nil, "of-file", "overreach.yaml:2")
	f(file, env, nil, "of-env", "OVERREACH_KAFKA_GROUP")
	f(file, env, flags, "of-flag", "--kafka-group")
	f(file, nil, flags, "of-flag", "--kafka-group")
}

// Every setting that is no list of structs can be set by its variable, and what
// it prints as can be read again.
func TestEverySettingHasAVariable(t *testing.T) {
	texts := map[string]string{
		"kafka.start": "since:2018-11-05T00:00:00Z", "kafka.brokers": "a:1, b:2", "clickhouse.addresses": "c:3",
		"kafka.tls.enabled": "true", "clickhouse.tls.enabled": "true", "kafka.sasl.mechanism": "PLAIN",
		"alerts.alertmanager.urls": "http://d:4", "alerts.alertmanager.tls.enabled": "true", "alerts.runbooks": "https://e/",
		"alerts.webhook.url": "https://f/", "alerts.webhook.tls.enabled": "true", "alerts.max_age": "7m", "time.stalled_after": "7m",
		"time.min_time": "2001-02-03", "listen": ":1", "log.level": "warn", "log.format": "json",
	}
	env := map[string]string{}
	for _, s := range new(Config).settings() {
		if s.path == "kafka.topics" {
			continue
		}
		text := texts[s.path]
		switch {
		case text != "":
		case s.value.Type() == reflect.TypeFor[Duration]():
			text = "3d"
			if !strings.HasPrefix(s.path, "retention") {
				text = "7s"
			}
		case s.value.Kind() == reflect.Int:
			text = "77"
		default:
			text = "text"
		}
		env[envName(s.path)] = text
	}
	c, origins, err := LoadConfig("", lookup(env), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.settings() {
		if s.path == "kafka.topics" {
			continue
		}
		if origins[s.path] != envName(s.path) {
			t.Errorf("%s comes from %s", s.path, origins[s.path])
		}
		got := fmt.Sprint(s.value.Interface())
		if s.path == "kafka.brokers" {
			got = strings.Join(c.Kafka.Brokers, ", ")
		}
		if strings.Trim(got, "[]") != env[envName(s.path)] {
			t.Errorf("%s is %q, want %q", s.path, got, env[envName(s.path)])
		}
	}
}

func TestPathsInAFileAreMeantFromItsFolder(t *testing.T) {
	c, _, folder, err := load(t, `
registry: registry.yaml
hash_key_file: /etc/hash.key
kafka: {topics: [{topic: a, mapping: maps/own.yaml}, {topic: b, mapping: github}]}
`, map[string]string{"OVERREACH_CLICKHOUSE_PASSWORD_FILE": "here"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{string(c.Registry), string(c.HashKeyFile), string(c.Kafka.Topics[0].Mapping), string(c.Kafka.Topics[1].Mapping), string(c.ClickHouse.PasswordFile)}
	want := []string{folder + "/registry.yaml", "/etc/hash.key", folder + "/maps/own.yaml", "github", "here"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsNameOriginValueLimitAndWayOut(t *testing.T) {
	f := func(file string, env, flags map[string]string, want ...string) {
		t.Helper()
		_, _, folder, err := load(t, file, env, flags)
		if err == nil {
			t.Errorf("%q: no error", file)
			return
		}
		if got := strings.ReplaceAll(err.Error(), folder+"/", ""); got != strings.Join(want, "\n") {
			t.Errorf("%q:\n got %s\nwant %s", file, got, strings.Join(want, "\n"))
		}
	}
	env := func(name, value string) map[string]string { return map[string]string{name: value} }
	f("kafka: {goup: x}", nil, nil, `overreach.yaml:1: unknown field "goup": did you mean "group"? expected one of brokers, cluster, group, sasl, start, tls, topics, unreadable_after`)
	f("kafka: {password: x}", nil, nil, `overreach.yaml:1: unknown field "password": expected one of brokers, cluster, group, sasl, start, tls, topics, unreadable_after`)
	f("time: {lateness: 5}", nil, nil, `overreach.yaml:1: "5" is no duration: expected a number with a unit, as in 90d, 1d12h, 15m, 2s, 500ms`)
	f("time: {stalled_after: 5s}", nil, nil, `overreach.yaml:1: time.stalled_after: 5s is out of range: expected 1m to 30d`)
	f("time: {lateness: 2d}", nil, nil, `overreach.yaml:1: time.lateness: 2d is out of range: expected 0s to 1d`)
	f("\nbatch:\n  max_events: 0", nil, nil, `overreach.yaml:3: batch.max_events: 0 is out of range: expected 1 to 1000000`)
	f("batch: {max_age: 1ms}", nil, nil, `overreach.yaml:1: batch.max_age: 1ms is out of range: expected 100ms to 5m`)
	f("batch: {max_age: 0s}\njudge: {interval: 0s}", nil, nil, `overreach.yaml:2: judge.interval: 0s is out of range: expected 100ms to 1m`)
	f("retention: {raw: 36h}", nil, nil, `overreach.yaml:1: retention.raw: 1d12h is no whole number of days: rows are kept by the day, so expected as in 90d`)
	f("retention: {minutes: 1d}", nil, nil, `overreach.yaml:1: retention.minutes: 1d is out of range: expected 2d to 36500d`)
	f("kafka: {start: first}", nil, nil, `overreach.yaml:1: "first" is no start: expected earliest, latest, or since: with a time as in since:2018-11-05T00:00:00Z`)
	f("kafka: {topics: [{topic: a}, {topic: a}, {topic: 'b c'}]}", nil, nil,
		`overreach.yaml:1: kafka.topics[1].topic: topic "a" is listed already, as kafka.topics[0]: leave one of them out`,
		`overreach.yaml:1: kafka.topics[2].topic: "b c" is no topic: expected 1 to 249 letters, digits, dots, dashes and underscores`)
	f("kafka: {topics: [{mapping: github}]}", nil, nil, `overreach.yaml:1: field "topic" is missing here`)
	f("kafka: {tls: {ca: ca.pem}}", nil, nil, `overreach.yaml:1: kafka.tls.ca: it is set, and TLS is off: set kafka.tls.enabled to true, or leave it out`)
	f("clickhouse: {tls: {enabled: true, cert: c.pem}}", nil, nil, `overreach.yaml:1: clickhouse.tls.cert: a certificate without its key: set clickhouse.tls.key`)
	f("kafka: {sasl: {mechanism: SCRAM, username: u, password_file: p}}", nil, nil, `overreach.yaml:1: kafka.sasl.mechanism: "SCRAM" is unknown: expected one of ["PLAIN" "SCRAM-SHA-256" "SCRAM-SHA-512"]`)
	f("kafka: {sasl: {mechanism: PLAIN}}", nil, nil, `overreach.yaml:1: kafka.sasl.mechanism: a mechanism without a user: set kafka.sasl.username`)
	f("alerts: {alertmanager: {urls: [am:9093]}}", nil, nil, `overreach.yaml:1: alerts.alertmanager.urls: "am:9093" is no address: expected http:// or https:// with a host, as in https://alerts.example.com/hook`)
	f("alerts: {alertmanager: {urls: ['http://u:hunter2@am']}}", nil, nil, `overreach.yaml:1: alerts.alertmanager.urls: the address holds a user or a password: leave it out; secrets stand in files of their own`)
	f("alerts: {alertmanager: {username: u}}", nil, nil, `overreach.yaml:1: alerts.alertmanager.username: a user without a password: set alerts.alertmanager.password_file or OVERREACH_ALERTMANAGER_PASSWORD`)
	f("alerts: {alertmanager: {password_file: p}}", nil, nil, `overreach.yaml:1: alerts.alertmanager.password_file: a password without a user: set alerts.alertmanager.username, or leave it out`)
	f("alerts: {webhook: {url: 'https://hook'}}", nil, nil, `overreach.yaml:1: alerts.webhook.url: a webhook without a secret to sign with: make one with `+"`openssl rand -hex 32`"+` and set alerts.webhook.secret_file or OVERREACH_WEBHOOK_SECRET`)
	f("alerts: {webhook: {secret_file: s}}", nil, nil, `overreach.yaml:1: alerts.webhook.secret_file: a secret without a webhook: set alerts.webhook.url, or leave it out`)
	f("alerts: {resend: 1s}", nil, nil, `overreach.yaml:1: alerts.resend: 1s is out of range: expected 5s to 15m`)
	f("kafka: {sasl: {mechanism: PLAIN, username: u}}", nil, nil, `overreach.yaml:1: kafka.sasl.mechanism: a mechanism without a password: set kafka.sasl.password_file or OVERREACH_KAFKA_PASSWORD`)
	f("kafka: {sasl: {username: u}}", nil, nil, `overreach.yaml:1: kafka.sasl.username: a user without a mechanism: set kafka.sasl.mechanism, or leave it out`)
	f("", env("OVERREACH_KAFKA_BROKERS", "kafka"), nil, `OVERREACH_KAFKA_BROKERS: kafka.brokers: "kafka" is no address: expected host:port with a port from 1 to 65535`)
	f("", env("OVERREACH_CLICKHOUSE_ADDRESSES", ":9000"), nil, `OVERREACH_CLICKHOUSE_ADDRESSES: clickhouse.addresses: ":9000" is no address: expected host:port with a port from 1 to 65535`)
	f("", env("OVERREACH_BATCH_MAX_KEYS", "many"), nil, `OVERREACH_BATCH_MAX_KEYS: found "many", expected a whole number`)
	f("", env("OVERREACH_KAFKA_TLS_ENABLED", "yes"), nil, `OVERREACH_KAFKA_TLS_ENABLED: found "yes", expected true or false`)
	f("", nil, env("log.level", "loud"), `--log-level: log.level: "loud" is unknown: expected one of ["debug" "info" "warn" "error"]`)
	f("", nil, env("log.lvel", "info"), `no setting is called log.lvel`)
	f("listen: off\nlog: {level: warn}\nkafka: {group: ''}", nil, nil, `overreach.yaml:3: kafka.group: it is empty: expected the name of a consumer group`)
}

func TestAFileThatIsNotThereIsAnError(t *testing.T) {
	_, _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), lookup(nil), nil)
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestWhatRunNeedsIsNamedTogether(t *testing.T) {
	c, _, err := LoadConfig("", lookup(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := c.ValidateRun()
	if got == nil {
		t.Fatal("nothing is missing")
	}
	for _, want := range []string{"kafka.brokers: ", "kafka.topics: ", "kafka.start: ", "clickhouse.addresses: ", "registry: ", "openssl rand -hex 16", "OVERREACH_KAFKA_START"} {
		if !strings.Contains(got.Error(), want) {
			t.Errorf("%q is not in %v", want, got)
		}
	}
	full, _, _, err := load(t, "kafka: {brokers: [a:1], topics: [{topic: a}], start: latest}\nclickhouse: {addresses: [b:2]}\nregistry: r.yaml",
		map[string]string{"OVERREACH_HASH_KEY": "00112233445566778899aabbccddeeff"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := full.ValidateRun(); err != nil {
		t.Error(err)
	}
}

func TestSecretsComeFromTheEnvironmentOrElseAFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "secret")
	if err := os.WriteFile(file, []byte("of the file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(folder, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(env map[string]string, file, want, wantErr string) {
		t.Helper()
		c, _, err := LoadConfig("", lookup(env), map[string]string{"clickhouse.password_file": file})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.ClickHousePassword()
		if string(got) != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("got %q, %v; want %q, %q", string(got), err, want, wantErr)
		}
	}
	f(nil, "", "", "")
	f(nil, file, "of the file", "")
	f(map[string]string{"OVERREACH_CLICKHOUSE_PASSWORD": "of the environment"}, file, "of the environment", "")
	f(nil, empty, "", "is empty")
	f(nil, filepath.Join(folder, "none"), "", "none")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const secret = "hunter2"
	env := map[string]string{envKafkaPassword: secret, envClickHousePassword: secret, envHashKey: secret}
	c, origins, err := LoadConfig("", lookup(env), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.HashKey()
	if err != nil || string(key) != secret {
		t.Fatalf("the key is %q, %v", string(key), err)
	}
	asJSON, err := json.Marshal(struct {
		C *Config
		K Secret
	}{c, key})
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := c.print(&printed, origins); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %v %s %q %#v", *c, *c, key, key, key, key), string(asJSON), printed.String()} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is in %s", text)
		}
	}
}

func TestConfigPrintsValueAndOrigin(t *testing.T) {
	c, origins, folder, err := load(t, "kafka:\n  topics:\n  - topic: a\n    keep_raw: true\n  brokers: [a:1, b:2]",
		map[string]string{"OVERREACH_RETENTION_RAW": "7d", envHashKey: "x"}, map[string]string{"log.level": "warn"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.print(&b, origins); err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(b.String(), folder+"/", "")) {
		words := strings.Fields(line)
		lines[strings.Join(words[:len(words)-2], " ")] = strings.Join(words[len(words)-2:], " ")
	}
	for path, want := range map[string]string{
		"kafka.brokers": "a:1,b:2 overreach.yaml:5", "kafka.topics[0].topic": "a overreach.yaml:3",
		"kafka.topics[0].keep_raw": "true overreach.yaml:4", "kafka.topics[0].mapping": "- default",
		"retention.raw": "7d OVERREACH_RETENTION_RAW", "log.level": "warn --log-level", "judge.max_apps": "100 default",
		"hash key": "*** OVERREACH_HASH_KEY", "clickhouse password -": "not set",
	} {
		if lines[path] != want {
			t.Errorf("%s: got %q, want %q", path, lines[path], want)
		}
	}
	if _, ok := lines["kafka.topics"]; ok {
		t.Error("the list stands beside its items")
	}
}

func TestOnlyFlagsThatWereGivenCount(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("log-level", "info", "")
	flags.String("hash-key-file", "", "")
	flags.String("other", "", "")
	if err := flags.Parse([]string{"--hash-key-file=k", "--other=x"}); err != nil {
		t.Fatal(err)
	}
	if got := settingFlags(flags); !reflect.DeepEqual(got, map[string]string{"hash_key_file": "k"}) {
		t.Errorf("got %v", got)
	}
}

func TestDurationsAreReadInDaysToo(t *testing.T) {
	f := func(text string, want time.Duration, printed string) {
		t.Helper()
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want || d.String() != printed {
			t.Errorf("%q: got %s (%v), %v", text, d, time.Duration(d), err)
		}
	}
	f("90d", 90*dayLong, "90d")
	f("1d12h", 36*time.Hour, "1d12h")
	f("24h", dayLong, "1d")
	f("90m", 90*time.Minute, "1h30m")
	f("5m", 5*time.Minute, "5m")
	f("1h", time.Hour, "1h")
	f("1h0m5s", time.Hour+5*time.Second, "1h0m5s")
	f("1.5s", 1500*time.Millisecond, "1.5s")
	f("0s", 0, "0s")
	for _, wrong := range []string{"", "d", "5", "-1s", "-1d", "+1s", "1d-1h", "1.5d", "1w", "999999999d", "106751d24h", "1dd"} {
		var d Duration
		if err := d.UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q is taken as %s", wrong, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"90d", "1d12h", "0s", "1h0m", "106751d23h47m16s", "1.5s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d, back Duration
		if d.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d || d < 0 {
			t.Fatalf("%q is %d, printed %q, read again %d, %v", s, d, d, back, err)
		}
	})
}

func TestTheExampleIsAConfiguration(t *testing.T) {
	c, origins, err := LoadConfig("../../config.example.yaml", lookup(map[string]string{envHashKey: "00112233445566778899aabbccddeeff"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ValidateRun(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(string(c.Registry)); err != nil {
		t.Errorf("the example's registry: %v", err)
	}
	// What it says besides what has no default is the default, so that it can be
	// read as a list of them.
	defaults, _, err := LoadConfig("", lookup(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for i, s := range defaults.settings() {
		if s.field.Tag.Get("default") == "" || s.path == "clickhouse.username" {
			continue
		}
		for _, e := range c.settings() {
			if e.path == s.path {
				same++
				if !reflect.DeepEqual(e.value.Interface(), s.value.Interface()) {
					t.Errorf("%s (setting %d) is %v in the example, %v by default", s.path, i, e.value, s.value)
				}
				if origins[s.path] == originDefault {
					t.Errorf("%s has a default that the example does not show", s.path)
				}
			}
		}
	}
	if same < 15 {
		t.Errorf("%d settings were compared", same)
	}
}
