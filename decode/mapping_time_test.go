package decode

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// readTime maps a record with the value as its time.
func readTime(t *testing.T, rule, value string) (time.Time, *schema.Reject) {
	t.Helper()
	m := parse(t, strings.Replace(head, "time: t", "time: {path: t, "+rule+"}", 1)+"  subject: {const: s}")
	limits := schema.TimeLimits{Min: -1 << 62, MaxFuture: 1 << 62}
	events, rejects, _ := m.NewReader(limits).Read([]byte(`{"t":`+value+`}`), believed)
	if len(rejects) > 0 {
		return time.Time{}, &rejects[0].Reject
	}
	return time.UnixMilli(events[0].Time).UTC(), nil
}

func TestATimeIsReadAsItsFormatSays(t *testing.T) {
	f := func(rule, value, want string) {
		t.Helper()
		got, why := readTime(t, rule, value)
		if why != nil {
			t.Errorf("%s of %s: %s", rule, value, why.Detail)
		} else if text := got.Format("2006-01-02T15:04:05.000Z"); text != want {
			t.Errorf("%s of %s: got %s, want %s", rule, value, text, want)
		}
	}
	f(`format: "%Y-%m-%d %H:%M:%S"`, `"2021-07-21 10:40:00"`, "2021-07-21T10:40:00.000Z")
	f(`format: "%F %T"`, `"2021-07-21 10:40:00.1239"`, "2021-07-21T10:40:00.123Z")
	f(`format: "%F %T"`, `"2021-07-21 10:40:00,5"`, "2021-07-21T10:40:00.500Z")
	f(`format: "%FT%T%z"`, `"2021-07-21T10:40:00.25+02:00"`, "2021-07-21T08:40:00.250Z")
	f(`format: "%FT%T%z"`, `"2021-07-21T10:40:00-0130"`, "2021-07-21T12:10:00.000Z")
	f(`format: "%FT%T%z"`, `"2021-07-21T10:40:00+02"`, "2021-07-21T08:40:00.000Z")
	f(`format: "%FT%T%z"`, `"2021-07-21T10:40:00Z"`, "2021-07-21T10:40:00.000Z")
	f(`format: "%d/%b/%Y:%H:%M:%S %z"`, `"21/Jul/2021:10:40:00 +0200"`, "2021-07-21T08:40:00.000Z") // Apache, nginx
	f(`format: "%b %e, %Y %I:%M %p"`, `"July 4, 2021 12:05 AM"`, "2021-07-04T00:05:00.000Z")
	f(`format: "%b %e %Y %I:%M:%S%p"`, `"may  4 2021 01:05:06pm"`, "2021-05-04T13:05:06.000Z")
	f(`format: "%Y%m%d%H%M%S"`, `20210721104000`, "2021-07-21T10:40:00.000Z")
	f(`format: "100%% %Y-%m-%d"`, `"100% 2024-02-29"`, "2024-02-29T00:00:00.000Z")
	f(`format: "%F", zone: "+02:00"`, `"2021-07-21"`, "2021-07-20T22:00:00.000Z")
	f(`format: "%F %T", zone: America/New_York, after: "at "`, `"at 2021-07-21 10:40:00"`, "2021-07-21T14:40:00.000Z")
	f(`format: unix`, `1626864000`, "2021-07-21T10:40:00.000Z")
	f(`format: unix`, `1626864000.123`, "2021-07-21T10:40:00.123Z")
	f(`format: unix`, `"1626864000.1239"`, "2021-07-21T10:40:00.123Z")
	f(`format: unix`, `1.626864000123e9`, "2021-07-21T10:40:00.123Z")
	f(`format: unix`, `-1.5`, "1969-12-31T23:59:58.500Z")
	f(`format: unix_ms`, `"1626864000123"`, "2021-07-21T10:40:00.123Z")
	f(`format: unix_ms`, `1626864000123.9`, "2021-07-21T10:40:00.123Z")
	f(`format: unix_us`, `1626864000123456`, "2021-07-21T10:40:00.123Z")
	f(`format: unix_ns`, `1626864000123456789`, "2021-07-21T10:40:00.123Z")

	// Each millisecond of a second survives as a fraction.
	for ms := range 1000 {
		got, why := readTime(t, "format: unix", fmt.Sprintf("1626864000.%03d", ms))
		if why != nil || got.UnixMilli() != 1626864000000+int64(ms) {
			t.Fatalf("%d ms: %s, %v", ms, got, why)
		}
	}
}

