package window

import (
	"encoding/binary"
	"math"
)

// Estimate is a number of distinct values with its 95% interval: the true number
// lies from Low to High in 95 of 100 sets. Where it was counted exactly all
// three are equal.
type Estimate struct {
	Value, Low, High uint64
}

// Exact reports whether the number was counted, not estimated.
func (e Estimate) Exact() bool { return e.Low == e.High }

// standardError is the relative standard error of the estimator,
// √(3·ln 2 − 1) / √16384 or 0.81%. It holds from some 100,000 values on; below, the
// error is smaller (0.55% at 600), so that the interval there is wider than it
// need be, never too narrow.
const standardError = 1.0389617614136895 / 128

// margin is half the width of the interval: 1.96 standard errors of a normal
// distribution.
const margin = 1.959963985 * standardError

// Estimate returns how many distinct values were added. Below 512 it is exact.
// From there on, all three numbers are at least 512, and no Add or Merge ever
// makes any of them smaller.
func (s *Sketch) Estimate() Estimate {
	if s.form != inRanks {
		n := uint64(s.n)
		return Estimate{n, n, n}
	}
	return Around(max(estimate(histogram(s.ranks)), sparseMax+1))
}

// Around returns an estimate of x with the interval that a sketch's has: ClickHouse's
// own estimates have it too, but for a bias near 45,000.
func Around(x float64) Estimate {
	n := saturate(math.Round(x))
	if n <= sparseMax {
		return Estimate{n, n, n}
	}
	return Estimate{
		Value: n,
		Low:   max(saturate(math.Floor(x/(1+margin))), sparseMax+1),
		High:  saturate(math.Ceil(x / (1 - margin))),
	}
}

// Grain returns the variance of what an estimate grows by when one value is added to so
// many: where values are counted, as up to 511 of them are, each adds just itself. Beyond,
// growth is as uneven as counts of 1 + 2·σ²·before at a time: steps that are
// independent and add up to an estimate of n values with variance σ²·n² have a
// variance of 2·σ²·n each. Up to some 100,000, where σ is less, it is no more than that.
func Grain(before float64) float64 {
	if before <= sparseMax {
		return 1
	}
	return 1 + 2*standardError*standardError*before
}

// saturate converts x, which may be infinite: where all registers are full,
// nothing more can be said.
func saturate(x float64) uint64 {
	if x >= math.MaxUint64 {
		return math.MaxUint64
	}
	return uint64(x)
}

// histogram returns how many registers have each rank.
func histogram(ranks *[registers]uint8) (count [maxRank + 1]uint32) {
	// One table for each of eight neighbours: increments of one counter would
	// wait for one another. A rank is below 64.
	var c [8][64]uint16
	for i := 0; i < registers; i += 8 {
		x := binary.LittleEndian.Uint64(ranks[i : i+8 : i+8])
		c[0][x&63]++
		c[1][x>>8&63]++
		c[2][x>>16&63]++
		c[3][x>>24&63]++
		c[4][x>>32&63]++
		c[5][x>>40&63]++
		c[6][x>>48&63]++
		c[7][x>>56&63]++
	}
	for i := range c {
		for rank := range count {
			count[rank] += uint32(c[i][rank])
		}
	}
	return count
}

// estimate is the improved raw estimator of Otmar Ertl, "New cardinality
// estimation algorithms for HyperLogLog sketches", 2017, arXiv:1702.01284,
// algorithm 6: unbiased from no values to the full range of 64 bits, without
// tables or thresholds.
func estimate(count [maxRank + 1]uint32) float64 {
	const m = registers
	z := m * tau(1-float64(count[maxRank])/m)
	for rank := maxRank - 1; rank >= 1; rank-- {
		z = (z + float64(count[rank])) / 2
	}
	z += m * sigma(float64(count[0])/m)
	return m * m / (2 * math.Ln2) / z
}

// sigma is x + Σ x^(2^k)·2^(k−1) for k from 1 on: what registers without a value
// add.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	z, y := x, 1.0
	for before := math.NaN(); z != before; y *= 2 {
		x *= x
		before = z
		z += x * y
	}
	return z
}

// tau is (1 − x − Σ (1 − x^(2^−k))²·2^−k) / 3 for k from 1 on: what full
// registers add.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	z, y := 1-x, 1.0
	for before := math.NaN(); z != before; {
		x = math.Sqrt(x)
		before = z
		y /= 2
		z -= (1 - x) * (1 - x) * y
	}
	return z / 3
}
