package baseline

import "math"

// Corrected is the chance that any of n independent buckets is as surprising as
// one of the given chance: 1-(1-chance)^n (Šidák, 1967).
func Corrected(chance, n float64) float64 {
	return -math.Expm1(n * math.Log1p(-math.Min(math.Max(chance, 0), 1)))
}
