package decode

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

// usual is what a producer sends: about 300 bytes.
const usual = `{"time":"2018-11-05T14:23:11.250Z","id":"req-7f3a9c1e-55d0-4a","partner":"songbird","app":"songbird-android",` +
	`"capability":"messaging","action":"read","subject":"user-8812345567","actor":"user-1200998431","records":25,"bytes":18234,` +
	`"api_version":"v2.11","status":200,"grant":"messaging-2016","region":"eu-west-1","cached":false}`

// least is the smallest event, and with puts more members into it.
const least = `{"time":"2018-11-05T14:23:11Z","partner":"p","capability":"c","action":"read","subject":"s"}`

func with(members string) string { return strings.TrimSuffix(least, "}") + "," + members + "}" }

// without is an event that lacks one required member, with other members in its stead.
func without(name, members string) string {
	text := "{" + members
	for _, m := range [][2]string{
		{"time", `"time":1541427791000`}, {"partner", `"partner":"p"`}, {"capability", `"capability":"c"`},
		{"action", `"action":"read"`}, {"subject", `"subject":"s"`},
	} {
		if m[0] == name {
			continue
		}
		if text != "{" {
			text += ","
		}
		text += m[1]
	}
	return text + "}"
}

func show(e schema.Event) string {
	return fmt.Sprintf("time %d id %q partner %q app %q capability %q %v subject %q actor %q version %q grant %q status %d records %d bytes %d",
		e.Time, e.ID, e.Partner, e.App, e.Capability, e.Action, e.Subject, e.Actor, e.APIVersion, e.Grant, e.Status, e.Records, e.Bytes)
}

