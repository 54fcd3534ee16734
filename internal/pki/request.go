package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"slices"
)

// MaxSigningRequest is the longest signing request that is read, in bytes.
const MaxSigningRequest = 16 << 10

// SigningRequest is a request for a certificate (PKCS #10, RFC 2986) whose sender has
// proved to hold the key.
type SigningRequest struct {
	Key   crypto.PublicKey
	Names Names // that it asks for; none: whatever the authority gives
}

// ParseSigningRequest reads a signing request in PEM or DER, and refuses what no
// certificate is made of: a signature that does not fit, a weak key, names that nobody
// could agree about, extensions that only an authority may decide about.
func ParseSigningRequest(text []byte) (*SigningRequest, error) {
	if len(text) > MaxSigningRequest {
		return nil, fault("", "the signing request has %d bytes, at most %d are read", len(text), MaxSigningRequest)
	}
	der := text
	if block, rest := pem.Decode(text); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fault("openssl req -new -key key.pem -subj /CN=name makes one", "the PEM block is a %.40s, and no signing request", block.Type)
		}
		if next, _ := pem.Decode(rest); next != nil {
			return nil, fault("send one at a time", "there are several PEM blocks")
		}
		der = block.Bytes
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fault("openssl req -new -key key.pem -subj /CN=name makes one", "the signing request cannot be read: %v", err)
	}
	if err := checkKey(r.PublicKey); err != nil {
		return nil, err
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fault("make a new one", "the signing request is not signed by the key that it names: %v", err)
	}
	if err := checkExtensions(r); err != nil {
		return nil, err
	}
	names := namesOf(r)
	return &SigningRequest{Key: r.PublicKey, Names: names}, names.Validate()
}

// Object identifiers of extensions (RFC 5280 §4.2.1).
var (
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidAlternativeNames = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtendedUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
)

// checkExtensions refuses a request to become an authority, and what is neither read nor
// made here. Usages are the profile's, whatever is asked for.
func checkExtensions(r *x509.CertificateRequest) error {
	var seen []string
	for _, e := range r.Extensions {
		if slices.Contains(seen, e.Id.String()) {
			return fault("", "the extension %s stands twice in the signing request", e.Id)
		}
		seen = append(seen, e.Id.String())
		switch {
		case e.Id.Equal(oidBasicConstraints):
			var c struct {
				IsCA bool `asn1:"optional"`
				Path int  `asn1:"optional,default:-1"`
			}
			if rest, err := asn1.Unmarshal(e.Value, &c); err != nil || len(rest) > 0 || c.IsCA {
				return fault("leave out the extension basicConstraints", "the signing request asks to become an authority")
			}
		case e.Id.Equal(oidNameConstraints):
			return fault("leave out the extension nameConstraints", "the signing request asks to become an authority")
		case e.Id.Equal(oidAlternativeNames), e.Id.Equal(oidKeyUsage), e.Id.Equal(oidExtendedUsage), e.Id.Equal(oidSubjectKeyID):
		default:
			return fault("leave it out", "the signing request asks for the extension %s, which is not issued here", e.Id)
		}
	}
	return nil
}

// Bounds of RSA keys, in bits (NIST SP 800-57 part 1).
const (
	minRSA = 2048
	maxRSA = 4096
)

// checkKey refuses keys that are too weak, or that cost too much to verify with.
func checkKey(key crypto.PublicKey) error {
	const hint = "use ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits"
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fault(hint, "an RSA key of %d bits is not certified", bits)
		}
		if key.E < 65537 {
			return fault(hint, "an RSA key with the exponent %d is not certified", key.E)
		}
		return nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fault(hint, "a key on curve %s is not certified", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	}
	return fault(hint, "a key of this type is not certified")
}
