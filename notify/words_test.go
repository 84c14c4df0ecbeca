package notify

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/overreach/overreach/schema"
)

func FuzzLabelsAndLinesAreHarmlessWhateverANameIs(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "bank")
	}
	f.Add("a\nb", `a\nb`)
	f.Add("", "(none)") // what is about nobody, and a partner that would like to be
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{label(a), line(a)} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "<>") || strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%q becomes %q", a, s)
			}
		}
		if len(label(a)) > longestLabel || len(line(a)) > 2*longestLine+len("…") || label(a) == "" {
			t.Errorf("%q becomes a label of %d and a line of %d bytes", a, len(label(a)), len(line(a)))
		}
		marked := regexp.MustCompile(`~[0-9a-f]{8}$`) // what only this writes
		if a != b && !marked.MatchString(a) && !marked.MatchString(b) && label(a) == label(b) {
			t.Errorf("%q and %q have the same label %q", a, b, label(a))
		}
		if harmless(a) && a != "" && a != noName && len(a) <= longestLabel && (label(a) != a || line(a) != a) {
			t.Errorf("%q is changed to %q and %q", a, label(a), line(a))
		}
	})
}

func TestAQueryCanBeRunAsItIsShown(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		if got := sql(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	f("SELECT 1 WHERE a <= 2 AND b < 3 AND c <> 4 AND d > 5", "SELECT 1 WHERE a <= 2 AND b < 3 AND c <> 4 AND d > 5")
	f("partner = '<!channel>'", `partner = '\x3C!channel>'`)
	f("partner = 'two\nlines'", `partner = 'two\x0Alines'`)
	f("partner = '\u202eright'", `partner = '\xE2\x80\xAEright'`)
	f("partner = '\xff'", `partner = '\xFF'`)
	f("partner = 'größe'", "partner = 'größe'")
	f("a <", `a \x3C`)
	f("a <>", "a <>")
	f(strings.Repeat("x", longestQuery), strings.Repeat("x", longestQuery))
	f(strings.Repeat("x", longestQuery+1), "too long for an alert: overreach findings --json shows it")
}

func TestWhatCannotBeSeenIsWrittenAsAnEscape(t *testing.T) {
	for text, want := range map[string]string{
		"größe ✓":         "größe ✓",
		"a\nb":            `a\nb`,
		"a\rb\x00c":       `a\u000db\u0000c`,
		"<b>":             "‹b›",
		"\xff\xfe":        `\xff\xfe`,
		"\uffff":          `\uffff`,
		"\U00010000":      "\U00010000", // a letter of Linear B
		"\U000e0001":      `\U000e0001`,
		"\ufffd":          "\ufffd", // the sign for what is no letter is one itself
		"a\u202eb\u200bc": `a\u202eb\u200bc`,
	} {
		if got := plain(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestALabelIsAsLongAsItMayBeAndNoLonger(t *testing.T) {
	x := strings.Repeat("x", longestLabel)
	noLetter := strings.Repeat("\x80", longestLabel+1)
	mark := func(name string) string { return "~" + hashed(name)[:8] }
	for name, want := range map[string]string{
		"":                          "(none)",
		noLetter:                    mark(noLetter),
		"(none)":                    "(none)" + mark("(none)"),
		x:                           x,
		x + "y":                     x[:191] + mark(x+"y"),
		x[:190] + "ä" + "tail over": x[:190] + mark(x[:190]+"ä"+"tail over"), // never half a letter
		"<":                         "‹" + mark("<"),
	} {
		if got := label(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestALineIsCutWhereItIsTooLongAsItCameOrAsItIsWritten(t *testing.T) {
	x := strings.Repeat("x", longestLine)
	zeros := strings.Repeat("\x00", longestLine)
	for text, want := range map[string]string{
		x:                   x,
		x + "y":             x + "…",
		x[:999] + "ä":       x[:999] + "…",
		zeros[:300]:         strings.Repeat(`\u0000`, 300),
		zeros[:333] + "\n":  strings.Repeat(`\u0000`, 333) + `\n`, // 2,000 bytes
		zeros[:333] + "\n.": strings.Repeat(`\u0000`, 333) + `\n…`,
		zeros[:334]:         strings.Repeat(`\u0000`, 333) + `\u…`,
	} {
		if got := line(text); got != want {
			t.Errorf("%d bytes: got %d bytes that end in %q, want %d that end in %q", len(text), len(got), got[max(0, len(got)-20):], len(want), want[max(0, len(want)-20):])
		}
	}
}

func TestALongNameInASentenceIsWrittenAsItsLabel(t *testing.T) {
	long := strings.Repeat("p", longestLabel+1)
	most := strings.Repeat("c", longestLabel)
	f := &schema.Finding{FindingKey: schema.FindingKey{Partner: long, Capability: most}, Sentence: long + " did " + most + " as " + long}
	if got, want := sentence(f), label(long)+" did "+most+" as "+label(long); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Partner, f.Capability = most, long
	if got, want := sentence(f), label(long)+" did "+most+" as "+label(long); got != want {
		t.Errorf("the capability: got %q, want %q", got, want)
	}
}

func TestPeopleAndRunbooksAreWrittenAsTheyAreKnown(t *testing.T) {
	same(t, "people", []string{people(schema.Estimate{Value: 5, Low: 5, High: 5}), people(schema.Estimate{Value: 500, Low: 490, High: 510}), people(schema.Estimate{})},
		"5", "500 (490 to 510)", "0")
	same(t, "runbooks", []string{runbook("https://x/", "/a.md"), runbook("https://x", "a.md"), runbook("", "a.md"), runbook("https://x", "")},
		"https://x/a.md", "https://x/a.md", "a.md", "")
	same(t, "numbers of things", []string{count(0, "partner"), count(1, "partner"), count(2, "partner")}, "0 partners", "1 partner", "2 partners")
}
