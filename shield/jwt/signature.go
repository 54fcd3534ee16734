package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"errors"
	"math/big"
)

// errSignature is the one answer to every signature that is not good.
var errSignature = errors.New("the signature does not match")

// errKey says that a key cannot do the token's algorithm. The issuer's key source
// pins keys to algorithms; this is the second lock.
var errKey = errors.New("the key does not fit the token's alg")

const minRSA = 2048 // bits

// hashOf returns the hash of an algorithm of RFC 7518 §3 or RFC 8037; zero for
// Ed25519, which has its own. There is no "none" here, and no HMAC.
func hashOf(alg string) (hash crypto.Hash, ok bool) {
	switch alg {
	case "RS256", "PS256", "ES256":
		return crypto.SHA256, true
	case "RS384", "PS384", "ES384":
		return crypto.SHA384, true
	case "RS512", "PS512", "ES512":
		return crypto.SHA512, true
	case "EdDSA", "Ed25519":
		return 0, true
	}
	return 0, false
}

func isSupported(alg string) bool {
	_, ok := hashOf(alg)
	return ok
}

// checkSignature verifies with exactly this algorithm and this key.
func checkSignature(alg string, key crypto.PublicKey, signed, signature []byte) error {
	hash, ok := hashOf(alg)
	if !ok {
		return errKey
	}
	switch public := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(alg, hash, public, signed, signature)
	case *ecdsa.PublicKey:
		return checkECDSA(alg, hash, public, signed, signature)
	case ed25519.PublicKey:
		if hash != 0 || len(public) != ed25519.PublicKeySize {
			return errKey
		}
		if !ed25519.Verify(public, signed, signature) {
			return errSignature
		}
		return nil
	}
	return errKey
}

func checkRSA(alg string, hash crypto.Hash, key *rsa.PublicKey, signed, signature []byte) error {
	if key.N.BitLen() < minRSA {
		return errKey
	}
	var err error
	switch alg[:2] {
	case "RS":
		err = rsa.VerifyPKCS1v15(key, hash, digest(hash, signed), signature)
	case "PS": // RFC 7518 §3.5: the salt is as long as the hash
		err = rsa.VerifyPSS(key, hash, digest(hash, signed), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	default:
		return errKey
	}
	if err != nil {
		return errSignature
	}
	return nil
}

// checkECDSA reads r‖s, each of the full size (RFC 7518 §3.4); DER is refused by
// its length or as a signature that does not match.
func checkECDSA(alg string, hash crypto.Hash, key *ecdsa.PublicKey, signed, signature []byte) error {
	bits := key.Curve.Params().BitSize
	if alg != ecdsaName(bits) {
		return errKey
	}
	size := (bits + 7) / 8
	if len(signature) != 2*size {
		return errSignature
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	if r.Sign() == 0 || s.Sign() == 0 || !ecdsa.Verify(key, digest(hash, signed), r, s) {
		return errSignature
	}
	return nil
}

// ecdsaName is the one algorithm of a curve (RFC 7518 §3.4).
func ecdsaName(bits int) string {
	switch bits {
	case 256:
		return "ES256"
	case 384:
		return "ES384"
	case 521:
		return "ES512"
	}
	return "(none)"
}

func digest(hash crypto.Hash, signed []byte) []byte {
	h := hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

// sameKey reports whether two public keys are equal. Between two refreshes they
// are one and the same.
func sameKey(a, b crypto.PublicKey) bool {
	switch a := a.(type) {
	case *rsa.PublicKey:
		if other, ok := b.(*rsa.PublicKey); ok && a == other {
			return true
		}
	case *ecdsa.PublicKey:
		if other, ok := b.(*ecdsa.PublicKey); ok && a == other {
			return true
		}
	}
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
