package mtls

import (
	"crypto/x509"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"pavise.dev/pavise/shield"
)

const (
	acceptedEntries = 4096
	refusedEntries  = 1024
	recentEntries   = 1024
	ways            = 8
)

// cache remembers a bounded number of verdicts by the digest of what was
// presented. It takes no lock: an entry lives in one of eight places that its
// digest names. What is forgotten is judged again.
type cache struct {
	sets [][ways]atomic.Pointer[verdict]
}

// newCache has room for entries, a power of two and at least [ways].
func newCache(entries int) *cache {
	return &cache{sets: make([][ways]atomic.Pointer[verdict], entries/ways)}
}

func (c *cache) set(digest *[32]byte) *[ways]atomic.Pointer[verdict] {
	return &c.sets[binary.LittleEndian.Uint64(digest[:8])%uint64(len(c.sets))]
}

func (c *cache) find(digest *[32]byte) *verdict {
	set := c.set(digest)
	for i := range set {
		if v := set[i].Load(); v != nil && v.digest == *digest {
			return v
		}
	}
	return nil
}

// put takes the place of the same chain, of none, or of one that the digest chooses.
func (c *cache) put(v *verdict) {
	set := c.set(&v.digest)
	place := int(v.digest[8]) % ways
	for i := range set {
		old := set[i].Load()
		if old == nil {
			place = i
		}
		if old != nil && old.digest == v.digest {
			place = i
			break
		}
	}
	set[place].Store(v)
}

// recent finds what is known of the very certificates in memory that a kept
// connection presents with each of its requests, without reading them again.
// crypto/tls never changes a certificate that it parsed.
type recent[V any] struct {
	seed  maphash.Seed
	slots [recentEntries]atomic.Pointer[seen[V]]
}

type seen[V any] struct {
	presented []*x509.Certificate
	value     *V
}

func newRecent[V any]() *recent[V] { return &recent[V]{seed: maphash.MakeSeed()} }

func (r *recent[V]) slot(presented []*x509.Certificate) *atomic.Pointer[seen[V]] {
	return &r.slots[maphash.Comparable(r.seed, presented[0])%recentEntries]
}

func (r *recent[V]) find(presented []*x509.Certificate) *V {
	if s := r.slot(presented).Load(); s != nil && slices.Equal(s.presented, presented) {
		return s.value
	}
	return nil
}

func (r *recent[V]) put(presented []*x509.Certificate, value *V) {
	r.slot(presented).Store(&seen[V]{slices.Clone(presented), value})
}

// keptAttributes are those of the certificate joined with those of its client,
// made once per record.
type keptAttributes struct{ current atomic.Pointer[joined] }

type joined struct {
	record     *shield.Record
	attributes map[string]any
}

// of returns the attributes of both; where both have one, the certificate's.
func (k *keptAttributes) of(record *shield.Record, certificate map[string]any) map[string]any {
	if kept := k.current.Load(); kept != nil && kept.record == record {
		return kept.attributes
	}
	all := make(map[string]any, len(record.Attributes)+len(certificate))
	for name, value := range record.Attributes {
		all[name] = value
	}
	for name, value := range certificate {
		all[name] = value
	}
	k.current.Store(&joined{record, all})
	return all
}
