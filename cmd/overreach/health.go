package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is above what /readyz itself gives Kafka.
const healthTimeout = 5 * time.Second

// healthAnswer bounds what is read of an answer: it names each partition that
// stands still, and whoever else listens there may send more.
const healthAnswer = 64 << 10

func newHealthCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the overreach that runs on this machine whether it does its work",
		Long: `Asks /readyz at the address of health checks and metrics that the configuration
names (listen), and prints the answer: ready, that it is a standby, or what stands
still for longer than 30 s, since when and why. For health checks of containers,
whose image holds neither a shell nor curl.

Exit codes: 0 it does its work, 1 it does not, or nobody answers there.`,
		Example: `  overreach health --config config.yaml`,
		Args:    nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.loadConfig()
			if err != nil {
				return err
			}
			return health(cmd.Context(), a.stdout, c.Listen)
		},
	}
}

// health asks whoever listens at an address, as the configuration has it.
func health(ctx context.Context, w io.Writer, listen string) error {
	if listen == "off" {
		return errors.New("listen is off, so nobody can be asked; give it an address, as in 127.0.0.1:9464")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere, so also here
	}
	address := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	transport := &http.Transport{} // without the proxy that the environment may name
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("no answer from overreach: %w; does it run, and with the same configuration?", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, healthAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready (status %d): %s", answer.StatusCode, strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; "))
	}
	_, err = fmt.Fprintln(w, strings.TrimSpace(string(text)))
	return err
}
