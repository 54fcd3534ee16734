package jwt

import (
	"crypto"
	"encoding/binary"
	"sync/atomic"
	"time"
)

const (
	defaultCache = 4096
	maxCache     = 65536
	ways         = 8
)

// verified is a token whose signature was good under a key. That is all that is
// remembered as a verdict; the claims are what those signed bytes say, and are
// judged on every use. It is immutable.
type verified struct {
	digest    [32]byte // SHA-256 of the whole token
	issuer    *trusted
	kid, alg  string
	key       crypto.PublicKey
	claims    *claims
	withdrawn func() bool // for streams: is it no longer good?
}

// cache remembers a bounded number of tokens. It holds no token, only digests,
// and takes no lock: an entry lives in one of eight places that its digest names,
// and each place is one pointer. What is forgotten is verified again.
type cache struct {
	sets []set
	mask uint64
}

type set [ways]atomic.Pointer[verified]

// newCache has room for at least entries, rounded up to a power of two; nil for 0.
func newCache(entries int) *cache {
	if entries <= 0 {
		return nil
	}
	sets := 1
	for sets*ways < entries {
		sets *= 2
	}
	return &cache{sets: make([]set, sets), mask: uint64(sets - 1)}
}

func (c *cache) set(digest *[32]byte) *set {
	return &c.sets[binary.LittleEndian.Uint64(digest[:8])&c.mask]
}

func (c *cache) find(digest *[32]byte) *verified {
	if c == nil {
		return nil
	}
	set := c.set(digest)
	for i := range set {
		if v := set[i].Load(); v != nil && v.digest == *digest {
			return v
		}
	}
	return nil
}

// put takes the place of the same token, of none, of one that expired, or else of
// one that the digest chooses.
func (c *cache) put(v *verified, now time.Time) {
	if c == nil {
		return
	}
	set := c.set(&v.digest)
	place := int(v.digest[8]) % ways
	for i := range set {
		old := set[i].Load()
		if old == nil || !now.Before(old.claims.ends) {
			place = i
		}
		if old != nil && old.digest == v.digest {
			place = i
			break
		}
	}
	set[place].Store(v)
}

// drop forgets v, unless something else has taken its place.
func (c *cache) drop(v *verified) {
	set := c.set(&v.digest)
	for i := range set {
		set[i].CompareAndSwap(v, nil)
	}
}
