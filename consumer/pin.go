package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/overreach/overreach/schema"
)

// pin is what is committed with an offset, so that whoever takes the partition
// over makes the last, unfinished batch come out the same: the range
// [from, to), the day, how it was being read, and its last record. Where from
// and to are equal nothing is unfinished, and the record is the last one
// counted.
//
// As text it is a line of under 200 bytes:
//
//	overreach/1 to=1200 day=2026-11-24 by=1f0c… last=1199,1700000000000,9ae0daaf
//
// and incarnation=2 behind it in a later incarnation of the topic than the first, and
// unreadable=bad_crc behind that where none of the range could be decoded: nobody
// looks at it again. A binary that does not know this takes the commit for one
// without a pin, and tries to read the range.
type pin struct {
	from, to int64
	day      schema.Day
	number   uint32      // of the incarnation: offsets of another one say nothing
	by       string      // fingerprint of mapping, key and binary; or byMixed
	last     fingerprint // its offset is -1 where there is none
	why      kind        // it could not be decoded; empty where it could
}

const pinVersion = "overreach/1"

// byMixed stands in a pin for a reading where a second attempt read otherwise than
// the first. It is nobody's fingerprint.
const byMixed = "mixed"

func (p *pin) String() string {
	text := fmt.Sprintf("%s to=%d day=%s by=%s last=%d,%d,%08x",
		pinVersion, p.to, p.day, p.by, p.last.offset, p.last.time, p.last.crc)
	if p.number > 1 {
		text += fmt.Sprintf(" incarnation=%d", p.number)
	}
	if p.why != "" {
		text += " unreadable=" + string(p.why)
	}
	return text
}

// parsePin reads the metadata of a commit of the offset from. A commit that
// another program made has no pin.
func parsePin(from int64, text string) (pin, bool) {
	fields := strings.Fields(text)
	number, why := uint64(1), kind("")
	if n := len(fields); n > 5 {
		if text, named := strings.CutPrefix(fields[n-1], "unreadable="); named {
			if why = kind(text); !slices.Contains(kinds, why) {
				return pin{}, false
			}
			fields = fields[:n-1]
		}
	}
	if len(fields) == 6 {
		text, named := strings.CutPrefix(fields[5], "incarnation=")
		var err error
		if number, err = strconv.ParseUint(text, 10, 32); err != nil || !named || number < 2 {
			return pin{}, false
		}
		fields = fields[:5]
	}
	if len(fields) != 5 || fields[0] != pinVersion {
		return pin{}, false
	}
	var values [4]string
	for i, name := range []string{"to=", "day=", "by=", "last="} {
		v, ok := strings.CutPrefix(fields[i+1], name)
		if !ok {
			return pin{}, false
		}
		values[i] = v
	}
	last := strings.Split(values[3], ",")
	if len(last) != 3 {
		return pin{}, false
	}
	to, err1 := strconv.ParseInt(values[0], 10, 64)
	day, err2 := schema.ParseDay(values[1])
	offset, err3 := strconv.ParseInt(last[0], 10, 64)
	ms, err4 := strconv.ParseInt(last[1], 10, 64)
	crc, err5 := strconv.ParseUint(last[2], 16, 32)
	if errors.Join(err1, err2, err3, err4, err5) != nil || to < from {
		return pin{}, false
	}
	return pin{from: from, to: to, day: day, number: uint32(number), by: values[2], why: why,
		last: fingerprint{offset: offset, time: ms, crc: uint32(crc)}}, true
}

// errFenced says that the group has given the partition to another member.
var errFenced = errors.New("the group has given this partition away")

// fence commits offsets of one partition as a member of one generation of the
// group. Kafka refuses a former member: that makes a commit a fence.
type fence struct {
	client     *kafka.Client
	group      string
	topic      string
	partition  int32
	generation int32
	member     string
}

const kafkaTimeout = 10 * time.Second

// commit commits p.from with p as its metadata. errFenced says that this member
// no longer owns the partition. A commit whose outcome is unknown is read back.
func (f *fence) commit(ctx context.Context, p *pin) error {
	text := p.String()
	call, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	res, err := f.client.OffsetCommit(call, &kafka.OffsetCommitRequest{
		GroupID:      f.group,
		GenerationID: int(f.generation),
		MemberID:     f.member,
		Topics: map[string][]kafka.OffsetCommit{
			f.topic: {{Partition: int(f.partition), Offset: p.from, Metadata: text}},
		},
	})
	if err != nil {
		if offset, metadata, readErr := f.read(ctx); readErr == nil && offset == p.from && metadata == text {
			return nil
		}
		return fmt.Errorf("committing offset %d: %w", p.from, err)
	}
	for _, r := range res.Topics[f.topic] {
		if r.Partition != int(f.partition) {
			continue
		}
		switch {
		case r.Error == nil:
			return nil
		case errors.Is(r.Error, kafka.IllegalGeneration), errors.Is(r.Error, kafka.UnknownMemberId),
			errors.Is(r.Error, kafka.RebalanceInProgress), errors.Is(r.Error, kafka.FencedInstanceID):
			return fmt.Errorf("committing offset %d: %w: %w", p.from, errFenced, r.Error)
		}
		return fmt.Errorf("committing offset %d: %w", p.from, r.Error)
	}
	return fmt.Errorf("committing offset %d: the broker did not say whether it did", p.from)
}

// read returns the committed offset, -1 where there is none, and its metadata.
func (f *fence) read(ctx context.Context) (offset int64, metadata string, err error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	res, err := f.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: f.group,
		Topics:  map[string][]int{f.topic: {int(f.partition)}},
	})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) { // as some brokers say of a group that never committed
		return -1, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("reading the committed offset: %w", err)
	}
	for _, r := range res.Topics[f.topic] {
		if r.Partition == int(f.partition) {
			if r.Error != nil {
				return 0, "", fmt.Errorf("reading the committed offset: %w", r.Error)
			}
			return r.CommittedOffset, r.Metadata, nil
		}
	}
	return 0, "", errors.New("reading the committed offset: the broker did not name it")
}
