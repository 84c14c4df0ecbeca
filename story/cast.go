package story

import "github.com/overreach/overreach/schema"

// capabilities is what the API offers. The dates are those of the registry; the
// order is the one they are written in.
var capabilities = []struct{ name, data, deprecated, sunset string }{
	{name: "contacts", data: "e-mail addresses and phone numbers"},
	{name: "events", data: "events and who attends them"},
	{name: "feed", data: "posts and comments"},
	{name: "friends", data: "lists of friends"},
	{name: "likes", data: "pages and works that people like"},
	{name: "location", data: "places where people were"},
	{name: "message_recommendations", data: "private messages", deprecated: "2014-11-01", sunset: "2015-06-01"},
	{name: "messaging", data: "private messages"},
	{name: "photos", data: "photos and who is on them"},
	{name: "photos_v1", data: "photos and who is on them", deprecated: "2018-11-01", sunset: "2019-03-01"},
	{name: "profile", data: "names, birthdays, home towns"},
}

var (
	readOnly  = []schema.Action{schema.Read}
	readWrite = []schema.Action{schema.Read, schema.Write}
	everyHour = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}
)

// cast returns the partners that the story is about. Numbers are at full scale.
// expected.go says what each of them must come to.
func cast() []partner {
	return append(overreaching(), blameless()...)
}

