package issuer

import (
	"context"
	"crypto"
	"fmt"
	"sync/atomic"

	"pavise.dev/pavise/shield"
)

// Keyring is a set of keys that is given in-process: by a file, or by an
// authorization server in the same program. The zero Keyring holds none and
// cannot decide. It is safe for concurrent use.
type Keyring struct {
	keys atomic.Pointer[keySet]
}

var _ shield.KeySource = (*Keyring)(nil)

// NewKeyring returns a keyring with keys.
func NewKeyring(keys ...Key) (*Keyring, error) {
	k := &Keyring{}
	return k, k.Replace(keys)
}

// Replace swaps all keys at once; a key that is no longer among them verifies
// nothing from now on. It is an error if a kid stands twice; the old keys stay.
func (k *Keyring) Replace(keys []Key) error {
	set, err := newKeySet(keys)
	if err != nil {
		return err
	}
	k.keys.Store(set)
	return nil
}

// Key implements [shield.KeySource].
func (k *Keyring) Key(_ context.Context, kid, alg string) (crypto.PublicKey, error) {
	set := k.keys.Load()
	if set == nil {
		return nil, fmt.Errorf("the issuer's keys have not been loaded")
	}
	key, outcome := set.find(kid, alg)
	if outcome != found {
		return nil, outcome.refusal()
	}
	return key, nil
}

// keySet is immutable and answers in one look-up.
type keySet struct {
	keys  map[name]crypto.PublicKey
	kids  map[string]bool
	alone map[string]crypto.PublicKey // algorithm → its key, where there is exactly one
}

type name struct{ kid, alg string }

func newKeySet(keys []Key) (*keySet, error) {
	s := &keySet{keys: map[name]crypto.PublicKey{}, kids: map[string]bool{}, alone: map[string]crypto.PublicKey{}}
	count := map[string]int{}
	for _, key := range keys {
		alg := canonical(key.Algorithm)
		if key.ID != "" {
			if s.kids[key.ID] {
				return nil, fmt.Errorf("two keys have the kid %q", key.ID)
			}
			s.kids[key.ID] = true
			s.keys[name{key.ID, alg}] = key.Public
		}
		count[alg]++
		s.alone[alg] = key.Public
	}
	for alg, n := range count {
		if n > 1 {
			delete(s.alone, alg)
		}
	}
	return s, nil
}

// outcome of a look-up.
type outcome int

const (
	found     outcome = iota
	unknown           // no key with this kid: one might have come since
	otherAlg          // the key with this kid has another algorithm
	ambiguous         // no kid, and not exactly one key for the algorithm
)

// refusal never names the kid, which is the caller's text.
func (o outcome) refusal() *shield.Refusal {
	switch o {
	case otherAlg:
		return shield.Refuse(shield.InvalidCredential, "the token's key belongs to another algorithm than its alg says")
	case ambiguous:
		return shield.Refuse(shield.InvalidCredential, "the token names no key, and the issuer has not exactly one for its algorithm")
	}
	return shield.Refuse(shield.InvalidCredential, "the issuer has no key with the token's kid")
}

func (s *keySet) find(kid, alg string) (crypto.PublicKey, outcome) {
	alg = canonical(alg)
	if kid == "" {
		if key, ok := s.alone[alg]; ok {
			return key, found
		}
		return nil, ambiguous
	}
	if key, ok := s.keys[name{kid, alg}]; ok {
		return key, found
	}
	if s.kids[kid] {
		return nil, otherAlg
	}
	return nil, unknown
}

// canonical joins the two names of Ed25519 (RFC 9864 §2.2).
func canonical(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}
