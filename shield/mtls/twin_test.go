package mtls

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// resigned returns a certificate with its signature's bytes changed.
func resigned(t *testing.T, cert *x509.Certificate, change func(*asn1.BitString)) *x509.Certificate {
	t.Helper()
	var e envelope
	if _, err := asn1.Unmarshal(cert.Raw, &e); err != nil {
		t.Fatal(err)
	}
	change(&e.Signature)
	der, err := asn1.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAFingerprintCannotBeShedByResigning(t *testing.T) {
	attacktest.Rows(t, 77)
	s := newScene(t)
	leaf := s.ca.leaf()
	order := s.ca.key.Public().(*ecdsa.PublicKey).Params().N
	twin := resigned(t, leaf, func(b *asn1.BitString) {
		var signature struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(b.Bytes, &signature); err != nil {
			t.Fatal(err)
		}
		signature.S.Sub(order, signature.S)
		der, err := asn1.Marshal(signature)
		if err != nil {
			t.Fatal(err)
		}
		b.Bytes, b.BitLength = der, 8*len(der)
	})
	n, err := namesOf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	s.issueTo("shop", "dns:pay.internal")
	s.accepted("the certificate", leaf)
	s.accepted("its twin", twin)
	s.issueTo("shop", "sha256:"+n.fingerprint, func(r *shield.Record) { r.Revoked = s.world.Now() })
	s.refused("the certificate, revoked by its fingerprint", shield.RevokedCredential, leaf)
	s.refused("its twin", shield.RevokedCredential, twin)

	shifted := resigned(t, leaf, func(b *asn1.BitString) {
		bits := new(big.Int).SetBytes(b.Bytes)
		bits.Lsh(bits, 1)
		b.Bytes, b.BitLength = bits.FillBytes(make([]byte, len(b.Bytes))), 8*len(b.Bytes)-1
	})
	if err := shifted.CheckSignatureFrom(s.ca.cert); err != nil {
		t.Logf("x509 refuses unused bits by itself now: %v", err)
	}
	s.refused("its signature shifted by a bit", shield.InvalidCredential, shifted)
}
