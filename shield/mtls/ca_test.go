package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

// authority is a test CA.
type authority struct {
	testing.TB
	cert *x509.Certificate
	key  crypto.Signer
	now  time.Time
	next int64
}

func newAuthority(t testing.TB, now time.Time, name string, changes ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{TB: t, key: newKey(t), now: now, next: 100}
	template := a.authorityTemplate(name)
	for _, change := range changes {
		change(template)
	}
	a.cert = a.sign(template, template, a.key.Public(), a.key)
	return a
}

func (a *authority) authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: a.now.Add(-time.Hour), NotAfter: a.now.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// below returns an authority that a signed.
func (a *authority) below(name string, changes ...func(*x509.Certificate)) *authority {
	a.Helper()
	child := &authority{TB: a.TB, key: newKey(a.TB), now: a.now, next: 100}
	template := a.authorityTemplate(name)
	a.next++
	template.SerialNumber = big.NewInt(a.next)
	for _, change := range changes {
		change(template)
	}
	child.cert = a.sign(template, a.cert, child.key.Public(), a.key)
	return child
}

// leaf returns a client certificate for pay.internal, changed.
func (a *authority) leaf(changes ...func(*x509.Certificate)) *x509.Certificate {
	a.Helper()
	return a.leafFor(newKey(a.TB).Public(), changes...)
}

func (a *authority) leafFor(public crypto.PublicKey, changes ...func(*x509.Certificate)) *x509.Certificate {
	a.Helper()
	a.next++
	spiffe, err := url.Parse("spiffe://example.org/pay")
	if err != nil {
		a.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: "pay", Organization: []string{"Acme"}},
		NotBefore: a.now.Add(-time.Hour), NotAfter: a.now.Add(24 * time.Hour),
		DNSNames: []string{"pay.internal"}, URIs: []*url.URL{spiffe}, EmailAddresses: []string{"ops@example.com"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, change := range changes {
		change(template)
	}
	return a.sign(template, a.cert, public, a.key)
}

func (a *authority) sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	a.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		a.Fatalf("make a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatalf("parse a certificate: %v", err)
	}
	return cert
}

// list returns a revocation list of a with the serial numbers of certs.
func (a *authority) list(number int64, until time.Time, certs ...*x509.Certificate) []byte {
	a.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: a.now.Add(-time.Minute), NextUpdate: until}
	for _, cert := range certs {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: a.now.Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		a.Fatalf("make a revocation list: %v", err)
	}
	return der
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func bundle(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return text
}

// scene is a shield that trusts one authority.
type scene struct {
	testing.TB
	world  *shieldtest.World
	ca     *authority
	config *Config
	shield shield.Shield
}

func newScene(t testing.TB, change ...func(*scene)) *scene {
	t.Helper()
	s := &scene{TB: t, world: shieldtest.NewWorld()}
	s.ca = newAuthority(t, s.world.Now(), "Clients")
	s.config = &Config{Trust: []string{"ca.pem"}}
	s.world.WriteFile("ca.pem", bundle(s.ca.cert))
	for _, f := range change {
		f(s)
	}
	if problems := s.config.Validate(); len(problems) > 0 {
		t.Fatalf("settings: %+v", problems)
	}
	opened, err := s.config.Open(s.world.Env())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	s.shield = opened
	return s
}

func requestOf(chain ...*x509.Certificate) *http.Request {
	r := httptest.NewRequest("GET", "https://api.example.com/v1/orders", nil)
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: chain}
	return r
}

func (s *scene) verify(chain ...*x509.Certificate) (*shield.Identity, error) {
	s.Helper()
	return s.shield.Verify(requestOf(chain...))
}

func (s *scene) accepted(what string, chain ...*x509.Certificate) *shield.Identity {
	s.Helper()
	id, err := s.verify(chain...)
	if err != nil {
		s.Fatalf("%s: refused: %v", what, err)
	}
	return id
}

func (s *scene) refused(what string, want shield.Code, chain ...*x509.Certificate) *shield.Refusal {
	s.Helper()
	for _, turn := range []string{"judged", "remembered"} {
		id, err := s.verify(chain...)
		refusal, ok := err.(*shield.Refusal)
		if !ok || refusal.Code != want {
			s.Fatalf("%s (%s): %+v, %v; want %s", what, turn, id, err, want)
		}
		if turn == "remembered" {
			return refusal
		}
	}
	return nil
}

// issueTo makes a name of certificates known as a client's.
func (s *scene) issueTo(client, name string, change ...func(*shield.Record)) {
	s.Helper()
	issued, err := issue(s.world.Env(), shield.IssueRequest{Client: client, Settings: map[string]string{"name": name}})
	if err != nil {
		s.Fatalf("issue %s: %v", name, err)
	}
	record := shield.Record{Kind: kind, ID: issued.ID, Client: s.world.Client(client), Scopes: s.world.Client(client).Scopes, Attributes: map[string]any{"tier": "gold", "subject": "registry"}, Created: s.world.Now()}
	for _, f := range change {
		f(&record)
	}
	s.world.Add(record.Keep(nil, nil, nil))
}
