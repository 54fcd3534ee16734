package mtls

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/shield"
)

// Bounds on what a peer may present.
const (
	maxChain      = 10       // certificates
	maxChainBytes = 64 << 10 // of DER, together
	maxSignatures = 32       // checked to find out whose a refused chain is
	maxCompare    = 10_000   // names against name constraints
	minRSA        = 2048     // bits
	maxRSA        = 8192     // bits
)

// chain is a path from a leaf to an authority of the bundle, leaf first.
type chain []*x509.Certificate

// window returns the time in which every certificate of the chain is in force.
func (c chain) window() (from, until time.Time) {
	from, until = c[0].NotBefore, c[0].NotAfter
	for _, cert := range c[1:] {
		if cert.NotBefore.After(from) {
			from = cert.NotBefore
		}
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	return from, until
}

// find returns the chain of what was presented, whether or not now is within its
// window, or the refusal that the caller gets for good. A chain that bears no
// signature of ours is foreign; one that does and breaks a rule ends the search.
func (t *trust) find(presented []*x509.Certificate, now time.Time) (chain, *shield.Refusal) {
	found, err := t.verify(presented, now)
	if err == nil {
		return found, nil
	}
	path := t.signaturePath(presented)
	if path == nil {
		return nil, shield.Refuse(shield.Foreign, "the certificate bears no signature of an authority of the bundle: %v", err)
	}
	from, until := path.window()
	if !now.Before(from) && !now.After(until) {
		return nil, shield.Refuse(shield.InvalidCredential, "the chain is not valid: %v", err)
	}
	at := until
	if now.Before(from) {
		at = from
	}
	if found, err = t.verify(presented, at); err != nil {
		return nil, shield.Refuse(shield.InvalidCredential, "the chain is not valid, at any time: %v", err)
	}
	return found, nil
}

// verify builds a chain to the bundle that is valid at a moment (RFC 5280 §6).
func (t *trust) verify(presented []*x509.Certificate, at time.Time) (chain, error) {
	intermediates := x509.NewCertPool()
	for _, cert := range presented[1:] {
		intermediates.AddCert(cert)
	}
	leaf := presented[0]
	found, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, MaxConstraintComparisions: maxCompare,
	})
	if err != nil {
		return nil, err
	}
	if err := checkLeaf(leaf); err != nil {
		return nil, err
	}
	for _, candidate := range found {
		if err = checkStrength(candidate); err == nil {
			return candidate, nil
		}
	}
	return nil, err
}

// checkLeaf refuses what x509 lets pass: authorities as callers, keys that were
// not certified for signing, and signatures that can be written in several ways.
func checkLeaf(leaf *x509.Certificate) error {
	if leaf.IsCA {
		return errors.New("an authority's certificate is no client's")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("its key may not make signatures (key usage)")
	}
	return checkEnvelope(leaf)
}

// checkStrength looks at every key, and at every signature but the anchor's own,
// which proves nothing.
func checkStrength(c chain) error {
	for i, cert := range c {
		if err := strongKey(cert.PublicKey); err != nil {
			return fmt.Errorf("certificate %d of the chain: %w", i, err)
		}
		if i < len(c)-1 && weakHash(cert.SignatureAlgorithm) {
			return fmt.Errorf("certificate %d of the chain is signed with %s", i, cert.SignatureAlgorithm)
		}
	}
	return nil
}

func strongKey(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("an RSA key of %d bits; want %d to %d", bits, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("a key on curve %s", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("a key of type %T", key)
}

func weakHash(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return false
	}
	return true
}

// signaturePath looks for signatures alone, from the leaf to an authority of the
// bundle, whatever else is wrong. It tells our broken certificates from those of
// strangers; nothing is accepted because of it. A signature too weak to check
// counts if the names fit.
func (t *trust) signaturePath(presented []*x509.Certificate) chain {
	budget := maxSignatures
	signed := func(by, cert *x509.Certificate) bool {
		if budget == 0 {
			return false
		}
		budget--
		err := by.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
		_, insecure := errors.AsType[x509.InsecureAlgorithmError](err)
		return err == nil || insecure
	}
	type step struct {
		cert *x509.Certificate
		down int // index of the step that it signed; -1: none
	}
	steps := []step{{presented[0], -1}}
	reached := map[int]bool{}
	for at := 0; at < len(steps); at++ {
		cert := steps[at].cert
		for _, ca := range t.bySubject[string(cert.RawIssuer)] {
			if !signed(ca, cert) {
				continue
			}
			path := chain{ca}
			for i := at; i >= 0; i = steps[i].down {
				path = append(path, steps[i].cert)
			}
			slices.Reverse(path)
			return path
		}
		for i, other := range presented[1:] {
			if !reached[i] && string(other.RawSubject) == string(cert.RawIssuer) && signed(other, cert) {
				reached[i] = true
				steps = append(steps, step{other, at})
			}
		}
	}
	return nil
}

// digestOf is what a chain is remembered by. DER says its own length, so that
// no two lists of certificates have the same bytes.
func digestOf(presented []*x509.Certificate) (digest [32]byte) {
	h := sha256.New()
	for _, cert := range presented {
		h.Write(cert.Raw)
	}
	h.Sum(digest[:0])
	return digest
}
