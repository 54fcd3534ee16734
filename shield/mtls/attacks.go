package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"time"

	"pavise.dev/pavise/shield"
)

// attacks is what somebody tries who has seen a good certificate and holds no
// key: neither that of the certificate nor that of its authority. What only the
// authority's key could make (certificates of ours that are expired, revoked, or
// for servers) is shown by the tests.
func attacks() []shield.Attack {
	return []shield.Attack{
		{Row: 71, Name: "no certificate", Code: shield.MissingCredential, Change: presenting(func(*x509.Certificate) ([]*x509.Certificate, error) {
			return nil, nil
		})},
		{Row: 72, Name: "self-signed with the same names", Code: shield.InvalidCredential, Change: presenting(selfSigned(nil))},
		{Row: 72, Name: "signed by an authority that has our authority's name", Code: shield.InvalidCredential, Change: presenting(impostor(nil))},
		{Row: 72, Name: "self-signed, with the good certificate behind it", Code: shield.InvalidCredential, Change: presenting(func(good *x509.Certificate) ([]*x509.Certificate, error) {
			forged, err := selfSigned(nil)(good)
			return append(forged, good), err
		})},
		{Row: 73, Name: "a life prolonged by an impostor", Code: shield.InvalidCredential, Change: presenting(impostor(func(c *x509.Certificate) {
			c.NotAfter = c.NotAfter.Add(100 * 365 * 24 * time.Hour)
		}))},
		{Row: 74, Name: "a server's certificate of an impostor", Code: shield.InvalidCredential, Change: presenting(impostor(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}))},
		{Row: 75, Name: "the good certificate named as the authority", Code: shield.InvalidCredential, Change: presenting(belowLeaf)},
		{Row: 76, Name: "the name in the common name only", Code: shield.InvalidCredential, Change: presenting(selfSigned(func(c *x509.Certificate) {
			if len(c.DNSNames) > 0 {
				c.Subject.CommonName = c.DNSNames[0]
			}
			c.DNSNames, c.URIs, c.EmailAddresses = nil, nil, nil
		}))},
		{Row: 78, Name: "a key of RSA with 1024 bits", Code: shield.InvalidCredential, Change: presenting(weakRSA)},
		{Row: 78, Name: "a key on P-224", Code: shield.InvalidCredential, Change: presenting(weakCurve)},
		{Row: 83, Name: "a name with NUL", Code: shield.InvalidCredential, Change: presenting(selfSigned(func(c *x509.Certificate) {
			c.DNSNames, c.URIs, c.EmailAddresses, c.IPAddresses = nil, nil, nil, nil
			c.ExtraExtensions = []pkix.Extension{alternatives(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagDNS, Bytes: []byte("pay.internal\x00.evil.example")})}
		}))},
		{Row: 83, Name: "a wildcard", Code: shield.InvalidCredential, Change: presenting(selfSigned(func(c *x509.Certificate) { c.DNSNames = []string{"*"} }))},
		{Row: 84, Name: "a chain of 200", Code: shield.InvalidCredential, Change: presenting(func(good *x509.Certificate) ([]*x509.Certificate, error) {
			return slices.Repeat([]*x509.Certificate{good}, 200), nil
		})},
	}
}

// presenting replaces the certificates of the connection.
func presenting(forge func(good *x509.Certificate) ([]*x509.Certificate, error)) func(*http.Request) error {
	return func(r *http.Request) error {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return errors.New("the good request has no client certificate")
		}
		forged, err := forge(r.TLS.PeerCertificates[0])
		if err != nil {
			return err
		}
		state := tls.ConnectionState{
			Version: r.TLS.Version, HandshakeComplete: true, CipherSuite: r.TLS.CipherSuite,
			ServerName: r.TLS.ServerName, NegotiatedProtocol: r.TLS.NegotiatedProtocol, PeerCertificates: forged,
		}
		r.TLS = &state
		return nil
	}
}

type forgery = func(good *x509.Certificate) ([]*x509.Certificate, error)

// selfSigned copies all that a good certificate says, under a key of the attacker's.
func selfSigned(change func(*x509.Certificate)) forgery {
	return func(good *x509.Certificate) ([]*x509.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		forged := copyOf(good, change)
		return forge(forged, &x509.Certificate{RawSubject: good.RawIssuer}, key, key)
	}
}

// impostor is an authority with our authority's name, sent along.
func impostor(change func(*x509.Certificate)) forgery {
	return func(good *x509.Certificate) ([]*x509.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		authority := &x509.Certificate{
			SerialNumber: big.NewInt(1), RawSubject: good.RawIssuer, NotBefore: good.NotBefore, NotAfter: good.NotAfter.Add(200 * 365 * 24 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, SubjectKeyId: good.AuthorityKeyId,
		}
		own, err := forge(authority, authority, key, key)
		if err != nil {
			return nil, err
		}
		leaf, err := forge(copyOf(good, change), own[0], key, key)
		return append(leaf, own...), err
	}
}

// belowLeaf makes the good certificate, which is no authority, look like one.
func belowLeaf(good *x509.Certificate) ([]*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	forged, err := forge(copyOf(good, nil), &x509.Certificate{RawSubject: good.RawSubject, SubjectKeyId: good.SubjectKeyId}, key, key)
	return append(forged, good), err
}

func weakRSA(good *x509.Certificate) ([]*x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, err
	}
	return forge(copyOf(good, nil), &x509.Certificate{RawSubject: good.RawIssuer}, key, key)
}

func weakCurve(good *x509.Certificate) ([]*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return forge(copyOf(good, nil), &x509.Certificate{RawSubject: good.RawIssuer}, key, key)
}

// copyOf is a template with all that a certificate says about its holder.
func copyOf(good *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: good.SerialNumber, Subject: good.Subject, NotBefore: good.NotBefore, NotAfter: good.NotAfter,
		DNSNames: good.DNSNames, URIs: good.URIs, EmailAddresses: good.EmailAddresses, IPAddresses: good.IPAddresses,
		KeyUsage: good.KeyUsage, ExtKeyUsage: good.ExtKeyUsage, BasicConstraintsValid: true, AuthorityKeyId: good.AuthorityKeyId,
	}
	if change != nil {
		change(template)
	}
	return template
}

func forge(template, parent *x509.Certificate, key, signer crypto.Signer) ([]*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{parsed}, nil
}

// alternatives is the extension subjectAltName with any names at all.
func alternatives(names ...asn1.RawValue) pkix.Extension {
	der, err := asn1.Marshal(names)
	if err != nil {
		panic("marshal names: " + err.Error())
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}
