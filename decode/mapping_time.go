package decode

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine without a time zone database knows the zones too

	"github.com/overreach/overreach/schema"
)

// timeFormat reads times that are written otherwise than events write them.
type timeFormat struct {
	perMilli float64 // of a number: how many of its units a millisecond has; 0: a layout
	unit     string  // what the number counts, for a message
	layout   []directive
	written  string // the layout as the mapping writes it
	zone     *time.Location
}

// directive is one piece of a layout: a byte that stands for itself, or what a
// letter after % reads.
type directive struct {
	letter  byte // 0: literal
	literal byte
}

var epochs = map[string]struct {
	perMilli float64
	unit     string
}{
	"unix":    {1e-3, "seconds"},
	"unix_ms": {1, "milliseconds"},
	"unix_us": {1e3, "microseconds"},
	"unix_ns": {1e6, "nanoseconds"},
}

const layoutLetters = "YmdbeHIMSpz"

var errLayout = errors.New(`expected unix, unix_ms, unix_us, unix_ns, or a layout of %Y year, %m month, %b its English name, %d or %e day, %H hour, %I hour with %p AM or PM, %M minute, %S second with any fraction, %z offset or Z, %% a percent sign`)

// parseTimeFormat reads a format, and the zone of times that do not name one:
// UTC where it is empty, else a name such as Europe/Berlin or an offset such as
// +02:00.
func parseTimeFormat(format, zone string) (*timeFormat, error) {
	if format == "" {
		return nil, errors.New("time has a zone and no format: expected a format that says how the time without a zone is written; RFC 3339 names its own")
	}
	f := &timeFormat{written: format, zone: time.UTC}
	epoch, isEpoch := epochs[format]
	f.perMilli, f.unit = epoch.perMilli, epoch.unit
	has := ""
	if !isEpoch {
		for i := 0; i < len(format); i++ {
			if format[i] != '%' {
				f.layout = append(f.layout, directive{literal: format[i]})
				continue
			}
			if i++; i == len(format) {
				return nil, fmt.Errorf("format %q ends inside of a field: %w", format, errLayout)
			}
			switch c := format[i]; c {
			case '%':
				f.layout = append(f.layout, directive{literal: c})
			case 'F':
				f.layout = append(f.layout, directive{letter: 'Y'}, directive{literal: '-'}, directive{letter: 'm'}, directive{literal: '-'}, directive{letter: 'd'})
				has += "Ymd"
			case 'T':
				f.layout = append(f.layout, directive{letter: 'H'}, directive{literal: ':'}, directive{letter: 'M'}, directive{literal: ':'}, directive{letter: 'S'})
				has += "HMS"
			default:
				if !strings.Contains(layoutLetters, string(c)) {
					return nil, fmt.Errorf("format %q has a field %%%c: %w", format, c, errLayout)
				}
				f.layout = append(f.layout, directive{letter: c})
				has += string(c)
			}
		}
		if !strings.Contains(has, "Y") || !strings.ContainsAny(has, "mb") || !strings.ContainsAny(has, "de") {
			return nil, fmt.Errorf("format %q does not say year, month and day: %w", format, errLayout)
		}
		if strings.Contains(has, "I") != strings.Contains(has, "p") {
			return nil, fmt.Errorf("format %q has %%I or %%p alone: expected both, or %%H", format)
		}
	}
	if zone == "" {
		return f, nil
	}
	if isEpoch || strings.Contains(has, "z") {
		return nil, fmt.Errorf("time has a zone, %q, which its format %q leaves no room for: such times say themselves which instant they mean", zone, format)
	}
	if seconds, n := readOffset([]byte(zone)); n > 0 && n == len(zone) {
		f.zone = time.FixedZone(zone, int(seconds))
		return f, nil
	}
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // which one that is depends on the machine
		return nil, fmt.Errorf("zone %q is not known: expected a name such as Europe/Berlin, or an offset such as +02:00", zone)
	}
	f.zone = location
	return f, nil
}

// parse reads a time that was a value of the kind, as milliseconds since 1970.
func (f *timeFormat) parse(k kind, text []byte) (int64, *schema.Reject) {
	if f.layout == nil {
		return f.parseNumber(text)
	}
	if k != '"' && k != '0' {
		return 0, schema.Rejectf(schema.WrongType, "time is %s, expected one such as %s", k, f.example())
	}
	civil, offset, hasOffset, ok := f.read(text)
	switch {
	case !ok:
		return 0, schema.Rejectf(schema.BadTime, "time is a text of %d bytes that is not written as %q, expected one such as %s", len(text), f.written, f.example())
	case hasOffset:
		return civil - offset*1000, nil
	}
	return f.instant(civil), nil
}

// parseNumber reads a number, also one in quotes and with a fraction; what is
// finer than a millisecond is cut off.
func (f *timeFormat) parseNumber(text []byte) (int64, *schema.Reject) {
	if !isNumber(text) {
		return 0, schema.Rejectf(schema.WrongType, "time is no number, expected %s since 1970", f.unit)
	}
	n, err := strconv.ParseFloat(string(text), 64)
	// A double has 53 bits. Whole numbers of many digits keep theirs.
	if whole, wholeErr := strconv.ParseInt(string(text), 10, 64); wholeErr == nil && f.perMilli >= 1 {
		return f.checked(whole / int64(f.perMilli))
	}
	ms := n / f.perMilli
	if err != nil || math.Abs(ms) > 1<<53 {
		return 0, schema.Rejectf(schema.OutOfRange, "time is a number of %s beyond what milliseconds of 53 bits can hold", f.unit)
	}
	// 1626864000.123 is a little less as a double, and must not lose its last millisecond.
	return f.checked(int64(math.Floor(ms + 1e-3)))
}

