package consumer

import (
	"errors"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestWhatIsNoPinIsTakenForNone(t *testing.T) {
	const (
		first       = "overreach/1 to=9 day=2024-01-01 by=ab last=8,1,0000000c"
		incarnation = " incarnation=2"
		damage      = " unreadable=bad_crc"
	)
	for text, is := range map[string]bool{
		first:                                 true,
		first + incarnation:                   true,
		first + damage:                        true,
		first + incarnation + damage:          true,
		"":                                    false,
		"another program's":                   false,
		first + " more":                       false,
		first + damage + incarnation:          false, // in another order
		first + incarnation + incarnation:     false,
		first + incarnation + damage + damage: false,
		first + " incarnation=1":              false, // the first incarnation is not named
		first + " incarnation=4294967295":     true,
		first + " incarnation=4294967296":     false,
		first + " incarnation=x":              false,
		first + " era=2":                      false,
		first + " 2":                          false,
		first + " unreadable=rust":            false,
		strings.Fields(first)[0] + damage:     false,
		strings.TrimSuffix(first, " last=8,1,0000000c"):            false, // a field is not there
		strings.Replace(first, "overreach/1", "overreach/2", 1):    false,
		strings.Replace(first, "to=9", "to=8", 1):                  true, // nothing is unfinished
		strings.Replace(first, "to=9", "to=7", 1):                  false,
		strings.Replace(first, "to=9", "to=x", 1):                  false,
		strings.Replace(first, "to=", "from=", 1):                  false,
		strings.Replace(first, "day=2024", "day=twenty", 1):        false,
		strings.Replace(first, "by=", "of=", 1):                    false,
		strings.Replace(first, "last=8", "last=x", 1):              false,
		strings.Replace(first, "last=8,1", "last=8,x", 1):          false,
		strings.Replace(first, "0000000c", "0000000g", 1):          false,
		strings.Replace(first, "0000000c", "100000000", 1):         false, // a CRC has four bytes
		strings.Replace(first, "8,1,0000000c", "8,1", 1):           false,
		strings.Replace(first, "8,1,0000000c", "8,1,0000000c,", 1): false,
	} {
		if p, got := parsePin(8, text); got != is {
			t.Errorf("%q is a pin: %t, want %t: %+v", text, got, is, p)
		}
	}
	p, _ := parsePin(8, first+incarnation+damage)
	want := pin{from: 8, to: 9, day: 19723, number: 2, by: "ab", last: fingerprint{offset: 8, time: 1, crc: 12}, why: badCRC}
	if p != want {
		t.Errorf("it reads as %+v, want %+v", p, want)
	}
	if p, _ := parsePin(8, first); p.number != 1 || p.why != "" {
		t.Errorf("where neither is named it reads as %+v", p)
	}
}

func TestAPinIsWrittenSoThatOlderBinariesReadWhatTheyKnow(t *testing.T) {
	p := pin{from: 8, to: 9, day: 19723, number: 1, by: "ab", last: fingerprint{offset: 8, time: 1, crc: 12}}
	const first = "overreach/1 to=9 day=2024-01-01 by=ab last=8,1,0000000c"
	for want, change := range map[string]func(){
		first:                         func() {},
		first + " incarnation=2":      func() { p.number = 2 },
		first + " unreadable=bad_crc": func() { p.why = badCRC },
		first + " incarnation=3 unreadable=old_format": func() { p.number, p.why = 3, oldFormat },
	} {
		p.number, p.why = 1, ""
		change()
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// controlled is a broker of one partition, and a fence of a group without members.
func controlled(t *testing.T) (*kfake.Cluster, *fence) {
	t.Helper()
	c := kfakeCluster(t)
	f := outsider(t, testConfig(c.ListenAddrs()[0], "access"))
	settled := pin{from: 0, to: 0, day: 20000, number: 1, last: fingerprint{offset: -1}}
	if err := f.commit(t.Context(), &settled); err != nil {
		t.Fatal(err)
	}
	return c, f
}

// commits has a broker answer commits in another way, and not do them.
func commits(c *kfake.Cluster, partition int32, code int16, topics ...string) {
	c.ControlKey(int16(kmsg.OffsetCommit), func(k kmsg.Request) (kmsg.Response, error, bool) {
		res := k.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, name := range topics {
			topic := kmsg.NewOffsetCommitResponseTopic()
			topic.Topic = name
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = partition, code
			topic.Partitions = append(topic.Partitions, p)
			res.Topics = append(res.Topics, topic)
		}
		return res, nil, true
	})
}

func TestACommitIsAFenceAgainstFormerMembersAlone(t *testing.T) {
	c, f := controlled(t)
	p := pin{from: 7, to: 9, day: 20000, number: 1, by: "ab", last: fingerprint{offset: 8}}
	for code, fenced := range map[kafka.Error]bool{
		kafka.IllegalGeneration: true, kafka.UnknownMemberId: true, kafka.RebalanceInProgress: true, kafka.FencedInstanceID: true,
		kafka.NotCoordinatorForGroup: false, kafka.OffsetMetadataTooLarge: false, kafka.GroupAuthorizationFailed: false,
	} {
		commits(c, 0, int16(code), "access")
		err := f.commit(t.Context(), &p)
		if !errors.Is(err, code) || errors.Is(err, errFenced) != fenced || !strings.Contains(err.Error(), "committing offset 7: ") {
			t.Errorf("%d: %v; fenced: %t", code, err, fenced)
		}
	}
	for name, answer := range map[string]func(){
		"nothing":           func() { commits(c, 0, 0) },
		"another partition": func() { commits(c, 1, 0, "access") },
		"another topic":     func() { commits(c, 0, 0, "calls") },
	} {
		answer()
		if err := f.commit(t.Context(), &p); err == nil || err.Error() != "committing offset 7: the broker did not say whether it did" {
			t.Errorf("the broker names %s: %v", name, err)
		}
	}
	if offset, _, err := f.read(t.Context()); err != nil || offset != 0 {
		t.Errorf("the group's offset is %d, %v", offset, err)
	}
	if err := f.commit(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	if offset, text, err := f.read(t.Context()); err != nil || offset != 7 || text != p.String() {
		t.Errorf("the group's offset is %d with %q, %v", offset, text, err)
	}
}

func TestACommitWhoseAnswerIsLostIsReadBack(t *testing.T) {
	c, f := controlled(t)
	lost := func() { // every try of it
		c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return nil, errors.New("the connection breaks"), true
		})
	}
	p := pin{from: 7, to: 9, day: 20000, number: 1, by: "ab", last: fingerprint{offset: 8}}
	if err := f.commit(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	lost()
	if err := f.commit(t.Context(), &p); err != nil {
		t.Errorf("it is what the group has, and the commit gave %v", err)
	}
	other := p
	other.by = "cd"
	if err := f.commit(t.Context(), &other); err == nil || !strings.Contains(err.Error(), "committing offset 7: ") {
		t.Errorf("the group has another pin, and the commit gave %v", err)
	}
	further := p
	further.from = 8
	if err := f.commit(t.Context(), &further); err == nil || !strings.Contains(err.Error(), "committing offset 8: ") {
		t.Errorf("the group has another offset, and the commit gave %v", err)
	}
}

func TestTheCommittedOffsetIsReadOrWhyNot(t *testing.T) {
	type answer struct {
		whole, partition int16 // error codes
		id               int32
		nothing          bool
	}
	for name, c := range map[string]struct {
		answer
		offset int64
		want   string
		code   error
	}{
		"an offset":                     {answer{}, 42, "", nil},
		"a group that never was":        {answer{whole: int16(kafka.GroupIdNotFound)}, -1, "", nil},
		"a coordinator that moved":      {answer{whole: int16(kafka.NotCoordinatorForGroup)}, 0, "reading the committed offset: ", kafka.NotCoordinatorForGroup},
		"a topic that is not permitted": {answer{partition: int16(kafka.TopicAuthorizationFailed)}, 0, "reading the committed offset: ", kafka.TopicAuthorizationFailed},
		"another partition":             {answer{id: 1}, 0, "reading the committed offset: the broker did not name it", nil},
		"no partition":                  {answer{nothing: true}, 0, "reading the committed offset: the broker did not name it", nil},
	} {
		cluster, f := controlled(t)
		cluster.ControlKey(int16(kmsg.OffsetFetch), func(k kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			res := k.ResponseKind().(*kmsg.OffsetFetchResponse)
			res.ErrorCode = c.whole
			topic := kmsg.NewOffsetFetchResponseTopic()
			topic.Topic = "access"
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.ErrorCode, p.Offset = c.id, c.partition, 42
			text := "metadata"
			p.Metadata = &text
			if topic.Partitions = append(topic.Partitions, p); !c.nothing {
				res.Topics = append(res.Topics, topic)
			}
			return res, nil, true
		})
		offset, text, err := f.read(t.Context())
		if offset != c.offset || (text == "metadata") != (offset > 0) {
			t.Errorf("%s: offset %d with %q", name, offset, text)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) || c.code != nil && !errors.Is(err, c.code) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
