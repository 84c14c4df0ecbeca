package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/overreach/overreach/schema"
)

// Webhook is one address that is told each event once, signed.
type Webhook struct {
	URL    string
	Secret string      // key of the signature
	TLS    *tls.Config // nil: the system's certificates
}

// webhook tells each event once, those of an alert in order. An event that may or
// may not have arrived is sent again under the same id.
type webhook struct {
	secret   []byte
	runbooks string
}

// The body of a webhook, version 1. Members are added, never taken away.
type webhookBody struct {
	Version int          `json:"version"`
	Event   string       `json:"event"`
	Kind    string       `json:"kind"`
	At      time.Time    `json:"at"`
	Alert   webhookAlert `json:"alert"`
}

type webhookAlert struct {
	ID           string            `json:"id"`
	Labels       map[string]string `json:"labels"`
	Partner      string            `json:"partner"`
	Summary      string            `json:"summary"`
	Started      time.Time         `json:"started"`
	Ended        *time.Time        `json:"ended"`
	EndedBecause string            `json:"ended_because,omitempty"`
	People       uint64            `json:"people"`
	PeopleLow    uint64            `json:"people_low"`
	PeopleHigh   uint64            `json:"people_high"`
	HeldBack     int               `json:"held_back"`
	Acknowledged string            `json:"acknowledged,omitempty"`
	Grown        string            `json:"grown,omitempty"`
	Silenced     string            `json:"silenced,omitempty"`
	SeenAgain    string            `json:"seen_again,omitempty"`
	Findings     []webhookFinding  `json:"findings"`
	More         int               `json:"more"`
}

type webhookFinding struct {
	ID            string     `json:"id"`
	Detector      string     `json:"detector"`
	Partner       string     `json:"partner"`
	Capability    string     `json:"capability"`
	Window        string     `json:"window"`
	Cause         string     `json:"cause"`
	Severity      string     `json:"severity"`
	State         string     `json:"state"`
	Sentence      string     `json:"sentence"`
	FirstCrossing time.Time  `json:"first_crossing"`
	Peak          time.Time  `json:"peak"`
	FirstSeen     time.Time  `json:"first_seen"`
	LastSeen      time.Time  `json:"last_seen"`
	Ended         *time.Time `json:"ended"`
	Accesses      uint64     `json:"accesses"`
	Attempts      uint64     `json:"attempts"`
	People        uint64     `json:"people"`
	PeopleLow     uint64     `json:"people_low"`
	PeopleHigh    uint64     `json:"people_high"`
	PeopleNew     *uint64    `json:"people_new"`
	Bystanders    *uint64    `json:"bystanders"`
	Limit         *uint64    `json:"limit"`
	Ratio         *float64   `json:"ratio"`
	Expected      *float64   `json:"expected"`
	DaysPast      *uint32    `json:"days_past"`
	Complete      bool       `json:"complete"`
	Missing       uint64     `json:"missing"`
	Owner         string     `json:"owner"`
	Purpose       string     `json:"purpose"`
	BlindSpots    string     `json:"blind_spots"`
	Runbook       string     `json:"runbook"`
	Query         string     `json:"query"`
}

func (w *webhook) atOnce() int { return 1 }

// due implements receiver: the first event of each alert that was not delivered.
func (w *webhook) due(p plan, settled func(string) bool, _ time.Time) []message {
	var all []message
	for _, v := range p.alerts {
		for _, e := range v.events() {
			if !settled(e.id) {
				all = append(all, message{v, e})
				break
			}
		}
	}
	return all
}

// request implements receiver.
func (w *webhook) request(messages []message, now time.Time) ([]byte, http.Header, error) {
	m := messages[0]
	body, err := json.Marshal(webhookBody{Version: 1, Event: m.id, Kind: m.kind, At: m.at.UTC(), Alert: w.alert(m.view)})
	if err != nil {
		return nil, nil, err
	}
	body = schema.PrintableJSON(body) // whoever prints it as it came is safe too
	return body, w.header(m.id, body, now), nil
}

func (w *webhook) header(event string, body []byte, now time.Time) http.Header {
	h := http.Header{}
	h.Set("Overreach-Event", event)
	h.Set("Overreach-Signature", signature(w.secret, body, now))
	return h
}

// signature is the time of signing and the HMAC-SHA256 of that time, a dot and the
// body: t=SECONDS,v1=HEX. The time is signed, so that an old message cannot be sent again.
func signature(secret, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(t + ".")) // a hash never fails
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (w *webhook) alert(v view) webhookAlert {
	people := v.people()
	a := webhookAlert{
		ID: v.ID, Labels: labelSet(v.labels), Partner: v.Partner, Summary: v.summary(),
		Started: v.Started.UTC(), Ended: timeOrNil(v.Ended), EndedBecause: line(v.Because),
		People: people.Value, PeopleLow: people.Low, PeopleHigh: people.High, HeldBack: v.HeldBack,
		Acknowledged: v.about((*episode).saysAcknowledged), Grown: v.about((*episode).saysGrown),
		Silenced: v.about((*episode).saysSilenced), SeenAgain: v.about((*episode).saysSeenAgain),
		Findings: []webhookFinding{},
	}
	for _, r := range v.shown() {
		if f := v.Findings[r.id()]; f != nil {
			a.Findings = append(a.Findings, w.finding(f))
		}
	}
	a.More = len(v.Members) - len(a.Findings)
	return a
}

func (w *webhook) finding(f *schema.Finding) webhookFinding {
	out := webhookFinding{
		ID: f.ID(), Detector: f.Detector, Partner: f.Partner, Capability: f.Capability, Window: string(f.Window), Cause: f.Cause,
		Severity: string(f.Severity), State: string(f.State), Sentence: f.Sentence,
		FirstCrossing: f.FirstCrossing.UTC(), Peak: f.Peak.UTC(), FirstSeen: f.FirstSeen.UTC(), LastSeen: f.LastSeen.UTC(), Ended: timeOrNil(f.EndedAt),
		Accesses: f.Accesses, Attempts: f.Attempts, People: f.People.Value, PeopleLow: f.People.Low, PeopleHigh: f.People.High,
		PeopleNew: f.PeopleNew, Limit: f.Limit, Ratio: f.Ratio, Expected: f.Expected, DaysPast: f.DaysPast,
		Complete: f.Complete, Missing: f.Missing, Owner: f.Owner, Purpose: f.Purpose, BlindSpots: f.BlindSpots,
		Runbook: runbook(w.runbooks, f.Runbook), Query: f.Query,
	}
	if f.Bystanders != nil {
		out.Bystanders = &f.Bystanders.Value
	}
	return out
}

// sent implements receiver; what was sent is settled, and not due again.
func (w *webhook) sent([]message, time.Time) {}

// timeOrNil writes no time as null.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
