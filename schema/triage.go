package schema

import "time"

// Act is what a person did about a finding.
type Act string

// The acts. None of them changes a finding, and none reaches beyond its episode:
// the run of days that it is part of, until that ends.
const (
	Acknowledge Act = "ack"     // somebody is on it; it goes on firing
	Silence     Act = "silence" // not told until a time
	Resolve     Act = "resolve" // it is dealt with; told again where it is seen again
	Judgement   Act = "verdict" // what it turned out to be

	// The others are no person's. Package notify notes them, so that every instance
	// agrees on the moment from which an alert fires.

	SeenAgain Act = "seen again" // it was resolved, and there was an access after that
	GoesOn    Act = "goes on"    // only a digest told it, as old, and it goes on now
	Grown     Act = "grown"      // it was acknowledged, and has ten times the people that were last paged
)

// Verdict is what a finding turned out to be.
type Verdict string

// The verdicts.
const (
	VerdictTrue   Verdict = "true"   // overreach, as it says
	VerdictBenign Verdict = "benign" // it is so, and it is all right
	VerdictFalse  Verdict = "false"  // it is not so
)

// FindingAction is one act of a person. They are appended and never changed: of
// several of one kind the latest holds.
type FindingAction struct {
	Finding string // its id
	At      time.Time
	Act     Act
	Who     string
	Reason  string
	Until   time.Time // a silence's end; not after At: it is lifted
	Verdict Verdict   // of a Judgement
	People  uint64    // affected when it was done, as they were known then; 0: none, or not kept
}

// Change is what alerts follow from: one row of finding_changes. Of its figures it
// has the people alone; the others are looked up where they are shown.
type Change struct {
	FindingKey
	ID            string
	Reported      time.Time // wall clock
	Kind          ChangeKind
	Severity      Severity
	State         State
	FirstCrossing time.Time
	Peak          time.Time
	LastSeen      time.Time
	People        uint64
}

// Outcome is how the delivery of an event to a receiver ended.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	Refused   Outcome = "refused"   // the receiver said that trying again is of no use
	GaveUp    Outcome = "gave up"   // it was tried until the event was too old, or over
	Overtaken Outcome = "overtaken" // the alert was superseded before it was told: its successor is told
)

// Delivery is the end of the attempts to hand one event to one receiver.
type Delivery struct {
	Receiver string
	Event    string // id of the event, the same in every attempt and instance
	Kind     string // what the event says: firing, joined, resolved, digest
	Alert    string // id of its alert
	Partner  string
	At       time.Time
	Outcome  Outcome
	Attempts uint32
	Detail   string // the last error; empty where there was none
}
