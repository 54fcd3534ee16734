package revocation

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // OCSP names authorities by it (RFC 5019 §2.1.1): a name, no proof
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// untilAsked is for how long an answer counts whose responder always has a newer one
// (RFC 6960 §4.2.2.1: no nextUpdate). It is kept by nobody else.
const untilAsked = 5 * time.Minute

// readAnswer reads an OCSP answer about a certificate, and refuses one that is not the word
// of its authority, or not in force. An answer without an end has a zero until.
func readAnswer(der []byte, l *Link, now time.Time) (*word, error) {
	answer, err := ocsp.ParseResponseForCert(der, l.cert, nil)
	if err != nil {
		return nil, err
	}
	if err := isSigned(answer, l.issuer, now); err != nil {
		return nil, err
	}
	if err := isAbout(answer, l); err != nil {
		return nil, err
	}
	switch {
	case now.Add(skew).Before(answer.ThisUpdate):
		return nil, fmt.Errorf("it begins at %s", answer.ThisUpdate.UTC().Format(time.RFC3339))
	case !answer.NextUpdate.IsZero() && !now.Before(answer.NextUpdate):
		return nil, fmt.Errorf("it ended at %s", answer.NextUpdate.UTC().Format(time.RFC3339))
	}
	w := &word{from: answer.ThisUpdate, until: answer.NextUpdate}
	switch answer.Status {
	case ocsp.Good:
		return w, nil
	case ocsp.Revoked:
		w.revoked = answer.RevokedAt
		if w.revoked.IsZero() {
			w.revoked = answer.ThisUpdate
		}
		return w, nil
	}
	return nil, errors.New("the responder does not know the certificate")
}

// isSigned returns why an answer is not the authority's word: it is signed by the authority,
// or by whom the authority has certified for nothing but that (RFC 6960 §4.2.2.2).
func isSigned(answer *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	if Weak(answer.SignatureAlgorithm) {
		return fmt.Errorf("it is signed with %s", answer.SignatureAlgorithm)
	}
	by := answer.Certificate // whose signature was verified, if there is one
	switch {
	case by == nil:
		return answer.CheckSignatureFrom(issuer)
	case bytes.Equal(by.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo):
		return nil
	case !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("its signer may not sign such answers (id-kp-OCSPSigning)")
	case by.IsCA || by.KeyUsage != 0 && by.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("its signer may not make signatures")
	case now.Before(by.NotBefore) || !now.Before(by.NotAfter):
		return errors.New("the certificate of its signer is not in force")
	case Weak(by.SignatureAlgorithm):
		return fmt.Errorf("the certificate of its signer is signed with %s", by.SignatureAlgorithm)
	}
	if err := by.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("its signer is not certified by the authority: %w", err)
	}
	return nil
}

// certID names a certificate in an answer (RFC 6960 §4.1.1).
type certID struct {
	Hash struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Name, Key []byte
	Serial    asn1.RawValue
}

// isAbout returns why an answer is about a certificate of another authority: the same
// serial number proves nothing where one responder speaks for several.
func isAbout(answer *ocsp.Response, l *Link) error {
	var data struct {
		Version     int `asn1:"optional,default:0,explicit,tag:0"`
		ResponderID asn1.RawValue
		Produced    time.Time `asn1:"generalized"`
		Responses   []asn1.RawValue
	}
	if _, err := asn1.Unmarshal(answer.TBSResponseData, &data); err != nil {
		return fmt.Errorf("read whom it is about: %w", err)
	}
	serial := l.cert.SerialNumber
	for _, one := range data.Responses {
		var single struct{ Cert certID } // what follows it was read above
		if _, err := asn1.Unmarshal(one.FullBytes, &single); err != nil {
			continue
		}
		if !bytes.Equal(bytes.TrimLeft(single.Cert.Serial.Bytes, "\x00"), serial.Bytes()) {
			continue
		}
		if hash := hashOf(single.Cert.Hash.Algorithm); hash != 0 && IsNamed(l.issuer, hash, single.Cert.Name, single.Cert.Key) {
			return nil
		}
		return errors.New("it is about a certificate of another authority") // the first is the one that was read
	}
	return errors.New("it is about another certificate")
}

func hashOf(id asn1.ObjectIdentifier) crypto.Hash {
	switch id.String() {
	case "1.3.14.3.2.26":
		return crypto.SHA1
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512
	}
	return 0
}

// IsNamed reports whether an authority is the one that is named by digests of its name and
// of its key (RFC 6960 §4.1.1).
func IsNamed(ca *x509.Certificate, hash crypto.Hash, name, key []byte) bool {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(ca.RawSubjectPublicKeyInfo, &info)
	return err == nil && bytes.Equal(digest(hash, ca.RawSubject), name) && bytes.Equal(digest(hash, info.Key.RightAlign()), key)
}

func digest(h crypto.Hash, text []byte) []byte {
	hash := h.New()
	hash.Write(text)
	return hash.Sum(nil)
}
