package status

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"sync"
	"time"

	"pavise.dev/pavise/internal/pki"
)

// x/crypto/ocsp signs with RSA and ECDSA only. For an authority with an Ed25519 key a
// responder signs, to whom the authority has delegated that (RFC 6960 §4.2.2.2): with a
// P-256 key that is in memory only.

// responderLife is short, because nobody asks whether a responder was revoked.
const responderLife = 3 * 24 * time.Hour

// oidNoCheck says so (RFC 6960 §4.2.2.2.1).
var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// responder signs answers for an authority.
type responder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// responders are those that were delegated to, by the authority's id.
type responders struct {
	mu  sync.Mutex
	all map[string]responder
}

// of returns who signs for an authority: itself, where it can.
func (r *responders) of(signer *pki.Signer, now time.Time, random io.Reader) (responder, error) {
	if _, is := signer.Key.(ed25519.PrivateKey); !is {
		return responder{signer.Certificate, signer.Key}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.all[signer.ID]; ok && !now.Before(known.cert.NotBefore) && now.Add(responderLife/2).Before(known.cert.NotAfter) {
		return known, nil
	}
	made, err := delegate(signer, now, random)
	if err != nil {
		return made, fmt.Errorf("delegate OCSP answers of %s: %w", signer.Certificate.Subject.CommonName, err)
	}
	if r.all == nil {
		r.all = map[string]responder{}
	}
	r.all[signer.ID] = made
	return made, nil
}

// delegate makes a responder. It stands in no record: it opens nothing, and cannot be shown
// by a client or server.
func delegate(signer *pki.Signer, now time.Time, random io.Reader) (made responder, err error) {
	if made.key, err = ecdsa.GenerateKey(elliptic.P256(), random); err != nil {
		return made, err
	}
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return made, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: signer.Certificate.Subject.Organization, CommonName: "OCSP responder"},
		NotBefore: now.UTC().Add(-skew), NotAfter: earliest(now.UTC().Add(responderLife), signer.Certificate),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		BasicConstraintsValid: true, ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}},
	}
	der, err := x509.CreateCertificate(random, t, signer.Certificate, made.key.Public(), signer.Key)
	if err != nil {
		return made, err
	}
	made.cert, err = x509.ParseCertificate(der)
	return made, err
}