func (f *timeFormat) checked(ms int64) (int64, *schema.Reject) {
	if f.perMilli == 1 {
		return ms, checkMillis(ms)
	}
	return ms, nil
}

// example is the time of the first web page, as the format writes it.
func (f *timeFormat) example() string {
	t := time.Date(1991, 8, 6, 14, 56, 20, 0, time.UTC)
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'b': "Jan", 'e': "2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'z': "Z07:00"}
	var b strings.Builder
	for _, d := range f.layout {
		if d.letter == 0 {
			b.WriteByte(d.literal)
			continue
		}
		b.WriteString(t.Format(layouts[d.letter]))
	}
	return b.String()
}

// instant returns the instant of a local time, both in milliseconds, the local
// one as if it were UTC. A time that the clock shows twice, when it is put back,
// is the first of the two; one that it never shows, when it is put forward, is
// read with the offset from before, so that it is after the change.
func (f *timeFormat) instant(civil int64) int64 {
	const hour = 3600_000
	offset := func(ms int64) int64 {
		_, seconds := time.UnixMilli(ms).In(f.zone).Zone()
		return int64(seconds) * 1000
	}
	// Offsets are between -12 and +14 hours: what is asked for lies within.
	before, after := offset(civil-15*hour), offset(civil+13*hour)
	first, second := civil-before, civil-after
	if offset(first) != before && offset(second) == after {
		return second
	}
	return first
}

// read reads a text by the layout: the local time in milliseconds as if it were
// UTC, and the offset in seconds where the text has one.
func (f *timeFormat) read(text []byte) (civil, offset int64, hasOffset, ok bool) {
	var year, month, day, hour, minute, second, milli int64 = 0, 1, 1, 0, 0, 0, 0
	half := int64(-1) // of the day, in hours
	digits := func(least, most int) int64 {
		n, value := 0, int64(0)
		for n < most && n < len(text) && text[n]-'0' <= 9 {
			value = value*10 + int64(text[n]-'0')
			n++
		}
		if n < least {
			return -1
		}
		text = text[n:]
		return value
	}
	for _, d := range f.layout {
		value := int64(0)
		switch d.letter {
		case 0:
			if len(text) == 0 || text[0] != d.literal {
				return 0, 0, false, false
			}
			text = text[1:]
		case 'Y':
			year = digits(4, 4)
			value = year
		case 'm':
			month = digits(2, 2)
			value = month
		case 'b':
			month, text = readMonth(text)
			value = month
		case 'd':
			day = digits(2, 2)
			value = day
		case 'e':
			if len(text) > 0 && text[0] == ' ' {
				text = text[1:]
			}
			day = digits(1, 2)
			value = day
		case 'H', 'I':
			hour = digits(2, 2)
			value = hour
			if d.letter == 'I' && (hour < 1 || hour > 12) {
				return 0, 0, false, false
			}
		case 'p':
			half, text = readHalf(text)
			value = half
		case 'M':
			minute = digits(2, 2)
			value = minute
		case 'S':
			second = digits(2, 2)
			value = second
			milli, text = readFraction(text)
		case 'z':
			seconds, n := readOffset(text)
			if n == 0 {
				return 0, 0, false, false
			}
			offset, hasOffset, text = seconds, true, text[n:]
		}
		if value < 0 {
			return 0, 0, false, false
		}
	}
	if half >= 0 {
		hour = hour%12 + half
	}
	if len(text) > 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false, false
	}
	return (((daysSince1970(year, month, day)*24+hour)*60+minute)*60+second)*1000 + milli, offset, hasOffset, true
}

// readMonth cuts the English name of a month, whole or its first three letters,
// off the beginning of a text. It returns -1 where there is none.
func readMonth(text []byte) (int64, []byte) {
	for m := time.January; m <= time.December; m++ {
		name := m.String()
		for _, n := range []int{len(name), 3} {
			if len(text) >= n && strings.EqualFold(string(text[:n]), name[:n]) {
				return int64(m), text[n:]
			}
		}
	}
	return -1, text
}

// readHalf cuts AM or PM off: the hour at which that half of the day begins.
func readHalf(text []byte) (int64, []byte) {
	if len(text) >= 2 && text[1]|0x20 == 'm' {
		switch text[0] | 0x20 {
		case 'a':
			return 0, text[2:]
		case 'p':
			return 12, text[2:]
		}
	}
	return -1, text
}

// readFraction cuts a fraction of a second off, behind a point or a comma, where
// there is one: its milliseconds.
func readFraction(text []byte) (int64, []byte) {
	if len(text) < 2 || text[0] != '.' && text[0] != ',' || text[1]-'0' > 9 {
		return 0, text
	}
	n, milli := 1, int64(0)
	for scale := int64(100); n < len(text) && text[n]-'0' <= 9; scale /= 10 {
		milli += int64(text[n]-'0') * scale // nothing after the third digit
		n++
	}
	return milli, text[n:]
}

// readOffset reads Z, +01, +0100 or +01:00 at the beginning of a text: seconds
// east of UTC, and of how many bytes; none is 0.
func readOffset(text []byte) (seconds int64, n int) {
	if len(text) > 0 && text[0]|0x20 == 'z' {
		return 0, 1
	}
	if len(text) < 3 || text[0] != '+' && text[0] != '-' {
		return 0, 0
	}
	hours, minutes := twoDigits(text, 1), int64(0)
	n = 3
	colon := 0
	if len(text) >= 6 && text[3] == ':' {
		colon = 1
	}
	if len(text) >= 5+colon && twoDigits(text, 3+colon) <= 99 {
		minutes = twoDigits(text, 3+colon)
		n = 5 + colon
	}
	if hours > 23 || minutes > 59 {
		return 0, 0
	}
	seconds = hours*3600 + minutes*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, n
}
