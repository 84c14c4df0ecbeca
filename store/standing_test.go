package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/schema"
)

func TestWhatWasWrittenLastOfAPartitionThatStandsIsRead(t *testing.T) {
	s := open(t)
	stopped := schema.Standing{
		Partition: schema.Partition{Incarnation: "k/t@1", Partition: 3}, Time: 1_550_000_000_123, To: 7, Backlog: 90,
		Stood: 150 * time.Second, Unread: 1_549_999_700,
	}
	never := schema.Standing{Partition: schema.Partition{Incarnation: "k/t@1", Partition: 4}, Backlog: 5, Stood: time.Hour, LeftOut: true}
	clock := schema.Standing{Partition: schema.Partition{Incarnation: "k/u@1"}, Time: 946_771_200_000, To: 12, Stood: time.Hour, LeftOut: true}
	left := stopped
	left.Stood, left.LeftOut = 10*time.Minute, true
	for _, all := range [][]schema.Standing{{stopped, clock}, nil, {never, left}} {
		if err := s.WriteStanding(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // the clock that orders them is one of milliseconds
	}
	got, err := s.Standing(t.Context())
	if diff := cmp.Diff([]schema.Standing{left, never, clock}, got); diff != "" || err != nil {
		t.Errorf("(- written, + read) %v:\n%s", err, diff)
	}
}