func TestAnEventHasWhatItsRecordSays(t *testing.T) {
	at := time.Date(2018, 11, 5, 14, 23, 11, 250e6, time.UTC).UnixMilli()
	f := func(record string, want schema.Event) {
		t.Helper()
		var d Decoder
		var fast, got schema.Event
		if r := d.Decode([]byte(record), &got); r != nil {
			t.Fatalf("%s: %s: %s", record, r.Reason, r.Detail)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", record, show(got), show(want))
		}
		if decodeFast([]byte(record), &fast) && !reflect.DeepEqual(fast, want) {
			t.Errorf("fast path: %s:\n got %s\nwant %s", record, show(fast), show(want))
		}
	}
	b := func(s string) []byte { return []byte(s) }
	small := schema.Event{Time: at - 250, Partner: b("p"), Capability: b("c"), Subject: b("s"), Action: schema.Read}
	change := func(f func(e *schema.Event)) schema.Event { e := small; f(&e); return e }

	f(usual, schema.Event{
		Time: at, ID: b("req-7f3a9c1e-55d0-4a"), Partner: b("songbird"), App: b("songbird-android"),
		Capability: b("messaging"), Action: schema.Read, Subject: b("user-8812345567"), Actor: b("user-1200998431"),
		Records: 25, Bytes: 18234, APIVersion: b("v2.11"), Status: 200, Grant: b("messaging-2016"),
	})
	f(least, small)
	f(" \t\r\n"+strings.ReplaceAll(least, ":\"", " :\n\"")+"\n", small)
	f(without("time", `"time":1541427791250`), change(func(e *schema.Event) { e.Time = at }))
	f(without("time", `"time":"2018-11-05T15:23:11.25+01:00"`), change(func(e *schema.Event) { e.Time = at }))
	f(without("time", `"time":"2018-11-05T04:53:11.250999999-09:30"`), change(func(e *schema.Event) { e.Time = at }))
	f(without("time", `"time":0`), change(func(e *schema.Event) { e.Time = 0 }))
	f(without("time", `"time":-62135596800000`), change(func(e *schema.Event) { e.Time = -62135596800000 }))
	f(without("action", `"action":"write"`), change(func(e *schema.Event) { e.Action = schema.Write }))
	f(without("action", `"action":"delete"`), change(func(e *schema.Event) { e.Action = schema.Delete }))
	f(with(`"app":null,"actor":"","records":null,"grant":""`), change(func(e *schema.Event) { e.Actor, e.Grant = b(""), b("") }))
	f(with(`"records":9223372036854775807,"bytes":0,"status":999`), change(func(e *schema.Event) { e.Records, e.Status = 1<<63-1, 999 }))
	f(with(`"records":-0`), small)

	// Escapes, in names too, and text beyond ASCII.
	f(with(`"app":"a\u00e9\ud83d\ude00\n\"\\\/"`), change(func(e *schema.Event) { e.App = b("aé😀\n\"\\/") }))
	f(with(`"\u0061pp":"x","a\u0063tor":"y"`), change(func(e *schema.Event) { e.App, e.Actor = b("x"), b("y") }))
	f(with(`"app":"日本語","actor":"Ωé😀"`), change(func(e *schema.Event) { e.App, e.Actor = b("日本語"), b("Ωé😀") }))
	f(with(`"app":"`+strings.Repeat(`\u0041`, MaxName)+`"`), change(func(e *schema.Event) { e.App = b(strings.Repeat("A", MaxName)) }))
	f(with(`"actor":"`+strings.Repeat("é", MaxID/2)+`"`), change(func(e *schema.Event) { e.Actor = b(strings.Repeat("é", MaxID/2)) }))

	// Names are case-sensitive; what is not read is ignored, even twice.
	f(with(`"App":"x","PARTNER":"q","Time":1,"":0,"partner ":7`), small)
	f(with(`"x":1,"x":{"x":[1,{"partner":"q"}],"x":-0.5e+10},"y":"\u00e9\\","z":[[],{}],"z":1e999999`), small)
	f(with(`"deep":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)), small)
	f(with(`"big":123456789012345678901234567890`), small)
}

// secret stands where a user id could: no detail and no outline may hold it.
const secret = "Zaphod47110815"

func TestWhatIsNoEventIsRejectedWithItsReason(t *testing.T) {
	f := func(record string, reason schema.Reason, detail string) {
		t.Helper()
		var d Decoder
		var e schema.Event
		r := d.Decode([]byte(record), &e)
		switch {
		case r == nil:
			t.Errorf("%.200s: accepted, want %s", record, reason)
		case r.Reason != reason || !strings.Contains(r.Detail, detail):
			t.Errorf("%.200s:\n got %s: %s\nwant %s: …%s…", record, r.Reason, r.Detail, reason, detail)
		case strings.Contains(r.Detail, secret) || len(r.Detail) > 400:
			t.Errorf("the detail tells too much: %s", r.Detail)
		}
		if reason != schema.TooLarge && decodeFast([]byte(record), &e) {
			t.Errorf("the fast path accepts %.200s", record)
		}
		if o := (JSON{}).NewReader(schema.TimeLimits{}).Outline([]byte(record), 500); strings.Contains(o, secret) {
			t.Errorf("the outline tells too much: %s", o)
		}
	}
	f("", schema.NotJSON, "empty")
	f(" \n", schema.NotJSON, "empty")
	f("{}", schema.MissingMember, "time, partner, capability, action and subject are missing")
	f(`{"time":"2018-`, schema.NotJSON, "cut off after 14 bytes")
	f(usual[:150], schema.NotJSON, "cut off")
	f(strings.TrimSuffix(least, "}"), schema.NotJSON, "cut off")
	f(least+least, schema.NotJSON, "expected nothing after it")
	f(least+"x", schema.NotJSON, "expected nothing after it")
	f(least+"\x00", schema.NotJSON, "expected nothing after it")
	f("\ufeff"+least, schema.NotJSON, "from byte 0")
	f(secret, schema.NotJSON, "not JSON")
	f(`"`+secret+`"`, schema.NotObject, "is a string")
	f("[]", schema.NotObject, "is an array")
	f("-12", schema.NotObject, "is a number")
	f("null", schema.NotObject, "is null")
	f("true", schema.NotObject, "is a truth value")
	f("[1", schema.NotJSON, "")
	f(with(`"x":01`), schema.NotJSON, "")
	f(with(`"records":01`), schema.NotJSON, "")
	f(with(`"bytes":00`), schema.NotJSON, "")
	f(without("time", `"time":01541427791000`), schema.NotJSON, "")
	f(with(`"x":.5`), schema.NotJSON, "")
	f(with(`"x":1.`), schema.NotJSON, "")
	f(with(`"x":1e`), schema.NotJSON, "")
	f(with(`"x":+1`), schema.NotJSON, "")
	f(with(`"x":NaN`), schema.NotJSON, "")
	f(with(`"x":nul`), schema.NotJSON, "")
	f(with(`"x":[1,]`), schema.NotJSON, "")
	f(with(`"x":{"a":1,}`), schema.NotJSON, "")
	f(with(`"x":{"a" 1}`), schema.NotJSON, "")
	f(with(`"x":[1}`), schema.NotJSON, "")
	f(with(`"x":"\q"`), schema.NotJSON, "")
	f(with("\"x\":\"a\nb\""), schema.NotJSON, "")
	f(with(`"x":"\u12g4"`), schema.NotJSON, "")
	f(with(`"x":1,`), schema.NotJSON, "")
	f(with(`x:1`), schema.NotJSON, "")
	f(with(`'x':1`), schema.NotJSON, "")
	f(with(`"`+secret+`":}`), schema.NotJSON, "")
	f(with(`"deep":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), schema.NotJSON, "")

	f(with("\"app\":\"\xff\""), schema.InvalidUTF8, "from byte")
	f(with("\"x\":\"\xc0\xaf\""), schema.InvalidUTF8, "")
	f(with("\"\xed\xa0\x80\":1"), schema.InvalidUTF8, "")
	f(with("\"x\":[{\"y\":\"\xf5\"}]"), schema.InvalidUTF8, "")
	f(with(`"app":"\ud800"`), schema.InvalidUTF8, "surrogates")
	f(with(`"app":"\udc00\ud800"`), schema.InvalidUTF8, "")
	f(with(`"x":"\ud83dx"`), schema.InvalidUTF8, "")

	f(with(`"subject":"`+secret+`"`), schema.DuplicateMember, "subject is there twice")
	f(with(`"action":null`), schema.DuplicateMember, "action is there twice")
	f(with(`"p\u0061rtner":"q"`), schema.DuplicateMember, "partner")
	f(with(`"app":null,"app":"x"`), schema.DuplicateMember, "app")

	f(without("time", ""), schema.MissingMember, "time is missing")
	f(without("subject", `"subject":null`), schema.MissingMember, "subject")
	f(without("partner", `"partner":""`), schema.MissingMember, "partner is missing or empty")
	f(without("action", `"action":""`), schema.MissingMember, "action")
	f(without("capability", `"Capability":"c"`), schema.MissingMember, "capability")

	f(without("subject", `"subject":4711`), schema.WrongType, "subject is a number, expected a string")
	f(without("subject", `"subject":{"id":"`+secret+`"}`), schema.WrongType, "subject is an object")
	f(without("partner", `"partner":["`+secret+`"]`), schema.WrongType, "partner is an array")
	f(without("action", `"action":1`), schema.WrongType, "expected one of read, write, delete")
	f(without("time", `"time":true`), schema.WrongType, "time is a truth value")
	f(with(`"status":"200"`), schema.WrongType, "status is a string")
	f(with(`"records":1.0`), schema.WrongType, "fraction or an exponent")
	f(with(`"bytes":1e3`), schema.WrongType, "fraction or an exponent")
	f(without("time", `"time":1541427791000.5`), schema.WrongType, "fraction")

	f(with(`"records":9223372036854775808`), schema.OutOfRange, "64 bits")
	f(with(`"bytes":`+strings.Repeat("9", 5000)), schema.OutOfRange, "64 bits")
	f(with(`"records":-1`), schema.OutOfRange, "negative")
	f(with(`"bytes":-9223372036854775808`), schema.OutOfRange, "negative")
	f(with(`"status":1000`), schema.OutOfRange, "above 999")
	f(with(`"status":-200`), schema.OutOfRange, "negative")
	f(without("time", `"time":99999999999999999999`), schema.OutOfRange, "64 bits")

	f(without("action", `"action":"READ"`), schema.BadAction, "a string of 4 bytes")
	f(without("action", `"action":"`+secret+`"`), schema.BadAction, "a string of 14 bytes that is none of read, write, delete")

	f(without("time", `"time":1541427791`), schema.BadTime, "reads as seconds since 1970, expected milliseconds")
	f(without("time", `"time":"`+secret+`"`), schema.BadTime, "not RFC 3339")
	for _, s := range []string{
		"", "2018-11-05", "2018-11-05T14:23:11", "2018-11-05 14:23:11Z", "2018-11-05T14:23Z", "2018-02-29T00:00:00Z",
		"2018-13-01T00:00:00Z", "2018-00-01T00:00:00Z", "2018-01-00T00:00:00Z", "2018-04-31T00:00:00Z", "2018-11-05T24:00:00Z",
		"2018-11-05T23:59:60Z", "2018-11-05T14:60:00Z", "2018-11-05T14:23:11,5Z", "2018-11-05T14:23:11.Z", "2018-11-05T14:23:11z",
		"2018-11-05T14:23:11+0100", "2018-11-05T14:23:11+24:00", "2018-11-05T4:23:11Z", "2018-11-05T14:23:11,5+01:00", "2018-11-05T14:23:11-99:00", "2018-11-05T14:23:11+01:60", "1900-02-29T00:00:00Z",
		"+018-11-05T14:23:11Z", "2018-11-05T14:23:11.5", "2018-11-05T14:23:11.250ZZ", "20180-11-05T14:23:11Z", "1541427791000",
	} {
		f(without("time", `"time":"`+s+`"`), schema.BadTime, "")
	}

	f(without("partner", `"partner":"`+strings.Repeat("x", MaxName+1)+`"`), schema.TooLong, "partner has 257 bytes, more than 256")
	f(without("subject", `"subject":"`+strings.Repeat(secret, 100)+`"`), schema.TooLong, "subject has 1400 bytes, more than 1024")
	f(with(`"app":"`+strings.Repeat(`\u0041`, MaxName+1)+`"`), schema.TooLong, "app has more than 256 bytes")
	f(with(`"actor":"`+strings.Repeat(`\n`, 1<<20)+`"`), schema.TooLong, "actor has more than 1024 bytes")
	f(with(`"`+strings.Repeat("n", 1<<20)+`":1,"app":7`), schema.WrongType, "app")
	f(with(`"x":"`+strings.Repeat("y", schema.MaxRecord)+`"`), schema.TooLarge, fmt.Sprintf("more than %d", schema.MaxRecord))
}

func TestRandomBytesAreNeverAnEvent(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	var d Decoder
	var e schema.Event
	for range 200 {
		record := make([]byte, 10_000)
		_, _ = random.Read(record) // never fails
		if r := d.Decode(record, &e); r == nil || r.Reason != schema.NotJSON {
			t.Fatalf("got %+v", r)
		}
		if o := (JSON{}).NewReader(schema.TimeLimits{}).Outline(record, 200); !strings.Contains(o, "not JSON after byte") {
			t.Fatalf("outline %q", o)
		}
	}
}

func TestATruncatedRecordIsNeverAnEvent(t *testing.T) {
	var d Decoder
	var e schema.Event
	for i := range len(usual) {
		if r := d.Decode([]byte(usual[:i]), &e); r == nil || r.Reason != schema.NotJSON {
			t.Fatalf("%s: %+v", usual[:i], r)
		}
	}
}

func TestTheFastPathTakesWhatProducersSend(t *testing.T) {
	for _, record := range []string{
		usual, least, usual + "\n",
		with(`"app":null,"status":403,"records":0`),
		with(`"path":"C:\\x\n","tags":["a","b"],"http":{"ms":1.5e-3,"headers":{"x":"é"}},"none":[]`),
		with(`"app":"日本語"`),
		without("time", `"time":1541427791000`),
		without("time", `"time":"2018-11-05T15:23:11.123456789+01:00"`),
	} {
		var e schema.Event
		if !decodeFast([]byte(record), &e) {
			t.Errorf("declined: %s", record)
		}
	}
}

func TestTheFastPathAllocatesNothing(t *testing.T) {
	record := []byte(usual)
	r := JSON{}.NewReader(schema.DefaultTimeLimits())
	at := time.Date(2018, 11, 5, 15, 0, 0, 0, time.UTC).UnixMilli()
	if n := testing.AllocsPerRun(100, func() {
		if events, _, _ := r.Read(record, at); len(events) != 1 {
			t.Fatal("no event")
		}
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func TestEveryDayOfTheCalendarReadsAsTheLibraryReadsIt(t *testing.T) {
	day := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := 0; day.Year() < 10_000; i++ {
		text := day.Add(time.Duration(i) * 7919 * time.Millisecond % (24 * time.Hour)).Format("2006-01-02T15:04:05.999Z07:00")
		got, ok := fastTime([]byte(text))
		want, r := parseTime([]byte(text))
		if !ok || r != nil || got != want {
			t.Fatalf("%s: got %d %v, want %d %v", text, got, ok, want, r)
		}
		day = day.AddDate(0, 0, 1)
	}
}

// The fast path must never know better: what it accepts, the library accepts
// with the same Event, and so never what the library rejects. The input is tried
// as a record, and in places of an event that is right otherwise: a change of a
// whole record seldom leaves an event that the fast path accepts.
func FuzzFastPathAgrees(f *testing.F) {
	for _, s := range []string{
		usual, least, with(`"app":"é"`), with("\"app\":\"\xff\""),
		`"x":[{"y":"\\\""},1e5,true,null,-0.5e+10]`, `"app":"é","actor":null`, `"status":200,"records":9223372036854775807`,
		`"2018-11-05T15:23:11.250999999+01:00"`, `"0000-02-29T23:59:59.9-23:59"`, "1541427791000", "1541427791", "-1", "01", "1e3",
		"partner", "a\\u0062", "\xed\xa0\x80", "日本語", "x\",\"subject\":\"y",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := string(input)
		for _, record := range []string{
			s, with(s), with(`"x":` + s), with(`"records":` + s), with(`"app":"` + s + `"`), with(`"` + s + `":"y"`),
			without("time", `"time":`+s), without("subject", `"subject":"`+s+`"`),
		} {
			agrees(t, record)
		}
	})
}

func agrees(t *testing.T, text string) {
	record := []byte(text)
	var d Decoder
	var fast, slow schema.Event
	accepted := decodeFast(record, &fast)
	why := d.decodeLibrary(record, &slow)
	if string(record) != text {
		t.Fatal("the record was changed")
	}
	if accepted && why != nil {
		t.Fatalf("the fast path accepts what the library rejects: %q: %s: %s", text, why.Reason, why.Detail)
	}
	if accepted && !reflect.DeepEqual(fast, slow) {
		t.Fatalf("%q\nfast    %s\nlibrary %s", text, show(fast), show(slow))
	}
	if why == nil && !json.Valid(record) {
		t.Fatalf("the library accepts what encoding/json does not: %q", text)
	}
	if o := (JSON{}).NewReader(schema.TimeLimits{}).Outline(record, 300); len(o) > 300+len("…") {
		t.Fatalf("an outline of %d bytes", len(o))
	}
}

func BenchmarkDecode(b *testing.B) {
	record := []byte(usual)
	run := func(name string, decode func() bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(record)))
			for b.Loop() {
				if !decode() {
					b.Fatal("no event")
				}
			}
		})
	}
	var d Decoder
	var e schema.Event
	run("fast", func() bool { return d.Decode(record, &e) == nil })
	run("library", func() bool { return d.decodeLibrary(record, &e) == nil })
	run("encoding/json", func() bool {
		var plain struct {
			Time       time.Time `json:"time"`
			ID         string    `json:"id"`
			Partner    string    `json:"partner"`
			App        string    `json:"app"`
			Capability string    `json:"capability"`
			Action     string    `json:"action"`
			Subject    string    `json:"subject"`
			Actor      string    `json:"actor"`
			Records    int64     `json:"records"`
			Bytes      int64     `json:"bytes"`
			APIVersion string    `json:"api_version"`
			Status     int32     `json:"status"`
			Grant      string    `json:"grant"`
		}
		return json.Unmarshal(record, &plain) == nil && plain.Subject != ""
	})
}
