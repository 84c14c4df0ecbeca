package main

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/overreach/overreach/schema/strict"
)

// Origins say for each setting, by its path (kafka.brokers, kafka.topics[0].topic),
// where its value comes from: "default", file:line, the name of a variable of
// the environment, or a flag.
type Origins map[string]string

const originDefault = "default"

// LoadConfig reads the configuration file (none where path is empty) and puts
// the environment and then the flags above it. The flags are the values that
// were given on the command line, by the path of their setting. Secrets are not
// read yet: KafkaPassword, ClickHousePassword and HashKey do that.
//
// Every error says which value of which origin is wrong and what is expected;
// all that are found are returned together. What only `overreach run` needs is
// checked by ValidateRun.
func LoadConfig(path string, env func(string) (string, bool), flags map[string]string) (*Config, Origins, error) {
	c, origins := &Config{secrets: &secrets{}}, Origins{}
	for _, s := range c.settings() {
		origins[s.path] = originDefault
		if text := s.field.Tag.Get("default"); text != "" {
			if err := setText(s.value, text); err != nil {
				return nil, nil, fmt.Errorf("default of %s: %w", s.path, err)
			}
		}
	}
	if path != "" {
		if err := c.loadFile(path, origins); err != nil {
			return nil, nil, err
		}
	}
	var errs []error
	known := map[string]bool{}
	for _, s := range c.settings() {
		known[s.path] = true
		if !s.wirable() {
			continue
		}
		name := envName(s.path)
		if text, ok := env(name); ok && text != "" {
			origins[s.path] = name
			if err := setText(s.value, text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		if text, ok := flags[s.path]; ok {
			origins[s.path] = flagName(s.path)
			if err := setText(s.value, text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", flagName(s.path), err))
			}
		}
	}
	for p := range flags {
		if !known[p] {
			errs = append(errs, fmt.Errorf("no setting is called %s", p))
		}
	}
	for name, secret := range map[string]*Secret{
		envKafkaPassword:      &c.secrets.kafka,
		envClickHousePassword: &c.secrets.clickHouse,
		envHashKey:            &c.secrets.hashKey,
		envAlertmanager:       &c.secrets.alertmanager,
		envWebhookSecret:      &c.secrets.webhook,
	} {
		text, _ := env(name)
		*secret = Secret(text)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	if err := c.Validate(origins); err != nil {
		return nil, nil, err
	}
	return c, origins, nil
}

// loadFile puts what the file says over the defaults.
func (c *Config) loadFile(path string, origins Origins) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	doc, err := strict.Decode(path, data, c)
	if err != nil {
		return err
	}
	clear(origins) // a list that was empty is told item by item now
	for _, s := range c.settings() {
		if !doc.Has(s.at) {
			origins[s.path] = originDefault
			continue
		}
		origins[s.path] = fmt.Sprintf("%s:%d", path, doc.Line(s.at))
		if p, ok := s.value.Addr().Interface().(interface{ from(folder string) }); ok {
			p.from(filepath.Dir(path))
		}
	}
	return nil
}

// setting is one value of a configuration.
type setting struct {
	path   string
	at     strict.Path
	field  reflect.StructField
	value  reflect.Value
	inList bool // it belongs to an item of a list
}

// wirable reports whether a variable or a flag can set the value.
func (s setting) wirable() bool {
	return !s.inList && (s.value.Kind() != reflect.Slice || s.value.Type().Elem().Kind() == reflect.String)
}

// settings returns the values in the order of the documentation. A list of
// structs stands as the fields of its items, and as itself only where it is
// empty.
func (c *Config) settings() []setting {
	return settingsOf(reflect.ValueOf(c).Elem(), setting{})
}

func settingsOf(v reflect.Value, parent setting) []setting {
	var all []setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		s := setting{field: f, value: v.Field(i), inList: parent.inList}
		s.path = strings.TrimPrefix(parent.path+"."+name, ".")
		s.at = append(append(s.at, parent.at...), name)
		_, isText := s.value.Addr().Interface().(encoding.TextUnmarshaler)
		switch {
		case s.value.Kind() == reflect.Struct && !isText:
			all = append(all, settingsOf(s.value, s)...)
		case s.value.Kind() == reflect.Slice && s.value.Type().Elem().Kind() == reflect.Struct && s.value.Len() > 0:
			for j := range s.value.Len() {
				item := setting{path: fmt.Sprintf("%s[%d]", s.path, j), inList: true}
				item.at = append(append(item.at, s.at...), j)
				all = append(all, settingsOf(s.value.Index(j), item)...)
			}
		default:
			all = append(all, s)
		}
	}
	return all
}

// setText sets a value from the text of a variable, a flag or a default. The
// items of a list are parted by commas.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("found %q, expected true or false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, strconv.IntSize)
		if err != nil {
			return fmt.Errorf("found %q, expected a whole number", text)
		}
		v.SetInt(n)
	case reflect.Slice:
		var items []string
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		v.Set(reflect.ValueOf(items))
	default:
		return fmt.Errorf("a %s cannot be set by a text", v.Type())
	}
	return nil
}

// envName is the variable of a setting: kafka.tls.ca is OVERREACH_KAFKA_TLS_CA.
func envName(path string) string {
	return "OVERREACH_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// flagName is the flag of a setting: log.level is --log-level.
func flagName(path string) string {
	return "--" + strings.NewReplacer(".", "-", "_", "-").Replace(path)
}

// The variables that hold secrets.
const (
	envKafkaPassword      = "OVERREACH_KAFKA_PASSWORD"
	envClickHousePassword = "OVERREACH_CLICKHOUSE_PASSWORD"
	envHashKey            = "OVERREACH_HASH_KEY"
	envAlertmanager       = "OVERREACH_ALERTMANAGER_PASSWORD"
	envWebhookSecret      = "OVERREACH_WEBHOOK_SECRET"
)

// secrets are what the environment held.
type secrets struct{ kafka, clickHouse, hashKey, alertmanager, webhook Secret }

// KafkaPassword returns the password for Kafka, from the environment or else the
// file; empty where neither is set.
func (c *Config) KafkaPassword() (Secret, error) {
	return readSecret(c.secrets.kafka, c.Kafka.SASL.PasswordFile)
}

// ClickHousePassword returns the password for ClickHouse, from the environment
// or else the file; empty where neither is set.
func (c *Config) ClickHousePassword() (Secret, error) {
	return readSecret(c.secrets.clickHouse, c.ClickHouse.PasswordFile)
}

// HashKey returns the key under which user ids are hashed, as text, from the
// environment or else the file. None is an error: ids must not be kept under a
// key that everyone knows.
func (c *Config) HashKey() (Secret, error) {
	key, err := readSecret(c.secrets.hashKey, c.HashKeyFile)
	if err == nil && key == "" {
		err = errors.New("there is no key to hash user ids with: make one with `openssl rand -hex 16 > hash.key; chmod 600 hash.key` " +
			"and set hash_key_file: hash.key, or put it into " + envHashKey)
	}
	return key, err
}

// readSecret returns what the environment held or else what the file holds, less
// a line's end.
func readSecret(env Secret, file FilePath) (Secret, error) {
	if env != "" || file == "" {
		return env, nil
	}
	data, err := os.ReadFile(string(file))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	s := strings.TrimRight(string(data), "\r\n")
	if s == "" {
		return "", fmt.Errorf("the secret's file %s is empty", file)
	}
	return Secret(s), nil
}
