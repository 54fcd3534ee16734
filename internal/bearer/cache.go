package bearer

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// MaxCache is the largest capacity of a [Cache].
const MaxCache = 65536

const ways = 8

// Cache remembers what was found out about tokens, by the digest of all of a token. What
// it holds is no verdict: a shield asks what may have changed on every use. It is lossy and
// bounded; find and put take no lock. The zero value remembers nothing.
type Cache[V any] struct {
	sets []set[V]
	mask uint64
}

type entry[V any] struct {
	digest [32]byte
	ends   time.Time
	value  V
}

type set[V any] [ways]atomic.Pointer[entry[V]]

// NewCache returns a cache for at least so many entries; 0: for none.
func NewCache[V any](entries int) *Cache[V] {
	if entries <= 0 {
		return &Cache[V]{}
	}
	sets := 1
	for sets*ways < entries {
		sets *= 2
	}
	return &Cache[V]{sets: make([]set[V], sets), mask: uint64(sets - 1)}
}

func (c *Cache[V]) set(digest *[32]byte) *set[V] {
	if len(c.sets) == 0 {
		return nil
	}
	return &c.sets[binary.LittleEndian.Uint64(digest[:8])&c.mask]
}

// Find returns what is remembered of a token.
func (c *Cache[V]) Find(digest *[32]byte) (value V, ok bool) {
	set := c.set(digest)
	if set == nil {
		return value, false
	}
	for i := range set {
		if e := set[i].Load(); e != nil && e.digest == *digest {
			return e.value, true
		}
	}
	return value, false
}

// Put remembers a token until it ends. It takes the place of the same token, of none, of
// one that ended, or else of one that the digest chooses.
func (c *Cache[V]) Put(digest *[32]byte, value V, ends, now time.Time) {
	set := c.set(digest)
	if set == nil {
		return
	}
	place := int(digest[8]) % ways
	for i := range set {
		old := set[i].Load()
		if old == nil || !now.Before(old.ends) {
			place = i
		}
		if old != nil && old.digest == *digest {
			place = i
			break
		}
	}
	set[place].Store(&entry[V]{*digest, ends, value})
}

// Drop forgets a token.
func (c *Cache[V]) Drop(digest *[32]byte) {
	set := c.set(digest)
	if set == nil {
		return
	}
	for i := range set {
		if e := set[i].Load(); e != nil && e.digest == *digest {
			set[i].CompareAndSwap(e, nil)
		}
	}
}

// Digest is the SHA-256 of all of a token. It copies a token of usual length to the stack;
// a conversion would put it on the heap.
func (p Presented) Digest() [32]byte {
	var short [2048]byte
	if len(p.Token) > len(short) {
		return sha256.Sum256([]byte(p.Token))
	}
	return sha256.Sum256(short[:copy(short[:], p.Token)])
}

// Len returns the number of entries, for tests.
func (c *Cache[V]) Len() int {
	n := 0
	for i := range c.sets {
		for j := range c.sets[i] {
			if c.sets[i][j].Load() != nil {
				n++
			}
		}
	}
	return n
}
