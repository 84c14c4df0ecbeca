package notify

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

const (
	// shownEpisodes bounds how many episodes an alert tells in words; the rest is counted.
	shownEpisodes = 20

	// shownIDs bounds how many ids of findings an alert lists.
	shownIDs = 50
)

// shown are the episodes that the alert tells in words: those that it still tells
// before those that left it.
func (a *alert) shown() []*episode {
	var all []*episode
	for _, left := range []bool{false, true} {
		for _, m := range a.Members {
			if (m.Left != "") == left {
				all = append(all, m.episode)
			}
		}
	}
	return all[:min(len(all), shownEpisodes)]
}

// leadNow is the id of the latest finding of the episode that the alert began with:
// the one whose figures are shown, and to act upon.
func (a *alert) leadNow() string {
	for _, m := range a.Members {
		for _, day := range m.episode.days {
			if day.ID == a.Lead {
				return m.episode.id()
			}
		}
	}
	return a.Lead
}

// shortID is how tables show an id, and what commands take.
func shortID(id string) string { return cut(id, 10) }

// summary is the lead's sentence, or how much a digest tells.
func (v view) summary() string {
	if v.Name == testName {
		return "This is a test of Overreach's alerts: nothing happened, and nothing is to be done."
	}
	if v.digest() {
		return line(fmt.Sprintf("%s: %s that had been so for too long to page anyone.", cmp.Or(v.Partner, noName), count(len(v.Members), "finding")))
	}
	if v.crowded() {
		return v.crowdSummary()
	}
	if f := v.Findings[v.leadNow()]; f != nil {
		return sentence(f)
	}
	return line(v.Name + " of " + cmp.Or(v.Partner, noName))
}

// shownStrangers is how many of many strangers are named.
const shownStrangers = 5

// crowdSummary says how many strangers there are, who the first are, how to list
// them, and what the two usual causes are.
func (v view) crowdSummary() string {
	names, strangers, rest := []string{}, 0, false
	for _, m := range v.Members {
		switch partner := m.episode.last().Partner; {
		case m.Left != "" && v.fires():
		case partner == detectors.Folded:
			rest = true
		default:
			if strangers++; len(names) < shownStrangers {
				names = append(names, label(partner))
			}
		}
	}
	text := count(strangers, "partner") + " not in the registry"
	if rest {
		text = "More than " + text
	}
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if more := strangers - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return line(text + ". So many are told as one. Either a producer puts something else into partner, such as a session id: mend the producer or the mapping; or the registry lacks partners: overreach registry init drafts them. overreach findings --detector " + strangerDetector + " --open lists them.")
}

// sentence is the finding's, in which no name is so long that nothing else is seen.
func sentence(f *schema.Finding) string {
	s := f.Sentence
	for _, name := range []string{f.Partner, f.Capability} {
		if len(name) > longestLabel {
			s = strings.ReplaceAll(s, name, label(name))
		}
	}
	return line(s)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lines are the alert's episodes, a line each.
func (v view) lines() []string {
	var lines []string
	for _, r := range v.shown() {
		text := "(its figures are not to be had)"
		if f := v.Findings[r.id()]; f != nil {
			text = sentence(f)
		}
		state := ""
		if how := v.member(r).Left; how != "" {
			state = " [" + line(how) + "]"
		} else if !r.open() {
			state = " [over]"
		}
		lines = append(lines, shortID(r.id())+" "+string(r.last().Severity)+": "+text+state)
	}
	if more := len(v.Members) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more: overreach findings shows them", more))
	}
	return lines
}

func (v view) findingIDs() string {
	var ids []string
	for _, m := range v.Members {
		if len(ids) == shownIDs {
			ids = append(ids, fmt.Sprintf("and %d more", len(v.Members)-shownIDs))
			break
		}
		ids = append(ids, m.episode.id())
	}
	return strings.Join(ids, " ")
}

// people is the greatest number of people of any of the alert's findings: they may
// be the same people, so they are not added up.
func (v view) people() schema.Estimate {
	var most schema.Estimate
	for _, r := range v.shown() {
		if f := v.Findings[r.id()]; f != nil && f.People.Value > most.Value {
			most = f.People
		}
	}
	return most
}

// about joins what there is to say about the alert's episodes.
func (v view) about(say func(*episode) string) string {
	var all []string
	for _, r := range v.shown() {
		if s := say(r); s != "" {
			all = append(all, shortID(r.id())+" "+line(s))
		}
	}
	return strings.Join(all, "\n")
}

func (r *episode) saysAcknowledged() string {
	if r.acknowledged == nil {
		return ""
	}
	return "by " + r.acknowledged.Who + " at " + stamp(r.acknowledged.At) + ": " + r.acknowledged.Reason
}

func (r *episode) saysGrown() string {
	if r.escalations == 0 {
		return ""
	}
	return fmt.Sprintf("acknowledged, and grown from %d to %d people since it last paged", r.grewFrom, r.paged)
}

func (r *episode) saysSilenced() string {
	if r.silence == nil {
		return ""
	}
	return "by " + r.silence.Who + " until " + stamp(r.silence.Until) + ": " + r.silence.Reason
}

func (r *episode) saysSeenAgain() string {
	if r.again == nil {
		return ""
	}
	return "resolved by " + r.again.Who + " at " + stamp(r.again.At) + ", seen again"
}
