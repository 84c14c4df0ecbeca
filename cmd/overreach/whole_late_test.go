package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen is an access of a partner so long ago.
func seen(t *testing.T, partner string, ago time.Duration) []byte {
	t.Helper()
	return madeEvent{Time: time.Now().Add(-ago).UTC().Format(time.RFC3339Nano), Partner: partner, Capability: "messaging", Action: "read", Subject: "ann"}.json(t)
}

// heldBy are the alerts that an Alertmanager holds, as "name partner severity".
func heldBy(t *testing.T, alertmanager string) []string {
	t.Helper()
	var alerts []struct{ Labels map[string]string }
	if status, body := httpGet(t, alertmanager+"/api/v2/alerts?active=true"); status != http.StatusOK || json.Unmarshal([]byte(body), &alerts) != nil {
		return nil
	}
	var all []string
	for _, a := range alerts {
		all = append(all, a.Labels["alertname"]+" "+a.Labels["partner"]+" "+a.Labels["severity"])
	}
	slices.Sort(all)
	return all
}

func holdsAlerts(t *testing.T, alertmanager string, want ...string) func() bool {
	return func() bool { return slices.Equal(heldBy(t, alertmanager), want) }
}

func TestAnAgreementWhoseEndIsEnteredDaysLatePagesWhereItIsStillUsed(t *testing.T) {
	t.Parallel()
	s, am, h := startServers(t, 1), startAlertmanager(t), startHook(t)
	s.write("secret", hookSecret+"\n")
	const day = 24 * time.Hour
	registry := func(end string) string {
		text := "capabilities: {messaging: {}}\npartners:\n"
		for _, partner := range []string{"clinic", "museum"} {
			text += fmt.Sprintf("  %s:\n    agreement: {start: 2013-12-01%s}\n    grants: [{capability: messaging, actions: [read], from: 2013-12-01}]\n", partner, end)
		}
		return text
	}
	s.write("registry.yaml", registry(""))
	var records [][]byte
	for ago := 5 * day; ago >= 0; ago -= day / 2 { // the clinic until now, the museum until two days ago
		if records = append(records, seen(t, "clinic", ago)); ago >= 2*day {
			records = append(records, seen(t, "museum", ago))
		}
	}
	s.produce(0, records...)
	p := s.run("judge: {interval: 200ms}", "judge: {interval: 200ms}\nalerts: {group: 0s, resend: 5s, alertmanager: {urls: ['"+am+"']}, webhook: {url: '"+h.URL+"', secret_file: secret}}")
	s.counted(p, len(records))
	if rows := s.query("SELECT count() FROM findings"); rows[0] != "0" {
		t.Fatalf("%s findings although all was allowed", rows[0])
	}

	s.write("registry.yaml", registry(", end: "+time.Now().UTC().Add(-4*day).Format(time.DateOnly)))
	p.until("the clinic pages, and the museum is in a digest", holdsAlerts(t, am, "OverreachDigest museum info", "OverreachStaleAccess clinic critical"))
	accesses := func() string {
		return strings.Join(s.query("SELECT accesses FROM findings WHERE partner = 'clinic'"), " ")
	}
	before := accesses()
	s.produce(0, seen(t, "clinic", 0))
	p.until("what it did since is in the finding", func() bool { return accesses() != before })
	p.stop()
	if clinic, museum := h.kinds("clinic"), h.kinds("museum"); clinic != "firing" || museum != "digest" {
		t.Errorf("the webhook was told %q of the clinic and %q of the museum, expected one page and one digest", clinic, museum)
	}
}

func TestAnOldLogPagesNobodyUntilWhatItShowsGoesOnNow(t *testing.T) {
	t.Parallel()
	s, am, h := startServers(t, 1), startAlertmanager(t), startHook(t)
	s.write("secret", hookSecret+"\n")
	const day = 24 * time.Hour
	var records [][]byte
	for ago := 30 * day; ago >= 2*day; ago -= day {
		records = append(records, seen(t, "quizzer", ago), seen(t, "lottery", ago))
	}
	s.produce(0, records...)
	p := s.run("judge: {interval: 200ms}", "judge: {interval: 200ms}\nalerts: {group: 0s, resend: 5s, alertmanager: {urls: ['"+am+"']}, webhook: {url: '"+h.URL+"', secret_file: secret}}")
	digests := []string{"OverreachDigest lottery info", "OverreachDigest quizzer info"}
	p.until("each is in a digest", holdsAlerts(t, am, digests...))
	p.until("the whole log was judged", func() bool {
		return strings.Join(s.query("SELECT partner, accesses FROM findings ORDER BY partner"), " ") == "lottery\t29 quizzer\t29"
	})
	time.Sleep(6 * time.Second) // longer than a turn of the alerts
	if got := heldBy(t, am); !slices.Equal(got, digests) {
		t.Errorf("Alertmanager holds %q of an old log", got)
	}

	s.produce(0, seen(t, "quizzer", 0))
	p.until("what goes on pages", holdsAlerts(t, am, append(digests, "OverreachUnregisteredPartner quizzer critical")...))
	p.stop()
	if quizzer, lottery := h.kinds("quizzer"), h.kinds("lottery"); quizzer != "digest firing" || lottery != "digest" {
		t.Errorf("the webhook was told %q of the quizzer and %q of the lottery", quizzer, lottery)
	}
	if rows := s.query("SELECT act, who FROM finding_actions"); len(rows) != 1 || rows[0] != "goes on\toverreach" {
		t.Errorf("it is noted that %q", rows)
	}
}
