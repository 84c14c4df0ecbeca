package story

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Registry returns the registry that the story's partners are judged by, as
// YAML. Its limits are at the story's scale. The config must be valid.
func (c Config) Registry() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The registry of the story, at scale %v: every name is made up.\n", c.Scale)
	b.WriteString("capabilities:\n")
	for _, offered := range capabilities {
		members := []string{"data: " + offered.data}
		if offered.deprecated != "" {
			members = append(members, "deprecated: "+offered.deprecated)
		}
		if offered.sunset != "" {
			members = append(members, "sunset: "+offered.sunset)
		}
		// Quoted where the text has a comma of its own.
		if strings.Contains(offered.data, ",") {
			members[0] = fmt.Sprintf("data: %q", offered.data)
		}
		fmt.Fprintf(&b, "  %s: {%s}\n", offered.name, strings.Join(members, ", "))
	}
	b.WriteString("partners:\n")
	partners := c.partners()
	slices.SortFunc(partners, func(a, b partner) int { return strings.Compare(a.name, b.name) })
	for _, p := range partners {
		if !p.unregistered {
			p.appendTo(&b, c)
		}
	}
	return b.Bytes()
}

func (p *partner) appendTo(b *bytes.Buffer, cfg Config) {
	fmt.Fprintf(b, "  %s:\n    owner: %s\n    purpose: %s\n", p.name, p.owner, p.purpose)
	fmt.Fprintf(b, "    agreement: {start: %s%s}\n", p.start, last("end", p.end))
	b.WriteString("    grants:\n")
	for _, g := range p.grants {
		actions := make([]string, len(g.actions))
		for i, a := range g.actions {
			actions[i] = a.String()
		}
		fmt.Fprintf(b, "      - {capability: %s, actions: [%s], from: %s%s}\n",
			g.capability, strings.Join(actions, ", "), g.from, last("until", g.until))
	}
	b.WriteString("    limits:\n")
	for _, l := range p.limits {
		of := ""
		if l.capability != "" {
			of = ", capability: " + l.capability
		}
		fmt.Fprintf(b, "      - {people: %d, per: %s%s}\n", cfg.scaled(l.people), l.window, of)
	}
}

// last returns the member for a last day, or nothing where there is none.
func last(member, day string) string {
	if day == "" {
		return ""
	}
	return ", " + member + ": " + day
}
