package main

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/store"
)

func TestTheLedgerMarksWhatIsWrongAndKeepsNamesFromTheTerminal(t *testing.T) {
	day := func(d string) *time.Time {
		at, err := time.Parse(time.DateOnly, d)
		if err != nil {
			t.Fatal(err)
		}
		return &at
	}
	read := func(r store.LedgerRow) store.LedgerRow {
		r.ZeroFrom, r.ZeroTo = day("2018-09-18"), day("2018-12-17")
		r.Partitions, r.Offsets, r.RecordsRead = 2, 1500, 1499
		return r
	}
	var b strings.Builder
	err := writeLedger(&b, []store.LedgerRow{
		read(store.LedgerRow{Partner: "ann\x1b[2J\u202e", Capability: "c\n", Action: "read", Accesses: 1234, People: 1000, PeopleLow: 984, PeopleHigh: 1017,
			FirstAccess: day("2018-10-01"), LastAccess: day("2018-10-02"), DaysUsed: 2, NeverGranted: true, AccessesOutside: 1234}),
		read(store.LedgerRow{Partner: "bank", Capability: "c", Action: "read", Granted: 1, GrantedSince: day("2018-01-01"), Purpose: "pay\x07", NeverUsed: true, Provable: true}),
		read(store.LedgerRow{Partner: "bank", Capability: "c", Action: "write", Granted: 1, GrantedSince: day("2018-01-01"), GrantedUntil: day("2018-06-30"), NeverUsed: true, Attempts: 3, WhyNot: "records missing: 1"}),
		read(store.LedgerRow{Partner: "late", Capability: "c", Action: "read", Granted: 1, GrantedSince: day("2018-01-01"), Accesses: 9, FirstAccess: day("2018-10-01"), LastAccess: day("2018-10-02"), AccessesOutside: 4, DaysOutside: 2}),
		read(store.LedgerRow{Partner: "tried", Capability: "c", Action: "read", Attempts: 2}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `   PARTNER   SCOPE    GRANTED                  USED                     ACCESSES  REFUSED              PEOPLE  BYSTANDERS  DAYS
!  ann�[2J�  c�:read  NEVER                    2018-10-01 – 2018-10-02     1,234        0  ≈1,000 (984–1,017)           0     2
    Never granted: every access was without a right.
0  bank      c:read   2018-01-01 –             never                           0        0                   0           0     0
    For: pay�. 0 times from 2018-09-18 00:00 to 2018-12-17 00:00: proved by 1,499 records, none missing, none unreadable, none rejected.
0  bank      c:write  2018-01-01 – 2018-06-30  never                           0        3                   0           0     0
    That it was never used is not provable: records missing: 1.
!  late      c:read   2018-01-01 –             2018-10-01 – 2018-10-02         9        0                   0           0     0
    Outside of the days of grant and agreement: 4 of the accesses, on 2 of the days.
   tried     c:read   NEVER                    never                           0        2                   0           0     0
    Never granted, and every attempt was refused.

read: 1,499 records of 2 partitions (1,500 offsets), 0 missing, 0 unreadable; 0 items rejected
scopes: 5; 1 used and never granted, 1 also used outside of the grant's days, 2 never used
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
