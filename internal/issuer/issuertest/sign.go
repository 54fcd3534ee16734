package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
)

// Signature signs input as RFC 7518 §3 and RFC 8037 say. An error means that key
// and algorithm do not go together.
func Signature(key crypto.Signer, alg string, input []byte) ([]byte, error) {
	if private, ok := key.(ed25519.PrivateKey); ok && (alg == "EdDSA" || alg == "Ed25519") {
		return ed25519.Sign(private, input), nil
	}
	hash, ok := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[strings.TrimLeft(alg, "REPS")]
	if !ok {
		return nil, fmt.Errorf("no hash for %q", alg)
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch private := key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "RS") {
			return rsa.SignPKCS1v15(nil, private, hash, digest)
		}
		if strings.HasPrefix(alg, "PS") {
			return rsa.SignPSS(rand.Reader, private, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if strings.HasPrefix(alg, "ES") {
			return rawECDSA(private, digest)
		}
	}
	return nil, fmt.Errorf("%T cannot sign %q", key, alg)
}

// rawECDSA returns r‖s, each of the curve's size.
func rawECDSA(private *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, private, digest)
	if err != nil {
		return nil, err
	}
	size := (private.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}
