package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/overreach/overreach/consumer"
)

// hashKeyBytes is the length of a SipHash-2-4 key.
const hashKeyBytes = 16

// parseHashKey reads a key written as 32 hexadecimal digits: k0, then k1, each
// little-endian, as SipHash's paper has them. The second result names the key
// without giving it away.
func parseHashKey(text string) (consumer.HashKey, string, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != hashKeyBytes {
		return consumer.HashKey{}, "", fmt.Errorf("the hash key has %d characters or others than hexadecimal digits: expected %d digits, as `openssl rand -hex %d` makes them",
			len(text), 2*hashKeyBytes, hashKeyBytes)
	}
	sum := sha256.Sum256(append([]byte("overreach hash key "), b...))
	key := consumer.HashKey{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
	return key, hex.EncodeToString(sum[:8]), nil
}
