package schema

// Tier is what the judge judges together, at a pace and with a position of its own.
type Tier uint8

// The tiers: windows that slide in steps of a resolution, and buckets that are compared
// with the past once they are closed.
const (
	TierMinute     Tier = 1
	TierHour       Tier = 2
	TierDay        Tier = 3
	TierClosedHour Tier = 4
	TierClosedDay  Tier = 5 // weeks too
)

// Tiers lists every tier, in the order in which the judge goes through them: hours, of
// which there are most, come last.
var Tiers = [...]Tier{TierMinute, TierHour, TierDay, TierClosedDay, TierClosedHour}

// Closed reports whether the tier is of buckets that are judged once they are closed.
func (t Tier) Closed() bool { return t == TierClosedHour || t == TierClosedDay }

// Step returns the resolution of the tier's windows.
func (t Tier) Step() Resolution {
	return [...]Resolution{TierMinute: Minute, TierHour: Hourly, TierDay: Daily, TierClosedHour: Hourly, TierClosedDay: Daily}[t]
}

// String returns the tier as the tables spell it.
func (t Tier) String() string {
	return [...]string{"", "minute", "hour", "day", "closed hour", "closed day"}[t]
}
