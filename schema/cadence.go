package schema

// Cadence is what the judge judges together, at a pace and with a position of its own.
type Cadence uint8

// The cadences: windows that slide in steps of a resolution, and buckets that are compared
// with the past once they are closed.
const (
	CadenceMinute     Cadence = 1
	CadenceHour       Cadence = 2
	CadenceDay        Cadence = 3
	CadenceClosedHour Cadence = 4
	CadenceClosedDay  Cadence = 5 // weeks too
)

// Cadences lists every cadence, in the order in which the judge goes through them: hours, of
// which there are most, come last.
var Cadences = [...]Cadence{CadenceMinute, CadenceHour, CadenceDay, CadenceClosedDay, CadenceClosedHour}

// Closed reports whether the cadence is of buckets that are judged once they are closed.
func (t Cadence) Closed() bool { return t == CadenceClosedHour || t == CadenceClosedDay }

// Step returns the resolution of the cadence's windows.
func (t Cadence) Step() Resolution {
	return [...]Resolution{CadenceMinute: Minute, CadenceHour: Hourly, CadenceDay: Daily, CadenceClosedHour: Hourly, CadenceClosedDay: Daily}[t]
}

// String returns the cadence as the tables spell it.
func (t Cadence) String() string {
	return [...]string{"", "minute", "hour", "day", "closed hour", "closed day"}[t]
}
