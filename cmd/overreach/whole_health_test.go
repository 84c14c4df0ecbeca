package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestReadinessAndHealthNameWhatStandsStillWhileClickHouseIsAway(t *testing.T) {
	t.Parallel()
	s := startServers(t, 3)
	p := s.run()
	p.until("it is ready", func() bool { status, body := s.get("/readyz"); return status == http.StatusOK && body == "ready\n" })
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
	killed := time.Now()
	s.produce(0, madeEvents(t, 0, 10)...)
	s.produce(2, madeEvents(t, 10, 30)...)
	p.awaits(1, "ClickHouse does not answer as it should")
	if status, body := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("after %s without ClickHouse /readyz says %d %q, though that may be a restart", time.Since(killed), status, body)
	}
	unready := func() (body string) {
		status, body := s.get("/readyz")
		if status == http.StatusServiceUnavailable {
			return body
		}
		return ""
	}
	lines := regexp.MustCompile(`(?m)^access/0, access/2 stand still for \d+s, since 20\S+Z: waits for ClickHouse: connection \w+$`)
	judge := regexp.MustCompile(`(?m)^judge stands still for \d+s, since 20\S+Z: its rounds fail; the log says why$`)
	p.until("/readyz names the partitions and the judge", func() bool {
		body := unready()
		return lines.MatchString(body) && judge.MatchString(body)
	})
	if body := unready(); strings.Contains(body, "access/1") {
		t.Errorf("partition 1 is caught up, and /readyz says %q", body)
	}
	if took := time.Since(killed); took < readyGrace {
		t.Errorf("it was not ready after %s, which a restart may take", took)
	}
	asked := start(t, "health", "--config", config)
	if code := asked.exit(soon); code != exitFailed {
		t.Errorf("without ClickHouse health ended with %d: %s", code, asked.stdout.String())
	}
	if said := asked.stderr.String(); !strings.Contains(said, "access/0, access/2 stand still") || !strings.Contains(said, "judge stands still") {
		t.Errorf("without ClickHouse health says %q", said)
	}
	if status, _ := s.get("/healthz"); status != http.StatusOK {
		t.Errorf("without ClickHouse /healthz says %d, but a restart would not help", status)
	}
	_, metrics := s.get("/metrics")
	for _, sample := range []string{
		`overreach_lag_records\{partition="2",topic="access"\} 20`,
		`overreach_server_away_seconds\{server="clickhouse"\} [3-9]\d\.\d+`,
		`overreach_server_away_seconds\{server="kafka"\} 0`,
		`overreach_server_errors_total\{kind="connection_refused",server="clickhouse"\} [1-9]\d*`,
	} {
		if !regexp.MustCompile(`(?m)^` + sample + `$`).MatchString(metrics) {
			t.Errorf("the metrics lack %s:\n%s", sample, metrics)
		}
	}

	s.startEngine()
	p.until("it is ready again", func() bool { status, body := s.get("/readyz"); return status == http.StatusOK && body == "ready\n" })
	s.counted(p, 30)
	p.until("ClickHouse is said to be back", func() bool {
		_, metrics := s.get("/metrics")
		return strings.Contains(metrics, `overreach_server_away_seconds{server="clickhouse"} 0`+"\n")
	})
	p.stop()
	s.holdsOnce(30)
}

func TestAStandbyIsReadyAndSaysThatItIsOne(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	first := s.run()
	first.until("it is ready", func() bool { _, body := s.get("/readyz"); return body == "ready\n" })
	one := s.listen
	s.listen = freeAddress(t)
	second := start(t, "run", "--log-format", "json", "--config", s.write("second.yaml", s.settings()))
	two := s.listen
	second.until("one is a standby and the other counts", func() bool {
		_, a := httpGet(t, "http://"+one+"/readyz")
		_, b := httpGet(t, "http://"+two+"/readyz")
		const standby = "ready: a standby, other instances have all partitions\n"
		return a == "ready\n" && b == standby || b == "ready\n" && a == standby
	})
}
