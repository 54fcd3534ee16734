package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Nonces are values that a server demands in proofs (RFC 9449 §8). They are made of the
// time and a key, so that every node that has the key knows them and none is kept. One is
// offered for a slot and accepted for that slot and the next.
type Nonces struct {
	key     []byte
	purpose string
}

// slot is how long one nonce is offered.
const slot = 90 * time.Second

// NewNonces returns nonces that are good for one purpose: those of the authorization
// server are none of an API's.
func NewNonces(key []byte, purpose string) *Nonces { return &Nonces{key: key, purpose: purpose} }

// At returns the nonce that is offered at a moment.
func (n *Nonces) At(now time.Time) string { return n.of(now.UnixNano() / int64(slot)) }

func (n *Nonces) of(slot int64) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte("DPoP nonce of " + n.purpose + " "))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(slot)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

func (n *Nonces) accepts(nonce string, now time.Time) bool {
	current := now.UnixNano() / int64(slot)
	newest := hmac.Equal([]byte(nonce), []byte(n.of(current)))
	before := hmac.Equal([]byte(nonce), []byte(n.of(current-1)))
	ahead := hmac.Equal([]byte(nonce), []byte(n.of(current+1))) // of a node whose clock is a little ahead
	return newest || before || ahead
}
