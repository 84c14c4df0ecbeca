package statement

import (
	"fmt"
	"io"
	"strings"

	"github.com/overreach/overreach/schema"
)

// Markdown writes the statement as Markdown with tables, as GitHub and most
// others read it. What partners sent is escaped: it can be no markup, no link
// and no HTML.
func (s *Statement) Markdown(w io.Writer) error {
	var b strings.Builder
	v := s.view()
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	table := func(head string, rows [][]string) {
		columns := strings.Count(head, "|") + 1
		line("| %s |\n|%s", head, strings.Repeat(" --- |", columns))
		for _, row := range rows {
			for i := range row {
				row[i] = escape(row[i])
			}
			line("| %s |", strings.Join(row, " | "))
		}
		line("")
	}

	line("# Access statement: %s\n", escape(v.Partner))
	line("%s to %s, UTC, both days included.\n", v.From, v.To)
	line("%s", escape(v.Who))
	for _, f := range v.About {
		line("%s: %s.", f.Name, escape(f.Value))
	}
	line("")

	line("## Rights and use\n")
	if len(v.Scopes) == 0 {
		line("Nothing was granted for this time, and nothing was used in it.\n")
	} else {
		var rows [][]string
		for _, r := range v.Scopes {
			rows = append(rows, []string{r.Scope, r.Granted, r.Accesses, r.Refused, r.People.String(), r.Bystanders.String(), r.Days, r.First, r.Last, r.Outside})
		}
		table("Scope | Granted | Accesses | Refused | People | Bystanders | Days | First (UTC) | Last (UTC) | Without a right", rows)
	}

	if len(v.Zeros) > 0 {
		line("## Rights that were not used\n")
		for _, z := range v.Zeros {
			line("- %s", escape(z))
		}
		line("")
	}

	line("## Findings in this time\n")
	if len(v.Findings) == 0 {
		line("None.\n")
	} else {
		var rows [][]string
		for _, f := range v.Findings {
			rows = append(rows, []string{f.Severity, f.Detector, f.Sentence, f.First, f.State, f.ID})
		}
		table("Severity | Detector | What | Noticed (UTC) | State | Id", rows)
	}

	line("## What this rests on\n")
	line("%s\n", escape(v.Rests))
	if len(v.Partitions) > 0 {
		var rows [][]string
		for _, p := range v.Partitions {
			rows = append(rows, []string{p.Incarnation, p.Partition, p.Offsets, p.Records, p.Missing, p.Unreadable, p.Rejected, p.Filtered})
		}
		table("Incarnation | Partition | Offsets | Records | Missing | Unreadable | Rejected | Filtered", rows)
	}

	line("## What it cannot say\n")
	for _, c := range v.Cannot {
		line("- %s", c)
	}
	line("\n%s", escape(v.Colophon))
	_, err := io.WriteString(w, b.String())
	return err
}

// escape makes text of ours and of others harmless in Markdown: whatever
// character might begin a markup stands for itself.
func escape(s string) string {
	var b strings.Builder
	for _, r := range schema.Printable(s) {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '\\', '`', '*', '_', '{', '}', '[', ']', '#', '!', '|', '~', '$', '^', '=':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	// What would become a link by itself.
	return strings.NewReplacer("://", `:\//`, "www.", `www\.`, "@", `\@`).Replace(b.String())
}
