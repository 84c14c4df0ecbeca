package baseline

import "math"

// Corrected is the chance that any of n independent buckets is as surprising as
// one of the given chance: 1-(1-chance)^n (Šidák, 1967).
func Corrected(chance, n float64) float64 {
	return -math.Expm1(n * math.Log1p(-math.Min(math.Max(chance, 0), 1)))
}

// FalseAlarms is how many of n ordinary buckets are as surprising, on average.
func FalseAlarms(chance, n float64) float64 { return chance * n }

// Score is 1 - Corrected: 0 is what happens all the time among n buckets (keys
// times buckets judged), 1 what would not happen among them.
func Score(chance, n float64) float64 {
	return math.Exp(n * math.Log1p(-math.Min(math.Max(chance, 0), 1)))
}
