package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const mtlsYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
issuers:
  corp: {url: "https://issuer.example", jwks: issuer.json, may_grant: ["reports:*"]}
apis:
  reports:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/reports:   {shield: {mtls: {trust: partners.pem}}, scopes: [reports:read]}
      GET /v1/partners:  {shield: {mtls: {trust: partners.pem, allow: [{uri: "spiffe://example/shop"}]}}, scopes: any}
      GET /v1/both:      {shield: {all: [{mtls: {trust: partners.pem}}, hmac]}, scopes: [reports:read]}
      GET /v1/keyed:     {shield: {all: [{mtls: {trust: partners.pem}}, api_key]}, scopes: [reports:read]}
      GET /v1/either:    {shield: {any: [{mtls: {trust: partners.pem}}, api_key]}, scopes: [reports:read]}
scopes: {reports:read: Read reports}
`

// authority is a CA of the partners.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, a.key.Public(), nil)
	return a
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template *x509.Certificate, public crypto.PublicKey, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// crl is a revocation list that revokes nothing.
func (a *authority) crl() string {
	a.t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// leaf makes a client certificate, good but for the change.
func (a *authority) leaf(change func(*x509.Certificate)) tls.Certificate {
	return a.leafWith(newKey(a.t), change)
}

func (a *authority) leafWith(key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "shop"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/shop"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	cert := a.sign(template, key.Public(), a.cert)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func partners(t *testing.T) (*harness.Gateway, *authority) {
	t.Helper()
	ca := newAuthority(t, "partners")
	g := harness.Start(t, harness.Config{
		YAML: mtlsYAML, Files: map[string]string{"partners.pem": ca.pem(), "issuer.json": emptyKeys},
		Clients: []client.Client{{ID: "shop", Scopes: shield.Scopes{"reports:read"}}, {ID: "evil", Scopes: shield.Scopes{"reports:read"}}},
	})
	g.IssueWith(client.Credential{Kind: "mtls", Client: "shop", Settings: map[string]string{"name": "uri:spiffe://example/shop"}})
	return g, ca
}

// emptyKeys is a key set with one key that signs nothing here.
const emptyKeys = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

const browserYAML = `
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
oauth: {issuer: "https://127.0.0.1"}
apis:
  reports:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {mtls: {trust: partners.pem}}
    cors: ["https://app.example.com"]
    scopes: any
    endpoints:
      GET /v1/reports: {}
      POST /v1/reports: {}
