package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

func TestAConfigThatCannotWorkSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Limits = Limits{Events: 1, Keys: 1, Bytes: 1} }, ""},
		{func(c *Config) { c.Start = Start{At: Since} }, ""},
		{func(c *Config) { c.Start = Start{At: Latest} }, ""},
		{func(c *Config) { c.Topics = append(c.Topics, Topic{Name: "calls"}) }, ""},
		{func(c *Config) { c.Brokers = nil }, "no Kafka broker is named"},
		{func(c *Config) { c.Group = "" }, "no consumer group is named"},
		{func(c *Config) { c.Topics = nil }, "no topic is named"},
		{func(c *Config) { c.Start.At = "noon" }, `start is "noon": expected earliest, latest or since`},
		{func(c *Config) { c.Limits = Limits{Events: 0, Keys: 2, Bytes: 3} }, "limits of a batch are 0 events, 2 keys, 3 bytes: each must be at least 1"},
		{func(c *Config) { c.Limits.Keys = 0 }, "limits of a batch are"},
		{func(c *Config) { c.Limits.Bytes = 0 }, "limits of a batch are"},
		{func(c *Config) { c.Limits.Age = -1 }, "limits of a batch are"},
		{func(c *Config) { c.Topics = append(c.Topics, Topic{Name: "access"}) }, `topic "access" is named twice, or has no name`},
		{func(c *Config) { c.Topics = append(c.Topics, Topic{}) }, `topic "" is named twice, or has no name`},
	} {
		cfg := testConfig("127.0.0.1:1", "access")
		c.change(&cfg)
		err := cfg.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestTheAgeOfABatchGrowsWithThePartitionsUnlessItIsConfigured(t *testing.T) {
	for _, c := range []struct {
		age        time.Duration
		partitions int
		want       time.Duration
	}{
		{0, 0, 2 * time.Second}, {0, 1, 2 * time.Second}, {0, 20, 2 * time.Second}, {0, 21, 2100 * time.Millisecond}, {0, 300, 30 * time.Second},
		{time.Second, 300, time.Second}, {1, 1, 1},
	} {
		l := DefaultLimits()
		l.Age = c.age
		if got := l.each(c.partitions).Age; got != c.want {
			t.Errorf("%s with %d partitions is %s, want %s", c.age, c.partitions, got, c.want)
		}
	}
	if got := DefaultLimits().each(0).Bytes; got != 256<<20 {
		t.Errorf("without partitions a batch takes %d bytes", got)
	}
}

func TestAStartIsWrittenAsItIsConfigured(t *testing.T) {
	at := time.Date(2018, 12, 19, 1, 0, 0, 0, time.FixedZone("two hours ahead", 7200))
	for want, s := range map[string]Start{"earliest": {At: Earliest}, "latest": {At: Latest, Time: at}, "since 2018-12-18T23:00:00Z": {At: Since, Time: at}} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAReadingIsAnotherOneWhereAnythingOfItIs(t *testing.T) {
	cfg := testConfig("127.0.0.1:1", "access")
	mapped := func(app string) *decode.Mapping {
		m, err := decode.ParseMapping("test.yaml", []byte("event:\n  time: at\n  partner: who\n  app: {const: "+app+"}\n  capability: {const: messaging}\n  action: {const: read}\n  subject: whose\n"))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	seen := map[string]string{}
	for what, change := range map[string]func(c *Config, t *Topic){
		"the same":        func(*Config, *Topic) {},
		"a binary":        func(c *Config, _ *Topic) { c.Fingerprint = "the next" },
		"a mapping":       func(_ *Config, t *Topic) { t.Encoding = mapped("one") },
		"another mapping": func(_ *Config, t *Topic) { t.Encoding = mapped("two") },
		"a key":           func(c *Config, _ *Topic) { c.HashKey[1]++ },
		"limits of time":  func(c *Config, _ *Topic) { c.TimeLimits = schema.TimeLimits{} },
	} {
		c, topic := cfg, cfg.Topics[0]
		change(&c, &topic)
		print := c.fingerprint(&topic)
		if before := seen[print]; before != "" || len(print) != 16 {
			t.Errorf("%s and %s are read as %s", before, what, print)
		}
		seen[print] = what
	}
	named := cfg.Topics[0]
	named.Name, named.KeepRaw, named.Backfill = "calls", true, true // which change no event
	if seen[cfg.fingerprint(&named)] != "the same" {
		t.Error("what changes no event makes it another reading")
	}
}
