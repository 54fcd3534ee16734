package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
)

// Hash is a hash of the tree. As text it is standard base64, as in checkpoints.
type Hash [hashSize]byte

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It is strict.
func (h *Hash) UnmarshalText(text []byte) error {
	var out [hashSize + 3]byte
	if len(text) != base64.StdEncoding.EncodedLen(hashSize) {
		return errors.New("it is no hash")
	}
	n, err := base64.StdEncoding.Strict().Decode(out[:], text)
	if err != nil || n != hashSize {
		return errors.New("it is no hash")
	}
	copy(h[:], out[:])
	return nil
}

// Proof is a list of hashes that leads to the root of a tree.
type Proof []Hash

// maxProof is the longest proof about a tree of 2^64 lines.
const maxProof = 65

var errNoProof = errors.New("the proof does not lead to the root")

// inclusion is the proof that line i (counted from 0) is in the tree of the first n lines
// (RFC 9162, section 2.1.3.1).
func (t *hashes) inclusion(i, n uint64) (Proof, error) {
	if i >= n {
		return nil, fmt.Errorf("a tree of %d lines has no line %d", n, i+1)
	}
	var proof Proof
	from, to := uint64(0), n
	for to-from > 1 {
		k := from + split(to-from)
		a, b := k, to // the half that does not have it
		if i >= k {
			a, b = from, k
		}
		h, err := t.within(a, b)
		if err != nil {
			return nil, err
		}
		proof = append(Proof{Hash(h)}, proof...)
		if i < k {
			to = k
		} else {
			from = k
		}
	}
	return proof, nil
}

// CheckInclusion reports whether the leaf is number i (counted from 0) of the n leaves
// below the root (RFC 9162, section 2.1.3.2).
func CheckInclusion(proof Proof, leaf Hash, i, n uint64, root Hash) error {
	if i >= n || len(proof) > maxProof {
		return errNoProof
	}
	at, last, h := i, n-1, hashValue(leaf)
	for _, p := range proof {
		if last == 0 {
			return errNoProof
		}
		if at&1 == 1 || at == last {
			h = nodeHash(hashValue(p), h)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			h = nodeHash(h, hashValue(p))
		}
		at, last = at>>1, last>>1
	}
	if last != 0 || h != hashValue(root) {
		return errNoProof
	}
	return nil
}

// consistency is the proof that the first m lines of n are those of the earlier tree
// (RFC 9162, section 2.1.4.1).
func (t *hashes) consistency(m, n uint64) (Proof, error) {
	if m > n {
		return nil, fmt.Errorf("the log has %d records, which is less than %d", n, m)
	}
	if m == 0 || m == n {
		return Proof{}, nil
	}
	var proof Proof
	from, to, whole := uint64(0), n, true // whole: the part up to to is the earlier tree itself
	for m != to {
		k := from + split(to-from)
		a, b := k, to
		if m > k {
			a, b = from, k
		}
		h, err := t.within(a, b)
		if err != nil {
			return nil, err
		}
		proof = append(Proof{Hash(h)}, proof...)
		if m <= k {
			to = k
		} else {
			from, whole = k, false
		}
	}
	if !whole {
		h, err := t.within(from, to)
		if err != nil {
			return nil, err
		}
		proof = append(Proof{Hash(h)}, proof...)
	}
	return proof, nil
}

// CheckConsistency reports whether the tree of n leaves begins with the m leaves of the
// earlier one (RFC 9162, section 2.1.4.2).
func CheckConsistency(proof Proof, m, n uint64, before, after Hash) error {
	switch {
	case m > n || len(proof) > maxProof:
		return errNoProof
	case m == 0:
		if len(proof) != 0 || before != Hash(sha256.Sum256(nil)) {
			return errNoProof
		}
		return nil
	case m == n:
		if len(proof) != 0 || before != after {
			return errNoProof
		}
		return nil
	}
	rest := proof
	if m&(m-1) == 0 {
		rest = append(Proof{before}, proof...)
	}
	if len(rest) == 0 {
		return errNoProof
	}
	at, last := m-1, n-1
	shift := bits.TrailingZeros64(^at)
	at, last = at>>shift, last>>shift
	first, second := hashValue(rest[0]), hashValue(rest[0])
	for _, p := range rest[1:] {
		if last == 0 {
			return errNoProof
		}
		if at&1 == 1 || at == last {
			first, second = nodeHash(hashValue(p), first), nodeHash(hashValue(p), second)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			second = nodeHash(second, hashValue(p))
		}
		at, last = at>>1, last>>1
	}
	if last != 0 || Hash(first) != before || Hash(second) != after {
		return errNoProof
	}
	return nil
}
