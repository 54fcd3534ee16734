// Package seal keeps secrets that the store must not show.
//
// What has to be read back (a secret that signs requests) is encrypted with
// AES-256-GCM; what only has to be recognised (an API key) is kept as an
// HMAC-SHA-256. Both happen under data keys, which have versions: a new version
// serves new values, the older ones go on opening what they sealed. The data
// keys lie in the store, wrapped by one [Master] key that comes from outside it.
//
// A sealed value is bound to its place: the table, id and version of its row. So
// is the tag that every row carries. Whoever writes the store can therefore
// neither read a secret, nor move one to another row, nor change a row, nor put
// the older state of a row under its present version. What he can do is described
// in docs/decisions/0030-state.md.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// ErrWrongKey says that something was wrapped under another master key.
var ErrWrongKey = errors.New("the master key does not fit the store")

// ErrTampered says that a value is not in the place, or not in the state, in
// which it was sealed.
var ErrTampered = errors.New("what the store holds was changed, moved, or put back by somebody else")

// keySize is the length of master and data keys in bytes.
const keySize = 32

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealWith(aead cipher.AEAD, plain, bound []byte) []byte {
	return aead.Seal(nil, nil, plain, bound)
}

func openWith(aead cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	return aead.Open(nil, nil, sealed, bound)
}
