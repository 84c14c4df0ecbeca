package store

import (
	"testing"
	"time"
)

// How many strangers there were when one of them began decides who tells it, so
// those that are long over are read too.
func TestStrangersThatAreLongOverAreReadAndOthersAreNot(t *testing.T) {
	s := open(t)
	execute(t, s, `INSERT INTO finding_changes (id, detector, partner, reported, state) VALUES
		('1', 'unregistered_partner', 'a', '2018-01-01 00:00:00', 'ended'), ('2', 'volume_limit', 'b', '2018-01-01 00:00:00', 'ended'), ('3', 'volume_limit', 'c', '2018-01-01 00:00:00', 'open')`)
	all, err := s.Changes(t.Context(), nil, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var ids string
	for _, told := range all {
		ids += told.ID
	}
	if ids != "13" {
		t.Errorf("read are %q, expected 1 and 3", ids)
	}
}