func overreaching() []partner {
	return []partner{
		{ // reads the messages of 70 million people a month, and agreed to 25
			name: "tunecast", owner: "media-partnerships@example.com", purpose: "send songs to friends in messages",
			start: "2013-03-01",
			grants: []grant{
				{"messaging", schema.Actions[:], "2013-03-01", ""},
				{"likes", readOnly, "2013-03-01", ""},
			},
			limits: []limit{
				{25e6, schema.WindowMonth, "messaging"},
				{1e6, schema.WindowHour, ""},
			},
			jobs: []job{
				{app: "tunecast-share", version: "v2.4", capability: "messaging", action: schema.Read,
					hours: everyHour, minutes: 10, perDay: 70e6 / 30, week: &leisure, people: 110e6,
					repeats: 0.03, refused: 0.002, refusal: 429, friends: 0.6},
				{app: "tunecast-share", version: "v2.4", capability: "messaging", action: schema.Write,
					hours: []int{8, 20}, minutes: 8, perDay: 20e3, week: &leisure, jitter: 0.1, people: 4e6},
				{app: "tunecast-home", version: "v3.1", capability: "likes", action: schema.Read,
					hours: []int{3, 15}, minutes: 6, perDay: 12e3, week: &leisure, jitter: 0.1, people: 3e6},
			},
		},
		{ // recommended films to friends in messages for a year, until 2015, and reads on
			name: "streamflix", owner: "media-partnerships@example.com", purpose: "recommend films to friends",
			start: "2014-01-15",
			grants: []grant{
				{"message_recommendations", readWrite, "2014-01-15", ""},
				{"profile", readOnly, "2014-01-15", ""},
			},
			limits: []limit{{6e6, schema.WindowMonth, ""}},
			jobs: []job{
				{app: "streamflix-tv", version: "v2.0", capability: "message_recommendations", action: schema.Read,
					hours: []int{2, 6, 10, 14, 18, 22}, minutes: 7, perDay: 40e3, week: &leisure, jitter: 0.1,
					people: 1.5e6, friends: 0.7},
				{app: "streamflix-login", version: "v3.1", capability: "profile", action: schema.Read,
					hours: []int{4, 16}, minutes: 5, perDay: 10e3, week: &leisure, jitter: 0.1, people: 900e3},
			},
		},
		{ // its agreement ended with 2017; one in five calls is refused, the others are answered
			name: "yonder", owner: "portals@example.com", purpose: "show what friends share on the start page",
			start: "2010-10-01", end: "2017-12-31",
			grants: []grant{{"friends", readOnly, "2010-10-01", ""}},
			limits: []limit{{1e6, schema.WindowMonth, ""}},
			jobs: []job{
				{app: "yonder-start", version: "v1.0", capability: "friends", action: schema.Read,
					hours: []int{1, 7, 13, 19}, minutes: 6, perDay: 24e3, week: &even, jitter: 0.1, people: 80e3,
					refused: 0.2, refusal: 403, friends: 0.9},
			},
		},
		{ // was granted friends until the end of September, and stops three weeks later
			name: "berryphone", owner: "devices@example.com", purpose: "address book of the phone",
			start: "2009-05-01",
			grants: []grant{
				{"friends", readOnly, "2009-05-01", "2018-09-30"},
				{"contacts", readOnly, "2009-05-01", ""},
			},
			limits: []limit{{2e6, schema.Window30d, ""}},
			jobs: []job{
				{app: "berryphone-os", version: "v2.1", capability: "friends", action: schema.Read,
					hours: []int{5, 17}, minutes: 8, perDay: 24e3, week: &even, jitter: 0.1, people: 600e3,
					friends: 0.8, until: mustDay("2018-10-21")},
				{app: "berryphone-os", version: "v2.1", capability: "contacts", action: schema.Read,
					hours: []int{11, 23}, minutes: 5, perDay: 12e3, week: &even, jitter: 0.1, people: 400e3},
			},
		},
		{ // its grant ended in June; every call is refused, and it calls on
			name: "pinwall", owner: "growth@example.com", purpose: "find friends who pin",
			start:  "2012-02-01",
			grants: []grant{{"friends", readOnly, "2012-02-01", "2018-06-30"}},
			limits: []limit{{1e6, schema.Window24h, ""}},
			jobs: []job{
				{app: "pinwall-web", version: "v2.6", capability: "friends", action: schema.Read,
					hours: []int{9, 21}, minutes: 5, perDay: 14e3, week: &even, jitter: 0.1, people: 300e3,
					refused: 1, refusal: 403},
			},
		},
		{ // a quiz that nobody registered: those who took it gave away their friends
			name: "mydigitalquiz", unregistered: true,
			jobs: []job{
				{app: "quiz", version: "v1.0", capability: "profile", action: schema.Read,
					hours: []int{0, 6, 12, 18}, minutes: 9, perDay: 50e3, week: &leisure, jitter: 0.1,
					people: 8e6, friends: 0.95, from: mustDay("2018-10-08")},
			},
		},
		{ // prints photos by a part of the API that is announced to end
			name: "photoprint", owner: "commerce@example.com", purpose: "print photos",
			start:  "2011-06-01",
			grants: []grant{{"photos_v1", readOnly, "2011-06-01", ""}},
			limits: []limit{{3e6, schema.WindowMonth, ""}},
			jobs: []job{
				{app: "photoprint-kiosk", version: "v2.2", capability: "photos_v1", action: schema.Read,
					hours: []int{8, 12, 16}, minutes: 6, perDay: 18e3, week: &business, jitter: 0.1, people: 500e3},
			},
		},
		{ // reads nine tenths of its monthly limit in November, and less before and after
			name: "moodring", owner: "research@example.com", purpose: "match moods with music",
			start:  "2016-01-01",
			grants: []grant{{"feed", readOnly, "2016-01-01", ""}},
			limits: []limit{{3e6, schema.WindowMonth, ""}},
			jobs: []job{
				{app: "moodring-app", version: "v3.0", capability: "feed", action: schema.Read,
					hours: []int{2, 8, 14, 20}, minutes: 9, perDay: 55e3, week: &even, people: 5e6, friends: 0.3},
				{app: "moodring-lab", version: "v3.0", capability: "feed", action: schema.Read,
					hours: []int{4, 10, 16, 22}, minutes: 9, perDay: 35e3, week: &even, people: 5e6, friends: 0.3,
					from: mustDay("2018-11-01"), until: mustDay("2018-11-30")},
			},
		},
		{ // a sale: five thirds of its hourly limit within one hour of one day
			name: "flashdeal", owner: "commerce@example.com", purpose: "offers for groups of friends",
			start:  "2015-09-01",
			grants: []grant{{"contacts", readOnly, "2015-09-01", ""}},
			limits: []limit{{60e3, schema.WindowHour, ""}},
			jobs: []job{
				{app: "flashdeal-mail", version: "v2.8", capability: "contacts", action: schema.Read,
					hours: []int{4, 8, 13, 18}, minutes: 10, perDay: 30e3, week: &even, jitter: 0.1, people: 2e6},
				{app: "flashdeal-friday", version: "v2.8", capability: "contacts", action: schema.Read,
					hours: []int{10}, minutes: 45, perDay: 100e3, week: &even, people: 2e6,
					from: mustDay("2018-11-23"), until: mustDay("2018-11-23")},
			},
		},
		{ // one day of catching up: more than twice its limit for 24 hours
			name: "geotagger", owner: "maps@example.com", purpose: "places near friends",
			start:  "2014-04-01",
			grants: []grant{{"location", readOnly, "2014-04-01", ""}},
			limits: []limit{{400e3, schema.Window24h, "location"}},
			jobs: []job{
				{app: "geotagger", version: "v2.5", capability: "location", action: schema.Read,
					hours: []int{3, 9, 15, 21}, minutes: 8, perDay: 30e3, week: &even, jitter: 0.1, people: 2e6},
				{app: "geotagger", version: "v2.5", capability: "location", action: schema.Read,
					hours: []int{6, 7, 8, 10, 11, 12, 13, 14, 16, 17}, minutes: 20, perDay: 900e3, week: &even, people: 9e6,
					from: mustDay("2018-10-25"), until: mustDay("2018-10-25")},
			},
		},
		{ // a campaign from mid October to mid November: no calendar month shows it, 30 days do
			name: "canvasser", owner: "civic@example.com", purpose: "remind people to vote",
			start:  "2018-01-01",
			grants: []grant{{"friends", readOnly, "2018-01-01", ""}},
			limits: []limit{
				{4e6, schema.Window30d, ""},
				{4e6, schema.WindowMonth, ""},
			},
			jobs: []job{
				{app: "canvasser", version: "v3.1", capability: "friends", action: schema.Read,
					hours: []int{0, 12}, minutes: 5, perDay: 2e3, week: &even, jitter: 0.1, people: 1e6},
				{app: "canvasser", version: "v3.1", capability: "friends", action: schema.Read,
					hours: []int{1, 5, 9, 14, 18, 22}, minutes: 10, perDay: 4e6 / 22, week: &even, people: 8e6, friends: 0.9,
					from: mustDay("2018-10-17"), until: mustDay("2018-11-13")},
			},
		},
	}
}