scopes: {}
`

// Attack 125 and the seams between the sign-in pages and an API on their host, found on 2026-11-30: browsers
// add certificates and cookies by themselves.
func TestWhatBrowsersAddServesNoPageOfOthersAndNoService(t *testing.T) {
	ca := newAuthority(t, "partners")
	g := harness.Start(t, harness.Config{YAML: browserYAML, Files: map[string]string{"partners.pem": ca.pem()}})
	g.IssueWith(client.Credential{Kind: "mtls", Client: "shop", Settings: map[string]string{"name": "uri:spiffe://example/shop"}})
	send := func(method, origin, site string) harness.Answer {
		r := g.Request(method, "/v1/reports", "")
		for name, value := range map[string]string{"Origin": origin, "Sec-Fetch-Site": site, "Cookie": "theme=dark; __Host-pavise-session=planted"} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		return g.Do(r, ca.leaf(nil))
	}
	g.Refused(send("POST", "https://evil.example", "cross-site"), 403, shield.ForeignOrigin)
	g.Refused(send("POST", "null", "cross-site"), 403, shield.ForeignOrigin)
	if len(g.Upstream.Requests()) != 0 {
		t.Fatal("a page of others reached the service")
	}
	g.Accepted(send("POST", "https://app.example.com", "cross-site"))
	g.Accepted(send("POST", "https://"+g.Address, "same-origin"))
	g.Accepted(send("POST", "", ""))
	g.Accepted(send("GET", "", "cross-site"))
	for _, seen := range g.Upstream.Requests() {
		if got := seen.Header.Get("Cookie"); got != "theme=dark" {
			t.Errorf("the service got the cookies %q", got)
		}
	}
}

func TestClientCertificatesOverTLS(t *testing.T) {
	attacktest.Rows(t, 71, 72, 73, 74, 76, 78, 83)
	g, ca := partners(t)
	get := func(target string, certificates ...tls.Certificate) harness.Answer {
		return g.Do(g.Request("GET", target, ""), certificates...)
	}
	good := ca.leaf(nil)
	event := g.Accepted(get("/v1/reports", good))
	if event.Client != "shop" || event.Shield != "mtls" {
		t.Errorf("event names %s by %s", event.Client, event.Shield)
	}
	g.Accepted(get("/v1/partners", good))
	g.Refused(get("/v1/reports"), 401, shield.MissingCredential)

	impostor := newAuthority(t, "partners")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Logf("RSA of 1024 bits cannot be made here: %v", err)
	}
	tests := []struct {
		name string
		cert tls.Certificate
		code shield.Code
	}{
		{"signed by a CA of the same name", impostor.leaf(nil), shield.InvalidCredential},
		{"expired", ca.leaf(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), shield.ExpiredCredential},
		{"not yet valid", ca.leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), shield.ExpiredCredential},
		{"for servers only", ca.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), shield.InvalidCredential},
		{"on P-224", ca.leafWith(p224(t), nil), shield.InvalidCredential},
	}
	if weak != nil {
		tests = append(tests, struct {
			name string
			cert tls.Certificate
			code shield.Code
		}{"of RSA with 1024 bits", ca.leafWith(weak, nil), shield.InvalidCredential})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g.T = t
			if test.name == "on P-224" || strings.Contains(test.name, "1024") {
				t.Skip("Go's own client does not sign with such a key; the shield's test presents one")
			}
			g.Refused(get("/v1/reports", test.cert), 401, test.code)
		})
	}
	g.T = t
	commonNameOnly := ca.leaf(func(c *x509.Certificate) { c.URIs = nil; c.Subject.CommonName = "spiffe://example/shop" })
	if a := get("/v1/partners", commonNameOnly); a.Status < 400 {
		t.Error("a name in the common name was taken for a URI name")
	}
	asDNS := ca.leaf(func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"example", "*.example"} })
	if a := get("/v1/partners", asDNS); a.Status < 400 {
		t.Error("a DNS name was taken for a URI name")
	}
}

func p224(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRevocationBitesOnKeptAndResumedConnections(t *testing.T) {
	attacktest.Rows(t, 80, 158)
	g, ca := partners(t)
	cert := ca.leaf(nil)
	config := g.TLS(cert)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	kept := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer kept.CloseIdleConnections()
	status := func(c *http.Client) int {
		response, err := c.Do(g.Request("GET", "/v1/reports", ""))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
	if got := status(kept); got != 200 {
		t.Fatalf("%d before the revocation", got)
	}
	g.Revoke("uri:spiffe://example/shop")
	if got := status(kept); got != 401 {
		t.Errorf("%d on the kept connection after the revocation", got)
	}
	kept.CloseIdleConnections()
	if got := status(kept); got != 401 {
		t.Errorf("%d on a resumed connection after the revocation", got)
	}
	key := g.Issue("api_key", "shop")
	r := g.Request("GET", "/v1/either", "")
	r.Header.Set("X-API-Key", key.Secret)
	g.Refused(g.Do(r, cert), 401, shield.RevokedCredential) // ours and revoked ends the search
	foreign := newAuthority(t, "elsewhere").leaf(nil)
	r = g.Request("GET", "/v1/either", "")
	r.Header.Set("X-API-Key", key.Secret)
	g.Accepted(g.Do(r, foreign)) // nobody's certificate does not
}

func TestProofsOfDifferentClientsDoNotMix(t *testing.T) {
	attacktest.Rows(t, 156)
	g, ca := partners(t)
	cert := ca.leaf(nil)
	for _, kind := range []string{"api_key", "hmac"} {
		target := map[string]string{"api_key": "/v1/keyed", "hmac": "/v1/both"}[kind]
		own, others := g.Issue(kind, "shop"), g.Issue(kind, "evil")
		own.Certificates, others.Certificates = []tls.Certificate{cert}, []tls.Certificate{cert}
		g.Accepted(g.Send(own, "GET", target, ""))
		g.Refused(g.Send(others, "GET", target, ""), 403, shield.MixedIdentities)
		alone := own
		alone.Certificates = nil
		g.Refused(g.Send(alone, "GET", target, ""), 401, shield.MissingCredential)
	}
	if a := g.Do(g.Request("GET", "/v1/keyed", ""), cert); a.Status != 401 {
		t.Errorf("a certificate without its second proof: %d", a.Status)
	}
}

func TestLongChainsAreBounded(t *testing.T) {
	attacktest.Rows(t, 75, 84)
	g, ca := partners(t)
	cert := ca.leaf(nil)
	for range 40 {
		cert.Certificate = append(cert.Certificate, newAuthority(t, "more").cert.Raw)
	}
	if a := g.Do(g.Request("GET", "/v1/reports", ""), cert); a.Status != 401 {
		t.Errorf("a chain of 41: %d", a.Status)
	}
	// A leaf that signs another: it has no CA flag.
	leafKey := newKey(t)
	leaf := ca.leafWith(leafKey, nil)
	below := &authority{t: t, key: leafKey, cert: leaf.Leaf}
	child := below.leaf(nil)
	child.Certificate = append(child.Certificate, leaf.Certificate[0])
	g.Refused(g.Do(g.Request("GET", "/v1/reports", ""), child), 401, shield.InvalidCredential)
}
