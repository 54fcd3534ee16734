package mtls

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
)

// envelope is a certificate as far as its signature goes (RFC 5280 §4.1).
type envelope struct {
	Signed    asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// checkEnvelope refuses a signature with unused bits. x509 shifts them out, so
// that one certificate could come with several fingerprints.
func checkEnvelope(leaf *x509.Certificate) error {
	var e envelope
	if rest, err := asn1.Unmarshal(leaf.Raw, &e); err != nil || len(rest) > 0 {
		return errors.New("the certificate is not encoded as the standard has it")
	}
	if e.Signature.BitLength%8 != 0 {
		return errors.New("its signature has unused bits")
	}
	return nil
}

// twinOf returns the fingerprint of the one other certificate that says the same
// with a good signature: of an ECDSA signature (r, s) anybody can make (r, −s).
// Without it the holder of a certificate that is revoked by its fingerprint would
// come back under another. Empty for other signatures, which have no twin.
func twinOf(leaf, parent *x509.Certificate) string {
	key, ok := parent.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return ""
	}
	var e envelope
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(leaf.Raw, &e); err != nil {
		return ""
	}
	if _, err := asn1.Unmarshal(e.Signature.Bytes, &signature); err != nil {
		return ""
	}
	signature.S.Sub(key.Params().N, signature.S)
	var err error
	if e.Signature.Bytes, err = asn1.Marshal(signature); err != nil {
		return ""
	}
	e.Signature.BitLength = 8 * len(e.Signature.Bytes)
	der, err := asn1.Marshal(e)
	if err != nil {
		return ""
	}
	digest := sha256.Sum256(der)
	return hex.EncodeToString(digest[:])
}
