package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/protocol"
)

// certificate is one for name that says to be of a CA.
func certificate(t *testing.T, name, ca string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: ca}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// with sends a form as a client that has a certificate.
func (w *world) with(cert *tls.Certificate, id string, form url.Values) answer {
	w.t.Helper()
	plain, ok := w.server.Client().Transport.(*http.Transport)
	if !ok {
		w.t.Fatal("no transport")
	}
	transport := plain.Clone()
	defer transport.CloseIdleConnections()
	if cert != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*cert}
	}
	form.Set("client_id", id)
	r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader(form.Encode()))
	must(w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	before := w.server.Client().Transport
	w.server.Client().Transport = transport
	defer func() { w.server.Client().Transport = before }()
	return w.do(r)
}

func TestCertificateProvesAClientIfItsCAIsTrusted(t *testing.T) {
	attacktest.Rows(t, 81)
	w := newWorld(t)
	w.clients["bank"] = &protocol.Client{ID: "bank", Auth: protocol.AuthTLS, SubjectDNS: "bank.example", Grants: []string{protocol.ClientCredentials}, Scopes: []string{"orders:read"}}
	good := certificate(t, "bank.example", "Good CA")
	form := func() url.Values { return url.Values{"grant_type": {"client_credentials"}} }
	a := w.with(&good, "bank", form())
	sum := sha256.Sum256(good.Certificate[0])
	cnf, _ := claims(t, a.token(t))["cnf"].(map[string]any)
	if cnf["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("%v", cnf)
	}
	for what, cert := range map[string]*tls.Certificate{
		"a self-signed one with its name": ptr(certificate(t, "bank.example", "bank.example")),
		"another name of the CA":          ptr(certificate(t, "thief.example", "Good CA")),
		"none":                            nil,
	} {
		w.with(cert, "bank", form()).refused(t, what, http.StatusUnauthorized, "invalid_client")
	}
}

func TestSelfSignedCertificateProvesAClientThatRegisteredIt(t *testing.T) {
	w := newWorld(t)
	own := certificate(t, "bank.example", "bank.example")
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	must(t, err)
	sum := sha256.Sum256(leaf.Raw)
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: leaf.PublicKey, KeyID: "k1", Certificates: []*x509.Certificate{leaf}, CertificateThumbprintSHA256: sum[:]}}})
	must(t, err)
	w.clients["bank"] = &protocol.Client{ID: "bank", Auth: protocol.AuthSelfSigned, JWKS: jwks, Grants: []string{protocol.ClientCredentials}, Scopes: []string{"orders:read"}}
	form := func() url.Values { return url.Values{"grant_type": {"client_credentials"}} }
	if a := w.with(&own, "bank", form()); a.status != http.StatusOK {
		t.Errorf("%d %s %+v", a.status, a.text, w.faults)
	}
	other := certificate(t, "bank.example", "bank.example")
	w.with(&other, "bank", form()).refused(t, "another one", http.StatusUnauthorized, "invalid_client")
}

func ptr[T any](v T) *T { return &v }

func TestAuthorizationRequestMayBePosted(t *testing.T) {
	w := newWorld(t)
	send := func(form url.Values) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/authorize", strings.NewReader(form.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return w.do(r)
	}
	if a := send(w.asking("shop")); a.location == nil || !a.location.Query().Has("code") {
		t.Errorf("%d %s", a.status, a.text)
	}
	twice := w.asking("shop")
	twice.Add("scope", "orders:write")
	if a := send(twice); a.location != nil || a.status != http.StatusBadRequest {
		t.Errorf("a parameter twice: %d %v", a.status, a.location)
	}
}

func TestClientThatProvesNothingIsToldNothing(t *testing.T) {
	attacktest.Rows(t, 64)
	w := newWorld(t)
	token := w.post("app", "/token", w.redeeming("app", w.code("app"))).token(t)
	if a := w.post("app", "/introspect", url.Values{"token": {token}}); len(a.json) != 1 || a.json["active"] != false {
		t.Errorf("%s", a.text)
	}
}
