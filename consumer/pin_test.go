package consumer

import (
	"strings"
	"testing"
)

func TestAPinReadsBackAsItWasWritten(t *testing.T) {
	for i, number := range []uint32{1, 2, 1 << 31, 1, 2} {
		why := kind("")
		if i > 2 {
			why = badCompression
		}
		p := pin{from: 1 << 60, to: 1<<60 + 50_000, day: 20781, number: number, by: "0123456789abcdef", why: why,
			last: fingerprint{offset: 1<<60 + 49_999, time: 1700000000000, crc: 0x0000abcd}}
		text := p.String()
		got, ok := parsePin(p.from, text)
		if !ok || got != p {
			t.Errorf("%q reads as %+v", text, got)
		}
		if len(text) > 200 {
			t.Errorf("a pin takes %d bytes", len(text))
		}
	}
}

// A binary of before there were such pins must not take one for a pin of records.
func TestAPinOfWhatCannotBeDecodedIsNoPinToAnOlderBinary(t *testing.T) {
	p := pin{from: 3, to: 9, day: 20000, number: 1, by: "ab", last: fingerprint{offset: -1}, why: badCRC}
	fields := strings.Fields(p.String())
	if len(fields) != 6 || strings.HasPrefix(fields[5], "incarnation=") { // such a one took five fields, or six where the last names an number
		t.Errorf("%q", fields)
	}
	if _, ok := parsePin(3, strings.Replace(p.String(), "bad_crc", "another", 1)); ok {
		t.Error("a kind that is not known was taken")
	}
}

func FuzzPin(f *testing.F) {
	settled := pin{from: 3, to: 9, day: 20000, by: "ab", last: fingerprint{offset: -1}}
	f.Add(int64(3), settled.String())
	f.Add(int64(3), "")
	f.Add(int64(10), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3")
	f.Add(int64(1), "overreach/1 to=9 day= by= last=,,")
	f.Add(int64(3), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3 incarnation=7")
	f.Add(int64(3), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3 incarnation=7 unreadable=bad_crc")
	f.Add(int64(3), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3 unreadable=whatever")
	f.Fuzz(func(t *testing.T, from int64, text string) {
		p, ok := parsePin(from, text)
		if !ok {
			return
		}
		again, ok := parsePin(from, p.String())
		if !ok || again != p || p.to < p.from {
			t.Errorf("%q reads as %+v and then as %+v", text, p, again)
		}
	})
}
