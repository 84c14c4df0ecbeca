package decode

import "github.com/overreach/overreach/schema"

// missing says which required members an event lacks.
func missing(has func(m member) bool) *schema.Reject {
	var lacks []string
	for _, m := range requiredMembers {
		if !has(m) {
			lacks = append(lacks, memberNames[m])
		}
	}
	if lacks == nil {
		return nil
	}
	verb := "is"
	if len(lacks) > 1 {
		verb = "are"
	}
	return schema.Rejectf(schema.MissingMember, "%s %s missing or empty: every event needs %s",
		inWords(lacks), verb, inWords(requiredNames()))
}

func requiredNames() []string {
	var names []string
	for _, m := range requiredMembers {
		names = append(names, memberNames[m])
	}
	return names
}

// inWords joins names as a sentence does: a, b and c.
func inWords(names []string) string {
	text := ""
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			text += " and "
		default:
			text += ", "
		}
		text += n
	}
	return text
}
