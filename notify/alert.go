package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

const (
	digestName = "OverreachDigest"
	testName   = "OverreachTest"

	// info is the severity of what pages nobody.
	info schema.Severity = "info"
)

// labels say which alert it is: no two that fire have the same.
type labels struct {
	Name        string
	Partner     string
	Capability  string // empty: all of the partner's
	Severity    schema.Severity
	Detector    string
	Escalations int // how often the episode had grown tenfold and on-call was notified again
}

// alert is what on-call is told: one or several episodes of one partner. Its labels
// are those of the episode that it began with, and never change.
type alert struct {
	labels
	ID       string
	Lead     string // finding that it began with
	Started  time.Time
	Ended    time.Time // zero while it fires
	Because  string    // why it ended
	Members  []member  // in the order in which they joined
	HeldBack int       // how many would have been alerts of their own

	Grown   []time.Time // when a notice said that more had joined
	growing bool        // it will be

	Superseded bool // it ended because another alert took over its episodes
}

// member is an episode in an alert.
type member struct {
	episode *episode
	Left    string // why this alert no longer shows it; empty while it does
}

func (a *alert) fires() bool { return a.Ended.IsZero() }

// acknowledged reports whether somebody is on any of what the alert tells.
func (a *alert) acknowledged() bool {
	return slices.ContainsFunc(a.Members, func(m member) bool { return m.Left == "" && m.episode.acknowledged != nil })
}

// reaches reports whether the alert tells, or told, of the episode's part of the API. An episode
// of the whole partner reaches nothing further.
func (a *alert) reaches(r *episode) bool {
	c := r.last().Capability
	return c == "" || slices.ContainsFunc(a.Members, func(m member) bool { return m.episode.last().Capability == c })
}

// digest reports whether it is a partner's digest: told once, and not ended.
func (a *alert) digest() bool { return a.Name == digestName }

func (a *alert) member(r *episode) *member {
	i := slices.IndexFunc(a.Members, func(m member) bool { return m.episode == r })
	return &a.Members[i]
}

// add makes an episode one of those that the alert tells of.
func (a *alert) add(r *episode) {
	i := slices.IndexFunc(a.Members, func(m member) bool { return m.episode == r })
	if i < 0 {
		a.Members = append(a.Members, member{episode: r})
		return
	}
	a.Members[i].Left = ""
}

// join adds an episode and makes the alert the one that tells it.
func (a *alert) join(r *episode) {
	a.add(r)
	r.alert = a
}

// alertID names an alert alike in every instance, and whenever it is folded.
func alertID(l labels, lead string, started time.Time) string {
	parts := []string{l.Name, string(l.Severity), lead, strconv.FormatInt(started.UnixMilli(), 10)}
	if l.Escalations > 0 {
		parts = append(parts, strconv.Itoa(l.Escalations))
	}
	return hashed(parts...)
}

// hashed returns 32 hexadecimal digits that depend on all parts.
func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

// episode is a finding and the findings of the days that continue it.
type episode struct {
	days     []schema.Change // the last change of each of its findings, by period
	severity schema.Severity // as it was last reported
	due      bool            // it was reported fresh, so it pages on-call
	crowded  bool            // the alert of all strangers shows it
	lastsTo  time.Time       // where it was over when it was found: until when its alert fires
	alert    *alert          // that shows it now

	people      uint64 // as they were last known
	paged       uint64 // as they were when on-call was last notified
	escalations int    // how often on-call was notified again because they had grown tenfold
	grewFrom    uint64 // as on-call knew them before the last of these times

	silence, resolved, acknowledged *schema.FindingAction // what holds of it now
	again                           *schema.FindingAction // how it was resolved before it was seen again
}

// tell takes in a change, and reports whether it opens the episode (again).
func (r *episode) tell(t schema.Change) bool {
	was := len(r.days) > 0 && r.open()
	i, same := slices.BinarySearchFunc(r.days, t, func(a, b schema.Change) int { return int(a.Period) - int(b.Period) })
	if same {
		r.days[i] = t
	} else {
		r.days = slices.Insert(r.days, i, t)
	}
	return !was && r.open()
}

func (r *episode) forgetActs() {
	r.silence, r.resolved, r.again, r.acknowledged = nil, nil, nil, nil
	r.escalations, r.grewFrom = 0, 0
}

// tenfold reports whether so many people are ten times those in the last notice to
// on-call. From none or one person, it takes ten.
func (r *episode) tenfold(people uint64) bool { return people/10 >= max(r.paged, 1) }

// next returns what is to be noted of the episode by its latest figures, if anything is,
// and why.
func (r *episode) next(f *schema.Finding, maxAge time.Duration, now time.Time) (schema.Act, string) {
	switch {
	case r.resolved != nil:
		if f.LastSeen.After(r.resolved.At) {
			return schema.SeenAgain, "last seen at " + stamp(f.LastSeen) + ", after it was resolved"
		}
	case !r.due:
		if !r.crowded && f.State == schema.Open && now.Sub(f.LastSeen) <= maxAge {
			return schema.GoesOn, "last seen at " + stamp(f.LastSeen) + "; only a digest had told it, as old"
		}
	case r.acknowledged != nil && r.alert != nil && r.tenfold(f.People.Value):
		return schema.Grown, fmt.Sprintf("%d people, %d when it last paged", f.People.Value, r.paged)
	}
	return "", ""
}

// last is its latest day that was not withdrawn; where all were, the latest.
func (r *episode) last() schema.Change {
	for _, t := range slices.Backward(r.days) {
		if t.State != schema.Withdrawn {
			return t
		}
	}
	return r.days[len(r.days)-1]
}

// id is that of its last finding: the one to act upon.
func (r *episode) id() string { return r.last().ID }

// open reports whether it goes on. The end of a day that goes on in the next is
// never reported, so the last day speaks for all.
func (r *episode) open() bool { return r.last().State == schema.Open }

func (r *episode) withdrawn() bool { return r.last().State == schema.Withdrawn }

func (r *episode) live(now time.Time) bool { return r.open() || now.Before(r.lastsTo) }

func (r *episode) labels() labels {
	t := r.last()
	return labels{Name: alertName(t.Detector), Partner: t.Partner, Capability: t.Capability, Severity: r.severity, Detector: t.Detector, Escalations: r.escalations}
}

// alertName makes OverreachVolumeLimit of volume_limit.
func alertName(detector string) string {
	var b strings.Builder
	b.WriteString("Overreach")
	for part := range strings.SplitSeq(detector, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// rank orders severities.
func rank(s schema.Severity) int {
	return slices.Index([]schema.Severity{info, schema.Warning, schema.Critical}, s)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
