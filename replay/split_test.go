package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// linesOf reads all records of a text, however it is cut into pieces.
func linesOf(t testing.TB, text string, bytewise bool) (records []string, err error) {
	t.Helper()
	var lines *bufio.Scanner
	if bytewise {
		lines = bufio.NewScanner(iotest.OneByteReader(strings.NewReader(text)))
	} else {
		lines = bufio.NewScanner(strings.NewReader(text))
	}
	lines.Buffer(nil, MaxLine)
	var s splitter
	lines.Split(s.next)
	for lines.Scan() {
		records = append(records, lines.Text())
	}
	return records, lines.Err()
}

func TestOfAFileThatIsAListEachElementIsARecord(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		for _, bytewise := range []bool{false, true} {
			got, err := linesOf(t, text, bytewise)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
			}
		}
	}
	f(`[{"a":1},{"b":[2,{"c":"]}\\\""}]}]`, `{"a":1}`, `{"b":[2,{"c":"]}\\\""}]}`)
	f("\n [\n  {\n    \"a\": 1\n  },\n  {}\n]\n", "{\n    \"a\": 1\n  }", "{}")
	f("[]")
	f(" [ ] ")
	f(`["x",1,-2.5e3 ,null,[3],true]`, `"x"`, "1", "-2.5e3", "null", "[3]", "true")
	f("[{},{}]\n[{}]\n{\"a\":1}\n7", "{}", "{}", "{}", `{"a":1}`, "7")
	// What is no JSON is a record too, for whoever reads it to reject.
	f(`[{"a":},}]`, `{"a":}`, "}")
	f(`[1]]x`, "1", "]", "x")
}

func TestAFileOfLinesIsReadAsBefore(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		for _, bytewise := range []bool{false, true} {
			got, err := linesOf(t, text, bytewise)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
			}
		}
	}
	f("{}\n[1]\n\n{} \r\nx", "{}", "[1]", "", "{} ", "x")
	f("\n\n{}\n", "", "", "{}")
	f("x[\n", "x[")
	f("")
}

func TestAListThatIsCutOffIsAnErrorAfterWhatCameBefore(t *testing.T) {
	for _, text := range []string{"[", `[{},{"a"`, `[{},`, `[{},"x`, `[{},{}`} {
		got, err := linesOf(t, text, true)
		if err == nil || !strings.Contains(err.Error(), "ends inside of a JSON list") || len(got) > 2 {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	file := write(t, "cut", []byte(`[{},{},{"a":`))
	if _, err := Files(t.Context(), Config{Client: broker(t, 1), Topic: "lines"}, file); err == nil || !strings.Contains(err.Error(), file+":3: the file ends inside") {
		t.Error(err)
	}
}

func TestAnElementIsNoLongerThanALine(t *testing.T) {
	_, err := linesOf(t, `[{},"`+strings.Repeat("x", MaxLine)+`"]`, false)
	if err == nil {
		t.Error("an element of more than MaxLine bytes was read")
	}
}

func TestAListIsReplayedAsItsElements(t *testing.T) {
	elements := made(5000)
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte("["+strings.Join(elements, ",")+"]"), "", " "); err != nil {
		t.Fatal(err)
	}
	c := broker(t, 1)
	got, err := Files(t.Context(), Config{Client: c, Topic: "lines"}, write(t, "list.gz", pack(t, indented.Bytes())), write(t, "lines", []byte("{}\n[]\n")))
	if err != nil || got.Lines != 5002 {
		t.Fatal(got.Lines, err)
	}
	values := stored(t, c, 0, got.Ends[0])
	for i, want := range append(elements, "{}", "[]") {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(values[i])); err != nil || compact.String() != want {
			t.Fatalf("record %d is %s, %v, want %s", i, values[i], err, want)
		}
	}
}

func TestTheElementsOfRealFilesAreThoseThatEncodingJSONFinds(t *testing.T) {
	files, err := filepath.Glob("../../shared/data/cloudtrail/*.json")
	if err != nil || len(files) == 0 {
		t.Skip("SKIPPED: ../../shared/data/cloudtrail is not beside the checkout: real files of lists were not read")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want []json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		for line, err := range LinesOf(file) {
			if err != nil || n >= len(want) || !bytes.Equal(line, want[n]) {
				t.Fatalf("%s: element %d: %v", file, n, err)
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%s: %d of %d elements", file, n, len(want))
		}
	}
}

// Whatever a list holds, its elements come out whole and in order.
func FuzzSplit(f *testing.F) {
	f.Add(`{"a":"]\\","b":[1,{}]}`, `"x"`, " ")
	f.Add(`[[],"\""]`, `-1e9`, "\n")
	f.Fuzz(func(t *testing.T, first, second, space string) {
		if !json.Valid([]byte(first)) || !json.Valid([]byte(second)) || strings.Trim(space, " \n\t\r") != "" {
			got, err := linesOf(t, first+second, false) // no panic, nothing made up
			if err == nil && len(strings.Join(got, "")) > len(first)+len(second) {
				t.Fatalf("%q of %q", got, first+second)
			}
			return
		}
		want := []string{strings.TrimSpace(first), strings.TrimSpace(second)}
		text := fmt.Sprintf("%s[%s%s%s,%s]%s", space, space, first, space, second, space)
		for _, bytewise := range []bool{false, true} {
			if got, err := linesOf(t, text, bytewise); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q: %q, %v", text, got, err)
			}
		}
	})
}
