package story

// random is a splitmix64 generator: eight bytes of state, the same numbers in
// every version of Go. https://prng.di.unimi.it/splitmix64.c
type random uint64

// newRandom returns a generator that depends on all of the parts and their order.
func newRandom(parts ...uint64) random {
	var r random
	for _, p := range parts {
		r = random(r.next() ^ p)
	}
	return r
}

// next returns 64 random bits.
func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return mix(uint64(*r))
}

// below returns a number in [0, n), biased by at most n/2^64.
func (r *random) below(n uint64) uint64 { return r.next() % n }

// share returns a number in [0, 1).
func (r *random) share() float64 { return float64(r.next()>>11) / (1 << 53) }

// mix is splitmix64's output function, a bijection of 64-bit numbers.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
