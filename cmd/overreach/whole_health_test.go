package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestHealthSaysReadyWhileItRunsAndFailsWhereClickHouseIsAway(t *testing.T) {
	s := startServers(t, 1)
	p := s.run()
	p.until("it is ready", func() bool { status, _ := s.get("/readyz"); return status == http.StatusOK })
	config := s.write("config.yaml", s.settings())
	if got := run(t, "health", "--config", config); got != "ready\n" {
		t.Errorf("while it runs, health prints %q", got)
	}
	// As in a container: it listens on every interface, under a port alone.
	everywhere := s.write("everywhere.yaml", s.settings(s.listen, `"`+s.listen[strings.LastIndex(s.listen, ":"):]+`"`))
	if got := run(t, "health", "--config", everywhere); got != "ready\n" {
		t.Errorf("with a port alone, health prints %q", got)
	}
	s.engine.Kill()
	asked := start(t, "health", "--config", config)
	if code := asked.exit(soon); code != exitFailed {
		t.Errorf("without ClickHouse health ended with %d: %s", code, asked.stdout.String())
	}
	if asked.logged("not ready: no answer from ClickHouse") == 0 {
		t.Errorf("without ClickHouse health says %q", asked.stderr.String())
	}
}
