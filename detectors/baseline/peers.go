package baseline

import (
	"math"

	"github.com/overreach/overreach/detectors/window"
)

const (
	leastPeers = 5   // fewer say nothing of a key
	leastApart = 0.5 // how far the logarithms of peers are apart at least: few may be alike by chance

	// madFreedom is how many degrees of freedom a peer gives: fewer than one, for a
	// median absolute deviation says less of few than a deviation does. By simulation
	// of log-normal peers, so that no chance comes up much more often than it says.
	madFreedom = 0.75
)

// Among judges a bucket of a key without a past of its own by its peers: greatest
// holds the greatest of so many buckets of each. Their logarithms are taken for a
// Student-t's, by their median and 1.4826 times their median absolute deviation.
// Expected is the median of greatest, High the greatest of it. It returns with how
// many peers it compared: none, where they are too few.
func Among(greatest []float64, buckets int, observed float64) (judged Judged, peers int) {
	judged.Chance = 1
	logs := make([]float64, 0, len(greatest))
	for _, g := range greatest {
		if g > 0 {
			logs = append(logs, math.Log(g))
			judged.High = math.Max(judged.High, g)
		}
	}
	if len(logs) < leastPeers {
		return Judged{Chance: 1}, 0
	}
	centre, n := window.Median(logs), float64(len(logs))
	judged.Expected = math.Exp(centre)
	if observed > 0 {
		scale := math.Max(1.4826*window.MAD(logs), leastApart) * math.Sqrt(1+1/n)
		most := studentAbove((math.Log(observed)-centre)/scale, madFreedom*(n-1)) // chance of it as the greatest of the buckets
		judged.Chance = math.Max(-math.Expm1(math.Log1p(-most)/float64(buckets)), smallest)
	}
	return judged, len(logs)
}
