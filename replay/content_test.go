package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func inspect(t *testing.T, text string, beginnings ...int64) Content {
	t.Helper()
	c, err := Inspect(t.Context(), write(t, "content", []byte(text)), beginnings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPlainFileOfLinesHasTheSumThatSha256sumSays(t *testing.T) {
	text := "{\"a\":1}\n{}\nx\n"
	if c := inspect(t, text); c.SHA256 != sha(text) || c.Records != 3 || c.ButLast != "" {
		t.Errorf("%+v, want the sum %s", c, sha(text))
	}
}

func TestAContentIsItsRecordsHoweverTheyAreWritten(t *testing.T) {
	want := inspect(t, "{\"a\":1}\n{\"b\":2}\n").SHA256
	packed := write(t, "packed", pack(t, []byte("{\"a\":1}\n{\"b\":2}\n")))
	c, err := Inspect(t.Context(), packed, nil)
	if err != nil || c.SHA256 != want {
		t.Errorf("packed: %+v, %v", c, err)
	}
	for _, text := range []string{"{\"a\":1}\r\n\n{\"b\":2}", "{\"a\":1} \n\n\n{\"b\":2}\t\n", "[{\"a\":1},\n {\"b\":2}]"} {
		if c := inspect(t, text); c.SHA256 != want || c.Records != 2 {
			t.Errorf("%q: %+v, want the sum %s", text, c, want)
		}
	}
	if c := inspect(t, "{\"b\":2}\n{\"a\":1}\n"); c.SHA256 == want {
		t.Error("another order of records is the same content")
	}
}

func TestBeginningsAreTheSumsOfTheFirstRecords(t *testing.T) {
	c := inspect(t, "a\nb\nc\n", 3, 1, 0, 7, 1, -1)
	want := map[int64]string{0: sha(""), 1: sha("a\n"), 3: sha("a\nb\nc\n")}
	if fmt.Sprint(c.Beginnings) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", c.Beginnings, want)
	}
	if c := inspect(t, "[1,2]", 1); c.Beginnings[1] != sha("1\n") || c.ButLast != "" {
		t.Errorf("of a list: %+v", c)
	}
}

func TestAFileThatEndsWithinItsLastLineSaysSo(t *testing.T) {
	if c := inspect(t, "a\nb\nhal"); c.ButLast != sha("a\nb\n") || c.Records != 3 {
		t.Errorf("%+v", c)
	}
	if c := inspect(t, "hal"); c.ButLast != sha("") {
		t.Errorf("%+v", c)
	}
}

func TestOnlyThePartsThatAreWantedAreSentAndTheirPlacesKnown(t *testing.T) {
	a := write(t, "a", []byte("0\n1\n\n2\n3\n4\n"))
	b := write(t, "b", []byte("\n5\n6\n"))
	c := broker(t, 2)
	stripes := &Stripes{Records: 2, Partitions: 2}
	sent, err := Parts(t.Context(), Config{Client: c, Topic: "lines", Stripes: stripes},
		Part{File: a, Only: Spans{{1, 2}, {3, 4}}, Records: 4}, Part{File: b})
	if err != nil || sent.Lines != 4 {
		t.Fatal(sent, err)
	}
	var got []string
	for p := range 2 {
		for offset, value := range stored(t, c, p, sent.Ends[p]) {
			file, line, exact := sent.Places.Of(stripes.Record(int32(p), int64(offset)))
			got = append(got, fmt.Sprintf("%s is %s:%d %v", value, filepath.Base(file), line, exact))
		}
	}
	want := []string{"1 is a:2 true", "3 is a:5 true", "5 is b:2 true", "6 is b:3 true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(sent.Contents) != 1 || sent.Contents[0].Records != 4 || sent.Contents[0].SHA256 != sha("0\n1\n2\n3\n") {
		t.Errorf("as it was read: %+v", sent.Contents)
	}
}

func TestStripesNeedTheTopicForThemselves(t *testing.T) {
	c := broker(t, 1)
	stripes := &Stripes{Records: 2, Partitions: 1}
	for i, want := range []string{"", "holds other records too"} {
		_, err := Lines(t.Context(), Config{Client: c, Topic: "lines", Stripes: stripes}, sequence(made(3)))
		if got := fmt.Sprint(err); (err != nil) != (want != "") || !strings.Contains(got, want) {
			t.Errorf("run %d: %v, want %q", i, err, want)
		}
	}
	_, err := Lines(t.Context(), Config{Client: c, Topic: "lines", Stripes: &Stripes{Records: 1, Partitions: 2}}, sequence(made(1)))
	if err == nil || !strings.Contains(err.Error(), "has 1 partitions, records are laid out on 2") {
		t.Error(err)
	}
}
