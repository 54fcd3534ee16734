package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Use is what a data key is for.
type Use string

// The uses of data keys.
const (
	Sealing Use = "seal"   // AES-256-GCM for what is read back, and the tags of rows
	Hashing Use = "pepper" // HMAC-SHA-256 for what is only recognised
)

// Wrapped is a data key as the store keeps it.
type Wrapped struct {
	Use     Use    `json:"use"`
	Version uint32 `json:"version"`
	Master  string `json:"master"` // id of the master key
	Key     []byte `json:"key"`    // under the master key
}

// Name is the key's row in the store.
func (w Wrapped) Name() string { return fmt.Sprintf("%s-%d", w.Use, w.Version) }

// Wrap makes a new data key.
func Wrap(m Master, use Use, version uint32) (Wrapped, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return wrapAs(m, Wrapped{Use: use, Version: version}, key)
}

// Rewrap returns the same data key under another master key.
func Rewrap(from, to Master, w Wrapped) (Wrapped, error) {
	key, err := from.unwrap(w)
	if err != nil {
		return Wrapped{}, err
	}
	return wrapAs(to, w, key)
}

func wrapAs(m Master, w Wrapped, key []byte) (Wrapped, error) {
	var err error
	w.Master = m.id
	w.Key, err = m.wrap(w.Name(), key)
	return w, err
}

// Keys are the data keys. New values use the newest key of each use; older ones
// go on opening what they sealed. It is immutable and safe for concurrent use.
type Keys struct {
	sealing map[uint32]*sealer
	hashing map[uint32]*hasher
	newest  map[Use]uint32
	peppers []uint32 // versions of hashing keys, newest first
	first   *hasher  // of the first sealing key: fingerprints outlive rotation
}

// sealer is one sealing key: it encrypts values and makes tags of rows.
type sealer struct {
	aead cipher.AEAD
	tags *hasher
}

// OpenKeys unwraps the data keys. There must be the first one of each use.
func OpenKeys(m Master, wrapped []Wrapped) (*Keys, error) {
	none := &Keys{sealing: map[uint32]*sealer{}, hashing: map[uint32]*hasher{}, newest: map[Use]uint32{}}
	k, err := none.With(m, wrapped)
	if err != nil {
		return nil, err
	}
	if k.first == nil || k.hashing[1] == nil {
		return nil, fmt.Errorf("%w: its first data keys are missing; restore it from a backup", ErrTampered)
	}
	return k, nil
}

// With returns the keys with those of wrapped that they lack.
func (k *Keys) With(m Master, wrapped []Wrapped) (*Keys, error) {
	more := &Keys{
		sealing: maps.Clone(k.sealing), hashing: maps.Clone(k.hashing), newest: maps.Clone(k.newest), first: k.first,
	}
	for _, w := range wrapped {
		if more.has(w) {
			continue
		}
		key, err := m.unwrap(w)
		if err != nil {
			return nil, err
		}
		if err := more.add(w, key); err != nil {
			return nil, err
		}
	}
	more.peppers = slices.Sorted(maps.Keys(more.hashing))
	slices.Reverse(more.peppers)
	return more, nil
}

func (k *Keys) has(w Wrapped) bool {
	return w.Use == Sealing && k.sealing[w.Version] != nil || w.Use == Hashing && k.hashing[w.Version] != nil
}

func (k *Keys) add(w Wrapped, key []byte) error {
	switch w.Use {
	case Sealing:
		s, err := newSealer(key)
		if err != nil {
			return err
		}
		k.sealing[w.Version] = s
		if w.Version == 1 {
			derived, err := derive(key, "pavise fingerprints")
			if err != nil {
				return err
			}
			k.first = newHasher(derived)
		}
	case Hashing:
		k.hashing[w.Version] = newHasher(key)
	default:
		return fmt.Errorf("data key %s: unknown use", w.Name())
	}
	k.newest[w.Use] = max(k.newest[w.Use], w.Version)
	return nil
}

func newSealer(key []byte) (*sealer, error) {
	encrypt, err1 := derive(key, "pavise sealed values")
	tag, err2 := derive(key, "pavise row tags")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	aead, err := newAEAD(encrypt)
	return &sealer{aead, newHasher(tag)}, err
}

// derive makes a key for one purpose out of a data key (HKDF, RFC 5869).
func derive(key []byte, purpose string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return derived, nil
}

// Newest returns the version that new values of a use get.
func (k *Keys) Newest(use Use) uint32 { return k.newest[use] }

// Seal encrypts plain for the row (table, id, version).
func (k *Keys) Seal(table, id string, version int64, plain []byte) []byte {
	newest := k.newest[Sealing]
	head := binary.BigEndian.AppendUint32(nil, newest)
	return append(head, sealWith(k.sealing[newest].aead, plain, place(table, id, version))...)
}

// Unseal decrypts what [Keys.Seal] made for the same row; [ErrTampered] if it was
// made for another.
func (k *Keys) Unseal(table, id string, version int64, sealed []byte) ([]byte, error) {
	if len(sealed) < versionSize {
		return nil, ErrTampered
	}
	s := k.sealing[binary.BigEndian.Uint32(sealed)]
	if s == nil {
		return nil, ErrTampered
	}
	plain, err := openWith(s.aead, sealed[versionSize:], place(table, id, version))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

const versionSize = 4

// TagSize is the length of a row's tag in bytes: the key's version and the MAC.
const TagSize = versionSize + sha256.Size

// Tag returns the MAC of a row under the newest key.
func (k *Keys) Tag(table, id string, version int64, body []byte) [TagSize]byte {
	newest := k.newest[Sealing]
	sum := k.sealing[newest].tags.sum(place(table, id, version), body)
	var tag [TagSize]byte
	binary.BigEndian.PutUint32(tag[:], newest)
	copy(tag[versionSize:], sum[:])
	return tag
}

// CheckTag reports whether tag is that of the row, under the key that it names.
func (k *Keys) CheckTag(tag []byte, table, id string, version int64, body []byte) bool {
	if len(tag) != TagSize {
		return false
	}
	s := k.sealing[binary.BigEndian.Uint32(tag)]
	if s == nil {
		return false
	}
	sum := s.tags.sum(place(table, id, version), body)
	return hmac.Equal(sum[:], tag[versionSize:])
}

// Fingerprint returns a keyed hash that stays the same when keys are rotated.
func (k *Keys) Fingerprint(table, id string, version int64, body []byte) [sha256.Size]byte {
	return k.first.sum(place(table, id, version), body)
}

// place names a row unambiguously.
func place(table, id string, version int64) []byte {
	b := make([]byte, 0, 16+len(table)+len(id))
	b = binary.BigEndian.AppendUint32(b, uint32(len(table)))
	b = append(b, table...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
	b = append(b, id...)
	return binary.BigEndian.AppendUint64(b, uint64(version))
}
