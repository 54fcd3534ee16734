package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Digest is a keyed hash of a secret.
type Digest struct {
	Version uint32 // of the hashing key
	Sum     [sha256.Size]byte
}

// MarshalText returns the version and the sum in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d:%x", d.Version, d.Sum), nil
}

// UnmarshalText reads what [Digest.MarshalText] returns and nothing else.
func (d *Digest) UnmarshalText(text []byte) error {
	version, sum, _ := strings.Cut(string(text), ":")
	n, err := strconv.ParseUint(version, 10, 32)
	if err != nil || len(sum) != 2*sha256.Size {
		return errors.New("want a key version, a colon, and 64 hexadecimal digits")
	}
	if _, err := hex.Decode(d.Sum[:], []byte(sum)); err != nil {
		return fmt.Errorf("read the digest: %w", err)
	}
	d.Version = uint32(n)
	return nil
}

// Hash returns the keyed hash of material under the newest key.
func (k *Keys) Hash(material []byte) Digest {
	newest := k.newest[Hashing]
	return Digest{newest, k.hashing[newest].sum(material, nil)}
}

// Match reports in constant time whether d is the hash of material.
func (k *Keys) Match(d Digest, material []byte) bool {
	h := k.hashing[d.Version]
	return h != nil && h.matches(&d.Sum, material)
}

// Hashes calls f with the hash of material under each key, newest first, until f
// returns true.
func (k *Keys) Hashes(material []byte, f func(Digest) bool) {
	for _, version := range k.peppers {
		if f(Digest{version, k.hashing[version].sum(material, nil)}) {
			return
		}
	}
}

// hasher makes keyed hashes with pooled state. It is safe for concurrent use.
type hasher struct{ pool sync.Pool }

// state is one keyed hash and the place for its result, so that a comparison
// allocates nothing.
type state struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func newHasher(key []byte) *hasher {
	key = slices.Clone(key)
	h := &hasher{}
	h.pool.New = func() any { return &state{mac: hmac.New(sha256.New, key)} }
	return h
}

// run hashes a and b, of which a must tell where it ends. The state that it
// returns goes back to the pool after use.
func (h *hasher) run(a, b []byte) *state {
	s, ok := h.pool.Get().(*state)
	if !ok {
		panic("the pool of a hasher holds states")
	}
	s.mac.Reset()
	_, _ = s.mac.Write(a) // hashes never fail
	_, _ = s.mac.Write(b)
	s.mac.Sum(s.sum[:0])
	return s
}

func (h *hasher) sum(a, b []byte) [sha256.Size]byte {
	s := h.run(a, b)
	sum := s.sum
	h.pool.Put(s)
	return sum
}

func (h *hasher) matches(want *[sha256.Size]byte, material []byte) bool {
	s := h.run(material, nil)
	equal := hmac.Equal(s.sum[:], want[:])
	h.pool.Put(s)
	return equal
}
