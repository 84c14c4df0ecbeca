package consumer

import "testing"

func TestAPinReadsBackAsItWasWritten(t *testing.T) {
	for _, epoch := range []uint32{1, 2, 1 << 31} {
		p := pin{from: 1 << 60, to: 1<<60 + 50_000, day: 20781, epoch: epoch, by: "0123456789abcdef",
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

func FuzzPin(f *testing.F) {
	settled := pin{from: 3, to: 9, day: 20000, by: "ab", last: fingerprint{offset: -1}}
	f.Add(int64(3), settled.String())
	f.Add(int64(3), "")
	f.Add(int64(10), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3")
	f.Add(int64(1), "overreach/1 to=9 day= by= last=,,")
	f.Add(int64(3), "overreach/1 to=9 day=2024-01-01 by=x last=1,2,3 epoch=7")
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
