package sim

// HashTokens returns a hash for every full block of a prompt. Each one covers
// everything before it, so that two prompts share a block only if they agree
// from the first token on.
func HashTokens(tokens []int) []uint64 {
	hashes := make([]uint64, len(tokens)/BlockSize)
	h := uint64(0)
	for i := range hashes {
		for _, t := range tokens[i*BlockSize : (i+1)*BlockSize] {
			h = mix(h, uint64(t))
		}
		hashes[i] = h
	}
	return hashes
}

// mix is the finaliser of splitmix64 over a running hash; 0 is kept for
// "unknown".
func mix(h, x uint64) uint64 {
	h += x + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return max(1, h^h>>31)
}
