package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// clickHouseAway cuts ClickHouse off while records keep coming, until an instance
// that lives has said so: its lag grows, and it is not ready. Then it must be again.
func (m *torment) clickHouseAway(i int) {
	m.while(i, func() {
		p := m.instances[i]
		if !holds(60*time.Second, func() bool { return p.dead() || p.ready() == nil }) && !p.dead() {
			m.failed = append(m.failed, fmt.Sprintf("an instance is not ready before ClickHouse is cut off: %v\n%s", p.ready(), p.stderr.String()))
		}
		m.toClickHouse.Stop()
		least, most := -1, 0
		var unready error
		said := holds(30*time.Second, func() bool {
			if n, err := p.lag(); err == nil {
				if least < 0 || n < least {
					least = n
				}
				most = max(most, n)
			}
			unready = p.ready()
			return p.dead() || least >= 0 && most >= least+100 && unready != nil && strings.Contains(unready.Error(), "ClickHouse")
		})
		if err := m.toClickHouse.Start(); err != nil {
			m.t.Errorf("starting the proxy to ClickHouse again: %v", err)
		}
		back := holds(60*time.Second, func() bool { return p.dead() || p.ready() == nil })
		switch {
		case p.dead(): // while counts that it ended by itself
		case !said:
			m.failed = append(m.failed, fmt.Sprintf("ClickHouse was away and an instance did not say so: its lag went from %d to %d, and /readyz said: %v\n%s",
				least, most, unready, p.stderr.String()))
		case !back:
			m.failed = append(m.failed, fmt.Sprintf("ClickHouse is back and an instance is not ready: %v\n%s", p.ready(), p.stderr.String()))
		default:
			m.blows["lag grew while ClickHouse was away"]++
		}
	})
}

// get asks the instance where it serves health checks and metrics.
func (p *instance) get(path string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + p.listen + path)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), errors.Join(err, response.Body.Close())
}

// ready returns what stands still, nil where the instance is ready.
func (p *instance) ready() error {
	status, body, err := p.get("/readyz")
	if err == nil && status != http.StatusOK {
		err = errors.New(strings.TrimSpace(body))
	}
	return err
}

var lagSample = regexp.MustCompile(`(?m)^overreach_lag_records\{.*\} (\S+)$`)

// lag is how many records are not counted of the partitions that the instance has.
func (p *instance) lag() (int, error) {
	_, body, err := p.get("/metrics")
	if err != nil {
		return 0, err
	}
	all := lagSample.FindAllStringSubmatch(body, -1)
	if all == nil {
		return 0, errors.New("it exports no lag")
	}
	sum := 0.
	for _, sample := range all {
		n, err := strconv.ParseFloat(sample[1], 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return int(sum), nil
}
