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
	"fmt"
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
	all := []shield.Attack{
		{Row: 71, Name: "no certificate", Code: shield.MissingCredential, Present: func(*tls.Certificate) (*tls.Certificate, error) {
			return nil, nil
		}},
		{Row: 72, Name: "self-signed with the same names", Present: forging(selfSigned(nil))},
		{Row: 72, Name: "signed by an authority that has our authority's name", Present: forging(impostor(nil))},
		{Row: 72, Name: "self-signed, with the good certificate behind it", Present: forging(func(good *x509.Certificate) (*forged, error) {
			f, err := selfSigned(nil)(good)
			if err != nil {
				return nil, err
			}
			f.chain = append(f.chain, good)
			return f, nil
		})},
		{Row: 73, Name: "a life prolonged by an impostor", Present: forging(impostor(func(c *x509.Certificate) {
			c.NotAfter = c.NotAfter.Add(100 * 365 * 24 * time.Hour)
		}))},
		{Row: 74, Name: "a server's certificate of an impostor", Present: forging(impostor(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}))},
		{Row: 75, Name: "the good certificate named as the authority", Present: forging(belowLeaf)},
		{Row: 76, Name: "the name in the common name only", Present: forging(selfSigned(func(c *x509.Certificate) {
			if len(c.DNSNames) > 0 {
				c.Subject.CommonName = c.DNSNames[0]
			}
			c.DNSNames, c.URIs, c.EmailAddresses = nil, nil, nil
		}))},
		{Row: 78, Name: "a key of RSA with 1024 bits", Present: forging(weakRSA)},
		{Row: 78, Name: "a key on P-224", Present: forging(weakCurve)},
		{Row: 83, Name: "a name with NUL", Present: forging(selfSigned(func(c *x509.Certificate) {
			c.DNSNames, c.URIs, c.EmailAddresses, c.IPAddresses = nil, nil, nil, nil
			c.ExtraExtensions = []pkix.Extension{alternatives(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagDNS, Bytes: []byte("pay.internal\x00.evil.example")})}
		}))},
		{Row: 83, Name: "a wildcard", Present: forging(selfSigned(func(c *x509.Certificate) { c.DNSNames = []string{"*"} }))},
		{Row: 84, Name: "a chain of 200", Present: func(good *tls.Certificate) (*tls.Certificate, error) {
			long := *good
			long.Certificate = slices.Repeat([][]byte{good.Certificate[0]}, 200)
			return &long, nil
		}},
	}
	for i := range all {
		if all[i].Code == "" {
			all[i].Code = shield.InvalidCredential
		}
		all[i].Change = presenting(all[i].Present)
	}
	return all
}

// presenting replaces the certificates of the connection over which a request has come.
func presenting(present func(*tls.Certificate) (*tls.Certificate, error)) func(*http.Request) error {
	return func(r *http.Request) error {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return errors.New("the good request has no client certificate")
		}
		good := &tls.Certificate{}
		for _, c := range r.TLS.PeerCertificates {
			good.Certificate = append(good.Certificate, c.Raw)
		}
		shown, err := present(good)
		if err != nil {
			return err
		}
		var chain []*x509.Certificate
		if shown != nil {
			if chain, err = parsed(shown.Certificate); err != nil {
				return err
			}
		}
		state := tls.ConnectionState{
			Version: r.TLS.Version, HandshakeComplete: true, CipherSuite: r.TLS.CipherSuite,
			ServerName: r.TLS.ServerName, NegotiatedProtocol: r.TLS.NegotiatedProtocol, PeerCertificates: chain,
		}
		r.TLS = &state
		return nil
	}
}

func parsed(chain [][]byte) (all []*x509.Certificate, err error) {
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read the certificate that is shown: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// forged is a chain with the key of its first certificate, which is the attacker's.
type forged struct {
	chain []*x509.Certificate
	key   crypto.Signer
}

type forgery = func(good *x509.Certificate) (*forged, error)

// forging shows what was forged after a good certificate.
func forging(f forgery) func(*tls.Certificate) (*tls.Certificate, error) {
	return func(good *tls.Certificate) (*tls.Certificate, error) {
		leaf, err := x509.ParseCertificate(good.Certificate[0])
		if err != nil {
			return nil, fmt.Errorf("read the good certificate: %w", err)
		}
		made, err := f(leaf)
		if err != nil {
			return nil, err
		}
		shown := &tls.Certificate{PrivateKey: made.key}
		for _, c := range made.chain {
			shown.Certificate = append(shown.Certificate, c.Raw)
		}
		return shown, nil
	}
}

// selfSigned copies all that a good certificate says, under a key of the attacker's.
func selfSigned(change func(*x509.Certificate)) forgery {
	return func(good *x509.Certificate) (*forged, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return forge(copyOf(good, change), &x509.Certificate{RawSubject: good.RawIssuer}, key, key)
	}
}

// impostor is an authority with our authority's name, sent along.
func impostor(change func(*x509.Certificate)) forgery {
	return func(good *x509.Certificate) (*forged, error) {
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
		leaf, err := forge(copyOf(good, change), own.chain[0], key, key)
		if err != nil {
			return nil, err
		}
		leaf.chain = append(leaf.chain, own.chain...)
		return leaf, nil
	}
}

// belowLeaf makes the good certificate, which is no authority, look like one.
func belowLeaf(good *x509.Certificate) (*forged, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	made, err := forge(copyOf(good, nil), &x509.Certificate{RawSubject: good.RawSubject, SubjectKeyId: good.SubjectKeyId}, key, key)
	if err != nil {
		return nil, err
	}
	made.chain = append(made.chain, good)
	return made, nil
}

func weakRSA(good *x509.Certificate) (*forged, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, err
	}
	return forge(copyOf(good, nil), &x509.Certificate{RawSubject: good.RawIssuer}, key, key)
}

func weakCurve(good *x509.Certificate) (*forged, error) {
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

func forge(template, parent *x509.Certificate, key, signer crypto.Signer) (*forged, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	chain, err := parsed([][]byte{der})
	return &forged{chain, key}, err
}

// alternatives is the extension subjectAltName with any names at all.
func alternatives(names ...asn1.RawValue) pkix.Extension {
	der, err := asn1.Marshal(names)
	if err != nil {
		panic("marshal names: " + err.Error())
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}
