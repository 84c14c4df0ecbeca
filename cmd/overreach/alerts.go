package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/notify"
)

// leastSecret is the length below which a webhook's secret could be guessed.
const leastSecret = 16

// alerts returns who is told of findings, and how.
func (c *Config) alerts() (notify.Config, error) {
	cfg := notify.Config{
		MaxAge: time.Duration(c.Alerts.MaxAge), Group: time.Duration(c.Alerts.Group), Resend: time.Duration(c.Alerts.Resend),
		Runbooks: c.Alerts.Runbooks, MaxStrangers: c.Alerts.MaxStrangers,
	}
	am, hook := c.Alerts.Alertmanager, c.Alerts.Webhook
	secure, err := am.TLS.client("alerts.alertmanager.tls")
	if err != nil {
		return notify.Config{}, err
	}
	authorization := ""
	if am.Username != "" {
		password, err := readSecret(c.secrets.alertmanager, am.PasswordFile)
		if err != nil {
			return notify.Config{}, fmt.Errorf("alerts.alertmanager.password_file: %w", err)
		}
		authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(am.Username+":"+string(password)))
	}
	for _, address := range am.URLs {
		cfg.Alertmanagers = append(cfg.Alertmanagers, notify.Alertmanager{URL: address, Authorization: authorization, TLS: secure})
	}
	if hook.URL == "" {
		return cfg, nil
	}
	secret, err := readSecret(c.secrets.webhook, hook.SecretFile)
	if err != nil {
		return notify.Config{}, fmt.Errorf("alerts.webhook.secret_file: %w", err)
	}
	if len(secret) < leastSecret {
		return notify.Config{}, fmt.Errorf("alerts.webhook: the secret has %d bytes: expected %d or more; `openssl rand -hex 32` makes one", len(secret), leastSecret)
	}
	if secure, err = hook.TLS.client("alerts.webhook.tls"); err != nil {
		return notify.Config{}, err
	}
	cfg.Webhooks = []notify.Webhook{{URL: hook.URL, Secret: string(secret), TLS: secure}}
	return cfg, nil
}

func newAlertTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "alert-test",
		Short: "Send every receiver of alerts a test",
		Long: `Sends the Alertmanagers and the webhook of the configuration an alert named
OverreachTest, severity info, and says what each answered. Alertmanager resolves
it after five minutes. It needs neither Kafka nor ClickHouse.

What on-call then sees has passed every route and template on the way; what
Alertmanager does with it depends on its routes: they should send severity info
somewhere.`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.loadConfig()
			if err != nil {
				return err
			}
			cfg, err := c.alerts()
			if err != nil {
				return err
			}
			if len(cfg.Alertmanagers)+len(cfg.Webhooks) == 0 {
				return errors.New("nobody is told of findings: set alerts.alertmanager.urls or alerts.webhook.url in the file of --config")
			}
			var b strings.Builder
			var failed []error
			for _, r := range notify.SendTest(cmd.Context(), cfg) {
				if r.Err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", r.Receiver, r.Err))
					continue
				}
				fmt.Fprintf(&b, "%s: took the test alert\n", r.Receiver)
			}
			_, err = a.stdout.Write([]byte(b.String()))
			return errors.Join(append(failed, err)...)
		},
	}
}