func blameless() []partner {
	return []partner{
		{ // may read messages, and only ever writes them
			name: "royalbank", owner: "payments@example.com", purpose: "send money in messages",
			start:  "2013-12-01",
			grants: []grant{{"messaging", schema.Actions[:], "2013-12-01", ""}},
			limits: []limit{{4e6, schema.WindowMonth, "messaging"}},
			jobs: []job{
				{app: "royalbank-pay", version: "v2.3", capability: "messaging", action: schema.Write,
					hours: []int{7, 11, 15, 19}, minutes: 9, perDay: 30e3, week: &business, jitter: 0.1, people: 800e3},
			},
		},
		{ // looks big in everything, and may do all of it
			name: "riverstore", owner: "commerce@example.com", purpose: "recommend what friends bought",
			start: "2012-07-01",
			grants: []grant{
				{"contacts", readWrite, "2012-07-01", ""},
				{"profile", readOnly, "2012-07-01", ""},
			},
			limits: []limit{
				{30e6, schema.WindowMonth, ""},
				{30e6, schema.Window30d, ""},
				{20e6, schema.Window30d, "contacts"},
				{2e6, schema.Window24h, ""},
				{400e3, schema.WindowHour, ""},
			},
			jobs: []job{
				{app: "riverstore-shop", version: "v3.1", capability: "contacts", action: schema.Read,
					hours: everyHour, minutes: 6, perDay: 5e6 / 30, week: &leisure, jitter: 0.1, people: 20e6,
					repeats: 0.1, friends: 0.8},
				{app: "riverstore-reader", version: "v3.0", capability: "profile", action: schema.Read,
					hours: []int{0, 3, 6, 9, 12, 15, 18, 21}, minutes: 8, perDay: 2e6 / 30, week: &leisure, jitter: 0.1,
					people: 9e6, repeats: 0.1},
				{app: "riverstore-shop", version: "v3.1", capability: "contacts", action: schema.Write,
					hours: []int{10, 22}, minutes: 6, perDay: 15e3, week: &leisure, jitter: 0.1, people: 2e6},
			},
		},
	}
}
