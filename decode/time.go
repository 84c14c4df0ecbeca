package decode

import (
	"time"

	"github.com/overreach/overreach/schema"
)

// Numbers in [leastSeconds, endSeconds) are the seconds of 2000 to 2100. Read as
// milliseconds they are days of January and February 1970, which no event is of.
const (
	leastSeconds = 946_684_800
	endSeconds   = 4_102_444_800
)

// checkMillis refuses milliseconds since 1970 that are certainly seconds.
func checkMillis(n int64) *schema.Reject {
	if n >= leastSeconds && n < endSeconds {
		return schema.Rejectf(schema.BadTime, "time is a number that reads as seconds since 1970, expected milliseconds: multiply it by 1000, or send RFC 3339")
	}
	return nil
}

// parseTime reads RFC 3339 with any offset and fraction; what is finer than a
// millisecond is cut off. It returns milliseconds since 1970.
func parseTime(text []byte) (int64, *schema.Reject) {
	var t time.Time
	if err := t.UnmarshalText(text); err != nil || !isStrict(text) {
		return 0, schema.Rejectf(schema.BadTime, "time is a string of %d bytes that is not RFC 3339, expected one such as 2018-12-18T09:30:00.250Z or 2018-12-18T10:30:00+01:00", len(text))
	}
	return t.UnixMilli(), nil
}

// isStrict refuses what package time reads though RFC 3339 does not have it: an
// hour of one digit, a comma before the fraction, an offset beyond a day (see
// golang.org/issue/54580).
func isStrict(text []byte) bool {
	if text[len("2006-01-02T1")] == ':' || text[len("2006-01-02T15:04:05")] == ',' {
		return false
	}
	n := len(text)
	return text[n-1] == 'Z' || twoDigits(text, n-len("01:00")) <= 23 && twoDigits(text, n-len("00")) <= 59
}

// fastTime reads the same without allocation. It declines what it is not sure
// of: more than nine digits of a fraction, and whatever parseTime may refuse.
func fastTime(b []byte) (ms int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") ||
		b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	century, year := twoDigits(b, 0), twoDigits(b, 2)
	month, day := twoDigits(b, 5), twoDigits(b, 8)
	hour, minute, second := twoDigits(b, 11), twoDigits(b, 14), twoDigits(b, 17)
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	year += 100 * century
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	ms = ((daysSince1970(year, month, day)*24+hour)*60+minute)*60_000 + second*1000

	b = b[19:]
	if b[0] == '.' {
		digits := 0
		for scale := int64(100); digits+1 < len(b) && b[digits+1]-'0' <= 9; scale /= 10 {
			digits++
			ms += int64(b[digits]-'0') * scale // nothing after the third digit
		}
		if digits == 0 || digits > 9 {
			return 0, false
		}
		b = b[digits+1:]
	}
	switch {
	case len(b) == 1 && b[0] == 'Z':
		return ms, true
	case len(b) == len("+01:00") && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		h, m := twoDigits(b, 1), twoDigits(b, 4)
		if h > 23 || m > 59 {
			return 0, false
		}
		ahead := (h*60 + m) * 60_000
		if b[0] == '-' {
			ahead = -ahead
		}
		return ms - ahead, true
	}
	return 0, false
}

// twoDigits reads b[i:i+2], and returns more than 99 where these are no digits.
func twoDigits(b []byte, i int) int64 {
	tens, ones := b[i]-'0', b[i+1]-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return int64(tens)*10 + int64(ones)
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts the days to a date of the Gregorian calendar, in which
// years begin in March so that the leap day is the last of its year (Hinnant,
// "chrono-Compatible Low-Level Date Algorithms", days_from_civil). The year is
// 0 or later.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	year += 400 // the year before 0 must not divide towards zero
	days := 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1
	return days - 719_468 - 146_097
}
