package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
)

// primitives are what the rows' own cryptography costs, in nanoseconds, measured in the
// same run with nothing but Go's own packages.
type primitives struct {
	RSA   float64 // one signature of RSA with 2048 bits is verified
	ECDSA float64 // one of P-256
	HMAC  float64 // HMAC row: the digest of 256 bytes, and one HMAC over some 400
}

func measurePrimitives() (primitives, error) {
	say("what the bare primitives cost")
	digest := sha256.Sum256([]byte("a header and a payload"))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return primitives{}, fmt.Errorf("make an RSA key: %w", err)
	}
	rsaSigned, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest[:])
	if err != nil {
		return primitives{}, fmt.Errorf("sign with RSA: %w", err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return primitives{}, fmt.Errorf("make an ECDSA key: %w", err)
	}
	ecSigned, err := ecdsa.SignASN1(rand.Reader, ecKey, digest[:])
	if err != nil {
		return primitives{}, fmt.Errorf("sign with ECDSA: %w", err)
	}
	p := primitives{
		RSA: costOf(func() bool {
			return rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, digest[:], rsaSigned) == nil
		}),
		ECDSA: costOf(func() bool { return ecdsa.VerifyASN1(&ecKey.PublicKey, digest[:], ecSigned) }),
		HMAC:  costOf(signOnce()),
	}
	if p.RSA == 0 || p.ECDSA == 0 || p.HMAC == 0 {
		return p, errors.New("a primitive did not do what it was measured at")
	}
	return p, nil
}

// signOnce does what a verified signature over a small body cannot do without.
func signOnce() func() bool {
	body, text, key := make([]byte, 256), make([]byte, 400), make([]byte, 32)
	var sum [sha256.Size]byte
	return func() bool {
		digest := sha256.Sum256(body)
		copy(text, digest[:])
		h := hmac.New(sha256.New, key)
		_, _ = h.Write(text) // a hash takes everything
		return len(h.Sum(sum[:0])) == sha256.Size
	}
}

// costOf returns how many nanoseconds a call takes; 0: it did not succeed.
func costOf(work func() bool) float64 {
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if !work() {
				b.FailNow()
			}
		}
	})
	if r.N == 0 {
		return 0
	}
	return float64(r.T.Nanoseconds()) / float64(r.N)
}