func TestATimeThatIsNotWrittenSoIsARejectThatShowsHow(t *testing.T) {
	f := func(rule, value string, reason schema.Reason, detail string) {
		t.Helper()
		_, why := readTime(t, rule, value)
		if why == nil {
			t.Errorf("%s of %s: read", rule, value)
		} else if why.Reason != reason || !strings.Contains(why.Detail, detail) || !strings.Contains(why.Detail, "(mapped from t)") || strings.Contains(why.Detail, secret) {
			t.Errorf("%s of %s: got %s: %s", rule, value, why.Reason, why.Detail)
		}
	}
	for _, value := range []string{secret, "2021-07-21", "2021-07-21 10:40:0", "2021-07-21 10:40:00 ", "2021-02-29 10:40:00", "2021-07-21 24:00:00", "2021-13-01 00:00:00", "2021-07-00 00:00:00", "21-07-2021 10:40:00"} {
		f(`format: "%F %T"`, `"`+value+`"`, schema.BadTime, `not written as "%F %T", expected one such as 1991-08-06 14:56:20`)
	}
	f(`format: "%F %T%z"`, `"2021-07-21 10:40:00"`, schema.BadTime, "1991-08-06 14:56:20Z")
	f(`format: "%F %T%z"`, `"2021-07-21 10:40:00+99:00"`, schema.BadTime, "")
	f(`format: "%F %I:%M %p"`, `"2021-07-21 13:40 PM"`, schema.BadTime, "1991-08-06 02:56 PM")
	f(`format: "%F %I:%M %p"`, `"2021-07-21 10:40 XM"`, schema.BadTime, "")
	f(`format: "%b %e %Y"`, `"Foo 1 2021"`, schema.BadTime, "Aug 6 1991")
	f(`format: "%F"`, `true`, schema.WrongType, "a truth value")
	f(`format: unix`, `"`+secret+`"`, schema.WrongType, "seconds since 1970")
	f(`format: unix`, `1e300`, schema.OutOfRange, "beyond")
	f(`format: unix`, `1e999`, schema.OutOfRange, "beyond")
	f(`format: unix_ms`, `1626864000`, schema.BadTime, "reads as seconds")
}

func TestLocalTimesAreDecidedWhereTheClockIsChanged(t *testing.T) {
	f := func(zone, local, want string) {
		t.Helper()
		got, why := readTime(t, `format: "%F %T", zone: `+zone, `"`+local+`"`)
		if why != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s in %s: got %s, %v, want %s", local, zone, got.Format(time.RFC3339), why, want)
		}
	}
	f("Europe/Berlin", "2021-03-28 01:59:59", "2021-03-28T00:59:59Z")
	f("Europe/Berlin", "2021-03-28 02:30:00", "2021-03-28T01:30:00Z") // never shown: as if not yet put forward
	f("Europe/Berlin", "2021-03-28 03:00:00", "2021-03-28T01:00:00Z")
	f("Europe/Berlin", "2021-10-31 01:59:59", "2021-10-30T23:59:59Z")
	f("Europe/Berlin", "2021-10-31 02:30:00", "2021-10-31T00:30:00Z") // shown twice: the first
	f("Europe/Berlin", "2021-10-31 03:00:00", "2021-10-31T02:00:00Z")
	f("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30T22:00:00Z") // a day that was left out
	f("Australia/Lord_Howe", "2021-04-04 01:45:00", "2021-04-03T14:45:00Z")
	f("Pacific/Kiritimati", "2021-07-21 00:00:00", "2021-07-20T10:00:00Z")
	f("Etc/GMT+12", "2021-07-21 00:00:00", "2021-07-21T12:00:00Z")
}

// What a zone shows at some instant is read as that instant, or as an earlier one
// that shows the same.
func TestLocalTimesAgreeWithPackageTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "UTC"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		format, err := parseTimeFormat("%F %T", name)
		if err != nil {
			t.Fatal(err)
		}
		for range 5000 {
			at := time.Unix(946684800+r.Int64N(40*365*86400), 0).In(zone)
			text := at.Format("2006-01-02 15:04:05")
			ms, why := format.parse('"', []byte(text))
			got := time.UnixMilli(ms).In(zone)
			if why != nil || got.Format("2006-01-02 15:04:05") != text || got.After(at) {
				t.Fatalf("%s: %s was read as %s, %v", name, at, got, why)
			}
		}
	}
}

func TestAnErrorInAFormatSaysWhatWasExpected(t *testing.T) {
	f := func(format, zone, want string) {
		t.Helper()
		if _, err := parseTimeFormat(format, zone); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q %q: got %v, want %s", format, zone, err, want)
		}
	}
	f("", "UTC", "a zone and no format")
	f("%Q", "", "has a field %Q: expected unix")
	f("%F %", "", "ends inside of a field")
	f("%H:%M", "", "does not say year, month and day")
	f("2006-01-02", "", "does not say year, month and day")
	f("%F %I:%M", "", "%I or %p alone")
	f("%F", "Mars/Olympus", `zone "Mars/Olympus" is not known`)
	f("%F", "Local", `zone "Local" is not known`)
	f("%F%z", "UTC", "leaves no room")
	f("unix", "UTC", "leaves no room")
}
