// Package window holds what sliding windows over event time are made of: the
// arithmetic of buckets, sums and unions that slide over them, a distinct-count
// sketch that ClickHouse can read, and the median for what is usual. Everything
// in it is a pure function or a plain data structure.
package window

// Bucket returns the number of the bucket that t falls in, for buckets of that
// width; both are in the same unit. Bucket i is [i·width, (i+1)·width), also
// where i is negative. Minutes, hours and UTC days since 1970 are buckets of 60,
// 3,600 and 86,400 seconds: no leap seconds, no time zones.
func Bucket(t, width int64) int64 {
	i := t / width
	if t%width < 0 {
		i--
	}
	return i
}

// Start returns when the bucket that t falls in begins: the greatest multiple of
// width that is not after t.
func Start(t, width int64) int64 { return Bucket(t, width) * width }
