package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Severity says how sure and how bad a finding is.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// State says whether a finding still holds.
type State string

// The states of a finding.
const (
	Open      State = "open"
	Ended     State = "ended"     // it was so, and is over
	Withdrawn State = "withdrawn" // judged again, it no longer follows
)

// Estimate is a number of distinct people with its 95% interval. Where it was
// counted exactly all three are equal.
type Estimate struct {
	Value, Low, High uint64
}

// AtMost is the estimate where it is known that there are no more than n: there
// are never more people than accesses.
func (e Estimate) AtMost(n uint64) Estimate {
	return Estimate{Value: min(e.Value, n), Low: min(e.Low, n), High: min(e.High, n)}
}

// Baseline is what a finding was compared with. Samples 0 means that there was
// nothing to compare with.
type Baseline struct {
	Window  string // what the samples are and where they come from, in words
	Samples uint32
	Centre  float64 // median
	Spread  float64 // median absolute deviation
}

// Contributor is one part of what a finding counted, beside its own usual value.
type Contributor struct {
	Kind        string // "app" or "action"
	Name        string
	Accesses    uint64
	Attempts    uint64
	People      Estimate
	UsualPeople *float64 // people a day: median of its 28 closed days before; nil under 7
}

// FindingKey is what a finding's id is made of.
type FindingKey struct {
	Detector   string
	Partner    string
	Capability string // empty: all of the partner's
	Window     Window // empty: the whole period
	Cause      string
	Period     Day // first day of the aligned period; 0 where it has none
}

// ID returns the finding's id: 32 hexadecimal digits that depend on the key
// alone, so the same finding has the same id in every run and instance.
func (k FindingKey) ID() string {
	h := sha256.New()
	for _, s := range []string{k.Detector, k.Partner, k.Capability, string(k.Window), k.Cause, k.Period.String()} {
		_, _ = h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) // lengths keep "a"+"bc" from "ab"+"c"
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Finding is one scored anomaly with its evidence: the half that the log alone
// determines. Times are UTC.
type Finding struct {
	FindingKey
	PeriodEnd Day // first day after the period; 0 where it is open-ended

	Severity Severity
	State    State
	Sentence string // one sentence: who, what, how many, against what, since when

	FirstCrossing time.Time // end of the first bucket at which it held: when it could have been noticed
	Peak          time.Time // end of the bucket at which it was worst
	EvidenceFrom  time.Time // the span that people, accesses and contributors are of
	EvidenceTo    time.Time
	FirstSeen     time.Time // first access or attempt in it
	LastSeen      time.Time
	EndedAt       time.Time // zero while it holds

	Accesses, Attempts uint64
	People             Estimate
	PeopleNew          *uint64   // nil: not known
	Bystanders         *Estimate // nil: not known

	Limit    *uint64  // the registry's limit, where there is one
	Ratio    *float64 // people / limit
	Expected *float64 // nil: nothing to compare with
	Baseline Baseline

	LastAllowed *time.Time // the last day on which it was right, where there was one
	DaysPast    *uint32    // days of event time from LastAllowed to LastSeen
	OtherCauses []string   // what else would have made it a finding, with dates

	Contributors []Contributor
	Complete     bool   // nothing that it rests on was missing from the log
	Missing      uint64 // records known to be missing in its period, or that could not be decoded
	Registry     string // SHA-256 of the registry it was judged by
	Owner        string // who answers for the partner
	Purpose      string // what the partner declared
	BlindSpots   string // what this detector cannot see
	Runbook      string // path of the detector's page
	Query        string // ClickHouse query for the exact events
}

// Version orders what was said of one finding: by the log's own clock, never by
// the wall's.
type Version struct {
	Offsets   uint64 // sum of the greatest To over every partition, taken before usage was read
	Registry  uint32 // ordinal of the registry
	Watermark int64  // seconds since 1970
}

// VersionedFinding is a finding in its latest version.
type VersionedFinding struct {
	Finding
	Version Version
}

// FindingsQuery says which findings to read. What is nil restricts nothing.
type FindingsQuery struct {
	IDs      []string
	Partners []string
	Slots    []uint8 // of their partners
	OpenOnly bool
	Since    time.Time // only those with an access or attempt at that time or later; zero: all
}

// ChangeKind says how a finding differs from how it was last reported.
type ChangeKind string

// The kinds of changes.
const (
	ChangeNew       ChangeKind = "new"
	ChangeContinued ChangeKind = "continued" // a new day of a run that was told already
	ChangeRaised    ChangeKind = "raised"    // from warning to critical
	ChangeReopened  ChangeKind = "reopened"
	ChangeEnded     ChangeKind = "ended"
	ChangeWithdrawn ChangeKind = "withdrawn"
)

// FindingChange is the other half of a finding: what was known when it was told.
type FindingChange struct {
	Reported time.Time // wall clock
	After    time.Time // when it was last told before, as the teller knew; zero: never, and where it was read
	Kind     ChangeKind
	Finding  Finding
	Version  Version
}

// Position is how far the judge has come in one partition for one slot.
type Position struct {
	Slot    uint8
	Cadence Cadence
	Partition
	To        int64
	Watermark int64 // seconds since 1970
	Registry  uint32
}
