package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfigCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print every setting, its value and where it comes from",
		Long: `Print every setting with the value in force and its origin: a flag, a variable
of the environment, a line of the configuration file, or the default. Secrets
are masked: it is said only where they come from.

The file is named by --config or OVERREACH_CONFIG. Each setting has a variable:
kafka.tls.ca is OVERREACH_KAFKA_TLS_CA; lists are parted by commas.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, origins, err := a.loadConfig()
			if err != nil {
				return err
			}
			return c.print(a.stdout, origins)
		},
	}
}

// settingFlags returns the flags that were given and are named as a setting is,
// by that setting's path.
func settingFlags(flags *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, s := range new(Config).settings() {
		if f := flags.Lookup(strings.TrimPrefix(flagName(s.path), "--")); f != nil && f.Changed {
			given[s.path] = f.Value.String()
		}
	}
	return given
}

// print writes a line for each setting and each secret: path, value, origin.
func (c *Config) print(w io.Writer, origins Origins) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(path, value, origin string) {
		if value == "" {
			value = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", path, value, origin) // Flush says what went wrong
	}
	for _, s := range c.settings() {
		value := fmt.Sprint(s.value.Interface())
		if s.value.Kind() == reflect.Slice {
			value = strings.Trim(strings.Join(strings.Fields(value), ","), "[]")
		}
		line(s.path, value, origins[s.path])
	}
	for _, s := range []struct {
		path, env string
		held      Secret
		file      FilePath
	}{
		{"kafka password", envKafkaPassword, c.secrets.kafka, c.Kafka.SASL.PasswordFile},
		{"clickhouse password", envClickHousePassword, c.secrets.clickHouse, c.ClickHouse.PasswordFile},
		{"hash key", envHashKey, c.secrets.hashKey, c.HashKeyFile},
		{"alertmanager password", envAlertmanager, c.secrets.alertmanager, c.Alerts.Alertmanager.PasswordFile},
		{"webhook secret", envWebhookSecret, c.secrets.webhook, c.Alerts.Webhook.SecretFile},
	} {
		switch {
		case s.held != "":
			line(s.path, "***", s.env)
		case s.file != "":
			line(s.path, "***", string(s.file))
		default:
			line(s.path, "", "not set")
		}
	}
	return table.Flush()
}
