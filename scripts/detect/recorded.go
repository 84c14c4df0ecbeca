package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/schema"
)

// sample is what a file of real events holds of one partner.
type sample struct {
	partner string
	calls   []call
}

type call struct {
	at       int64 // second
	usageKey schema.UsageKey
	refused  bool
}

// readSamples reads a file of real events through a mapping that ships, by partner.
func readSamples(mapping, file string) ([]sample, error) {
	m, err := decode.LoadMapping(mapping)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	records := [][]byte{content}
	if filepath.Ext(file) == ".ndjson" {
		records = bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	}
	byPartner := map[string]*sample{}
	reader := m.NewReader(schema.DefaultTimeLimits())
	for _, record := range records {
		events, rejects, _ := reader.Read(record, 1<<42) // whatever their time: it is past
		if len(rejects) > 0 {
			return nil, fmt.Errorf("%s: %d events cannot be read", file, len(rejects))
		}
		for _, e := range events {
			s := byPartner[string(e.Partner)]
			if s == nil {
				s = &sample{partner: string(e.Partner)}
				byPartner[s.partner] = s
			}
			usageKey := schema.UsageKey{Partner: s.partner, App: string(e.App), Capability: string(e.Capability), Action: e.Action}
			s.calls = append(s.calls, call{e.Time / 1000, usageKey, e.Attempt()})
		}
	}
	var all []sample
	for _, name := range slices.Sorted(maps.Keys(byPartner)) {
		all = append(all, *byPartner[name])
	}
	return all, nil
}

// usageKeys lists the usage keys of the calls, each once.
func (s *sample) usageKeys() []schema.UsageKey {
	var all []schema.UsageKey
	for _, c := range s.calls {
		if !slices.Contains(all, c.usageKey) {
			all = append(all, c.usageKey)
		}
	}
	return all
}

// most is how many calls that were not refused lie in an hour of one capability at
// most.
func (s *sample) most() int {
	type key struct {
		capability string
		hour       int64
	}
	counts, most := map[key]int{}, 0
	for _, c := range s.calls {
		if !c.refused {
			k := key{c.usageKey.Capability, c.at / 3600}
			counts[k]++
			most = max(most, counts[k])
		}
	}
	return most
}

// after puts the real calls after eight weeks of ordinary traffic of some usage keys, so
// many an hour, all on one account.
func (s *sample) after(seed uint64, what string, usageKeys []schema.UsageKey, perHour float64) *partner {
	r := source(seed, what)
	shape := &shape{level: perHour, swing: 0.6, peak: between(r, 0, 24), weekend: between(r, 0.3, 1), daily: 0.1, phi: logBetween(r, 0.01, 0.2), depth: 1}
	for _, l := range usageKeys {
		l.Partner = "p"
		shape.usageKeys = append(shape.usageKeys, keyShape{l, between(r, 0.2, 1)})
	}
	shape.share()
	first, last := schema.DayOfSecond(s.calls[0].at), schema.DayOfSecond(s.calls[0].at)
	for _, c := range s.calls {
		first, last = min(first, schema.DayOfSecond(c.at)), max(last, schema.DayOfSecond(c.at))
	}
	p := simulate(r, shape, first-detectors.History, int(detectors.History)+int(last-first)+2)
	p.crowds[0] = 1
	p.unseen = first
	for _, c := range s.calls {
		usageKey := c.usageKey
		usageKey.Partner = "p"
		p.grant(usageKey.Capability)
		f, h := p.flowOf(usageKey, 0), p.hourOf(c.at)
		if c.refused {
			f.attempts[h]++
			continue
		}
		f.visits[h]++
		f.accesses[h]++
	}
	return p
}

// flagged says what was found, of partners in order, in how many of the seeds.
func flagged(seeds []uint64, samples []sample, place func(seed uint64, s *sample) *partner) string {
	counts := map[string]int{}
	for _, seed := range seeds {
		found := map[string]bool{}
		for i := range samples {
			for _, f := range findingsOf(place(seed, &samples[i]), nil) {
				found[f.Detector] = true
			}
		}
		for d := range found {
			counts[d]++
		}
	}
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %s", d, share(float64(counts[d])/float64(len(seeds)))))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// own is what a role of a company's own does all day, when it does nothing of what
// an attack needs.
var own = []schema.UsageKey{{Capability: "s3", Action: schema.Read}, {Capability: "dynamodb", Action: schema.Read}, {Capability: "sqs", Action: schema.Write}}

// onRecorded writes what is found of real events under a folder with cloudtrail/*.json and
// github-events.ndjson.
func onRecorded(folder string, seeds []uint64) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "cloudtrail", "*.json"))
	if err != nil || len(files) == 0 {
		return "", err
	}
	var b strings.Builder
	b.WriteString("### What is found of recorded attacks\n\nCloudTrail events of known techniques, recorded while each ran once, put after eight weeks of simulated traffic of the same form (20 calls an hour, one account): the share of the seeds in which a detector found anything.\n\n")
	b.WriteString("| technique | calls (refused) | most in an hour of a service | of a stranger | of a role that does such calls all day | of a role that never did |\n|---|---|---|---|---|---|\n")
	var quiet []string
	for _, file := range files {
		samples, err := readSamples("cloudtrail", file)
		if err != nil {
			return "", err
		}
		name, most, calls, refused := strings.TrimSuffix(filepath.Base(file), ".json"), 0, 0, 0
		for i := range samples {
			most = max(most, samples[i].most())
			calls += len(samples[i].calls)
			for _, c := range samples[i].calls {
				if c.refused {
					refused++
				}
			}
		}
		stranger := flagged(seeds[:1], samples, func(seed uint64, s *sample) *partner {
			p := s.after(seed, name+s.partner, s.usageKeys(), 0)
			delete(p.registry.Partners, "p")
			return p
		})
		usual := flagged(seeds, samples, func(seed uint64, s *sample) *partner { return s.after(seed, name+s.partner, s.usageKeys(), 20) })
		never := flagged(seeds, samples, func(seed uint64, s *sample) *partner { return s.after(seed, name+s.partner, own, 20) })
		if usual == "–" && never == "–" && stranger == "unregistered_partner 1" {
			quiet = append(quiet, fmt.Sprintf("%s %d", strings.TrimPrefix(name, "aws."), calls))
			continue
		}
		fmt.Fprintf(&b, "| %s | %d (%d) | %d | %s | %s | %s |\n", name, calls, refused, most, stranger, usual, never)
	}
	fmt.Fprintf(&b, "| %d others | | | unregistered_partner 1 | – | – |\n\nThe others, with their calls: %s.\n\n", len(quiet), strings.Join(quiet, ", "))
	github := filepath.Join(folder, "github-events.ndjson")
	samples, err := readSamples("github", github)
	if err != nil {
		return "", err
	}
	hours := 3.0
	text := flagged(seeds, samples, func(seed uint64, s *sample) *partner {
		return s.after(seed, "github"+s.partner, s.usageKeys(), float64(len(s.calls))/hours)
	})
	fmt.Fprintf(&b, "The GitHub sample (three hours of %d apps, after eight weeks at the rate of its own): found in the share of the seeds: %s.\n\n", len(samples), text)
	return b.String(), nil
}
