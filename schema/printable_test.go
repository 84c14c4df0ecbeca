package schema

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func FuzzWhatDoesNotPrintIsEscapedAndMeansTheSame(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[2J", "\u009b31m", "\u202eevil", "\x7f\x00\r\n\t", "\xff\xfe", "snow ☃ мир", "\U000e0041\U0010ffff", "\u2028<b>", `\u001b "x"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := Printable(s); strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("Printable(%q) = %q", s, got)
		}
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := PrintableJSON(plain)
		if i := strings.IndexFunc(string(got), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("PrintableJSON(%q) = %q", plain, got)
		}
		var before, after string
		if err := json.Unmarshal(plain, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &after); err != nil || after != before {
			t.Errorf("PrintableJSON(%q) means %q, %v", plain, after, err)
		}
	})
}
