package window

// SlideSums returns, for each bucket, the sum over the window of n buckets that
// ends with it. Windows that would begin before the first bucket begin there.
func SlideSums(counts []uint64, n int) []uint64 {
	sums := make([]uint64, len(counts))
	var sum uint64
	for i, c := range counts {
		sum += c
		if i >= n {
			sum -= counts[i-n]
		}
		sums[i] = sum
	}
	return sums
}
