package notify

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// Alertmanager is one Alertmanager. Of a cluster, each member is named, and told
// everything: they agree among themselves who notifies.
type Alertmanager struct {
	URL           string      // as in http://localhost:9093, with a path where it is served below one
	Authorization string      // the value of the header, as "Bearer …" or "Basic …"; empty: none
	TLS           *tls.Config // nil: the system's certificates
}

// staysFor is how long an Alertmanager holds an alert to fire that nobody speaks
// of any more: longer than a restart, an update or an outage of ClickHouse.
const staysFor = time.Hour

// alertmanager tells one Alertmanager the whole of what fires, again and again, as
// Prometheus does: it forgets nothing that way, and makes one notification of it.
type alertmanager struct {
	authorization string
	resend        time.Duration
	runbooks      string
	last          map[string]sending // by alert
}

// sending is when an alert was last sent, and what.
type sending struct {
	at      time.Time
	content [sha256.Size]byte
}

// postableAlert is Alertmanager's, of its API v2.
type postableAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func (a *alertmanager) atOnce() int { return 50 }

// due implements receiver: what fires and has not been said for a while, or is
// otherwise than when it was said; and each end until it has arrived.
func (a *alertmanager) due(p plan, settled func(string) bool, now time.Time) []message {
	known := map[string]bool{}
	var all []message
	for _, v := range p.alerts {
		known[v.ID] = true
		events := v.events()
		e := events[len(events)-1]
		over := !v.fires() && settled(e.id)
		last, said := a.last[v.ID]
		repeats := v.fires() && settled(e.id) && said && now.Sub(last.at) < a.resend*9/10 && last.content == a.content(v)
		if !over && !repeats {
			all = append(all, message{v, e})
		}
	}
	for id := range a.last {
		if !known[id] {
			delete(a.last, id)
		}
	}
	return all
}

// content is what an alert says, without when it is to end unless said again.
func (a *alertmanager) content(v view) [sha256.Size]byte {
	var b strings.Builder
	_, _ = fmt.Fprint(&b, a.annotations(v)) // maps are printed in order
	return sha256.Sum256([]byte(b.String()))
}

// request implements receiver.
func (a *alertmanager) request(messages []message, now time.Time) ([]byte, http.Header, error) {
	alerts := make([]postableAlert, len(messages))
	for i, m := range messages {
		alerts[i] = postableAlert{Labels: labelSet(m.labels), Annotations: a.annotations(m.view), StartsAt: m.Started, EndsAt: endsAt(m, now)}
	}
	body, err := json.Marshal(alerts)
	return body, a.header(), err
}

// endsAt is when an Alertmanager is to hold an alert for over unless it hears of it
// again.
func endsAt(m message, now time.Time) time.Time {
	switch {
	case m.kind == test:
		return m.Started.Add(testLasts)
	case m.digest() && m.fires():
		return m.Started.Add(lasts)
	case m.digest():
		return now.Add(lasts) // late, for it could not be told before
	case m.fires():
		return now.Add(staysFor)
	default:
		return m.Ended
	}
}

func (a *alertmanager) header() http.Header {
	h := http.Header{}
	if a.authorization != "" {
		h.Set("Authorization", a.authorization)
	}
	return h
}

// sent implements receiver.
func (a *alertmanager) sent(messages []message, now time.Time) {
	for _, m := range messages {
		a.last[m.ID] = sending{now, a.content(m.view)}
	}
}

// labelSet writes labels as Alertmanager's: it groups, routes and silences by them.
func labelSet(l labels) map[string]string {
	set := map[string]string{"alertname": l.Name, "partner": label(l.Partner), "severity": string(l.Severity)}
	if l.Capability != "" {
		set["capability"] = label(l.Capability)
	}
	if l.Detector != "" {
		set["detector"] = l.Detector
	}
	if l.Escalations > 0 {
		set["escalation"] = strconv.Itoa(l.Escalations)
	}
	return set
}

// annotations say what an on-call engineer decides by. What is not known is left out.
func (a *alertmanager) annotations(v view) map[string]string {
	all := map[string]string{"alert": v.ID, "summary": v.summary()}
	set := func(name, value string) {
		if value != "" {
			all[name] = value
		}
	}
	set("description", strings.Join(v.lines(), "\n"))
	set("findings", v.findingIDs())
	if v.HeldBack > 0 {
		set("held_back", strconv.Itoa(v.HeldBack))
	}
	set("acknowledged", v.about((*episode).saysAcknowledged))
	set("grown", v.about((*episode).saysGrown))
	set("silenced", v.about((*episode).saysSilenced))
	set("seen_again", v.about((*episode).saysSeenAgain))
	set("ended_because", line(v.Because))
	if v.digest() || v.Name == testName {
		return all
	}
	set("acknowledge", "overreach ack "+shortID(v.leadNow())+` --reason "…"`)
	f := v.Findings[v.leadNow()]
	if f == nil {
		return all
	}
	set("people", people(v.people()))
	set("owner", line(f.Owner))
	set("runbook", runbook(a.runbooks, f.Runbook))
	set("query", sql(f.Query))
	set("blind_spots", line(f.BlindSpots))
	set("complete", complete(f))
	return all
}

// complete says whether the figures rest on the whole log.
func complete(f *schema.Finding) string {
	if f.Complete {
		return "yes"
	}
	return fmt.Sprintf("no: %d records missing", f.Missing)
}
