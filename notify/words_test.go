package notify

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
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
	f(strings.Repeat("x", longestQuery+1), "too long for an alert: overreach findings --json shows it")
}
