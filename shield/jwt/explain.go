package jwt

import "crypto"

// CheckSignature verifies with exactly this algorithm and this key, as the shield does, for
// somebody who explains a token. That a signature is good says nothing of the claims: what
// a token may is decided by the shield of an endpoint.
func CheckSignature(alg string, key crypto.PublicKey, signed, signature []byte) error {
	return checkSignature(alg, key, signed, signature)
}
