package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
)

// Use is what a data key is for.
type Use string

// The uses of data keys.
const (
	Sealing Use = "seal"   // AES-256-GCM for what is read back
	Hashing Use = "pepper" // HMAC-SHA-256 for what is only recognised
)

// Wrapped is a data key as the store keeps it.
type Wrapped struct {
	Use     Use    `json:"use"`
	Version uint32 `json:"version"`
	Key     []byte `json:"key"` // under the master key
}

// Name is the key's row in the store.
func (w Wrapped) Name() string { return fmt.Sprintf("%s-%d", w.Use, w.Version) }

// Keys are the data keys. New values use the newest key of each use; older ones
// go on opening what they sealed. It is immutable and safe for concurrent use.
type Keys struct {
	sealing  map[uint32]cipher.AEAD
	hashing  map[uint32]*hasher
	newest   map[Use]uint32
	rowKey   []byte // MACs rows
	versions []uint32
}

// NewWrapped makes a data key.
func NewWrapped(m Master, use Use, version uint32) (Wrapped, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	w := Wrapped{Use: use, Version: version}
	var err error
	w.Key, err = m.wrap(w.Name(), key)
	return w, err
}

// Rewrap returns the same data key under another master key.
func Rewrap(from, to Master, w Wrapped) (Wrapped, error) {
	key, err := from.unwrap(w.Name(), w.Key)
	if err != nil {
		return Wrapped{}, fmt.Errorf("data key %s: %w", w.Name(), err)
	}
	w.Key, err = to.wrap(w.Name(), key)
	return w, err
}

// OpenKeys unwraps the data keys. There must be one of each use.
func OpenKeys(m Master, wrapped []Wrapped) (*Keys, error) {
	k := &Keys{sealing: map[uint32]cipher.AEAD{}, hashing: map[uint32]*hasher{}, newest: map[Use]uint32{}}
	for _, w := range wrapped {
		key, err := m.unwrap(w.Name(), w.Key)
		if err != nil {
			return nil, fmt.Errorf("data key %s: %w; use the key file that this store was made with", w.Name(), err)
		}
		if err := k.add(w, key); err != nil {
			return nil, err
		}
	}
	if len(k.sealing) == 0 || len(k.hashing) == 0 {
		return nil, fmt.Errorf("the store has %d keys for sealing and %d for hashing, it needs one of each", len(k.sealing), len(k.hashing))
	}
	k.versions = slices.Sorted(maps.Keys(k.hashing))
	slices.Reverse(k.versions)
	return k, nil
}

func (k *Keys) add(w Wrapped, key []byte) error {
	switch w.Use {
	case Sealing:
		aead, err := newAEAD(key)
		if err != nil {
			return err
		}
		k.sealing[w.Version] = aead
		if w.Version == 1 {
			// The first sealing key also makes the key of the rows' MACs, so that
			// rotation does not have to touch every row.
			if k.rowKey, err = hkdf.Key(sha256.New, key, nil, "pavise row integrity", keySize); err != nil {
				return err
			}
		}
	case Hashing:
		k.hashing[w.Version] = newHasher(key)
	default:
		return fmt.Errorf("data key %s: unknown use", w.Name())
	}
	k.newest[w.Use] = max(k.newest[w.Use], w.Version)
	return nil
}

// Newest returns the version that new values of a use get.
func (k *Keys) Newest(use Use) uint32 { return k.newest[use] }

// Seal encrypts plain for the row (table, id, version).
func (k *Keys) Seal(table, id string, version int64, plain []byte) []byte {
	newest := k.newest[Sealing]
	head := binary.BigEndian.AppendUint32(nil, newest)
	return append(head, sealWith(k.sealing[newest], plain, place(table, id, version))...)
}

// Unseal decrypts what [Keys.Seal] made for the same row; [ErrTampered] if it was
// made for another.
func (k *Keys) Unseal(table, id string, version int64, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, ErrTampered
	}
	aead, ok := k.sealing[binary.BigEndian.Uint32(sealed)]
	if !ok {
		return nil, ErrTampered
	}
	plain, err := openWith(aead, sealed[4:], place(table, id, version))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// place names a row unambiguously.
func place(table, id string, version int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(table)))
	b = append(b, table...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
	b = append(b, id...)
	return binary.BigEndian.AppendUint64(b, uint64(version))
}

// Digest is a keyed hash of a secret.
type Digest struct {
	Version uint32            `json:"version"` // of the hashing key
	Sum     [sha256.Size]byte `json:"sum"`
}

// Hash returns the keyed hash of material under the newest key.
func (k *Keys) Hash(material []byte) Digest {
	newest := k.newest[Hashing]
	return Digest{newest, k.hashing[newest].sum(material)}
}

// Match reports in constant time whether d is the hash of material.
func (k *Keys) Match(d Digest, material []byte) bool {
	h, ok := k.hashing[d.Version]
	if !ok {
		return false
	}
	sum := h.sum(material)
	return hmac.Equal(sum[:], d.Sum[:])
}

// Hashes calls f with the hash of material under each key, newest first, until f
// returns true.
func (k *Keys) Hashes(material []byte, f func(Digest) bool) {
	for _, version := range k.versions {
		if f(Digest{version, k.hashing[version].sum(material)}) {
			return
		}
	}
}

// Tag returns the MAC of a row.
func (k *Keys) Tag(table, id string, version int64, body []byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, k.rowKey)
	mac.Write(place(table, id, version))
	mac.Write(body)
	return [sha256.Size]byte(mac.Sum(nil))
}

// hasher makes keyed hashes with pooled state.
type hasher struct{ pool sync.Pool }

func newHasher(key []byte) *hasher {
	key = slices.Clone(key)
	h := &hasher{}
	h.pool.New = func() any { return hmac.New(sha256.New, key) }
	return h
}

func (h *hasher) sum(material []byte) (sum [sha256.Size]byte) {
	mac, ok := h.pool.Get().(hash.Hash)
	if !ok {
		panic("the pool of a hasher holds a hash")
	}
	mac.Reset()
	mac.Write(material)
	mac.Sum(sum[:0])
	h.pool.Put(mac)
	return sum
}
